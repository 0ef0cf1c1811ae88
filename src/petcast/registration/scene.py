"""CT and PET as the registration check sees them: at 4 mm, trunk and arms told apart.

Arms may move between CT and PET. On both alike, the trunk is what a disc of 60 mm radius fits
into, slice by slice; whatever else is body is arm, neck or breast, and the surroundings of these
take no part in the measurement, neither where the CT shows them nor where the PET does.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petcast.anatomy import LUNGS, OUTSIDE
from petcast.volume import FWHM_PER_SIGMA, Grid

VOXEL_MM = 4.0
"""Sampling at which agreement is measured; PET resolves no more."""
TRUNK_RADIUS_MM = 60.0
"""Upper arms are thinner, trunks are thicker."""
ARM_MARGIN_MM = 12.0
"""How far around an arm nothing is compared."""
SURROUNDINGS_MM = 20.0
"""How far around trunk and lungs there is something to compare."""
WINDOW_MARGIN_MM = 60.0
"""How far around the CT's body PET is looked at: beyond any shift that is looked for."""
OUTLINE_SHARE = 0.15
"""Of the soft tissue's uptake: half of what fat under the skin takes up."""
OUTLINE_BLUR_MM = 2.0
FAT_HU, BONE_HU = -20.0, 130.0
"""Between fat and soft tissue, and between soft tissue and bone, averaged over 4 mm."""
PET_FWHM_MM = 7.0

Mask = NDArray[np.bool_]
Field = NDArray[np.float64]
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Scene:
    """CT and PET at about 4 mm; every array is (z, y, x).

    Attributes:
        hu: The CT.
        uptake: The PET, squeezed to 0…1 so that no organ outshines the rest; 0.63 is the median
            of the trunk's soft tissue.
        body: On CT.
        lung: On CT.
        trunk: On CT.
        pet_body: On PET.
        pet_trunk: On PET.
        compared: Around the CT's trunk, not around its arms.
        clear: Not around the PET's arms.
        tissues: Share of each tissue in each voxel, as blurred as a PET, (tissue, z, y, x).
        spacing_mm: Distance of voxels along (z, y, x).
        slices: How many of the model grid's slices make one of these.
    """

    hu: Field
    uptake: Field
    body: Mask
    lung: Mask
    trunk: Mask
    pet_body: Mask
    pet_trunk: Mask
    compared: Mask
    clear: Mask
    tissues: Field
    spacing_mm: Triple
    slices: int


def build_scene(
    ct: NDArray[np.int16], pet: NDArray[np.float32], regions: NDArray[np.uint8], grid: Grid
) -> Scene | None:
    """Make what is compared.

    Args:
        ct: HU, (z, y, x).
        pet: SUV, (z, y, x).
        regions: 0 outside, 1 body, 2 lungs, (z, y, x).
        grid: Where they lie; its axes run to L, P and S.

    Returns:
        The scene; None where the CT shows no trunk or the PET nothing in it.
    """
    steps_mm = grid.spacing_mm[::-1]
    factors = tuple(max(1, round(VOXEL_MM / step)) for step in steps_mm)
    z_mm, y_mm, x_mm = (step * factor for step, factor in zip(steps_mm, factors, strict=True))
    spacing_mm = (z_mm, y_mm, x_mm)
    window = _window(regions, grid)
    ct, pet, regions = ct[window], pet[window], regions[window]
    if any(size < factor for size, factor in zip(ct.shape, factors, strict=True)):
        return None
    hu, suv = _thinned(ct, factors), _thinned(pet, factors)
    body = _thinned(regions != OUTSIDE, factors) > 0.5
    lung = _thinned(regions == LUNGS, factors) > 0.5
    trunk = _trunk(body, spacing_mm)
    soft = trunk & ~lung & (hu > FAT_HU)
    level_suv = float(np.median(suv[soft])) if soft.any() else 0.0
    if level_suv <= 0:
        return None
    pet_body = _outline(suv, level_suv, spacing_mm)
    pet_trunk = _trunk(pet_body, spacing_mm)
    return Scene(
        hu=hu,
        uptake=1 - np.exp(-np.maximum(suv, 0) / level_suv),
        body=body,
        lung=lung,
        trunk=trunk,
        pet_body=pet_body,
        pet_trunk=pet_trunk,
        compared=around(trunk, SURROUNDINGS_MM, spacing_mm)
        & _clear_of_arms(body, trunk, spacing_mm),
        clear=_clear_of_arms(pet_body, pet_trunk, spacing_mm),
        tissues=_tissues(hu, body, lung, spacing_mm),
        spacing_mm=spacing_mm,
        slices=factors[0],
    )


def around(mask: Mask, reach_mm: float, spacing_mm: Triple) -> Mask:
    """Grow a mask by a box.

    Args:
        mask: (z, y, x).
        reach_mm: How far, along each axis.
        spacing_mm: Distance of voxels along (z, y, x).

    Returns:
        The mask and its surroundings.
    """
    from scipy.ndimage import maximum_filter

    widths = [2 * round(reach_mm / step) + 1 for step in spacing_mm]
    return np.asarray(maximum_filter(mask, widths, mode="constant"))


def _window(regions: NDArray[np.uint8], grid: Grid) -> tuple[slice, slice, slice]:
    """All slices; rows and columns around the body: the rest is air and costs time."""
    x_mm, y_mm, _ = grid.spacing_mm
    flat = (regions != OUTSIDE).any(axis=0)
    rows, columns = (
        _reaching(flat.any(axis=axis), WINDOW_MARGIN_MM / step)
        for axis, step in ((1, y_mm), (0, x_mm))
    )
    return slice(None), rows, columns


def _reaching(inside: Mask, margin: float) -> slice:
    places = np.flatnonzero(inside)
    if not places.size:
        return slice(0, 0)
    return slice(max(0, int(places[0] - margin)), int(places[-1] + margin) + 1)


def _thinned(voxels: NDArray[Any], factors: tuple[int, ...]) -> Field:
    """Means of blocks; what does not fill a block at an end is left out."""
    z, y, x = (size // factor for size, factor in zip(voxels.shape, factors, strict=True))
    fz, fy, fx = factors
    whole = voxels[: z * fz, : y * fy, : x * fx].astype(np.float32)
    return np.asarray(whole.reshape(z, fz, y, fy, x, fx).mean(axis=(1, 3, 5)), dtype=np.float64)


def _outline(suv: Field, level_suv: float, spacing_mm: Triple) -> Mask:
    """The body on PET, filled slice by slice."""
    from scipy.ndimage import binary_fill_holes, gaussian_filter

    smooth = gaussian_filter(suv, [OUTLINE_BLUR_MM / step for step in spacing_mm])
    warm = smooth > OUTLINE_SHARE * level_suv
    return np.stack([np.asarray(binary_fill_holes(plane)) for plane in warm])


def _trunk(body: Mask, spacing_mm: Triple) -> Mask:
    """What a disc of `TRUNK_RADIUS_MM` fits into, slice by slice."""
    return np.stack([_opened(plane, spacing_mm[1:]) for plane in body])


def _opened(plane: Mask, spacing_mm: tuple[float, float]) -> Mask:
    from scipy.ndimage import distance_transform_edt

    padded = np.pad(plane, 1)
    core = np.asarray(distance_transform_edt(padded, spacing_mm)) > TRUNK_RADIUS_MM
    if not core.any():
        return np.zeros_like(plane)
    reached = np.asarray(distance_transform_edt(~core, spacing_mm)) <= TRUNK_RADIUS_MM
    return np.asarray((reached & padded)[1:-1, 1:-1])


def _clear_of_arms(body: Mask, trunk: Mask, spacing_mm: Triple) -> Mask:
    return trunk | ~around(body & ~trunk, ARM_MARGIN_MM, spacing_mm)


def _tissues(hu: Field, body: Mask, lung: Mask, spacing_mm: Triple) -> Field:
    """Shares of air, lung, fat, soft tissue and bone, blurred as a PET is."""
    from scipy.ndimage import gaussian_filter

    solid = body & ~lung
    fat, bone = hu < FAT_HU, hu >= BONE_HU
    masks = (~body, lung & body, solid & fat, solid & ~fat & ~bone, solid & bone)
    sigma = [PET_FWHM_MM / FWHM_PER_SIGMA / step for step in spacing_mm]
    return np.stack([gaussian_filter(mask.astype(np.float64), sigma) for mask in masks])
