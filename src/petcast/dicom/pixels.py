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

OVERLAY_BITS = [(group, 0x0102) for group in range(0x6000, 0x6020, 2)]
"""OverlayBitPosition of each overlay; 0 where it has an element of its own."""

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
    plugin = OWN_DECODER if _is_rle(dataset) else ""
    dataset.pixel_array_options(decoding_plugin=plugin, correct_unused_bits=False)
    return _without_unused_bits(np.asarray(dataset.pixel_array), dataset)


def _without_unused_bits(whole: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """Cut values to BitsStored, and refuse those that were meant to be longer.

    Above a value's own bits anything may stand (PS3.5 8.1.1): zeros, its sign or an overlay. Some
    writers leave BitsStored of another image: cut to that, the hottest would come out as cold.
    Padding that the header names may need more bits, and stays as it is.
    """
    bits = int(dataset.BitsStored)
    unused = int(dataset.BitsAllocated) - bits
    if not unused:
        return whole
    cut: NDArray[Any] = np.right_shift(np.left_shift(whole, unused), unused)
    beyond = cut != whole
    if not beyond.any() or _has_overlay(dataset):
        return cut
    padded = beyond & _is_padding(whole, dataset)
    longer = whole[beyond & ~padded]
    # where they are not longer at all, signs were not spread upwards
    if longer.size and (whole[~padded].min() < 0 or int(longer.max()) >= 1 << bits):
        raise RefusedError(
            Reason.PIXEL_FORMAT, f"Some values need more than the {bits} bits of BitsStored."
        )
    return np.where(padded, whole, cut)


def _is_padding(whole: NDArray[Any], dataset: Dataset) -> NDArray[np.bool_]:
    padding = dataset.get("PixelPaddingValue")
    if not isinstance(padding, int):
        return np.zeros(whole.shape, bool)
    return np.asarray(whole == np.array(padding).astype(whole.dtype))  # -2000 or 63536


def _has_overlay(dataset: Dataset) -> bool:
    """Whether an overlay stands in the pixels' unused bits, as in old files (PS3.3 C.9.2)."""
    return any(dataset[tag].value for tag in OVERLAY_BITS if tag in dataset)


def _is_rle(dataset: Dataset) -> bool:
    return bool(dataset.file_meta.TransferSyntaxUID == RLELossless)
