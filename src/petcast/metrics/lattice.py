"""The checkerboard index: what stride-2 transposed convolutions leave, found in the spectrum.

Such a convolution treats even and odd voxels by different weights; after k of them the image bears
a pattern of period 2ᵏ voxels, in phase in every slice. Its energy stands on a lattice of
frequencies: multiples of 1/8, 1/4 and 1/2 per voxel along either axis or both. Anatomy and noise
have no reason to prefer those to their neighbours, so the index is the energy on a lattice
frequency against the band around it.

What stands above a Gaussian of σ = 3 voxels is divided by its own local root mean square (edges and
hot lesions then weigh no more than soft tissue), cut to the body and summed over the slices: a
pattern in phase adds up. Without one, a frequency's energy against its band's mean is exponentially
distributed, or χ² with one degree of freedom where the transform is real (multiples of 1/2): above
`FOUND` once in twenty million images, whatever the texture.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy.typing import NDArray

from petcast.errors import GeometryError

PERIOD_PX = 8
"""The longest period looked for; it holds those of 4 and 2."""

FOUND = 32.0
"""Energy against the band from which on a lattice is there: 15 dB."""

FAINTEST = 5e-4
"""A pattern fainter than this share of the uptake is not called one: rounding can leave it."""

MOST_SLICES = 64
"""Spread evenly over the scan; more would find fainter lattices than anyone sees."""

DETAIL_PX = 3.0
"""σ of the Gaussian below which lies the detail: it keeps 94 % of a period of 8 voxels."""

LOCAL_PX = 6.0
"""σ of the window that the detail's local root mean square is taken over."""

REACH = 3
"""Both windows end at so many σ."""

CLIP = 3.0
"""Detail beyond this many local root mean squares is cut off."""

SIDE = 256
"""Transforms have at least this many bins a side; the band's width counts in bins of such."""

BAND = (4, 14)
"""The neighbouring band: so many bins from the lattice frequency, along either axis."""

LEAK = 0.002
"""The band leaves out where the body's outline alone carries more than this share of a lattice's
energy: a strong lattice would raise its own neighbours, and the smaller the body, the further."""

FEWEST = 24
"""With fewer bins there is no band: the body is too small."""


@dataclass(frozen=True)
class Lattice:
    """The strongest lattice of a volume, and its spectrum.

    Attributes:
        contrast_db: Energy of the strongest lattice frequency against its band, in dB. Clean
            images have about 5, the largest of 33; a lattice is there from 15 on.
        strength: Root mean square of the pattern as a share of the uptake that it lies on (of a
            pattern of ±1 %: 0.01). Where no lattice is there, that of the texture.
        period_px: 2, 4 or 8.
        axis: "x", "y" or "both": along which it varies.
        frequency_per_px: Of the spectra below: 0 to 1/2 per voxel.
        along_x: Energy along x in dB above the spectrum's median: at each frequency the largest
            over the lattice's frequencies along y.
        along_y: The same along y.
    """

    contrast_db: float
    strength: float
    period_px: int
    axis: str
    frequency_per_px: Float[NDArray[np.floating], " f"]
    along_x: Float[NDArray[np.floating], " f"]
    along_y: Float[NDArray[np.floating], " f"]

    @property
    def found(self) -> bool:
        """Whether there is a lattice, not only texture."""
        return self.contrast_db >= 10 * math.log10(FOUND) and self.strength >= FAINTEST


def find_lattice(image: Shaped[np.ndarray, "z y x"], body: Bool[np.ndarray, "z y x"]) -> Lattice:
    """Look for the lattice that transposed convolutions leave.

    Args:
        image: PET in any unit, on the grid that the network gave it; resampling would move the
            lattice.
        body: True where to look.

    Returns:
        The strongest one, be it there or not.

    Raises:
        GeometryError: The shapes differ, or nothing is inside the body.

    Reference:
        Odena, Dumoulin, Olah, Deconvolution and checkerboard artifacts, Distill 2016 (the cause).
    """
    if image.shape != body.shape or not body.any():
        raise GeometryError(f"a lattice is looked for inside a body; {body.shape} holds none")
    places = slices_to_measure(body)
    flat, detail, outline, uptake = _stacked(image[places].astype(np.float32), body[places])
    energy = np.abs(_transform(flat)) ** 2
    contrasts = _contrasts(energy, _band_of(outline))
    strongest = max(contrasts, key=lambda point: contrasts[point])
    standing = [point for point, value in contrasts.items() if value >= FOUND] or [strongest]
    return Lattice(
        contrast_db=10 * math.log10(max(contrasts[strongest], 1)),
        strength=_strength(_transform(detail), uptake, standing),
        period_px=_period(strongest),
        axis={(True, False): "y", (False, True): "x"}.get(
            (strongest[0] != 0, strongest[1] != 0), "both"
        ),
        frequency_per_px=np.arange(len(energy) // 2 + 1) / len(energy),
        along_x=_profile(energy),
        along_y=_profile(energy.T),
    )


def slices_to_measure(body: Bool[np.ndarray, "z y x"]) -> Shaped[np.ndarray, " n"]:
    """Choose the slices that a spectrum is averaged over, evenly among those with body.

    Args:
        body: True inside the body.

    Returns:
        Their numbers, at most `MOST_SLICES`.

    Example:
        >>> slices_to_measure(np.ones((192, 1, 1), bool)).tolist()[:3]
        [1, 4, 7]
    """
    places = np.flatnonzero(body.any(axis=(1, 2)))
    if len(places) <= MOST_SLICES:
        return places
    chosen = ((np.arange(MOST_SLICES) + 0.5) * len(places) / MOST_SLICES).astype(int)
    return np.asarray(places[chosen])


def _stacked(
    image: NDArray[np.float32], body: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], float]:
    """The evened detail, the plain one and the body, summed over slices; the uptake beneath."""
    from scipy.ndimage import gaussian_filter

    sums = np.zeros((3, *image.shape[1:]))
    uptake = 0.0
    least = max(1e-4 * float(np.abs(image[body]).mean()), 1e-15)
    box = _around(body)
    flat, detail, outline = sums[:, *box]
    for one, inside in zip(image[:, *box], body[:, *box], strict=True):
        smooth = gaussian_filter(one, DETAIL_PX, truncate=REACH)
        fine = one - smooth
        local = np.sqrt(gaussian_filter(fine * fine, LOCAL_PX, truncate=REACH) + least**2)
        weight = np.clip(2 * gaussian_filter(inside.astype(np.float32), 2.0) - 1, 0, 1)
        flat += weight * np.clip(fine / local, -CLIP, CLIP)
        detail += weight * fine
        outline += weight
        uptake += float((weight * np.abs(smooth)).sum())
    flat, detail, outline = sums
    return flat, detail, outline, uptake


def _around(body: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The box beyond which nothing is weighed, and as much around it as the filters reach."""
    reach = math.ceil(REACH * (DETAIL_PX + LOCAL_PX))
    y, x = (np.flatnonzero(body.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    rows, columns = (slice(max(int(s[0]) - reach, 0), int(s[-1]) + 1 + reach) for s in (y, x))
    return rows, columns


def _transform(image: NDArray[np.floating]) -> NDArray[np.complexfloating]:
    """The Fourier transform, padded so that every lattice frequency has a bin of its own."""
    from scipy import fft

    side = max(SIDE, *(-(-size // 32) * 32 for size in image.shape))
    return np.asarray(fft.fft2(image, (side, side)))


def _offsets(side: int) -> NDArray[np.integer]:
    """Bins from a lattice frequency to the band's outer end, to either side."""
    return np.arange(-BAND[1], BAND[1] + 1) * max(side // SIDE, 1)


def _band_of(outline: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which bins around a lattice frequency are its band."""
    leak = np.abs(_transform(outline)) ** 2
    offsets = _offsets(len(leak))
    far = np.abs(np.arange(-BAND[1], BAND[1] + 1)) >= BAND[0]
    around = leak[np.ix_(offsets, offsets)] < LEAK * leak[0, 0]
    return np.asarray(around & (far[:, None] | far[None, :]))


def _contrasts(
    energy: NDArray[np.floating], band: NDArray[np.bool_]
) -> dict[tuple[int, int], float]:
    """Energy against the band, for every lattice frequency (in eighths along y and x)."""
    side, half = len(energy), PERIOD_PX // 2
    step, offsets = side // PERIOD_PX, _offsets(side)
    contrasts = {}
    for i in range(half + 1):
        for j in range(1 - half, half + 1):
            if (i in (0, half) and j < 0) or (i, j) == (0, 0):
                continue  # the transform of a real image has these twice
            y, x = i * step, j * step
            around = energy[np.ix_((y + offsets) % side, (x + offsets) % side)]
            contrasts[i, j] = float(energy[y % side, x % side] / _mean_of(around, band))
    return contrasts


def _mean_of(around: NDArray[np.floating], band: NDArray[np.bool_]) -> float:
    """Mean energy of the band, from medians: of all of it, and of its parts along either axis.

    Long straight edges heap their energy on one axis; there that part is the honest neighbour.
    """
    if band.sum() < FEWEST:
        return math.inf
    ridge = slice(BAND[1] - 1, BAND[1] + 2)
    parts = around[band], around[ridge][band[ridge]], around[:, ridge][band[:, ridge]]
    largest = max(float(np.median(part)) for part in parts if part.size >= FEWEST)
    return largest / math.log(2) + 1e-30  # the median of an exponential is ln 2 of its mean


def _strength(
    transform: NDArray[np.complexfloating], uptake: float, points: list[tuple[int, int]]
) -> float:
    """Root mean square of the pattern that these frequencies make, as a share of the uptake."""
    side, variance = len(transform), 0.0
    for point in points:
        y, x = (k * side // PERIOD_PX for k in point)
        squared = sum((k / PERIOD_PX) ** 2 for k in point)
        kept = 1 - math.exp(-2 * (math.pi * DETAIL_PX) ** 2 * squared)
        both_signs = 1 if all(k % (PERIOD_PX // 2) == 0 for k in point) else 2
        variance += both_signs * (abs(complex(transform[y % side, x % side])) / kept) ** 2
    return math.sqrt(variance) / uptake if uptake > 0 else 0.0


def _period(point: tuple[int, int]) -> int:
    return next(p for p in (2, 4, PERIOD_PX) if all(k * p % PERIOD_PX == 0 for k in point))


def _profile(energy: NDArray[np.floating]) -> NDArray[np.floating]:
    side = len(energy)
    rows = energy[:: side // PERIOD_PX, : side // 2 + 1].max(axis=0)
    return np.asarray(10 * np.log10((rows + 1e-30) / (np.median(energy) + 1e-30)))
