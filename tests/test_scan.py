"""`petcast scan`: DICOM and NIfTI in one document, nameless unless asked."""

import gzip
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from petcast.cli.tables import print_pairs, print_scan
from petcast.refusal import Reason
from petcast.scan import survey


@pytest.fixture
def folder(chest, tiny_cohort: Path, tmp_path: Path) -> Path:
    """A DICOM study in a zip, a NIfTI case, half a case, a crop, a stray and a text."""
    place = tmp_path / "Jane Doe"
    place.mkdir()
    first, *_ = sorted(tiny_cohort.iterdir())
    with zipfile.ZipFile(place / "export.zip", "w") as archive:
        for path in first.rglob("*.dcm"):
            archive.write(path, path.name)
    ct = chest(spacing_mm=(10.0, 10.0, 12.0))
    for name in ("a_ct", "a_pet", "half_ct", "stray"):
        sitk.WriteImage(ct.to_image(), str(place / f"{name}.nii.gz"))
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((20, 20, 20))), str(place / "crop_ct.nii.gz"))
    shutil.copy(place / "crop_ct.nii.gz", place / "crop_pet.nii.gz")
    (place / "readme.txt").write_text("nothing")
    return place


def test_dicom_and_nifti_stand_in_one_document(folder: Path) -> None:
    found = survey([folder], salt="tests")
    fates = [row["reason"] for row in found["studies"]]
    assert sorted(map(str, fates)) == ["FIELD-OF-VIEW", "NO-PET", "None", "None"]
    assert {row["reason"]: row["files"] for row in found["files"]} == {
        "NOT-DICOM": 1,
        "NIFTI-NAME": 1,
    }
    assert "Jane" not in json.dumps(found)


def test_where_says_which_folder_or_archive_each_row_stands_for(folder: Path) -> None:
    found = survey([folder], salt="tests", where=True)
    places = {row["where"] for level in found.values() for row in level}
    assert str(folder / "export.zip") in places
    assert f"{folder / 'a_ct.nii.gz'}, {folder / 'a_pet.nii.gz'}" in places
    assert str(folder / "half_ct.nii.gz") in places
    assert str(folder / "readme.txt") in places
    assert not any("petcast-" in place for place in places)


def test_the_table_says_what_to_do_and_what_was_repaired(folder: Path, capsys) -> None:
    print_scan(survey([folder], salt="tests"))
    said = capsys.readouterr().out
    for reason in (Reason.FIELD_OF_VIEW, Reason.NIFTI_NAME, Reason.NOT_DICOM, Reason.NO_PET):
        assert said.count(reason.remedy[:20]) == 1
    assert "judged by prepare" in said


def test_the_table_names_the_patient_of_each_study(folder: Path, capsys) -> None:
    """Remarks on leaks and on people name patients, and a split file is written by their ids."""
    found = survey([folder], salt="tests", where=True)
    print_scan(found)
    said = capsys.readouterr().out
    for study in found["studies"]:
        line = next(line for line in said.splitlines() if study["id"] in line)
        assert study["patient"] in line


def test_a_damaged_case_is_refused_by_its_header(folder: Path) -> None:
    whole = gzip.decompress((folder / "a_pet.nii.gz").read_bytes())
    (folder / "a_pet.nii.gz").write_bytes(gzip.compress(whole[:-100]))
    reasons = {row["reason"] for row in survey([folder], salt="tests")["studies"]}
    assert "NIFTI-DAMAGED" in reasons


def test_what_was_assumed_of_a_study_is_said_where_pairs_are_made(capsys) -> None:
    note = "The dose is below 10000 and was read as MBq."
    study = {"id": "a1", "part": "train", "slices": 9, "registration": {"warnings": []}}
    print_pairs({"studies": [study | {"patient": "b2", "notes": [note]}], "refused": []})
    said = capsys.readouterr().out
    assert note in said
    assert "b2" in said


def test_no_count_of_files_is_shown_of_a_refused_study(capsys) -> None:
    """It said 0, as if nothing had been refused."""
    rows = [
        {"level": level, "id": level, "files": files, "reason": "NO-LUNGS", "detail": "None seen."}
        for level, files in (("study", 0), ("series", 24))
    ]
    print_pairs({"studies": [], "refused": rows})
    lines = capsys.readouterr().out.splitlines()
    table = [line.split() for line in lines if line.strip().startswith(("study", "series"))]
    assert [line[2] for line in table] == ["NO-LUNGS", "24"]


def test_a_cohort_in_a_relative_folder_is_counted_once(tmp_path: Path, monkeypatch) -> None:
    """Its files stood among those refused as NOT-DICOM too."""
    for name in ("a_ct", "a_pet"):
        image = sitk.GetImageFromArray(np.zeros((20, 20, 20), np.int16))
        sitk.WriteImage(image, str(tmp_path / f"{name}.nii.gz"))
    monkeypatch.chdir(tmp_path.parent)
    found = survey([Path(tmp_path.name)], salt="tests", where=True)
    [study] = found["studies"]
    assert study["where"] == ", ".join(str(tmp_path / f"a_{word}.nii.gz") for word in ("ct", "pet"))
    assert found["files"] == []
