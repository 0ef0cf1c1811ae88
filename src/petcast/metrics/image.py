"""Image metrics on a stated scale, all in one place: the scale itself, and a batch's scores.

`similarity` holds SSIM and MS-SSIM, `volume_similarity` the three-dimensional SSIM, `error` MSE,
MAE, PSNR and NRMSE. All compute in the images' own floating-point type and give float64.
"""

import math

from jaxtyping import Bool, Float
from torch import Tensor

from petcast.errors import UsageError
from petcast.metrics.error import (
    PSNR_CEILING_DB,
    mae,
    masked_mean,
    mse,
    nrmse,
    nrmse_from_mse,
    psnr,
    psnr_from_mse,
)
from petcast.metrics.similarity import (
    MS_SSIM_SIDE,
    ms_ssim,
    similarity_maps,
    ssim,
    ssim_map,
)
from petcast.metrics.volume_similarity import ssim_3d, ssim_3d_map

__all__ = [
    "MS_SSIM_SIDE", "PSNR_CEILING_DB", "mae", "masked_mean", "ms_ssim", "mse", "nrmse",
    "nrmse_from_mse", "psnr", "psnr_from_mse", "score_slices", "similarity_maps", "ssim",
    "ssim_3d", "ssim_3d_map", "ssim_map", "to_unit_scale",
]  # fmt: skip


def score_slices(
    prediction_suv: Float[Tensor, "n y x"],
    truth_suv: Float[Tensor, "n y x"],
    body: Bool[Tensor, "n y x"],
    suv_window: tuple[float, float],
) -> dict[str, float]:
    """Score a batch of slices for a row of metrics.jsonl.

    Args:
        prediction_suv: In SUV.
        truth_suv: In SUV.
        body: True inside the body.
        suv_window: SUV mapped to 0 and 1; what lies outside is clipped for all but SUV errors.

    Returns:
        Means over the slices: `ssim`, `psnr` (dB), `mae`, `mse` of whole slices on the [0, 1]
        scale, `psnr_body` inside the body, `suv_mae_body` in SUV. Slices without body are left
        out of the last two; where none has any, those are NaN. A prediction that is not finite
        makes means NaN or infinite: it is never left out.

    Raises:
        GeometryError: The shapes differ.
        UsageError: The window is empty.

    Example:
        >>> import torch
        >>> zero, body = torch.zeros(1, 16, 16), torch.ones(1, 16, 16, dtype=torch.bool)
        >>> round(score_slices(zero, zero + 1, body, (0.0, 10.0))["psnr_body"], 4)
        20.0
    """
    prediction, truth = (to_unit_scale(suv, suv_window) for suv in (prediction_suv, truth_suv))
    squared = (prediction - truth).square()
    slices = {
        "ssim": ssim(prediction, truth, data_range=1.0),
        "psnr": psnr_from_mse(masked_mean(squared)).clamp(max=PSNR_CEILING_DB),
        "mae": mae(prediction, truth, data_range=1.0),
        "mse": masked_mean(squared),
        "psnr_body": psnr_from_mse(masked_mean(squared, body)).clamp(max=PSNR_CEILING_DB),
        "suv_mae_body": masked_mean((prediction_suv - truth_suv).abs(), body),
    }
    seen = body.flatten(1).any(1)
    return {
        name: float((values[seen] if name.endswith("_body") else values).mean())
        for name, values in slices.items()
    }


def to_unit_scale(
    suv: Float[Tensor, "*shape"], suv_window: tuple[float, float]
) -> Float[Tensor, "*shape"]:
    """Map SUV to the paper's [0, 1] scale by a fixed window.

    Args:
        suv: Any shape, in SUV.
        suv_window: SUV mapped to 0 and 1.

    Returns:
        The same shape, clipped to [0, 1].

    Raises:
        UsageError: The window is empty or not finite.

    Example:
        >>> import torch
        >>> to_unit_scale(torch.tensor([-1.0, 5.0, 30.0]), (0.0, 10.0)).tolist()
        [0.0, 0.5, 1.0]
    """
    low, high = suv_window
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"the SUV window {low} … {high} is empty; give a lower and a higher SUV")
    return (suv - low).div_(high - low).clamp_(0, 1)
