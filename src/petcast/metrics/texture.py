"""Noise-texture agreement: which frequencies the noise of uniform tissue lies at.

Small squares inside the body are freed of their trend (a quadratic surface); of the quietest of
them, as the real PET shows, the noise power spectrum is taken in both images. The squares are the
real PET's choice alone. What remains of anatomy in them is in both spectra.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy.typing import NDArray

from petcast.errors import GeometryError
from petcast.metrics.lattice import slices_to_measure

PATCH_MM = 32.0
"""Side of a square: it holds several grains of PET noise and little anatomy."""

LEAST_PATCH_PX = 8
QUIETEST = 0.25
"""Share of the squares that count, those of the least relative noise in the real PET."""

FEWEST = 8
"""With fewer squares there is no spectrum."""

SILENT = 1e-3
"""Noise below this share of the real PET's is none: its texture agrees with nothing."""


@dataclass(frozen=True)
class NoiseTexture:
    """How the noise of two images agrees, and its spectra.

    Attributes:
        distance: Share of the noise power that lies at other frequencies than the real PET's
            (total variation distance of the spectra's shapes): 0 for the same texture, 1 for
            none in common; NaN without enough uniform tissue.
        ratio: Standard deviation of the prediction's noise over the real PET's.
        patches: Squares that were looked at.
        frequency_per_mm: Of the spectra.
        truth: The real PET's noise power spectrum, in SUV² mm² for images in SUV.
        prediction: The prediction's.
    """

    distance: float
    ratio: float
    patches: int
    frequency_per_mm: Float[NDArray[np.floating], " f"]
    truth: Float[NDArray[np.floating], " f"]
    prediction: Float[NDArray[np.floating], " f"]


def compare_noise(
    prediction: Shaped[np.ndarray, "z y x"],
    truth: Shaped[np.ndarray, "z y x"],
    body: Bool[np.ndarray, "z y x"],
    spacing_mm: tuple[float, float],
) -> NoiseTexture:
    """Compare the texture of the noise in uniform tissue.

    Args:
        prediction: PET.
        truth: The real PET, in the same unit.
        body: True inside the body.
        spacing_mm: Of the voxels along y and x.

    Returns:
        Distance, ratio and spectra.

    Raises:
        GeometryError: The shapes differ.

    Reference:
        ICRU Report 54, 1996 (the noise power spectrum); Gibbs and Su, On choosing and bounding
        probability metrics, Int. Stat. Rev. 70(3), 2002 (total variation).
    """
    if not prediction.shape == truth.shape == body.shape:
        raise GeometryError(
            f"a prediction of {prediction.shape} and a body of {body.shape} do not fit a real PET "
            f"of {truth.shape}"
        )
    side = max(round(PATCH_MM / max(spacing_mm)), LEAST_PATCH_PX)
    real, guess = _quiet_patches(prediction, truth, body, side)
    frequency, ring = _rings(side, spacing_mm)
    if len(real) < FEWEST:
        empty = np.full(len(frequency), math.nan)
        return NoiseTexture(math.nan, math.nan, len(real), frequency, empty, empty)
    powers = [_power(one, spacing_mm) for one in (real, guess)]
    energies: list[NDArray[Any]] = [
        np.bincount(ring, power.ravel(), len(frequency) + 1)[:-1] for power in powers
    ]
    bins = np.maximum(np.bincount(ring, minlength=len(frequency) + 1)[:-1], 1)
    return NoiseTexture(
        _distance(*energies),
        float(np.sqrt(energies[1].sum() / energies[0].sum())) if energies[0].any() else math.nan,
        len(real),
        frequency,
        energies[0] / bins,
        energies[1] / bins,
    )


def _quiet_patches(
    prediction: NDArray[Any], truth: NDArray[Any], body: NDArray[np.bool_], side: int
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Squares of either image without their trend: the quietest that lie wholly in the body."""
    places = slices_to_measure(body)
    inside = _tiles(body[places], side).all(axis=1)
    real, guess = (_tiles(image[places], side)[inside] for image in (truth, prediction))
    if not len(real):
        return real, guess
    mean = np.abs(real.mean(axis=1)) + 1e-6
    real, guess = _detrended(real, side), _detrended(guess, side)
    noise = real.std(axis=1) / mean
    quiet = noise <= np.quantile(noise, QUIETEST)
    return real[quiet].reshape(-1, side, side), guess[quiet].reshape(-1, side, side)


def _tiles(stack: NDArray[Any], side: int) -> NDArray[Any]:
    """Cut slices into squares side by side: (squares, voxels)."""
    z, y, x = stack.shape
    rows, columns = y // side, x // side
    cut = stack[:, : rows * side, : columns * side].reshape(z, rows, side, columns, side)
    return cut.swapaxes(2, 3).reshape(-1, side * side)


def _detrended(patches: NDArray[Any], side: int) -> NDArray[np.floating]:
    """Take off the quadratic surface that fits each square best."""
    across = np.linspace(-1, 1, side)
    y, x = (axis.ravel() for axis in np.meshgrid(across, across, indexing="ij"))
    surface, _ = np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1))
    values = patches.astype(np.float64)
    return np.asarray(values - (values @ surface) @ surface.T)


def _rings(
    side: int, spacing_mm: tuple[float, float]
) -> tuple[NDArray[np.floating], NDArray[np.integer]]:
    """Middles of the rings up to the Nyquist frequency, and each bin's ring; the last is beyond."""
    width = 1 / (side * max(spacing_mm))
    axes = (np.fft.fftfreq(side, step) for step in spacing_mm)
    radius = np.hypot(*np.meshgrid(*axes, indexing="ij")).ravel()
    count = side // 2
    ring = np.minimum(np.round(radius / width).astype(int), count + 1)
    ring = np.where(ring == 0, count + 1, ring) - 1  # the mean is the trend's
    return (np.arange(count) + 1) * width, ring


def _power(patches: NDArray[np.floating], spacing_mm: tuple[float, float]) -> NDArray[np.floating]:
    from scipy import fft

    side = patches.shape[1]
    window = np.outer(np.hanning(side + 2)[1:-1], np.hanning(side + 2)[1:-1])
    power = (np.abs(fft.fft2(patches * window)) ** 2).mean(axis=0)
    return np.asarray(power * spacing_mm[0] * spacing_mm[1] / (window**2).sum())


def _distance(truth: NDArray[np.floating], guess: NDArray[np.floating]) -> float:
    real, noise = float(truth.sum()), float(guess.sum())
    if real <= 0:
        return math.nan
    if noise < SILENT**2 * real:
        return 1.0
    return float(np.abs(truth / real - guess / noise).sum() / 2)
