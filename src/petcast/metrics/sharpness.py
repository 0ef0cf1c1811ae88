"""Two widths: how much blunter an image looks, and through what Gaussian real detail reaches it.

A Gaussian of standard deviation σ mm multiplies power at f per mm by exp(−4π²σ²f²). The slope of
the logarithm of the two images' power against f² is therefore −4π²σ², whatever their scales are. A
sharper image has the opposite slope and a negative width; so has a noisy one, since power does not
say whose detail it is.

The cross-spectrum does. Its real part over the real PET's power is the transfer: the share of the
real PET's amplitude that the prediction repeats in its place. Noise, a lattice and invented detail
average out of it, and what the Gaussian leaves of it is exp(−2π²σ²f²). Detail that is missing or in
a wrong place lowers it, whatever the image's own sharpness.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy.typing import NDArray

from petcast.errors import GeometryError
from petcast.metrics.lattice import slices_to_measure
from petcast.volume import FWHM_PER_SIGMA

FIT_PER_MM = (0.015, 0.1)
"""Where the slope is fitted: details of 67 to 10 mm. PET scanners pass little beyond."""

FOLLOWED = 0.25
"""The transfer is read down to here: below, what little is left is chance."""

BIN_PER_MM = 0.0025
"""Width of the spectrum's rings."""

EDGE = 16
"""The outer sixteenth of a slice fades to zero, so that its border is no detail."""


@dataclass(frozen=True)
class Blur:
    """How much blunter a prediction is than the real PET, what detail it keeps, and the spectra.

    Attributes:
        fwhm_mm: Full width at half maximum of the equivalent Gaussian in the slice's plane;
            negative where the prediction is sharper, NaN where it shows nothing.
        detail_mm: The same of the Gaussian through which the real PET's detail reaches the
            prediction: 0 where all of it does; NaN where nothing follows the real PET, or nothing
            but its longest waves, and not as behind a Gaussian.
        frequency_per_mm: Of the spectra.
        truth: The real PET's power by frequency, each slice's as a share of its own total.
        prediction: The prediction's, in the same unit.
        transfer: Share of the real PET's amplitude that the prediction repeats, by frequency; 0
            where the real PET has none.
    """

    fwhm_mm: float
    detail_mm: float
    frequency_per_mm: Float[NDArray[np.floating], " f"]
    truth: Float[NDArray[np.floating], " f"]
    prediction: Float[NDArray[np.floating], " f"]
    transfer: Float[NDArray[np.floating], " f"]


def measure_blur(
    prediction: Shaped[np.ndarray, "z y x"],
    truth: Shaped[np.ndarray, "z y x"],
    body: Bool[np.ndarray, "z y x"],
    spacing_mm: tuple[float, float],
) -> Blur:
    """Measure how much blunter a prediction is than the real PET, and what detail it keeps.

    Args:
        prediction: PET.
        truth: The real PET; its scale may differ.
        body: True inside the body: slices without it are left out.
        spacing_mm: Of the voxels along y and x.

    Returns:
        Both Gaussians and the spectra.

    Raises:
        GeometryError: The shapes differ.
    """
    if not prediction.shape == truth.shape == body.shape:
        raise GeometryError(
            f"a prediction of {prediction.shape} and a body of {body.shape} do not fit a real PET "
            f"of {truth.shape}"
        )
    places = slices_to_measure(body)
    rings = _Rings.of(truth.shape[1], truth.shape[2], spacing_mm)
    powers = np.zeros((3, rings.count))
    for z in places:
        found = rings.powers(truth[z], prediction[z])
        if found[0].sum() > 0:
            powers += found / found[0].sum()
    real, guess, shared = powers / max(len(places), 1)
    frequency = (np.arange(rings.count) + 0.5) * BIN_PER_MM
    transfer = np.divide(shared, real, out=np.zeros_like(real), where=real > 0)
    return Blur(
        fwhm_mm=_blunter(frequency, real, guess),
        detail_mm=_kept(frequency, real, shared),
        frequency_per_mm=frequency,
        truth=real,
        prediction=guess,
        transfer=transfer,
    )


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

    def powers(self, truth: NDArray[Any], guess: NDArray[Any]) -> NDArray[np.floating]:
        """Both slices' mean power in each ring and what they share; 0 where a ring has no bin."""
        from scipy import fft

        one, other = (fft.rfft2(image * self.taper) for image in (truth, guess))
        pairs = ((one, one), (other, other), (one, other))
        kinds = [a.real * b.real + a.imag * b.imag for a, b in pairs]
        summed = [np.bincount(self.ring.ravel(), k.ravel(), len(self.weight)) for k in kinds]
        return np.stack([(total * self.weight)[: self.count] for total in summed])


def _fading(size: int) -> NDArray[np.floating]:
    """1, and half a cosine to 0 at either end (Tukey's window)."""
    fade = max(size // EDGE, 1)
    slope = (1 - np.cos(np.pi * (np.arange(fade) + 0.5) / fade)) / 2
    return np.concatenate([slope, np.ones(max(size - 2 * fade, 0)), slope[::-1]])[:size]


def _blunter(
    frequency: NDArray[np.floating], truth: NDArray[np.floating], guess: NDArray[np.floating]
) -> float:
    low, high = FIT_PER_MM
    used = (frequency >= low) & (frequency <= high) & (truth > 0) & (guess > 0)
    if used.sum() < 2:
        return math.nan
    slope, _ = np.polyfit(frequency[used] ** 2, np.log(guess[used] / truth[used]), 1)
    return _fwhm(-float(slope) / (4 * math.pi**2))


def _kept(
    frequency: NDArray[np.floating], truth: NDArray[np.floating], shared: NDArray[np.floating]
) -> float:
    """Fit exp(−2π²σ²f²) to the transfer, up to where the prediction follows no longer.

    It is 1 at long waves, which takes the scale out; each logarithm weighs as the square of what
    it was taken of, so that small transfers, which are uncertain, say little.
    """
    low, high = FIT_PER_MM
    long = frequency < low
    gain = shared[long].sum() / truth[long].sum() if truth[long].any() else 0.0
    if gain <= 0:
        return math.nan
    share = np.divide(shared, gain * truth, out=np.zeros_like(truth), where=truth > 0)
    lost = np.flatnonzero((share < FOLLOWED) & ~long)
    end = min(high, frequency[lost[0]]) if len(lost) else high
    used = (frequency <= end) & (share > 0)
    squared, weight = frequency[used] ** 2, share[used] ** 2
    slope = (weight * squared * np.log(share[used])).sum() / (weight * squared**2).sum()
    # Lost from the first: what long waves alone say must agree, or it is a width of hundreds of mm
    # with any sign.
    none_followed = len(lost) > 0 and lost[0] == np.count_nonzero(long)
    if none_followed and slope * end**2 > math.log(FOLLOWED):
        return math.nan
    return _fwhm(-float(slope) / (2 * math.pi**2))


def _fwhm(variance: float) -> float:
    """In mm, of a Gaussian's variance; with its sign."""
    return math.copysign(FWHM_PER_SIGMA * math.sqrt(abs(variance)), variance)
