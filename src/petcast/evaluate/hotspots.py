"""Where lesions are: from masks, from published boxes, or found on the real PET by a threshold.

Found hot spots are no diagnosis. Heart, brain, kidneys, bladder, bowel and inflammation take up
FDG, too; what is found by a threshold holds them, and whoever reports it says so.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Shaped

from petcast.metrics.lesion import Spacing, voxel_ml
from petcast.volume import Grid

FOUND_SUV = 4.0
"""A hot spot has at least this SUV throughout; blood and most resting tissue stay below 3."""

LEAST_ML = 1.0
"""Smaller hot spots are left out: noise has them."""

BOX_SHARE = 0.41
"""Inside a published box, the lesion is what reaches this share of the largest SUV."""

_TOUCHING = np.ones((3, 3, 3))

Labels = Int[np.ndarray, "z y x"]


def find_hot_spots(
    suv: Shaped[np.ndarray, "z y x"], body: Bool[np.ndarray, "z y x"], spacing_mm: Spacing
) -> Labels:
    """Find connected uptake of SUV 4 and more, of at least 1 mL, inside the body.

    Args:
        suv: In SUV.
        body: True inside the body.
        spacing_mm: Of the voxels along (x, y, z).

    Returns:
        0 outside, the spots from 1 on; the larger, the smaller the number.

    Example:
        >>> suv = np.full((2, 10, 10), 5.0)
        >>> int(find_hot_spots(suv, suv > 0, (2.0, 2.0, 2.0)).max())
        1
    """
    labels = connected((suv >= FOUND_SUV) & body)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = np.flatnonzero(sizes * voxel_ml(spacing_mm) >= LEAST_ML)
    numbers = np.zeros(sizes.size, np.int32)
    numbers[kept[np.argsort(-sizes[kept], kind="stable")]] = np.arange(1, kept.size + 1)
    return np.asarray(numbers[labels])


def connected(mask: Bool[np.ndarray, "z y x"]) -> Labels:
    """Number the pieces of a mask; voxels that share a corner belong together.

    Args:
        mask: True in lesions.

    Returns:
        0 outside, the pieces from 1 on.
    """
    from scipy.ndimage import find_objects, label

    labels = np.zeros(mask.shape, np.int32)
    for box in find_objects(mask.astype(np.uint8)):  # one box around all: the rest costs nothing
        label(mask[box], structure=_TOUCHING, output=labels[box])
    return labels


def lesions_in_boxes(
    boxes: Sequence[Mapping[str, Any]], suv: Shaped[np.ndarray, "z y x"], grid: Grid
) -> Labels:
    """Find the lesions that published boxes enclose.

    Boxes that touch are one lesion, as each was drawn on one slice; in it the lesion is what
    reaches 41 % of the largest SUV.

    Args:
        boxes: Corners `low_mm` and `high_mm`, LPS, as a study's card holds them.
        suv: The real PET in SUV.
        grid: Where its voxels lie.

    Returns:
        0 outside, the lesions from 1 on.
    """
    from scipy.ndimage import find_objects

    enclosed = np.zeros(suv.shape, bool)
    for box in boxes:
        enclosed[_voxels_of(box, grid)] = True
    labels = connected(enclosed)
    for number, around in enumerate(find_objects(labels), start=1):
        cut, own = suv[around], labels[around] == number
        labels[around][own & (cut < BOX_SHARE * float(cut[own].max()))] = 0
    return labels


def _voxels_of(box: Mapping[str, Any], grid: Grid) -> tuple[slice, ...]:
    """The voxels whose centre a box holds, at least one along each axis where it lies within."""
    corners = np.array([[*box["low_mm"], 1.0], [*box["high_mm"], 1.0]]).T
    indices = (np.linalg.inv(grid.affine) @ corners)[:3]
    found = []
    for low, high, size in zip(
        indices.min(axis=1), indices.max(axis=1), grid.shape[::-1], strict=True
    ):
        start, stop = math.ceil(low), math.floor(high) + 1
        if stop <= start:
            start = round((low + high) / 2)
            stop = start + 1
        found.append(slice(max(0, min(start, size)), max(0, min(stop, size))))
    x, y, z = found
    return z, y, x
