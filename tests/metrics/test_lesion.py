"""Lesions of known uptake, and SUVpeak against computations of another kind."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from petcast.errors import GeometryError
from petcast.metrics.lesion import (
    PEAK_RADIUS_MM,
    LesionUptake,
    Spacing,
    lesion_sites,
    measure_lesion,
    mtv_threshold,
    sphere_weights,
    suv_peak,
)

HOT_SUV, COLD_SUV = 8.0, 1.0
SPACINGS = ((2.0, 2.0, 3.27), (1.0, 1.0, 1.0), (4.07, 4.07, 2.03), (2.0, 2.0, 2.0))


def distances(shape: tuple[int, int, int], spacing: Spacing, centre: Spacing) -> np.ndarray:
    """Of each voxel's centre to a place in mm, along (x, y, z) from the first voxel's."""
    axes = [
        np.arange(n) * step - middle
        for n, step, middle in zip(shape, spacing[::-1], centre[::-1], strict=True)
    ]
    z, y, x = np.ix_(*axes)
    return np.asarray(np.sqrt(z * z + y * y + x * x))


def sphere(
    spacing: Spacing, radius_mm: float, room_mm: float = 25.0, shift: float = 0.3
) -> np.ndarray:
    """True in voxels whose centre lies in a sphere off the lattice."""
    shape = tuple(math.ceil(2 * (radius_mm + room_mm) / step) for step in reversed(spacing))
    centre = tuple((n // 2 + shift) * s for n, s in zip(reversed(shape), spacing, strict=True))
    return distances(shape, spacing, centre) <= radius_mm  # type: ignore[arg-type]


def measured(suv: np.ndarray, mask: np.ndarray, spacing: Spacing) -> LesionUptake:
    [site] = lesion_sites(mask.astype(np.uint8), spacing)
    return measure_lesion(suv, site, mtv_threshold(suv, site))


@pytest.mark.slow
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("radius_mm", [10.0, 15.0])
def test_a_sphere_of_known_uptake_gives_every_number_within_1_percent(
    spacing: Spacing, radius_mm: float
) -> None:
    mask = sphere(spacing, radius_mm)
    found = measured(np.where(mask, HOT_SUV, COLD_SUV), mask, spacing)
    volume_ml = mask.sum() * math.prod(spacing) / 1000
    expected = {
        "suv_max": HOT_SUV,
        "suv_peak": HOT_SUV,  # a sphere of 1 mL fits in
        "suv_mean": HOT_SUV,
        "background_suv": COLD_SUV,
        "tbr": HOT_SUV / COLD_SUV,
        "mtv_ml": volume_ml,
        "tlg_g": volume_ml * HOT_SUV,
    }
    for metric, value in expected.items():
        assert getattr(found, metric) == pytest.approx(value, rel=0.01), metric
    if max(spacing) <= 1:  # voxels then fill the sphere
        assert volume_ml == pytest.approx(4 / 3 * math.pi * radius_mm**3 / 1000, rel=0.01)


@pytest.mark.parametrize("radius_mm", [3.0, 5.0])
def test_a_lesion_smaller_than_the_sphere_is_diluted_as_its_volume_says(radius_mm: float) -> None:
    spacing = (0.5, 0.5, 0.5)
    mask = sphere(spacing, radius_mm, room_mm=8.0)
    share = mask.sum() * math.prod(spacing) / 1000  # of 1 mL, all of it inside the best sphere
    peak = suv_peak(np.where(mask, HOT_SUV, COLD_SUV), mask, spacing)
    assert peak == pytest.approx(COLD_SUV + (HOT_SUV - COLD_SUV) * share, rel=0.01)


def test_the_mean_over_the_sphere_of_a_linear_field_is_its_centres_value() -> None:
    spacing, shape = (2.0, 2.0, 2.0), (21, 21, 21)
    z, y, x = np.indices(shape)
    field = 5 + 0.04 * z + 0.03 * y + 0.02 * x
    mask = sphere(spacing, 8.0, room_mm=13.0)[:21, :21, :21]
    assert suv_peak(field, mask, spacing) == pytest.approx(field[mask].max(), rel=1e-4)


def test_the_mean_over_the_sphere_of_a_bowl_is_analytic() -> None:
    spacing, shape = (0.5, 0.5, 0.5), (41, 41, 41)
    squares = distances(shape, spacing, (10.0, 10.0, 10.0)) ** 2
    mask = squares == 0
    expected = 9 - 0.05 * 3 / 5 * PEAK_RADIUS_MM**2  # mean of r² over a sphere: 3/5 R²
    assert suv_peak(9 - 0.05 * squares, mask, spacing) == pytest.approx(expected, rel=0.002)


def brute_peak(suv: np.ndarray, mask: np.ndarray, spacing: Spacing, points: int) -> float:
    """Look up the voxel beneath each of many points drawn in the sphere, centre by centre."""
    rng = np.random.default_rng(3)
    drawn = rng.uniform(-1, 1, (points, 3))
    drawn = drawn[(drawn**2).sum(axis=1) <= 1] * PEAK_RADIUS_MM
    highest = -math.inf
    parts = [
        [(i + 0.5) / n - 0.5 for i in range(n)] for n in (max(1, round(s / 2)) for s in spacing)
    ]
    for place in np.argwhere(mask):
        for x, y, z in product(*parts):
            voxels = np.rint(place + (z, y, x) + drawn[:, ::-1] / spacing[::-1]).astype(int)
            inside = ((voxels >= 0) & (voxels < suv.shape)).all(axis=1)
            highest = max(highest, suv[tuple(voxels[inside].T)].mean())
    return float(highest)


@pytest.mark.slow
@pytest.mark.parametrize("spacing", [(2.0, 2.0, 3.27), (4.07, 4.07, 2.03), (3.0, 2.0, 5.0)])
def test_suv_peak_is_that_of_brute_force_within_1_percent(spacing: Spacing) -> None:
    rng = np.random.default_rng(0)
    suv = rng.gamma(4, 1, (9, 11, 12))
    mask = np.zeros(suv.shape, bool)
    mask[2:5, 3:6, 4:8] = True
    mask[0, 0, 0] = True  # the sphere leaves the volume
    assert suv_peak(suv, mask, spacing) == pytest.approx(
        brute_peak(suv, mask, spacing, 60_000), rel=0.01
    )


@settings(deadline=None, max_examples=25)
@given(st.tuples(*[st.floats(0.7, 6.0)] * 3), st.tuples(*[st.floats(-0.5, 0.5)] * 3))
def test_the_weights_hold_1_ml_wherever_the_centre_lies(spacing: Spacing, offset: Spacing) -> None:
    weights = sphere_weights(spacing, offset)
    assert weights.sum() * math.prod(spacing) == pytest.approx(1000, rel=0.01)
    assert weights.max() <= 1
    assert all(n % 2 for n in weights.shape)


def test_a_volume_thinner_than_the_sphere_has_a_peak() -> None:
    assert suv_peak(np.full((1, 2, 2), 4.0), np.ones((1, 2, 2), bool), (2.0, 2.0, 2.0)) == (
        pytest.approx(4.0)
    )


def test_the_background_stays_in_the_body_and_off_other_lesions() -> None:
    spacing = (2.0, 2.0, 2.0)
    labels = np.zeros((30, 40, 60), np.uint8)
    labels[12:18, 17:23, 17:23], labels[12:18, 17:23, 30:36] = 1, 2
    body = np.ones(labels.shape, bool)
    body[:, :14] = False
    suv = np.where(labels == 1, 8.0, np.where(labels == 2, 30.0, 1.0))
    suv[~body] = -5
    blurred = np.zeros(labels.shape, bool)
    blurred[11:19, 16:24, 29:37] = True  # the other lesion's blur
    suv[blurred & (labels == 0)] = 25
    first, second = lesion_sites(labels, spacing, body)
    assert measure_lesion(suv, first, None).background_suv == 1.0
    assert not (first.shell & ~body[first.box]).any()
    assert not (first.shell & (suv[first.box] == 25)).any()
    assert not (first.reach & (labels[first.box] == 2)).any()
    assert second.volume_ml == pytest.approx(216 * 0.008)


def test_the_background_stays_off_lesions_that_begin_beyond_it() -> None:
    """On fine voxels they lay outside the box that was looked at, 17 mm away."""
    labels = np.zeros((7, 7, 60), dtype=int)
    labels[:, :, :10], labels[:, :, 26:] = 1, 2
    [site, _] = lesion_sites(labels, (1.0, 1.0, 1.0))
    columns = site.box[2].start + np.flatnonzero(site.shell.any(axis=(0, 1)))
    assert columns.tolist() == [15, 16, 17, 18, 19, 20]  # from 6 mm on, to 6 mm from the other


def test_the_volume_of_a_swollen_prediction_grows_and_of_a_faint_one_vanishes() -> None:
    spacing = (1.0, 1.0, 1.0)
    mask, wide = (sphere(spacing, r, room_mm=33.0 - r) for r in (8.0, 11.0))
    truth = np.where(mask, HOT_SUV, COLD_SUV)
    [site] = lesion_sites(mask.astype(np.uint8), spacing)
    threshold = mtv_threshold(truth, site)
    assert threshold == 4.5
    swollen = measure_lesion(np.where(wide, HOT_SUV, COLD_SUV), site, threshold)
    assert swollen.mtv_ml == pytest.approx(wide.sum() / 1000)
    faint = measure_lesion(np.where(mask, 4.0, COLD_SUV), site, threshold)
    assert (faint.mtv_ml, faint.tlg_g) == (0.0, 0.0)
    beside = np.full(mask.shape, COLD_SUV)
    beside[:4, :4, :4] = HOT_SUV  # uptake elsewhere is not the lesion's
    assert measure_lesion(beside, site, threshold).mtv_ml == 0.0


def test_a_lesion_that_is_not_hot_has_no_metabolic_volume() -> None:
    spacing = (2.0, 2.0, 2.0)
    mask = sphere(spacing, 8.0)
    cold = measured(np.where(mask, 0.5, 0.4), mask, spacing)
    assert (cold.mtv_ml, cold.tlg_g) == (None, None)
    assert cold.tbr == pytest.approx(1.25)


@pytest.mark.parametrize(("height", "hot"), [(1.45, False), (1.55, True)])
def test_hot_is_one_and_a_half_times_the_background(height: float, hot: bool) -> None:
    mask = sphere((2.0, 2.0, 2.0), 8.0)
    [site] = lesion_sites(mask.astype(np.uint8), (2.0, 2.0, 2.0))
    assert (mtv_threshold(np.where(mask, height, 1.0), site) is not None) == hot


def test_a_lesions_volume_is_followed_for_a_centimetre_and_no_farther() -> None:
    spacing = (1.0, 1.0, 1.0)
    labels = np.zeros((45, 45, 45), np.uint8)
    labels[22, 22, 22] = 1
    [site] = lesion_sites(labels, spacing)
    everywhere = measure_lesion(np.full(labels.shape, HOT_SUV), site, threshold_suv=4.5)
    near = distances(labels.shape, spacing, (22.0, 22.0, 22.0)) <= 10.0
    assert everywhere.mtv_ml == pytest.approx(near.sum() / 1000)


def test_the_background_begins_5_mm_and_ends_15_mm_from_the_mask() -> None:
    spacing = (1.0, 2.0, 1.0)
    labels = np.zeros((45, 25, 45), np.uint8)
    labels[22, 12, 22] = 1
    [site] = lesion_sites(labels, spacing)
    away_mm = distances(labels.shape, spacing, (22.0, 24.0, 22.0))
    shell = np.zeros(labels.shape, bool)
    shell[site.box] = site.shell
    np.testing.assert_array_equal(shell, (away_mm > 5) & (away_mm <= 15))


@pytest.mark.parametrize(("voxels", "enough"), [(62, False), (63, True)])
def test_less_than_half_a_millilitre_around_a_lesion_is_no_background(voxels, enough) -> None:
    spacing = (2.0, 2.0, 2.0)
    labels = sphere(spacing, 8.0).astype(np.uint8)
    [wide] = lesion_sites(labels, spacing)
    body = labels > 0
    z, y, x = (places[:voxels] for places in np.nonzero(wide.shell))
    body[wide.box][z, y, x] = True
    [site] = lesion_sites(labels, spacing, body)
    found = measure_lesion(np.where(labels, HOT_SUV, COLD_SUV), site, None)
    assert found.background_suv == (COLD_SUV if enough else None)


def test_a_lesion_that_fills_the_volume_has_no_background() -> None:
    alone = measured(np.full((6, 6, 6), 3.0), np.ones((6, 6, 6), bool), (2.0, 2.0, 2.0))
    assert (alone.background_suv, alone.tbr) == (None, None)
    assert alone.contrast_suv is None


def test_labels_that_are_missing_are_skipped() -> None:
    labels = np.zeros((5, 5, 5), np.uint8)
    labels[1, 1, 1], labels[3, 3, 3] = 1, 3
    assert [site.number for site in lesion_sites(labels, (1.0, 1.0, 1.0))] == [1, 3]


def test_what_does_not_fit_is_refused() -> None:
    suv = np.zeros((4, 4, 4))
    with pytest.raises((GeometryError, TypeCheckError), match=r"with voxels|Type-check"):
        suv_peak(suv, np.zeros((4, 4, 4), bool), (1.0, 1.0, 1.0))
    with pytest.raises(GeometryError, match="above zero"):
        lesion_sites(np.zeros((4, 4, 4), np.uint8), (0.0, 1.0, 1.0))
