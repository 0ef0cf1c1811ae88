"""Enhanced multi-frame files give the same volume as the slices that they were made of."""

import copy
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset

from petcast.dicom.decay import TimeRule
from petcast.dicom.read import read_ct, read_pet
from petcast.dicom.scan import scan
from petcast.refusal import Reason

SALT = "tests"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
LEGACY_PET = "1.2.840.10008.5.1.4.1.1.128.1"
ENHANCED_PET = "1.2.840.10008.5.1.4.1.1.130"


@pytest.fixture
def plain(export, tmp_path: Path):
    """What the slices themselves give."""
    from_slices = copy.deepcopy(export)
    from_slices.folder = tmp_path / "slices"
    [study] = scan([from_slices.write()], salt=SALT).studies
    return read_ct(study.ct), read_pet(study.pet)


@pytest.mark.slow
def test_an_enhanced_ct_is_the_ct_of_its_slices(export, plain, frames) -> None:
    downwards = list(reversed(export.ct))
    export.ct = [
        frames.enhanced(
            downwards, ENHANCED_CT, lambda one: frames.plane(one) | frames.values_of(one)
        )
    ]
    [study] = scan([export.write()], salt=SALT).studies
    assert study.ct is not None
    assert "multi-frame" in study.ct.notes[0]
    volume = read_ct(study.ct)
    np.testing.assert_array_equal(volume.voxels, plain[0].voxels)
    np.testing.assert_allclose(volume.affine, plain[0].affine)


def test_a_legacy_converted_pet_keeps_each_slope(export, plain, frames) -> None:
    def groups(one: FileDataset) -> dict[str, list[Dataset]]:
        kept = frames.item(AcquisitionTime="110000", FrameReferenceTime=one.FrameReferenceTime)
        unassigned = {"UnassignedPerFrameConvertedAttributesSequence": kept}
        return frames.plane(one) | frames.values_of(one) | unassigned

    export.pet = [frames.enhanced(export.pet, LEGACY_PET, groups)]
    [study] = scan([export.write()], salt=SALT).studies
    assert study.pet is not None
    reading = read_pet(study.pet)
    np.testing.assert_allclose(reading.suv.voxels, plain[1].suv.voxels, rtol=1e-6)
    assert reading.time_rule == TimeRule.SERIES_TIME


@pytest.mark.slow
@pytest.mark.parametrize(
    ("injected", "corrected_to"),
    [("20200102100000", "20200102110000"), ("20200102100000+0000", "20200102120000+0100")],
    ids=["one clock", "two zones"],
)
def test_an_enhanced_pet_speaks_in_real_world_values(
    export, plain, frames, injected: str, corrected_to: str
) -> None:
    def groups(one: FileDataset) -> dict[str, list[Dataset]]:
        unit = frames.item(CodeValue="Bq/ml", CodingSchemeDesignator="UCUM", CodeMeaning="Bq/ml")
        mapping = frames.item(
            RealWorldValueSlope=float(one.RescaleSlope),
            RealWorldValueIntercept=0.0,
            MeasurementUnitsCodeSequence=unit,
        )
        return frames.plane(one) | {"RealWorldValueMappingSequence": mapping}

    whole = frames.enhanced(export.pet, ENHANCED_PET, groups)
    for keyword in ("Units", "DecayCorrection", "CorrectedImage", "SeriesType", "SeriesTime"):
        delattr(whole, keyword)
    whole.AttenuationCorrected = whole.DecayCorrected = "YES"
    whole.DecayCorrectionDateTime = corrected_to
    [injection] = whole.RadiopharmaceuticalInformationSequence
    injection.RadiopharmaceuticalStartDateTime = injected
    del injection.RadiopharmaceuticalStartTime
    export.pet = [whole]
    [study] = scan([export.write()], salt=SALT).studies
    assert study.pet is not None
    reading = read_pet(study.pet)
    np.testing.assert_allclose(reading.suv.voxels, plain[1].suv.voxels, rtol=1e-6)
    assert reading.time_rule == TimeRule.STATED


def test_frames_that_are_not_described_are_refused(export, codes, frames) -> None:
    whole = frames.enhanced(
        export.ct, ENHANCED_CT, lambda one: frames.plane(one) | frames.values_of(one)
    )
    del whole.PerFrameFunctionalGroupsSequence[3]
    export.ct = [whole]
    assert codes(scan([export.write()], salt=SALT)) == {Reason.MULTI_FRAME}


def test_frames_in_two_directions_are_refused(export, codes, frames) -> None:
    whole = frames.enhanced(
        export.ct, ENHANCED_CT, lambda one: frames.plane(one) | frames.values_of(one)
    )
    turned = frames.item(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    whole.PerFrameFunctionalGroupsSequence[3].PlaneOrientationSequence = turned
    export.ct = [whole]
    assert codes(scan([export.write()], salt=SALT)) == {Reason.MULTI_FRAME}


def test_two_phases_in_one_file_are_refused(export, codes, frames) -> None:
    export.ct = [
        frames.enhanced(
            export.ct * 2, ENHANCED_CT, lambda one: frames.plane(one) | frames.values_of(one)
        ),
    ]
    assert codes(scan([export.write()], salt=SALT)) == {Reason.ACQUISITIONS}


def test_a_mapping_to_another_unit_leaves_the_frames_own_scale(export, plain, frames) -> None:
    """Units said Bq/mL and the mapping SUV: activity was multiplied by the slope of SUV."""

    def groups(one: FileDataset) -> dict[str, list[Dataset]]:
        unit = frames.item(
            CodeValue="g/ml{SUVbw}", CodingSchemeDesignator="UCUM", CodeMeaning="SUV"
        )
        mapping = frames.item(
            RealWorldValueSlope=1e-4, RealWorldValueIntercept=0.0, MeasurementUnitsCodeSequence=unit
        )
        return (
            frames.plane(one) | frames.values_of(one) | {"RealWorldValueMappingSequence": mapping}
        )

    export.pet = [frames.enhanced(export.pet, ENHANCED_PET, groups)]
    [study] = scan([export.write()], salt=SALT).studies
    assert study.pet is not None
    np.testing.assert_allclose(read_pet(study.pet).suv.voxels, plain[1].suv.voxels, rtol=1e-6)
