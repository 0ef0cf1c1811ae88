"""What a PET header says about the scan, the patient and the injection; nothing judged yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from pydicom.dataset import Dataset

from petcast.dicom import moments, tags
from petcast.dicom.tracer import coded_nuclide, nuclide_of, tracer_of

GE_CREATOR = "GEMS_PETD_01"
SIEMENS_CREATOR = "SIEMENS MED PT"
PHILIPS_CREATOR = "Philips PET Private Group"

INJECTED_NUMBERS = ("RadionuclideTotalDose", "RadionuclideHalfLife")
INJECTED_TEXTS = ("RadiopharmaceuticalStartDateTime", "RadiopharmaceuticalStartTime")

SYNTHETIC_MARK = "SYNTHETIC PET"
"""How the description of a PET that a program made begins."""
HALF_WIDTH_MARK = "HALF-WIDTH"
"""What stands in it where the values are no uptake but half the width of its interval."""


@dataclass(frozen=True, slots=True)
class PetHeader:
    """Facts of a PET series; None or empty where the header is silent.

    Attributes:
        units: Units (0054,1001).
        suv_type: SUVType (0054,1006).
        decay_correction: DecayCorrection (0054,1102).
        corrected: CorrectedImage (0028,0051).
        series_type: The first value of SeriesType (0054,1000).
        weight: PatientWeight as written, meant in kg.
        height_m: PatientSize in metres.
        sex: "M", "F", "O" or empty.
        dose: RadionuclideTotalDose as written, meant in Bq.
        half_life_s: RadionuclideHalfLife in seconds.
        tracer: "FDG", another tracer's word, "another tracer", or empty.
        nuclide: "F18", "other" or empty.
        injected: RadiopharmaceuticalStartDateTime (0018,1078).
        injected_time: RadiopharmaceuticalStartTime (0018,1072), since midnight.
        series_start: SeriesDate and SeriesTime.
        corrected_to: DecayCorrectionDateTime (0018,9701), which only enhanced PET states.
        ge_scan_start: GE's private scan time (0009,100D).
        siemens_scan_start: Siemens' private scan time (0071,1022).
        philips_suv_factor: (7053,1000).
        philips_activity_factor: (7053,1009).
        synthetic: The series calls itself synthetic.
        several_injections: Its injections differ in dose, half-life or time.
        half_width: It is synthetic, and calls its values half-widths of intervals.
        coded_nuclide: The radionuclide's name, where a code of it is known; else empty.
        zone_unknown: The injection's time names a time zone, and nothing names the scanner's.
        slices: NumberOfSlices.
        to_the_hour: The injection's time gives the hour, and no minute.
    """

    units: str
    suv_type: str
    decay_correction: str
    corrected: tuple[str, ...]
    series_type: str
    weight: float | None
    height_m: float | None
    sex: str
    dose: float | None
    half_life_s: float | None
    tracer: str
    nuclide: str
    injected: datetime | None
    injected_time: timedelta | None
    series_start: datetime | None
    corrected_to: datetime | None
    ge_scan_start: datetime | None
    siemens_scan_start: datetime | None
    philips_suv_factor: float | None
    philips_activity_factor: float | None
    synthetic: bool
    several_injections: bool = False
    half_width: bool = False
    coded_nuclide: str = ""
    zone_unknown: bool = False
    slices: int | None = None
    to_the_hour: bool = False


class PrivateTexts(NamedTuple):
    """What vendors write in private elements, as text.

    Attributes:
        ge_scan_start: (0009,100D).
        siemens_scan_start: (0071,1022).
        philips_suv_factor: (7053,1000).
        philips_activity_factor: (7053,1009).
    """

    ge_scan_start: str
    siemens_scan_start: str
    philips_suv_factor: str
    philips_activity_factor: str


def read_private(header: tags.Elements | Dataset) -> PrivateTexts:
    """Read the vendors' private elements.

    Args:
        header: Of one PET slice.

    Returns:
        Their texts, empty where absent.
    """
    return PrivateTexts(
        tags.private_text(header, 0x0009, GE_CREATOR, 0x0D),
        tags.private_text(header, 0x0071, SIEMENS_CREATOR, 0x22),
        tags.private_text(header, 0x7053, PHILIPS_CREATOR, 0x00),
        tags.private_text(header, 0x7053, PHILIPS_CREATOR, 0x09),
    )


def read_pet_header(header: tags.Elements | Dataset, private: PrivateTexts) -> PetHeader:
    """Collect what a PET slice says.

    Args:
        header: Of one PET slice.
        private: Its vendor's private elements.

    Returns:
        Its facts.
    """
    found = tags.items(header, "RadiopharmaceuticalInformationSequence")
    injection = found[0] if found else None
    half_life_s = tags.number(injection, "RadionuclideHalfLife") if injection else None
    corrected_to = tags.text(header, "DecayCorrectionDateTime")
    clock = moments.zone_in(tags.text(header, "TimezoneOffsetFromUTC") or corrected_to)
    injected = _injected(injection, clock)
    description = tags.text(header, "SeriesDescription").upper()
    synthetic = description.startswith(SYNTHETIC_MARK)
    return PetHeader(
        units=tags.text(header, "Units").upper(),
        suv_type=tags.text(header, "SUVType").upper(),
        decay_correction=tags.text(header, "DecayCorrection").upper(),
        corrected=tags.texts(header, "CorrectedImage"),
        series_type=(tags.texts(header, "SeriesType") or ("",))[0],
        weight=tags.number(header, "PatientWeight"),
        height_m=tags.number(header, "PatientSize"),
        sex=tags.text(header, "PatientSex").upper(),
        dose=tags.number(injection, "RadionuclideTotalDose") if injection else None,
        half_life_s=half_life_s,
        tracer=tracer_of(header, injection),
        nuclide=nuclide_of(injection, half_life_s),
        injected=injected,
        injected_time=_injected_time(injection),
        series_start=_series_start(header),
        corrected_to=moments.parse_datetime(corrected_to, clock),
        ge_scan_start=moments.parse_datetime(private.ge_scan_start),
        siemens_scan_start=moments.parse_datetime(private.siemens_scan_start),
        philips_suv_factor=_factor(private.philips_suv_factor),
        philips_activity_factor=_factor(private.philips_activity_factor),
        synthetic=synthetic,
        several_injections=_differ(found),
        half_width=synthetic and HALF_WIDTH_MARK in description,
        coded_nuclide=coded_nuclide(injection),
        zone_unknown=injected is not None and _foreign(injection, clock),
        to_the_hour=_to_the_hour(injection, dated=injected is not None),
        slices=tags.whole(header, "NumberOfSlices"),
    )


def _differ(injections: Sequence[Dataset]) -> bool:
    """Whether two items contradict each other; what one of them leaves out contradicts nothing."""
    for keyword in INJECTED_NUMBERS:
        if len({tags.number(one, keyword) for one in injections} - {None}) > 1:
            return True
    texts = [{tags.text(one, keyword) for one in injections} for keyword in INJECTED_TEXTS]
    return any(len(values - {""}) > 1 for values in texts)


def _injected(injection: Dataset | None, clock: str) -> datetime | None:
    """When it was, with its date.

    Not where StartTime is there and better: on the scanner's clock, where this one names a time
    zone and the scanner's is unknown; not dropped, where this one says midnight; with minutes,
    where this one has none.
    """
    if injection is None:
        return None
    written = tags.text(injection, "RadiopharmaceuticalStartDateTime")
    moment = moments.parse_datetime(written, clock)
    if not _injected_time(injection):
        return moment
    dropped = moment is not None and moment.time() == moments.MIDNIGHT
    coarser = _to_the_hour(injection, dated=True) and not _to_the_hour(injection, dated=False)
    return None if dropped or coarser or _foreign(injection, clock) else moment


def _to_the_hour(injection: Dataset | None, *, dated: bool) -> bool:
    """Whether StartDateTime, or else StartTime, has no minutes."""
    if injection is None:
        return False
    keyword = "RadiopharmaceuticalStartDateTime" if dated else "RadiopharmaceuticalStartTime"
    return moments.to_the_hour(tags.text(injection, keyword)[8 if dated else 0 :])


def _foreign(injection: Dataset | None, clock: str) -> bool:
    """Whether the injection's date and time name a time zone, and nothing names the scanner's."""
    written = tags.text(injection, "RadiopharmaceuticalStartDateTime") if injection else ""
    return not clock and bool(moments.zone_in(written))


def _injected_time(injection: Dataset | None) -> timedelta | None:
    if injection is None:
        return None
    return moments.parse_time(tags.text(injection, "RadiopharmaceuticalStartTime"))


def _series_start(header: tags.Elements | Dataset) -> datetime | None:
    date = tags.text(header, "SeriesDate") or tags.text(header, "StudyDate")
    return moments.parse_moment(date, tags.text(header, "SeriesTime"))


def _factor(written: str) -> float | None:
    """A positive factor of Philips' private group; 0 there means "not given"."""
    try:
        value = float(written)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
