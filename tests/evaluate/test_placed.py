"""CT and lesions of foreign cases, laid on the real PET's grid: what is lost there is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from petcast.errors import DataError
from petcast.evaluate import Evaluation, evaluate_files
from petcast.evaluate.notes import Notes
from petcast.evaluate.placed import place_prediction
from petcast.volume import Grid, Unit, Volume

SHAPE = (6, 32, 32)


def save(
    path: Path,
    voxels: Any,
    unit: Unit = Unit.SUV,
    *,
    spacing_mm: float = 4.0,
    z_mm: float = 3.0,
    origin_mm: float = 0.0,
) -> Path:
    matrix = np.diag([spacing_mm, spacing_mm, z_mm, 1.0])
    matrix[:3, 3] = origin_mm
    Volume(np.asarray(voxels, dtype=np.float32), matrix, unit).save(path)
    return path


def codes(evaluation: Evaluation) -> list[str]:
    return [warning.code for warning in evaluation.warnings]


def body() -> np.ndarray:
    inside = np.zeros(SHAPE, dtype=bool)
    inside[:, 8:24, 8:24] = True
    return inside


@pytest.fixture
def suv() -> np.ndarray:
    """SUV 2 in the body, an organ of SUV 6 in it, 0 around it."""
    image = np.where(body(), 2.0, 0.0)
    image[:, 12:16, 12:16] = 6.0
    return image


@pytest.mark.parametrize(
    ("start", "shape"),  # z, y, x in the truth's voxels
    [
        ((0, 0, 0), (4, 32, 32)), ((2, 0, 0), (4, 32, 32)), ((-3, -5, 0), (12, 40, 32)),
        ((2, 7, 9), (9, 11, 40)), ((2, 0, 0), SHAPE), ((40, 0, 0), (4, 32, 32)),
        ((-6, 0, 0), (4, 32, 32)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("turned", [False, True])
def test_other_ends_of_the_same_lattice_are_copied(
    start: tuple[int, int, int], shape: tuple[int, int, int], turned: bool
) -> None:
    affine = np.diag([4.0, 4.0, 3.0, 1.0])
    affine[:3, 3] = (-61.3, 17.9, 1203.7)
    grid = Grid(SHAPE, affine)
    other = affine.copy()
    other[:3, 3] += (affine[:3, :3] @ start[::-1]) + 0.004  # as rounded in a file
    voxels = np.random.default_rng(0).random(shape, np.float32)
    volume, notes = Volume(voxels, other, Unit.SUV), Notes()
    stored = volume.flipped("z").flipped("x") if turned else volume
    placed = place_prediction(grid, stored, "a", notes, has_place=True)
    assert not notes.resampled
    for z, y, x in np.ndindex(*SHAPE):
        there = (z - start[0], y - start[1], x - start[2])
        inside = all(0 <= at < n for at, n in zip(there, shape, strict=True))
        assert placed.covered[z, y, x] == inside
        assert placed.suv[z, y, x] == (voxels[there] if inside else 0)


@pytest.mark.parametrize("off_mm", [0.02, 1.5])
def test_a_lattice_between_the_truth_s_is_resampled(off_mm: float) -> None:
    affine = np.diag([4.0, 4.0, 3.0, 1.0])
    other = affine.copy()
    other[2, 3] += off_mm
    volume, notes = Volume(np.ones((4, 32, 32), np.float32), other, Unit.SUV), Notes()
    place_prediction(Grid(SHAPE, affine), volume, "a", notes, has_place=True)
    assert notes.resampled == ["a"]


@pytest.mark.slow
def test_lesions_that_the_pet_s_voxels_cannot_hold_are_said(
    tmp_path: Path, suv: np.ndarray
) -> None:
    fine = np.zeros((18, 128, 128))  # 1 mm: voxels of the PET are 4 × 4 × 3 mm
    fine[3:9, 48:56, 48:56] = fine[10, 62, 62] = 1
    for name in ("a", "b"):
        save(tmp_path / "t" / f"{name}.nii.gz", suv)
        save(tmp_path / "p" / f"{name}.nii.gz", suv / 2)
    save(tmp_path / "l" / "a.nii.gz", fine, Unit.LABEL, spacing_mm=1.0, z_mm=1.0)
    save(tmp_path / "l" / "b.nii.gz", suv == 6, Unit.LABEL, origin_mm=900.0)
    found = evaluate_files(tmp_path / "t", tmp_path / "p", lesions=tmp_path / "l", named=True)
    [said] = [warning.detail for warning in found.warnings if warning.code == "LESIONS-LOST"]
    assert said.endswith("not measured: 1 of 2 in a, 1 of 1 in b.")
    assert {row.patient for row in found.lesions} == {"a"}


@pytest.mark.slow
def test_lesions_on_a_finer_grid_that_all_arrive_are_no_matter(
    tmp_path: Path, suv: np.ndarray
) -> None:
    fine = np.zeros((18, 128, 128))
    fine[3:9, 48:56, 48:56] = 1
    truth, prediction = save(tmp_path / "t.nii.gz", suv), save(tmp_path / "p.nii.gz", suv / 2)
    lesions = save(tmp_path / "l.nii.gz", fine, Unit.LABEL, spacing_mm=1.0, z_mm=1.0)
    found = evaluate_files(truth, prediction, lesions=lesions)
    assert "LESIONS-LOST" not in codes(found)
    assert found.lesions


def test_a_ct_of_another_place_is_refused_as_one(tmp_path: Path, suv: np.ndarray) -> None:
    truth, prediction = save(tmp_path / "t.nii.gz", suv), save(tmp_path / "p.nii.gz", suv / 2)
    ct = save(tmp_path / "c.nii.gz", np.where(body(), 40, -1000), Unit.HU, origin_mm=900.0)
    with pytest.raises(DataError, match="the CT covers no voxel of the truth"):
        evaluate_files(truth, prediction, ct=ct)


def test_a_ct_whose_body_lies_elsewhere_is_not_blamed_on_the_pet(
    tmp_path: Path, suv: np.ndarray
) -> None:
    truth = save(tmp_path / "t.nii.gz", suv, z_mm=30.0)
    ct = save(
        tmp_path / "c.nii.gz", np.where(body(), 40, -990), Unit.HU, z_mm=30.0, origin_mm=100.0
    )
    with pytest.raises(DataError, match="case t: the CT shows no body where the real PET lies"):
        evaluate_files(truth, truth, ct=ct, named=True)


@pytest.mark.slow
def test_a_ct_of_some_slices_is_said_to_be_one(tmp_path: Path, suv: np.ndarray) -> None:
    truth, prediction = save(tmp_path / "t.nii.gz", suv), save(tmp_path / "p.nii.gz", suv / 2)
    hu = np.where(body(), 40, -1000)
    part = save(tmp_path / "c.nii.gz", hu[:4], Unit.HU)
    found = evaluate_files(truth, prediction, ct=part, named=True)
    [said] = [warning.detail for warning in found.warnings if warning.code == "CT-IN-PART"]
    assert said.endswith("everywhere: t: 4 of 6 slices.")
    whole = save(tmp_path / "whole.nii.gz", hu, Unit.HU)
    assert "CT-IN-PART" not in codes(evaluate_files(truth, prediction, ct=whole))


@pytest.mark.slow
def test_a_mask_that_belongs_to_no_case_is_named_where_one_lacks_it(
    tmp_path: Path, suv: np.ndarray
) -> None:
    for name in ("a", "b"):
        save(tmp_path / "t" / f"{name}.nii.gz", suv)
        save(tmp_path / "p" / f"{name}.nii.gz", suv / 2)
        save(tmp_path / "l" / f"{name}x.nii.gz", suv == 6, Unit.LABEL)
    save(tmp_path / "l" / "a.nii.gz", suv == 6, Unit.LABEL)
    masks, paths = tmp_path / "l", (tmp_path / "t", tmp_path / "p")
    found = evaluate_files(*paths, lesions=masks, named=True)
    [said] = [warning.detail for warning in found.warnings if warning.code == "UNMATCHED"]
    assert said.endswith("left out: mask ax, mask bx.")
    save(masks / "b.nii.gz", suv == 6, Unit.LABEL)  # now everyone has one: the rest is no matter
    assert "UNMATCHED" not in codes(evaluate_files(*paths, lesions=masks))


@pytest.mark.parametrize(
    ("spacing_mm", "scale", "shift"),
    [
        (6.0, 1.0, 1024.0),  # stored values without their rescale
        (6.0, 1 / 2000, 0.5),  # a network's input
        (6.0, 1 / 1000, 0.0),
        (4.0, 1.0, 1024.0),  # narrower than a chest
        (4.0, 1 / 1000, 0.0),
    ],
)
def test_a_ct_in_no_hu_is_refused_and_not_taken_for_a_body_everywhere(
    tmp_path: Path, suv: np.ndarray, spacing_mm: float, scale: float, shift: float
) -> None:
    place = {"spacing_mm": spacing_mm}
    truth = save(tmp_path / "t.nii.gz", suv, **place)
    prediction = save(tmp_path / "p.nii.gz", suv / 2, **place)
    hu = np.where(body(), 40, -1000)
    ct = save(tmp_path / "c.nii.gz", hu * scale + shift, Unit.HU, **place)
    with pytest.raises(DataError, match=r"case t: The CT's values run from .* in HU, or leave"):
        evaluate_files(truth, prediction, ct=ct, named=True)


@pytest.mark.slow
def test_a_ct_cut_out_of_a_body_needs_no_air(tmp_path: Path, suv: np.ndarray) -> None:
    truth, prediction = save(tmp_path / "t.nii.gz", suv), save(tmp_path / "p.nii.gz", suv / 2)
    ct = save(tmp_path / "c.nii.gz", np.where(suv > 2, 40, -90), Unit.HU)
    found = evaluate_files(truth, prediction, ct=ct)
    assert found.value("zero", "body", "suv_mae") == pytest.approx(suv.mean())


@pytest.mark.parametrize("lowest", [0.3, -1.0])
def test_probabilities_are_no_lesion_mask(tmp_path: Path, suv: np.ndarray, lowest: float) -> None:
    truth, prediction = save(tmp_path / "t.nii.gz", suv), save(tmp_path / "p.nii.gz", suv / 2)
    mask = save(tmp_path / "l.nii.gz", np.where(suv > 2, 1, lowest), Unit.LABEL)
    with pytest.raises(DataError, match=r"case t: NOT-A-MASK: .*Give a mask with 0 outside"):
        evaluate_files(truth, prediction, lesions=mask, named=True)


def test_a_mask_whose_origin_was_lost_is_refused_and_not_measured_elsewhere(
    tmp_path: Path, suv: np.ndarray
) -> None:
    truth = save(tmp_path / "t.nii.gz", suv, z_mm=10.0, origin_mm=-24.0)
    prediction = save(tmp_path / "p.nii.gz", suv / 2, z_mm=10.0, origin_mm=-24.0)
    mask = save(tmp_path / "l.nii.gz", suv > 2, Unit.LABEL, z_mm=10.0)
    with pytest.raises(DataError, match=r"case t: the lesion mask .* its origin was lost"):
        evaluate_files(truth, prediction, lesions=mask, named=True)


def test_a_truth_without_uptake_is_refused_with_a_ct_too(tmp_path: Path, suv: np.ndarray) -> None:
    truth, prediction = save(tmp_path / "t.nii.gz", suv * 0), save(tmp_path / "p.nii.gz", suv)
    ct = save(tmp_path / "c.nii.gz", np.where(body(), 40, -1000), Unit.HU)
    with pytest.raises(DataError, match="case t: the real PET shows no uptake inside"):
        evaluate_files(truth, prediction, ct=ct, named=True)
