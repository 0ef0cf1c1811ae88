"""Body and lungs on a drawn chest, whose every millimetre is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petcast.anatomy import BODY, LUNGS, body_mask, lung_mask, mediastinum, regions
from petcast.errors import UnitError
from petcast.volume import Unit, Volume


@pytest.fixture(scope="module")
def ct(chest) -> Volume:
    return chest()


@pytest.fixture(scope="module")
def found(ct: Volume) -> Volume:
    return regions(ct)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def millimetres(ct: Volume) -> tuple[np.ndarray, ...]:
    """x, y, z of each voxel as the chest was drawn."""
    z, y, x = np.indices(ct.voxels.shape)
    return tuple(
        axis * step + start
        for axis, step, start in zip((x, y, z), ct.spacing_mm, (-220, -220, -132), strict=True)
    )


@pytest.mark.slow
def test_the_body_is_the_trunk_filled_and_without_the_table(ct: Volume, found: Volume) -> None:
    x, y, _ = millimetres(ct)
    trunk = (x / 170) ** 2 + (y / 120) ** 2 < 1
    assert dice(found.voxels >= BODY, trunk) > 0.97
    assert not (found.voxels[y > 140]).any()


@pytest.mark.slow
def test_the_lungs_are_lungs_and_neither_windpipe_nor_bowel(ct: Volume, found: Volume) -> None:
    x, y, z = millimetres(ct)
    lungs = sum(((x - s) / 55) ** 2 + (y / 80) ** 2 + (z / 90) ** 2 < 1 for s in (-80, 80)) > 0
    assert dice(found.voxels == LUNGS, lungs) > 0.95
    windpipe, bowel = (x**2 + (y + 20) ** 2 < 9**2) & (z > 20), z < -98
    assert not ((found.voxels == LUNGS) & (windpipe | bowel)).any()


@pytest.mark.slow
def test_a_slim_patients_lungs_are_found_behind_a_wall_of_a_centimetre(ct: Volume) -> None:
    x, y, _ = millimetres(ct)
    trunk = (x / 155) ** 2 + (y / 110) ** 2 < 1
    slim = np.where(trunk, ct.voxels, -1000).astype(np.int16)
    assert dice(regions(ct.like(slim)).voxels == LUNGS, slim == -800) > 0.97


@pytest.mark.slow
def test_a_hollow_table_is_no_body(chest, ct: Volume, found: Volume) -> None:
    _, y, _ = millimetres(ct)
    x = millimetres(ct)[0]
    hu = ct.voxels.copy()
    hu[(np.abs(y - 165) < 28) & (np.abs(x) < 200)] = 100
    hu[(np.abs(y - 165) < 22) & (np.abs(x) < 194)] = -980
    assert np.array_equal(regions(ct.like(hu)).voxels, found.voxels)


@pytest.mark.slow
def test_noise_of_a_low_dose_scan_moves_little(ct: Volume, found: Volume) -> None:
    noise = np.random.default_rng(0).normal(0, 40, ct.voxels.shape)
    noisy = regions(ct.like((ct.voxels + noise).astype(np.int16)))
    for label in (BODY, LUNGS):
        assert dice(noisy.voxels >= label, found.voxels >= label) > 0.97


@pytest.mark.slow
@settings(deadline=None, max_examples=4)
@given(axes=st.sets(st.sampled_from("xyz"), min_size=1))
def test_the_order_of_storage_does_not_matter(ct: Volume, found: Volume, axes: set) -> None:
    turned = ct
    for axis in axes:
        turned = turned.flipped(axis)
    labels = regions(turned)
    assert labels.grid.matches(turned.grid)
    assert np.array_equal(labels.canonical().voxels, found.voxels)


@pytest.mark.slow
def test_both_masks_are_those_of_the_regions(ct: Volume, found: Volume) -> None:
    assert np.array_equal(body_mask(ct).voxels, found.voxels >= BODY)
    assert np.array_equal(lung_mask(ct).voxels, found.voxels == LUNGS)


def test_a_trunk_without_lungs_has_none(chest) -> None:
    found = regions(chest(lungs=False))
    assert not (found.voxels == LUNGS).any()
    assert (found.voxels == BODY).any()


def test_voxels_coarser_than_any_airway_are_no_error(chest) -> None:
    coarse = chest((10.0, 10.0, 12.0))
    lungs_ml = (regions(coarse).voxels == LUNGS).sum() * 10 * 10 * 12 / 1000
    assert lungs_ml == pytest.approx(2 * 4 / 3 * np.pi * 55 * 80 * 90 / 1000, rel=0.1)


@pytest.mark.parametrize("hu", [-1024, 0])
def test_an_empty_or_full_image_has_no_lungs(ct: Volume, hu: int) -> None:
    found = regions(ct.like(np.full_like(ct.voxels, hu))).voxels
    assert not (found == LUNGS).any()
    assert (found == BODY).all() == (hu == 0)


@pytest.mark.slow
def test_air_that_an_arm_encloses_is_outside(chest) -> None:
    ct = chest(lungs=False)
    x, y, z = millimetres(ct)
    hu = ct.voxels.copy()
    hu[(x / 170) ** 2 + (y / 120) ** 2 < 1] = -1000
    hu[((x + 30) / 130) ** 2 + (y / 110) ** 2 < 1] = 40
    arm = ((x - 150) / 25) ** 2 + (y / 40) ** 2 < 1
    ring = (((x - 90) / 85) ** 2 + (y / 70) ** 2 < 1) & ~(((x - 90) / 75) ** 2 + (y / 55) ** 2 < 1)
    hu[(arm | ring) & (np.abs(z) < 60)] = 40
    gap = (hu == -1000) & (x > 105) & (x < 120) & (np.abs(y) < 20) & (np.abs(z) < 50)
    assert gap.any()
    assert not body_mask(ct.like(hu)).voxels[gap].any()


def test_suv_is_not_taken_for_hu(ct: Volume) -> None:
    with pytest.raises(UnitError, match="HU"):
        regions(ct.like(ct.voxels, Unit.SUV))


def test_the_mediastinum_lies_between_the_drawn_lungs(ct: Volume, found: Volume) -> None:
    """Lungs end at x = ±80 ∓ 55 sqrt(1 − …); half of their largest area is left at z = ±64."""
    x, y, z = millimetres(ct)
    room = 1 - (y / 80) ** 2 - (z / 90) ** 2
    gap = 80 - 55 * np.sqrt(np.maximum(room, 0))
    expected = (np.abs(x) < gap) & (room > 0) & (np.abs(z) < 64)
    depth = 80 * np.sqrt(np.maximum(1 - (z / 90) ** 2, 0))
    expected &= y < depth - 0.35 * 2 * depth  # in front of the spine
    windpipe = (x**2 + (y + 20) ** 2 < 9**2) & (z > 20)
    soft = mediastinum(found.voxels, ct.voxels)
    assert dice(soft, expected & ~windpipe) > 0.93
    assert not (soft & windpipe).any()
    both = mediastinum(found.voxels)
    assert dice(both, expected) > 0.93
    assert both[windpipe & (np.abs(z - 40) < 10)].all()


def test_one_lung_or_none_has_no_mediastinum(found: Volume) -> None:
    assert not mediastinum(np.minimum(found.voxels, BODY)).any()
    left_alone = found.voxels.copy()
    left_alone[:, :, : left_alone.shape[2] // 2] = np.minimum(
        left_alone[:, :, : left_alone.shape[2] // 2], BODY
    )
    assert not mediastinum(left_alone)[:, :, : left_alone.shape[2] // 2].any()


@pytest.mark.slow
@pytest.mark.parametrize("patient", [0, 1, 2, 3])
def test_a_phantoms_mediastinum_is_heart_and_vessels_not_liver_nor_bone(patient: int) -> None:
    """What a voxel holds is known by painting one tissue hot at a time."""
    from dataclasses import replace

    from petcast.phantom.anatomy import Axes, draw_anatomy, render
    from petcast.phantom.shapes import Tissue
    from petcast.phantom.streams import Streams

    anatomy = draw_anatomy(Streams(0, patient))
    z_mm = np.arange(*(anatomy.frame.scanner_axis(2, z) for z in (-190, 150)), 6.0)
    axes = Axes(np.arange(-240, 241, 4.0), np.arange(-240, 241, 4.0), z_mm, 6.0)
    hu = render(anatomy, axes, "hu", 0.3)
    ct = Volume(hu.astype(np.int16), axes.affine, Unit.HU)
    found = mediastinum(regions(ct).voxels, ct.voxels)

    def of(*names: str) -> np.ndarray:
        tissues = anatomy.tissues
        changed = {n: Tissue(getattr(tissues, n).hu, getattr(tissues, n).suv + 100) for n in names}
        hot = replace(anatomy, tissues=replace(tissues, **changed), lesions=[])
        return np.asarray(render(hot, axes, "suv", 0.3) > 50)

    heart, liver = of("blood", "myocardium", "right_wall"), of("liver", "liver_blood")
    bone, inside = of("marrow", "rib_marrow"), found.sum()
    slices = found.any(axis=(1, 2))
    assert (liver & slices[:, None, None]).any()
    assert (bone & slices[:, None, None]).any()
    assert found[heart & slices[:, None, None]].mean() > 0.8
    assert (found & heart).sum() / inside > 0.5  # the rest is fat, gullet, nodes
    assert (found & liver).sum() / inside < 0.02
    assert (found & bone).sum() / inside < 0.02
