"""Whether voxels can be what their file says: HU, SUV or a mask.

A NIfTI file names no unit. These checks find what gets mixed up in practice: a CT windowed to 8
bits or shifted by 1024, a PET in Bq/mL, kBq/mL or counts, or one divided by its maximum. DICOM
names one, but exports that drop or reset the rescale leave a CT in no HU there, too.
"""

import numpy as np
from numpy.typing import NDArray

from petcast.align import require_body_mean
from petcast.anatomy import BODY, body_mask
from petcast.grid import thinned
from petcast.refusal import Reason, RefusedError
from petcast.volume import Grid, Volume
from petcast.words import count

LEAST_FIELD_MM = 150.0
"""No adult's chest is narrower; images that are do not show whole cross-sections."""

AIR_BELOW_HU = -500.0
TISSUE_HU = (-200.0, 300.0)
LEAST_AIR_SHARE = 0.005
LEAST_TISSUE_SHARE = 0.02
HIGHEST_HU = 40_000.0
"""Extended CT scales reach 30,710 at metal."""

PART_HU = (0.0, 10.0)
"""Any piece of a body goes beyond both: fat, air and noise below, soft tissue above."""

LOWEST_SUV = -5.0
"""Some reconstructions and interpolations undershoot zero, but not by so much."""

MOST_LABELS = 10_000

MOVED_VOXELS = 2
"""A copy of a grid may lie half a voxel off, by another convention; this far off it was lost."""


def require_ct(ct: Volume) -> None:
    """Refuse what is no CT of whole cross-sections in HU.

    Args:
        ct: Meant to be one.

    Raises:
        RefusedError: FIELD-OF-VIEW or NOT-HU.
    """
    require_field_of_view(ct)
    require_hu(ct)


def require_field_of_view(ct: Volume) -> None:
    """Refuse a box cut out of a body.

    Args:
        ct: Of any unit.

    Raises:
        RefusedError: FIELD-OF-VIEW.
    """
    standing = ct.canonical()
    width_mm, depth_mm, _ = (
        step * n
        for step, n in zip(standing.spacing_mm, reversed(standing.voxels.shape), strict=True)
    )
    require_wide(width_mm, depth_mm)


def require_wide(width_mm: float, depth_mm: float) -> None:
    """Refuse images that are narrower than a chest.

    Args:
        width_mm: From right to left.
        depth_mm: From front to back.

    Raises:
        RefusedError: FIELD-OF-VIEW.
    """
    if min(width_mm, depth_mm) < LEAST_FIELD_MM:
        raise RefusedError(
            Reason.FIELD_OF_VIEW,
            f"The CT is {width_mm:.0f} × {depth_mm:.0f} mm wide; a chest needs at least "
            f"{LEAST_FIELD_MM:.0f} mm.",
        )


def require_hu(ct: Volume) -> None:
    """Refuse a CT whose values cannot be HU.

    Args:
        ct: Meant to be in HU.

    Raises:
        RefusedError: NOT-HU.
    """
    hu = thinned(ct).voxels
    low, high = float(hu.min()), float(hu.max())
    air = float((hu < AIR_BELOW_HU).mean())
    tissue = float(((hu >= TISSUE_HU[0]) & (hu <= TISSUE_HU[1])).mean())
    if air < LEAST_AIR_SHARE or tissue < LEAST_TISSUE_SHARE or high > HIGHEST_HU:
        raise RefusedError(
            Reason.NOT_HU,
            f"The CT's values run from {low:g} to {high:g}; {100 * air:.1f} % look like air in HU "
            f"and {100 * tissue:.1f} % like soft tissue.",
        )


def require_hu_of_part(ct: Volume) -> None:
    """Refuse a CT whose values cannot be HU; a box cut out of a body need not hold air.

    Args:
        ct: Meant to be in HU, of whole cross-sections or of less.

    Raises:
        RefusedError: NOT-HU.
    """
    try:
        require_field_of_view(ct)
    except RefusedError:
        low, high = float(ct.voxels.min()), float(ct.voxels.max())
        if low >= PART_HU[0] or high <= PART_HU[1]:
            raise RefusedError(
                Reason.NOT_HU, f"The CT's values run from {low:g} to {high:g}."
            ) from None
        return
    require_hu(ct)


def require_suv(pet: Volume, ct: Volume) -> None:
    """Refuse a PET whose values cannot be SUV.

    Args:
        pet: Meant to be in SUV.
        ct: In HU, in the same space: it shows the body.

    Raises:
        RefusedError: NOT-SUV, or COVERAGE where they have no part of the body in common.
    """
    low, high = float(pet.voxels.min()), float(pet.voxels.max())
    if low < LOWEST_SUV:
        raise RefusedError(Reason.NOT_SUV, f"The PET's lowest value is {low:g}.")
    if _whole_numbers(pet.voxels):
        raise RefusedError(
            Reason.NOT_SUV, f"The PET holds whole numbers only, from {low:g} to {high:g}."
        )
    require_body_mean(_body_mean(pet, ct))


def require_mask(mask: Volume) -> None:
    """Refuse a lesion mask that holds anything but labels.

    Args:
        mask: Not 0 inside lesions.

    Raises:
        RefusedError: NOT-A-MASK.
    """
    low, high = float(mask.voxels.min()), float(mask.voxels.max())
    if low < 0 or high > MOST_LABELS or not _whole_numbers(mask.voxels):
        raise RefusedError(
            Reason.NOT_A_MASK, f"Its values run from {low:g} to {high:g}, whole numbers or not."
        )


def require_on_pet(mask: Volume, pet: Volume) -> None:
    """Refuse a mask whose place was lost: what it marks would be taken for elsewhere, or nothing.

    Nothing of it lies inside the PET's own grid, or it is a copy of that grid in another place.

    Args:
        mask: Not 0 inside lesions.
        pet: That it was drawn on.

    Raises:
        RefusedError: NIFTI-PLACE.
    """
    z, y, x = np.nonzero(mask.voxels)
    if not z.size:
        return
    to_pet = np.linalg.inv(pet.affine) @ mask.affine
    places = to_pet[:3, :3] @ np.stack([x, y, z]) + to_pet[:3, 3:]
    size = np.array(pet.voxels.shape[::-1])[:, np.newaxis]
    if not ((places > -0.5) & (places < size - 0.5)).all(axis=0).any():
        raise RefusedError(
            Reason.NIFTI_PLACE,
            f"The lesion mask marks {count(z.size, 'voxel')}, none of them inside the PET; its "
            "origin was lost.",
        )
    if moved(mask.canonical().grid, pet.canonical().grid):
        raise RefusedError(
            Reason.NIFTI_PLACE,
            "The lesion mask has the PET's size and spacing and lies elsewhere; its origin was "
            "lost.",
        )


def moved(grid: Grid, original: Grid) -> bool:
    """Say whether a grid is a copy of another one that lost its place.

    Args:
        grid: Of a mask, its axes along L, P and S.
        original: Of the PET that it was drawn on, alike.

    Returns:
        True where it has the same size and spacing, and lies elsewhere.
    """
    alike = grid.shape == original.shape and np.allclose(
        grid.spacing_mm, original.spacing_mm, rtol=0.01
    )
    return alike and not grid.matches(original, MOVED_VOXELS * max(original.spacing_mm))


def _body_mean(pet: Volume, ct: Volume) -> float:
    body = body_mask(thinned(ct))
    on_ct = pet.resampled(body.grid, outside=np.nan, antialias=False).voxels
    inside = on_ct[(body.voxels == BODY) & np.isfinite(on_ct)]
    if not inside.size:
        raise RefusedError(Reason.COVERAGE, "No part of the body is on both the CT and the PET.")
    return float(inside.mean(dtype=np.float64))


def _whole_numbers(voxels: NDArray[np.generic]) -> bool:
    if voxels.dtype.kind in "biu":
        return True
    return all(bool((plane == np.rint(plane)).all()) for plane in voxels)
