"""Order, spacing and what does not fit, whatever order the files come in."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petcast.dicom.encoding import Layout
from petcast.dicom.facts import Shared, Slice
from petcast.dicom.header import Header
from petcast.dicom.stack import stack
from petcast.refusal import Reason, RefusedError

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def shared(orientation=AXIAL, tilt_deg: float = 0.0) -> Shared:
    return Shared(
        study_uid="1", series_uid="2", patient_id="3", issuer="", frame_uid="4", kind="CT",
        modality="CT", role="image", original=True,
        layout=Layout(4, 4, 1, 1, 16, "MONOCHROME2", True), spacing_mm=(2.0, 3.0),
        orientation=orientation, tilt_deg=tilt_deg, kernel="", thickness_mm=5.0, padding=None,
        rescale_type="", lossy=False, syntax="", pet=None,
    )  # fmt: skip


def headers_at(positions, common: Shared | None = None) -> list[Header]:
    common = common or shared()
    return [
        Header(Path(f"{n}"), None, f"uid {n}", common, (Slice(tuple(p), 1, 0, "1", None, 0, 0),))
        for n, p in enumerate(positions)
    ]


def column(heights) -> list[tuple[float, float, float]]:
    return [(-4.0, -6.0, float(height)) for height in heights]


def reason_of(headers: list[Header]) -> Reason:
    with pytest.raises(RefusedError) as error:
        stack(headers)
    return error.value.refusal.reason


@settings(deadline=None, max_examples=50)
@given(st.permutations(range(8)), st.floats(0.3, 20), st.floats(-1000, 1000))
def test_the_order_of_files_never_matters(order, step_mm: float, start_mm: float) -> None:
    headers = headers_at(column(start_mm + step_mm * np.arange(8)))
    lying = stack([headers[n] for n in order])
    assert [place.header for place in lying.places] == headers
    np.testing.assert_allclose(lying.affine[:3, 3], (-4, -6, start_mm))
    assert lying.affine[2, 2] == pytest.approx(step_mm)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 8), st.floats(0.5, 10))
def test_a_lost_slice_is_a_gap_wherever_it_is(lost: int, step_mm: float) -> None:
    heights = np.delete(step_mm * np.arange(10), lost)
    assert reason_of(headers_at(column(heights))) is Reason.GAP


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-0.02, 0.02), min_size=12, max_size=12), st.floats(1, 5))
def test_small_unevenness_is_real(wobble_mm: list[float], step_mm: float) -> None:
    heights = step_mm * np.arange(12) + np.array(wobble_mm)
    assert len(stack(headers_at(column(heights))).places) == 12


def test_the_affine_follows_the_orientation() -> None:
    feet_first = shared((-1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    headers = headers_at([(250.0, -6.0, z) for z in (0.0, 5.0, 10.0)], feet_first)
    lying = stack(headers)
    assert [place.header for place in lying.places] == headers[::-1]  # along the normal, -z
    np.testing.assert_allclose(lying.affine[:3, :3], np.diag([-2.0, 3.0, -5.0]))


def test_a_single_slice_takes_its_thickness() -> None:
    assert stack(headers_at(column([7.0]))).affine[2, 2] == 5.0


def test_sheared_positions_are_a_tilt_even_where_none_is_stated() -> None:
    positions = [(-4.0, -6.0 + 0.3 * z, z) for z in 5.0 * np.arange(12)]
    assert reason_of(headers_at(positions)) is Reason.TILT


def test_slices_shifted_sideways_are_no_volume() -> None:
    positions = [(-4.0 + 3 * (n == 5), -6.0, 5.0 * n) for n in range(12)]
    assert reason_of(headers_at(positions)) is Reason.UNEVEN


def test_two_spacings_in_one_series_are_uneven_though_no_step_is_odd() -> None:
    heights = np.cumsum([5.0] * 20 + [5.4] * 20)
    assert reason_of(headers_at(column(heights))) is Reason.UNEVEN


def judged(headers: list[Header]) -> Reason | None:
    try:
        stack(headers)
    except RefusedError as error:
        return error.refusal.reason
    return None


@pytest.mark.parametrize(
    ("odd_mm", "reason"),
    [(5.4, None), (5.6, Reason.UNEVEN), (7.4, Reason.UNEVEN), (7.6, Reason.GAP)],
)
def test_one_step_may_be_a_tenth_longer_and_is_a_gap_from_a_half_on(odd_mm: float, reason) -> None:
    heights = np.cumsum([5.0] * 6 + [odd_mm] + [5.0] * 5)
    assert judged(headers_at(column(heights))) is reason


@pytest.mark.parametrize(
    ("steps_mm", "reason"),
    [
        ([5.0] * 10 + [5.2] * 10, None),  # a slice 1 mm from its place
        ([5.0] * 14 + [5.2] * 14, Reason.UNEVEN),  # 1.4 mm
        ([2.0] * 10 + [2.12] * 10, None),  # 0.6 mm
        ([2.0] * 14 + [2.12] * 14, Reason.UNEVEN),  # 0.84 mm
    ],
)
def test_a_slice_may_lie_off_by_a_quarter_of_the_step_and_always_by_so_much(
    steps_mm: list[float], reason
) -> None:
    assert judged(headers_at(column(np.cumsum([0.0, *steps_mm])))) is reason


@pytest.mark.parametrize(("degrees", "reason"), [(0.29, None), (0.31, Reason.TILT)])
def test_a_third_of_a_degree_is_a_tilt(degrees: float, reason) -> None:
    headers = headers_at(column(range(5)), shared(tilt_deg=-degrees))
    assert judged(headers) is reason


@pytest.mark.parametrize(("degrees", "reason"), [(0.1, None), (0.4, Reason.TILT)])
def test_so_is_a_shear_of_it(degrees: float, reason) -> None:
    heights = 5.0 * np.arange(41)
    positions = [(-4.0, -6.0 + np.tan(np.radians(degrees)) * z, z) for z in heights]
    assert judged(headers_at(positions)) is reason


@pytest.mark.parametrize(
    "orientation",
    [
        (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
        (1.0, 0.0, 0.0, 0.0, 0.0, -1.0),
        (0.99863, 0.05234, 0.0, -0.05234, 0.99863, 0.0),
        (1.0, 0.0, 0.0, 0.0, 0.99863, 0.05234),
    ],
    ids=["sagittal", "coronal", "turned 3 degrees", "oblique 3 degrees"],
)
def test_only_axial_slices_are_taken(orientation) -> None:
    assert reason_of(headers_at(column(range(5)), shared(orientation))) is Reason.NOT_AXIAL


def test_directions_that_are_no_axes_are_refused() -> None:
    odd = shared((1.0, 0.0, 0.0, 1.0, 0.0, 0.0))
    assert reason_of(headers_at(column(range(5)), odd)) is Reason.NO_POSITION
