"""How slices are shown, in a run's report and in a study's Figure 5: windows, crop, magnified part.

The windows are chosen by the real PET alone, in which predictions have no say.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CT_WINDOW_HU = (-1000.0, 400.0)
PET_WINDOWS_SUV = (2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0)

BODY_HU = -400.0
"""What is denser belongs to the patient or the table: the pictures are cropped to it."""

MARGIN = 4
MAGNIFICATION = 4

Image = NDArray[np.floating]
Box = tuple[slice, slice]


def smallest_window(values: Image, percentile: float, windows: Sequence[float]) -> float:
    """Choose the smallest window that holds nearly all values.

    Args:
        values: Any.
        percentile: How many of them, in percent.
        windows: Upper ends, ascending.

    Returns:
        One of the windows.

    Example:
        >>> smallest_window(np.array([0.0, 3.0]), 100.0, (2.5, 5.0, 7.5))
        5.0
    """
    held = values[np.isfinite(values)]
    top = float(np.percentile(held, percentile)) if held.size else 0.0
    return next((window for window in windows if window >= top), windows[-1])


def pet_window(truth: Image) -> float:
    """Choose the SUV that is black.

    Args:
        truth: The real PET in SUV, all slices that are shown.

    Returns:
        The smallest window that holds 99.9 % of it.
    """
    return smallest_window(truth, 99.9, PET_WINDOWS_SUV)


def crop_to(shown: NDArray[np.bool_]) -> Box:
    """Choose the rows and columns that hold something, with a margin.

    Args:
        shown: What shall be seen, shape (y, x).

    Returns:
        Rows and columns; all of them where nothing shall be seen.

    Example:
        >>> crop_to(np.eye(16, dtype=bool) & (np.arange(16) == 8))
        (slice(4, 13, None), slice(4, 13, None))
    """
    return _extent(shown, 0), _extent(shown, 1)


def hot_region(truth: Image, crop: Box) -> Box:
    """Choose what is magnified: a part around the hottest voxel of the real PET.

    Args:
        truth: SUV, shape (y, x).
        crop: The rows and columns that are shown.

    Returns:
        Rows and columns inside the crop, a fourth of it each way.
    """
    rows, columns = crop
    inside = np.nan_to_num(np.asarray(truth[crop], dtype=np.float64), nan=-1.0)
    y, x = np.unravel_index(int(np.argmax(inside)), inside.shape)
    return _around(int(y) + rows.start, rows), _around(int(x) + columns.start, columns)


def _extent(dense: NDArray[np.bool_], axis: int) -> slice:
    places, length = np.nonzero(dense)[axis], dense.shape[axis]
    if not places.size:
        return slice(0, length)
    return slice(max(int(places.min()) - MARGIN, 0), min(int(places.max()) + MARGIN + 1, length))


def _around(centre: int, limits: slice) -> slice:
    length = max((limits.stop - limits.start) // MAGNIFICATION, 1)
    start = min(max(centre - length // 2, limits.start), limits.stop - length)
    return slice(start, start + length)
