"""How alike two images are in structure: SSIM and MS-SSIM, a value a slice.

Every function takes stacks of slices, computes in their own floating-point type and gives float64.
`data_range` is always the caller's: the width of the window that both images were scaled by, never
an image's own maximum.

The SSIM window is the one of Wang et al.: Gaussian, σ = 1.5 voxels, 11 × 11, K1 = 0.01, K2 = 0.03,
population covariance. Borders are mirrored and counted, so `ssim` equals torchmetrics'
`structural_similarity_index_measure`; scikit-image (gaussian_weights=True,
use_sample_covariance=False) and MONAI leave out the outer 5 voxels, so they equal the mean of
`ssim_map` without those.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from petcast.errors import GeometryError
from petcast.metrics.error import check_pair, masked_mean

SIGMA = 1.5
"""Standard deviation of the SSIM window, in voxels."""

RADIUS = 5
"""The SSIM window reaches this many voxels to each side: 11 × 11."""

K1, K2 = 0.01, 0.03
"""Wang et al. 2004, section III.C: they keep the quotients away from 0 / 0."""

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of MS-SSIM's five scales (Wang et al. 2003, section 3.2)."""

MS_SSIM_SIDE = 161
"""The shortest side, in voxels, whose fifth scale still holds the window without its borders."""

SLICES_AT_ONCE = 8
"""Small enough for the intermediate images to stay near the processor."""

BAND = 64
"""Voxels averaged at once along an axis: wide enough for a product of matrices to pay, and narrow
enough to spare most of the weights that are 0."""


def ssim_map(
    prediction: Float[Tensor, "n y x"], truth: Float[Tensor, "n y x"], *, data_range: float
) -> Float[Tensor, "n y x"]:
    """Give the structural similarity around every voxel.

    Args:
        prediction: Slices on the scale of `data_range`.
        truth: What they should be.
        data_range: Width of the scale, for example 1 for images in [0, 1].

    Returns:
        Values from −1 to 1; 1 where both windows are equal.

    Raises:
        GeometryError: The shapes differ, or a side has fewer than 6 voxels.
        UsageError: `data_range` is not positive.

    Reference:
        Wang et al., Image quality assessment: from error visibility to structural similarity,
        IEEE Trans. Image Process. 13(4), 2004, Eq. 13.
    """
    return similarity_maps(prediction, truth, data_range=data_range)[0]


def similarity_maps(
    prediction: Float[Tensor, "n y x"], truth: Float[Tensor, "n y x"], *, data_range: float
) -> tuple[Float[Tensor, "n y x"], Float[Tensor, "n y x"]]:
    """Give the structural similarity around every voxel, and its part without luminance.

    Args:
        prediction: Slices on the scale of `data_range`.
        truth: What they should be.
        data_range: Width of the scale.

    Returns:
        The map of `ssim_map`, and the product of its factors for contrast and structure, which
        saves `ms_ssim` its costliest scale.

    Raises:
        GeometryError: The shapes differ, or a side has fewer than 6 voxels.
        UsageError: `data_range` is not positive.
    """
    check_pair(prediction, truth, data_range)
    parts = [_similarity(p, t, data_range) for p, t in _chunks(prediction, truth)]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def ssim(
    prediction: Float[Tensor, "n y x"],
    truth: Float[Tensor, "n y x"],
    *,
    data_range: float,
    mask: Bool[Tensor, "n y x"] | None = None,
) -> Float[Tensor, " n"]:
    """Give each slice's mean structural similarity.

    Args:
        prediction: Slices on the scale of `data_range`.
        truth: What they should be.
        data_range: Width of the scale.
        mask: Where the similarity map is averaged; everywhere where None. The windows around
            voxels at the mask's edge reach beyond it.

    Returns:
        A value a slice; NaN where the mask is empty.

    Raises:
        GeometryError: The shapes differ.
        UsageError: `data_range` is not positive.

    Example:
        >>> image = torch.rand(1, 32, 32)
        >>> ssim(image, image, data_range=1.0).item()
        1.0
    """
    return masked_mean(ssim_map(prediction, truth, data_range=data_range), mask)


def ms_ssim(
    prediction: Float[Tensor, "n y x"],
    truth: Float[Tensor, "n y x"],
    *,
    data_range: float,
    structure: Float[Tensor, "n y x"] | None = None,
) -> Float[Tensor, " n"]:
    """Give each slice's structural similarity over five scales, each half as fine as the last.

    Contrast and structure of a scale are averaged without its borders, the luminance of the last
    one with them; negative values count as 0. torchmetrics does the same.

    Args:
        prediction: Slices on the scale of `data_range`.
        truth: What they should be.
        data_range: Width of the scale.
        structure: The second of `similarity_maps`, where it is at hand.

    Returns:
        A value a slice, from 0 to 1.

    Raises:
        GeometryError: The shapes differ, or a side has 160 voxels or fewer.
        UsageError: `data_range` is not positive.

    Reference:
        Wang, Simoncelli, Bovik, Multiscale structural similarity for image quality assessment,
        Asilomar 2003, Eq. 7.
    """
    check_pair(prediction, truth, data_range)
    y, x = truth.shape[-2:]
    if min(y, x) < MS_SSIM_SIDE:
        raise GeometryError(
            f"MS-SSIM needs more than {MS_SSIM_SIDE - 1} voxels a side, these slices have {x} × "
            f"{y}; use SSIM, or finer slices"
        )
    if structure is None:
        _, structure = similarity_maps(prediction, truth, data_range=data_range)
    chunks = zip(_chunks(prediction, truth), torch.split(structure, SLICES_AT_ONCE), strict=True)
    return torch.cat([multiscale(_scales(p, t, first, data_range)) for (p, t), first in chunks])


def _chunks(prediction: Tensor, truth: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    require_room(truth.shape)
    return zip(*(torch.split(image, SLICES_AT_ONCE) for image in (prediction, truth)), strict=True)


def require_room(shape: Sequence[int]) -> None:
    """Refuse slices that SSIM's window does not fit into.

    Args:
        shape: Of the images; y and x last.

    Raises:
        GeometryError: A side is shorter than 6 voxels.
    """
    if min(shape[-2:]) <= RADIUS:
        raise GeometryError(f"SSIM needs slices of at least 6 × 6 voxels: {tuple(shape)}")


def _similarity(prediction: Tensor, truth: Tensor, data_range: float) -> tuple[Tensor, Tensor]:
    return similarity_of_moments(*window_moments(prediction, truth), data_range=data_range)


def window_moments(
    prediction: Float[Tensor, "n y x"], truth: Float[Tensor, "n y x"]
) -> Float[Tensor, "4 n y x"]:
    """Give what SSIM knows of the window around every voxel.

    Args:
        prediction: Slices.
        truth: What they should be.

    Returns:
        Weighted means of the prediction, the truth, the sum of their squares, and their product.
    """
    power = prediction * prediction + truth * truth
    images = torch.stack((prediction, truth, power, prediction * truth))
    return blur(images.flatten(0, 1)).view_as(images)


def similarity_of_moments(
    mean_p: Float[Tensor, "n y x"],
    mean_t: Float[Tensor, "n y x"],
    mean_power: Float[Tensor, "n y x"],
    mean_product: Float[Tensor, "n y x"],
    *,
    data_range: float,
) -> tuple[Float[Tensor, "n y x"], Float[Tensor, "n y x"]]:
    """Turn the windows' moments into similarity.

    Args:
        mean_p: The prediction's weighted means, as `window_moments` gives them.
        mean_t: The truth's.
        mean_power: Of the sum of both squares.
        mean_product: Of the product.
        data_range: Width of the images' scale.

    Returns:
        The SSIM map, and its factor for contrast and structure (Wang et al. 2004, Eq. 13).
    """
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    product, squares = mean_p * mean_t, mean_p.square().add_(mean_t.square())
    variances = (mean_power - squares).clamp_(min=0)  # rounding can make them negative
    # In place: each of these images taken anew costs as much as the arithmetic.
    structure = (mean_product - product).mul_(2).add_(c2).div_(variances.add_(c2))
    luminance = product.mul_(2).add_(c1)
    return luminance.mul_(structure).div_(squares.add_(c1)), structure


def blur(
    images: Float[Tensor, "n y x"], *, out: Float[Tensor, "n y x"] | None = None
) -> Float[Tensor, "n y x"]:
    """Average with the SSIM window: one pass along each axis, mirrored at the borders.

    Args:
        images: Slices of at least 6 × 6 voxels.
        out: Where the result is written; into memory of its own where None.

    Returns:
        The window's weighted mean around every voxel.
    """
    y, x = images.shape[1:]
    rows = torch.empty_like(images)
    result = torch.empty_like(images) if out is None else out
    with torch.autocast(images.device.type, enabled=False):  # it would round to bfloat16
        for here, reached, weights in _bands(x, images):
            rows[:, :, here] = images[:, :, reached] @ weights.T
        for here, reached, weights in _bands(y, images):
            result[:, here] = weights @ rows[:, reached]
    return result


def _bands(size: int, like: Tensor) -> Iterator[tuple[slice, slice, Float[Tensor, "m k"]]]:
    """An axis in pieces: where it is averaged, where from, and the weights in between.

    Products of matrices, though most weights are 0: on a processor twice as fast as shifted images
    added up, and six times as fast as depthwise convolution.
    """
    weights = _window_matrix(size, like.dtype).to(like.device)
    for start in range(0, size, BAND):
        here = slice(start, min(start + BAND, size))
        reached = slice(max(start - RADIUS, 0), min(here.stop + RADIUS, size))
        yield here, reached, weights[here, reached]


@lru_cache(64)
def _window_matrix(size: int, dtype: torch.dtype) -> Float[Tensor, "size size"]:
    offsets = torch.arange(-RADIUS, RADIUS + 1)
    weights = torch.exp(-offsets.double().square() / (2 * SIGMA**2))
    result = torch.zeros(size, size, dtype=torch.float64)
    places, last = torch.arange(size), size - 1
    for offset, weight in zip(offsets, weights / weights.sum(), strict=True):
        mirrored = last - (last - (places + offset).abs()).abs()
        result[places, mirrored] += weight
    return result.to(dtype)


def halved(images: Float[Tensor, "n y x"]) -> Float[Tensor, "n y2 x2"]:
    """Average squares of 2 × 2 voxels; an odd row or column at the end is left out.

    Args:
        images: Slices.

    Returns:
        Slices half as fine; ten times faster than torch's pooling.

    Example:
        >>> halved(torch.tensor([[[1.0, 2.0], [3.0, 6.0]]])).item()
        3.0
    """
    y, x = (size // 2 * 2 for size in images.shape[1:])
    rows = images[:, 0:y:2] + images[:, 1:y:2]
    quarters: Tensor = rows[..., 0:x:2] + rows[..., 1:x:2]
    return quarters * 0.25


def multiscale(means: Iterable[Float[Tensor, " n"]]) -> Float[Tensor, " n"]:
    """Put the scales of MS-SSIM together.

    Args:
        means: Of each of the five scales, the finest first: of contrast and structure
            (`contrast_mean`), and at the last of the whole similarity.

    Returns:
        A value a slice, from 0 to 1.
    """
    result: Tensor = torch.ones(())
    for mean, weight in zip(means, SCALE_WEIGHTS, strict=True):
        result = result * mean.clamp(min=0) ** weight
    return result


def contrast_mean(structure: Float[Tensor, "n y x"]) -> Float[Tensor, " n"]:
    """Average contrast and structure as MS-SSIM does.

    Args:
        structure: The second of `similarity_maps`.

    Returns:
        Means without the border that the window reaches over.
    """
    return masked_mean(structure[:, RADIUS:-RADIUS, RADIUS:-RADIUS])


def _scales(
    prediction: Tensor, truth: Tensor, structure: Tensor, data_range: float
) -> Iterator[Tensor]:
    yield contrast_mean(structure)
    for _ in SCALE_WEIGHTS[2:]:
        prediction, truth = halved(prediction), halved(truth)
        yield contrast_mean(_similarity(prediction, truth, data_range)[1])
    yield masked_mean(_similarity(halved(prediction), halved(truth), data_range)[0])
