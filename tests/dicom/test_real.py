"""What the real objects and the real patients must give."""

from pathlib import Path

import numpy as np
import pytest

from petcast.dicom.header import read_header
from petcast.dicom.read import load_ct_and_source, read_ct, read_pet
from petcast.dicom.scale import philips_routes
from petcast.dicom.scan import scan
from petcast.dicom.suv import measure_suv
from petcast.refusal import Reason
from petcast.volume import Unit, Volume

pytestmark = pytest.mark.real
SALT = "tests"

DIGITAL_REFERENCE_OBJECTS = [
    "0_0", "1_0", "2_0", "2_1", "2_2", "2_3", "2_4", "2_5", "3_0", "3_1", "3_2", "3_3", "3_4",
    "4_0", "4_1", "4_2", "5_0",
]  # fmt: skip


@pytest.mark.parametrize("name", DIGITAL_REFERENCE_OBJECTS)
def test_ibsi_digital_reference_objects(name: str, real_data: Path) -> None:
    folder = real_data / "ibsi_suv_dro" / f"DRO_{name}"
    [row] = measure_suv(folder / "PT", folder / "mask" / "DRO_mask.nii.gz")["series"]
    for quantity, expected in (("max", 4.00), ("min", 0.20), ("median", 1.00)):
        assert row[quantity] == pytest.approx(expected, abs=0.026)


def test_two_studies_are_usable_and_the_rest_says_why(real_data: Path) -> None:
    found = scan([real_data / "dicom"], salt=SALT)
    usable = [study for study in found.studies if study.refusal is None]
    places = {study.ct.files[0].parent.parent.name for study in usable if study.ct}
    assert places == {"ge_discovery_ste_lungs", "siemens_biograph64_lungs"}
    reasons = [study.refusal.reason for study in found.studies if study.refusal]
    assert sorted(reasons) == sorted(
        [Reason.NO_CT, *[Reason.NO_PET] * 2, Reason.TOO_FEW_SLICES, *[Reason.TRACER] * 2]
    )


def test_suv_of_a_whole_series_equals_the_published_crop(real_data: Path) -> None:
    [series] = scan([real_data / "dicom" / "tcia_sts001_ge_discovery_st"], salt=SALT).series
    reference = Volume.load(real_data / "volumes" / "sts001crop_pet.nii.gz", Unit.SUV)
    suv = read_pet(series).suv.resampled(reference.grid, outside=0)
    ratio = suv.voxels[reference.voxels > 0.1] / reference.voxels[reference.voxels > 0.1]
    assert np.median(ratio) == pytest.approx(1, abs=0.001)
    low, high = np.percentile(ratio, (1, 99))
    assert 0.999 < low < high < 1.001


def test_both_private_routes_of_philips_agree(real_data: Path) -> None:
    files = (real_data / "dicom" / "philips_ingenuity_phantom" / "PT").iterdir()
    headers = [read_header(path) for path in files]
    pet = headers[0].shared.pet
    direct, by_activity = philips_routes(pet, [h.slices[0] for h in headers])
    assert by_activity == pytest.approx(direct, rel=0.005)


@pytest.mark.parametrize(
    ("folder", "case", "uptake_minutes"),
    [("ge_discovery_ste_lungs", "ge_a", 66.6), ("siemens_biograph64_lungs", "siemens_b", 63.9)],
)
def test_patients_equal_their_volumes(folder, case, uptake_minutes, real_data: Path) -> None:
    [study] = scan([real_data / "dicom" / folder], salt=SALT).studies
    reading = read_pet(study.pet)
    assert reading.time_rule == "series-time"
    assert reading.uptake_minutes == pytest.approx(uptake_minutes, abs=0.1)
    reference = Volume.load(real_data / "volumes" / f"{case}_pet.nii.gz", Unit.SUV)
    expected = reference.resampled(reading.suv.grid, outside=0).voxels
    hot = reading.suv.voxels > 0.5
    np.testing.assert_allclose(expected[hot] / reading.suv.voxels[hot], 1, atol=0.01)


def test_ge_padding_is_air(real_data: Path) -> None:
    ct = load_ct_and_source(real_data / "dicom" / "ge_discovery_ste_lungs" / "CT")[0]
    assert ct.voxels.min() == -1024
    assert (ct.voxels[:, 0, 0] == -1024).all()


def test_a_series_reads_the_same_in_simpleitk(real_data: Path) -> None:
    import SimpleITK as sitk

    folder = real_data / "dicom" / "siemens_biograph64_lungs" / "CT"
    ct = load_ct_and_source(folder)[0]
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    np.testing.assert_array_equal(ct.voxels, sitk.GetArrayFromImage(image))
    np.testing.assert_allclose(ct.grid.origin_mm, image.GetOrigin())
    np.testing.assert_allclose(ct.spacing_mm, image.GetSpacing())


def test_every_file_is_accounted_for(real_data: Path, accounted) -> None:
    found = scan([real_data / "dicom"], salt=SALT)
    files = sorted(path for path in (real_data / "dicom").rglob("*") if path.is_file())
    assert accounted(found) == files


def test_the_ct_of_a_study_is_read(real_data: Path) -> None:
    [study] = scan([real_data / "dicom" / "ge_discovery_ste_lungs"], salt=SALT).studies
    assert read_ct(study.ct).voxels.shape == (54, 512, 512)
