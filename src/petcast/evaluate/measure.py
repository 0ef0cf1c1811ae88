"""All metrics of a stack of slices, region by region."""

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
    masked_mean,
    ms_ssim,
    psnr_from_mse,
    similarity_maps,
    to_unit_scale,
)
from petcast.metrics.uptake import clipped_share

SLICES_AT_ONCE = 8
"""Bounds the memory of the error maps, whatever the number of slices."""

MOST_THREADS = 8
"""Each holds the error maps of its slices, about 50 MB at 256 × 256."""

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
) -> SliceValues:
    """Compare a predicted PET with the real one.

    Args:
        prediction: In SUV.
        truth: In SUV.
        masks: Regions to look at besides the whole slice.
        suv_window: SUV mapped to 0 and 1 for the image metrics.

    Returns:
        A value a slice for each (region, metric); NaN where the slice lacks the region. MS-SSIM
        is there for whole slices of more than 160 voxels a side. PSNR is at most 100 dB.
    """

    def measure_chunk(start: int) -> dict[tuple[str, str], Tensor]:
        here = slice(start, start + SLICES_AT_ONCE)
        chunk_masks = {name: _mask(mask[here]) for name, mask in masks.items()}
        return _measure(_tensor(prediction[here]), _tensor(truth[here]), chunk_masks, suv_window)

    parts = _in_threads(measure_chunk, range(0, len(truth), SLICES_AT_ONCE))
    return {key: torch.cat([part[key] for part in parts]).numpy() for key in parts[0]}


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


@torch.inference_mode()
def _measure(
    prediction_suv: Tensor,
    truth_suv: Tensor,
    masks: Mapping[str, Tensor],
    suv_window: tuple[float, float],
) -> dict[tuple[str, str], Tensor]:
    prediction, truth = (to_unit_scale(suv, suv_window) for suv in (prediction_suv, truth_suv))
    similarity, structure = similarity_maps(prediction, truth, data_range=1.0)
    difference, suv_difference = prediction - truth, prediction_suv - truth_suv
    maps = {
        "ssim": similarity,
        "mae": difference.abs(),
        "mse": difference.square(),
        "suv_mae": suv_difference.abs(),
        "suv_bias": suv_difference,
    }
    values = {}
    for region, mask in {"whole": None, **masks}.items():
        for metric, image in maps.items():
            values[region, metric] = masked_mean(image, mask)
        relative_mse = values[region, "mse"]
        values[region, "psnr"] = psnr_from_mse(relative_mse).clamp(max=PSNR_CEILING_DB)
    if min(truth.shape[-2:]) >= MS_SSIM_SIDE:
        values["whole", "ms_ssim"] = ms_ssim(prediction, truth, data_range=1.0, structure=structure)
    return values
