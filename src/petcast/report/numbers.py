"""How the page writes numbers, and what it says where there is none."""

from petcast import words
from petcast.catalogue import Metric

MISSING = "n/a"


def number(value: float | None, digits: int, *, signed: bool = False) -> str:
    """A number as the page writes it.

    Args:
        value: Any number; None, NaN and infinity are not available.
        digits: Decimals.
        signed: Whether a plus sign stands before what is not negative.

    Returns:
        Its text, or "n/a".
    """
    return words.number(value, digits, signed=signed) or MISSING


def percent(share: float | None, digits: int = 1) -> str:
    """A share as the page writes it.

    Args:
        share: Of 1; None, NaN and infinity are not available.
        digits: Decimals.

    Returns:
        Its text, or "n/a".

    Example:
        >>> percent(0.906), percent(0.5, 0), percent(None)
        ('90.6 %', '50 %', 'n/a')
    """
    text = words.number(None if share is None else 100 * share, digits)
    return f"{text} %" if text else MISSING


def with_unit(value: float | None, metric: Metric) -> str:
    """A metric's value as it stands in sentences.

    Args:
        value: In the metric's own unit.
        metric: Which.

    Returns:
        The number, and dB where that is its unit.
    """
    text = number(value, metric.digits)
    return f"{text} {metric.unit}" if metric.unit == "dB" and value is not None else text
