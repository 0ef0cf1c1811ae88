"""The Fréchet distance against scipy's and torchmetrics' computations, and its laws."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from petcast.errors import GeometryError
from petcast.metrics.frechet import frechet_distance


def cloud(n: int, d: int, seed: int, shift: float = 0.0) -> NDArray[np.float64]:
    """Correlated vectors whose variances fall by three orders of magnitude."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d)) * np.logspace(0, -1.5, d)
    return rng.normal(size=(n, d)) @ mix + shift


@pytest.mark.parametrize(("n", "m"), [(200, 200), (60, 500)])
def test_it_is_that_of_scipys_matrix_root(n: int, m: int) -> None:
    first, second = cloud(n, 24, 1), cloud(m, 24, 2, shift=0.5)
    covariances = [np.cov(one, rowvar=False) for one in (first, second)]
    root = sqrtm(covariances[0] @ covariances[1]).real
    shift = ((first.mean(0) - second.mean(0)) ** 2).sum()
    expected = shift + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_it_is_that_of_torchmetrics() -> None:
    from torchmetrics.image.fid import _compute_fid

    first, second = cloud(300, 16, 3), cloud(300, 16, 4)
    moments = [
        torch.tensor(part) for one in (first, second)
        for part in (one.mean(0), np.cov(one, rowvar=False))
    ]  # fmt: skip
    expected = float(_compute_fid(*moments))
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_singular_covariances_are_no_obstacle() -> None:
    # Fewer vectors than features: the root of one covariance, then eigenvalues of a symmetric one.
    first, second = cloud(12, 40, 5), cloud(9, 40, 6)
    covariance, other = (np.cov(one, rowvar=False) for one in (first, second))
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ other @ root).clip(0)).sum()
    shift = ((first.mean(0) - second.mean(0)) ** 2).sum()
    expected = shift + np.trace(covariance) + np.trace(other) - 2 * shared
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("n", [10, 100])
def test_laws(n: int) -> None:
    first, second = cloud(n, 20, 7), cloud(n, 20, 8)
    size = np.square(first).sum() / n
    distance = frechet_distance(first, second)
    assert distance is not None
    assert distance > 0.01 * size
    assert frechet_distance(first, first[::-1]) == pytest.approx(0, abs=1e-12 * size)
    assert frechet_distance(second, first) == pytest.approx(distance)
    assert frechet_distance(first, first + 2.0) == pytest.approx(20 * 2.0**2)
    assert frechet_distance(3 * first, 3 * second) == pytest.approx(9 * distance)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(20, 20)))[0]
    assert frechet_distance(first @ turn, second @ turn) == pytest.approx(distance)


def test_features_far_from_zero_lose_nothing() -> None:
    first, second = cloud(100, 8, 9), cloud(100, 8, 10)
    near, far = frechet_distance(first, second), frechet_distance(first + 1e6, second + 1e6)
    assert far == pytest.approx(near, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "share"), [(128, 0.43), (256, 0.24), (512, 0.11), (1024, 0.058), (4096, 0.0144)]
)
def test_few_vectors_make_it_too_large(n: int, share: float) -> None:
    """Two clouds of one distribution: the bias that docs/evaluate.md tabulates."""
    d, rng = 256, np.random.default_rng(0)
    spread = np.sqrt(1 / np.arange(1, d + 1))
    first, second = rng.normal(size=(2, n, d)) * spread
    bias = frechet_distance(first, second)
    assert bias == pytest.approx(share * np.square(spread).sum(), rel=0.1)


def test_one_vector_has_no_covariance() -> None:
    assert frechet_distance(np.ones((1, 3)), np.ones((5, 3))) is None
    assert frechet_distance(np.empty((0, 3)), np.ones((5, 3))) is None


def test_vectors_of_other_lengths_are_refused() -> None:
    with pytest.raises(GeometryError, match="3 and 4"):
        frechet_distance(np.ones((5, 3)), np.ones((5, 4)))
