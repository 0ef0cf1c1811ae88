"""CT and PET on one grid: what was in one place stays in one place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petcast import align as room
from petcast.align import Reading, align, ct_on_grid
from petcast.errors import UnitError
from petcast.grid import grid_for_ct
from petcast.recipe import PreparationRecipe
from petcast.refusal import Reason, RefusedError
from petcast.volume import Unit, Volume

ALL = PreparationRecipe(size=96, spacing_mm=5.0, slices="all")
LUNGS = PreparationRecipe(size=96, spacing_mm=5.0, margin_mm=0)


@pytest.fixture(scope="module")
def ct(chest) -> Volume:
    return chest()


def on(spacing_mm: tuple, start_mm: tuple, shape: tuple, of, unit: Unit) -> Volume:
    """A volume whose values are a function of the place."""
    affine = np.diag([*map(float, spacing_mm), 1.0])
    affine[:3, 3] = start_mm
    z, y, x = np.indices(shape)
    places = [
        axis * step + s for axis, step, s in zip((x, y, z), spacing_mm, start_mm, strict=True)
    ]
    return Volume(np.asarray(of(*places), np.float32), affine, unit)


def pet(of=lambda x, y, z: 1.0 + 0 * x) -> Volume:
    return on((4.07, 4.07, 7.0), (-300, -320, -125), (36, 140, 140), of, Unit.SUV)


def reading(ct: Volume, suv: Volume | None = None, lesions: Volume | None = None) -> Reading:
    return Reading(ct, suv or pet(), "dose", "start", lesions=lesions)


def places(grid) -> list[np.ndarray]:
    z, y, x = np.indices(grid.shape)
    return [
        axis * step + start
        for axis, step, start in zip((x, y, z), grid.spacing_mm, grid.origin_mm, strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("axes", ["", "xy", "z", "xyz"])
def test_each_voxel_holds_what_was_at_its_place(ct: Volume, axes: str) -> None:
    def plane(x, y, z):
        return 20 + x / 50 - y / 40 + z / 30

    suv = pet(plane)
    for axis in axes:
        suv = suv.flipped(axis)
    found = align(reading(ct, suv), ALL)
    x, y, z = places(found.grid)
    np.testing.assert_allclose(found.arrays["pet"], plane(x, y, z), atol=1e-3)


@pytest.mark.slow
@settings(deadline=None, max_examples=6)
@given(at=st.tuples(st.floats(-60, 60), st.floats(-60, 60), st.floats(-60, 60)))
def test_a_hot_ball_of_metal_shows_in_ct_and_pet_at_one_place(ct: Volume, at: tuple) -> None:
    def ball(x, y, z):
        return np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2 + (z - at[2]) ** 2) / 500)

    metal = on(ct.spacing_mm, ct.grid.origin_mm, ct.voxels.shape, ball, Unit.HU)
    found = align(reading(ct.like(3000 * metal.voxels), pet(ball)), ALL)
    for name in ("ct", "pet"):
        share = np.maximum(found.arrays[name].astype(float), 0)
        share[share < 0.2 * share.max()] = 0
        middle = [(axis * share).sum() / share.sum() for axis in places(found.grid)]
        np.testing.assert_allclose(middle, at, atol=1.0)


@pytest.mark.slow
def test_arrays_are_of_the_types_and_the_shape_that_pairs_keep(ct: Volume) -> None:
    found = align(reading(ct), LUNGS)
    kinds = {name: (array.dtype, array.shape) for name, array in found.arrays.items()}
    shape = found.grid.shape
    assert kinds == {
        "ct": (np.dtype("i2"), shape),
        "pet": (np.dtype("f4"), shape),
        "regions": (np.dtype("u1"), shape),
    }
    assert found.ct_spacing_mm == pytest.approx((5, 5, 6))
    assert found.pet_spacing_mm == pytest.approx((4.07, 4.07, 7))


@pytest.mark.slow
def test_the_search_on_a_thinned_ct_changes_nothing(ct: Volume) -> None:
    searched, whole = align(reading(ct), LUNGS), align(reading(ct), ALL)
    first = round((searched.grid.origin_mm[2] - whole.grid.origin_mm[2]) / 7.0)
    kept = slice(first, first + searched.grid.shape[0])
    seen = (whole.arrays["regions"] == 2).any(axis=(1, 2))
    assert seen[kept].all()
    assert not seen[: kept.start].any()
    assert not seen[kept.stop :].any()
    np.testing.assert_allclose(searched.arrays["ct"], whole.arrays["ct"][kept], atol=1)


@pytest.mark.slow
def test_hu_stay_in_their_range_and_air_stands_outside(chest) -> None:
    ct = chest((5.0, 5.0, 6.0))
    hu = ct.voxels.copy()
    hu[:, 40:50, 40:50] = 30_000
    hu[:, 60:64, 40:50] = -30_000
    grid = grid_for_ct(ct, PreparationRecipe(size=256, spacing_mm=4.0))
    found = ct_on_grid(ct.like(hu), grid)
    assert (found.voxels.min(), found.voxels.max()) == (-1024, 3071)
    assert (found.voxels[:, :20] == -1024).all()
    assert found.voxels.dtype == np.int16


@pytest.mark.slow
def test_a_lesion_mask_on_any_grid_keeps_its_place_and_size(ct: Volume) -> None:
    def ball(x, y, z):
        return (x - 30) ** 2 + (y + 20) ** 2 + z**2 < 30**2

    mask = on((3.0, 3.0, 3.0), (-60, -110, -60), (40, 60, 60), ball, Unit.LABEL)
    found = align(reading(ct, lesions=mask), ALL)
    x, y, z = places(found.grid)
    assert found.arrays["lesions"].dtype == np.uint8
    assert set(np.unique(found.arrays["lesions"])) == {0, 1}
    overlap = found.arrays["lesions"].astype(bool) & ball(x, y, z)
    assert 2 * overlap.sum() > 0.95 * (found.arrays["lesions"].sum() + ball(x, y, z).sum())


@pytest.mark.parametrize(("share", "marked"), [(0.4, 0), (0.6, 1)])
def test_a_voxel_counts_where_most_of_it_was_lesion(share: float, marked: int) -> None:
    mask = on((2, 2, 2), (0, 0, 0), (3, 3, 8), lambda x, y, z: x >= 8, Unit.LABEL)
    grid = on((2, 2, 2), (2 * share, 0, 0), (3, 3, 7), lambda x, y, z: 0 * x, Unit.HU).grid
    edge = 3  # between the last voxel outside and the first inside
    assert room._lesions(mask, grid)[1, 1].tolist() == [0] * edge + [marked] + [1] * 3


@pytest.mark.slow
def test_lesions_too_small_for_the_grid_are_counted_and_those_beyond_it_are_not() -> None:
    def balls(x, y, z):
        near = [((0, 0, 2.5), 12), ((40, 0, 2.5), 4), ((0, 40, 12.5), 4), ((0, 0, 200), 12)]
        at = [(x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 < (d / 2) ** 2 for (a, b, c), d in near]
        return np.any(at, axis=0)

    tissue = on((5, 5, 5), (-60, -60, -20), (12, 25, 25), lambda x, y, z: 0 * x, Unit.HU)
    suv = on((4, 4, 5), (-60, -60, -20), (12, 31, 31), lambda x, y, z: 1 + 0 * x, Unit.SUV)
    mask = on((1, 1, 1), (-60, -60, -20), (240, 120, 120), balls, Unit.LABEL)
    small = PreparationRecipe(size=64, spacing_mm=2.0, slices="all")
    found = align(reading(tissue, suv, mask), small)
    [note] = found.notes
    assert note.endswith("2 of 3 lesions of the mask.")
    assert align(reading(tissue, suv, mask.flipped("z")), small).notes == found.notes
    assert not align(reading(tissue, suv, mask.like(0 * mask.voxels)), small).notes


@pytest.mark.slow
def test_no_lungs_is_a_refusal_and_not_with_all_slices(chest) -> None:
    ct = chest(lungs=False)
    with pytest.raises(RefusedError) as error:
        align(reading(ct), LUNGS)
    assert error.value.refusal.reason is Reason.NO_LUNGS
    assert not (align(reading(ct), ALL).arrays["regions"] == 2).any()


def test_units_are_not_mixed_up(ct: Volume) -> None:
    with pytest.raises(UnitError, match="SUV"):
        align(reading(ct, ct), ALL)
    with pytest.raises(UnitError, match="HU"):
        align(reading(pet(), pet()), ALL)
