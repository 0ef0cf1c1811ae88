"""Pixels of one file, as stored: decoded, never rescaled.

Plain and RLE pixels are decoded here, by code that no file can crash; all others elsewhere.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from petcast.dicom import encoding
from petcast.dicom.codec import shared_codec
from petcast.dicom.header import Header, hostile
from petcast.refusal import Reason, RefusedError

OWN_DECODER = "pydicom"
"""Written in Python; where it gives up, others must not be tried in this process."""

HARMLESS = {*encoding.NATIVE, encoding.BIG_ENDIAN, str(RLELossless)}


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
    layout, syntax = header.shared.layout, header.shared.syntax
    with hostile():
        if syntax in HARMLESS:
            pixels = _decoded(dcmread(header.path))
        else:
            pixels = shared_codec().decode(header.path.read_bytes(), layout)
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


def _decoded(dataset: Dataset) -> NDArray[Any]:
    dataset.pixel_array_options(decoding_plugin=OWN_DECODER if _is_rle(dataset) else "")
    return np.asarray(dataset.pixel_array)


def _is_rle(dataset: Dataset) -> bool:
    return bool(dataset.file_meta.TransferSyntaxUID == RLELossless)
