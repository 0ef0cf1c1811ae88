"""What a data set says about its images: where and when, how stored, how labelled.

Nothing is judged here but that numbers are numbers; `header` does that.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Any, Literal, NamedTuple

from petcast.dicom import moments, tags
from petcast.dicom.encoding import Layout
from petcast.dicom.petheader import PetHeader, PrivateTexts, read_pet_header, read_private
from petcast.dicom.privacy import Person, person_of
from petcast.dicom.tracer import TRIAL_PROJECT
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

STEEPEST = 1e12
"""A rescale slope or intercept beyond this is damaged; values times factors must stay numbers."""

UNPLACED = Refusal(Reason.NO_POSITION, "ImagePositionPatient is missing.")
"""What a rendering or a screenshot says that was stored among the slices."""

HIGHEST_SERIES = 99_999
"""A SeriesNumber beyond it may be a date or a patient's number, which no note may repeat."""

ATTENUATION = {"AC", "CTAC", "ATTENUATION"}
"""How scanners describe the CT that a PET was corrected with."""

LONGEST_MS = 1e10
"""A time within a scan beyond this, 116 days, is damaged."""
ONE_DAY = timedelta(days=1)
PAST_MIDNIGHT = timedelta(hours=3)
"""A frame whose time of day lies so far behind its series' start, or less, is the next day's."""

MODALITIES = {"CT", "PT", "MR", "NM", "SC", "OT", "SR", "SEG", "RTSTRUCT", "PR", "KO", "REG", "US"}
"""Modalities that may be repeated in messages; anything else could be a planted text."""


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
        person: Hashes that tell people of one PatientID apart.
        series_number: SeriesNumber; None where it is missing, no whole number or out of range.
        attenuation: SeriesDescription speaks of the attenuation correction.
        weight: PatientWeight as written, meant in kg.
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
    layout: Layout
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
    person: Person = ("", "", "")
    series_number: int | None = None
    attenuation: bool = False
    weight: float | None = None


SHARED_KEYWORDS = (
    "SpecificCharacterSet", "StudyInstanceUID", "SeriesInstanceUID", "PatientID",
    "IssuerOfPatientID", "FrameOfReferenceUID", "Modality", "ImageType", "PixelSpacing",
    "ImageOrientationPatient", "GantryDetectorTilt", "ConvolutionKernel", "SliceThickness",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleType", "LossyImageCompression",
    "NumberOfFrames", "SamplesPerPixel", "Rows", "Columns", "BitsAllocated", "BitsStored",
    "HighBit", "PhotometricInterpretation", "PixelRepresentation", "PatientName",
    "PatientBirthDate", "PatientSex", "SeriesNumber", "SeriesDescription",
    "PatientWeight",
)  # fmt: skip
PET_KEYWORDS = (
    "RadiopharmaceuticalInformationSequence", "TimezoneOffsetFromUTC", "Units", "SUVType",
    "DecayCorrection", "DecayCorrectionDateTime", "CorrectedImage", "SeriesType",
    "PatientSize", "SeriesDate", "StudyDate", "SeriesTime",
    "StudyDescription", "ProtocolName", "AttenuationCorrectionMethod",
    "NumberOfSlices",
)  # fmt: skip
CT_TAGS = tuple(map(tags.tag_of, SHARED_KEYWORDS))
PET_TAGS = (*CT_TAGS, *map(tags.tag_of, PET_KEYWORDS), TRIAL_PROJECT)
"""Elements that `read_shared` looks at; a test watches that it looks at no other."""

CACHE_SIZE = 256
"""Files come series by series; more would only fill the memory."""


class SharedReader:
    """Reads what a series has in common, once for all files in which it is the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Shared] = {}

    def read(self, header: tags.Elements, sop_class: str, syntax: str) -> Shared:
        """Read it, or find it again by the raw values of its elements.

        Args:
            header: Of one file.
            sop_class: Its SOP class UID.
            syntax: Its transfer syntax UID.

        Returns:
            What the file should have in common with its series.
        """
        is_pet = _kind(sop_class) == "PT"
        private = read_private(header) if is_pet else None
        wanted = PET_TAGS if is_pet else CT_TAGS
        key = (sop_class, syntax, private, tags.fingerprint(header, wanted))
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= CACHE_SIZE:
                self._known.clear()
            found = self._known[key] = read_shared(header, sop_class, syntax, private)
        return found


def read_shared(
    dataset: tags.Elements, sop_class: str, syntax: str, private: PrivateTexts | None
) -> Shared:
    """Collect what a file should have in common with its series.

    Args:
        dataset: The header.
        sop_class: Its SOP class UID.
        syntax: Its transfer syntax UID.
        private: A PET's private elements.

    Returns:
        The facts, unjudged.
    """
    kind = _kind(sop_class)
    modality = tags.text(dataset, "Modality").upper()
    image_type = tags.texts(dataset, "ImageType")
    spacing = tags.numbers(dataset, "PixelSpacing")
    return Shared(
        study_uid=tags.text(dataset, "StudyInstanceUID"),
        series_uid=tags.text(dataset, "SeriesInstanceUID"),
        patient_id=tags.text_decoded(dataset, "PatientID"),
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
        pet=read_pet_header(dataset, private) if private is not None else None,
        person=person_of(
            tags.text_decoded(dataset, "PatientName"),
            tags.text(dataset, "PatientBirthDate"),
            tags.text(dataset, "PatientSex").upper(),
        ),
        series_number=_series_number(dataset),
        attenuation=_for_attenuation(dataset),
        weight=tags.number(dataset, "PatientWeight"),
    )


def _for_attenuation(dataset: tags.Elements) -> bool:
    words = re.findall("[A-Z]+", tags.text(dataset, "SeriesDescription").upper())
    return not ATTENUATION.isdisjoint(words)


def _series_number(dataset: tags.Elements) -> int | None:
    number = tags.whole(dataset, "SeriesNumber")
    return number if number is not None and 0 <= number <= HIGHEST_SERIES else None


def _kind(sop_class: str) -> Kind:
    if sop_class in CT_CLASSES:
        return "CT"
    return "PT" if sop_class in PET_CLASSES else ""


def _role(image_type: tuple[str, ...]) -> Role:
    if "LOCALIZER" in image_type:
        return "scout"
    words = {word for value in image_type for word in value.replace("_", " ").split()}
    return "projection" if words & {"MIP", "MINIP", "PROJECTION", "VRT", "RENDERING"} else "image"


def _layout(dataset: tags.Elements) -> Layout:
    frames = tags.whole(dataset, "NumberOfFrames")
    samples = tags.whole(dataset, "SamplesPerPixel")
    return Layout(
        rows=tags.whole(dataset, "Rows") or 0,
        columns=tags.whole(dataset, "Columns") or 0,
        frames=1 if frames is None else frames,
        samples=1 if samples is None else samples,
        bits=tags.whole(dataset, "BitsAllocated") or 0,
        photometric=tags.text(dataset, "PhotometricInterpretation"),
        signed=tags.whole(dataset, "PixelRepresentation") == 1,
        below=_bits_below(dataset),
    )


def _bits_below(dataset: tags.Elements) -> int:
    """How many bits HighBit leaves below a value; none where it cannot be meant."""
    bits, stored, high = (
        tags.whole(dataset, keyword) or 0 for keyword in ("BitsAllocated", "BitsStored", "HighBit")
    )
    return high + 1 - stored if 0 < stored <= high < bits else 0


def _padding(dataset: tags.Elements) -> tuple[int, int] | None:
    value = tags.whole(dataset, "PixelPaddingValue")
    if value is None:
        return None
    limit = tags.whole(dataset, "PixelPaddingRangeLimit")
    return value, value if limit is None else limit


def is_image(sop_class: str) -> bool:
    """Say whether a class holds CT or PET.

    Args:
        sop_class: The SOP class UID.

    Returns:
        True for the classes that petcast reads.
    """
    return sop_class in CT_CLASSES or sop_class in PET_CLASSES


def is_multi_frame(sop_class: str) -> bool:
    """Say whether files of a class hold many frames.

    Args:
        sop_class: The SOP class UID.

    Returns:
        True for the enhanced classes.
    """
    return (CT_CLASSES | PET_CLASSES).get(sop_class) == 0


def read_slice(dataset: tags.Elements) -> Slice:
    """Collect what is a slice's own.

    Args:
        dataset: The header, or that of one frame.

    Returns:
        Its place, scale and time.

    Raises:
        RefusedError: NO-POSITION or RESCALE.
    """
    position = tags.numbers(dataset, "ImagePositionPatient")
    if not tags.text(dataset, "ImagePositionPatient"):
        raise RefusedError(UNPLACED.reason, UNPLACED.detail)
    if len(position) != 3 or not all(map(isfinite, position)):
        raise RefusedError(Reason.NO_POSITION, "ImagePositionPatient is no three numbers.")
    return Slice(
        (position[0], position[1], position[2]),
        _rescale(dataset, "RescaleSlope"),
        _rescale(dataset, "RescaleIntercept"),
        tags.text(dataset, "AcquisitionNumber") or _frame_acquisition(dataset),
        _acquired(dataset),
        _seconds(dataset, "FrameReferenceTime"),
        _seconds(dataset, "ActualFrameDuration", "FrameAcquisitionDuration"),
    )


def _rescale(dataset: tags.Elements, keyword: str) -> float:
    value = tags.number(dataset, keyword)
    if value is None:
        raise RefusedError(Reason.RESCALE, f"{keyword} is missing or not finite.")
    if abs(value) > STEEPEST:
        raise RefusedError(Reason.RESCALE, f"{keyword} is {value:g}; no scanner writes that.")
    if keyword == "RescaleSlope" and value <= 0:
        raise RefusedError(Reason.RESCALE, f"RescaleSlope is {value:g}; it must be above zero.")
    return value


def _acquired(dataset: tags.Elements) -> datetime | None:
    events = ("Acquisition", "Series", "Study")
    dated = next((event for event in events if tags.text(dataset, f"{event}Date")), "Study")
    date = tags.text(dataset, f"{dated}Date")
    moment = moments.parse_moment(date, tags.text(dataset, "AcquisitionTime"))
    if moment is not None:
        began = moments.parse_moment(date, tags.text(dataset, f"{dated}Time"))
        return _past_midnight(moment, began)
    clock = tags.text(dataset, "TimezoneOffsetFromUTC")
    whole = tags.text(dataset, "FrameAcquisitionDateTime") or tags.text(
        dataset, "AcquisitionDateTime"
    )
    return moments.parse_datetime(whole, clock)


def _past_midnight(moment: datetime, began: datetime | None) -> datetime:
    """A frame dated by what began before midnight may have been measured after it.

    Not at midnight itself: that may be a time that was removed.
    """
    if began is None or moment.time() == moments.MIDNIGHT:
        return moment
    if not ONE_DAY - PAST_MIDNIGHT <= began - moment <= ONE_DAY:
        return moment
    return moment + ONE_DAY


def _frame_acquisition(dataset: tags.Elements) -> str:
    number = tags.whole(dataset, "FrameAcquisitionNumber")
    return "" if number is None else str(number)


def _seconds(dataset: tags.Elements, *keywords: str) -> float | None:
    """The first of some durations in milliseconds that is given."""
    for keyword in keywords:
        milliseconds = tags.number(dataset, keyword)
        if milliseconds is not None and abs(milliseconds) <= LONGEST_MS:
            return milliseconds / 1000
    return None
