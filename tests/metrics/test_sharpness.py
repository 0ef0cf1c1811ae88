"""Blur and lost detail: a planted Gaussian is given back in millimetres, noise is no sharpness."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from scipy.special import j0

from petcast.errors import GeometryError
from petcast.metrics.sharpness import measure_blur
from petcast.volume import FWHM_PER_SIGMA

SIGMAS_MM = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)


def assert_planted_blur_is_measured(picture, gaussian: Callable, unit: float = 1.0) -> None:
    spacing = picture.spacing_mm[1:]
    measured = []
    for sigma in SIGMAS_MM:
        blurred = gaussian(picture.suv, sigma / spacing[0]) * np.float32(unit)
        found = measure_blur(blurred, picture.suv, picture.body, spacing)
        measured.append((found.fwhm_mm, found.detail_mm))
    assert (np.diff(measured, axis=0) > 0).all()
    planted = np.array(SIGMAS_MM) * FWHM_PER_SIGMA
    np.testing.assert_allclose(measured, np.stack([planted, planted], 1), atol=0.1)


@pytest.mark.slow
def test_planted_blur_is_measured_on_phantoms(phantom_pet: Callable, gaussian: Callable) -> None:
    for patient in range(2):
        assert_planted_blur_is_measured(phantom_pet(patient, 128), gaussian)


@pytest.mark.slow
def test_a_wrong_scale_is_not_blur(phantom_pet: Callable, gaussian: Callable) -> None:
    assert_planted_blur_is_measured(phantom_pet(0, 128), gaussian, unit=0.6)


def assert_what_is_added_is_no_detail(picture, gaussian: Callable) -> None:
    """White noise of 0.3 SUV, and a lattice of a tenth of the uptake, over a blur of 7.1 mm."""
    spacing = picture.spacing_mm[1:]
    blurred = gaussian(picture.suv, 3 / spacing[0])
    rng, (y, x) = np.random.default_rng(0), np.indices(picture.suv.shape[1:])
    noise = rng.normal(0, 0.3, picture.suv.shape).astype(np.float32) * picture.body
    for spoilt in (blurred + noise, blurred * (1 + 0.1 * (-1.0) ** (x + y))):
        found = measure_blur(spoilt, picture.suv, picture.body, spacing)
        assert found.detail_mm == pytest.approx(3 * FWHM_PER_SIGMA, abs=0.5)
    noisy = measure_blur(blurred + noise, picture.suv, picture.body, spacing)
    assert noisy.fwhm_mm < 3  # so sharp it looks


@pytest.mark.slow
def test_noise_and_lattice_are_no_detail(phantom_pet: Callable, gaussian: Callable) -> None:
    assert_what_is_added_is_no_detail(phantom_pet(0, 128), gaussian)


@pytest.mark.real
def test_noise_and_lattice_are_no_detail_on_real_pet(real_pets: list, gaussian: Callable) -> None:
    for picture in real_pets:
        assert_what_is_added_is_no_detail(picture, gaussian)


def test_detail_in_another_place_is_lost(phantom_pet: Callable) -> None:
    """A move by d turns waves by 2πfd cos θ: over all directions the Bessel function J0 is left."""
    picture = phantom_pet(0, 128)
    spacing = picture.spacing_mm[1:]
    moved = np.roll(picture.suv, 2, axis=2)
    found = measure_blur(moved, picture.suv, picture.body, spacing)
    assert found.fwhm_mm == pytest.approx(0, abs=0.5)
    coarse = found.frequency_per_mm < 0.06
    expected = j0(2 * np.pi * found.frequency_per_mm * 2 * spacing[1])
    np.testing.assert_allclose(found.transfer[coarse], expected[coarse], atol=0.1)
    assert found.detail_mm > 2 * spacing[1]


def test_one_value_for_the_whole_body_keeps_no_detail(phantom_pet: Callable) -> None:
    picture = phantom_pet(0, 128)
    spacing = picture.spacing_mm[1:]
    constant = picture.body.astype(np.float32)
    assert measure_blur(constant, picture.suv, picture.body, spacing).detail_mm > 20
    against = measure_blur(-picture.suv, picture.suv, picture.body, spacing)
    assert math.isnan(against.detail_mm)


def test_an_image_that_follows_in_the_longest_wave_alone_has_no_width(gaussian: Callable) -> None:
    """A stage of a cascade had a detail of −275 mm, and the mean over patients with it."""
    y, x = np.indices((96, 96))
    body = (((y - 48) / 30) ** 2 + ((x - 48) / 40) ** 2 < 1)[None]
    real = (body + 3.0 * ((y - 44) ** 2 + (x - 60) ** 2 < 36)).astype(np.float32)
    astray = gaussian(real, 30) - 0.2 * real
    found = measure_blur(astray, real, body, (4.0, 4.0))
    assert found.transfer[0] > 0.5
    assert found.transfer[2:20].max() < 0
    assert math.isnan(found.detail_mm)


@pytest.mark.real
def test_planted_blur_is_measured_on_real_pet(real_pets: list, gaussian: Callable) -> None:
    for picture in real_pets:
        assert_planted_blur_is_measured(picture, gaussian)


def test_a_sharper_image_has_a_negative_width(phantom_pet: Callable, gaussian: Callable) -> None:
    picture = phantom_pet(0, 128)
    spacing = picture.spacing_mm[1:]
    blurred = gaussian(picture.suv, 3 / spacing[0])
    width = measure_blur(picture.suv, blurred, picture.body, spacing).fwhm_mm
    assert width == pytest.approx(-3 * FWHM_PER_SIGMA, abs=0.1)
    blunt = measure_blur(blurred, picture.suv, picture.body, spacing)
    assert (blunt.fwhm_mm, blunt.detail_mm) == pytest.approx([3 * FWHM_PER_SIGMA] * 2, abs=0.1)


def test_the_same_image_has_none_and_nothing_has_no_value(phantom_pet: Callable) -> None:
    picture = phantom_pet(0, 128)
    spacing = picture.spacing_mm[1:]
    same = measure_blur(picture.suv, picture.suv, picture.body, spacing)
    assert same.fwhm_mm == pytest.approx(0, abs=1e-6)
    assert same.detail_mm == pytest.approx(0, abs=1e-6)
    np.testing.assert_array_equal(same.truth, same.prediction)
    nothing = measure_blur(picture.suv * 0, picture.suv, picture.body, spacing)
    assert math.isnan(nothing.fwhm_mm)
    assert math.isnan(nothing.detail_mm)


def test_spectra_are_shares_of_the_real_power(phantom_pet: Callable) -> None:
    """Twice the uptake is four times the power at every frequency, up to Nyquist."""
    picture = phantom_pet(0, 128)
    spacing = picture.spacing_mm[1:]
    blur = measure_blur(picture.suv * 2, picture.suv, picture.body, spacing)
    assert blur.truth.sum() == pytest.approx(1)
    np.testing.assert_allclose(blur.prediction, 4 * blur.truth, rtol=1e-4)
    np.testing.assert_allclose(blur.transfer[blur.truth > 0], 2, rtol=1e-4)
    assert blur.detail_mm == pytest.approx(0, abs=0.1)
    assert blur.frequency_per_mm[-1] < 0.5 / spacing[0]


def test_other_shapes_are_refused() -> None:
    image, body = np.ones((2, 16, 16)), np.ones((2, 16, 15), dtype=bool)
    with pytest.raises((GeometryError, TypeCheckError), match=r"fit|Type-check"):
        measure_blur(image, image, body, (2.0, 2.0))
