"""Numbers, intervals, and counts with their nouns, for whatever people read."""

import math

MINUS = "−"


def count(n: int, one: str, many: str | None = None) -> str:
    """A count and its noun.

    Args:
        n: How many.
        one: The noun for one.
        many: The noun for more, where it is not `one` with an s.

    Returns:
        Such as "1 patient" or "3 patients".

    Example:
        >>> count(1, "slice"), count(2000, "study", "studies")
        ('1 slice', '2,000 studies')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def number(value: float | None, digits: int, *, signed: bool = False) -> str:
    """Write a number with a true minus sign, and never a negative zero.

    Args:
        value: Any; None and what is not finite has no text.
        digits: Decimals.
        signed: Whether a plus sign stands before what is not negative.

    Returns:
        Its text.

    Example:
        >>> number(-0.126, 2), number(0.5, 1, signed=True), number(None, 2)
        ('−0.13', '+0.5', '')
    """
    if value is None or not math.isfinite(value):
        return ""
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    text = text.replace("-", MINUS)
    return f"+{text}" if signed and not text.startswith(MINUS) else text


def interval(low: float | None, high: float | None, digits: int, *, signed: bool = False) -> str:
    """Write an interval.

    Args:
        low: Its lower end.
        high: Its upper end.
        digits: Decimals.
        signed: As in `number`.

    Returns:
        Its text, empty where an end is missing.

    Example:
        >>> interval(0.5, 1.25, 1), interval(-0.5, 1.25, 1)
        ('0.5–1.2', '−0.5 to 1.2')
    """
    ends = [number(end, digits, signed=signed) for end in (low, high)]
    if not all(ends):
        return ""
    return (" to " if signed or MINUS in "".join(ends) else "–").join(ends)
