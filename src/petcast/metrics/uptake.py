"""How far uptake is off, in SUV, a value a slice.

Nothing is clipped here: what a window hides from the image metrics still counts.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from petcast.errors import GeometryError
from petcast.metrics.error import masked_mean


def suv_bias(
    prediction_suv: Float[Tensor, "n y x"],
    truth_suv: Float[Tensor, "n y x"],
    mask: Bool[Tensor, "n y x"] | None = None,
) -> Float[Tensor, " n"]:
    """Give each slice's mean error of the SUV: above zero, uptake is added.

    Args:
        prediction_suv: In SUV.
        truth_suv: In SUV.
        mask: Which voxels count; all where None.

    Returns:
        A value a slice, in SUV; NaN where the mask is empty.

    Raises:
        GeometryError: The shapes differ.

    Example:
        >>> suv_bias(torch.full((1, 2, 2), 3.0), torch.ones(1, 2, 2)).item()
        2.0
    """
    return masked_mean(_difference(prediction_suv, truth_suv), mask)


def suv_mae(
    prediction_suv: Float[Tensor, "n y x"],
    truth_suv: Float[Tensor, "n y x"],
    mask: Bool[Tensor, "n y x"] | None = None,
) -> Float[Tensor, " n"]:
    """Give each slice's mean absolute error of the SUV.

    Args:
        prediction_suv: In SUV.
        truth_suv: In SUV.
        mask: Which voxels count; all where None.

    Returns:
        A value a slice, in SUV; NaN where the mask is empty.

    Raises:
        GeometryError: The shapes differ.

    Example:
        >>> suv_mae(torch.tensor([[[0.0, 4.0]]]), torch.ones(1, 1, 2)).item()
        2.0
    """
    return masked_mean(_difference(prediction_suv, truth_suv).abs(), mask)


def clipped_share(
    suv: Float[Tensor, "n y x"],
    suv_window: tuple[float, float],
    mask: Bool[Tensor, "n y x"] | None = None,
) -> Float[Tensor, " n"]:
    """Give the share of each slice's voxels that a window clips.

    Args:
        suv: In SUV.
        suv_window: SUV mapped to 0 and 1.
        mask: Which voxels count; all where None.

    Returns:
        A value a slice, from 0 to 1; NaN where the mask is empty.

    Example:
        >>> clipped_share(torch.tensor([[[2.0, 20.0]]]), (0.0, 10.0)).item()
        0.5
    """
    low, high = suv_window
    outside = (suv < low) | (suv > high)
    return masked_mean(outside.to(torch.float32), mask)


def _difference(prediction: Tensor, truth: Tensor) -> Tensor:
    if prediction.shape != truth.shape:
        raise GeometryError(
            f"a prediction of {tuple(prediction.shape)} cannot be compared with a truth of "
            f"{tuple(truth.shape)}"
        )
    return prediction - truth
