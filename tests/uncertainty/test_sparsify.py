"""Leaving uncertain voxels out: curves with a known course."""

import numpy as np
import pytest

from petcast.uncertainty.calibrate import Voxels
from petcast.uncertainty.sparsify import REMOVED, sparsify

N = 20_000


@pytest.fixture(scope="module")
def error() -> np.ndarray:
    return np.random.default_rng(0).random(N)


def test_a_spread_that_is_the_error_leaves_nothing_to_be_desired(error: np.ndarray) -> None:
    curves = sparsify(Voxels(error, 3 * error))
    assert curves.ause == pytest.approx(0, abs=1e-9)
    assert curves.monotone
    # of uniform errors, the least share s has half the mean of s
    assert curves.oracle == pytest.approx([1 - share for share in REMOVED], abs=0.02)


def test_a_spread_that_says_nothing_leaves_the_error_as_it_is(error: np.ndarray) -> None:
    curves = sparsify(Voxels(error, np.ones(N)))
    assert curves.error == pytest.approx(np.ones(len(REMOVED)), abs=1e-9)
    # between 1 and 1 − share, from 0 to 0.95
    assert curves.ause == pytest.approx(0.95**2 / 2, abs=0.01)


def test_a_spread_that_is_wrong_makes_the_rest_worse(error: np.ndarray) -> None:
    curves = sparsify(Voxels(error, 1 - error))
    assert not curves.monotone
    assert curves.ause > 0.95**2 / 2


def test_a_spread_that_knows_the_scale_lies_between(error: np.ndarray) -> None:
    draw = np.random.default_rng(1)
    scale = draw.lognormal(0, 1, N)
    curves = sparsify(Voxels(np.abs(draw.standard_normal(N)) * scale, scale))
    assert curves.monotone
    assert 0 < curves.ause < sparsify(Voxels(error, np.ones(N))).ause


def test_the_order_of_storage_has_no_say(error: np.ndarray) -> None:
    spread = np.round(error, 1)
    turned = np.random.default_rng(2).permutation(N)
    one, other = sparsify(Voxels(error, spread)), sparsify(Voxels(error[turned], spread[turned]))
    assert one.error == pytest.approx(other.error, abs=1e-9)


def test_an_error_of_0_everywhere_is_no_division_by_it() -> None:
    curves = sparsify(Voxels(np.zeros(10), np.ones(10)))
    assert np.isfinite(curves.error).all()
