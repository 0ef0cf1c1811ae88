"""All metrics of a stack of slices, region by region."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor

from petcast.anatomy import LUNGS, OUTSIDE, mediastinum
from petcast.errors import NotFiniteError
from petcast.evaluate.regions import Plane, Region
from petcast.evaluate.threads import in_threads, stretches
from petcast.metrics.beside import Windows, ms_ssim_beside, pyramid
from petcast.metrics.image import (
    MS_SSIM_SIDE,
    PSNR_CEILING_DB,
    nrmse_from_mse,
    psnr_from_mse,
    to_unit_scale,
)
from petcast.metrics.similarity import RADIUS, halved, require_room, similarity_of_moments
from petcast.metrics.uptake import clipped_share
from petcast.metrics.volume_similarity import SpacingZYX, blur_z, halo, window_z

SLICES_AT_ONCE = 8
"""Bounds the memory of the error maps, whatever the number of slices."""

IN_THREE_AXES = ("whole", "body")
"""Regions that the SSIM over volumes is averaged in."""

ALIKE = 1.0
"""The similarity of nothing with nothing: of what lies beyond the part that is measured."""

Masks = Mapping[str, Bool[np.ndarray, "z y x"]]
SliceValues = dict[tuple[str, str], Float[np.ndarray, " z"]]
TensorValues = dict[tuple[str, str], Tensor]


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
    masks = {"body": regions > OUTSIDE}
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

    Raises:
        GeometryError: Slices are smaller than 6 × 6 voxels.
    """
    images = {"": prediction}
    return measure_images(images, truth, masks, suv_window, spacing_mm=spacing_mm)[""]


def measure_images(
    images: Mapping[str, Shaped[np.ndarray, "z y x"]],
    truth: Shaped[np.ndarray, "z y x"],
    masks: Masks,
    suv_window: tuple[float, float],
    *,
    spacing_mm: SpacingZYX | None = None,
) -> dict[str, SliceValues]:
    """Compare several images with one real PET, which costs less than each by itself.

    Args:
        images: In SUV, by name.
        truth: In SUV.
        masks: Regions to look at besides the whole slice.
        suv_window: SUV mapped to 0 and 1 for the image metrics.
        spacing_mm: Of the voxels along z, y and x, or None.

    Returns:
        What `measure_slices` gives, by name.

    Raises:
        GeometryError: Slices are smaller than 6 × 6 voxels.
    """
    require_room(truth.shape)
    weights = _weights_z(spacing_mm, len(truth))

    def measure_span(span: range) -> dict[str, TensorValues]:
        return _measure_span(_Rolling(images, truth, suv_window, weights, span), masks)

    parts = in_threads(measure_span, stretches(len(truth), SLICES_AT_ONCE))
    return {
        name: {k: v.numpy() for k, v in _of_volume(_joined([p[name] for p in parts])).items()}
        for name in images
    }


def _joined(parts: Sequence[TensorValues]) -> TensorValues:
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


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

    def measure_span(span: range) -> TensorValues:
        starts = range(span.start, span.stop, SLICES_AT_ONCE)
        return _joined([clipped(slice(s, min(s + SLICES_AT_ONCE, span.stop))) for s in starts])

    def clipped(here: slice) -> TensorValues:
        suv = _tensor(truth[here])
        values = {("whole", "clipped"): clipped_share(suv, suv_window)}
        for region, mask in masks.items():
            inside = torch.from_numpy(np.ascontiguousarray(mask[here]))
            values[region, "clipped"] = clipped_share(suv, suv_window, inside)
        return values

    values = _joined(in_threads(measure_span, stretches(len(truth), SLICES_AT_ONCE)))
    return {key: value.numpy() for key, value in values.items()}


def refuse_not_finite(suv: Shaped[np.ndarray, "..."], whose: str) -> None:
    """Stop where a prediction holds NaN or infinite values: no metric of it means anything.

    Args:
        suv: Predicted SUV.
        whose: What was predicted, for the error message.

    Raises:
        NotFiniteError: It does.
    """
    bad = int(suv.size - np.isfinite(suv).sum())
    if bad:
        raise NotFiniteError(
            f"{whose}: {bad} of {suv.size} predicted voxels are NaN or infinite; "
            "mend the prediction where it was made"
        )


def _tensor(suv: Shaped[np.ndarray, "z y x"]) -> Tensor:
    """The slices in float32, copied only where torch cannot use them as they are."""
    return torch.from_numpy(np.require(suv, np.float32, ["C", "W"]))


def _weights_z(spacing_mm: SpacingZYX | None, slices: int) -> Tensor:
    """The window along z; a single weight where there is none, or too few slices for it."""
    weights = window_z(spacing_mm) if spacing_mm else torch.ones(1)
    return weights if len(weights) // 2 < slices else torch.ones(1)


class _Rolling:
    """Passes along z, averaging each slice's windows once, and holds those around a few slices."""

    def __init__(
        self,
        images: Mapping[str, Shaped[np.ndarray, "z y x"]],
        truth: Shaped[np.ndarray, "z y x"],
        suv_window: tuple[float, float],
        weights: Tensor,
        span: range,
    ) -> None:
        self.images, self.truth, self.suv_window = images, truth, suv_window
        self.weights, self.span, self.reach = weights, span, len(weights) // 2
        self.plane = self._plane()
        self._end = span.start - self.reach
        room = min(SLICES_AT_ONCE, len(span)) + 2 * self.reach
        self._real = _Held.of(1, room, self.plane.shape)
        self._held = {name: _Held.of(3, room, self.plane.shape) for name in images}

    def _plane(self) -> Plane:
        """The part of the slices, and of those that windows reach, in which any image is not 0."""
        if self.suv_window[0] >= 0:
            reached = slice(max(self.span.start - self.reach, 0), self.span.stop + self.reach)
            return Plane.around(i[reached] for i in (self.truth, *self.images.values()))
        y, x = self.truth.shape[1:]
        return Plane.whole((y, x))  # 0 SUV is not the scale's 0

    def suv(self, image: Shaped[np.ndarray, "z y x"], slices: slice | np.ndarray) -> Tensor:
        """Some slices' part of the plane."""
        return _tensor(image[slices, self.plane.rows, self.plane.columns])

    def unit(self, suv: Tensor) -> Tensor:
        return to_unit_scale(suv, self.suv_window)

    def half(self, image: Tensor) -> Tensor:
        """Whole slices half as fine."""
        return self.plane.place_halved(halved(image))

    def advance(self, start: int, stop: int) -> None:
        """Hold the windows around the slices from `start` to `stop`."""
        fresh = halo(self._end, stop + self.reach, 0, len(self.truth)).numpy()
        windows = Windows.of(self.unit(self.suv(self.truth, fresh)))
        kept = self._end - (start - self.reach)
        self._real.after(kept, len(fresh))[:] = windows.mean
        for name, image in self.images.items():
            place = self._held[name].after(kept, len(fresh))
            windows.beside(self.unit(self.suv(image, fresh)), out=place)
        if self.reach:
            [self._real_in_z] = blur_z(self._real.slices, self.weights)
        self._end = stop + self.reach

    def similarity(self, name: str) -> tuple[Tensor, Tensor]:
        """Of the slices within the halo: similarity, and its part without luminance."""
        [real], held = self._real.slices, self._held[name].slices
        inner = slice(self.reach, len(real) - self.reach)
        mean, power, product = held[:, inner]
        return similarity_of_moments(mean, real[inner], power, product, data_range=1.0)

    def similarity_3d(self, name: str) -> Tensor | None:
        """The same with a window along z, where there is one."""
        if not self.reach:
            return None
        mean, power, product = blur_z(self._held[name].slices, self.weights)
        return similarity_of_moments(mean, self._real_in_z, power, product, data_range=1.0)[0]


@dataclass
class _Held:
    """Moments of some slices, in memory taken once: to take as much anew each time costs more."""

    room: Float[Tensor, "k room y x"]
    count: int = 0

    @classmethod
    def of(cls, moments: int, room: int, shape: tuple[int, ...]) -> "_Held":
        return cls(torch.empty(moments, room, *shape))

    @property
    def slices(self) -> Float[Tensor, "k n y x"]:
        return self.room[:, : self.count]

    def after(self, kept: int, fresh: int) -> Float[Tensor, "k n y x"]:
        """Keep the last slices, and give the place after them, for others."""
        self.room[:, :kept] = self.room[:, self.count - kept : self.count].clone()
        self.count = kept + fresh
        return self.room[:, kept : self.count]


@torch.inference_mode()
def _measure_span(rolling: _Rolling, masks: Masks) -> dict[str, TensorValues]:
    span = rolling.span
    values: dict[str, TensorValues] = {name: {} for name in rolling.images}
    for start in range(span.start, span.stop, SLICES_AT_ONCE):
        stop = min(start + SLICES_AT_ONCE, span.stop)
        rolling.advance(start, stop)
        chunk = _Chunk.of(rolling, start, stop, masks)
        for name, image in rolling.images.items():
            measured = chunk.measure(rolling, name, rolling.suv(image, slice(start, stop)))
            _fill(values[name], len(span), start - span.start, measured)
    return values


def _fill(values: TensorValues, slices: int, start: int, measured: TensorValues) -> None:
    """Copy a few slices' values to where they belong.

    To keep the small tensors themselves, among the freed images in memory, would leave holes there
    that the next images do not fit into.
    """
    for key, few in measured.items():
        if key not in values:
            values[key] = torch.empty(slices, dtype=few.dtype)
        values[key][start : start + len(few)] = few


@dataclass(frozen=True)
class _Chunk:
    """A few slices of the truth, with what all images share."""

    suv: Tensor
    truth: Tensor
    regions: Mapping[str, Region]
    inner: Region
    scales: list[Windows] | None

    @classmethod
    def of(cls, rolling: _Rolling, start: int, stop: int, masks: Masks) -> "_Chunk":
        plane, slices = rolling.plane, stop - start
        suv = rolling.suv(rolling.truth, slice(start, stop))
        truth = rolling.unit(suv)
        regions = {
            "whole": Region.without_border(slices, plane),
            **{name: Region.of(mask[start:stop], plane) for name, mask in masks.items()},
        }
        inner = Region.without_border(slices, plane, RADIUS)
        fine = min(plane.size) >= MS_SSIM_SIDE
        return cls(suv, truth, regions, inner, pyramid(rolling.half(truth)) if fine else None)

    def measure(self, rolling: _Rolling, name: str, suv: Tensor) -> TensorValues:
        prediction = rolling.unit(suv)
        similarity, structure = rolling.similarity(name)
        errors, similarity_3d = self._maps(suv, prediction), rolling.similarity_3d(name)
        values: TensorValues = {}
        for region, inside in self.regions.items():
            values[region, "ssim"] = inside.mean(similarity, ALIKE)
            for metric, image in errors.items():
                values[region, metric] = inside.mean(image)
            if similarity_3d is not None and region in IN_THREE_AXES:
                values[region, "ssim_3d"] = inside.mean(similarity_3d, ALIKE)
            relative_mse = values[region, "mse"]
            values[region, "psnr"] = psnr_from_mse(relative_mse).clamp(max=PSNR_CEILING_DB)
            values[region, _VOXELS] = inside.voxels
        if self.scales is not None:
            finest = self.inner.mean(structure, ALIKE)
            values["whole", "ms_ssim"] = ms_ssim_beside(
                rolling.half(prediction), self.scales, finest
            )
        return values

    def _maps(self, suv: Tensor, prediction: Tensor) -> dict[str, Tensor]:
        difference, suv_difference = prediction - self.truth, suv - self.suv
        return {
            "mae": difference.abs(),
            "mse": difference.square(),
            "suv_mae": suv_difference.abs(),
            "suv_bias": suv_difference,
            _POWER: self.truth.square(),
        }


_POWER, _VOXELS = "power", "voxels"
"""Of each slice, for what is one number of a volume: the truth's mean square, and the voxels."""


def _of_volume(values: dict[tuple[str, str], Tensor]) -> dict[tuple[str, str], Tensor]:
    """Put slices together where the metric is one number of the volume."""
    for region in dict.fromkeys(region for region, _ in values):
        voxels, power = values.pop((region, _VOXELS)), values.pop((region, _POWER))
        there = torch.where(voxels > 0, 1.0, math.nan)
        values[region, "nrmse"] = there * nrmse_from_mse(values[region, "mse"], power, voxels)
        if (region, "ssim_3d") in values:
            # Only an empty slice has no say: NaN of a prediction must stay NaN
            sums = values[region, "ssim_3d"].masked_fill(voxels == 0, 0) * voxels
            values[region, "ssim_3d"] = there * (sums.sum() / voxels.sum())
    return values
