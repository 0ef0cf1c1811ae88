"""Metrics: of images on a stated scale (`image`), and of uptake in SUV (`uptake`)."""

from petcast.metrics.image import (
    mae,
    ms_ssim,
    mse,
    nrmse,
    psnr,
    score_slices,
    ssim,
    ssim_3d,
    ssim_map,
)
from petcast.metrics.uptake import suv_bias, suv_mae

__all__ = [
    "mae", "ms_ssim", "mse", "nrmse", "psnr", "score_slices", "ssim", "ssim_3d", "ssim_map",
    "suv_bias", "suv_mae",
]  # fmt: skip
