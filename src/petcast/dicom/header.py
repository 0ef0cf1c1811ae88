"""One file's header: what it is, where its slices lie, and whether it can be used at all.

`read_header` never raises and never lets a warning through: whatever is wrong with a file becomes
the header's `refusal`. Values that all slices of a series share are kept once.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from petcast.dicom import encoding, tags
from petcast.dicom.petheader import PetHeader, read_pet_header
from petcast.refusal import Reason, Refusal, RefusedError

Kind = Literal["CT", "PT", ""]
Role = Literal["image", "scout", "projection"]
Position = tuple[float, float, float]

CT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": 1,
    "1.2.840.10008.5.1.4.1.1.2.1": 0,  # Enhanced
    "1.2.840.10008.5.1.4.1.1.2.2": 0,  # Legacy Converted Enhanced
}
PET_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.128": 1,
    "1.2.840.10008.5.1.4.1.1.128.1": 0,
    "1.2.840.10008.5.1.4.1.1.130": 0,
}
"""SOP classes that hold CT and PET (PS3.4 B.5), and how many frames a file has; 0 for many."""

MODALITIES = {"CT", "PT", "MR", "NM", "SC", "OT", "SR", "SEG", "RTSTRUCT", "PR", "KO", "REG", "US"}
"""Modalities that may be repeated in messages; anything else could be a planted text."""

DEFER_BYTES = 65536
"""Longer elements are stepped over unread: no header value of ours is so long, and a declared
length of 4 GB then costs nothing."""


class Slice(NamedTuple):
    """One slice: its place, its scale and its time.

    Attributes:
        position_mm: ImagePositionPatient: centre of the first pixel, LPS.
        slope: RescaleSlope.
        intercept: RescaleIntercept.
        acquisition: AcquisitionNumber, or the empty text.
        acquired: When its acquisition began, on the scanner's clock.
        reference_s: FrameReferenceTime, in seconds.
        duration_s: ActualFrameDuration, in seconds.
    """

    position_mm: Position
    slope: float
    intercept: float
    acquisition: str
    acquired: datetime | None
    reference_s: float | None
    duration_s: float | None


@dataclass(frozen=True, slots=True)
class Shared:
    """What the slices of one series should have in common.

    Attributes:
        study_uid: StudyInstanceUID.
        series_uid: SeriesInstanceUID.
        patient_id: PatientID; it never leaves this package unhashed.
        issuer: IssuerOfPatientID.
        frame_uid: FrameOfReferenceUID.
        kind: "CT" or "PT" by SOP class; empty for everything else.
        modality: As labelled, where it is a known one; else "OTHER".
        role: An image, or a scout or projection among the images.
        original: ImageType begins with ORIGINAL.
        layout: Of the pixels.
        spacing_mm: Distance of pixel centres along (x, y).
        orientation: Direction of x, then of y, in LPS.
        tilt_deg: GantryDetectorTilt.
        kernel: ConvolutionKernel.
        thickness_mm: SliceThickness.
        padding: PixelPaddingValue and its range limit, as stored values.
        rescale_type: RescaleType.
        lossy: LossyImageCompression is 01.
        syntax: Transfer syntax.
        pet: What only PET has.
    """

    study_uid: str
    series_uid: str
    patient_id: str
    issuer: str
    frame_uid: str
    kind: Kind
    modality: str
    role: Role
    original: bool
    layout: encoding.Layout
    spacing_mm: tuple[float, float]
    orientation: tuple[float, ...]
    tilt_deg: float
    kernel: str
    thickness_mm: float | None
    padding: tuple[int, int] | None
    rescale_type: str
    lossy: bool
    syntax: str
    pet: PetHeader | None


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
            syntax = _checked_syntax(stream)
            dataset = dcmread(stream, stop_before_pixels=True, defer_size=DEFER_BYTES)
            return _judge(path, dataset, syntax, stream)
    except RefusedError as error:
        return Header(path, error.refusal)


def header_of(path: Path, dataset: Dataset) -> Header:
    """Build the header of a data set that was read whole.

    Args:
        path: Where it comes from.
        dataset: With its file meta information.

    Returns:
        The same as `read_header`, without the checks on the file's length.
    """
    syntax = str(getattr(dataset.file_meta, "TransferSyntaxUID", ""))
    try:
        with hostile():
            return _judge(path, dataset, syntax, None)
    except RefusedError as error:
        return Header(path, error.refusal)


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
    if not stat.S_ISREG(path.stat().st_mode):
        raise RefusedError(Reason.UNREADABLE, "It is no regular file.")
    with path.open("rb") as stream:
        yield stream


def _checked_syntax(stream: BinaryIO) -> str:
    encoding.require_magic(stream)
    syntax = encoding.transfer_syntax(stream)
    if syntax == encoding.DEFLATED:  # it must not even be opened: that inflates it
        encoding.require_decodable(syntax)
    stream.seek(0)
    return syntax


def _judge(path: Path, dataset: Dataset, syntax: str, stream: BinaryIO | None) -> Header:
    """Build the header, and refuse it by the first thing that is wrong with it."""
    sop_class = tags.text(dataset, "SOPClassUID")
    sop_uid = tags.text(dataset, "SOPInstanceUID")
    if not sop_class and not sop_uid:
        raise RefusedError(Reason.DAMAGED, "The header ends before it says what it is.")
    shared = _shared(dataset, sop_class, syntax)
    try:
        _require_uids(shared, sop_uid)
        _require_image(shared, sop_class)
        encoding.require_decodable(syntax)
        encoding.require_layout(shared.layout)
        if stream is not None:
            size = os.fstat(stream.fileno()).st_size
            encoding.require_pixels(stream, syntax, shared.layout, size)
        slices = _slices(dataset, shared, sop_class)
        _require_place(shared, slices)
    except RefusedError as error:
        return Header(path, error.refusal, sop_uid, shared)
    return Header(path, None, sop_uid, shared, slices)


def _shared(dataset: Dataset, sop_class: str, syntax: str) -> Shared:
    kind = _kind(sop_class)
    modality = tags.text(dataset, "Modality").upper()
    image_type = tags.texts(dataset, "ImageType")
    spacing = tags.numbers(dataset, "PixelSpacing")
    return Shared(
        study_uid=tags.text(dataset, "StudyInstanceUID"),
        series_uid=tags.text(dataset, "SeriesInstanceUID"),
        patient_id=_patient_id(dataset),
        issuer=tags.text(dataset, "IssuerOfPatientID"),
        frame_uid=tags.text(dataset, "FrameOfReferenceUID"),
        kind=kind,
        modality=modality if modality in MODALITIES else "OTHER",
        role=_role(image_type),
        original=image_type[:1] == ("ORIGINAL",),
        layout=_layout(dataset),
        spacing_mm=(spacing[1], spacing[0]) if len(spacing) == 2 else (0.0, 0.0),
        orientation=tags.numbers(dataset, "ImageOrientationPatient"),
        tilt_deg=tags.number(dataset, "GantryDetectorTilt") or 0.0,
        kernel=tags.text(dataset, "ConvolutionKernel"),
        thickness_mm=tags.number(dataset, "SliceThickness"),
        padding=_padding(dataset),
        rescale_type=tags.text(dataset, "RescaleType").upper(),
        lossy=tags.text(dataset, "LossyImageCompression") == "01",
        syntax=syntax,
        pet=read_pet_header(dataset) if kind == "PT" else None,
    )


def _kind(sop_class: str) -> Kind:
    if sop_class in CT_CLASSES:
        return "CT"
    return "PT" if sop_class in PET_CLASSES else ""


def _role(image_type: tuple[str, ...]) -> Role:
    if "LOCALIZER" in image_type:
        return "scout"
    words = {word for value in image_type for word in value.replace("_", " ").split()}
    return "projection" if words & {"MIP", "MINIP", "PROJECTION", "VRT", "RENDERING"} else "image"


def _patient_id(dataset: Dataset) -> str:
    """The hospital's number; letters beyond ASCII in the file's own character set."""
    raw = tags.text(dataset, "PatientID")
    return raw if raw.isascii() else str(dataset.get("PatientID", raw)).strip()


def _layout(dataset: Dataset) -> encoding.Layout:
    frames = tags.whole(dataset, "NumberOfFrames")
    samples = tags.whole(dataset, "SamplesPerPixel")
    return encoding.Layout(
        rows=tags.whole(dataset, "Rows") or 0,
        columns=tags.whole(dataset, "Columns") or 0,
        frames=1 if frames is None else frames,
        samples=1 if samples is None else samples,
        bits=tags.whole(dataset, "BitsAllocated") or 0,
        photometric=tags.text(dataset, "PhotometricInterpretation"),
        signed=tags.whole(dataset, "PixelRepresentation") == 1,
    )


def _padding(dataset: Dataset) -> tuple[int, int] | None:
    value = tags.whole(dataset, "PixelPaddingValue")
    if value is None:
        return None
    limit = tags.whole(dataset, "PixelPaddingRangeLimit")
    return value, value if limit is None else limit


def _slices(dataset: Dataset, shared: Shared, sop_class: str) -> tuple[Slice, ...]:
    frames_a_file = (CT_CLASSES | PET_CLASSES)[sop_class]
    if frames_a_file == 1 and shared.layout.frames == 1:
        return (_slice(dataset),)
    raise RefusedError(Reason.MULTI_FRAME, f"The file holds {shared.layout.frames} frames.")


def _slice(dataset: Dataset) -> Slice:
    position = tags.numbers(dataset, "ImagePositionPatient")
    if len(position) != 3 or not all(map(isfinite, position)):
        raise RefusedError(Reason.NO_POSITION, "ImagePositionPatient is missing or no number.")
    return Slice(
        (position[0], position[1], position[2]),
        _rescale(dataset, "RescaleSlope"),
        _rescale(dataset, "RescaleIntercept"),
        tags.text(dataset, "AcquisitionNumber"),
        _acquired(dataset),
        _seconds(dataset, "FrameReferenceTime"),
        _seconds(dataset, "ActualFrameDuration"),
    )


def _rescale(dataset: Dataset, keyword: str) -> float:
    value = tags.number(dataset, keyword)
    if value is None:
        raise RefusedError(Reason.RESCALE, f"{keyword} is missing or not finite.")
    if keyword == "RescaleSlope" and value <= 0:
        raise RefusedError(Reason.RESCALE, f"RescaleSlope is {value:g}; it must be above zero.")
    return value


def _acquired(dataset: Dataset) -> datetime | None:
    date = tags.text(dataset, "AcquisitionDate") or tags.text(dataset, "SeriesDate")
    moment = tags.parse_moment(date, tags.text(dataset, "AcquisitionTime"))
    if moment is not None:
        return moment
    clock = tags.text(dataset, "TimezoneOffsetFromUTC")
    return tags.parse_datetime(tags.text(dataset, "AcquisitionDateTime"), clock)


def _seconds(dataset: Dataset, keyword: str) -> float | None:
    milliseconds = tags.number(dataset, keyword)
    return None if milliseconds is None else milliseconds / 1000


def _require_uids(shared: Shared, sop_uid: str) -> None:
    needed = {
        "StudyInstanceUID": shared.study_uid,
        "SeriesInstanceUID": shared.series_uid,
        "SOPInstanceUID": sop_uid,
    }
    missing = [keyword for keyword, value in needed.items() if not value]
    if missing:
        raise RefusedError(Reason.NO_UID, f"Missing: {', '.join(missing)}.")


def _require_image(shared: Shared, sop_class: str) -> None:
    labelled = shared.modality in ("CT", "PT") or bool(shared.kind)
    if shared.layout.samples != 1 and labelled:
        raise RefusedError(
            Reason.RGB_CAPTURE,
            f"Labelled {shared.modality}, but each pixel has {shared.layout.samples} values "
            f"({_class_name(sop_class)}).",
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
    cosines = shared.orientation
    if len(cosines) != 6 or not all(map(isfinite, cosines)):
        raise RefusedError(Reason.NO_POSITION, "ImageOrientationPatient is missing or no number.")
    if shared.kind == "PT" and any(place.intercept != 0 for place in slices):
        raise RefusedError(Reason.RESCALE, "A PET's RescaleIntercept must be 0.")
