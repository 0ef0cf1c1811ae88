"""Real patients: plausible figures, and a PET that is moved by 15 mm is found out."""

from pathlib import Path

import numpy as np
import pytest

from petcast.align import align
from petcast.prepare.cohort import find
from petcast.recipe import PreparationRecipe
from petcast.registration import Registration, measure_registration
from petcast.volume import Unit, Volume

RECIPE = PreparationRecipe(spacing_mm=4.0, size=128)
MOVED = {
    "dicom/ge_discovery_ste_lungs": ((15.0, 0.0, 0.0), (0.0, 0.0, -15.0)),
    "dicom/siemens_biograph64_lungs": ((0.0, -15.0, 0.0), (0.0, 0.0, 15.0)),
}


def measured(aligned, *mm: float) -> Registration:
    affine = aligned.grid.affine.copy()
    affine[:3, 3] += mm
    moved = Volume(aligned.arrays["pet"], affine, Unit.SUV).resampled(aligned.grid, outside=0.0)
    return measure_registration(
        aligned.arrays["ct"], moved.voxels, aligned.arrays["regions"], aligned.grid
    )


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("folder", MOVED)
def test_a_real_study_is_good_and_a_moved_one_is_found_out(folder: str, real_data: Path) -> None:
    [case] = find([real_data / folder], "tests").cases
    aligned = align(case.read(), RECIPE)
    found = measured(aligned, 0, 0, 0)
    assert found.warnings == ()
    assert min(found.body_dice, found.trunk_dice) > 0.92
    assert np.abs(np.array(found.body.mm)).max() < 4
    assert abs(found.dome_mm) < 8
    for mm in MOVED[folder]:
        moved = measured(aligned, *mm)
        change = np.array(moved.body.mm) - np.array(found.body.mm)
        assert np.abs(change - mm).max() < 4
        assert "BODY-SHIFT" in {code for code, _ in moved.warnings}
