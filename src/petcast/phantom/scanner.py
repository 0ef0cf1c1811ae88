"""What the scanner makes of a patient: a noisy CT in one breath, a blurred noisy PET over many."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from scipy.sparse import csr_array

from petcast.phantom.anatomy import Anatomy, Axes, render
from petcast.phantom.frame import BOTTOM_MM, TOP_MM
from petcast.phantom.shapes import Field
from petcast.phantom.styles import Protocol
from petcast.volume import FWHM_PER_SIGMA

CT_FIELD_MM = 500.0
GRAIN_MM = 0.75
"""Standard deviation of the blur that gives the CT's noise its grain."""

PET_PHASES = ((0.0, 0.4), (0.35, 0.25), (0.7, 0.2), (1.0, 0.15))
"""Phases of the breath and the share of time spent there: mostly near expiration."""

FINE_MM = 2.5
"""The activity is painted at this spacing, finer than any PET, before the scanner blurs it."""

COARSE_MM = 5.0
"""The spacing used instead where the slices asked for are further apart than COARSE_STEP_MM."""

COARSE_STEP_MM = 6.0


@dataclass(frozen=True)
class PetScan:
    """A PET and what it would be without noise.

    Attributes:
        axes: Its grid.
        suv: With noise, (z, y, x).
        noise_free: Blurred by scanner and breath only, (z, y, x).
        lesions: 0, or the number of the lesion whose mean place covers the voxel, from 1.
    """

    axes: Axes
    suv: Field
    noise_free: Field
    lesions: NDArray[np.uint8]


def ct_axes(anatomy: Anatomy, protocol: Protocol) -> Axes:
    """The CT's grid: 500 mm across, from the neck to the upper abdomen."""
    across = _centred(protocol.ct_size, CT_FIELD_MM / protocol.ct_size)
    low, high = _range_mm(anatomy)
    z = _stacked(low, high, protocol.ct_step_mm)
    return Axes(across, across, z, protocol.ct_step_mm)


def pet_axes(anatomy: Anatomy, protocol: Protocol) -> Axes:
    """The PET's grid: its own pixels and its own slice positions, inside the CT's range."""
    across = _centred(protocol.pet_size, protocol.pet_pixel_mm)
    low, high = _range_mm(anatomy)
    z = _stacked(low + protocol.pet_shift_mm, high - protocol.ct_step_mm, protocol.pet_step_mm)
    return Axes(across, across, z, protocol.pet_step_mm)


def _range_mm(anatomy: Anatomy) -> tuple[float, float]:
    """Where the scan begins and ends along z."""
    low, high = (anatomy.frame.scanner_axis(2, z) for z in (BOTTOM_MM, TOP_MM))
    return round(low, 1), round(high, 1)


def _centred(count: int, step_mm: float) -> NDArray[np.float64]:
    """Places of voxels around the scanner's axis."""
    return np.asarray((np.arange(count) - (count - 1) / 2) * step_mm, dtype=np.float64)


def _stacked(low: float, high: float, step_mm: float) -> NDArray[np.float64]:
    """Places of slices from below, as many as fit."""
    count = int((high - low) / step_mm) + 1
    return np.asarray(low + np.arange(count) * step_mm, dtype=np.float64)


def take_ct(anatomy: Anatomy, protocol: Protocol, rng: np.random.Generator) -> tuple[Axes, Field]:
    """Take the CT.

    Args:
        anatomy: The patient.
        protocol: How they are scanned.
        rng: The stream of the noise.

    Returns:
        Its grid and its HU, (z, y, x).
    """
    axes = ct_axes(anatomy, protocol)
    image = render(anatomy, axes, "hu", anatomy.person.ct_phase)
    for index, plane in enumerate(image):
        image[index] = plane + _ct_noise(plane, axes, protocol, rng)
    return axes, image


def _ct_noise(plane: Field, axes: Axes, protocol: Protocol, rng: np.random.Generator) -> Field:
    """Noise of one slice: more behind more tissue, streaks across the shoulders, lung texture."""
    pixel_mm = float(axes.x_mm[1] - axes.x_mm[0])
    white = rng.standard_normal(plane.shape, dtype=np.float32)
    rows = (plane > -700).mean(axis=1, dtype=np.float32) * np.float32(CT_FIELD_MM / 350)
    level = protocol.ct_noise_hu * float(np.exp(1.1 * (rows.max() - 1)))
    noise = _correlated(white, (GRAIN_MM / pixel_mm, GRAIN_MM / pixel_mm))
    noise *= np.where(rows > 0, level, 0.3 * level).astype(np.float32)[:, None]
    streaked = rows > 0.95
    if streaked.any():
        streaks = _correlated(white[streaked], (0.0, 14 / pixel_mm))
        noise[streaked] += streaks * (rows[streaked] - 0.95)[:, None] * np.float32(2.4 * level)
    lung = (plane < -600) & (plane > -930)
    if lung.any():
        texture = _correlated(white, (2.2 / pixel_mm, 2.2 / pixel_mm))
        noise += texture * lung * np.float32(13)
    return noise


def _correlated(white: Field, sigmas: tuple[float, ...]) -> Field:
    """White noise blurred along each axis by so many voxels, its variance kept at 1."""
    for axis, sigma in enumerate(sigmas):
        if sigma > 0.2:
            reach = np.arange(-round(3 * sigma + 0.5), round(3 * sigma + 0.5) + 1)
            weights = np.exp(-0.5 * (reach / sigma) ** 2)
            white = correlate1d(white, weights / np.linalg.norm(weights), axis=axis)
    return white


def take_pet(anatomy: Anatomy, protocol: Protocol, rng: np.random.Generator) -> PetScan:
    """Take the PET.

    Args:
        anatomy: The patient.
        protocol: How they are scanned.
        rng: The stream of the noise.

    Returns:
        SUV with and without noise, and where the lesions are.
    """
    axes = pet_axes(anatomy, protocol)
    fine = _fine_axes(axes, protocol)
    activity = np.zeros(fine.shape, dtype=np.float32)
    for phase, share in PET_PHASES:
        activity += np.float32(share) * render(anatomy, fine, "suv", phase)
    activity *= 1 + _mottle(fine, rng)
    noise_free = _blur_onto(activity, fine, axes, protocol.fwhm_mm)
    noise = _pet_noise(noise_free, protocol, rng)
    suv = np.clip(noise_free + noise, 0, None, dtype=np.float32)
    return PetScan(axes, suv, noise_free, _lesion_labels(anatomy, axes))


def _fine_axes(axes: Axes, protocol: Protocol) -> Axes:
    step = COARSE_MM if protocol.pet_step_mm > COARSE_STEP_MM else FINE_MM
    x, y = np.arange(-262, 262.1, step), np.arange(-180, 230.1, step)
    z = np.arange(axes.z_mm[0] - 15, axes.z_mm[-1] + 15, step)
    return Axes(x, y, z, step)


def _mottle(fine: Axes, rng: np.random.Generator) -> Field:
    """Uptake differs by some percent from place to place, in liver and marrow most visibly."""
    step = float(fine.x_mm[1] - fine.x_mm[0])
    white = rng.standard_normal(fine.shape, dtype=np.float32)
    return _correlated(white, (7 / step,) * 3) * np.float32(0.07)


def _blur_onto(activity: Field, fine: Axes, axes: Axes, fwhm_mm: float) -> Field:
    """Blur by the scanner's resolution and sample on its grid, one axis after the other."""
    sigma = fwhm_mm / FWHM_PER_SIGMA
    image = activity
    pairs = ((fine.z_mm, axes.z_mm), (fine.y_mm, axes.y_mm), (fine.x_mm, axes.x_mm))
    for axis, (source, target) in enumerate(pairs):
        weights = _weights(source, target, sigma)
        moved = np.moveaxis(image, axis, 0)
        flat = weights @ np.ascontiguousarray(moved).reshape(len(source), -1)
        image = np.moveaxis(flat.reshape(len(target), *moved.shape[1:]), 0, axis)
    return np.ascontiguousarray(image, dtype=np.float32)


def _weights(source: NDArray[np.float64], target: NDArray[np.float64], sigma: float) -> csr_array:
    """Gaussian weights of source places for each target place; sparse products never reorder."""
    distance = target[:, None] - source[None, :]
    weights = np.exp(-0.5 * (distance / sigma) ** 2)
    weights[np.abs(distance) > 4 * sigma] = 0
    reached = weights.sum(axis=1, keepdims=True)
    step = float(source[1] - source[0])
    whole = sigma * np.sqrt(2 * np.pi) / step  # the sum where the source covers the kernel
    return csr_array((weights / np.maximum(reached, whole)).astype(np.float32))


def _pet_noise(image: Field, protocol: Protocol, rng: np.random.Generator) -> Field:
    """Noise of an iterative reconstruction: correlated, and stronger where uptake is."""
    spacing = (protocol.pet_step_mm, protocol.pet_pixel_mm, protocol.pet_pixel_mm)
    sigma = 0.8 * protocol.fwhm_mm / FWHM_PER_SIGMA
    white = rng.standard_normal(image.shape, dtype=np.float32)
    white = _correlated(white, tuple(sigma / step for step in spacing))
    level = np.sqrt(image * np.float32(2.2)) * np.sqrt(image / np.float32(2.2)) ** np.float32(0.4)
    noise: Field = white * level * np.float32(protocol.pet_noise)
    return noise


def _lesion_labels(anatomy: Anatomy, axes: Axes) -> NDArray[np.uint8]:
    """Number the voxels of each lesion at its mean place."""
    labels = np.zeros(axes.shape, dtype=np.uint8)
    for number, lesion in enumerate(anatomy.lesions, start=1):
        placed = lesion.at(anatomy.frame, mean_phase())
        reach = 0.9 * lesion.diameter_mm
        x, y, z = (
            slice(*np.searchsorted(axis, [centre - reach, centre + reach]))
            for axis, centre in zip(
                (axes.x_mm, axes.y_mm, axes.z_mm), placed.centre_mm, strict=True
            )
        )
        grid = axes.x_mm[None, None, x], axes.y_mm[None, y, None], axes.z_mm[z, None, None]
        labels[z, y, x][placed.distance(*grid) < 0] = number
    return labels


def mean_phase() -> float:
    """The PET's mean phase of the breath."""
    return sum(phase * share for phase, share in PET_PHASES)
