"""Noise texture: the wrong grain is seen, and the more of it the more."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from petcast.errors import GeometryError
from petcast.metrics.texture import compare_noise

SPACING_MM = (2.0, 2.0)
SHAPE = (12, 96, 96)


@pytest.fixture
def body() -> np.ndarray:
    inside = np.zeros(SHAPE, dtype=bool)
    inside[:, 8:88, 8:88] = True
    return inside


def grain(seed: int, sigma_px: float, gaussian: Callable) -> np.ndarray:
    texture = gaussian(np.random.default_rng(seed).standard_normal(SHAPE), sigma_px)
    return texture / texture.std()


def uneven() -> np.ndarray:
    """Uptake that rises and bends across the body: a trend, no noise."""
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]] / 96
    return np.broadcast_to(3 + 2 * x + y - (x - 0.5) ** 2, SHAPE)


def test_more_of_the_wrong_grain_is_further_away(body: np.ndarray, gaussian: Callable) -> None:
    truth = uneven() + 0.2 * grain(0, 2.0, gaussian)
    distances = []
    for wrong in (0.0, 0.25, 0.5, 0.75, 1.0):
        noise = math.sqrt(1 - wrong) * grain(1, 2.0, gaussian)
        noise = noise + math.sqrt(wrong) * grain(2, 0.0, gaussian)
        distances.append(compare_noise(uneven() + 0.2 * noise, truth, body, SPACING_MM).distance)
    assert distances[0] < 0.1
    assert (np.diff(distances) > 0.1).all()
    assert 0.6 < distances[-1] < 1


@pytest.mark.real
def test_white_noise_on_a_real_pet_is_seen_and_the_more_the_further(real_pets: list) -> None:
    for picture in real_pets:
        white = np.random.default_rng(0).standard_normal(picture.suv.shape)
        distances = [
            compare_noise(
                picture.suv + level * white, picture.suv, picture.body, picture.spacing_mm[1:]
            ).distance
            for level in (0.0, 0.05, 0.1, 0.2, 0.4)
        ]
        assert distances[0] == 0
        assert (np.diff(distances) > 0).all()


def test_the_ratio_is_that_of_the_standard_deviations(body: np.ndarray, gaussian: Callable) -> None:
    noise, other = grain(0, 1.0, gaussian), grain(1, 1.0, gaussian)
    found = compare_noise(uneven() + 0.1 * other, uneven() + 0.2 * noise, body, SPACING_MM)
    assert found.ratio == pytest.approx(0.5, rel=0.12)  # the quietest are quieter than all
    assert found.distance < 0.06
    assert found.patches >= 8


def test_white_noise_has_its_known_power_at_every_frequency(
    body: np.ndarray, gaussian: Callable
) -> None:
    """Variance times the voxel's area: 0.04 SUV² × 4 mm²."""
    truth = 3 + 0.2 * grain(0, 0.0, gaussian)
    found = compare_noise(truth, truth, body, SPACING_MM)
    flat = found.truth[2:]  # the lowest go with the trend
    # The quietest quarter is a little quieter than all.
    assert flat.mean() == pytest.approx(0.16, rel=0.15)
    assert flat.std() / flat.mean() < 0.15
    assert found.frequency_per_mm[-1] == pytest.approx(0.25)


def test_a_smooth_prediction_has_no_texture_in_common(body: np.ndarray, gaussian: Callable) -> None:
    truth = uneven() + 0.2 * grain(0, 2.0, gaussian)
    found = compare_noise(uneven(), truth, body, SPACING_MM)
    assert found.distance == 1.0
    assert found.ratio < 1e-3


def test_too_little_tissue_gives_no_value(gaussian: Callable) -> None:
    truth = uneven() + grain(0, 1.0, gaussian)
    found = compare_noise(truth, truth, np.ones(SHAPE, dtype=bool) & (truth > 1e9), SPACING_MM)
    assert found.patches == 0
    assert math.isnan(found.distance)


def test_other_shapes_are_refused(body: np.ndarray) -> None:
    with pytest.raises((GeometryError, TypeCheckError), match=r"fit|Type-check"):
        compare_noise(np.ones((12, 96, 95)), np.ones(SHAPE), body, SPACING_MM)
