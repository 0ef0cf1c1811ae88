"""A crowd is made of few phantoms, and scan and prepare see as many patients as there are."""

from pathlib import Path

import pydicom
import pytest

from petcast.dicom.scan import scan
from petcast.errors import UsageError
from petcast.pairs import Pairs
from petcast.phantom.crowd import write_crowd
from petcast.prepare import prepare
from petcast.recipe import PreparationRecipe

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("crowd") / "tree"
    assert write_crowd(out, 4, models=1, ct_size=32, slice_step_mm=12, workers=1) == 4 * 53
    return out


def test_every_patient_is_one_of_its_own(crowd: Path) -> None:
    found = scan([crowd], salt="tests", workers=1)
    assert [study.refusal for study in found.studies] == [None] * 4
    assert len({study.patient_id for study in found.studies}) == 4
    assert len({series.frame_id for series in found.series}) == 4
    assert found.files == ()


def test_identifiers_are_valid_and_used_once(crowd: Path) -> None:
    headers = [pydicom.dcmread(path) for path in sorted(crowd.rglob("*.dcm"))]
    uids = [header.SOPInstanceUID for header in headers]
    assert len(set(uids)) == len(uids)
    assert all(uid.is_valid and int(uid.split(".")[2]) < 1 << 128 for uid in uids)
    assert [header.file_meta.MediaStorageSOPInstanceUID for header in headers] == uids
    assert {header.PatientID for header in headers} == {f"CROWD-{n:05d}" for n in range(4)}
    assert not any(b"PHANTOM-" in path.read_bytes() for path in crowd.rglob("*.dcm"))


def test_no_two_patients_share_a_slice(crowd: Path, tmp_path: Path) -> None:
    recipe = PreparationRecipe(size=32, spacing_mm=16.0, slices="all")
    pairs: Pairs = prepare([crowd], tmp_path / "pairs", recipe, salt="tests", workers=1)
    assert len(pairs.studies()) == 4
    assert pairs.index["audit"] == {"leaks": [], "clean": True}


@pytest.mark.parametrize("patients", [0, 100_001])
def test_too_few_or_many_are_refused(tmp_path: Path, patients: int) -> None:
    with pytest.raises(UsageError, match="give 1 to"):
        write_crowd(tmp_path / "new", patients)


def test_what_is_there_is_never_mixed_with_others(crowd: Path) -> None:
    with pytest.raises(UsageError, match="not empty"):
        write_crowd(crowd, 1)
