"""The Fréchet distance of two clouds of feature vectors, taken as Gaussians.

It is `|m − m'|² + tr(C + C' − 2 (C C')^½)`. The trace of the root is taken without a root: with the
centred vectors X and X' in rows, C = XᵀX and C' = X'ᵀX' up to their counts, and the eigenvalues of
C C' are the squared singular values of X X'ᵀ. So it is their sum, which stays real, needs no full
rank, and does not square the condition number as a product of covariances would.

References:
    Dowson and Landau, The Fréchet distance between multivariate normal distributions, J.
    Multivariate Anal. 12(3), 1982. Chong and Forsyth, Effectively unbiased FID and Inception
    score, CVPR 2020 (the bias of few samples).
"""

import math

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from petcast.errors import GeometryError


def frechet_distance(
    first: Float[np.ndarray, "n d"], second: Float[np.ndarray, "m e"]
) -> float | None:
    """Compare two clouds of vectors by their means and covariances.

    Few vectors make it too large: with d features and no more than d vectors the covariances are
    singular. Distances are comparable only between clouds of as many vectors.

    Args:
        first: A vector a row.
        second: Vectors as long, of any number.

    Returns:
        The squared Fréchet distance, in the square of the features' unit; None with fewer than two
        vectors in either.

    Raises:
        GeometryError: The vectors are not equally long.

    Example:
        >>> line = np.array([[0.0], [1.0], [2.0]])  # mean 1, SD 1; three times that: 3 and 3
        >>> frechet_distance(line, 3 * line)
        8.0
    """
    if first.shape[1] != second.shape[1]:
        raise GeometryError(f"vectors of {first.shape[1]} and {second.shape[1]} features")
    if min(len(first), len(second)) < 2:
        return None
    (mean, root), (other_mean, other_root) = _moments(first), _moments(second)
    shift = float(np.square(mean - other_mean).sum())
    spread = float(np.square(root).sum() + np.square(other_root).sum())
    shared = float(np.linalg.svd(root @ other_root.T, compute_uv=False).sum())
    # The difference of two nearly equal numbers: rounding may leave less than nothing.
    return max(shift + spread - 2 * shared, 0.0)


def _moments(vectors: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean, and R with RᵀR the covariance: at most as many rows as there are features."""
    exact = vectors.astype(np.float64)
    mean = exact.mean(axis=0)
    centred = (exact - mean) / math.sqrt(len(exact) - 1)
    if len(centred) > centred.shape[1]:
        centred = np.linalg.qr(centred, mode="r")
    return mean, centred
