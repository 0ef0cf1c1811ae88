"""What all tests share: the real data, where they are at hand, and small pairs of phantoms."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from petcast.grid import part_of
from petcast.pairs import Pairs, study_folder, write_index, write_study
from petcast.phantom import write_cohort
from petcast.prepare import prepare
from petcast.recipe import PreparationRecipe
from petcast.split import PARTS

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real PET/CT; the test is skipped where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip("the real PET/CT are not on this machine")
    return REAL_DATA


SALT = "tests"
SLICES = 3


def _made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first of pytest's worker processes makes and all of them read."""
    import fcntl

    shared = factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    folder, whole = shared / name, shared / f"{name}.whole"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            make(folder)
            whole.touch()
    return folder


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four coarse phantom patients as DICOM."""

    def make(out: Path) -> None:
        write_cohort(out, 4, ct_size=96, pet_size=64, slice_step_mm=12, workers=1)

    return _made_once(tmp_path_factory, "cohort", make) / "dicom"


@pytest.fixture(scope="session")
def whole_pairs(tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All slices of the four patients, as `prepare` gives them; not to be changed."""

    def make(out: Path) -> None:
        prepare([tiny_cohort], out, PreparationRecipe(margin_mm=0), salt=SALT, workers=1)

    return _made_once(tmp_path_factory, "pairs", make)


def _few_slices(whole: Path, out: Path, parts: Sequence[str]) -> Path:
    """The middle slices of as many patients as there are parts, for quick training."""
    pairs, rows = Pairs.open(whole), []
    for study, row, part in zip(pairs.studies(), pairs.index["studies"], parts, strict=False):
        kept = slice(study.slices // 2, study.slices // 2 + SLICES)
        arrays = {name: getattr(study, name)[kept] for name in ("ct", "pet", "regions")}
        grid = part_of(study.grid, kept)
        card = write_study(study_folder(out, study.id), arrays, grid, dict(row))
        rows.append(row | {"slices": SLICES, "hash": card["hash"], "part": part})
    named = {part: [row["patient"] for row in rows if row["part"] == part] for part in PARTS}
    write_index(out, pairs.index | {"studies": rows, "parts": named})
    return out


@pytest.fixture(scope="session")
def tiny_pairs(whole_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of four patients: two train, one validates, one tests."""
    parts = ("train", "validation", "train", "test")
    return _few_slices(whole_pairs, tmp_path_factory.mktemp("four"), parts)


@pytest.fixture(scope="session")
def two_patient_pairs(whole_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of two patients: one trains, one tests, none validates."""
    return _few_slices(whole_pairs, tmp_path_factory.mktemp("two"), ("train", "test"))


@pytest.fixture(scope="session")
def test_only_pairs(whole_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of one patient, kept for testing: nothing to train on."""
    return _few_slices(whole_pairs, tmp_path_factory.mktemp("one"), ("test",))
