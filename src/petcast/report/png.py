"""Pictures as PNG files of 256 colours, small enough to stand inside the page."""

import base64
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEVELS = 255
"""Shades of a picture; the 256th colour draws frames."""

Palette = NDArray[np.uint8]
Levels = NDArray[np.uint8]

_FRAME = (213, 94, 0)

_INK = np.linspace(0, 255, LEVELS)

_DIVERGING = (
    (0.0, (5, 48, 97)), (0.25, (67, 147, 195)), (0.5, (255, 255, 255)),
    (0.75, (214, 96, 77)), (1.0, (103, 0, 31)),
)  # fmt: skip

_GLOW = (
    (0.0, (24, 6, 48)), (0.35, (132, 28, 104)), (0.7, (234, 104, 36)), (1.0, (255, 238, 140)),
)  # fmt: skip


def grey(*, inverted: bool = False) -> Palette:
    """Black to white, or white to black.

    Args:
        inverted: White to black, as PET is read.

    Returns:
        256 colours, shape (256, 3).
    """
    shades = np.repeat(_INK[::-1, None] if inverted else _INK[:, None], 3, axis=1)
    return _with_frame(shades)


def diverging() -> Palette:
    """Blue below zero, white at it, red above; told apart by the colour-blind, too.

    Returns:
        256 colours, shape (256, 3).
    """
    return _between(_DIVERGING)


def glow() -> Palette:
    """Dark violet over orange to pale yellow: ever lighter, so that any eye can order it.

    Returns:
        256 colours, shape (256, 3).
    """
    return _between(_GLOW)


def to_levels(image: NDArray[np.floating], low: float, high: float) -> Levels:
    """Map a window of values to shades.

    Args:
        image: Any unit, shape (y, x); NaN takes the lowest shade.
        low: The value of the first shade.
        high: The value of the last.

    Returns:
        Shades 0…254, same shape.
    """
    share = (np.nan_to_num(np.asarray(image, dtype=np.float64), nan=low) - low) / (high - low)
    return np.rint(np.clip(share, 0, 1) * (LEVELS - 1)).astype(np.uint8)


def with_box(levels: Levels, box: tuple[slice, slice]) -> Levels:
    """Draw a frame of one pixel.

    Args:
        levels: Shades, shape (y, x).
        box: Rows and columns inside the picture.

    Returns:
        A copy with the frame.
    """
    drawn = levels.copy()
    rows, columns = box
    top, bottom = max(rows.start, 0), min(rows.stop, levels.shape[0]) - 1
    left, right = max(columns.start, 0), min(columns.stop, levels.shape[1]) - 1
    drawn[[top, bottom], left : right + 1] = LEVELS
    drawn[top : bottom + 1, [left, right]] = LEVELS
    return drawn


def png_uri(levels: Levels, palette: Palette, *, compressed: bool = True) -> str:
    """Encode a picture as a data URI.

    Args:
        levels: Colour numbers, shape (y, x).
        palette: From `grey`, `diverging` or `glow`.
        compressed: If not, all pictures of one size are as long: a length tells how smooth one is.

    Returns:
        What the `src` of an image takes.
    """
    return _encoded(levels[:, :, None], _INDEXED, (b"PLTE", palette.tobytes()),
                    level=9 if compressed else 0)  # fmt: skip


def rgb_uri(colours: NDArray[np.uint8]) -> str:
    """Encode a picture of any colours as a data URI.

    Args:
        colours: Red, green and blue, shape (y, x, 3).

    Returns:
        What the `src` of an image takes.
    """
    return _encoded(colours, _TRUE_COLOUR)


def bar_uri(palette: Palette) -> str:
    """A colour bar.

    Args:
        palette: From `grey` or `diverging`.

    Returns:
        A data URI of a picture one pixel high.
    """
    return png_uri(np.arange(LEVELS, dtype=np.uint8)[None, :], palette)


def _between(anchors: Sequence[tuple[float, tuple[int, int, int]]]) -> Palette:
    places = [place for place, _ in anchors]
    colours = np.array([colour for _, colour in anchors], dtype=float)
    at = np.linspace(0, 1, LEVELS)
    return _with_frame(np.stack([np.interp(at, places, colours[:, c]) for c in range(3)], axis=1))


def _with_frame(shades: NDArray[np.floating]) -> Palette:
    return np.concatenate([np.rint(shades), [_FRAME]]).astype(np.uint8)


_TRUE_COLOUR, _INDEXED = 2, 3
"""PNG's numbers of the kinds of colour."""


def _encoded(
    pixels: NDArray[np.uint8], kind: int, *more: tuple[bytes, bytes], level: int = 9
) -> str:
    height, width, channels = pixels.shape
    # Each row begins with its filter's number; 0 is none, which suits colour numbers best.
    rows = np.zeros((height, 1 + width * channels), dtype=np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)),
        *more,
        (b"IDAT", zlib.compress(rows.tobytes(), level)),
        (b"IEND", b""),
    )
    content = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in parts)
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
