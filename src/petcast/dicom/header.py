"""One file's header: what it is, where its slices lie, and whether it can be used at all.

`read_header` never raises and never lets a warning through: whatever is wrong with a file becomes
the header's `refusal`. Values that all slices of a series share are kept once.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import BinaryIO

from pydicom.filereader import data_element_generator
from pydicom.uid import UID, MediaStorageDirectoryStorage

from petcast.dicom import encoding, tags
from petcast.dicom.facts import Shared, SharedReader, Slice, is_image, is_multi_frame, read_slice
from petcast.dicom.multiframe import frames_of
from petcast.refusal import Reason, Refusal, RefusedError
from petcast.volume import COARSEST_MM, FINEST_MM
from petcast.words import count

DEFER_BYTES = 32 << 20
"""Longer elements are stepped over unread: no header value of ours is so long (the groups of an
enhanced file may take some megabytes), and a declared length of 4 GB then costs nothing."""

_SHARED = SharedReader()


@dataclass(frozen=True, slots=True)
class Header:
    """One file.

    Attributes:
        path: Where it lies.
        refusal: Why it cannot be used, or None.
        sop_uid: SOPInstanceUID.
        shared: What it should have in common with its series; None where that is unreadable.
        slices: One, or one a frame; empty where refused.
    """

    path: Path
    refusal: Refusal | None
    sop_uid: str = ""
    shared: Shared | None = None
    slices: tuple[Slice, ...] = ()


def read_header(path: Path) -> Header:
    """Read one file's header without its pixels.

    Args:
        path: Any file.

    Returns:
        What it says; `refusal` is set where it cannot be used.
    """
    try:
        with hostile(), _opened(path) as stream:
            encoding.require_magic(stream)
            meta = encoding.read_meta(stream)
            encoding.require_readable(meta.syntax)
            return _judge(path, _elements(stream, meta.syntax), meta, stream)
    except RefusedError as error:
        return Header(path, error.refusal)


def read_elements(path: Path) -> tags.Elements:
    """Read all elements of one file up to its pixels, nothing converted.

    Args:
        path: A DICOM file.

    Returns:
        Its elements; they name the patient.

    Raises:
        RefusedError: It cannot be read.
    """
    with hostile(), _opened(path) as stream:
        encoding.require_magic(stream)
        meta = encoding.read_meta(stream)
        encoding.require_readable(meta.syntax)
        return _elements(stream, meta.syntax)


@contextmanager
def hostile() -> Iterator[None]:
    """Turn whatever a damaged file provokes in a DICOM library into a refusal.

    Yields:
        Nothing.

    Raises:
        RefusedError: UNREADABLE, NESTED or DAMAGED.
    """
    try:
        with tags.silence():
            yield
    except RefusedError:
        raise
    except RecursionError:
        raise RefusedError(Reason.NESTED, "Its sequences nest without end.") from None
    except OSError as error:
        raise RefusedError(Reason.UNREADABLE, f"{error.strerror or 'It cannot be read'}.") from None
    except Exception as error:  # noqa: BLE001  libraries raise nearly anything on damaged bytes
        detail = f"The file cannot be parsed ({type(error).__name__})."
        raise RefusedError(Reason.DAMAGED, detail) from None


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file; a pipe would wait for ever."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):  # the walk hands over folders that it could not list
        os.listdir(path)  # says why not  # noqa: PTH208
    if not stat.S_ISREG(mode):
        raise RefusedError(Reason.UNREADABLE, "It is no regular file.")
    with path.open("rb") as stream:
        yield stream


def _elements(stream: BinaryIO, syntax: str) -> tags.Elements:
    """The data set up to its pixels."""
    found = data_element_generator(
        stream,
        is_implicit_VR=syntax == encoding.IMPLICIT,
        is_little_endian=syntax != encoding.BIG_ENDIAN,
        stop_when=encoding.stands_at_pixels,
        defer_size=DEFER_BYTES,
    )
    return {int(element.tag): element for element in found}


def _judge(path: Path, header: tags.Elements, meta: encoding.Meta, stream: BinaryIO) -> Header:
    """Build the header, and refuse it by the first thing that is wrong with it."""
    sop_class = tags.text(header, "SOPClassUID") or meta.sop_class
    sop_uid = tags.text(header, "SOPInstanceUID")
    if not sop_class and not sop_uid:
        raise RefusedError(Reason.DAMAGED, "The header ends before it says what it is.")
    shared = _SHARED.read(header, sop_class, meta.syntax)
    size = os.fstat(stream.fileno()).st_size
    if is_image(meta.sop_class):  # the last value read may be cut, so it joins no series
        _require_end(shared, stream.tell(), size)
    try:
        frames = [header]
        if is_multi_frame(sop_class):
            frames = frames_of(header)
            shared = _SHARED.read(frames[0], sop_class, meta.syntax)
        _require_image(shared, sop_class)
        _require_uids(shared, sop_uid)
        encoding.require_decodable(meta.syntax)
        encoding.require_layout(shared.layout)
        encoding.require_pixels(stream, meta.syntax, shared.layout, size)
        _require_frames(shared, frames)
        slices = tuple(map(read_slice, frames))
        _require_place(shared, slices)
    except RefusedError as error:
        return Header(path, error.refusal, sop_uid, shared)
    return Header(path, None, sop_uid, shared, slices)


def _require_uids(shared: Shared, sop_uid: str) -> None:
    needed = {
        "StudyInstanceUID": shared.study_uid,
        "SeriesInstanceUID": shared.series_uid,
        "SOPInstanceUID": sop_uid,
    }
    missing = [keyword for keyword, value in needed.items() if not value]
    if missing:
        raise RefusedError(Reason.NO_UID, f"Missing: {', '.join(missing)}.")


def _require_end(shared: Shared, place: int, size: int) -> None:
    """Tell a file that was cut off inside its header from one that never had pixels."""
    layout = shared.layout
    if place >= size and 0 in (layout.rows, layout.columns, layout.bits):
        raise RefusedError(Reason.TRUNCATED, "The file ends inside its header.")


def _require_frames(shared: Shared, described: list[tags.Elements]) -> None:
    if shared.layout.frames != len(described):
        raise RefusedError(
            Reason.MULTI_FRAME,
            f"The file holds {count(shared.layout.frames, 'frame')}, its class means one slice.",
        )


def _require_image(shared: Shared, sop_class: str) -> None:
    labelled = shared.modality in ("CT", "PT") or bool(shared.kind)
    if shared.layout.samples != 1 and labelled:
        raise RefusedError(
            Reason.RGB_CAPTURE,
            f"Labelled {shared.modality}, but each pixel has {shared.layout.samples} values "
            f"({_class_name(sop_class)}).",
        )
    if sop_class == MediaStorageDirectoryStorage:
        raise RefusedError(
            Reason.SOP_CLASS, "A DICOMDIR lists files and holds no image; give its folder."
        )
    if not shared.kind:
        raise RefusedError(
            Reason.SOP_CLASS,
            f"Expected CT or PET Image Storage, found {_class_name(sop_class)}, "
            f"labelled {shared.modality}.",
        )


def _class_name(sop_class: str) -> str:
    name = UID(sop_class).name if sop_class else ""
    return name if name and name != sop_class else "an unknown class"


def _require_place(shared: Shared, slices: tuple[Slice, ...]) -> None:
    if not all(isfinite(mm) and mm > 0 for mm in shared.spacing_mm):
        raise RefusedError(Reason.SPACING, "PixelSpacing is missing, not finite or not above zero.")
    if not all(FINEST_MM <= mm <= COARSEST_MM for mm in shared.spacing_mm):
        raise RefusedError(
            Reason.SPACING,
            f"PixelSpacing is {' × '.join(f'{mm:g}' for mm in shared.spacing_mm)} mm; expected "
            f"{FINEST_MM:g} to {COARSEST_MM:g} mm.",
        )
    cosines = shared.orientation
    if len(cosines) != 6 or not all(map(isfinite, cosines)):
        raise RefusedError(Reason.NO_POSITION, "ImageOrientationPatient is missing or no number.")
    if shared.kind == "PT" and any(place.intercept != 0 for place in slices):
        raise RefusedError(Reason.RESCALE, "A PET's RescaleIntercept must be 0.")
