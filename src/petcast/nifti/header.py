"""One NIfTI file, before anything is loaded: what it declares, and whether it holds that.

Files come from anywhere. A header may declare more voxels than there is memory, a gzip of a
megabyte may inflate to a disk, and a damaged byte may move the patient. Everything is checked here
in one pass over the stream, with a bound on what is read; only then the library that decodes NIfTI
sees the file.
"""

import gzip
import math
import os
import re
import stat
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

from petcast.disk.stored import TYPES, open_unzipped
from petcast.refusal import Reason, RefusedError
from petcast.volume import COARSEST_MM, FINEST_MM

MOST_VOXELS_A_SIDE = 4096
MOST_VOXELS = 1_500_000_000
"""Larger than a total-body PET/CT at its finest: 1024 × 1024 × 1400."""

FARTHEST_MM = 1e5
"""A voxel that lies 100 m from the origin lies in no scanner."""

MOST_TRAILING_BYTES = 1 << 20
MOST_EXTENSION_BYTES = 64 << 20
CHUNK_BYTES = 1 << 24

BYTES_A_VOXEL = 12
"""What loading takes for each voxel besides the file's own type: a copy in float32, and work."""

SAME_PLACE_MM = 1.0
"""Two descriptions of one place that differ by less agree."""

NAMED_SHEAR = 1e-3
"""Cosines between axes that count as right angles."""
DECODED_SHEAR = 1e-4
"""The same where ITK has nothing but the sform: it reads no image that is sheared further."""

ENDING = re.compile(r"\.nii(\.gz)?$")
"""How names end; all in large letters will do."""

MILLIMETRES = (0, 2)
"""NIfTI's codes of the unit of length: not stated, which everyone reads as mm, and mm."""


_Fields = dict[str, tuple[Any, ...]]


@dataclass(frozen=True)
class NiftiHeader:
    """What a file declares.

    Attributes:
        shape: Voxels along (x, y, z).
        dtype: As stored, byte order included.
        offset: Where the voxels begin, in bytes.
        spacing_mm: Along (x, y, z).
        affine: 4×4, index (x, y, z, 1) → NIfTI's RAS in mm.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    spacing_mm: tuple[float, float, float]
    affine: NDArray[np.float64]

    @property
    def voxels(self) -> int:
        """How many."""
        return math.prod(self.shape)

    @property
    def reach_mm(self) -> tuple[float, float, float]:
        """How far the image reaches from right to left, front to back and feet to head."""
        width, depth, height = np.abs(self.affine[:3, :3]) @ np.array(self.shape, np.float64)
        return float(width), float(depth), float(height)

    @property
    def data_bytes(self) -> int:
        """How many bytes they take."""
        return self.voxels * self.dtype.itemsize


HEADER_BYTES = 348
NIFTI_2_HEADER_BYTES = 540
LEAST_OFFSET = 352
MAGIC_AT, MAGIC = 344, b"n+1\0"
FIELDS = {
    "dim": (40, "8h"),
    "type": (70, "h"),
    "bits": (72, "h"),
    "pixdim": (76, "8f"),
    "offset": (108, "f"),
    "scale": (112, "2f"),
    "units": (123, "b"),
    "codes": (252, "2h"),
    "quaternion": (256, "6f"),
    "rows": (280, "12f"),
}
"""Where the fields of NIfTI-1 stand, and of which type they are."""


def require_sound(path: Path) -> NiftiHeader:
    """Read a file's header and make sure that the file holds what it declares.

    Args:
        path: A NIfTI file, gzipped or not.

    Returns:
        What it declares.

    Raises:
        RefusedError: NIFTI-NAME, UNREADABLE, NIFTI-DAMAGED, NIFTI-SHAPE, NIFTI-SIZE, NIFTI-PLACE,
            SPACING or NOT-FINITE. No message names the file.
    """
    _require_ending(path.name)
    with _opened(path) as stream:
        header = _read_header(stream)
        _require_room(header)
        _require_data(stream, header)
    return header


def _require_ending(name: str) -> None:
    """Refuse what the library that decodes NIfTI takes for another format: `.nii.GZ`, `.Nii`."""
    if ENDING.search(name.lower()) and not (ENDING.search(name) or ENDING.search(name.swapcase())):
        raise RefusedError(
            Reason.NIFTI_NAME, "Its ending mixes small and large letters; call it .nii or .nii.gz."
        )


@contextmanager
def _opened(path: Path) -> Iterator[BufferedIOBase]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait for ever
            raise RefusedError(Reason.UNREADABLE, "It is no regular file.")
        with open_unzipped(path) as stream:
            yield stream
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise _damaged("Its gzip stream is cut off or damaged.") from None
    except OSError as error:
        raise RefusedError(Reason.UNREADABLE, f"{error.strerror or 'It cannot be read'}.") from None


# What it declares


def _read_header(stream: BufferedIOBase) -> NiftiHeader:
    fields = _fields(stream.read(HEADER_BYTES))
    shape, dtype = _shape(fields), _dtype(fields)
    spacing = _spacing_mm(fields)
    return NiftiHeader(shape, dtype, _offset(fields), spacing, _affine(fields, shape, spacing))


def _fields(raw: bytes) -> _Fields:
    """Take the header apart, in whichever byte order it has."""
    sizes = {order: struct.unpack_from(f"{order}i", raw)[0] for order in "<>" if len(raw) >= 4}
    if NIFTI_2_HEADER_BYTES in sizes.values():
        raise _damaged("It is NIfTI-2, which petcast does not read; convert it to NIfTI-1.")
    orders = [order for order, size in sizes.items() if size == HEADER_BYTES]
    if not orders or raw[MAGIC_AT:] != MAGIC:
        raise _damaged("It has no header of a NIfTI-1 file.")
    fields: _Fields = {
        name: struct.unpack_from(f"{orders[0]}{kind}", raw, place)
        for name, (place, kind) in FIELDS.items()
    }
    return fields | {"order": (orders[0],)}


def _shape(fields: _Fields) -> tuple[int, int, int]:
    axes, *sizes = fields["dim"]
    if not 3 <= axes <= 7 or any(size != 1 for size in sizes[3:axes]):
        raise RefusedError(
            Reason.NIFTI_SHAPE,
            f"Its dimensions are {axes}: {tuple(sizes[: max(0, min(axes, 7))])}.",
        )
    x, y, z = sizes[:3]
    if min(x, y, z) < 1:
        raise _damaged(f"It declares {x} × {y} × {z} voxels.")
    if max(x, y, z) > MOST_VOXELS_A_SIDE or x * y * z > MOST_VOXELS:
        raise RefusedError(Reason.NIFTI_SIZE, f"It declares {x} × {y} × {z} voxels.")
    return x, y, z


def _dtype(fields: _Fields) -> np.dtype[Any]:
    [code], [bits], [order] = fields["type"], fields["bits"], fields["order"]
    if code not in TYPES:
        raise RefusedError(Reason.NIFTI_SHAPE, f"Its voxels have NIfTI's type {code}.")
    dtype = np.dtype(f"{order}{TYPES[code]}")
    if bits != dtype.itemsize * 8:
        raise _damaged(f"Its voxels have {bits} bits and NIfTI's type {code}.")
    if not all(map(math.isfinite, fields["scale"])):
        raise _damaged("Its slope or intercept is no number.")
    slope, intercept = fields["scale"]
    if slope == 0 != intercept:  # the standard scales nothing then, and ITK adds the intercept
        raise _damaged(
            f"Its slope is 0 and its intercept {intercept:g}, which readers understand differently."
        )
    return dtype


def _offset(fields: _Fields) -> int:
    [offset] = fields["offset"]
    if not (math.isfinite(offset) and LEAST_OFFSET <= offset <= MOST_EXTENSION_BYTES):
        raise _damaged(f"Its voxels are said to begin at byte {offset:g}.")
    if offset != int(offset):
        raise _damaged("Its voxels are said to begin between two bytes.")
    return int(offset)


def _spacing_mm(fields: _Fields) -> tuple[float, float, float]:
    spacing = tuple(map(float, fields["pixdim"][1:4]))
    [units] = fields["units"]
    if (units & 7) not in MILLIMETRES:
        raise RefusedError(Reason.SPACING, "Its spacing is not stated in millimetres.")
    if min(spacing) < 0:  # most readers drop the sign; ITK mirrors the image about its first voxel
        raise RefusedError(
            Reason.NIFTI_PLACE, "Its spacing (pixdim) is negative, which readers place differently."
        )
    if not all(math.isfinite(step) and FINEST_MM <= step <= COARSEST_MM for step in spacing):
        raise RefusedError(
            Reason.SPACING,
            f"{' × '.join(f'{step:g}' for step in spacing)} mm; expected {FINEST_MM:g} to "
            f"{COARSEST_MM:g} mm.",
        )
    x, y, z = spacing
    return x, y, z


# Where it lies


def _affine(
    fields: _Fields, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    """The place that the header states; where it states two, they must agree."""
    by_quaternion, by_rows = fields["codes"]
    stated = []
    if by_rows > 0:
        stated.append(_by_rows(fields, spacing_mm))
    if by_quaternion > 0:
        stated.append(_by_quaternion(fields, spacing_mm))
    if not stated:
        raise RefusedError(Reason.NIFTI_PLACE, "Neither qform nor sform is set.")
    far = np.array([n - 1 for n in shape] + [1])
    ends = [affine @ corner for affine in stated for corner in (np.array([0, 0, 0, 1]), far)]
    if not np.isfinite(ends).all() or np.abs(ends).max() > FARTHEST_MM:
        raise RefusedError(Reason.NIFTI_PLACE, "Its voxels lie nowhere, or 100 m away.")
    difference = stated[0] - stated[-1]
    if max(np.abs(difference[:, 3]).max(), np.abs(difference @ far).max()) > SAME_PLACE_MM:
        raise RefusedError(Reason.NIFTI_PLACE, "Its qform and sform name two places.")
    return stated[0]


def _by_rows(fields: _Fields, spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3] = np.array(fields["rows"], dtype=np.float64).reshape(3, 4)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.allclose(lengths, spacing_mm, rtol=0.01, atol=0):
        raise RefusedError(Reason.NIFTI_PLACE, "Its sform and its spacing disagree.")
    axes = affine[:3, :3] / lengths
    alone = fields["codes"][0] <= 0  # else the quaternion, which cannot shear, takes its place
    if np.abs(axes.T @ axes - np.eye(3)).max() > (DECODED_SHEAR if alone else NAMED_SHEAR):
        raise RefusedError(Reason.NIFTI_PLACE, "Its axes are not at right angles.")
    return affine


def _by_quaternion(fields: _Fields, spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """The rotation by a unit quaternion whose real part is left out, as NIfTI defines it."""
    b, c, d, *origin = map(float, fields["quaternion"])
    square = b * b + c * c + d * d
    if not square <= 1.001:
        raise RefusedError(Reason.NIFTI_PLACE, "Its qform is no rotation.")
    a = math.sqrt(max(0.0, 1.0 - square))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    handedness = -1.0 if fields["pixdim"][0] < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.array([*spacing_mm[:2], handedness * spacing_mm[2]])
    affine[:3, 3] = origin
    return affine


# What it holds


def _require_room(header: NiftiHeader) -> None:
    needed = header.data_bytes + header.voxels * BYTES_A_VOXEL
    available = available_memory_bytes()
    if needed > available:
        raise RefusedError(
            Reason.NIFTI_SIZE,
            f"Loading it takes {needed / 1e9:.1f} GB; {available / 1e9:.1f} GB of memory are free.",
        )


def available_memory_bytes() -> int:
    """Say how much memory can be taken without swapping.

    Returns:
        Bytes; where the system does not say, a machine of 8 GB is assumed.
    """
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        [line] = [line for line in lines if line.startswith("MemAvailable:")]
        return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return 4 << 30


def _require_data(stream: BufferedIOBase, header: NiftiHeader) -> None:
    """Read the voxels once, to the end of the stream but never far beyond what is declared."""
    stream.seek(header.offset)
    left = header.data_bytes
    chunk_bytes = CHUNK_BYTES // header.dtype.itemsize * header.dtype.itemsize
    while left:
        chunk = stream.read(min(chunk_bytes, left))
        if not chunk:
            raise _damaged(f"Its last {left} of {header.data_bytes} bytes of voxels are missing.")
        left -= len(chunk)
        _require_finite(chunk, header.dtype)
    if len(stream.read(MOST_TRAILING_BYTES + 1)) > MOST_TRAILING_BYTES:
        raise RefusedError(Reason.NIFTI_SIZE, "It holds far more than its header declares.")


def _require_finite(chunk: bytes, dtype: np.dtype[Any]) -> None:
    whole = len(chunk) // dtype.itemsize * dtype.itemsize
    if dtype.kind == "f" and not np.isfinite(np.frombuffer(chunk[:whole], dtype)).all():
        raise RefusedError(Reason.NOT_FINITE, "Some voxels are NaN or infinite.")


def _damaged(detail: str) -> RefusedError:
    return RefusedError(Reason.NIFTI_DAMAGED, detail)
