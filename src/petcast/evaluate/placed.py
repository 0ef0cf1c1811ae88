"""Lay a case's prediction, CT and mask on the grid of its real PET."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from petcast.errors import DataError, GeometryError
from petcast.evaluate.cases import Case
from petcast.evaluate.hotspots import connected
from petcast.evaluate.measure import refuse_not_finite
from petcast.evaluate.notes import Notes
from petcast.plausible import moved, require_hu_of_part, require_mask
from petcast.refusal import RefusedError
from petcast.volume import AIR_HU, Grid, Unit, Volume

CUT = 0.001
"""The share of the body that a prediction may leave out in the slices that it covers, unsaid."""


@dataclass(frozen=True)
class Placed:
    """A prediction on the truth's grid.

    Attributes:
        suv: The prediction, 0 where it does not reach.
        covered: Which voxels it covers.
        stored: The voxels as its file has them.
    """

    suv: np.ndarray
    covered: Bool[np.ndarray, "z y x"]
    stored: np.ndarray


def place_prediction(
    grid: Grid, volume: Volume, name: str, notes: Notes, *, has_place: bool
) -> Placed:
    """Bring a prediction to the truth's grid, and note it where that took resampling.

    Args:
        grid: The truth's.
        volume: The prediction in SUV.
        name: What the case is called.
        notes: Receives the note.
        has_place: Its file says where it lies; else it takes the truth's place.

    Returns:
        The prediction there.

    Raises:
        DataError: Voxels are not finite.
        GeometryError: It has no position, and other sides than the truth.
    """
    refuse_not_finite(volume.voxels, f"case {name}")
    if not has_place:
        return _unplaced(grid, volume.voxels, name)
    volume = volume.canonical()
    if volume.grid.matches(grid):
        return Placed(volume.voxels, np.ones(grid.shape, dtype=bool), volume.voxels)
    if copied := _copied(grid, volume):
        return copied
    notes.resampled.append(name)
    # Not smoothed first: PET is smooth at the scale of its voxels, and what is not (noise, a
    # lattice) shall be measured as it is, not blurred away.
    suv = volume.resampled(grid, outside=0.0, antialias=False).voxels
    ones = volume.like(np.ones(volume.voxels.shape, np.uint8), Unit.LABEL)
    covered = ones.resampled(grid, outside=0, interpolation="nearest").voxels > 0
    return Placed(suv, covered, volume.voxels)


def _copied(grid: Grid, volume: Volume) -> Placed | None:
    """Take over what lies voxel on voxel of the truth's and has other ends; None of all else."""
    offset = np.linalg.solve(grid.affine, volume.grid.affine)[:3, 3].round()
    begins = grid.affine.copy()
    begins[:3, 3] = (grid.affine @ [*offset, 1.0])[:3]
    if not volume.grid.matches(Grid(volume.grid.shape, begins)):
        return None
    suv, covered = np.zeros(grid.shape, volume.voxels.dtype), np.zeros(grid.shape, dtype=bool)
    starts = offset[::-1].astype(int)
    here = tuple(
        slice(max(at, 0), max(at + n, 0)) for at, n in zip(starts, volume.grid.shape, strict=True)
    )
    there = tuple(
        slice(max(-at, 0), max(size - at, 0)) for at, size in zip(starts, grid.shape, strict=True)
    )
    suv[here], covered[here] = volume.voxels[there], True
    return Placed(suv, covered, volume.voxels)


def _unplaced(grid: Grid, stored: np.ndarray, name: str) -> Placed:
    """What has no place of its own takes the truth's, voxel by voxel."""
    if stored.shape == grid.shape:
        return Placed(stored, np.ones(grid.shape, dtype=bool), stored)
    if sorted(stored.shape) != sorted(grid.shape):
        raise _other_shape(grid, stored, name)
    nowhere = np.zeros(grid.shape, np.float32)  # exchanged axes: `examine` says so
    return Placed(nowhere, np.zeros(grid.shape, dtype=bool), stored)


def _other_shape(grid: Grid, stored: np.ndarray, name: str) -> GeometryError:
    side_by_side = stored.shape[-1] == 2 * grid.shape[-1] or 2 * stored.shape[-1] == grid.shape[-1]
    hint = "; images side by side have to be cut apart" if side_by_side else ""
    return GeometryError(
        f"case {name}: {stored.shape} voxels along (z, y, x), the real PET has {grid.shape}; PNG "
        f"and .npy have no position, so both need the same shape{hint}"
    )


def load_on(case: Case, grid: Grid, name: str) -> Volume:
    """Load a companion.

    Args:
        case: A CT or a mask.
        grid: The truth's.
        name: What the case is called.

    Returns:
        It on its own grid; where it has none, on the truth's.

    Raises:
        GeometryError: It has no position, and other sides than the truth.
    """
    volume = case.load()
    if case.placed:
        return volume
    if volume.voxels.shape != grid.shape:
        raise _other_shape(grid, volume.voxels, name)
    return Volume(volume.voxels, grid.affine, volume.unit)


def place_ct(case: Case | None, grid: Grid, name: str, notes: Notes) -> Volume | None:
    """Bring a CT to the truth's grid, and note it where slices lie beyond it.

    Args:
        case: The CT, if there is one.
        grid: The truth's.
        name: What the case is called.
        notes: Receives the note.

    Returns:
        HU there, air where the CT does not reach; None without a CT.

    Raises:
        DataError: The CT reaches nowhere, holds no HU, or cannot be used.
    """
    if case is None:
        return None
    ct = load_on(case, grid, name).require(Unit.HU)
    try:
        require_hu_of_part(ct)  # else all of the image would be taken for body
    except RefusedError as error:
        raise DataError(
            f"case {name}: {error.refusal.detail} Give the CT in HU, or leave it out: the body is "
            "then found on the real PET"
        ) from None
    if ct.grid.matches(grid):
        return ct
    placed = ct.resampled(grid, outside=AIR_HU)
    reached = int((placed.voxels != AIR_HU).any(axis=(1, 2)).sum())
    if not reached:
        raise DataError(
            f"case {name}: the CT covers no voxel of the truth; are both of the same scan, and is "
            "the position in both files?"
        )
    if reached < grid.shape[0]:
        notes.ct_in_part.append(f"{name}: {reached} of {grid.shape[0]} slices")
    return placed


def place_lesions(case: Case, grid: Grid, name: str, notes: Notes) -> Bool[np.ndarray, "z y x"]:
    """Bring a lesion mask to the truth's grid, and note the lesions that are lost on the way.

    Args:
        case: The mask.
        grid: The truth's.
        name: What the case is called.
        notes: Receives the note.

    Returns:
        True in lesions there.

    Raises:
        DataError: It holds something else than labels, or its place was lost.
    """
    volume = load_on(case, grid, name)
    try:
        require_mask(volume)
    except RefusedError as error:
        raise DataError(f"case {name}: {error}") from None
    if volume.grid.matches(grid):
        return np.asarray(volume.voxels != 0)
    labels = connected(volume.voxels != 0)
    numbered = volume.like(labels, Unit.LABEL)
    placed = numbered.resampled(grid, outside=0, interpolation="nearest").voxels
    lesions = int(labels.max())
    kept = np.count_nonzero(np.bincount(placed.ravel(), minlength=lesions + 1)[1:])
    if kept and moved(volume.canonical().grid, grid):
        raise DataError(
            f"case {name}: the lesion mask has the real PET's size and spacing and lies elsewhere; "
            "its origin was lost: save it with the real PET's"
        )
    if kept < lesions:
        notes.lost_lesions.append(f"{lesions - kept} of {lesions} in {name}")
    return np.asarray(placed != 0)


def covered_slices(
    covered: Bool[np.ndarray, "z y x"], body: Bool[np.ndarray, "z y x"], name: str, notes: Notes
) -> slice:
    """Find the slices that the prediction covers: half of their body or more, if they have one.

    Args:
        covered: The voxels that it covers.
        body: True inside the body.
        name: What the case is called.
        notes: Receives a note of what is left out.

    Returns:
        From the first to the last such slice.

    Raises:
        DataError: It covers none.
    """
    area = body.sum(axis=(1, 2))
    share = (body & covered).sum(axis=(1, 2)) / np.maximum(area, 1)
    places = np.flatnonzero(np.where(area > 0, share >= 0.5, covered.any(axis=(1, 2))))
    if not places.size:
        raise DataError(
            f"case {name}: the prediction covers no slice of the truth; are both of the same scan, "
            "and is the position in both files?"
        )
    kept = slice(int(places[0]), int(places[-1]) + 1)
    left_out = len(area) - (kept.stop - kept.start)
    cut = cut_share(covered[kept], body[kept])
    if left_out or cut > CUT:
        notes.uncovered.append(
            f"{name}: {left_out} of {len(area)} slices left out, "
            f"{100 * cut:.1f} % of the body in the rest"
        )
    return kept


def cut_share(covered: Bool[np.ndarray, "z y x"], body: Bool[np.ndarray, "z y x"]) -> float:
    """Say how much of a body a prediction does not cover.

    Args:
        covered: The voxels that it covers.
        body: True inside the body.

    Returns:
        A share of the body's voxels, 0 to 1; 0 without a body.
    """
    return int((body & ~covered).sum()) / max(int(body.sum()), 1)
