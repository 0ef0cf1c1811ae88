"""Bland–Altman: how far predicted uptake lies from the real one, and within which limits.

Lesions of one patient resemble each other: their differences vary between patients and within them,
so the variance of a difference is the sum of both components (one-way analysis of variance). The
intervals follow from the components' own variances, with Student's quantile of as many patients.
With one value a patient, as regions have, all this is Bland and Altman's textbook formula.

References:
    Bland and Altman, Measuring agreement in method comparison studies, Stat. Methods Med. Res. 8,
    1999; Agreement between methods of measurement with multiple observations per individual,
    J. Biopharm. Stat. 17(4), 2007.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from petcast.evaluate.records import Agreement, LesionRow
from petcast.evaluate.statistics import LEVEL

LIMIT = 1.959963984540054
"""Standard deviations to either side that hold 95 % of normal differences."""

LESION_METRICS = ("suv_max", "suv_peak", "suv_mean")

Ends = tuple[float | None, float | None]


@dataclass(frozen=True)
class Limits:
    """Bias and limits of agreement; intervals are None with fewer than two patients.

    Attributes:
        bias: Mean of the differences.
        sd: Of a single difference; None where there is only one.
        bias_ends: Interval of the bias.
        lower_ends: Interval of the lower limit.
        upper_ends: Interval of the upper limit.
    """

    bias: float
    sd: float | None
    bias_ends: Ends = (None, None)
    lower_ends: Ends = (None, None)
    upper_ends: Ends = (None, None)


def limits_of(groups: Sequence[Sequence[float]]) -> Limits:
    """Give bias and limits of differences of which several may belong to one patient.

    Args:
        groups: Predicted − real, a list of each patient.

    Returns:
        Of one difference a patient, what Bland and Altman 1999 give.

    Example:
        >>> limits_of([[-1.0], [0.0], [1.0]]).sd
        1.0
    """
    from scipy.special import stdtrit  # scipy.stats takes most of a second to import

    values = np.concatenate([np.asarray(group, dtype=np.float64) for group in groups])
    bias, patients = float(values.mean()), len(groups)
    if patients < 2:
        return Limits(bias, float(values.std(ddof=1)) if values.size > 1 else None)
    parts = _components(groups)
    sd = math.sqrt(parts.variance)
    quantile = float(stdtrit(max(parts.patients - 1, 1.0), (1 + LEVEL) / 2))
    near = quantile * math.sqrt(parts.variance_of_mean)
    far = quantile * math.sqrt(parts.variance_of_mean + LIMIT**2 * parts.variance_of_sd)
    low, high = bias - LIMIT * sd, bias + LIMIT * sd
    return Limits(
        bias, sd, (bias - near, bias + near), (low - far, low + far), (high - far, high + far)
    )


def region_agreement(
    means: Iterable[tuple[str, str, str, float, float]],
) -> list[Agreement]:
    """Compare patients' mean SUV of regions.

    Args:
        means: Name, region, patient, real and predicted mean SUV.

    Returns:
        Of each name and region.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for name, region, patient, truth, prediction in means:
        groups[name, region].append(_point(patient, None, truth, prediction))
    return [
        _agreement(name, "region", region, "suv_mean", points)
        for (name, region), points in groups.items()
    ]


def lesion_agreement(rows: Iterable[LesionRow]) -> list[Agreement]:
    """Compare lesions' SUVmax, SUVpeak and SUVmean.

    Args:
        rows: Of all names.

    Returns:
        Of each name and metric.
    """
    groups: dict[str, list[LesionRow]] = defaultdict(list)
    for row in rows:
        groups[row.name].append(row)
    return list(_of_lesions(groups))


def _of_lesions(groups: dict[str, list[LesionRow]]) -> Iterator[Agreement]:
    for name, rows in groups.items():
        for metric in LESION_METRICS:
            points = [
                _point(
                    row.patient,
                    row.lesion,
                    getattr(row, f"truth_{metric}"),
                    getattr(row, f"prediction_{metric}"),
                )
                for row in sorted(rows, key=lambda row: (row.patient, row.lesion))
            ]
            yield _agreement(name, "lesion", "lesions", metric, points)


def _agreement(
    name: str, of: str, region: str, metric: str, points: list[dict[str, Any]]
) -> Agreement:
    by_patient: dict[str, list[float]] = defaultdict(list)
    for point in points:
        by_patient[point["patient"]].append(point["prediction"] - point["truth"])
    limits = limits_of(list(by_patient.values()))
    reach = None if limits.sd is None else LIMIT * limits.sd
    return Agreement(
        name=name,
        of=of,
        region=region,
        metric=metric,
        n=len(points),
        patients=len(by_patient),
        bias=limits.bias,
        bias_low=limits.bias_ends[0],
        bias_high=limits.bias_ends[1],
        sd=limits.sd,
        lower=None if reach is None else limits.bias - reach,
        lower_low=limits.lower_ends[0],
        lower_high=limits.lower_ends[1],
        upper=None if reach is None else limits.bias + reach,
        upper_low=limits.upper_ends[0],
        upper_high=limits.upper_ends[1],
        points=tuple(points),
    )


def _point(patient: str, lesion: int | None, truth: float, prediction: float) -> dict[str, Any]:
    return {"patient": patient, "lesion": lesion, "truth": truth, "prediction": prediction}


@dataclass(frozen=True)
class _Components:
    """The variance of a single difference, and how surely mean and deviation are known.

    `patients` are fewer than there are where a few of them hold most lesions.
    """

    patients: float
    variance: float
    variance_of_mean: float
    variance_of_sd: float


def _components(groups: Sequence[Sequence[float]]) -> _Components:
    """One-way analysis of variance; with a difference a patient, within is 0 and size 1."""
    count = np.array([len(group) for group in groups], dtype=np.float64)
    means = np.array([np.mean(group) for group in groups])
    patients, n = count.size, float(count.sum())
    within = sum(
        float(np.square(np.asarray(g) - m).sum()) for g, m in zip(groups, means, strict=True)
    )
    within_ms = within / (n - patients) if n > patients else 0.0
    centre = float((count * means).sum()) / n
    between_ms = float((count * np.square(means - centre)).sum()) / (patients - 1)
    size = (n - float(np.square(count).sum()) / n) / (patients - 1)
    between = max(between_ms - within_ms, 0.0) / size
    variance = between + within_ms
    alike = n**2 / float(np.square(count).sum())
    of_variance = 2 * (between_ms / size) ** 2 / max(alike - 1, 1.0)
    if n > patients:
        of_variance += 2 * ((1 - 1 / size) * within_ms) ** 2 / (n - patients)
    return _Components(
        alike,
        variance,
        between / alike + within_ms / n,
        of_variance / (4 * variance) if variance > 0 else 0.0,
    )
