"""DICOM's dates and times: DA, TM and DT. What cannot be read is absent."""

from datetime import UTC, datetime, timedelta

FIRST_YEAR, LAST_YEAR = 2, 9998
"""00010101 and 99991231 stand for dates that were removed, and must leave room for a day beside."""

MIDNIGHT = datetime.min.time()
"""What many de-identifications leave of a time that they removed."""


def parse_date(value: str) -> datetime | None:
    """Read DICOM's DA, also in the old form with dots.

    Args:
        value: Such as "20010629".

    Returns:
        Midnight of that day on the scanner's clock (labelled UTC), or None.

    Example:
        >>> parse_date("20010629").isoformat()
        '2001-06-29T00:00:00+00:00'
    """
    digits = value.replace(".", "").replace("-", "")
    if len(digits) != 8 or not digits.isdecimal():
        return None
    year = min(max(int(digits[:4]), FIRST_YEAR), LAST_YEAR)
    try:
        return datetime(year, int(digits[4:6]), int(digits[6:]), tzinfo=UTC)
    except ValueError:
        return None


def parse_time(value: str) -> timedelta | None:
    """Read DICOM's TM: hours, then minutes, seconds and their fraction as far as given.

    Args:
        value: Such as "143626.25", or "14:36:26" in the old form.

    Returns:
        The time since midnight, or None.

    Example:
        >>> parse_time("143626.25").total_seconds()
        52586.25
    """
    digits, _, fraction = value.replace(":", "").partition(".")
    if len(digits) not in (2, 4, 6) or not digits.isdecimal():
        return None
    if fraction and not fraction.isdecimal():
        return None
    hours, minutes, seconds = (int(digits[i : i + 2] or 0) for i in (0, 2, 4))
    if hours > 23 or minutes > 59 or seconds > 60:
        return None
    whole_time = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return whole_time + timedelta(seconds=float(f"0.{fraction or 0}"))


def to_the_hour(value: str) -> bool:
    """Say whether a time gives the hour alone, as TM and DT may.

    Args:
        value: TM, or what follows the date in a DT.

    Returns:
        True also where it is no time.

    Example:
        >>> to_the_hour("12"), to_the_hour("1200"), to_the_hour("12+0100")
        (True, False, True)
    """
    return len(_without_zone(value).partition(".")[0].replace(":", "")) <= 2


def parse_moment(date: str, time: str) -> datetime | None:
    """Join a date and a time.

    Args:
        date: DA.
        time: TM.

    Returns:
        The moment on the scanner's clock (labelled UTC), or None where either is missing.
    """
    day, since_midnight = parse_date(date), parse_time(time)
    return None if day is None or since_midnight is None else _shifted(day, since_midnight)


def parse_datetime(value: str, clock: str = "") -> datetime | None:
    """Read DICOM's DT down to the second.

    Args:
        value: Such as "20010629143626.25+0100".
        clock: TimezoneOffsetFromUTC of the data set: what its other times are meant in.

    Returns:
        The moment on the scanner's clock (labelled UTC), or None.

    Example:
        >>> parse_datetime("20010629143626+0200", clock="+0100").isoformat()
        '2001-06-29T13:36:26+00:00'
    """
    moment = parse_moment(value[:8], _without_zone(value[8:]))
    zone, own = _zone(value[-5:]), _zone(clock)
    if moment is None or zone is None or own is None or len(value) < 13:
        return moment
    return _shifted(moment, own - zone)


def zone_in(value: str) -> str:
    """Find the time zone that a DT names.

    Args:
        value: Such as "20010629143626+0100".

    Returns:
        The zone; empty where it names none.

    Example:
        >>> zone_in("20010629143626+0100"), zone_in("20010629143626")
        ('+0100', '')
    """
    return value[-5:] if _zone(value[-5:]) is not None else ""


def _without_zone(time: str) -> str:
    return time[:-5] if _zone(time[-5:]) is not None else time


def _zone(value: str) -> timedelta | None:
    if len(value) != 5 or value[0] not in "+-" or not value[1:].isdecimal():
        return None
    offset = timedelta(hours=int(value[1:3]), minutes=int(value[3:]))
    return -offset if value[0] == "-" else offset


def _shifted(moment: datetime, by: timedelta) -> datetime | None:
    try:
        return moment + by
    except OverflowError:
        return None
