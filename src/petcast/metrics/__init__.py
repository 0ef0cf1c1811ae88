"""How near a prediction is to the real PET, as functions of arrays; nothing is read or written.

image              scores of a batch, and the next two under one name
error              MSE, MAE, PSNR, NRMSE
similarity         SSIM and MS-SSIM
volume_similarity  SSIM in three axes
beside             SSIM of several images beside one truth, for little more than that of one
uptake             errors in SUV
lesion             SUVmax, SUVpeak, MTV, TLG of a lesion
artefact           what pixel metrics do not see; the next three under one name
lattice            the checkerboard of transposed convolutions
sharpness          blur and lost detail
texture            noise of another kind
backbone           AlexNet's and VGG16's features, with the user's own weights
perceptual         LPIPS on them
frechet            the Fréchet distance of them
"""

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
