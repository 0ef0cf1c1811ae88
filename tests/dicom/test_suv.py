"""`petcast suv`: every PET is measured, the unfit ones with their reason beside the numbers."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from typer.testing import CliRunner

from petcast.cli import app
from petcast.dicom.scan import scan
from petcast.dicom.suv import measure_suv
from petcast.errors import GeometryError, UsageError
from petcast.refusal import Reason, RefusedError
from petcast.volume import Unit, Volume

PEAK = 2100 * 70_000 / (350e6 * 2 ** (-3600 / 6586.2))


def mask_file(path: Path, voxels: np.ndarray, affine: np.ndarray) -> Path:
    Volume(voxels.astype(np.uint8), affine, Unit.LABEL).save(path)
    return path


def of_nuclide(export, tracer: str, code: str, half_life_s: float) -> None:
    for injection in export.injections:
        injection.Radiopharmaceutical = tracer
        injection.RadionuclideHalfLife = half_life_s
        if code:
            named = Dataset()
            named.CodeValue = code
            injection.RadionuclideCodeSequence = [named]


@pytest.fixture
def pet_affine() -> np.ndarray:
    affine = np.diag([50.0, 50.0, 4.0, 1.0])
    affine[:3, 3] = -175, -175, 0
    return affine


def test_a_pet_without_ct_is_measured(export) -> None:
    export.ct.clear()
    [row] = measure_suv(export.write())["series"]
    assert row["path"] == str(export.folder)
    assert row["max"] == pytest.approx(PEAK, rel=1e-6)
    assert (row["min"], row["median"]) == (0, 0)
    assert row["factor_rule"] == "bqml-weight-over-dose"
    assert row["time_rule"] == "series-time"


@pytest.mark.parametrize(
    ("kind", "words"), [("", "measures no tracer"), (" HALF-WIDTH", "half the width")]
)
def test_what_a_program_made_is_called_so(export, kind: str, words: str) -> None:
    """Its series is sound and can be evaluated, so nothing else would say it."""
    for slice_ in export.pet:
        slice_.SeriesDescription = f"SYNTHETIC PET (AI){kind} - NOT FOR DIAGNOSIS"
    folder = export.write()
    [row] = measure_suv(folder)["series"]
    assert words in " ".join(row["notes"])
    [pet] = [one for one in scan([folder]).series if one.modality == "PT"]
    assert words in " ".join(pet.notes)


@pytest.mark.slow
def test_a_pet_in_a_zip_in_the_folder_is_measured_and_named_by_its_zip(export, tmp_path) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    with zipfile.ZipFile(folder / "one.zip", "w") as archive:
        for path in export.write().iterdir():
            archive.write(path, f"inside/{path.name}")
    [row] = measure_suv(folder)["series"]
    assert row["path"] == str(folder / "one.zip")
    assert row["max"] == pytest.approx(PEAK, rel=1e-6)


def test_a_midnight_in_the_place_of_the_injection_s_time_gives_way_to_it(export) -> None:
    """A de-identification that shifts dates may drop the time from a date with one."""
    for injection in export.injections:
        injection.RadiopharmaceuticalStartDateTime = "20200102000000.00"
    [row] = measure_suv(export.write())["series"]
    assert row["max"] == pytest.approx(PEAK, rel=1e-6)
    assert row["uptake_minutes"] == 60


@pytest.mark.parametrize(("clock", "minutes"), [("", 60), ("+0100", 60), ("+0000", 120)])
def test_an_injection_in_another_time_zone(export, clock: str, minutes: int) -> None:
    """Where the scanner's zone is unknown, the time without a zone is on its clock."""
    for injection in export.injections:
        injection.RadiopharmaceuticalStartDateTime = "20200102090000+0000"
    for slice_ in export.pet:
        slice_.TimezoneOffsetFromUTC = clock
    [row] = measure_suv(export.write())["series"]
    assert row["uptake_minutes"] == minutes


@pytest.mark.parametrize(("zone", "said"), [("+0000", True), ("", False)])
def test_an_injection_in_a_zone_that_nothing_relates_to_the_scanner_s_is_said(
    export, zone: str, said: bool
) -> None:
    for injection in export.injections:
        injection.RadiopharmaceuticalStartDateTime = f"20200102100000{zone}"
        del injection.RadiopharmaceuticalStartTime
    [row] = measure_suv(export.write())["series"]
    assert row["uptake_minutes"] == 60
    assert any("time zone" in note for note in row["notes"]) is said


@pytest.mark.parametrize(
    ("moment", "time", "said"),
    [("", "10", True), ("", "1000", False), ("2020010210", "", True), ("2020010210", "10", True),
     ("2020010210", "1000", False), ("20200102100000", "10", False)],
)  # fmt: skip
def test_an_injection_whose_minute_nobody_wrote_is_said(export, moment, time, said: bool) -> None:
    for injection in export.injections:
        injection.RadiopharmaceuticalStartDateTime = moment
        injection.RadiopharmaceuticalStartTime = time
    [row] = measure_suv(export.write())["series"]
    assert row["uptake_minutes"] == 60
    assert any("hour only" in note for note in row["notes"]) is said


@pytest.mark.slow
@pytest.mark.parametrize("dose", [350e3, 350e12])
def test_a_maximum_that_is_hardly_suv_is_said(export, dose: float) -> None:
    for injection in export.injections:
        injection.RadionuclideTotalDose = dose
    [row] = measure_suv(export.write())["series"]
    assert row["max"] == pytest.approx(PEAK * 350e6 / dose, rel=1e-6)
    assert any("hardly SUV" in note for note in row["notes"])
    assert any("MBq, which is unusual" in note for note in row["notes"])


@pytest.mark.slow
def test_the_table_names_what_the_notes_speak_of_and_the_time_to_the_scan(export) -> None:
    for injection in export.injections:
        injection.RadiopharmaceuticalStartTime = "091000"
        injection.RadiopharmaceuticalStartDateTime = "20200102080000"
    folder = export.write()
    [row] = measure_suv(folder)["series"]
    done = CliRunner().invoke(app, ["suv", str(folder)])
    assert done.exit_code == 0, done.output
    assert row["id"] in done.stdout
    assert "180" in done.stdout
    assert f"{row['id']}: The injection's two times lie 70 minutes apart" in done.stderr
    assert f"{row['id']}: The scan began 180 minutes after" in done.stderr


def test_suv_beyond_all_numbers_is_a_row_with_a_reason(export) -> None:
    for injection in export.injections:
        injection.RadionuclideTotalDose = "1e-290"
    [row] = measure_suv(export.write())["series"]
    assert row["max"] is None
    assert row["reason"] == "RESCALE"


@pytest.fixture
def two_pets(export) -> Path:
    """Two series in two folders, the second a metre further up."""
    export.ct.clear()
    for slice_ in export.pet:
        twin = export.twin(slice_)
        x, y, z = twin.ImagePositionPatient
        twin.ImagePositionPatient = [x, y, z + 1000]
        for keyword in ("SeriesInstanceUID", "SOPInstanceUID"):
            setattr(twin, keyword, generate_uid(entropy_srcs=[twin[keyword].value]))
        twin.file_meta.MediaStorageSOPInstanceUID = twin.SOPInstanceUID
    folder = export.write()
    for name, numbers in (("low", range(12)), ("high", range(12, 24))):
        (folder / name).mkdir()
        for number in numbers:
            export.path(number).rename(folder / name / f"{number}")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("relative", [False, True])
def test_each_row_says_its_own_folder(two_pets: Path, monkeypatch, relative: bool) -> None:
    monkeypatch.chdir(two_pets.parent)
    folder = Path(two_pets.name) if relative else two_pets
    rows = measure_suv(folder)["series"]
    assert {row["path"] for row in rows} == {str(folder / "low"), str(folder / "high")}


@pytest.mark.slow
def test_a_mask_on_one_of_two_pets_measures_that_one(two_pets, pet_affine, tmp_path) -> None:
    mask = mask_file(tmp_path / "mask.nii", np.ones((12, 8, 8)), pet_affine)
    low, high = sorted(measure_suv(two_pets, mask)["series"], key=lambda row: row["max"] is None)
    assert (Path(low["path"]).name, low["voxels"]) == ("low", 12 * 8 * 8)
    assert (Path(high["path"]).name, high["voxels"]) == ("high", 0)
    assert "does not touch" in high["detail"]


def test_an_unfit_pet_is_measured_and_says_why_it_is_unfit(export) -> None:
    for injection in export.injections:
        injection.Radiopharmaceutical = "FLT"
    [row] = measure_suv(export.write())["series"]
    assert row["max"] == pytest.approx(PEAK, rel=1e-6)
    assert row["reason"] == "TRACER"


def test_a_single_slice_is_measured(export) -> None:
    del export.pet[:11]
    [row] = measure_suv(export.write())["series"]
    assert row["max"] == pytest.approx(PEAK, rel=1e-6)
    assert row["reason"] == "TOO-FEW-SLICES"


def test_a_pet_without_way_to_suv_has_null_and_a_reason(export) -> None:
    for slice_ in export.pet:
        slice_.Units = "PROPCPS"
    [row] = measure_suv(export.write())["series"]
    assert row["max"] is None
    assert row["reason"] == "UNITS"
    assert "PROPCPS" in row["detail"]


@pytest.mark.parametrize(
    ("tracer", "code", "half_life_s", "words"),
    [
        ("FDG", "", 109.8, "the minutes of fluorine-18, which has 6586.2 s"),
        ("FDG", "", 1.83, "the hours of fluorine-18"),
        ("DOTATATE", "C-131A3", 67.7, "the minutes of gallium-68"),
        ("DOTATATE", "", 67.7, "the minutes of gallium-68"),
        ("CHOLINE", "40565003", 6586.2, "carbon-11 has 1221.8 s"),
        ("DOTATATE", "", 5.0, "expected 60 to 1e+06 s"),
    ],
)
def test_a_half_life_in_another_unit_is_told_as_one(
    export, tracer: str, code: str, half_life_s: float, words: str
) -> None:
    of_nuclide(export, tracer, code, half_life_s)
    [row] = measure_suv(export.write())["series"]
    assert (row["max"], row["reason"]) == (None, "NO-HALF-LIFE")
    assert words in row["detail"]


@pytest.mark.parametrize(("code", "half_life_s"), [("C-131A3", 4057.7), ("", 4080), ("", 14_292)])
def test_another_nuclide_keeps_its_own_half_life(export, code: str, half_life_s: float) -> None:
    of_nuclide(export, "DOTATATE", code, half_life_s)
    [row] = measure_suv(export.write())["series"]
    assert row["max"] is not None
    assert row["reason"] == "TRACER"


def test_a_nuclide_that_is_not_fluorine_is_no_fdg_though_no_tracer_is_named(export) -> None:
    of_nuclide(export, "", "C-131A3", 4057.7)
    [row] = measure_suv(export.write())["series"]
    assert row["reason"] == "TRACER"


def test_only_voxels_in_the_mask_count(export, tmp_path: Path, pet_affine) -> None:
    voxels = np.zeros((12, 8, 8))
    voxels[0, 3, 3] = voxels[5, 3, 3] = 1
    mask = mask_file(tmp_path / "mask.nii.gz", voxels, pet_affine)
    [row] = measure_suv(export.write(), mask)["series"]
    assert row["voxels"] == 2
    assert row["min"] == pytest.approx(PEAK * 1000 / 2100, rel=1e-6)
    assert row["max"] == pytest.approx(PEAK * 1500 / 2100, rel=1e-6)


def test_a_mask_on_another_grid_goes_to_the_nearest_voxels(export, tmp_path, pet_affine) -> None:
    """Half a voxel aside, interpolation would touch two of them."""
    voxels, aside = np.zeros((12, 8, 8)), pet_affine.copy()
    voxels[5, 3, 3] = 1
    aside[0, 3] += 0.4 * aside[0, 0]
    mask = mask_file(tmp_path / "mask.nii.gz", voxels, aside)
    [row] = measure_suv(export.write(), mask)["series"]
    assert row["voxels"] == 1
    assert row["max"] == pytest.approx(PEAK * 1500 / 2100, rel=1e-6)


def test_a_mask_stored_the_other_way_round_lies_at_the_same_place(
    export, tmp_path: Path, pet_affine
) -> None:
    voxels = np.zeros((12, 8, 8))
    voxels[11, 3, 3] = 1
    flipped = Volume(voxels.astype(np.uint8), pet_affine, Unit.LABEL).flipped("z").flipped("x")
    flipped.save(tmp_path / "mask.nii.gz")
    [row] = measure_suv(export.write(), tmp_path / "mask.nii.gz")["series"]
    assert row["voxels"] == 1
    assert row["max"] == pytest.approx(PEAK, rel=1e-6)


def test_a_mask_elsewhere_is_refused(export, tmp_path: Path, pet_affine) -> None:
    far = pet_affine.copy()
    far[2, 3] = 5000
    mask = mask_file(tmp_path / "mask.nii.gz", np.ones((2, 2, 2)), far)
    with pytest.raises(GeometryError, match="does not touch"):
        measure_suv(export.write(), mask)


def test_an_empty_mask_is_refused(export, tmp_path: Path, pet_affine) -> None:
    mask = mask_file(tmp_path / "mask.nii.gz", np.zeros((12, 8, 8)), pet_affine)
    with pytest.raises(UsageError, match="empty"):
        measure_suv(export.write(), mask)


def test_files_that_cannot_be_read_say_why_there_is_no_pet(export) -> None:
    for slice_ in export.pet:
        del slice_.SeriesInstanceUID
    export.pet.pop()
    with pytest.raises(RefusedError, match="In 11 of 11 files") as error:
        measure_suv(export.write())
    assert error.value.refusal.reason is Reason.NO_UID


def test_a_folder_without_pet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="NO-PET"):
        measure_suv(tmp_path)
