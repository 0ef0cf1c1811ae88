"""The model grid: where slices lie that a network sees.

In-plane a square of fixed physical spacing, centred on the body; through-plane the PET's own slice
positions, so that the target is never interpolated along z. A CT without a PET keeps its own
positions, or gets steps of 3 mm where it is finer than 2 mm.
"""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from petcast.anatomy import LUNGS, body_mask
from petcast.refusal import Reason, RefusedError
from petcast.volume import AXIAL_TOLERANCE, POSITION_TOLERANCE_MM, Grid, Volume

if TYPE_CHECKING:
    from petcast.recipe import PreparationRecipe

FINEST_STEP_MM = 2.0
COARSER_STEP_MM = 3.0
"""A CT with finer slices than the first is sampled at the second: PET is no finer."""

COARSE_MM = 4.0
"""Sampling at which the body's centre is found."""

ROUNDED = 1e-3
"""What a quotient of lengths may lose by their rounding."""

LUNG_AREA_MM2 = 200.0
"""A slice with less lung than this is above or below the lungs."""

LEAST_LUNG_ML = 200.0
MOST_LUNG_ML = 12000.0
"""What the lungs of a patient, or the part of them in the images, can hold."""


def grid_for_pair(ct: Volume, pet: Volume, recipe: "PreparationRecipe") -> Grid:
    """Lay the model grid over the slices that CT and PET share.

    Args:
        ct: In HU, axial.
        pet: Axial, in the same frame of reference.
        recipe: Size and spacing.

    Returns:
        A grid whose axes run to L, P and S, on the PET's slice positions.

    Raises:
        RefusedError: NOT-AXIAL, or COVERAGE where they share no slice.
    """
    ct, pet = standing(ct, "CT"), standing(pet, "PET")
    bottom_mm, step_mm, slices = _shared_slices(ct, pet)
    return _grid(_body_centre_mm(ct), bottom_mm, step_mm, slices, recipe)


def grid_for_ct(ct: Volume, recipe: "PreparationRecipe") -> Grid:
    """Lay the model grid over a CT that has no PET.

    Args:
        ct: In HU, axial.
        recipe: Size and spacing.

    Returns:
        A grid whose axes run to L, P and S.

    Raises:
        RefusedError: NOT-AXIAL.
    """
    ct = standing(ct, "CT")
    bottom_mm, step_mm, slices = float(ct.affine[2, 3]), ct.spacing_mm[2], len(ct.voxels)
    # 2 mm computed of positions may read 1.999…; the same CT as NIfTI then reads 2
    if step_mm < FINEST_STEP_MM - POSITION_TOLERANCE_MM and slices > 1:
        length_mm = step_mm * (slices - 1)
        # Lengths are rounded: 63 mm that read 62.999… are 21 steps, and with 20 of them the ends of
        # the CT would lie on the very face of the grid, where nothing is sampled.
        slices = math.floor((length_mm + POSITION_TOLERANCE_MM) / COARSER_STEP_MM) + 1
        step_mm = COARSER_STEP_MM
        bottom_mm += (length_mm - step_mm * (slices - 1)) / 2
    return _grid(_body_centre_mm(ct), bottom_mm, step_mm, slices, recipe)


def standing(volume: Volume, name: str) -> Volume:
    """Store a volume along L, P and S, if its axes are the body's.

    Args:
        volume: Any.
        name: What it is, for the refusal.

    Returns:
        The same content, `Volume.canonical`.

    Raises:
        RefusedError: NOT-AXIAL: it is tilted or oblique.
    """
    off_axis = np.sort(np.abs(volume.grid.direction), axis=0)[:2]
    if off_axis.max() > AXIAL_TOLERANCE:
        degrees = math.degrees(math.asin(min(1.0, float(off_axis.max()))))
        raise RefusedError(
            Reason.NOT_AXIAL, f"The {name} is turned by {degrees:.1f} degrees against the body."
        )
    return volume.canonical()


def chest_slices(regions: NDArray[np.uint8], grid: Grid, recipe: "PreparationRecipe") -> slice:
    """Choose the slices to keep: those with lungs and a margin, or all.

    Args:
        regions: Labels of `anatomy.regions` on `grid`, (z, y, x).
        grid: Where they lie.
        recipe: `slices` and `margin_mm`.

    Returns:
        Which z to keep; at least one.

    Raises:
        RefusedError: NO-LUNGS, where lungs are asked for and there are none.
    """
    if recipe.slices == "all":
        return slice(0, len(regions))
    x_mm, y_mm, z_mm = grid.spacing_mm
    area_mm2 = (regions == LUNGS).sum(axis=(1, 2)) * x_mm * y_mm
    volume_ml = float(area_mm2.sum()) * z_mm / 1000
    places = np.flatnonzero(area_mm2 >= LUNG_AREA_MM2)
    if not places.size or not LEAST_LUNG_ML <= volume_ml <= MOST_LUNG_ML:
        raise RefusedError(
            Reason.NO_LUNGS,
            f"On the CT, {volume_ml:.0f} mL look like lung; expected {LEAST_LUNG_ML:.0f} to "
            f"{MOST_LUNG_ML:.0f} mL.",
        )
    margin = round(recipe.margin_mm / z_mm)
    return slice(max(0, int(places[0]) - margin), min(len(regions), int(places[-1]) + 1 + margin))


def thinned(volume: Volume) -> Volume:
    """Take every n-th voxel along each axis, for finding large things soon.

    Args:
        volume: Any.

    Returns:
        About 4 mm apart, or as coarse as it was; nothing is interpolated.
    """
    # NIfTI keeps spacings in float32: 0.8 mm, 0.80000001 there, goes five times into 4 mm, too
    steps = [max(1, int(COARSE_MM / spacing + ROUNDED)) for spacing in volume.spacing_mm]
    x, y, z = steps
    return replace(
        volume,
        voxels=np.ascontiguousarray(volume.voxels[::z, ::y, ::x]),
        affine=volume.affine @ np.diag([*map(float, steps), 1.0]),
    )


def part_of(grid: Grid, kept: slice) -> Grid:
    """The grid of some of a grid's slices.

    Args:
        grid: The whole.
        kept: Which z, with start and stop and no step.

    Returns:
        The part.
    """
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, 2] * kept.start
    _, y, x = grid.shape
    return Grid((kept.stop - kept.start, y, x), affine)


def _grid(
    centre_mm: tuple[float, float],
    bottom_mm: float,
    step_mm: float,
    slices: int,
    recipe: "PreparationRecipe",
) -> Grid:
    affine = np.diag([recipe.spacing_mm, recipe.spacing_mm, step_mm, 1.0])
    half_mm = recipe.spacing_mm * (recipe.size - 1) / 2
    affine[:3, 3] = (centre_mm[0] - half_mm, centre_mm[1] - half_mm, bottom_mm)
    return Grid((slices, recipe.size, recipe.size), affine)


def _shared_slices(ct: Volume, pet: Volume) -> tuple[float, float, int]:
    """Lowest position, step and number of the PET's slices whose centres lie in the CT.

    A centre on the very face of the CT's first or last slice is left out: resampling has air there.
    """
    step_mm, ct_step_mm = pet.spacing_mm[2], ct.spacing_mm[2]
    heights_mm = pet.affine[2, 3] + step_mm * np.arange(len(pet.voxels))
    half_mm = ct_step_mm / 2 - POSITION_TOLERANCE_MM
    bottom_mm = ct.affine[2, 3] - half_mm
    top_mm = ct.affine[2, 3] + ct_step_mm * (len(ct.voxels) - 1) + half_mm
    inside = np.flatnonzero((heights_mm >= bottom_mm) & (heights_mm <= top_mm))
    if not inside.size:
        raise RefusedError(
            Reason.COVERAGE,
            f"The CT ends {max(bottom_mm - heights_mm[-1], heights_mm[0] - top_mm):.0f} mm before "
            "the PET begins.",
        )
    return float(heights_mm[inside[0]]), step_mm, int(inside.size)


def _body_centre_mm(ct: Volume) -> tuple[float, float]:
    """Middle of the box around the body along x and y; the images' middle without a body."""
    thin = thinned(ct)
    body = body_mask(thin).voxels
    x, y = (_middle(np.asarray(body.max(axis=axes)) > 0) for axes in ((0, 1), (0, 2)))
    x_mm, y_mm, _, _ = thin.affine @ np.array([x, y, 0, 1])
    return float(x_mm), float(y_mm)


def _middle(seen: NDArray[np.bool_]) -> float:
    places = np.flatnonzero(seen) if seen.any() else np.arange(len(seen))
    return float(places[0] + places[-1]) / 2
