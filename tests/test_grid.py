"""The model grid: the PET's own slices, a fixed spacing, the body in the middle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petcast.align import ct_on_grid
from petcast.anatomy import LUNGS
from petcast.grid import chest_slices, grid_for_ct, grid_for_pair, part_of, standing, thinned
from petcast.recipe import PreparationRecipe
from petcast.refusal import Reason, RefusedError
from petcast.volume import Grid, Unit, Volume

RECIPE = PreparationRecipe()
MIDDLE_MM = (12.0, -30.0)


@pytest.fixture(scope="module")
def ct(chest) -> Volume:
    return chest()


def pet(bottom_mm: float = -60.0, slices: int = 20, step_mm: float = 5.0) -> Volume:
    affine = np.diag([4.07, 4.07, step_mm, 1.0])
    affine[:3, 3] = (-150, -150, bottom_mm)
    return Volume(np.zeros((slices, 80, 80), np.float32), affine, Unit.SUV)


def heights_mm(grid: Grid) -> np.ndarray:
    return grid.affine[2, 3] + grid.spacing_mm[2] * np.arange(grid.shape[0])


def reason(call) -> Reason:
    with pytest.raises(RefusedError) as error:
        call()
    return error.value.refusal.reason


def test_slices_are_the_pets_own_and_the_body_stands_in_the_middle(ct: Volume) -> None:
    grid = grid_for_pair(ct, pet(), RECIPE)
    assert grid.shape == (20, 256, 256)
    assert grid.spacing_mm == pytest.approx((2.0, 2.0, 5.0))
    np.testing.assert_allclose(heights_mm(grid), -60 + 5 * np.arange(20), atol=1e-9)
    middle = np.array(grid.origin_mm[:2]) + 2.0 * (256 - 1) / 2
    np.testing.assert_allclose(middle, MIDDLE_MM, atol=5.0)


@pytest.mark.slow
@settings(deadline=None, max_examples=8)
@given(shift=st.tuples(*[st.floats(-500, 500)] * 3), axes=st.sets(st.sampled_from("xyz")))
def test_the_grid_moves_with_the_patient_and_ignores_the_order_of_storage(
    ct: Volume, shift: tuple, axes: set
) -> None:
    move = np.eye(4)
    move[:3, 3] = shift
    moved = [Volume(v.voxels, move @ v.affine, v.unit) for v in (ct, pet())]
    for axis in axes:
        moved = [v.flipped(axis) for v in moved]
    expected = grid_for_pair(ct, pet(), RECIPE)
    grid = grid_for_pair(*moved, RECIPE)
    assert grid.matches(Grid(expected.shape, move @ expected.affine), tolerance_mm=1e-6)


def test_only_slices_that_both_cover_are_taken(ct: Volume) -> None:
    grid = grid_for_pair(ct, pet(bottom_mm=99.0), RECIPE)  # the CT ends at 132 + 3 mm
    np.testing.assert_allclose(heights_mm(grid), [99, 104, 109, 114, 119, 124, 129, 134])


@pytest.mark.parametrize("bottom_mm", [-247.32, -561.9, -893.07, -124.5, -0.1])
@pytest.mark.parametrize(("ct_step_mm", "pet_step_mm"), [(5.0, 5.0), (3.27, 3.27), (1.25, 3.75)])
def test_a_slice_on_the_very_face_of_the_ct_gets_no_air_for_a_ct(
    bottom_mm: float, ct_step_mm: float, pet_step_mm: float
) -> None:
    affine = np.diag([40.0, 40.0, ct_step_mm, 1.0])
    affine[2, 3] = bottom_mm
    tissue = Volume(np.zeros((13, 5, 5), np.int16), affine, Unit.HU)
    suv = pet(bottom_mm - ct_step_mm / 2 - 2 * pet_step_mm, step_mm=pet_step_mm)
    grid = grid_for_pair(tissue, suv, PreparationRecipe(size=32, spacing_mm=2.0))
    assert ct_on_grid(tissue, grid).voxels[:, 16, 16].tolist() == [0] * grid.shape[0]


@pytest.mark.parametrize("bottom_mm", [140.0, -500.0])
def test_a_ct_elsewhere_is_refused(ct: Volume, bottom_mm: float) -> None:
    assert reason(lambda: grid_for_pair(ct, pet(bottom_mm), RECIPE)) is Reason.COVERAGE


def test_a_tilted_volume_is_refused(ct: Volume) -> None:
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
    tilted = Volume(ct.voxels, turn @ ct.affine, Unit.HU)
    with pytest.raises(RefusedError, match="PET is turned by 5"):
        standing(tilted, "PET")
    assert reason(lambda: grid_for_ct(tilted, RECIPE)) is Reason.NOT_AXIAL


@pytest.mark.slow
@pytest.mark.parametrize(("step_mm", "expected_mm"), [(1.0, 3.0), (1.9, 3.0), (2.0, 2.0), (5, 5)])
def test_a_ct_alone_keeps_its_slices_unless_they_are_fine(chest, step_mm, expected_mm) -> None:
    ct = chest((5.0, 5.0, step_mm), (-30.0, 30.0))
    places = heights_mm(grid_for_ct(ct, RECIPE))
    first, last = heights_mm(ct.grid)[[0, -1]]
    np.testing.assert_allclose(np.diff(places), expected_mm)
    assert first <= places[0]
    assert places[-1] <= last + 1e-9
    assert places[0] - first == pytest.approx(last - places[-1])


@pytest.mark.parametrize(("step_mm", "slices"), [(0.7, 91), (0.7, 31), (0.6, 41), (1.4, 46)])
def test_every_slice_of_a_fine_ct_lies_within_the_grid(step_mm: float, slices: int) -> None:
    affine = np.diag([40.0, 40.0, step_mm, 1.0])
    ct = Volume(np.zeros((slices, 5, 5), np.int16), affine, Unit.HU)
    grid = grid_for_ct(ct, PreparationRecipe(size=128, spacing_mm=2.0))
    uptake = Volume(np.ones(grid.shape, np.float32), grid.affine, Unit.SUV)
    back = uptake.resampled(ct.grid, outside=0.0, antialias=False).voxels
    assert back[:, 2, 2].tolist() == [1.0] * slices


@pytest.mark.parametrize("step_mm", [1.9999999999999998, 2.0, float(np.float32(2.0000002))])
def test_two_millimetres_are_two_however_they_are_rounded(step_mm: float) -> None:
    """One in twenty CT of 2 mm slices, by its first position, was cast 3 mm apart."""
    ct = Volume(np.zeros((30, 5, 5), np.int16), np.diag([40.0, 40.0, step_mm, 1.0]), Unit.HU)
    assert grid_for_ct(ct, RECIPE).shape[0] == 30


@pytest.mark.parametrize("spacing_mm", [0.8, float(np.float32(0.8)), 0.7999999999999999])
def test_a_volume_is_thinned_alike_however_its_spacing_is_rounded(spacing_mm: float) -> None:
    fine = Volume(np.zeros((50, 50, 50), np.int16), np.diag([spacing_mm] * 3 + [1.0]), Unit.HU)
    assert thinned(fine).voxels.shape == (10, 10, 10)


def test_one_slice_is_a_grid_of_one(chest) -> None:
    ct = chest((5.0, 5.0, 1.0), (0.0, 0.0))
    assert grid_for_ct(ct, RECIPE).shape[0] == 1


# Slices


GRID = Grid((30, 40, 40), np.diag([5.0, 5.0, 10.0, 1.0]))


def labels(first: int = 10, last: int = 19, side: int = 20) -> np.ndarray:
    """Lungs of 10 cm x 10 cm on some slices: 100 mL each."""
    found = np.zeros(GRID.shape, np.uint8)
    found[first : last + 1, :side, :20] = LUNGS
    return found


@given(margin_mm=st.floats(0, 400))
def test_slices_with_lungs_and_a_margin_are_kept(margin_mm: float) -> None:
    kept = chest_slices(labels(), GRID, PreparationRecipe(margin_mm=margin_mm))
    margin = round(margin_mm / 10)
    assert kept == slice(max(0, 10 - margin), min(30, 20 + margin))


def test_all_slices_are_kept_where_all_are_wanted() -> None:
    kept = chest_slices(0 * labels(), GRID, PreparationRecipe(slices="all"))
    assert kept == slice(0, 30)


def test_specks_of_lung_do_not_widen_the_chest() -> None:
    found = labels()
    found[2, 0, :5] = LUNGS  # 125 mm²
    assert chest_slices(found, GRID, PreparationRecipe(margin_mm=0)).start == 10


@pytest.mark.parametrize(
    ("found", "step_mm"),
    [(0 * labels(), 5.0), (labels(10, 11, 19), 5.0), (np.full(GRID.shape, LUNGS, "u1"), 5.1)],
)
def test_no_lungs_too_little_or_impossibly_much_is_refused(found, step_mm: float) -> None:
    grid = Grid(GRID.shape, np.diag([step_mm, 5.0, 10.0, 1.0]))
    assert reason(lambda: chest_slices(found, grid, RECIPE)) is Reason.NO_LUNGS


@given(start=st.integers(0, 29), length=st.integers(1, 30))
def test_a_part_lies_where_it_lay_in_the_whole(start: int, length: int) -> None:
    kept = slice(start, min(30, start + length))
    part = part_of(GRID, kept)
    assert part.shape == (kept.stop - start, 40, 40)
    np.testing.assert_allclose(
        part.affine @ [3, 4, 0, 1], GRID.affine @ [3, 4, start, 1], atol=1e-9
    )


def test_thinning_takes_voxels_as_they_are(chest) -> None:
    ct = chest((1.0, 2.0, 3.0), (0.0, 30.0))
    thin = thinned(ct)
    assert thin.spacing_mm == pytest.approx((4.0, 4.0, 3.0))
    assert np.array_equal(thin.voxels, ct.voxels[:, ::2, ::4])
