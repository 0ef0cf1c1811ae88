"""How well readers tell pictures apart, and how far they agree.

Pictures of one patient resemble each other, so intervals are over patients, as in an evaluation.
They hold for these readers: what others would say, only others can.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petcast.evaluate.statistics import DRAWS, SEED, expanded_tail, resampled_patients

FEWEST_PATIENTS = 3
"""Below it an interval over patients says nothing."""

Ends = tuple[float | None, float | None]


@dataclass(frozen=True)
class Rated:
    """One reader's rating of one picture.

    Attributes:
        patient: Whose slice it is.
        synthetic: Whether it is.
        rating: The greater, the more it is taken for synthetic.
    """

    patient: str
    synthetic: bool
    rating: int


@dataclass(frozen=True)
class Area:
    """An area under the ROC curve.

    Attributes:
        value: 0.5 is guessing, 1 is telling apart without a mistake.
        low: Lower end of its 95 % interval over patients; None with fewer than three, or where
            every draw of them gives the same area.
        high: Upper end.
        readers: Each reader's own, None of one who did not see both kinds.
    """

    value: float
    low: float | None
    high: float | None
    readers: tuple[float | None, ...]


def telling_apart(readers: Sequence[Sequence[Rated]]) -> Area | None:
    """Give the area under the empirical ROC curve: how often the synthetic one of two is named.

    Args:
        readers: Each one's ratings of real and synthetic pictures.

    Returns:
        The readers' mean and its interval, patients drawn whole; None where nobody saw both kinds.

    Reference:
        Bamber, J. Math. Psychol. 12(4), 1975 (the area as a share of pairs); Rutter, Acad. Radiol.
        7(6), 2000 (clusters drawn whole).
    """
    patients = sorted({one.patient for ratings in readers for one in ratings})
    counted = [_pairs(ratings, patients) for ratings in readers]
    each = [_area(won, all_) for won, all_ in counted]
    seen = [k for k, area in enumerate(each) if area is not None]
    if not seen:
        return None
    value = float(np.mean([each[k] for k in seen]))
    ends: Ends = (None, None)
    if len(patients) >= FEWEST_PATIENTS:
        ends = _interval([counted[k] for k in seen], len(patients))
    return Area(value, *ends, tuple(each))


Counts = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Pairs of a synthetic and a real picture, by the patients of both: those won, and all."""


def _pairs(ratings: Sequence[Rated], patients: Sequence[str]) -> Counts:
    place = {patient: k for k, patient in enumerate(patients)}
    won = np.zeros((len(patients), len(patients)))
    all_ = np.zeros_like(won)
    for one in ratings:
        for other in ratings:
            if one.synthetic and not other.synthetic:
                at = place[one.patient], place[other.patient]
                won[at] += (one.rating > other.rating) + 0.5 * (one.rating == other.rating)
                all_[at] += 1
    return won, all_


def _area(won: NDArray[np.float64], all_: NDArray[np.float64]) -> float | None:
    return float(won.sum() / all_.sum()) if all_.sum() else None


def _interval(readers: Sequence[Counts], patients: int) -> Ends:
    drawn = resampled_patients(patients, DRAWS, SEED)
    times = np.stack([(drawn == k).sum(axis=1) for k in range(patients)], axis=1).astype(float)
    areas = []
    for won, all_ in readers:
        pairs = np.einsum("dp,pq,dq->d", times, all_, times)
        with np.errstate(invalid="ignore", divide="ignore"):
            areas.append(np.einsum("dp,pq,dq->d", times, won, times) / pairs)
    means = np.mean(areas, axis=0)
    means = means[np.isfinite(means)]  # a draw may hold only patients that lack one of the kinds
    if not means.size:
        return None, None
    tail = expanded_tail(patients)
    low, high = np.quantile(means, [tail, 1 - tail])
    return with_width((float(low), float(high)))


def with_width(ends: Ends) -> Ends:
    """Leave out an interval of no width: patients who are all alike say not how others differ.

    Args:
        ends: Lower and upper.

    Returns:
        The same, or None twice.

    Example:
        >>> with_width((1.0, 1.0)), with_width((0.5, 1.0))
        ((None, None), (0.5, 1.0))
    """
    return ends if ends[0] != ends[1] else (None, None)


def weighted_kappa(first: Sequence[int], second: Sequence[int], grades: int) -> float | None:
    """Give Cohen's kappa with quadratic weights: agreement beyond that of chance.

    Args:
        first: Grades from 1 on, a picture each.
        second: The other reader's of the same pictures.
        grades: How many there are.

    Returns:
        1 is full agreement, 0 that of chance; None where both always give one and the same grade,
        or there are no pictures.

    Reference:
        Cohen, Weighted kappa, Psychol. Bull. 70(4), 1968.

    Example:
        >>> weighted_kappa([1, 2, 3], [1, 2, 3], 3)
        1.0
    """
    table = np.zeros((grades, grades))
    for one, other in zip(first, second, strict=True):
        table[one - 1, other - 1] += 1
    if not table.sum():
        return None
    table /= table.sum()
    k = np.arange(grades)
    weights = (k[:, None] - k[None, :]) ** 2.0
    chance = float((weights * np.outer(table.sum(axis=1), table.sum(axis=0))).sum())
    return 1 - float((weights * table).sum()) / chance if chance else None
