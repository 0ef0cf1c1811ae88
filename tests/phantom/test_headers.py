"""Headers: what a reader of hospital DICOM relies on."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.valuerep import validate_value

from petcast.dicom.compose import number
from petcast.phantom import PhantomTruth
from petcast.volume import Unit, Volume


def _read(folder: Path) -> list[pydicom.Dataset]:
    return sorted(map(pydicom.dcmread, folder.iterdir()), key=lambda d: d.ImagePositionPatient[2])


@pytest.fixture(scope="session")
def pets(cohort: list[PhantomTruth]) -> dict[str, list[pydicom.Dataset]]:
    return {truth.style: _read(truth.dicom / "PT") for truth in cohort}


@settings(deadline=None, max_examples=200)
@given(st.floats(-1e12, 1e12, allow_nan=False))
def test_numbers_fit_a_decimal_string_and_lose_nothing_that_matters(value: float) -> None:
    text = number(value)
    assert len(text) <= 16
    assert float(text) == pytest.approx(value, rel=1e-8, abs=1e-300)


@pytest.mark.slow
def test_each_style_writes_its_units_and_slopes(pets: dict[str, list[pydicom.Dataset]]) -> None:
    assert set(pets) == {"GE-like", "Siemens-like", "Philips-like"}
    slopes = {style: {str(i.RescaleSlope) for i in images} for style, images in pets.items()}
    assert len(slopes["GE-like"]) > 3
    assert len(slopes["Siemens-like"]) == len(slopes["Philips-like"]) == 1
    assert {style: images[0].Units for style, images in pets.items()} == {
        "GE-like": "BQML",
        "Siemens-like": "BQML",
        "Philips-like": "CNTS",
    }
    assert pets["Siemens-like"][0].PixelRepresentation == 0
    assert pets["Philips-like"][0].file_meta.TransferSyntaxUID == "1.2.840.10008.1.2"


@pytest.mark.slow
def test_philips_factors_agree_with_weight_and_dose(
    pets: dict[str, list[pydicom.Dataset]], cohort: list[PhantomTruth]
) -> None:
    image = pets["Philips-like"][0]
    suv = float(image[0x7053, 0x1000].value)
    becquerel = float(image[0x7053, 0x1009].value)
    assert image[0x7053, 0x0010].value == "Philips PET Private Group"
    assert suv == pytest.approx(becquerel * _suv_per_becquerel(image), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("index", range(3))
def test_pixels_give_back_the_planted_suv(cohort: list[PhantomTruth], index: int) -> None:
    truth = cohort[index]
    planted = Volume.load(truth.truth / "suv.nii.gz", Unit.SUV)
    images = _read(truth.dicom / "PT")
    factor = _suv_per_becquerel(images[0])
    if images[0].Units == "CNTS":
        factor = float(images[0][0x7053, 0x1000].value)
    suv = np.array([i.pixel_array * float(i.RescaleSlope) * factor for i in images])
    assert suv.shape == planted.voxels.shape
    assert suv.sum() == pytest.approx(planted.voxels.sum(), rel=0.02)
    assert np.corrcoef(suv.ravel(), planted.voxels.ravel())[0, 1] > 0.95
    first = [float(v) for v in images[0].ImagePositionPatient]
    np.testing.assert_allclose(first, planted.grid.origin_mm, atol=0.01)
    assert float(images[0].PixelSpacing[0]) == pytest.approx(planted.spacing_mm[0], abs=1e-3)


def _suv_per_becquerel(image: pydicom.Dataset) -> float:
    """By hand, from the header alone: weight in g by what is left of the dose."""
    [tracer] = image.RadiopharmaceuticalInformationSequence
    clock = [int(t[:2]) * 3600 + int(t[2:4]) * 60 + float(t[4:]) for t in (
        image.SeriesTime, tracer.RadiopharmaceuticalStartTime)]  # fmt: skip
    left = float(tracer.RadionuclideTotalDose) * 2 ** (-(clock[0] - clock[1]) / 6586.2)
    return float(image.PatientWeight) * 1000 / left


@pytest.mark.slow
def test_ct_is_stored_as_hu(cohort: list[PhantomTruth]) -> None:
    for truth in cohort:
        images = _read(truth.dicom / "CT")
        hu = np.array([i.pixel_array * float(i.RescaleSlope) + i.RescaleIntercept for i in images])
        assert hu[:, 24].min() <= -990
        assert 300 < hu.max() <= 3071
        assert images[0].ImageType[0] == "ORIGINAL"
        padded = hu[:, 0, 0].mean() < -1500
        assert padded == (truth.style == "GE-like")


@pytest.mark.slow
def test_ct_and_pet_share_study_and_space_and_nothing_else(cohort: list[PhantomTruth]) -> None:
    studies, frames, series, instances = set(), set(), set(), []
    for truth in cohort:
        images = _read(truth.dicom / "CT") + _read(truth.dicom / "PT")
        for found, keyword in ((studies, "StudyInstanceUID"), (frames, "FrameOfReferenceUID")):
            [uid] = {image[keyword].value for image in images}
            found.add(uid)
        series |= {image.SeriesInstanceUID for image in images}
        instances += [image.SOPInstanceUID for image in images]
        for image in images:
            assert image.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID
    assert (len(studies), len(frames), len(series)) == (3, 3, 6)
    assert len(set(instances)) == len(instances)
    assert all(uid.startswith("2.25.") and uid.is_valid for uid in instances)


@pytest.mark.slow
def test_every_value_is_valid_for_its_vr(cohort: list[PhantomTruth]) -> None:
    for truth in cohort:
        for modality in ("CT", "PT"):
            for element in _read(truth.dicom / modality)[0].iterall():
                if element.VR in {"DS", "IS", "UI", "DA", "TM", "CS", "LO", "SH", "PN", "AS"}:
                    values = element.value if element.VM > 1 else [element.value]
                    for value in values:
                        validate_value(element.VR, str(value), pydicom.config.RAISE)


@pytest.mark.slow
def test_nobody_could_take_a_phantom_for_a_patient(cohort: list[PhantomTruth]) -> None:
    image = _read(cohort[1].dicom / "PT")[0]
    assert str(image.PatientName) == "PHANTOM^001"
    assert image.PatientID == "PHANTOM-001"
    assert image.Manufacturer == "petcast phantom (Siemens-like)"
    assert "SYNTHETIC" in image.StudyDescription


@pytest.mark.slow
def test_instances_are_numbered_from_one_in_the_order_of_the_style(
    pets: dict[str, list[pydicom.Dataset]],
) -> None:
    for style, images in pets.items():
        numbers = [int(image.InstanceNumber) for image in images]
        assert sorted(numbers) == list(range(1, len(images) + 1))
        assert (numbers[0] == 1) == (style == "Siemens-like")
        assert all(image.ImageIndex == image.InstanceNumber for image in images)


@pytest.mark.slow
def test_beds_are_measured_one_after_the_other_but_corrected_to_the_start(
    pets: dict[str, list[pydicom.Dataset]],
) -> None:
    images = pets["Siemens-like"]
    times = [image.AcquisitionTime for image in images]
    assert len(set(times)) > 1
    assert min(times) == images[0].SeriesTime
    assert {image.DecayCorrection for image in images} == {"START"}
    factors = {image.AcquisitionTime: float(image.DecayFactor) for image in images}
    assert [factors[t] for t in sorted(factors)] == sorted(factors.values())
    assert {"ATTN", "DECY", "SCAT"} <= set(images[0].CorrectedImage)


@pytest.mark.slow
@pytest.mark.pacs
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_dicom3tools_finds_no_error(cohort: list[PhantomTruth]) -> None:
    for truth in cohort:
        for folder in ("CT", "PT"):
            for path in sorted((truth.dicom / folder).iterdir())[::7]:
                found = subprocess.run(["dciodvfy", path], capture_output=True, check=False).stderr
                assert b"Error" not in found, found.decode()
