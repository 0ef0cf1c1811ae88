"""Where the body is when there is no CT: on the real PET itself."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped
from numpy.typing import NDArray

from petcast.evaluate.regions import extent

BODY_SUV = 0.1
"""Tissue takes up more than this, in SUV; the noise of air stays below it where it coheres."""

_IN_PLANE = np.zeros((3, 3, 3), dtype=bool)
_IN_PLANE[1] = [[False, True, False], [True, True, True], [False, True, False]]


def body_on_truth(suv: Shaped[np.ndarray, "z y x"]) -> Bool[np.ndarray, "z y x"]:
    """Find the body on a PET: the largest part above 0.1 SUV, filled slice by slice.

    Args:
        suv: The real PET in SUV.

    Returns:
        True inside the body; nowhere where no voxel exceeds 0.1 SUV.
    """
    from scipy.ndimage import find_objects, label

    mask = np.zeros(suv.shape, dtype=bool)
    tissue = suv > BODY_SUV
    room = _room(tissue)
    labels, count = label(tissue[room])
    if count == 0:
        return mask
    # Slice by slice, since counting a whole volume would make a copy of it in 64 bits.
    sizes = np.zeros(count + 1, np.int64)
    for slice_ in labels:
        sizes += np.bincount(slice_.ravel(), minlength=count + 1)
    sizes[0] = 0
    largest = int(sizes.argmax())
    box = find_objects(labels, largest)[largest - 1]
    sides = zip(box[1:], labels.shape[1:], strict=True)
    around = (box[0], *(_widened(side.start, side.stop, size) for side, size in sides))
    mask[room][around] = _filled(labels[around] == largest)
    return mask


def _room(tissue: Bool[np.ndarray, "z y x"]) -> tuple[slice, slice, slice]:
    """The part of the plane that holds tissue: the air around it need not be searched."""
    (_, y, x), rows, columns = tissue.shape, extent(tissue, (0, 2)), extent(tissue, (0, 1))
    return (
        slice(None),
        _widened(rows.start, rows.stop, y),
        _widened(columns.start, columns.stop, x),
    )


def _widened(start: int, stop: int, size: int) -> slice:
    """One voxel of air to either side: from there, air leads straight to the image's border."""
    return slice(max(start - 1, 0), min(stop + 1, size))


def _filled(mask: NDArray[np.bool_]) -> Bool[np.ndarray, "z y x"]:
    """Fill what the mask encloses within a slice: background that never meets the border."""
    from scipy.ndimage import label

    labels, count = label(~mask, structure=_IN_PLANE)
    borders: list[NDArray[Any]] = [labels[:, [0, -1]].ravel(), labels[:, :, [0, -1]].ravel()]
    open_air = np.zeros(count + 1, dtype=bool)
    open_air[np.concatenate(borders)] = True
    open_air[0] = False  # the mask itself
    return np.asarray(~open_air[labels])
