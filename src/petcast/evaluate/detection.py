"""Which hot lesions a prediction shows, and which hot spots it invents, by size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from petcast.evaluate.agreement import LIMIT
from petcast.evaluate.records import DetectionRow, LesionRow

BINS_ML: tuple[tuple[float, float | None], ...] = (
    (0.0, None),
    (0.0, 1.0),
    (1.0, 4.0),
    (4.0, 16.0),
    (16.0, None),
)
"""All sizes together; then, as diameters of spheres, to 12 mm, to 20 mm, to 31 mm, and above."""


@dataclass(frozen=True)
class FalsePositive:
    """A hot spot that is not real.

    Attributes:
        name: The image that has it.
        volume_ml: Its volume.
    """

    name: str
    volume_ml: float


def detection_rows(
    names: Sequence[str],
    rows: Sequence[LesionRow],
    false_positives: Sequence[FalsePositive],
    patients: int,
) -> list[DetectionRow]:
    """Count by name and size.

    Args:
        names: Of the model, its stages and the trivial images.
        rows: Of all lesions; those that are not hot do not count.
        false_positives: Of all names.
        patients: How many were looked at.

    Returns:
        A row for each name and each of `BINS_ML`.
    """
    return [
        _row(name, low_ml, high_ml, rows, false_positives, patients)
        for name in names
        for low_ml, high_ml in BINS_ML
    ]


def wilson(found: int, of: int) -> tuple[float, float] | None:
    """Give Wilson's 95 % interval of a share.

    Args:
        found: How many.
        of: Of how many.

    Returns:
        Lower and upper end; None of nothing.

    Reference:
        Wilson, Probable inference, the law of succession, and statistical inference, J. Am. Stat.
        Assoc. 22(158), 1927.

    Example:
        >>> [round(end, 3) for end in wilson(8, 10)]
        [0.49, 0.943]
    """
    if not of:
        return None
    share, square = found / of, LIMIT**2 / of
    middle = (share + square / 2) / (1 + square)
    reach = LIMIT * math.sqrt(share * (1 - share) / of + square / (4 * of)) / (1 + square)
    # Of none and of all, the end is exactly 0 and 1, but for rounding.
    low = middle - reach if found else 0.0
    return low, middle + reach if found < of else 1.0


def _row(
    name: str,
    low_ml: float,
    high_ml: float | None,
    rows: Sequence[LesionRow],
    false_positives: Sequence[FalsePositive],
    patients: int,
) -> DetectionRow:
    def within(volume_ml: float) -> bool:
        return low_ml <= volume_ml and (high_ml is None or volume_ml < high_ml)

    own = [row for row in rows if row.name == name and row.hot and within(row.volume_ml)]
    found = sum(bool(row.found) for row in own)
    invented = [spot for spot in false_positives if spot.name == name and within(spot.volume_ml)]
    low, high = wilson(found, len(own)) or (None, None)
    return DetectionRow(
        name=name,
        low_ml=low_ml,
        high_ml=high_ml,
        lesions=len(own),
        found=found,
        sensitivity=found / len(own) if own else None,
        low=low,
        high=high,
        false_positives=len(invented),
        patients=patients,
    )
