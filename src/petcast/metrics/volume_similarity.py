"""The structural similarity of volumes: the window of Wang et al. with a third axis.

Along y and x it is the window of `similarity`: Gaussian, σ = 1.5 voxels. Along z it reaches as many
millimetres as along x, so thick slices get a short window: σ_z = 1.5 · spacing_x / spacing_z
voxels, cut off at 3.5 σ_z. On isotropic voxels that is 11 × 11 × 11, as in torchmetrics and
scikit-image.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from petcast.errors import GeometryError
from petcast.metrics.error import check_pair
from petcast.metrics.similarity import (
    RADIUS,
    SIGMA,
    SLICES_AT_ONCE,
    similarity_of_moments,
    window_moments,
)

CUT_OFF = 3.5
"""The window ends at this many σ, rounded: 5 voxels for σ = 1.5."""

SLAB = 16
"""Slices at once: the moments of a slab of 256 × 256 take 20 MB, whatever the volume's length."""

SpacingZYX = tuple[float, float, float]


def window_z(spacing_mm: SpacingZYX) -> Float[Tensor, " k"]:
    """Give the window's weights along z.

    Args:
        spacing_mm: Of the voxels along z, y and x.

    Returns:
        An odd number of weights whose sum is 1.

    Raises:
        GeometryError: A spacing is not positive.

    Example:
        >>> len(window_z((2.0, 2.0, 2.0))), len(window_z((5.0, 2.0, 2.0)))
        (11, 5)
    """
    if not min(spacing_mm) > 0:
        raise GeometryError(f"spacings must be positive, in mm along z, y, x; got {spacing_mm}")
    sigma = SIGMA * spacing_mm[2] / spacing_mm[0]
    radius = int(CUT_OFF * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-offsets.square() / (2 * sigma**2))
    return weights / weights.sum()


def ssim_3d(
    prediction: Float[Tensor, "z y x"],
    truth: Float[Tensor, "z y x"],
    *,
    data_range: float,
    spacing_mm: SpacingZYX,
    mask: Bool[Tensor, "z y x"] | None = None,
) -> float:
    """Give a volume's mean structural similarity, with a window in three axes.

    Args:
        prediction: On the scale of `data_range`.
        truth: What it should be.
        data_range: Width of the scale.
        spacing_mm: Of the voxels along z, y and x.
        mask: Where the similarity is averaged, voxel by voxel; everywhere where None. The windows
            around voxels at its edge reach beyond it.

    Returns:
        From −1 to 1; NaN where the mask is empty.

    Raises:
        GeometryError: The shapes differ, or an axis is not longer than the window's radius.
        UsageError: `data_range` is not positive.

    Example:
        >>> image = torch.rand(12, 16, 16)
        >>> round(ssim_3d(image, image, data_range=1.0, spacing_mm=(2.0, 2.0, 2.0)), 6)
        1.0
    """
    if mask is not None and mask.shape != truth.shape:
        raise GeometryError(f"a mask of {tuple(mask.shape)} does not fit {tuple(truth.shape)}")
    total, voxels = 0.0, 0
    for here, values in _slabs(prediction, truth, data_range, spacing_mm):
        inside = values if mask is None else values[mask[here]]
        total += float(inside.sum(dtype=torch.float64))
        voxels += inside.numel()
    return total / voxels if voxels else float("nan")


def ssim_3d_map(
    prediction: Float[Tensor, "z y x"],
    truth: Float[Tensor, "z y x"],
    *,
    data_range: float,
    spacing_mm: SpacingZYX,
) -> Float[Tensor, "z y x"]:
    """Give the structural similarity around every voxel, with a window in three axes.

    Args:
        prediction: On the scale of `data_range`.
        truth: What it should be.
        data_range: Width of the scale.
        spacing_mm: Of the voxels along z, y and x.

    Returns:
        Values from −1 to 1; borders are mirrored.

    Raises:
        GeometryError: The shapes differ, or an axis is not longer than the window's radius.
        UsageError: `data_range` is not positive.

    Reference:
        Wang et al., Image quality assessment: from error visibility to structural similarity,
        IEEE Trans. Image Process. 13(4), 2004, Eq. 13, with sums over a three-dimensional window.
    """
    slabs = _slabs(prediction, truth, data_range, spacing_mm)
    return torch.cat([values for _, values in slabs])


def halo(start: int, stop: int, radius: int, length: int) -> Tensor:
    """Name the slices that windows around some slices reach, mirrored at the volume's ends.

    Args:
        start: First slice.
        stop: After the last.
        radius: Of the window, in slices; less than `length`.
        length: Slices of the volume.

    Returns:
        Their numbers.

    Example:
        >>> halo(0, 2, 2, 9).tolist()
        [2, 1, 0, 1, 2, 3]
    """
    places = torch.arange(start - radius, stop + radius).abs()
    last = length - 1
    return last - (last - places).abs()


def blur_z(
    moments: Float[Tensor, "k n y x"], weights: Float[Tensor, " w"]
) -> Float[Tensor, "k m y x"]:
    """Average along z, where the window fits.

    Args:
        moments: Images with a halo of slices.
        weights: Of the window.

    Returns:
        The images without the halo.
    """
    reach = len(weights)
    size = moments.shape[1] - reach + 1
    # A banded matrix: one product, where adding shifted images would pass over them k times.
    rows = moments.new_zeros(size, size + reach - 1)
    for place in range(size):
        rows[place, place : place + reach] = weights
    return (rows @ moments.flatten(2)).view(len(moments), size, *moments.shape[2:])


def _slabs(
    prediction: Tensor, truth: Tensor, data_range: float, spacing_mm: SpacingZYX
) -> Iterator[tuple[slice, Tensor]]:
    check_pair(prediction, truth, data_range)
    weights = window_z(spacing_mm)
    radius, length = len(weights) // 2, len(truth)
    if length <= radius or min(truth.shape[1:]) <= RADIUS:
        raise GeometryError(
            f"SSIM over volumes needs more than {radius} slices of at least 6 × 6 voxels, this "
            f"one is {tuple(truth.shape)}; use SSIM slice by slice"
        )
    for start in range(0, length, SLAB):
        stop = min(start + SLAB, length)
        places = torch.split(halo(start, stop, radius, length), SLICES_AT_ONCE)
        moments = torch.cat([window_moments(prediction[p], truth[p]) for p in places], dim=1)
        means = blur_z(moments, weights)
        yield slice(start, stop), similarity_of_moments(*means, data_range=data_range)[0]
