"""Enhanced multi-frame files give the same volume as the slices that they were made of."""

import copy
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import generate_uid

from petcast.dicom.decay import TimeRule
from petcast.dicom.read import read_ct, read_pet
from petcast.dicom.scan import scan
from petcast.refusal import Reason

SALT = "tests"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
LEGACY_PET = "1.2.840.10008.5.1.4.1.1.128.1"
ENHANCED_PET = "1.2.840.10008.5.1.4.1.1.130"


def item(**values) -> list[Dataset]:
    """A sequence of one item."""
    only = Dataset()
    for keyword, value in values.items():
        setattr(only, keyword, value)
    return [only]


def plane(slice_: FileDataset) -> dict[str, list[Dataset]]:
    """The functional groups that place a frame."""
    return {
        "PlanePositionSequence": item(ImagePositionPatient=slice_.ImagePositionPatient),
        "FrameContentSequence": item(
            FrameAcquisitionNumber=1, FrameAcquisitionDateTime="20200102110000"
        ),
    }


def values_of(slice_: FileDataset) -> dict[str, list[Dataset]]:
    """The functional group that scales a frame."""
    scale = item(
        RescaleSlope=slice_.RescaleSlope, RescaleIntercept=slice_.RescaleIntercept, RescaleType="HU"
    )
    return {"PixelValueTransformationSequence": scale}


def enhanced(slices: list[FileDataset], sop_class: str, groups) -> FileDataset:
    """One file of many slices; `groups` says what each frame's functional groups hold."""
    first = slices[0]
    whole = copy.deepcopy(first)
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = sop_class
    whole.SOPInstanceUID = whole.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    whole.NumberOfFrames = len(slices)
    for keyword in (
        "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope",
        "RescaleIntercept", "AcquisitionNumber", "AcquisitionTime",
    ):  # fmt: skip
        delattr(whole, keyword)
    whole.SharedFunctionalGroupsSequence = item(
        PixelMeasuresSequence=item(PixelSpacing=first.PixelSpacing),
        PlaneOrientationSequence=item(ImageOrientationPatient=first.ImageOrientationPatient),
    )
    whole.PerFrameFunctionalGroupsSequence = [item(**groups(one))[0] for one in slices]
    whole.PixelData = b"".join(one.PixelData for one in slices)
    return whole


@pytest.fixture
def plain(export, tmp_path: Path):
    """What the slices themselves give."""
    from_slices = copy.deepcopy(export)
    from_slices.folder = tmp_path / "slices"
    [study] = scan([from_slices.write()], salt=SALT).studies
    return read_ct(study.ct), read_pet(study.pet)


def test_an_enhanced_ct_is_the_ct_of_its_slices(export, plain) -> None:
    frames = list(reversed(export.ct))  # stored from the head down
    export.ct = [enhanced(frames, ENHANCED_CT, lambda one: plane(one) | values_of(one))]
    [study] = scan([export.write()], salt=SALT).studies
    assert study.ct is not None
    assert "multi-frame" in study.ct.notes[0]
    volume = read_ct(study.ct)
    np.testing.assert_array_equal(volume.voxels, plain[0].voxels)
    np.testing.assert_allclose(volume.affine, plain[0].affine)


def test_a_legacy_converted_pet_keeps_each_slope(export, plain) -> None:
    def groups(one: FileDataset) -> dict[str, list[Dataset]]:
        kept = item(AcquisitionTime="110000", FrameReferenceTime=one.FrameReferenceTime)
        unassigned = {"UnassignedPerFrameConvertedAttributesSequence": kept}
        return plane(one) | values_of(one) | unassigned

    export.pet = [enhanced(export.pet, LEGACY_PET, groups)]
    [study] = scan([export.write()], salt=SALT).studies
    assert study.pet is not None
    reading = read_pet(study.pet)
    np.testing.assert_allclose(reading.suv.voxels, plain[1].suv.voxels, rtol=1e-6)
    assert reading.time_rule == TimeRule.SERIES_TIME


def test_an_enhanced_pet_speaks_in_real_world_values(export, plain) -> None:
    def groups(one: FileDataset) -> dict[str, list[Dataset]]:
        unit = item(CodeValue="Bq/ml", CodingSchemeDesignator="UCUM", CodeMeaning="Bq/ml")
        mapping = item(
            RealWorldValueSlope=float(one.RescaleSlope),
            RealWorldValueIntercept=0.0,
            MeasurementUnitsCodeSequence=unit,
        )
        return plane(one) | {"RealWorldValueMappingSequence": mapping}

    whole = enhanced(export.pet, ENHANCED_PET, groups)
    for keyword in ("Units", "DecayCorrection", "CorrectedImage", "SeriesType", "SeriesTime"):
        delattr(whole, keyword)
    whole.AttenuationCorrected = whole.DecayCorrected = "YES"
    whole.DecayCorrectionDateTime = "20200102110000"
    export.pet = [whole]
    [study] = scan([export.write()], salt=SALT).studies
    assert study.pet is not None
    reading = read_pet(study.pet)
    np.testing.assert_allclose(reading.suv.voxels, plain[1].suv.voxels, rtol=1e-6)
    assert reading.time_rule == TimeRule.STATED


def test_frames_that_are_not_described_are_refused(export, codes) -> None:
    whole = enhanced(export.ct, ENHANCED_CT, lambda one: plane(one) | values_of(one))
    del whole.PerFrameFunctionalGroupsSequence[3]
    export.ct = [whole]
    assert codes(scan([export.write()], salt=SALT)) == {Reason.MULTI_FRAME}


def test_frames_in_two_directions_are_refused(export, codes) -> None:
    whole = enhanced(export.ct, ENHANCED_CT, lambda one: plane(one) | values_of(one))
    turned = item(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    whole.PerFrameFunctionalGroupsSequence[3].PlaneOrientationSequence = turned
    export.ct = [whole]
    assert codes(scan([export.write()], salt=SALT)) == {Reason.MULTI_FRAME}


def test_two_phases_in_one_file_are_refused(export, codes) -> None:
    export.ct = [
        enhanced(export.ct * 2, ENHANCED_CT, lambda one: plane(one) | values_of(one)),
    ]
    assert codes(scan([export.write()], salt=SALT)) == {Reason.ACQUISITIONS}
