"""All metrics of a stack of slices, region by region."""

import math
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor

from petcast.anatomy import mediastinum
from petcast.errors import DataError
from petcast.metrics.image import (
    MS_SSIM_SIDE,
    PSNR_CEILING_DB,
    ms_ssim,
    nrmse_from_mse,
    psnr_from_mse,
    to_unit_scale,
)
from petcast.metrics.similarity import similarity_of_moments, window_moments
from petcast.metrics.uptake import clipped_share
from petcast.metrics.volume_similarity import SpacingZYX, blur_z, halo, window_z

SLICES_AT_ONCE = 16
"""Bounds the memory of the error maps, whatever the number of slices."""

MOST_THREADS = 8
"""Each holds the error maps of its slices, about 100 MB at 256 × 256."""

NEAR = 8
"""Slices that the SSIM window passes over at once."""

IN_THREE_AXES = ("whole", "body")
"""Regions that the SSIM over volumes is averaged in."""

LUNGS = 2
"""The lungs' label in a study's `regions`; labels from 1 on are inside the body."""

Masks = Mapping[str, Bool[np.ndarray, "z y x"]]
Result = TypeVar("Result")
SliceValues = dict[tuple[str, str], Float[np.ndarray, " z"]]


def region_masks(
    regions: UInt8[np.ndarray, "z y x"], hu: Shaped[np.ndarray, "z y x"] | None = None
) -> dict[str, Bool[np.ndarray, "z y x"]]:
    """Take the regions of prepared pairs apart.

    Args:
        regions: 0 outside the body, 1 body, 2 lungs.
        hu: The CT on the same voxels: it tells the mediastinum's soft tissue from bone and gas.

    Returns:
        "body" (lungs included) and, where there are any, "lungs" and "mediastinum".
    """
    masks = {"body": regions > 0}
    lungs = regions == LUNGS
    if lungs.any():
        masks["lungs"] = lungs
    between = mediastinum(regions, hu)
    if between.any():
        masks["mediastinum"] = between
    return masks


def measure_slices(
    prediction: Shaped[np.ndarray, "z y x"],
    truth: Shaped[np.ndarray, "z y x"],
    masks: Masks,
    suv_window: tuple[float, float],
    *,
    spacing_mm: SpacingZYX | None = None,
) -> SliceValues:
    """Compare a predicted PET with the real one.

    Args:
        prediction: In SUV.
        truth: In SUV.
        masks: Regions to look at besides the whole slice.
        suv_window: SUV mapped to 0 and 1 for the image metrics.
        spacing_mm: Of the voxels along z, y and x: adds the SSIM over volumes, where there are
            slices enough for its window.

    Returns:
        A value a slice for each (region, metric); NaN where the slice lacks the region. MS-SSIM
        is there for whole slices of more than 160 voxels a side. PSNR is at most 100 dB. NRMSE and
        the SSIM over volumes are one number, given to every slice that has the region.
    """
    weights = _weights_z(spacing_mm, len(truth))
    reach = len(weights) // 2

    def measure_chunk(start: int) -> dict[tuple[str, str], Tensor]:
        stop = min(start + SLICES_AT_ONCE, len(truth))
        places = halo(start, stop, reach, len(truth)).numpy()
        images = (_tensor(prediction[places]), _tensor(truth[places]))
        chunk_masks = {name: _mask(mask[start:stop]) for name, mask in masks.items()}
        return _measure(*images, chunk_masks, suv_window, weights)

    parts = _in_threads(measure_chunk, range(0, len(truth), SLICES_AT_ONCE))
    values = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    return {key: value.numpy() for key, value in _of_volume(values).items()}


@torch.inference_mode()
def measure_clipping(
    truth: Shaped[np.ndarray, "z y x"], masks: Masks, suv_window: tuple[float, float]
) -> SliceValues:
    """Say how much of the real PET the window hides from the image metrics.

    Args:
        truth: In SUV.
        masks: Regions to look at besides the whole slice.
        suv_window: SUV mapped to 0 and 1.

    Returns:
        The share of clipped voxels a slice, as metric "clipped" of each region.
    """
    suv = _tensor(truth)
    values = {("whole", "clipped"): clipped_share(suv, suv_window)}
    for region, mask in masks.items():
        values[region, "clipped"] = clipped_share(
            suv, suv_window, torch.from_numpy(np.ascontiguousarray(mask))
        )
    return {key: value.numpy() for key, value in values.items()}


def refuse_not_finite(suv: Shaped[np.ndarray, "..."], whose: str) -> None:
    """Stop where a prediction holds NaN or infinite values: no metric of it means anything.

    Args:
        suv: Predicted SUV.
        whose: What was predicted, for the error message.

    Raises:
        DataError: It does.
    """
    bad = int(suv.size - np.isfinite(suv).sum())
    if bad:
        raise DataError(
            f"{whose}: {bad} of {suv.size} predicted voxels are NaN or infinite; "
            "mend the prediction where it was made"
        )


def _in_threads(work: Callable[[int], Result], items: Iterable[int]) -> list[Result]:
    """Do the work in as many threads as torch may use, each with one of its own.

    A slice is too little for torch to share among cores: its threads would mostly wait for each
    other, and for seconds where other programs keep the cores busy.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        return [work(item) for item in items]
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(min(threads, MOST_THREADS)) as pool:
            return list(pool.map(work, items))
    finally:
        torch.set_num_threads(threads)


def _tensor(suv: Shaped[np.ndarray, "z y x"]) -> Tensor:
    return torch.from_numpy(np.array(suv, dtype=np.float32))


def _mask(mask: Bool[np.ndarray, "z y x"]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(mask))


def _weights_z(spacing_mm: SpacingZYX | None, slices: int) -> Tensor:
    """The window along z; a single weight where there is none, or too few slices for it."""
    weights = window_z(spacing_mm) if spacing_mm else torch.ones(1)
    return weights if len(weights) // 2 < slices else torch.ones(1)


@torch.inference_mode()
def _measure(
    prediction_suv: Tensor,
    truth_suv: Tensor,
    masks: Mapping[str, Tensor],
    suv_window: tuple[float, float],
    weights: Tensor,
) -> dict[tuple[str, str], Tensor]:
    """Values of some slices; the images bring a halo as wide as the window along z."""
    inner = slice(len(weights) // 2, len(truth_suv) - len(weights) // 2)
    prediction, truth = (to_unit_scale(suv, suv_window) for suv in (prediction_suv, truth_suv))
    moments = _moments(prediction, truth)
    prediction, truth = prediction[inner], truth[inner]
    similarity, structure = similarity_of_moments(moments[:, inner], 1.0)
    difference, suv_difference = prediction - truth, (prediction_suv - truth_suv)[inner]
    maps = {
        "ssim": similarity,
        "mae": difference.abs(),
        "mse": difference.square(),
        "suv_mae": suv_difference.abs(),
        "suv_bias": suv_difference,
        _POWER: truth.square(),
    }
    if len(weights) > 1:
        maps["ssim_3d"] = similarity_of_moments(blur_z(moments, weights), 1.0)[0]
    values = {}
    for region, mask in {"whole": None, **masks}.items():
        inside = None if mask is None else mask.to(truth.dtype)  # once: it costs more than the sums
        voxels = _voxels(truth, mask)
        for metric, image in maps.items():
            if metric != "ssim_3d" or region in IN_THREE_AXES:
                counted = image if inside is None else image * inside
                values[region, metric] = counted.sum((1, 2), dtype=torch.float64) / voxels
        relative_mse = values[region, "mse"]
        values[region, "psnr"] = psnr_from_mse(relative_mse).clamp(max=PSNR_CEILING_DB)
        values[region, _VOXELS] = voxels
    if min(truth.shape[-2:]) >= MS_SSIM_SIDE:
        values["whole", "ms_ssim"] = ms_ssim(prediction, truth, data_range=1.0, structure=structure)
    return values


_POWER, _VOXELS = "power", "voxels"
"""Of each slice, for what is one number of a volume: the truth's mean square, and the voxels."""


def _moments(prediction: Tensor, truth: Tensor) -> Tensor:
    """In pieces small enough to stay near the processor."""
    pieces = zip(*(torch.split(image, NEAR) for image in (prediction, truth)), strict=True)
    return torch.cat([window_moments(p, t) for p, t in pieces], dim=1)


def _voxels(truth: Tensor, mask: Tensor | None) -> Tensor:
    counted = truth.new_full((len(truth),), truth[0].numel()) if mask is None else mask.sum((1, 2))
    return counted.to(torch.float64)


def _of_volume(values: dict[tuple[str, str], Tensor]) -> dict[tuple[str, str], Tensor]:
    """Put slices together where the metric is one number of the volume."""
    for region in dict.fromkeys(region for region, _ in values):
        voxels, power = values.pop((region, _VOXELS)), values.pop((region, _POWER))
        there = torch.where(voxels > 0, 1.0, math.nan)
        values[region, "nrmse"] = there * nrmse_from_mse(values[region, "mse"], power, voxels)
        if (region, "ssim_3d") in values:
            sums = values[region, "ssim_3d"].nan_to_num() * voxels
            values[region, "ssim_3d"] = there * (sums.sum() / voxels.sum())
    return values
