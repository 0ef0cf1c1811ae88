"""What all tests share: the real data, where they are at hand."""

from pathlib import Path

import pytest

from petcast.grid import part_of
from petcast.pairs import Pairs, study_folder, write_index, write_study
from petcast.phantom import write_cohort
from petcast.prepare import prepare
from petcast.recipe import PreparationRecipe

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real PET/CT; the test is skipped where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip("the real PET/CT are not on this machine")
    return REAL_DATA


SALT = "tests"


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four coarse phantom patients as DICOM."""
    out = tmp_path_factory.mktemp("cohort")
    write_cohort(out, 4, ct_size=96, pet_size=64, slice_step_mm=12, workers=1)
    return out / "dicom"


SLICES = 3


def _prepared(dicom: list[Path], out: Path) -> Pairs:
    return prepare(dicom, out, PreparationRecipe(margin_mm=0), salt=SALT, workers=1)


def _few_slices(pairs: Pairs, out: Path, part: str | None = None) -> Path:
    """The same pairs with the middle slices alone, for quick training; all in `part`, if given."""
    rows = []
    for study, row in zip(pairs.studies(), pairs.index["studies"], strict=True):
        kept = slice(study.slices // 2, study.slices // 2 + SLICES)
        arrays = {name: getattr(study, name)[kept] for name in ("ct", "pet", "regions")}
        grid = part_of(study.grid, kept)
        card = write_study(study_folder(out, study.id), arrays, grid, dict(row))
        rows.append(row | {"slices": SLICES, "hash": card["hash"], "part": part or row["part"]})
    write_index(out, pairs.index | {"studies": rows})
    return out


@pytest.fixture(scope="session")
def tiny_pairs(tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of four patients: two train, one validates, one tests."""
    folder = tmp_path_factory.mktemp("four")
    return _few_slices(_prepared([tiny_cohort], folder / "whole"), folder / "few")


@pytest.fixture(scope="session")
def two_patient_pairs(tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of two patients: one trains, one tests, none validates."""
    folder = tmp_path_factory.mktemp("two")
    patients = [tiny_cohort / "phantom-000", tiny_cohort / "phantom-001"]
    return _few_slices(_prepared(patients, folder / "whole"), folder / "few")


@pytest.fixture(scope="session")
def test_only_pairs(tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of one patient, kept for testing: nothing to train on."""
    folder = tmp_path_factory.mktemp("one")
    whole = _prepared([tiny_cohort / "phantom-000"], folder / "whole")
    return _few_slices(whole, folder / "few", part="test")
