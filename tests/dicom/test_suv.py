"""`petcast suv`: every PET is measured, the unfit ones with their reason beside the numbers."""

from pathlib import Path

import numpy as np
import pytest

from petcast.dicom.suv import measure_suv
from petcast.errors import GeometryError, UsageError
from petcast.refusal import RefusedError
from petcast.volume import Unit, Volume

PEAK = 2100 * 70_000 / (350e6 * 2 ** (-3600 / 6586.2))


def mask_file(path: Path, voxels: np.ndarray, affine: np.ndarray) -> Path:
    Volume(voxels.astype(np.uint8), affine, Unit.LABEL).save(path)
    return path


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


def test_only_voxels_in_the_mask_count(export, tmp_path: Path, pet_affine) -> None:
    voxels = np.zeros((12, 8, 8))
    voxels[0, 3, 3] = voxels[5, 3, 3] = 1
    mask = mask_file(tmp_path / "mask.nii.gz", voxels, pet_affine)
    [row] = measure_suv(export.write(), mask)["series"]
    assert row["voxels"] == 2
    assert row["min"] == pytest.approx(PEAK * 1000 / 2100, rel=1e-6)
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


def test_a_folder_without_pet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="NO-PET"):
        measure_suv(tmp_path)
