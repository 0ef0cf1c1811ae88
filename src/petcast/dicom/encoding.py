"""How a file encodes its data set and its pixels, checked before anything is decoded.

A hostile or damaged file is found out by its first bytes and by arithmetic: nothing is inflated,
no length is believed that the file cannot hold.
"""

import struct
from dataclasses import dataclass
from functools import cache
from typing import BinaryIO, NamedTuple

import numpy as np
from pydicom import uid

from petcast.refusal import Reason, Refusal, RefusedError
from petcast.words import count

EMPTY = Refusal(Reason.NOT_DICOM, "The file is empty.")
MAGIC_OFFSET = 128
PACKED = (
    (0, b"\x1f\x8b", "gzip"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ", "xz"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!", "RAR"),
    (257, b"ustar", "tar"),
    (32769, b"CD001", "a CD's image"),
)
"""Where archives that may hold a whole export, and are not opened, say what they are."""
LONG_FORM = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UN", b"UT", b"UC", b"UR")
"""Value representations whose length takes four bytes after two reserved ones (PS3.5 7.1.2)."""

META_GROUP = 0x0002
MEDIA_CLASS = 0x0002
TRANSFER_SYNTAX = 0x0010
LONGEST_UID = 64
PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
UNDEFINED_LENGTH = 0xFFFFFFFF
PIXEL_DATA = (0x7FE0, 0x0010)
FLOAT_PIXEL_DATA = ((0x7FE0, 0x0008), (0x7FE0, 0x0009))
ITEM = (0xFFFE, 0xE000)
SEQUENCE_END = (0xFFFE, 0xE0DD)

MAX_SIDE = 8192
"""No CT or PET has more rows or columns."""
MAX_PIXELS = 2**31
"""Pixels of one file, all frames together: 4 GiB of 16 bits."""
BITS = (8, 16, 32)
CHUNK_BYTES = 1 << 20
NOT_LOW = "Its values are not in the lowest bits: HighBit is not BitsStored - 1."

IMPLICIT = str(uid.ImplicitVRLittleEndian)
NATIVE = {IMPLICIT, str(uid.ExplicitVRLittleEndian)}
BIG_ENDIAN = str(uid.ExplicitVRBigEndian)
DEFLATED = str(uid.DeflatedExplicitVRLittleEndian)


class Meta(NamedTuple):
    """What the file meta information says.

    Attributes:
        syntax: Transfer syntax UID.
        sop_class: Media storage SOP class UID.
    """

    syntax: str
    sop_class: str


@dataclass(frozen=True, slots=True)
class Layout:
    """How the pixels of a file are laid out.

    Attributes:
        rows: Pixels along y.
        columns: Pixels along x.
        frames: Images in the file.
        samples: Values a pixel: 1 for grey, 3 for colour.
        bits: Bits a value takes in the file.
        photometric: PhotometricInterpretation.
        signed: Whether values are signed.
        below: Bits below a value's own, by HighBit; 0 as PS3.5 8.1.1 wants.
    """

    rows: int
    columns: int
    frames: int
    samples: int
    bits: int
    photometric: str
    signed: bool
    below: int = 0

    @property
    def length(self) -> int:
        """Bytes of the pixels, uncompressed."""
        return self.rows * self.columns * self.frames * self.samples * self.bits // 8


def require_magic(stream: BinaryIO) -> None:
    """Refuse a file that does not call itself DICOM.

    Args:
        stream: The file, at its start; left behind the mark.

    Raises:
        RefusedError: NOT-DICOM.
    """
    head = stream.read(MAGIC_OFFSET + 4)
    if not head:
        raise RefusedError(EMPTY.reason, EMPTY.detail)
    if head[MAGIC_OFFSET:] != b"DICM":
        raise RefusedError(Reason.NOT_DICOM, _instead(stream))


def _instead(stream: BinaryIO) -> str:
    """Say what a file without the mark is."""
    for offset, mark, name in PACKED:
        stream.seek(offset)
        if stream.read(len(mark)) == mark:
            return f"It is an archive ({name}); only zips are opened."
    return "The file does not carry DICOM's mark."


def read_meta(stream: BinaryIO) -> Meta:
    """Read the file meta information and stop where the data set begins.

    Args:
        stream: The file, behind DICOM's mark.

    Returns:
        What it says; texts are empty where it is silent.

    Reference:
        DICOM PS3.10 section 7.1: the meta information is always explicit VR little endian.
    """
    found = {}
    while len(head := stream.read(8)) == 8:
        group, element, vr, length = struct.unpack("<HH2sH", head)
        if group != META_GROUP:
            break
        if vr in LONG_FORM:
            length = int.from_bytes(stream.read(4), "little")
        if element in (MEDIA_CLASS, TRANSFER_SYNTAX) and length <= LONGEST_UID:
            found[element] = stream.read(length).decode("latin-1").strip(" \0")
        else:
            stream.seek(length, 1)
    stream.seek(-len(head), 1)
    return Meta(found.get(TRANSFER_SYNTAX, ""), found.get(MEDIA_CLASS, ""))


def stands_at_pixels(tag: int, vr: str | None, length: int) -> bool:  # noqa: ARG001
    """Say where the reading of a header is to stop; pydicom asks for every element.

    Args:
        tag: The element ahead.
        vr: Its value representation.
        length: Its declared length.

    Returns:
        True at the pixels.
    """
    return tag in PIXEL_TAGS


def require_readable(syntax: str) -> None:
    """Refuse a transfer syntax whose header could not be read, or only at a risk.

    Args:
        syntax: The UID.

    Raises:
        RefusedError: DAMAGED or DEFLATED.
    """
    if not syntax:
        raise RefusedError(Reason.DAMAGED, "The transfer syntax is missing.")
    if syntax == DEFLATED:
        raise RefusedError(Reason.DEFLATED, "The transfer syntax is Deflated Explicit VR.")


def require_decodable(syntax: str) -> None:
    """Refuse a transfer syntax whose pixels could not be decoded here.

    Args:
        syntax: The UID.

    Raises:
        RefusedError: CODEC.
    """
    if syntax not in NATIVE and syntax != BIG_ENDIAN and not _has_decoder(syntax):
        raise RefusedError(Reason.CODEC, f"The pixels are compressed as {_syntax_name(syntax)}.")


def require_layout(layout: Layout) -> None:
    """Refuse images that no CT or PET scanner makes.

    Args:
        layout: As the header declares it.

    Raises:
        RefusedError: DIMENSIONS or PIXEL-FORMAT.
    """
    sides = (layout.rows, layout.columns)
    size = f"{layout.rows} × {layout.columns} pixels in {layout.frames} frames"
    if not all(0 < side <= MAX_SIDE for side in sides) or layout.frames < 1:
        raise RefusedError(Reason.DIMENSIONS, f"The header declares {size}.")
    if layout.rows * layout.columns * layout.frames > MAX_PIXELS:
        raise RefusedError(Reason.DIMENSIONS, f"The header declares {size}.")
    if layout.samples != 1 or layout.photometric != "MONOCHROME2":
        raise RefusedError(
            Reason.PIXEL_FORMAT,
            f"Expected one grey value a pixel (MONOCHROME2), found {layout.samples} values or "
            "another interpretation.",
        )
    if layout.bits not in BITS:
        raise RefusedError(Reason.PIXEL_FORMAT, f"A value takes {layout.bits} bits.")


def require_pixels(stream: BinaryIO, syntax: str, layout: Layout, size: int) -> None:
    """Compare what the pixels' element declares with the image and with the file.

    Args:
        stream: The file, at the pixels' element.
        syntax: The transfer syntax.
        layout: As the header declares it.
        size: Bytes of the whole file.

    Raises:
        RefusedError: NO-PIXELS, PIXEL-FORMAT, PIXEL-LENGTH or TRUNCATED.
    """
    tag, length = _element_head(stream, syntax)
    if tag in FLOAT_PIXEL_DATA:
        raise RefusedError(Reason.PIXEL_FORMAT, "The pixels are floating-point numbers.")
    if tag != PIXEL_DATA:
        raise RefusedError(Reason.NO_PIXELS, "The header ends without pixels.")
    rest = size - stream.tell()
    if syntax in NATIVE or syntax == BIG_ENDIAN:
        _require_native(length, rest, layout)
        if layout.below:
            _require_low(stream, ">" if syntax == BIG_ENDIAN else "<", layout)
    elif length != UNDEFINED_LENGTH:
        raise RefusedError(Reason.PIXEL_LENGTH, "Compressed pixels lack their fragments.")
    elif layout.below:
        raise RefusedError(Reason.PIXEL_FORMAT, NOT_LOW)
    else:
        _require_fragments(stream, size, layout.frames)


def _require_native(length: int, rest: int, layout: Layout) -> None:
    expected = layout.length
    if length == UNDEFINED_LENGTH or length < expected or length > max(expected + 2, rest):
        raise RefusedError(
            Reason.PIXEL_LENGTH if rest >= expected else Reason.TRUNCATED,
            f"The image needs {expected} bytes of pixels, the file declares {length} "
            f"and holds {rest}.",
        )
    if rest < expected:
        raise RefusedError(
            Reason.TRUNCATED,
            f"The image needs {expected} bytes of pixels, the file holds {rest}.",
        )


def _require_low(stream: BinaryIO, order: str, layout: Layout) -> None:
    """Refuse values in the upper bits, which leave the lower ones empty; decoders overlook HighBit.

    Some writers give a wrong HighBit for values that are in the lowest bits. A slice of one value
    may be either; then the others of its series tell.
    """
    kind = np.dtype(f"{order}u{layout.bits // 8}")
    first, changing, rest = None, False, layout.length
    while piece := stream.read(min(rest, CHUNK_BYTES)):
        values = np.frombuffer(piece, kind)
        if (values & ((1 << layout.below) - 1)).any():
            return
        first = values[0] if first is None else first
        changing = changing or bool((values != first).any())
        rest -= len(piece)
    if changing:
        raise RefusedError(Reason.PIXEL_FORMAT, NOT_LOW)


def _require_fragments(stream: BinaryIO, size: int, frames: int) -> None:
    """Walk the fragments of encapsulated pixels by their heads (PS3.5 A.4)."""
    found = -1  # the first item is the offset table
    while len(head := stream.read(8)) == 8:
        group, element, length = struct.unpack("<HHI", head)
        if (group, element) == SEQUENCE_END:
            if found < frames:
                raise RefusedError(
                    Reason.PIXEL_LENGTH,
                    f"Declared: {count(frames, 'image')}; found: {count(found, 'fragment')}.",
                )
            return
        if (group, element) != ITEM or length == UNDEFINED_LENGTH:
            raise RefusedError(Reason.PIXEL_LENGTH, "The fragments of the pixels are damaged.")
        if stream.seek(length, 1) > size:
            break
        found += 1
    raise RefusedError(Reason.TRUNCATED, "The file ends inside its compressed pixels.")


def _element_head(stream: BinaryIO, syntax: str) -> tuple[tuple[int, int] | None, int]:
    """Tag and declared length of the element at the stream's place."""
    order = ">" if syntax == BIG_ENDIAN else "<"
    head = stream.read(8)
    if len(head) < 8:
        return None, 0
    group, element = struct.unpack(f"{order}HH", head[:4])
    if syntax == IMPLICIT:
        length = head[4:]
    elif head[4:6] in LONG_FORM:
        length = stream.read(4)
    else:
        length = head[6:]
    return (group, element), int.from_bytes(length, "big" if order == ">" else "little")


@cache
def _has_decoder(syntax: str) -> bool:
    from pydicom.pixels.decoders.base import get_decoder

    try:
        return bool(get_decoder(uid.UID(syntax)).is_available)
    except NotImplementedError:
        return False


def _syntax_name(syntax: str) -> str:
    known = uid.UID(syntax)
    return known.name if known.is_transfer_syntax and not known.is_private else "something private"
