"""Pixels of one file, as stored: decoded, never rescaled."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from petcast.dicom.header import Header, hostile
from petcast.refusal import Reason, RefusedError


def stored_pixels(header: Header) -> NDArray[Any]:
    """Decode a file's pixels.

    Args:
        header: Of the file, checked and not refused.

    Returns:
        Stored values, (frames, y, x).

    Raises:
        RefusedError: They cannot be read, or have another shape than declared.
    """
    if header.shared is None:
        raise RefusedError(Reason.DAMAGED, "The header was not readable.")
    layout = header.shared.layout
    with hostile():
        dataset = dcmread(header.path)
        pixels = _decoded(dataset)
    expected = (layout.frames, layout.rows, layout.columns)
    if pixels.size != np.prod(expected):
        raise RefusedError(
            Reason.PIXEL_LENGTH, f"{expected} pixels were declared, {pixels.shape} decoded."
        )
    return pixels.reshape(expected)


def same_pixels(first: Header, second: Header) -> bool:
    """Say whether two files hold the same picture, however each is compressed.

    Args:
        first: One header.
        second: The other.

    Returns:
        True where size, stored values and their scale agree.

    Raises:
        RefusedError: One of them cannot be decoded.
    """
    scales = [[(place.slope, place.intercept) for place in h.slices] for h in (first, second)]
    if scales[0] != scales[1]:
        return False
    return np.array_equal(stored_pixels(first), stored_pixels(second))


def _decoded(dataset: Any) -> NDArray[Any]:
    try:
        return np.asarray(dataset.pixel_array)
    except (NotImplementedError, RuntimeError) as error:
        # pydicom says RuntimeError where no codec is installed, or every one of them gave up
        name = type(error).__name__
        raise RefusedError(Reason.CODEC, f"No codec could decode the pixels ({name}).") from None
