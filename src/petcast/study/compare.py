"""Generators against each other on the same patients, and protocols against each other.

Two generators are compared patient by patient: the mean of the differences with its bootstrap
interval, and a sign-flip test. Under the hypothesis that neither is better, each patient's
difference could as well have had the other sign; p is the share of all sign patterns whose mean is
at least as far from zero. With n patients p cannot fall below 2 / 2ⁿ: five or fewer can never show
a difference at p < 0.05, however clear it is. Over several generators p is corrected by Holm's
step-down method.

References:
    Fisher, The Design of Experiments, 1935, section 21. Holm, A simple sequentially rejective
    multiple test procedure, Scand. J. Stat. 6(2), 1979.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from petcast.evaluate.statistics import bootstrap_interval

EXACT_UP_TO = 14
"""Patients up to which every sign pattern is tried; above, so many at random."""

RANDOM_PATTERNS = 20_000

ROUNDING = 1e-9
"""Means closer than this, relative to the largest difference, count as equal."""


@dataclass(frozen=True)
class Paired:
    """One generator minus another.

    Attributes:
        value: Mean over patients of the differences.
        low: Lower end of its 95 % interval, None with fewer than two patients.
        high: Upper end.
        p: Of the sign-flip test, two-sided; None with fewer than two patients.
        n: Patients.
    """

    value: float
    low: float | None
    high: float | None
    p: float | None
    n: int


def compare(mine: Mapping[str, float], theirs: Mapping[str, float], seed: int = 0) -> Paired | None:
    """Compare two generators on the patients that both were measured on.

    Args:
        mine: A value a patient.
        theirs: The other's.
        seed: Of the bootstrap, and of random sign patterns.

    Returns:
        Mine minus theirs; None without a common patient.

    Example:
        >>> compare({"a": 31.0, "b": 33.0}, {"a": 30.0, "b": 32.5}).value
        0.75
    """
    common = sorted(set(mine) & set(theirs))
    if not common:
        return None
    differences = np.array([mine[patient] - theirs[patient] for patient in common])
    low, high = bootstrap_interval(differences, seed=seed) or (None, None)
    p = sign_flip_p(differences, seed=seed)
    return Paired(float(differences.mean()), low, high, p, len(common))


def sign_flip_p(
    differences: Sequence[float] | NDArray[np.float64], *, seed: int = 0
) -> float | None:
    """Test whether paired differences lean to one side.

    Args:
        differences: One of each patient.
        seed: Of the random patterns, where there are too many patients to try all.

    Returns:
        Two-sided p; None with fewer than two patients.

    Example:
        >>> sign_flip_p([1.0, 2.0, 3.0])
        0.25
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.size < 2:
        return None
    signs, observed_too = _patterns(values.size, seed)
    slack = ROUNDING * float(np.abs(values).max())
    means = np.abs((signs * values).mean(axis=1))
    as_far = int((means >= abs(values.mean()) - slack).sum())
    return (as_far + observed_too) / (len(signs) + observed_too)


def least_p(patients: int) -> float:
    """Say how small p can become at all.

    Args:
        patients: How many.

    Returns:
        2 / 2ⁿ.

    Example:
        >>> least_p(5)
        0.0625
    """
    return 2.0 / 2.0**patients


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Correct p for having tried several comparisons.

    Args:
        ps: One of each comparison; None where there is none.

    Returns:
        Corrected, in the same order.

    Example:
        >>> holm([0.01, None, 0.04])
        [0.02, None, 0.04]
    """
    order = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    corrected: list[float | None] = [None] * len(ps)
    largest = 0.0
    for rank, (p, place) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        corrected[place] = largest
    return corrected


@dataclass(frozen=True)
class Worth:
    """What a protocol alone is worth, over generators.

    Attributes:
        middle: Median over generators of the published number minus the sound one.
        least: The smallest.
        most: The largest.
        generators: How many have both.
        picking: Median of the best over epochs minus the last epoch's: what choosing on the test
            set brings by itself.
        slices: The all-zero image's own difference: how much easier or harder the slices are.
    """

    middle: float
    least: float
    most: float
    generators: int
    picking: float
    slices: float | None


def worth_of(
    published: Mapping[str, float],
    sound: Mapping[str, float],
    last: Mapping[str, float],
    zero: tuple[float, float] | None,
) -> Worth | None:
    """Say what the published protocol adds to the same generators' numbers.

    Args:
        published: The best over test epochs, by generator.
        sound: The mean over test patients, by generator.
        last: The last epoch's number under the published protocol, by generator.
        zero: The all-zero image's number under the published and the sound protocol.

    Returns:
        The worth; None where no generator has both numbers.

    Example:
        >>> worth_of({"a": 33.0}, {"a": 30.0}, {"a": 32.5}, (29.0, 28.0)).middle
        3.0
    """
    both = [name for name in published if name in sound]
    if not both:
        return None
    gains = [published[name] - sound[name] for name in both]
    picking = median(published[name] - last[name] for name in both)
    easier = zero[0] - zero[1] if zero else None
    return Worth(median(gains), min(gains), max(gains), len(both), picking, easier)


def _patterns(n: int, seed: int) -> tuple[NDArray[np.float64], int]:
    """Sign patterns, and 1 where the observed one must be added to random ones."""
    if n <= EXACT_UP_TO:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return (1 - 2 * bits).astype(np.float64), 0
    generator = np.random.default_rng(seed)
    bits = generator.integers(0, 2, size=(RANDOM_PATTERNS, n))
    return (1 - 2 * bits).astype(np.float64), 1
