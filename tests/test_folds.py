"""Folds and diagnoses: everyone tests once, each part gets its share of each diagnosis."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petcast.cohort import DicomCase
from petcast.dicom.scan import scan
from petcast.errors import RecipeError, UsageError
from petcast.prepare import prepare
from petcast.recipe import PreparationRecipe, Recipe
from petcast.split import split_by_seed

COHORT = {f"{letter}{number}": letter for letter, count in (("A", 75), ("B", 4), ("G", 24))
          for number in range(count)}  # fmt: skip
"""As many patients of each diagnosis as the public collection has with CT and PET."""


@pytest.mark.slow
@given(st.integers(2, 8), st.integers(8, 40), st.integers(0, 5))
def test_everyone_tests_in_exactly_one_fold(folds: int, number: int, seed: int) -> None:
    patients = [str(n) for n in range(number)]
    tested: Counter[str] = Counter()
    sizes = set()
    for fold in range(folds):
        recipe = PreparationRecipe(folds=folds, fold=fold, seed=seed)
        parts = split_by_seed(patients, recipe).parts()
        tested.update(parts["test"])
        sizes.add(len(parts["test"]))
        assert parts["train"]
        assert sum(map(len, parts.values())) == number
    assert tested == dict.fromkeys(patients, 1)
    assert max(sizes) - min(sizes) <= 1


def test_a_large_share_for_validation_leaves_one_to_train() -> None:
    parts = split_by_seed("abcd", PreparationRecipe(folds=2, validation=0.9)).parts()
    assert tuple(map(len, parts.values())) == (1, 1, 2)


def test_the_index_says_which_fold_it_is() -> None:
    split = split_by_seed("abcdef", PreparationRecipe(folds=3, fold=2))
    assert (split.to_json()["folds"], split.to_json()["fold"]) == (3, 2)
    assert "Fold 2 of 3" in split.note


def test_more_folds_than_patients_are_wrong_use_before_the_long_work(
    tiny_cohort: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="5 folds"):
        prepare([tiny_cohort], tmp_path, PreparationRecipe(folds=5), salt="tests", workers=1)
    assert not (tmp_path / "studies").exists()


@pytest.mark.parametrize("knobs", [{"folds": 1}, {"fold": 1}, {"folds": 3, "fold": 3}])
def test_impossible_folds_are_refused(knobs: dict) -> None:
    with pytest.raises(RecipeError, match="fold"):
        Recipe.from_mapping({"preparation": knobs}, "here")


@pytest.mark.parametrize("seed", range(20))
def test_each_part_gets_its_share_of_each_diagnosis(seed: int) -> None:
    recipe = PreparationRecipe(seed=seed, test=0.25, validation=0.25)
    split = split_by_seed(COHORT, recipe, COHORT)
    for counts in split.to_json()["diagnoses"].values():
        total = sum(counts.values())
        assert abs(counts["test"] - total / 4) <= 1.5
        assert abs(counts["validation"] - total / 4) <= 1.5


def test_without_stratification_chance_decides() -> None:
    def of_b(seed: int, stratify: bool) -> int:
        recipe = PreparationRecipe(seed=seed, test=0.25, stratify=stratify)
        return sum(COHORT[p] == "B" for p in split_by_seed(COHORT, recipe, COHORT).parts()["test"])

    assert {of_b(seed, stratify=True) for seed in range(40)} == {1}
    assert len({of_b(seed, stratify=False) for seed in range(40)}) > 2


def test_unknown_diagnoses_change_nothing() -> None:
    patients, recipe = list("abcdefghij"), PreparationRecipe()
    plain = split_by_seed(patients, recipe)
    assert plain == split_by_seed(patients, recipe, {})
    assert "diagnoses" not in plain.to_json()
    some = split_by_seed(patients, recipe, {"a": "A"}).to_json()["diagnoses"]
    assert sum(some["?"].values()) == 9


@pytest.mark.slow
@pytest.mark.parametrize(("number", "letter"), [("Lung_Dx-G0012", "G"), ("Jane Doe 4711", "")])
def test_only_the_letter_of_a_patients_number_is_kept(
    tiny_cohort: Path, tmp_path: Path, number: str, letter: str
) -> None:
    import pydicom

    for path in (tiny_cohort / "phantom-000").rglob("*.dcm"):
        slice_ = pydicom.dcmread(path)
        slice_.PatientID = number
        target = tmp_path / "in" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        slice_.save_as(target)
    [study] = scan([tmp_path / "in"], salt="tests").studies
    assert DicomCase(study).diagnosis == letter
    recipe = PreparationRecipe(size=64, spacing_mm=8.0, margin_mm=0)
    pairs = prepare([tmp_path / "in"], tmp_path / "out", recipe, salt="tests", workers=1)
    [row] = pairs.index["studies"]
    assert row.get("diagnosis", "") == letter
    texts = "".join(path.read_text() for path in (tmp_path / "out").rglob("*.json"))
    assert number not in texts
