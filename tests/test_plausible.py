"""Whether voxels can be what their file says, at the edges of what is believed."""

import numpy as np
import pytest

from petcast.plausible import require_mask, require_on_pet, require_wide
from petcast.refusal import Reason, RefusedError
from petcast.volume import Unit, Volume

STEP_MM = 4.0


def volume(voxels: np.ndarray, unit: Unit, at_mm: tuple[float, float, float] = (0, 0, 0)) -> Volume:
    affine = np.diag([STEP_MM, STEP_MM, STEP_MM, 1.0])
    affine[:3, 3] = at_mm
    return Volume(voxels, affine, unit)


PET = volume(np.ones((20, 30, 30), np.float32), Unit.SUV)


def mask(at_mm: tuple[float, float, float] = (0, 0, 0), high: float = 1) -> Volume:
    voxels = np.zeros(PET.voxels.shape, np.float32)
    voxels[8:12, 10:20, 10:20] = high
    return volume(voxels, Unit.LABEL, at_mm)


@pytest.mark.parametrize("at_mm", [(0, 0, 0), (STEP_MM / 2, 0, -STEP_MM / 2), (0, 0, 2 * STEP_MM)])
def test_a_copy_of_the_pets_grid_may_lie_a_little_off(at_mm) -> None:
    require_on_pet(mask(at_mm), PET)


@pytest.mark.parametrize("at_mm", [(0, 0, 3 * STEP_MM), (-3 * STEP_MM, 0, 0), (0, 500, 0)])
def test_a_copy_of_the_pets_grid_elsewhere_has_lost_its_place(at_mm) -> None:
    with pytest.raises(RefusedError) as caught:
        require_on_pet(mask(at_mm), PET)
    assert caught.value.refusal.reason is Reason.NIFTI_PLACE


def test_a_mask_on_a_grid_of_its_own_lies_where_it_lies() -> None:
    part = volume(np.ones((3, 4, 5), np.uint8), Unit.LABEL, (40.0, 40.0, 40.0))
    require_on_pet(part, PET)
    require_on_pet(volume(np.zeros((3, 4, 5), np.uint8), Unit.LABEL, (900.0, 0, 0)), PET)


@pytest.mark.parametrize("high", [10_001, -1, 0.5])
def test_what_is_no_label_is_no_mask(high: float) -> None:
    require_mask(mask(high=10_000))
    with pytest.raises(RefusedError) as caught:
        require_mask(mask(high=high))
    assert caught.value.refusal.reason is Reason.NOT_A_MASK


@pytest.mark.parametrize(("x_mm", "y_mm"), [(149.0, 300.0), (300.0, 149.0)])
def test_a_chest_is_wide_along_both_axes(x_mm: float, y_mm: float) -> None:
    require_wide(150.0, 150.0)
    with pytest.raises(RefusedError) as caught:
        require_wide(x_mm, y_mm)
    assert caught.value.refusal.reason is Reason.FIELD_OF_VIEW
