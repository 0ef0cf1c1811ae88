"""Who trains and who tests: whole patients, the same everywhere, or as a file says."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petcast.dicom.scan import scan
from petcast.errors import RecipeError, UsageError
from petcast.pairs.split import PARTS, read_split_file, split_by_file, split_by_seed
from petcast.prepare import prepare
from petcast.prepare.cohort import DicomCase
from petcast.recipe import PreparationRecipe, Recipe

patients = st.sets(st.text("abcdef0123456789", min_size=1, max_size=12), min_size=1, max_size=60)
shares = st.floats(0, 0.9)


@pytest.mark.slow
@given(patients, shares, shares, st.integers(0, 10), st.randoms())
def test_each_patient_stands_in_one_part_whatever_the_order(
    found: set, test: float, validation: float, seed: int, dice
) -> None:
    recipe = PreparationRecipe(test=test, validation=validation, seed=seed)
    shuffled = sorted(found)
    dice.shuffle(shuffled)
    split = split_by_seed(shuffled, recipe)
    parts = split.parts()
    assert list(parts) == list(PARTS)
    assert sorted(patient for members in parts.values() for patient in members) == sorted(found)
    assert split.part_of == split_by_seed([*shuffled, *shuffled], recipe).part_of
    assert parts["train"]


@pytest.mark.slow
@given(patients, st.integers(0, 5))
def test_whoever_can_test_and_validate_does(found: set, seed: int) -> None:
    parts = split_by_seed(found, PreparationRecipe(seed=seed)).parts()
    assert bool(parts["test"]) == (len(found) >= 2)
    assert bool(parts["validation"]) == (len(found) >= 4)


@pytest.mark.parametrize(
    ("number", "expected"),
    [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (2, 0, 1)), (4, (2, 1, 1)), (10, (7, 1, 2))],
)
def test_so_many_go_where(number: int, expected: tuple) -> None:
    parts = split_by_seed([str(n) for n in range(number)], PreparationRecipe()).parts()
    assert tuple(map(len, parts.values())) == expected


def test_a_large_share_for_testing_leaves_one_to_validate_and_one_to_train() -> None:
    parts = split_by_seed("abcde", PreparationRecipe(test=0.9)).parts()
    assert tuple(map(len, parts.values())) == (1, 1, 3)


def test_none_test_or_validate_where_none_are_wanted() -> None:
    parts = split_by_seed("abcdefgh", PreparationRecipe(test=0, validation=0)).parts()
    assert parts == {"train": list("abcdefgh"), "validation": [], "test": []}


def test_the_seed_decides() -> None:
    def tested(seed: int) -> list[str]:
        return split_by_seed("abcdefghijklmnop", PreparationRecipe(seed=seed)).parts()["test"]

    assert len({tuple(tested(seed)) for seed in range(20)}) > 10


@pytest.mark.parametrize(
    ("number", "word"),
    [(1, "Nobody tests"), (3, "so the last one counts"), (6, "One test patient")],
)
def test_the_note_says_what_a_small_cohort_means(number: int, word: str) -> None:
    assert word in split_by_seed([str(n) for n in range(number)], PreparationRecipe()).note


# Folds


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


# Diagnoses


COHORT = {f"{letter}{number}": letter for letter, count in (("A", 75), ("B", 4), ("G", 24))
          for number in range(count)}  # fmt: skip
"""As many patients of each diagnosis as the public collection has with CT and PET."""


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


# As a file says


STUDIES = {"study-1": "hash-a", "study-2": "hash-a", "study-3": "hash-b"}


def divide(tmp_path: Path, text: str, patients=("hash-a", "hash-b"), refused=("hash-c",)):
    path = tmp_path / "split.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return split_by_file(
        read_split_file(path),
        patients,
        pseudonym=lambda number: f"hash-{number}",
        studies=STUDIES,
        refused=refused,
        numbers={"hash-7": ["hash-b"], "hash-8": ["hash-a", "hash-b"]},
    )


def test_a_number_is_enough_where_one_hospital_gave_it(tmp_path: Path) -> None:
    assert divide(tmp_path, "patient,part\na,test\n7,train\n").part_of["hash-b"] == "train"
    with pytest.raises(UsageError, match="2 hospitals gave that number"):
        divide(tmp_path, "patient,part\na,test\n8,train\n")


@pytest.mark.parametrize("written", ["hash-a", "a", "study-2", " a ", '"a"'])
def test_a_patient_is_known_by_id_by_study_and_by_the_hospitals_number(tmp_path, written) -> None:
    split = divide(tmp_path, f"patient,part\n{written},test\nb,train\n")
    assert split.part_of == {"hash-a": "test", "hash-b": "train"}
    assert split.to_json()["kind"] == "file"
    assert "seed" not in split.to_json()


def test_what_spreadsheets_write_is_read(tmp_path: Path) -> None:
    text = "\ufeffPatient,Part\r\na,Train\r\n,\r\nb,TEST\r\n"
    assert divide(tmp_path, text).part_of == {"hash-a": "train", "hash-b": "test"}


def test_a_patient_whose_studies_were_refused_may_be_named(tmp_path: Path) -> None:
    split = divide(tmp_path, "patient,part\na,train\nb,test\nc,test\n")
    assert set(split.part_of) == {"hash-a", "hash-b"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a,train\nb,test\n", "first line"),
        ("", "first line"),
        ("patient;part\na;train\nb;test\n", "semicolons part its columns: save it with commas"),
        ("patient\tpart\na\ttrain\n", "tabs part its columns"),
        ("patient,part\n", "names no patient"),
        ("patient,part\na,train\n", "no part to 1 of 2"),
        ("patient,part\na,train\nb,test\nz,test\n", "line 4: no patient"),
        ("patient,part\na,train\na,test\nb,test\n", "lines 2 and 3 name the same"),
        ("patient,part\na,train\nstudy-1,test\nb,test\n", "lines 2 and 3: one patient in two"),
        ("patient,part\na,tset\nb,test\n", "line 2: the part must be one of"),
        ("patient,part\na,train,7\nb,test\n", "line 2: expected a patient and a part"),
        ("patient,part\n ,train\n", "line 2"),
        ('patient,part\na,train\n"b,test\n' + "c,test\n" * 20_000, "line 3: no CSV .* left open"),
        (b"patient,part\n\xff,train\n".decode("latin-1").encode("utf-16"), "UTF-8"),
    ],
)
def test_a_wrong_file_is_wrong_use_and_says_where(tmp_path: Path, text, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        divide(tmp_path, text)


def test_an_absent_file_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.csv"):
        read_split_file(tmp_path / "absent.csv")


def test_no_message_repeats_the_hospitals_number(tmp_path: Path) -> None:
    for text in ("patient,part\nDoe4711,train\n", "patient,part\nDoe4711,tset\n"):
        with pytest.raises(UsageError) as error:
            divide(tmp_path, text)
        assert "Doe4711" not in str(error.value)
