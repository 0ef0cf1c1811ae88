"""One study's CT and PET → arrays on the model grid: the work that `prepare` does for each.

The chest is looked for on a thinned CT first, so that of a whole body only the chest is brought
to the grid.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petcast.anatomy import OUTSIDE, regions
from petcast.grid import chest_slices, grid_for_pair, part_of, standing, thinned
from petcast.recipe import PreparationRecipe
from petcast.refusal import Reason, RefusedError
from petcast.volume import AIR_HU, HIGHEST_HU, Grid, Unit, Volume
from petcast.words import count

BODY_SUV = (0.1, 3.0)
"""By its definition, SUV averages about 1 over a body; kBq/mL, Bq/mL and a dose in kBq lie above,
parts of a maximum below."""

SEARCH_MARGIN_MM = 40.0
"""How far beyond the lungs of the thinned CT the exact search goes."""


@dataclass(frozen=True)
class Reading:
    """What a study's files hold.

    Attributes:
        ct: In HU.
        pet: In SUV of body weight, g/mL.
        factor_rule: How stored values became SUV.
        time_rule: Which time the decay was counted to.
        uptake_minutes: From injection to scan, where known.
        notes: What was repaired or assumed, in sentences without identities.
        lesions: A mask, on any grid, where the cohort has one.
        boxes: Published tumour boxes in LPS mm, and counts, where they were asked for.
    """

    ct: Volume
    pet: Volume
    factor_rule: str
    time_rule: str
    uptake_minutes: float | None = None
    notes: tuple[str, ...] = ()
    lesions: Volume | None = None
    boxes: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Aligned:
    """A study on the model grid.

    Attributes:
        arrays: "ct" int16 HU, "pet" float32 SUV, "regions" uint8 and perhaps "lesions" uint8,
            each (z, y, x).
        grid: Where they lie.
        ct_spacing_mm: The CT's own spacing along (x, y, z).
        pet_spacing_mm: The PET's.
        notes: What was lost on the way, in sentences without identities.
    """

    arrays: Mapping[str, NDArray[Any]]
    grid: Grid
    ct_spacing_mm: tuple[float, float, float]
    pet_spacing_mm: tuple[float, float, float]
    notes: tuple[str, ...] = ()


def align(reading: Reading, recipe: PreparationRecipe) -> Aligned:
    """Bring a study to the model grid and keep the slices that are wanted.

    Args:
        reading: CT in HU and PET in SUV, in one frame of reference.
        recipe: The grid, and which slices.

    Returns:
        The arrays and their grid.

    Raises:
        RefusedError: NOT-AXIAL, COVERAGE or NO-LUNGS.
        UnitError: CT or PET have another unit.
    """
    ct = standing(reading.ct.require(Unit.HU), "CT")
    pet = standing(reading.pet.require(Unit.SUV), "PET")
    grid = _searched(ct, grid_for_pair(ct, pet, recipe), recipe)
    found = ct_on_grid(ct, grid)
    labels = regions(found).voxels
    kept = chest_slices(labels, grid, recipe)
    grid = part_of(grid, kept)
    arrays: dict[str, NDArray[Any]] = {"ct": found.voxels[kept], "regions": labels[kept]}
    arrays["pet"] = pet.resampled(grid, outside=0.0).voxels
    notes: tuple[str, ...] = ()
    if reading.lesions is not None:
        arrays["lesions"] = _lesions(reading.lesions, grid)
        notes = _lost_lesions(reading.lesions, grid, arrays["lesions"] > 0)
    return Aligned(arrays, grid, ct.spacing_mm, pet.spacing_mm, notes)


def require_suv_of_a_body(aligned: Aligned) -> None:
    """Refuse a PET whose mean inside the body cannot be SUV, whatever its header says.

    Args:
        aligned: A study on the model grid.

    Raises:
        RefusedError: NOT-SUV.
    """
    inside = aligned.arrays["pet"][aligned.arrays["regions"] != OUTSIDE]
    if inside.size:
        require_body_mean(float(inside.mean(dtype=np.float64)))


def require_body_mean(mean: float) -> None:
    """Refuse a mean inside the body that cannot be SUV.

    Args:
        mean: Of the PET's values.

    Raises:
        RefusedError: NOT-SUV.
    """
    if not BODY_SUV[0] <= mean <= BODY_SUV[1]:
        raise RefusedError(
            Reason.NOT_SUV,
            f"Inside the body the PET's mean is {mean:.3g}; SUV averages about 1 and lies between "
            f"{BODY_SUV[0]:g} and {BODY_SUV[1]:g}.",
        )


def ct_on_grid(ct: Volume, grid: Grid) -> Volume:
    """Bring a CT to the model grid, with anti-aliasing.

    Args:
        ct: In HU, its slices from the feet up.
        grid: A model grid.

    Returns:
        int16 HU from -1024 to 3071; -1024 outside the CT.
    """
    resampled = _cut_to(ct, grid).resampled(grid, outside=AIR_HU)
    hu = np.clip(np.rint(resampled.voxels), AIR_HU, HIGHEST_HU)
    return resampled.like(hu.astype(np.int16))


def _cut_to(ct: Volume, grid: Grid) -> Volume:
    """Only the slices that the grid needs, and a few more for smoothing: memory is short."""
    step_mm = ct.spacing_mm[2]
    reach = 4 + round(2 * grid.spacing_mm[2] / step_mm)
    first = (grid.affine[2, 3] - ct.affine[2, 3]) / step_mm
    last = first + (grid.shape[0] - 1) * grid.spacing_mm[2] / step_mm
    kept = slice(max(0, int(first) - reach), min(len(ct.voxels), int(last) + reach + 1))
    return replace(ct, voxels=ct.voxels[kept], affine=part_of(ct.grid, kept).affine)


def _searched(ct: Volume, grid: Grid, recipe: PreparationRecipe) -> Grid:
    """The part of the grid around the lungs; all of it where none are seen at first sight."""
    if recipe.slices == "all":
        return grid
    thin = thinned(_cut_to(ct, grid))
    wider = recipe.model_copy(update={"margin_mm": recipe.margin_mm + SEARCH_MARGIN_MM})
    try:
        seen = chest_slices(regions(thin).voxels, thin.grid, wider)
    except RefusedError:
        return grid
    heights_mm = thin.affine[2, 3] + thin.spacing_mm[2] * np.array([seen.start, seen.stop - 1])
    first, last = (heights_mm - grid.affine[2, 3]) / grid.spacing_mm[2]
    start, stop = max(0, int(first)), min(grid.shape[0], int(last) + 2)
    return part_of(grid, slice(start, max(start + 1, stop)))


def _lesions(mask: Volume, grid: Grid) -> NDArray[np.uint8]:
    """A lesion mask on the grid; a voxel counts where most of it was lesion."""
    inside = Volume((mask.voxels != 0).astype(np.float32), mask.affine, Unit.LABEL)
    share = inside.resampled(grid, outside=0.0).voxels
    return np.asarray(share >= 0.5, dtype=np.uint8)


def _lost_lesions(mask: Volume, grid: Grid, placed: NDArray[np.bool_]) -> tuple[str, ...]:
    """Say how many lesions between the grid's first and last slice fill none of its voxels."""
    to_grid = np.linalg.inv(grid.affine) @ mask.affine
    last = np.array(grid.shape[::-1]) - 0.5
    within = lost = 0
    for corners in _boxes(mask.voxels != 0):
        places = (to_grid @ corners)[:3]
        low, high = places.min(axis=1), places.max(axis=1)
        if ((low + high < -1) | (low + high > 2 * last)).any():
            continue
        x, y, z = (
            slice(max(0, math.floor(start)), math.ceil(stop) + 1)
            for start, stop in zip(low, high, strict=True)
        )
        within, lost = within + 1, lost + (not placed[z, y, x].any())
    if not lost:
        return ()
    return (
        f"Left out, as too small for a voxel of the model grid, of which most would have to be "
        f"lesion: {lost} of {count(within, 'lesion')} of the mask.",
    )


def _boxes(lesion: NDArray[np.bool_]) -> Iterator[NDArray[np.float64]]:
    """Corners (x, y, z, 1), as columns, of the box around each connected lesion, in voxels."""
    from scipy.ndimage import find_objects, label

    for whole in find_objects(lesion.astype(np.uint8)):  # one box around all: less to search
        labels, _ = label(lesion[whole], structure=np.ones((3, 3, 3)))
        for box in find_objects(labels):
            sides = [
                (around.start + own.start - 0.5, around.start + own.stop - 0.5)
                for around, own in zip(whole, box, strict=True)
            ]
            yield np.array([(x, y, z, 1.0) for z, y, x in product(*sides)]).T
