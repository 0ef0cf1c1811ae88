"""The cohort on disk: same seed, same bytes; whole patients only."""

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from petcast.errors import UsageError
from petcast.phantom import PhantomTruth, read_truth, write_cohort
from petcast.phantom import cohort as cohort_module
from petcast.volume import Unit, Volume

TINY = {"ct_size": 48, "pet_size": 48, "slice_step_mm": 20.0}


def _hashes(out: Path, patient: str) -> dict[str, str]:
    return {
        str(path.relative_to(out)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and patient in path.parts
    }


@pytest.mark.slow
def test_same_seed_gives_the_same_bytes_whatever_the_workers_and_the_cohorts_size(
    cohort: list[PhantomTruth], tmp_path: Path
) -> None:
    write_cohort(tmp_path, 2, workers=2, **TINY)
    first = cohort[0].dicom.parents[1]
    for name in ("phantom-000", "phantom-001"):
        mine, theirs = _hashes(first, name), _hashes(tmp_path, name)
        assert len(mine) > 25
        assert mine == theirs


@pytest.mark.slow
def test_another_seed_gives_other_patients(cohort: list[PhantomTruth], tmp_path: Path) -> None:
    [other] = write_cohort(tmp_path, 1, 1, workers=1, **TINY)
    assert other.lesions != cohort[0].lesions
    assert other.weight_kg != cohort[0].weight_kg
    mine, theirs = (_hashes(t.dicom.parents[1], "phantom-000") for t in (other, cohort[0]))
    assert not set(mine.values()) & set(theirs.values())


def _copy(cohort: list[PhantomTruth], out: Path, patients: int) -> None:
    """The first patients of the cohort, to be damaged."""
    for truth in cohort[:patients]:
        shutil.copytree(truth.dicom, out / "dicom" / truth.name)
        shutil.copytree(truth.truth, out / "truth" / truth.name)


@pytest.mark.slow
def test_whole_patients_stay_and_missing_ones_are_written_again(
    cohort: list[PhantomTruth], tmp_path: Path
) -> None:
    _copy(cohort, tmp_path, 2)
    before = _hashes(tmp_path, "phantom-001")
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "dicom" / "phantom-000").rglob("*.dcm")}
    for path in (tmp_path / "dicom" / "phantom-001").rglob("*.dcm"):
        path.unlink()
    for folder in ("CT", "PT", "."):
        (tmp_path / "dicom" / "phantom-001" / folder).rmdir()
    write_cohort(tmp_path, 2, workers=1, **TINY)
    assert _hashes(tmp_path, "phantom-001") == before
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())


@pytest.mark.slow
def test_other_knobs_replace_a_patient(cohort: list[PhantomTruth], tmp_path: Path) -> None:
    _copy(cohort, tmp_path, 1)
    [again] = write_cohort(tmp_path, 1, workers=1, **{**TINY, "ct_size": 32})
    assert pydicom.dcmread(next((again.dicom / "CT").iterdir())).Rows == 32
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "dicom", "truth"]


@pytest.mark.slow
def test_failure_in_the_middle_leaves_no_patient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(cohort_module, "write_pet", full)
        with pytest.raises(OSError, match="No space"):
            write_cohort(tmp_path, 1, workers=1, **TINY)
    assert [p for p in tmp_path.rglob("*") if p.suffix == ".dcm"] == []
    [truth] = write_cohort(tmp_path, 1, workers=1, **TINY)
    assert len(list((truth.dicom / "PT").iterdir())) > 10


@pytest.mark.slow
def test_a_full_disk_is_said_as_such_and_leaves_no_patient(tmp_path: Path, files_up_to) -> None:
    """pydicom takes the cause from an error of the disk, and the command ended in a traceback."""
    with files_up_to(2000), pytest.raises(OSError, match="too large") as full:
        write_cohort(tmp_path, 1, workers=1, **TINY)
    assert full.value.errno == errno.EFBIG
    assert list((tmp_path / "dicom").glob("*")) == []


@pytest.mark.slow
def test_dicom_folder_holds_dicom_only(cohort: list[PhantomTruth]) -> None:
    files = [p for p in cohort[0].dicom.parent.rglob("*") if p.is_file()]
    assert {p.suffix for p in files} == {".dcm"}
    assert {p.parent.name for p in files} == {"CT", "PT"}
    assert not any((cohort[0].dicom.parents[1] / "unfinished").glob("*"))


@pytest.mark.slow
def test_truth_stands_beside_and_is_read_back(cohort: list[PhantomTruth]) -> None:
    for patient, truth in enumerate(cohort):
        assert read_truth(truth.dicom.parents[1], patient) == truth
        labels = Volume.load(truth.truth / "lesions.nii.gz", Unit.LABEL)
        suv = Volume.load(truth.truth / "suv.nii.gz", Unit.SUV)
        assert labels.grid.matches(suv.grid)
        assert labels.voxels.max() <= len(truth.lesions)
        assert np.count_nonzero(suv.voxels) > 1000


@pytest.mark.parametrize(
    ("patients", "knobs", "word"),
    [
        (0, {}, "at least 1"),
        (1, {"seed": -1}, "a seed from 0 on"),
        (1, {"ct_size": 4}, "16 to 1024"),
        (1, {"pet_size": 5000}, "16 to 1024"),
        (1, {"slice_step_mm": 0.1}, "1 to 20 mm"),
    ],
)
def test_wrong_numbers_are_refused_before_anything_is_written(
    tmp_path: Path, patients: int, knobs: dict[str, float], word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        write_cohort(tmp_path / "out", patients, **knobs)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_patients_of_a_larger_cohort_are_not_mixed_in(cohort: list[PhantomTruth]) -> None:
    with pytest.raises(UsageError, match="phantom-002"):
        write_cohort(cohort[0].dicom.parents[1], 2, **TINY)


def test_what_only_has_a_phantoms_name_is_not_discarded(tmp_path: Path) -> None:
    theirs = tmp_path / "dicom" / "phantom-000" / "jaszczak.dcm"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    with pytest.raises(UsageError, match="without its truth"):
        write_cohort(tmp_path, 1, workers=1, **TINY)
    assert theirs.exists()


_SCRIPT = """
import sys
from pathlib import Path
from petcast.phantom import write_cohort
write_cohort(Path(sys.argv[1]), 4, workers=1, ct_size=48, pet_size=48, slice_step_mm=20.0)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kill -9 is POSIX")
def test_kill_in_the_middle_leaves_whole_patients_only(
    tmp_path: Path, begin: Callable[..., Any]
) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    begun = time.monotonic()
    assert begin(undisturbed, code=_SCRIPT).wait() == 0
    whole_s = time.monotonic() - begun
    for share in np.random.default_rng(0).uniform(0.05, 0.6, 5):
        child = begin(killed, code=_SCRIPT)
        child.wait(share * whole_s)
        child.kill()
        for folder in (killed / "dicom").glob("*"):
            assert _hashes(killed, folder.name) == _hashes(undisturbed, folder.name)
    write_cohort(killed, 4, workers=1, **TINY)
    for patient in range(4):
        name = f"phantom-{patient:03d}"
        assert _hashes(killed, name) == _hashes(undisturbed, name)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kill -9 is POSIX")
def test_what_a_killed_worker_had_begun_another_writes(tmp_path: Path) -> None:
    undisturbed, hurt = tmp_path / "undisturbed", tmp_path / "hurt"
    write_cohort(undisturbed, 4, workers=1, **TINY)
    killed: list[int] = []

    def kill_a_worker() -> None:
        while not list((hurt / "unfinished").glob("*")):
            time.sleep(0.005)
        worker = active_children()[0]
        worker.kill()
        killed.append(worker.pid or 0)

    killer = threading.Thread(target=kill_a_worker, daemon=True)
    killer.start()
    written = write_cohort(hurt, 4, workers=2, **TINY)
    killer.join()
    assert len(killed) == 1
    for patient, truth in enumerate(written):
        assert truth.name == f"phantom-{patient:03d}"
        assert _hashes(hurt, truth.name) == _hashes(undisturbed, truth.name)


@pytest.mark.slow
def test_scan_and_read_take_every_phantom_and_give_its_suv_back(tmp_path: Path) -> None:
    from petcast.dicom.read import read_ct, read_pet
    from petcast.dicom.scan import scan

    truths = write_cohort(tmp_path, 6, workers=1, ct_size=96, slice_step_mm=12.0)
    studies = scan([tmp_path / "dicom"], salt="phantom", workers=1).studies
    assert len(studies) == 6
    assert [study.refusal for study in studies] == [None] * 6
    for study in studies:
        [truth] = [t for t in truths if t.dicom in study.pet.files[0].parents]
        planted = Volume.load(truth.truth / "suv.nii.gz", Unit.SUV)
        suv = read_pet(study.pet).suv
        assert suv.grid.matches(planted.grid, 0.02)
        assert suv.voxels.sum() == pytest.approx(planted.voxels.sum(), rel=0.02)
        ct = read_ct(study.ct)
        assert ct.unit == Unit.HU
        assert len(ct.voxels) == len(study.ct.files)
