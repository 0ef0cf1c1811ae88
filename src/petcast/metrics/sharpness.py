"""The blur index: the Gaussian that would turn the real PET's spectrum into the prediction's.

A Gaussian of standard deviation σ mm multiplies power at f per mm by exp(−4π²σ²f²). The slope of
the logarithm of the two images' power against f² is therefore −4π²σ², whatever their scales are. A
sharper image has the opposite slope and a negative width.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy.typing import NDArray

from petcast.errors import GeometryError
from petcast.metrics.lattice import spread

FIT_PER_MM = (0.015, 0.1)
"""Where the slope is fitted: details of 67 to 10 mm. PET scanners pass little beyond."""

BIN_PER_MM = 0.0025
"""Width of the spectrum's rings."""

MOST_SLICES = 64
"""Spread evenly over the scan."""

EDGE = 16
"""The outer sixteenth of a slice fades to zero, so that its border is no detail."""

FWHM_OF_SIGMA = 2 * math.sqrt(2 * math.log(2))


@dataclass(frozen=True)
class Blur:
    """How much blunter a prediction is than the real PET, and both spectra.

    Attributes:
        fwhm_mm: Full width at half maximum of the equivalent Gaussian in the slice's plane;
            negative where the prediction is sharper, NaN where it shows nothing.
        frequency_per_mm: Of the spectra.
        truth: The real PET's power by frequency, each slice's as a share of its own total.
        prediction: The prediction's, in the same unit.
    """

    fwhm_mm: float
    frequency_per_mm: Float[NDArray[np.floating], " f"]
    truth: Float[NDArray[np.floating], " f"]
    prediction: Float[NDArray[np.floating], " f"]


def measure_blur(
    prediction: Shaped[np.ndarray, "z y x"],
    truth: Shaped[np.ndarray, "z y x"],
    body: Bool[np.ndarray, "z y x"],
    spacing_mm: tuple[float, float],
) -> Blur:
    """Measure how much blunter a prediction is than the real PET.

    Args:
        prediction: PET.
        truth: The real PET; its scale may differ.
        body: True inside the body: slices without it are left out.
        spacing_mm: Of the voxels along y and x.

    Returns:
        The equivalent Gaussian and the spectra.

    Raises:
        GeometryError: The shapes differ.
    """
    if not prediction.shape == truth.shape == body.shape:
        raise GeometryError(
            f"a prediction of {prediction.shape} and a body of {body.shape} do not fit a real PET "
            f"of {truth.shape}"
        )
    places = spread(np.flatnonzero(body.any(axis=(1, 2))), MOST_SLICES)
    rings = _Rings.of(truth.shape[1], truth.shape[2], spacing_mm)
    powers = np.zeros((2, rings.count))
    for z in places:
        real, guess = (rings.power(image[z]) for image in (truth, prediction))
        if real.sum() > 0:
            powers += np.stack([real, guess]) / real.sum()
    powers /= max(len(places), 1)
    frequency = (np.arange(rings.count) + 0.5) * BIN_PER_MM
    return Blur(_fitted(frequency, *powers), frequency, powers[0], powers[1])


@dataclass(frozen=True)
class _Rings:
    """Which ring of frequencies each bin of a slice's transform belongs to."""

    taper: NDArray[np.floating]
    ring: NDArray[np.integer]
    weight: NDArray[np.floating]
    count: int

    @classmethod
    def of(cls, y: int, x: int, spacing_mm: tuple[float, float]) -> "_Rings":
        fy, fx = np.fft.fftfreq(y, spacing_mm[0]), np.fft.rfftfreq(x, spacing_mm[1])
        ring = (np.hypot(fy[:, None], fx) / BIN_PER_MM).astype(int)
        nyquist = 0.5 / max(spacing_mm)
        count = max(int(nyquist / BIN_PER_MM), 1)
        bins = np.bincount(ring.ravel(), minlength=count)
        taper = np.outer(_fading(y), _fading(x)).astype(np.float32)
        return cls(taper, ring, 1 / np.maximum(bins, 1), count)

    def power(self, image: NDArray[Any]) -> NDArray[np.floating]:
        """The slice's mean power in each ring; 0 where it has no bin."""
        from scipy import fft

        transform: NDArray[Any] = fft.rfft2(image * self.taper)
        summed = np.bincount(self.ring.ravel(), (np.abs(transform) ** 2).ravel(), len(self.weight))
        return np.asarray((summed * self.weight)[: self.count])


def _fading(size: int) -> NDArray[np.floating]:
    """1, and half a cosine to 0 at either end (Tukey's window)."""
    fade = max(size // EDGE, 1)
    slope = (1 - np.cos(np.pi * (np.arange(fade) + 0.5) / fade)) / 2
    return np.concatenate([slope, np.ones(max(size - 2 * fade, 0)), slope[::-1]])[:size]


def _fitted(
    frequency: NDArray[np.floating], truth: NDArray[np.floating], guess: NDArray[np.floating]
) -> float:
    low, high = FIT_PER_MM
    used = (frequency >= low) & (frequency <= high) & (truth > 0) & (guess > 0)
    if used.sum() < 2:
        return math.nan
    slope, _ = np.polyfit(frequency[used] ** 2, np.log(guess[used] / truth[used]), 1)
    variance = -float(slope) / (4 * math.pi**2)
    return math.copysign(FWHM_OF_SIGMA * math.sqrt(abs(variance)), variance)
