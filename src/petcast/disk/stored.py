"""The voxels of a NIfTI file, as they are stored.

ITK's reader turns NaN, infinite values and whatever is missing at the end of a file into 0, so that
files have to be read by other means anyway: here, once, and those that need no scaling are not read
again.
"""

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petcast.errors import FormatError

_PIECE_BYTES = 1 << 24

_HEADER_BYTES = 348

_MAGIC_AT, _MAGIC = 344, b"n+1\0"
"""Says that header and voxels are in one file."""

_LAYOUT = {
    "dim": (40, "8h"), "type": (70, "h"), "spacing": (80, "3f"), "offset": (108, "f"),
    "scale": (112, "2f"),
}  # fmt: skip
"""Where the fields of NIfTI-1 stand, and of which type they are; ITK does not read NIfTI-2."""

TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4",
    1024: "i8", 1280: "u8",
}  # fmt: skip
"""NIfTI's codes of the types with one number a voxel."""


@contextmanager
def open_unzipped(path: Path) -> Iterator[BufferedIOBase]:
    """Open a file for reading, gzipped or not, whatever its name says.

    Args:
        path: The file.

    Yields:
        What it holds. Reading it raises `EOFError`, `zlib.error` or `gzip.BadGzipFile` where its
        gzip is damaged.
    """
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        with gzip.open(raw) if zipped else raw as stream:
            yield stream


def read_voxels(path: Path) -> NDArray[Any] | None:
    """Read the voxels of a NIfTI file and make sure that they are numbers.

    Args:
        path: The file, gzipped or not.

    Returns:
        Values along (z, y, x), in the type that they are stored in. None where ITK has to read
        them: values with a scale, more axes than three, several numbers a voxel, or no NIfTI at
        all.

    Raises:
        FormatError: The file ends early or is damaged, holds NaN or infinite values, or states a
            negative spacing, by which ITK mirrors the image and others do not.
    """
    try:
        with open_unzipped(path) as stream:
            header = _Header.of(stream.read(_HEADER_BYTES))
            if header is None:
                return None
            if header.mirrored:
                raise FormatError(
                    f"{path} states a negative spacing (pixdim), which readers place differently; "
                    "convert it again from where it came from"
                )
            voxels = _read_voxels(stream, header)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(f"{path} ends early or is damaged; copy it again") from error
    # Either is NaN where any voxel is.
    if not (math.isfinite(voxels.min()) and math.isfinite(voxels.max())):
        raise FormatError(f"{path} holds NaN or infinite values; mend it where it was made")
    return voxels.reshape(header.shape[::-1]) if header.plain else None


def is_whole(path: Path, voxel_bytes: int) -> bool:
    """Say whether a NIfTI file holds all its voxels; a gzipped one is unpacked to its checksum.

    Args:
        path: The file, gzipped or not, just written.
        voxel_bytes: What its voxels take.

    Returns:
        False where it ends early.
    """
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    if zipped != (path.suffix == ".gz"):
        return False
    place, kind = _LAYOUT["offset"]
    try:
        with open_unzipped(path) as stream:
            header = stream.read(_HEADER_BYTES)
            held = len(header)
            while piece := stream.read(_PIECE_BYTES):
                held += len(piece)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False
    return len(header) == _HEADER_BYTES and (
        held >= struct.unpack_from(f"={kind}", header, place)[0] + voxel_bytes
    )


@dataclass(frozen=True)
class _Header:
    """What a file with one number a voxel declares; its shape along (x, y, z, …)."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    plain: bool
    mirrored: bool

    @classmethod
    def of(cls, raw: bytes) -> "_Header | None":
        for order in "<>" if raw[_MAGIC_AT:] == _MAGIC else "":
            if struct.unpack_from(f"{order}i", raw) == (_HEADER_BYTES,):
                places = _LAYOUT.items()
                return cls._of(
                    order, {n: struct.unpack_from(order + k, raw, at) for n, (at, k) in places}
                )
        return None

    @classmethod
    def _of(cls, order: str, fields: dict[str, tuple[Any, ...]]) -> "_Header | None":
        [code], [offset], (slope, intercept) = fields["type"], fields["offset"], fields["scale"]
        axes, *sizes = fields["dim"]
        shape = tuple(sizes[: max(axes, 0)])
        if code not in TYPES or not shape or min(shape) < 1 or not math.isfinite(offset):
            return None
        plain = len(shape) == 3 and slope in (0, 1) and intercept == 0  # a slope of 0 says none
        first = max(int(offset), _HEADER_BYTES)  # as ITK has it
        mirrored = min(fields["spacing"]) < 0
        return cls(shape, np.dtype(f"{order}{TYPES[code]}"), first, plain, mirrored)


def _read_voxels(stream: BufferedIOBase, header: _Header) -> NDArray[Any]:
    stream.seek(header.offset)
    try:
        held = np.empty(math.prod(header.shape) * header.dtype.itemsize, np.uint8)
    except (MemoryError, ValueError) as error:  # a damaged header may declare anything
        raise EOFError from error
    filled = 0
    while filled < held.size:
        read = stream.readinto(held.data[filled : filled + _PIECE_BYTES])
        if not read:
            raise EOFError
        filled += read
    while stream.read(_PIECE_BYTES):  # the checksum stands at the end
        pass
    return held.view(header.dtype).astype(header.dtype.newbyteorder("="), copy=False)
