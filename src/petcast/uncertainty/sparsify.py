"""Sparsification: leave the most uncertain voxels out, and see whether the rest is better.

Reference:
    Ilg et al., Uncertainty estimates and multi-hypotheses networks for optical flow, ECCV 2018,
    section 4.1: sparsification plot, oracle, area under the sparsification error (AUSE).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from petcast.uncertainty.calibrate import Voxels

REMOVED = tuple(round(0.05 * k, 2) for k in range(20))
"""Shares of the voxels that are left out, the most uncertain first."""

Curve = Float[NDArray[np.float64], " removed"]


@dataclass(frozen=True)
class Sparsification:
    """A patient's curves.

    Attributes:
        error: Mean |error| of the voxels that are left, over that of all, at each of `REMOVED`.
        oracle: The same where those with the largest error are left out first.
    """

    error: Curve
    oracle: Curve

    @property
    def ause(self) -> float:
        """Area between the curves: 0 where the spread orders voxels as their errors do."""
        return float(np.trapezoid(self.error - self.oracle, REMOVED))

    @property
    def monotone(self) -> bool:
        """Whether leaving more out never makes the rest worse."""
        return bool(np.all(np.diff(self.error) <= 1e-6))


def sparsify(voxels: Voxels) -> Sparsification:
    """Draw the curves.

    Args:
        voxels: Of a patient, with an error that is not 0 everywhere.

    Returns:
        Shares of the mean error.
    """
    error = voxels.error.astype(np.float64)
    whole = error.mean() or 1.0
    return Sparsification(
        _left_after(error, voxels.spread) / whole, _left_after(error, error) / whole
    )


def _left_after(error: NDArray[np.float64], by: NDArray[np.floating]) -> Curve:
    """Mean error of the voxels that are least in `by`, at each share left out.

    Equal ones share their error, so that the order of storage has no say.
    """
    _, group, counts = np.unique(by, return_inverse=True, return_counts=True)
    means = np.bincount(group, weights=error) / counts
    total = np.concatenate([[0.0], np.cumsum(means * counts)])
    edges = np.concatenate([[0], np.cumsum(counts)])
    kept = np.array([max(round(len(error) * (1 - share)), 1) for share in REMOVED])
    return np.asarray(np.interp(kept, edges, total) / kept)
