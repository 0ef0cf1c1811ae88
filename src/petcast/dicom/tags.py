"""Values out of a header that nobody has checked yet.

Reading goes through the raw bytes of an element, never through pydicom's conversion: that one
warns and raises on damaged values, quotes them in its messages (an identity leak), and is the
slowest part of reading a header. Here, whatever cannot be read is absent.
"""

import logging
import math
import struct
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.values import convert_SQ

Elements = dict[int, Any]
"""A header as it was read: tag → element, nothing converted."""

_PYDICOM_LOG = logging.getLogger("pydicom")

BINARY_SIZES = (2, 4)
BINARY_FLOATS = {"FD": ("d", 8), "FL": ("f", 4)}


@cache
def tag_of(keyword: str) -> int:
    """Look a DICOM keyword up.

    Args:
        keyword: As in the standard, such as "PixelSpacing".

    Returns:
        Its tag.

    Raises:
        KeyError: The standard has no such keyword.
    """
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return tag


def _vr(element: RawDataElement) -> str:
    """How a value is written; implicit files do not say, and others may not know (UN)."""
    known = element.VR not in (None, "UN") or not dictionary_has_tag(element.tag)
    return str(element.VR) if known else dictionary_VR(element.tag)


def raw_element(header: Elements | Dataset, tag: int) -> Any:
    """Take an element as it stands in the file, or as pydicom has already converted it.

    Args:
        header: Any header.
        tag: The element.

    Returns:
        The element; None where absent.
    """
    if isinstance(header, dict):
        return header.get(tag)
    return header.get_item(tag, keep_deferred=True)


def text_at(header: Elements | Dataset, tag: int) -> str:
    """Read an element of text by its tag.

    Args:
        header: Any header.
        tag: The element.

    Returns:
        Its text without padding; values are separated by backslashes. Empty where absent.
    """
    element = raw_element(header, tag)
    value = None if element is None else element.value
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("latin-1").strip(" \0\r\n\t")
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        return "\\".join(map(str, value)).strip()
    return str(value).strip()


def text(header: Elements | Dataset, keyword: str) -> str:
    """Read an element of text.

    Args:
        header: Any header.
        keyword: As in the standard.

    Returns:
        Its text, empty where absent.
    """
    return text_at(header, tag_of(keyword))


def text_decoded(header: Elements | Dataset, keyword: str) -> str:
    """Read an element of text that may use letters beyond ASCII.

    Args:
        header: Any header.
        keyword: As in the standard.

    Returns:
        Its text by the header's own SpecificCharacterSet.
    """
    plain = text(header, keyword)
    if plain.isascii():
        return plain
    sets = text(header, "SpecificCharacterSet").split("\\")
    with silence():
        return str(decode_bytes(plain.encode("latin-1"), convert_encodings(sets), set())).strip()


def texts(header: Elements | Dataset, keyword: str) -> tuple[str, ...]:
    """Read an element with several texts.

    Args:
        header: Any header.
        keyword: As in the standard.

    Returns:
        Each value, stripped, upper case.
    """
    value = text(header, keyword)
    return tuple(part.strip().upper() for part in value.split("\\")) if value else ()


def numbers(header: Elements | Dataset, keyword: str) -> tuple[float, ...]:
    """Read an element with decimal numbers; NaN stays NaN, for the caller to judge.

    Args:
        header: Any header.
        keyword: As in the standard.

    Returns:
        The numbers; empty where absent or where one of them is no number.
    """
    element = raw_element(header, tag_of(keyword))
    if element is None or element.value is None or element.value == b"":
        return ()
    value: Any = element.value
    if isinstance(element, RawDataElement) and _vr(element) in BINARY_FLOATS:
        kind, size = BINARY_FLOATS[_vr(element)]
        order = "<" if element.is_little_endian else ">"
        count, rest = divmod(len(value), size)
        return () if rest else struct.unpack(f"{order}{count}{kind}", value)
    if isinstance(value, bytes):
        value = value.strip(b" \0").split(b"\\")
    elif isinstance(value, str) or not hasattr(value, "__iter__"):
        value = [value]
    try:
        return tuple(float(part) for part in value)
    except (TypeError, ValueError, OverflowError):
        return ()


def number(header: Elements | Dataset, keyword: str) -> float | None:
    """Read one finite number.

    Args:
        header: Any header.
        keyword: As in the standard.

    Returns:
        The number; None where it is absent, several or not finite.
    """
    found = numbers(header, keyword)
    return found[0] if len(found) == 1 and math.isfinite(found[0]) else None


def whole(header: Elements | Dataset, keyword: str) -> int | None:
    """Read one whole number, binary (US, UL) or written out (IS).

    Args:
        header: Any header.
        keyword: As in the standard.

    Returns:
        The number, not negative for binary ones; None where absent or unreadable.
    """
    element = raw_element(header, tag_of(keyword))
    if element is None or element.value is None:
        return None
    value = element.value
    if isinstance(element, RawDataElement) and isinstance(value, bytes):
        if len(value) in BINARY_SIZES and _vr(element) not in ("IS", "DS"):
            return int.from_bytes(value, "little" if element.is_little_endian else "big")
        value = value.decode("latin-1").strip(" \0")
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def items(header: Elements | Dataset, keyword: str) -> list[Dataset]:
    """Read a sequence.

    Args:
        header: Any header.
        keyword: As in the standard.

    Returns:
        Its items; empty where absent or unreadable.
    """
    return items_at(header, tag_of(keyword))


def items_at(header: Elements | Dataset, tag: int) -> list[Dataset]:
    """Read a sequence by its tag.

    Args:
        header: Any header.
        tag: The element.

    Returns:
        Its items; empty where absent or unreadable.
    """
    element = raw_element(header, tag)
    if element is None or not element.value:
        return []
    with silence():
        try:
            value = _sequence(element)
        except Exception:  # noqa: BLE001  pydicom raises nearly anything on damaged sequences
            return []
    return [item for item in value if isinstance(item, Dataset)]


def _sequence(element: Any) -> Iterable[Any]:
    if not isinstance(element, RawDataElement):
        return element.value if isinstance(element.value, Sequence) else ()
    unknown = element.VR == "UN"  # PS3.5 6.2.2: an unknown sequence is written as implicit VR
    implicit = element.is_implicit_VR or unknown
    return convert_SQ(element.value or b"", implicit, element.is_little_endian or unknown)


def fingerprint(header: Elements | Dataset, wanted: Iterable[int]) -> tuple[Any, ...]:
    """Make a key of the raw values of some elements: equal keys, equal values.

    Args:
        header: Any header.
        wanted: The elements.

    Returns:
        A hashable key.
    """
    return tuple(_print(raw_element(header, tag)) for tag in wanted)


def _print(element: Any) -> Any:
    if element is None:
        return None
    value = element.value
    if isinstance(value, Sequence):
        return tuple(tuple((e.tag, _print(e)) for e in item.values()) for item in value)
    return (element.VR, value if isinstance(value, bytes) else str(value))


def private_text(header: Elements | Dataset, group: int, creator: str, offset: int) -> str:
    """Read an element of a vendor's private block.

    Args:
        header: Any header.
        group: The odd group.
        creator: Who reserved the block; the first block is taken where nobody is named.
        offset: The element inside the block, 0x00 to 0xFF.

    Returns:
        Its text, empty where absent.
    """
    named = False
    for block in range(0x10, 0x20):
        owner = text_at(header, (group << 16) | block)
        if owner == creator:
            return text_at(header, (group << 16) | (block << 8) | offset)
        named = named or bool(owner)
    return "" if named else text_at(header, (group << 16) | 0x1000 | offset)


@contextmanager
def silence() -> Iterator[None]:
    """Keep pydicom's warnings away: they quote header values, and a value may name a patient.

    pydicom says each of them twice, as a warning and to its logger.

    Yields:
        Nothing.
    """
    before = _PYDICOM_LOG.disabled
    _PYDICOM_LOG.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        _PYDICOM_LOG.disabled = before
