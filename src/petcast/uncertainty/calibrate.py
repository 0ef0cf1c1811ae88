"""Split conformal prediction: from a spread to intervals that hold the real PET.

The interval is PET ± factor · (spread + floor). The factor is the 90 % quantile of
|error| / (spread + floor) over the body voxels of patients that were not trained on, each patient
weighing the same. Had the next patient's voxels been drawn like theirs, 90 % of them would lie
inside, whatever the spread is worth; a good spread makes the intervals narrow.

Patients, not voxels, are what is exchangeable, so 90 % is an estimate, and a rough one of few
patients. What would hold for the next patient on average, whatever the number n of those before
(Lee, Barber and Willett, Distribution-free inference with hierarchical data, arXiv 2306.06342), is
the quantile at 0.9 (1 + 1 / n), which is infinite below nine: it is not taken.

Reference:
    Lei et al., Distribution-free predictive inference for regression, JASA 113(523), 2018,
    section 5.2 (locally weighted); Romano et al., NeurIPS 2019 (of quantiles).
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

LEVEL = 0.9
"""Share of the body's voxels that the intervals shall hold."""

FLOOR_SHARES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Floors that are tried, as shares of the mean spread."""


@dataclass(frozen=True)
class Voxels:
    """Voxels of a patient that count, one after another.

    Attributes:
        error: |predicted − real| in SUV.
        spread: In SUV.
    """

    error: Float[NDArray[np.floating], " n"]
    spread: Float[NDArray[np.floating], " n"]

    @classmethod
    def inside(
        cls,
        pet: Float[np.ndarray, "z y x"],
        truth: Float[np.ndarray, "z y x"],
        spread: Float[np.ndarray, "z y x"],
        mask: Bool[np.ndarray, "z y x"],
    ) -> "Voxels":
        """Take the voxels of a region.

        Args:
            pet: Predicted, in SUV.
            truth: In SUV.
            spread: In SUV.
            mask: True in the region.

        Returns:
            Its voxels.
        """
        error = np.abs(pet[mask].astype(np.float32) - truth[mask].astype(np.float32))
        return cls(error, spread[mask].astype(np.float32))

    @classmethod
    def joined(cls, parts: Sequence["Voxels"]) -> "Voxels":
        """Put studies of a patient together.

        Args:
            parts: At least one.

        Returns:
            All of their voxels.
        """
        return cls(
            np.concatenate([part.error for part in parts]),
            np.concatenate([part.spread for part in parts]),
        )


@dataclass(frozen=True)
class Scale:
    """What makes an interval of a spread.

    Attributes:
        factor: Without unit.
        floor_suv: Added to the spread: where it is 0, errors are not.
    """

    factor: float
    floor_suv: float

    def half_width(self, spread: NDArray[np.floating]) -> NDArray[np.floating]:
        """Half of the interval's width.

        Args:
            spread: In SUV.

        Returns:
            In SUV, float32.

        Example:
            >>> Scale(2.0, 0.5).half_width(np.array([1.0]))
            array([3.], dtype=float32)
        """
        return np.asarray(self.factor * (spread + self.floor_suv), dtype=np.float32)


def calibrate(patients: Collection[Voxels]) -> Scale:
    """Find the factor, and the floor with which the intervals of `LEVEL` are best.

    Args:
        patients: None of whom the model was trained on; each weighs the same.

    Returns:
        Of the floors tried, the one with the least interval score.
    """
    usual = float(np.mean([voxels.spread.mean() for voxels in patients]))
    if usual <= 0:  # a spread that says nothing: every interval is as wide
        usual = float(np.mean([voxels.error.mean() for voxels in patients])) or 1.0
    tried = [scale_with_floor(patients, share * usual) for share in FLOOR_SHARES]
    scores = [float(np.mean([interval_score(v, s) for v in patients])) for s in tried]
    return tried[int(np.argmin(scores))]


def scale_with_floor(patients: Collection[Voxels], floor_suv: float) -> Scale:
    """Find the factor for a floor.

    Args:
        patients: None of whom the model was trained on; each weighs the same.
        floor_suv: Above 0.

    Returns:
        Factor and floor.
    """
    return Scale(balanced_quantile(_Scores(patients, floor_suv), LEVEL), floor_suv)


@dataclass(frozen=True)
class _Scores:
    """Errors as multiples of spread and floor, a patient at a time, as often as they are asked."""

    patients: Collection[Voxels]
    floor_suv: float

    def __iter__(self) -> Iterator[NDArray[np.floating]]:
        return (voxels.error / (voxels.spread + self.floor_suv) for voxels in self.patients)


def balanced_quantile(groups: Iterable[NDArray[np.floating]], level: float) -> float:
    """Take a quantile of several samples, each weighing the same.

    Floating-point numbers from 0 on are ordered as their bits are. So the quantile is found bit by
    bit, counting anew for each of them: that is as quick as sorting, and one group at a time has
    to be in memory.

    Args:
        groups: Of any sizes, none empty, of one type, not negative; gone through many times.
        level: Between 0 and 1.

    Returns:
        The least value that the mean over groups of the share at or below it reaches `level` at.

    Example:
        >>> balanced_quantile([np.array([1.0]), np.array([2.0, 3.0])], 0.75)
        2.0
    """
    kind = next(iter(groups)).dtype
    bits = np.dtype(f"u{kind.itemsize}")
    low, high = 0, int(np.array(np.inf, kind).view(bits))
    while low < high:
        middle = (low + high) // 2
        value = np.array(middle, bits).view(kind)
        shares = [np.count_nonzero(group <= value) / len(group) for group in groups]
        if np.mean(shares) >= level * (1 - 1e-12):
            high = middle
        else:
            low = middle + 1
    return float(np.array(low, bits).view(kind))


def coverage(voxels: Voxels, scale: Scale) -> float:
    """Share of voxels whose real SUV lies inside its interval.

    Args:
        voxels: Of a patient.
        scale: Makes the intervals.

    Returns:
        0 to 1.
    """
    return float(np.mean(voxels.error <= scale.half_width(voxels.spread)))


def interval_score(voxels: Voxels, scale: Scale, level: float = LEVEL) -> float:
    """Score intervals: their width, and what the real PET lies beyond them; less is better.

    Args:
        voxels: Of a patient.
        scale: Makes the intervals.
        level: Share of the voxels that they shall hold.

    Returns:
        The mean in SUV; it is least where the ends are the true quantiles.

    Reference:
        Gneiting and Raftery, Strictly proper scoring rules, JASA 102(477), 2007, Eq. 43.
    """
    half = scale.half_width(voxels.spread)
    beyond = np.maximum(voxels.error - half, 0)
    return float(np.mean(2 * half + 2 / (1 - level) * beyond))
