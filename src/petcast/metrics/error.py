"""How far two images are apart, voxel by voxel: MSE, MAE, PSNR and NRMSE.

MSE, MAE and PSNR take stacks of slices and give a float64 value a slice; NRMSE takes a volume.
`data_range` is always the caller's: the width of the window that both images were scaled by, never
an image's own maximum.
"""

import math

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from petcast.errors import GeometryError, UsageError

PSNR_CEILING_DB = 100.0
"""Means count a PSNR above this as this: one perfect slice would make any mean infinite."""


def mse(
    prediction: Float[Tensor, "n y x"],
    truth: Float[Tensor, "n y x"],
    *,
    data_range: float,
    mask: Bool[Tensor, "n y x"] | None = None,
) -> Float[Tensor, " n"]:
    """Give each slice's mean squared error, on the scale where `data_range` is 1.

    Args:
        prediction: Slices on the scale of `data_range`.
        truth: What they should be.
        data_range: Width of the scale.
        mask: Which voxels count; all where None.

    Returns:
        A value a slice; NaN where the mask is empty.

    Raises:
        GeometryError: The shapes differ.
        UsageError: `data_range` is not positive.

    Example:
        >>> mse(torch.zeros(1, 8, 8), torch.full((1, 8, 8), 5.0), data_range=10.0).item()
        0.25
    """
    check_pair(prediction, truth, data_range)
    return masked_mean(((prediction - truth) / data_range).square(), mask)


def mae(
    prediction: Float[Tensor, "n y x"],
    truth: Float[Tensor, "n y x"],
    *,
    data_range: float,
    mask: Bool[Tensor, "n y x"] | None = None,
) -> Float[Tensor, " n"]:
    """Give each slice's mean absolute error, on the scale where `data_range` is 1.

    Args:
        prediction: Slices on the scale of `data_range`.
        truth: What they should be.
        data_range: Width of the scale.
        mask: Which voxels count; all where None.

    Returns:
        A value a slice; NaN where the mask is empty.

    Raises:
        GeometryError: The shapes differ.
        UsageError: `data_range` is not positive.

    Example:
        >>> mae(torch.zeros(1, 8, 8), torch.full((1, 8, 8), 5.0), data_range=10.0).item()
        0.5
    """
    check_pair(prediction, truth, data_range)
    return masked_mean(((prediction - truth) / data_range).abs(), mask)


def psnr(
    prediction: Float[Tensor, "n y x"],
    truth: Float[Tensor, "n y x"],
    *,
    data_range: float,
    mask: Bool[Tensor, "n y x"] | None = None,
) -> Float[Tensor, " n"]:
    """Give each slice's peak signal-to-noise ratio.

    Args:
        prediction: Slices on the scale of `data_range`.
        truth: What they should be.
        data_range: Width of the scale; its square is the peak.
        mask: Which voxels the mean squared error counts; all where None.

    Returns:
        A value a slice, in dB; infinite for equal slices, NaN where the mask is empty.

    Raises:
        GeometryError: The shapes differ.
        UsageError: `data_range` is not positive.

    Example:
        >>> round(psnr(torch.zeros(1, 8, 8), torch.ones(1, 8, 8), data_range=10.0).item(), 4)
        20.0
    """
    return psnr_from_mse(mse(prediction, truth, data_range=data_range, mask=mask))


def psnr_from_mse(relative_mse: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Turn mean squared errors into peak signal-to-noise ratios.

    Args:
        relative_mse: On the scale where the data range is 1, as `mse` gives them.

    Returns:
        In dB.
    """
    return -10 * torch.log10(relative_mse)


def nrmse(
    prediction: Float[Tensor, "n y x"],
    truth: Float[Tensor, "n y x"],
    *,
    mask: Bool[Tensor, "n y x"] | None = None,
) -> float:
    """Give a volume's root mean squared error as a share of the truth's root mean square.

    It is normalised by the truth's Euclidean norm, as scikit-image does by default: no window has
    a say, and an all-zero prediction has exactly 1.

    Args:
        prediction: A volume, in any unit.
        truth: What it should be, in the same unit.
        mask: Which voxels count, in both norms; all where None.

    Returns:
        From 0 on; NaN where the truth is zero, the mask empty, or a voxel that counts is NaN.

    Raises:
        GeometryError: The shapes differ.

    Example:
        >>> nrmse(torch.full((1, 8, 8), 3.0), torch.full((1, 8, 8), 4.0))
        0.25
    """
    check_pair(prediction, truth, 1.0)
    squares = masked_mean((prediction - truth).square(), mask), masked_mean(truth.square(), mask)
    voxels = truth.new_full((len(truth),), truth[0].numel()) if mask is None else mask.sum((1, 2))
    return nrmse_from_mse(*squares, voxels)


def nrmse_from_mse(
    mse: Float[Tensor, " n"], mean_square: Float[Tensor, " n"], voxels: Shaped[Tensor, " n"]
) -> float:
    """Put slices' mean squares together to the volume's NRMSE.

    Args:
        mse: Mean squared error a slice.
        mean_square: The truth's mean square a slice, in the square of the same unit.
        voxels: How many voxels each mean counted; slices with none have no say.

    Returns:
        As `nrmse`.
    """
    weights = voxels.to(torch.float64)
    # Only an empty slice's mean is left out: NaN of a prediction must stay NaN
    errors, norms = (
        (part.masked_fill(voxels == 0, 0) * weights).sum() for part in (mse, mean_square)
    )
    return float((errors / norms).sqrt()) if norms > 0 else math.nan


def masked_mean(
    values: Float[Tensor, "n y x"], mask: Bool[Tensor, "n y x"] | None = None
) -> Float[Tensor, " n"]:
    """Average each slice, inside a mask where there is one.

    Args:
        values: A value a voxel.
        mask: Which voxels count; all where None.

    Returns:
        A float64 value a slice; NaN where the mask is empty.

    Raises:
        GeometryError: The mask has another shape.

    Example:
        >>> masked_mean(torch.tensor([[[1.0, 9.0]]]), torch.tensor([[[True, False]]])).item()
        1.0
    """
    if mask is None:
        return values.mean(dim=(-2, -1), dtype=torch.float64)
    if mask.shape != values.shape:
        raise GeometryError(f"a mask of {tuple(mask.shape)} does not fit {tuple(values.shape)}")
    inside = values.masked_fill(~mask, 0)  # a product would let NaN outside in
    sums = inside.sum(dim=(-2, -1), dtype=torch.float64)
    return sums / mask.sum(dim=(-2, -1))


def check_pair(prediction: Tensor, truth: Tensor, data_range: float) -> None:
    """Refuse what cannot be compared.

    Args:
        prediction: Slices.
        truth: What they should be.
        data_range: Width of their scale.

    Raises:
        GeometryError: The shapes differ, or are not (slices, y, x).
        UsageError: `data_range` is not positive.
    """
    if prediction.shape != truth.shape or truth.ndim != 3:
        raise GeometryError(
            f"a prediction of {tuple(prediction.shape)} cannot be compared with a truth of "
            f"{tuple(truth.shape)}; both must be (slices, y, x)"
        )
    if not (math.isfinite(data_range) and data_range > 0):
        raise UsageError(f"data_range is {data_range}; give the width of the intensity window")
