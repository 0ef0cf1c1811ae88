"""To which moment a PET's values are decay-corrected, and how long after the injection that is.

QIBA, IBSI and PS3.3 are the references of petcast.dicom.scale.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from petcast.dicom.facts import ONE_DAY, Slice
from petcast.dicom.moments import MIDNIGHT
from petcast.dicom.petheader import PetHeader
from petcast.dicom.tracer import F18_HALF_LIFE_S
from petcast.refusal import Reason, RefusedError

LONGEST_HALF_LIVES = 10.0
"""After so many half-lives nothing is left to be seen; the times must be wrong."""
ROUNDING = timedelta(seconds=1)
"""Times that differ by less are the same: some writers drop the fraction of a second."""
NEVER = datetime.max.replace(tzinfo=UTC)
LONGEST_LEAD = timedelta(hours=3)
"""No series starts longer before its first frame, but midnight stands for times that were removed.
Whole days count for nothing: dates may have been shifted each by itself."""
USUAL_UPTAKE_MINUTES = (30, 150)
"""Beyond this the times deserve a look: clocks an hour or two apart are not rare."""
ONE_MINUTE, ONE_HOUR = timedelta(minutes=1), timedelta(hours=1)
LEAST_SAID = 0.01
"""A smaller share of the SUV is not worth a remark: a minute of F-18 is 0.6 %."""
ZONE_UNKNOWN = (
    "The injection's time names a time zone and the scanner's is unknown: it was taken for the "
    "scanner's own; each hour between them is a third of the SUV."
)


class TimeRule(StrEnum):
    """Which moment the decay was counted to."""

    STATED = "decay-correction-time"
    SERIES_TIME = "series-time"
    GE_SCAN_TIME = "ge-private-scan-time"
    SIEMENS_SCAN_TIME = "siemens-private-scan-time"
    FRAME_REFERENCE = "frame-reference-time"
    ADMINISTRATION = "administration-time"
    FRAME_AVERAGE = "frame-average-time"
    NOT_NEEDED = "not-needed"


def decay_times_s(
    pet: PetHeader, slices: Sequence[Slice], half_life_s: float, notes: list[str]
) -> tuple[TimeRule, tuple[float, ...]]:
    """Find, for each slice, the time from injection to the moment of its decay correction.

    Args:
        pet: The series' header; its DecayCorrection is START, ADMIN or NONE.
        slices: Its slices.
        half_life_s: Of the radionuclide, in seconds.
        notes: Receives what was assumed.

    Returns:
        The rule, and seconds for each slice.

    Raises:
        RefusedError: NO-TIME or UPTAKE-TIME.

    Reference:
        PS3.3 C.8.9.1.1.5 (DecayCorrection); QIBA, computation of the decayed dose.
    """
    if pet.decay_correction == "ADMIN":
        return TimeRule.ADMINISTRATION, (0.0,) * len(slices)
    if pet.decay_correction == "NONE":
        moments = [_average_moment(place, half_life_s) for place in slices]
        stamped = _earliest(slices).acquired
        injected = _injected(pet, min(moments), half_life_s, notes, stamped)
        spans = [moment - injected for moment in moments]
        if not _plausible(max(spans), half_life_s):  # past midnight, with no date of its own
            raise RefusedError(
                Reason.UPTAKE_TIME,
                f"The slices' acquisitions lie {max(spans) - min(spans)} (h:mm:ss) apart; one past "
                "midnight needs its AcquisitionDate.",
            )
        return TimeRule.FRAME_AVERAGE, tuple(span.total_seconds() for span in spans)
    rule, start = scan_start(pet, slices, half_life_s)
    stamped = _earliest(slices).acquired if rule is TimeRule.FRAME_REFERENCE else None
    injected = _injected(pet, start, half_life_s, notes, stamped)
    if rule is TimeRule.SERIES_TIME:
        notes += _frames_doubt(pet, start, slices, half_life_s)
    return rule, ((start - injected).total_seconds(),) * len(slices)


def scan_start(
    pet: PetHeader, slices: Sequence[Slice], half_life_s: float
) -> tuple[TimeRule, datetime]:
    """Find when the scan began, to which DecayCorrection START refers.

    An enhanced PET states it. Else SeriesTime counts where it is not after the earliest
    acquisition, nor hours before it: a later one was stamped by a reconstruction. Then come the
    vendors' own times, then the frames'.

    Args:
        pet: The header.
        slices: Its slices.
        half_life_s: Of the radionuclide, in seconds.

    Returns:
        The rule and the moment.

    Raises:
        RefusedError: NO-TIME.

    Reference:
        QIBA; IBSI, DRO_3_2 (frames) and DRO_3_3 (GE).
    """
    if pet.corrected_to is not None:
        return TimeRule.STATED, pet.corrected_to
    first = _earliest(slices)
    start = pet.series_start
    if start is not None and first.acquired is not None and _begins(start, first.acquired):
        return TimeRule.SERIES_TIME, start
    if pet.ge_scan_start is not None:
        return TimeRule.GE_SCAN_TIME, pet.ge_scan_start
    if pet.siemens_scan_start is not None:
        return TimeRule.SIEMENS_SCAN_TIME, pet.siemens_scan_start
    if first.reference_s is None:
        raise RefusedError(
            Reason.NO_TIME,
            "SeriesTime is missing, after the acquisition or hours before it, and neither the "
            "vendor's scan time nor FrameReferenceTime is there.",
        )
    by_first = _average_moment(first, half_life_s) - timedelta(seconds=first.reference_s)
    found = _starts_by_frames(by_first, slices, half_life_s)
    if (apart := max(found) - min(found)) > ONE_MINUTE:
        raise RefusedError(
            Reason.NO_TIME,
            "SeriesTime is missing, after the acquisition or hours before it, the vendor's scan "
            "time is not there, and by AcquisitionTime and FrameReferenceTime the frames name "
            f"moments for the scan's start that lie {apart / ONE_MINUTE:.0f} minutes apart.",
        )
    return TimeRule.FRAME_REFERENCE, by_first


def _starts_by_frames(
    start: datetime, slices: Sequence[Slice], half_life_s: float
) -> list[timedelta]:
    """How long after a moment the scan began, by each frame that has all its times.

    GE stamps all beds of a scan with one AcquisitionTime: by that, the start lies apart as the
    beds do, and no frame can be trusted. Whole days count for nothing.
    """
    found = []
    for place in slices:
        if place.reference_s is not None and place.acquired is not None and _lasted(place):
            average = _average_moment(place, half_life_s)
            after = average - timedelta(seconds=place.reference_s) - start
            found.append((after + ONE_DAY / 2) % ONE_DAY - ONE_DAY / 2)
    return found


def _frames_doubt(
    pet: PetHeader, start: datetime, slices: Sequence[Slice], half_life_s: float
) -> list[str]:
    """Say it where all frames agree on another start than SeriesTime, and no vendor's time on it.

    Some writers count FrameReferenceTime to a frame's start and not to its average, which makes
    the scan's start look later by as much.
    """
    found = _starts_by_frames(start, slices, half_life_s)
    vendors = (pet.ge_scan_start, pet.siemens_scan_start)
    sure = any(moment is not None and abs(moment - start) <= ONE_MINUTE for moment in vendors)
    if sure or not found or max(found) - min(found) > ONE_MINUTE:
        return []
    late = min(found)
    longest = timedelta(seconds=max(place.duration_s or 0.0 for place in slices))
    if -ONE_MINUTE <= late <= longest + ONE_MINUTE:
        return []
    where = "after" if late > timedelta(0) else "before"
    factor = 2 ** (late.total_seconds() / half_life_s)
    return [
        f"By its frames' own times the scan began {abs(late) / ONE_MINUTE:.0f} minutes {where} "
        f"SeriesTime, which was taken; by them the SUV would be {factor:.2f} times as high."
    ]


def _begins(start: datetime, first: datetime) -> bool:
    """Whether a series that starts at one moment can have its first frame at the other."""
    lead = first + ROUNDING - start
    return lead >= timedelta(0) and lead % ONE_DAY <= LONGEST_LEAD


def average_count_rate_s(duration_s: float, half_life_s: float) -> float:
    """When, inside a frame, the activity equals the frame's mean.

    Args:
        duration_s: Of the frame.
        half_life_s: Of the radionuclide.

    Returns:
        Seconds from the frame's start; half the frame where it is short.

    Reference:
        QIBA; PS3.3 C.8.9.4.1.5: T = ln(λd / (1 − exp(−λd))) / λ.

    Example:
        >>> round(average_count_rate_s(600, 6586.2), 1)
        298.4
    """
    decay = math.log(2) / half_life_s * duration_s
    if decay < 1e-9:
        return duration_s / 2
    return duration_s / decay * math.log(decay / -math.expm1(-decay))


def uptake_minutes(pet: PetHeader, slices: Sequence[Slice]) -> float | None:
    """Say how long after the injection the scan began.

    Args:
        pet: The header.
        slices: Its slices.

    Returns:
        Minutes, or None where the header does not say.
    """
    half_life_s = pet.half_life_s or F18_HALF_LIFE_S
    try:
        _, start = scan_start(pet, slices, half_life_s)
        injected = _injected(pet, start, half_life_s, [])
    except RefusedError:
        return None
    return (start - injected).total_seconds() / 60


def doubt(minutes: float | None) -> list[str]:
    """Say it where the scan began unusually soon or late after the injection.

    Args:
        minutes: Between them; None where unknown.

    Returns:
        A sentence, or nothing.

    Example:
        >>> doubt(60.0), len(doubt(480.0))
        ([], 1)
    """
    low, high = USUAL_UPTAKE_MINUTES
    if minutes is None or low <= minutes <= high:
        return []
    return [
        f"The scan began {minutes:.0f} minutes after the injection, which is unusual; are both "
        "times right?"
    ]


def _earliest(slices: Sequence[Slice]) -> Slice:
    return min(slices, key=lambda place: place.acquired or NEVER)


def _lasted(place: Slice) -> bool:
    return place.duration_s is not None and place.duration_s >= 0


def _average_moment(place: Slice, half_life_s: float) -> datetime:
    if place.acquired is None:
        raise RefusedError(
            Reason.NO_TIME,
            "AcquisitionTime is missing or cannot be read, or no date goes with it "
            "(AcquisitionDate, SeriesDate or StudyDate).",
        )
    if place.duration_s is None or place.duration_s < 0:
        raise RefusedError(
            Reason.NO_TIME, "ActualFrameDuration is missing, below zero or cannot be read."
        )
    return place.acquired + timedelta(seconds=average_count_rate_s(place.duration_s, half_life_s))


def _injected(
    pet: PetHeader,
    scan: datetime,
    half_life_s: float,
    notes: list[str],
    stamped: datetime | None = None,
) -> datetime:
    """When it was; midnight, here or of the scan, is believed with a usual uptake alone.

    Where the scan's moment was counted from a frame, `stamped` is what that frame carries.
    """
    injected = _stated_injection(pet, scan, half_life_s, notes)
    stamps = {moment.time() for moment in (injected, scan, stamped or scan)}
    if MIDNIGHT in stamps and doubt((scan - injected) / ONE_MINUTE):
        raise RefusedError(
            Reason.NO_TIME,
            "The injection or the scan is stamped midnight, as times are that were removed, and "
            f"they lie {(scan - injected) / ONE_MINUTE:.0f} minutes apart.",
        )
    if pet.to_the_hour:
        notes += _hour_doubt(scan - injected, half_life_s)
    return injected


def _hour_doubt(uptake: timedelta, half_life_s: float) -> list[str]:
    """Say how much too high the SUV may be: the injection may have been later in its hour."""
    later = min(ONE_HOUR, uptake).total_seconds()
    share = 2 ** (later / half_life_s) - 1
    if share < LEAST_SAID:
        return []
    return [
        "The injection's time is given to the hour only and was taken for its first minute: the "
        f"SUV may be up to {100 * share:.0f} % too high."
    ]


def _stated_injection(
    pet: PetHeader, scan: datetime, half_life_s: float, notes: list[str]
) -> datetime:
    """Take StartDateTime where it is plausible, else StartTime (QIBA)."""
    if pet.injected is not None and _plausible(scan - pet.injected, half_life_s):
        notes += _contradicted(pet.injected, pet.injected_time)
        if pet.zone_unknown:
            notes.append(ZONE_UNKNOWN)
        return pet.injected
    injected = _last_before(scan, pet.injected_time) if pet.injected_time is not None else None
    if injected is not None and _plausible(scan - injected, half_life_s):
        if pet.injected is not None:
            notes.append("The injection's date does not fit the scan; its time alone was taken.")
        return injected
    if pet.injected is None and pet.injected_time is None:
        raise RefusedError(Reason.NO_TIME, "The time of injection is missing or cannot be read.")
    raise RefusedError(
        Reason.UPTAKE_TIME,
        "The injection is after the scan, or more than ten half-lives before it.",
    )


def _contradicted(injected: datetime, time: timedelta | None) -> list[str]:
    """Say it where StartTime names another time of the day than StartDateTime."""
    if time is None:
        return []
    apart = (_midnight(injected) + time - injected) % ONE_DAY
    apart = min(apart, ONE_DAY - apart)
    if apart <= ONE_MINUTE:
        return []
    return [
        f"The injection's two times lie {apart / ONE_MINUTE:.0f} minutes apart; the one with a "
        "date was taken."
    ]


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _last_before(scan: datetime, time: timedelta) -> datetime:
    """A time of day alone belongs to the scan's day, or to the day before (IBSI, DRO_4_2)."""
    moment = _midnight(scan) + time
    return moment - ONE_DAY if moment > scan + ROUNDING else moment


def _plausible(uptake: timedelta, half_life_s: float) -> bool:
    return -ROUNDING.total_seconds() <= uptake.total_seconds() <= LONGEST_HALF_LIVES * half_life_s
