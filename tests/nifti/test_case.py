"""Cases → volumes → pairs: units made sure, lesions carried along, nothing named."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from petcast.nifti.case import NiftiCase
from petcast.nifti.layout import find_cases
from petcast.pairs import Pairs
from petcast.prepare import prepare
from petcast.recipe import PreparationRecipe
from petcast.refusal import Reason, RefusedError
from petcast.volume import Unit, Volume

SALT = "tests"
COARSE = PreparationRecipe(size=64, spacing_mm=8.0, margin_mm=0)


def read(folder: Path):
    [found] = find_cases([folder], SALT).cases
    return NiftiCase(found).read()


@pytest.mark.slow
def test_a_sound_case_is_read_in_hu_and_suv(side_by_side, drawn) -> None:
    reading = read(side_by_side())
    assert reading.ct.unit is Unit.HU
    assert reading.pet.unit is Unit.SUV
    np.testing.assert_array_equal(reading.ct.voxels, drawn.ct.voxels)
    np.testing.assert_allclose(reading.pet.voxels, drawn.pet.voxels)
    assert reading.lesions.voxels.sum() == drawn.lesions.voxels.sum()
    assert "neither tracer" in reading.notes[0]


Wrong = Callable[[Volume], Volume]


def scaled(factor: float) -> Wrong:
    return lambda volume: volume.like(volume.voxels.astype(np.float32) * np.float32(factor))


def cropped(volume: Volume) -> Volume:
    return replace(volume, voxels=volume.voxels[:, 20:40, 20:40])


def windowed(volume: Volume) -> Volume:
    return volume.like(np.clip((volume.voxels + 1000) / 8, 0, 255).astype(np.uint8))


def shifted(volume: Volume) -> Volume:
    return volume.like(volume.voxels + 1024)


def whole_numbers(volume: Volume) -> Volume:
    return volume.like(np.rint(volume.voxels * 2))


def undershot(volume: Volume) -> Volume:
    return volume.like(volume.voxels - 6)


def elsewhere(volume: Volume) -> Volume:
    affine = volume.affine.copy()
    affine[2, 3] += 2000
    return replace(volume, affine=affine)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "wrong", "reason"),
    [
        ("ct", cropped, Reason.FIELD_OF_VIEW),
        ("ct", windowed, Reason.NOT_HU),
        ("ct", shifted, Reason.NOT_HU),
        ("ct", scaled(0.001), Reason.NOT_HU),
        ("pet", scaled(5000), Reason.NOT_SUV),
        ("pet", scaled(5), Reason.NOT_SUV),
        ("pet", scaled(1 / 30), Reason.NOT_SUV),
        ("pet", whole_numbers, Reason.NOT_SUV),
        ("pet", undershot, Reason.NOT_SUV),
        ("pet", elsewhere, Reason.COVERAGE),
        ("seg", scaled(0.5), Reason.NOT_A_MASK),
        ("seg", scaled(-1), Reason.NOT_A_MASK),
    ],
)
def test_each_wrong_unit_gets_its_own_code(side_by_side, drawn, word, wrong, reason) -> None:
    sound = {"ct": drawn.ct, "pet": drawn.pet, "seg": drawn.lesions}[word]
    folder = side_by_side(**{word: wrong(sound)})
    with pytest.raises(RefusedError) as caught:
        read(folder)
    assert caught.value.refusal.reason is reason
    assert "p01" not in str(caught.value)


def test_a_file_that_names_another_unit_is_believed(side_by_side, drawn) -> None:
    folder = side_by_side()
    drawn.pet.like(drawn.pet.voxels, Unit.BQ_PER_ML).save(folder / "p01_pet.nii.gz")
    with pytest.raises(RefusedError) as caught:
        read(folder)
    assert caught.value.refusal.reason is Reason.NOT_SUV


def test_small_undershoots_become_zero_and_are_noted(side_by_side, drawn) -> None:
    reading = read(side_by_side(pet=drawn.pet.like(drawn.pet.voxels - np.float32(0.05))))
    assert reading.pet.voxels.min() == 0
    assert any("below 0" in note for note in reading.notes)


def test_padding_becomes_air(side_by_side, drawn) -> None:
    padded = drawn.ct.voxels.copy()
    padded[:, :2] = -3024
    assert read(side_by_side(ct=drawn.ct.like(padded))).ct.voxels.min() == -1024


@pytest.fixture(scope="module")
def prepared(drawn, write_unmarked, tmp_path_factory) -> Pairs:
    """Two patients as autoPET lays them out, one of them a broken one, and a stray."""
    root = tmp_path_factory.mktemp("autopet")
    for patient in ("PETCT_aa", "PETCT_bb"):
        folder = root / "cohort" / patient / "01-01-2000-Doe"
        write_unmarked(drawn.ct, folder / "CT.nii.gz")
        write_unmarked(drawn.pet, folder / "SUV.nii.gz")
        write_unmarked(drawn.lesions, folder / "SEG.nii.gz")
    broken = root / "cohort" / "PETCT_bb" / "01-01-2000-Doe" / "SEG.nii.gz"
    broken.write_bytes(broken.read_bytes()[:-20])
    write_unmarked(drawn.ct, root / "cohort" / "stray.nii.gz")
    return prepare([root / "cohort"], root / "pairs", COARSE, salt=SALT, workers=1)


@pytest.mark.slow
def test_lesions_travel_into_the_pairs_at_their_place(prepared: Pairs, drawn) -> None:
    [study] = prepared.studies()
    assert study.lesions is not None
    assert np.asarray(study.pet)[np.asarray(study.lesions) > 0].min() > 4
    voxel_ml = float(np.prod(study.grid.spacing_mm)) / 1000
    drawn_ml = float(drawn.lesions.voxels.sum() * np.prod(drawn.lesions.spacing_mm)) / 1000
    assert study.lesions.sum() * voxel_ml == pytest.approx(drawn_ml, rel=0.2)


def test_pairs_say_what_was_refused_and_name_nobody(prepared: Pairs) -> None:
    rows = {(row["level"], row["reason"], row["files"]) for row in prepared.index["refused"]}
    assert rows == {("study", "NIFTI-DAMAGED", 0), ("file", "NIFTI-NAME", 1)}
    assert prepared.index["studies"][0]["factor_rule"] == "nifti-suv"
    # a remedy speaks of the names that files should have
    texts = [
        re.sub(r'"remedy": ".*"', "", path.read_text()) for path in prepared.path.rglob("*.json")
    ]
    for name in ("PETCT", "Doe", "SUV.nii", "stray.nii"):
        assert not any(name in text for text in texts)


@pytest.mark.slow
def test_a_split_file_may_use_the_cohorts_own_names(drawn, side_by_side, tmp_path: Path) -> None:
    side_by_side("p01")
    folder = side_by_side("p02", pet=drawn.pet.like(drawn.pet.voxels * np.float32(1.1)))
    (tmp_path / "parts.csv").write_text("patient,part\np01,test\np02,train\n")
    pairs = prepare(
        [folder], tmp_path / "pairs", COARSE, split_file=tmp_path / "parts.csv", salt=SALT,
        workers=1,
    )  # fmt: skip
    assert sorted(study.part for study in pairs.studies()) == ["test", "train"]


@pytest.mark.real
@pytest.mark.slow
def test_the_real_cohort_keeps_both_patients_and_refuses_both_crops(
    real_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "pairs"
    pairs = prepare([real_data / "volumes"], out, PreparationRecipe(), salt=SALT, workers=1)
    assert sorted(study.slices for study in pairs.studies()) == [70, 126]
    assert {row["reason"] for row in pairs.index["refused"]} == {"FIELD-OF-VIEW", "NO-LUNGS"}
    assert pairs.index["audit"] == {"leaks": [], "clean": True}


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["origin", "all"])
def test_a_mask_that_lies_nowhere_on_the_pet_is_no_word_for_no_lesions(
    lost: str, side_by_side, drawn
) -> None:
    affine = drawn.lesions.affine.copy()
    affine[:3, 3] = 0 if lost == "origin" else affine[:3, 3] + 3000
    with pytest.raises(RefusedError, match="origin was lost") as error:
        read(side_by_side(seg=replace(drawn.lesions, affine=affine)))
    assert error.value.refusal.reason is Reason.NIFTI_PLACE


def test_an_empty_mask_may_lie_anywhere(side_by_side, drawn) -> None:
    affine = drawn.lesions.affine.copy()
    affine[:3, 3] += 5000
    empty = drawn.lesions.like(np.zeros_like(drawn.lesions.voxels))
    assert not read(side_by_side(seg=replace(empty, affine=affine))).lesions.voxels.any()
