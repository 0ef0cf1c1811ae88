"""Uptake of single lesions: SUVmax, SUVpeak, SUVmean, TBR, MTV and TLG.

A lesion is a mask on a PET in SUV. All numbers of a prediction are taken at the real lesion's
place, never where the prediction would like it to be.

- SUVmax, SUVmean: largest and mean SUV of the mask's voxels.
- SUVpeak: the largest mean SUV of a sphere of 1 mL whose centre lies in the mask. Centres stand
  about 2 mm apart; a voxel counts by the share of it that lies in the sphere. The sphere may reach
  beyond the mask.
- Background: the median SUV of a shell that begins 5 mm and ends 15 mm from the mask, inside the
  body and 5 mm from other lesions.
- TBR: SUVmax over background.
- Hot: SUVmax is at least 1.5 times the background.
- MTV: the volume above the middle between background and SUVmax of the real PET, connected with the
  mask and at most 10 mm from it; of hot lesions only. A prediction is cut at the real PET's middle.
- TLG: MTV times the mean SUV in it, in grams, as SUV is g/mL.

References:
    Wahl et al., From RECIST to PERCIST, J. Nucl. Med. 50 Suppl 1, 2009 (SUVpeak). Boellaard et al.,
    Effects of noise, image resolution, and ROI definition on the accuracy of standard uptake
    values, J. Nucl. Med. 45(9), 2004 (thresholds between background and maximum).
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped

from petcast.errors import GeometryError

PEAK_RADIUS_MM = (3 * 1000 / (4 * math.pi)) ** (1 / 3)
"""Of a sphere of 1 mL: 6.2 mm."""

CENTRE_STEP_MM = 2.0
"""Roughly how far apart the centres of SUVpeak's sphere are tried."""

SUBVOXEL_MM = 0.25
"""How finely voxels are cut to see which share lies in the sphere."""

SHELL_MM = (5.0, 15.0)
"""Where the background begins and ends, from the mask: blur of 5 to 7 mm hardly reaches there."""

LEAST_SHELL_ML = 0.5
"""A smaller shell gives no background."""

REACH_MM = 10.0
"""How far beyond the mask a lesion's volume is followed."""

HOT = 1.5
"""SUVmax over background from which a lesion counts as hot."""

Spacing = tuple[float, float, float]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class LesionSite:
    """Where a lesion lies, cut out of its volume.

    Attributes:
        number: Its label.
        box: The cut: all else refers to it.
        mask: The lesion.
        shell: Its background.
        reach: Where its volume may extend to, the mask included.
        spacing_mm: Of the voxels along (x, y, z).
    """

    number: int
    box: Box
    mask: Bool[np.ndarray, "z y x"]
    shell: Bool[np.ndarray, "z y x"]
    reach: Bool[np.ndarray, "z y x"]
    spacing_mm: Spacing

    @property
    def volume_ml(self) -> float:
        """Of the mask."""
        return int(self.mask.sum()) * voxel_ml(self.spacing_mm)


@dataclass(frozen=True)
class LesionUptake:
    """What one PET shows at a lesion's site.

    Attributes:
        suv_max: Largest SUV in the mask.
        suv_peak: Largest mean of a 1 mL sphere centred in the mask.
        suv_mean: Mean SUV of the mask.
        background_suv: Median SUV of the shell; None where the shell is too small.
        tbr: SUVmax over background; None without background, or one that is not above zero.
        mtv_ml: Metabolic volume; None of a lesion that is not hot on the real PET.
        tlg_g: MTV times the mean SUV in it; None likewise.
    """

    suv_max: float
    suv_peak: float
    suv_mean: float
    background_suv: float | None
    tbr: float | None
    mtv_ml: float | None
    tlg_g: float | None

    @property
    def contrast_suv(self) -> float | None:
        """SUVpeak above the background; None without one: any height would be contrast to it."""
        return None if self.background_suv is None else self.suv_peak - self.background_suv


def voxel_ml(spacing_mm: Spacing) -> float:
    """Give a voxel's volume.

    Args:
        spacing_mm: Along (x, y, z).

    Returns:
        In mL.

    Example:
        >>> voxel_ml((10.0, 10.0, 5.0))
        0.5
    """
    return math.prod(spacing_mm) / 1000


def lesion_sites(
    labels: Integer[np.ndarray, "z y x"],
    spacing_mm: Spacing,
    body: Bool[np.ndarray, "z y x"] | None = None,
) -> list[LesionSite]:
    """Cut out every lesion of a volume, with its background and its reach.

    Args:
        labels: 0 outside, a number for each lesion.
        spacing_mm: Of the voxels along (x, y, z).
        body: True inside the body: background lies there. Everywhere where None.

    Returns:
        The sites, by number.

    Raises:
        GeometryError: A spacing is not above zero, or the shapes differ.

    Example:
        >>> [site.volume_ml for site in lesion_sites(np.ones((1, 1, 2), int), (10.0, 10.0, 10.0))]
        [2.0]
    """
    from scipy.ndimage import find_objects

    if min(spacing_mm) <= 0 or (body is not None and body.shape != labels.shape):
        shape = None if body is None else body.shape
        raise GeometryError(
            f"lesions on {labels.shape} voxels of {spacing_mm} mm with a body on {shape}: spacings "
            "must be above zero and shapes equal"
        )
    sites = []
    for number, found in enumerate(find_objects(labels), start=1):
        if found is not None:
            box = _grown(found, labels.shape, spacing_mm)
            inside = np.ones(labels[box].shape, bool) if body is None else body[box]
            sites.append(_site(number, box, labels[box], inside, spacing_mm))
    return sites


def measure_lesion(
    suv: Shaped[np.ndarray, "z y x"], site: LesionSite, threshold_suv: float | None
) -> LesionUptake:
    """Measure what a PET shows at a lesion's site.

    Args:
        suv: The whole volume in SUV, of the truth or of a prediction.
        site: Of the lesion.
        threshold_suv: What `mtv_threshold` gives of the real PET, for both.

    Returns:
        All metrics.
    """
    cut = np.asarray(suv[site.box], dtype=np.float64)
    inside = cut[site.mask]
    background = background_suv(cut, site)
    highest = float(inside.max())
    mtv_ml, tlg_g = _volume(cut, site, threshold_suv)
    return LesionUptake(
        suv_max=highest,
        suv_peak=suv_peak(cut, site.mask, site.spacing_mm),
        suv_mean=float(inside.mean()),
        background_suv=background,
        tbr=highest / background if background is not None and background > 0 else None,
        mtv_ml=mtv_ml,
        tlg_g=tlg_g,
    )


def background_suv(cut: Float[np.ndarray, "z y x"], site: LesionSite) -> float | None:
    """Give the background around a lesion.

    Args:
        cut: The volume in SUV, cut to the site's box.
        site: Of the lesion.

    Returns:
        Median SUV of the shell; None where it holds less than 0.5 mL.
    """
    around = cut[site.shell]
    if around.size * voxel_ml(site.spacing_mm) < LEAST_SHELL_ML:
        return None
    return float(np.median(around))


def mtv_threshold(truth_suv: Shaped[np.ndarray, "z y x"], site: LesionSite) -> float | None:
    """Give the SUV from which a lesion's voxels count into its metabolic volume.

    Args:
        truth_suv: The whole real PET in SUV.
        site: Of the lesion.

    Returns:
        The middle between background (0 without one) and SUVmax; None where the lesion is not hot.
    """
    cut = np.asarray(truth_suv[site.box], dtype=np.float64)
    highest, background = float(cut[site.mask].max()), background_suv(cut, site) or 0.0
    if highest <= 0 or highest < HOT * background:
        return None
    return (highest + background) / 2


def suv_peak(
    suv: Shaped[np.ndarray, "z y x"], mask: Bool[np.ndarray, "z y x"], spacing_mm: Spacing
) -> float:
    """Give the largest mean SUV of a 1 mL sphere centred in a lesion.

    Where the sphere leaves the volume, what lies in the volume counts.

    Args:
        suv: In SUV; a voxel has one value throughout.
        mask: True in the lesion, somewhere.
        spacing_mm: Of the voxels along (x, y, z).

    Returns:
        SUVpeak.

    Raises:
        GeometryError: The mask is empty or of another shape.

    Example:
        >>> round(suv_peak(np.full((9, 9, 9), 3.0), np.ones((9, 9, 9), bool), (2.0, 2.0, 2.0)), 6)
        3.0
    """
    from scipy.signal import fftconvolve

    if mask.shape != suv.shape or not mask.any():
        raise GeometryError(f"SUVpeak needs a mask with voxels on {suv.shape}, found {mask.shape}")
    values, ones = np.asarray(suv, dtype=np.float64), np.ones(suv.shape)
    highest = -math.inf
    for offset in _centres(spacing_mm):
        weights = sphere_weights(spacing_mm, offset)[::-1, ::-1, ::-1]  # correlate, not convolve
        sums = _same(fftconvolve(values, weights), weights.shape, suv.shape)[mask]
        inside = _same(fftconvolve(ones, weights), weights.shape, suv.shape)[mask]
        highest = max(highest, float((sums / inside).max()))
    return highest


@lru_cache(maxsize=64)
def sphere_weights(
    spacing_mm: Spacing, offset: Spacing = (0.0, 0.0, 0.0)
) -> Float[np.ndarray, "z y x"]:
    """Give the share of each voxel that lies in a sphere of 1 mL.

    Args:
        spacing_mm: Of the voxels along (x, y, z).
        offset: The sphere's centre from the middle voxel's, in voxels along (x, y, z).

    Returns:
        From 0 to 1, an odd number of voxels along each axis.

    Example:
        >>> abs(float(sphere_weights((2.0, 2.0, 2.0)).sum()) * 8 - 1000) < 3
        True
    """
    squares, sizes = [], []
    for step_mm, shift in zip(reversed(spacing_mm), reversed(offset), strict=True):
        half = math.ceil(PEAK_RADIUS_MM / step_mm + abs(shift) - 0.5)
        fine = max(3, math.ceil(step_mm / SUBVOXEL_MM))
        within = (np.arange(fine) + 0.5) / fine - 0.5
        places = np.arange(-half, half + 1)[:, None] + within - shift
        squares.append(np.square(places * step_mm).ravel())
        sizes += [2 * half + 1, fine]
    z, y, x = np.ix_(*squares)
    inside = np.asarray(z + y + x <= PEAK_RADIUS_MM**2)
    shares: Float[np.ndarray, "z y x"] = np.asarray(inside.reshape(sizes).mean(axis=(1, 3, 5)))
    shares.flags.writeable = False
    return shares


def _centres(spacing_mm: Spacing) -> list[Spacing]:
    """Places within a voxel, in voxels from its centre, about 2 mm apart."""
    steps = [max(1, round(step_mm / CENTRE_STEP_MM)) for step_mm in spacing_mm]
    x, y, z = ([(i + 0.5) / n - 0.5 for i in range(n)] for n in steps)
    return list(product(x, y, z))


def _same(
    full: Float[np.ndarray, "Z Y X"], kernel: tuple[int, ...], shape: tuple[int, ...]
) -> Float[np.ndarray, "z y x"]:
    """The part of a full convolution that lies over the image, also where the kernel is larger."""
    cut = tuple(slice(k // 2, k // 2 + n) for k, n in zip(kernel, shape, strict=True))
    return np.asarray(full[cut])


def _volume(
    cut: Float[np.ndarray, "z y x"], site: LesionSite, threshold_suv: float | None
) -> tuple[float | None, float | None]:
    """MTV and TLG: what reaches the threshold, connected with the mask."""
    from scipy.ndimage import label

    if threshold_suv is None:
        return None, None
    pieces, _ = label((cut >= threshold_suv) & site.reach, structure=np.ones((3, 3, 3)))
    own = np.unique(pieces[site.mask])
    voxels = cut[np.isin(pieces, own[own > 0])]
    size_ml = voxel_ml(site.spacing_mm)
    return voxels.size * size_ml, float(voxels.sum()) * size_ml


def _site(
    number: int,
    box: Box,
    labels: Integer[np.ndarray, "z y x"],
    body: Bool[np.ndarray, "z y x"],
    spacing_mm: Spacing,
) -> LesionSite:
    mask = labels == number
    distance = _distance_mm(mask, spacing_mm)
    others = (labels > 0) & ~mask
    near_others = others
    if others.any():
        near_others = _distance_mm(others, spacing_mm) <= SHELL_MM[0]
    shell = (distance > SHELL_MM[0]) & (distance <= SHELL_MM[1]) & body & ~near_others
    reach = mask | ((distance <= REACH_MM) & body & ~others)
    return LesionSite(number, box, mask, shell, reach, spacing_mm)


def _distance_mm(
    mask: Bool[np.ndarray, "z y x"], spacing_mm: Spacing
) -> Float[np.ndarray, "z y x"]:
    """Distance of each voxel's centre to the mask's nearest one."""
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(~mask, sampling=spacing_mm[::-1]))


def _grown(found: tuple[slice, ...], shape: tuple[int, ...], spacing_mm: Spacing) -> Box:
    """The box with room for shell and sphere, and for other lesions that the shell stays off."""
    margins = [math.ceil(sum(SHELL_MM) / step_mm) for step_mm in reversed(spacing_mm)]
    z, y, x = (
        slice(max(0, side.start - margin), min(size, side.stop + margin))
        for side, size, margin in zip(found, shape, margins, strict=True)
    )
    return z, y, x
