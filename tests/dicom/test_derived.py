"""The header of a synthetic PET: what the standard requires, what is copied, nothing invented."""

import shutil
import subprocess
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.uid import generate_uid

from petcast.dicom.derived import HALF_WIDTH, PET_IMAGE, SYNTHETIC_PET, Casting

TYPE_1 = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality",
    "FrameOfReferenceUID", "SeriesDate", "SeriesTime", "Units", "CountsSource", "SeriesType",
    "NumberOfSlices", "DecayCorrection", "ImageType", "Rows", "Columns", "PixelSpacing",
    "ImagePositionPatient", "ImageOrientationPatient", "SamplesPerPixel", "BitsAllocated",
    "PhotometricInterpretation", "RescaleIntercept", "RescaleSlope", "FrameReferenceTime",
    "ImageIndex", "PixelData", "Manufacturer",
)  # fmt: skip
TYPE_2 = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "ReferringPhysicianName", "StudyID", "AccessionNumber", "SeriesNumber", "InstanceNumber",
    "PositionReferenceIndicator", "SliceThickness", "CorrectedImage", "CollimatorType",
    "ActualFrameDuration", "AcquisitionDate", "AcquisitionTime",
    "RadiopharmaceuticalInformationSequence", "PatientOrientationCodeSequence",
    "PatientGantryRelationshipCodeSequence",
)  # fmt: skip
NEVER = (
    "PatientPosition", "DecayFactor", "DoseCalibrationFactor", "RadionuclideTotalDose",
    "Radiopharmaceutical", "RescaleType", "PixelPaddingValue", "KVP", "ConvolutionKernel",
    "InstitutionName", "StationName", "DeviceSerialNumber",
)  # fmt: skip


@pytest.fixture
def images(export, cast, tmp_path) -> list[Dataset]:
    for slice_ in export.ct:
        slice_.PatientPosition, slice_.KVP = "HFS", "120"
        slice_.InstitutionName = slice_.StationName = "Somewhere"
    return cast(export.write()).write(tmp_path / "pet")


def test_required_attributes_are_there_and_those_of_a_scan_are_not(images) -> None:
    for image in images:
        assert [keyword for keyword in TYPE_1 if not image[keyword].VM] == []
        assert [keyword for keyword in TYPE_2 if keyword not in image] == []
        assert [keyword for keyword in NEVER if keyword in image] == []


@pytest.mark.slow
def test_it_says_what_it_is(images, export) -> None:
    for image in images:
        assert image.SOPClassUID == image.file_meta.MediaStorageSOPClassUID == PET_IMAGE
        assert image.ImageType == ["DERIVED", "PRIMARY"]
        assert image.SeriesDescription == "SYNTHETIC PET (AI) - NOT FOR DIAGNOSIS"
        assert (image.Units, image.SUVType, image.RescaleIntercept) == ("GML", "BW", 0)
        assert (image.PixelRepresentation, image.BitsStored, image.HighBit) == (1, 16, 15)
        assert "no radiotracer was measured" in image.DerivationDescription
        assert "ab" * 32 in image.DerivationDescription
        assert "Stage03, output of stage 3 of 3" in image.DerivationDescription
        assert image.ImageComments == "3 of 12 slices lie above the lungs."
        assert image.BodyPartExamined == "CHEST"
        assert image.NumberOfSlices == 12
        [made] = image.ContributingEquipmentSequence
        assert (made.Manufacturer, made.ManufacturerModelName) == ("petcast", "Stage03")
    assert (images[0].WindowCenter, images[0].WindowWidth) == (5, 10)


@pytest.mark.slow
def test_no_dose_no_decay_and_no_correction_are_invented(images) -> None:
    for image in images:
        assert image.DecayCorrection == "NONE"
        assert len(image.RadiopharmaceuticalInformationSequence) == 0
        assert not image.CorrectedImage
        assert image.ActualFrameDuration is None


@pytest.mark.slow
def test_study_and_frame_are_the_cts_and_series_and_images_are_new(images, export) -> None:
    ct = export.ct[0]
    of_ct = {one.SOPInstanceUID for one in export.all}
    assert {image.StudyInstanceUID for image in images} == {ct.StudyInstanceUID}
    assert {image.FrameOfReferenceUID for image in images} == {ct.FrameOfReferenceUID}
    [series] = {image.SeriesInstanceUID for image in images}
    assert series not in {one.SeriesInstanceUID for one in export.all}
    made = {image.SOPInstanceUID for image in images}
    assert len(made) == 12
    assert not made & of_ct
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in (*made, series))


@pytest.mark.slow
def test_each_image_names_the_slice_of_the_ct_that_it_comes_from(images, export) -> None:
    places = {one.SOPInstanceUID: one.ImagePositionPatient for one in export.ct}
    for image in images:
        [source] = image.SourceImageSequence
        assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        assert source.ReferencedSOPClassUID == export.ct[0].SOPClassUID
        assert places[source.ReferencedSOPInstanceUID] == image.ImagePositionPatient
        [series] = image.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == export.ct[0].SeriesInstanceUID
        [instance] = series.ReferencedInstanceSequence
        assert instance.ReferencedSOPInstanceUID == source.ReferencedSOPInstanceUID


def uids(images) -> set[str]:
    return {image.SOPInstanceUID for image in images} | {images[0].SeriesInstanceUID}


@pytest.mark.slow
def test_another_model_stage_kind_or_picture_has_other_uids(export, cast, tmp_path) -> None:
    made = cast(export.write())
    same = uids(made.write(tmp_path / "0")), uids(made.write(tmp_path / "1"))
    assert same[0] == same[1]
    others = [
        made.write(tmp_path / "2", sha256="cd" * 32),
        made.write(tmp_path / "3", stage=1),
        made.write(tmp_path / "4", kind=HALF_WIDTH, calibration="By uptake."),
        made.write(tmp_path / "5", made.pet(seed=1)),
        made.write(tmp_path / "6", warnings=("PET ± half-width",)),
    ]
    for other in others:
        assert not uids(other) & same[0]
    assert "stage 1 of 3" in others[1][0].DerivationDescription
    assert others[2][0].SeriesDescription == "SYNTHETIC PET (AI) HALF-WIDTH - NOT FOR DIAGNOSIS"
    assert "no uptake" in others[2][0].DerivationDescription
    assert others[4][0].ImageComments == "PET +/- half-width"
    assert others[2][0].SeriesNumber != others[1][0].SeriesNumber


@pytest.mark.slow
def test_the_position_stands_in_codes(images, export, cast, tmp_path) -> None:
    def said(image: Dataset) -> tuple[str, str]:
        [lying] = image.PatientOrientationCodeSequence
        [turned] = lying.PatientOrientationModifierCodeSequence
        [headed] = image.PatientGantryRelationshipCodeSequence
        return turned.CodeMeaning, headed.CodeMeaning

    assert said(images[0]) == ("supine", "headfirst")
    for slice_ in export.ct:
        slice_.PatientPosition = "FFDL"
    [image, *_] = cast(export.write()).write(tmp_path / "left")
    assert said(image) == ("left lateral decubitus", "feet-first")
    for slice_ in export.ct:
        del slice_.PatientPosition
    [image, *_] = cast(export.write()).write(tmp_path / "unknown")
    assert not image.PatientOrientationCodeSequence


@pytest.mark.slow
def test_a_ct_without_dates_frame_and_body_part_still_gives_a_valid_series(
    export, cast, tmp_path
) -> None:
    for slice_ in export.ct:
        with disable_value_validation():
            slice_.BodyPartExamined = "Thorax, low dose"
        for keyword in ("FrameOfReferenceUID", "PatientID", "SliceThickness"):
            delattr(slice_, keyword)
        for event in ("Study", "Series", "Acquisition"):
            delattr(slice_, f"{event}Date")
            delattr(slice_, f"{event}Time")
    images = cast(export.write()).write(tmp_path / "pet")
    assert (images[0].SeriesDate, images[0].SeriesTime) == ("19000101", "000000")
    assert images[0].StudyDate == images[0].AcquisitionDate == ""
    assert images[0].BodyPartExamined == "CHEST"
    assert len({image.FrameOfReferenceUID for image in images}) == 1
    assert images[0].FrameOfReferenceUID.startswith("2.25.")


def test_what_was_compressed_with_loss_stays_called_so(export, cast, tmp_path) -> None:
    for slice_ in export.ct:
        slice_.LossyImageCompression, slice_.LossyImageCompressionRatio = "01", "10"
    [image, *_] = cast(export.write()).write(tmp_path / "pet")
    assert (image.LossyImageCompression, image.LossyImageCompressionRatio) == ("01", 10)


def test_descriptions_fit_their_attribute() -> None:
    for kind in (SYNTHETIC_PET, HALF_WIDTH):
        assert len(kind.description) <= 64
        long = Casting("a model's long name " * 5, "ab" * 32, 10, 10, (0, 10), (), kind, "x" * 200)
        assert len(long.derivation) <= 1024
        assert kind.description.startswith("SYNTHETIC PET")


# By the tools of others


def dicom3tools(*arguments: object) -> str:
    found = subprocess.run(
        list(map(str, arguments)), capture_output=True, text=True, check=False, timeout=120
    )
    return found.stdout + found.stderr


@pytest.fixture
def sound_ct(export) -> list[Dataset]:
    """What the tiny export lacks of a CT that dicom3tools finds no error in."""
    for slice_ in export.ct:
        slice_.PatientPosition, slice_.PatientSex, slice_.KVP = "HFS", "F", "120"
        slice_.StudyID, slice_.SeriesNumber, slice_.StudyInstanceUID = "1", 2, generate_uid()
    study = export.ct[0].StudyInstanceUID
    for slice_ in export.ct:
        slice_.StudyInstanceUID = study
        for keyword in ("PatientBirthDate", "AccessionNumber", "ReferringPhysicianName"):
            setattr(slice_, keyword, "")
    return export.ct


@pytest.mark.pacs
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
@pytest.mark.parametrize("changes", [{}, {"kind": HALF_WIDTH}])
def test_dciodvfy_finds_no_error(sound_ct, export, cast, tmp_path, changes) -> None:
    cast(export.write()).write(tmp_path / "pet", **changes)
    for path in sorted((tmp_path / "pet").iterdir()):
        said = dicom3tools("dciodvfy", path)
        assert "Error" not in said, said
        assert "PETImage" in said


@pytest.mark.pacs
@pytest.mark.skipif(shutil.which("dcentvfy") is None, reason="dicom3tools is not installed")
def test_dcentvfy_finds_patient_study_and_frame_alike(sound_ct, export, cast, tmp_path) -> None:
    export.pet.clear()
    cast(export.write()).write(tmp_path / "pet")
    files = [*export.folder.iterdir(), *(tmp_path / "pet").iterdir()]
    assert dicom3tools("dcentvfy", *sorted(files)).strip() == ""


@pytest.mark.pacs
@pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="dcm2niix is not installed")
def test_dcm2niix_reads_the_same_suv(sound_ct, export, cast, tmp_path: Path) -> None:
    import numpy as np

    from petcast.volume import Unit, Volume

    made = cast(export.write())
    pet = made.pet()
    made.write(tmp_path / "pet", pet)
    (tmp_path / "nifti").mkdir()
    dicom3tools("dcm2niix", "-o", tmp_path / "nifti", "-f", "pet", tmp_path / "pet")
    found = Volume.load(tmp_path / "nifti" / "pet.nii", Unit.SUV).canonical()
    np.testing.assert_allclose(found.voxels, pet.voxels, atol=2e-4 * pet.voxels.max())
    assert found.grid.matches(made.ct.grid)
    assert dcmread(next((tmp_path / "pet").iterdir())).Units == "GML"
