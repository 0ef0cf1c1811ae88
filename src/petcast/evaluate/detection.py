"""Which hot lesions a prediction shows, and which hot spots it invents, by size.

Lesions of one patient resemble each other, and are found or missed together. So sensitivity has
Wilson's interval for as many independent lesions as these are worth: fewer by the design effect
that the patients' counts show, and by Student's quantile of as few patients; at least as many as
patients with equally many lesions. With one lesion a patient it is Wilson's own.

References:
    Wilson, Probable inference, the law of succession, and statistical inference, J. Am. Stat.
    Assoc. 22(158), 1927. Korn and Graubard, Confidence intervals for proportions with small
    expected number of positive counts estimated from survey data, Survey Methodology 24(2), 1998.
    Kish, Survey Sampling, 1965.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petcast.evaluate.agreement import LIMIT
from petcast.evaluate.records import DetectionRow, LesionRow
from petcast.evaluate.statistics import LEVEL

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


def wilson(found: float, of: float) -> tuple[float, float] | None:
    """Give Wilson's 95 % interval of a share.

    Args:
        found: How many.
        of: Of how many independent ones.

    Returns:
        Lower and upper end; None of nothing.

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


def sensitivity_interval(
    patients: Sequence[tuple[int, int]],
) -> tuple[float, float] | None:
    """Give the 95 % interval of a share of lesions of which several belong to one patient.

    Args:
        patients: Of each patient, how many were found, and of how many.

    Returns:
        Lower and upper end; None without lesions.

    Example:
        >>> [round(end, 2) for end in sensitivity_interval([(4, 4), (4, 4), (0, 4)])]
        [0.21, 0.94]
    """
    if not patients:
        return None
    found, of = np.array(patients, dtype=np.float64).T
    share = float(found.sum() / of.sum())
    independent = float(of.sum()) / _design_effect(found, of, share)
    return wilson(share * independent, independent)


def _design_effect(found: NDArray[np.float64], of: NDArray[np.float64], share: float) -> float:
    """How many times fewer independent lesions would tell as much."""
    from scipy.special import stdtrit  # scipy.stats takes most of a second to import

    # Were all lesions of a patient found or missed together, it would be this, and never more.
    largest, patients = float(np.square(of).sum() / of.sum()), len(of)
    if patients < 2:
        return largest
    seen = 1.0  # where all or none are found, nothing says how alike a patient's lesions are
    if 0 < share < 1:
        binomial = share * (1 - share) * float(of.sum())
        spread = float(np.square(found - share * of).sum()) * patients / (patients - 1)
        seen = max(spread / binomial, 1.0)
    few = float(stdtrit(patients - 1, (1 + LEVEL) / 2)) / LIMIT
    return min(seen * few**2, largest)


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
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in own:
        counts[row.patient][0] += bool(row.found)
        counts[row.patient][1] += 1
    low, high = sensitivity_interval([(f, n) for f, n in counts.values()]) or (None, None)
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
