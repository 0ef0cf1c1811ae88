"""Where the body is when there is no CT: on the real PET itself."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped
from numpy.typing import NDArray

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
    from scipy.ndimage import label

    labels, count = label(suv > BODY_SUV)
    if count == 0:
        return np.zeros(suv.shape, dtype=bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return _filled(labels == sizes.argmax())


def _filled(mask: NDArray[np.bool_]) -> Bool[np.ndarray, "z y x"]:
    """Fill what the mask encloses within a slice: background that never meets the border."""
    from scipy.ndimage import label

    labels, count = label(~mask, structure=_IN_PLANE)
    borders: list[NDArray[Any]] = [labels[:, [0, -1]].ravel(), labels[:, :, [0, -1]].ravel()]
    open_air = np.zeros(count + 1, dtype=bool)
    open_air[np.concatenate(borders)] = True
    open_air[0] = False  # the mask itself
    return np.asarray(~open_air[labels])
