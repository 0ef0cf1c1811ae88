"""Random motions of CT and PET alike and changes of the CT's HU, on the device they lie on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from petcast.dataset import Batch
from petcast.device import sent
from petcast.recipe import AugmentationRecipe
from petcast.volume import AIR_HU

BEND_STEP_MM = 64.0
"""Distance of the points that bend a slice: a quarter of it never folds tissue over itself."""


@dataclass(frozen=True)
class Motions:
    """A motion a slice.

    Attributes:
        affine: Maps from the output to the input, in halves of the side.
        bends: Where a grid of points is pulled to besides, along x and y, in the same unit; None
            where slices are not bent.
    """

    affine: Float[Tensor, "b 2 3"]
    bends: Float[Tensor, "b 2 k k"] | None = None

    def at(self, places: Sequence[int]) -> "Motions":
        """Those of some slices.

        Args:
            places: Which.

        Returns:
            Theirs, in that order.
        """
        return Motions(self.affine[places], _at(self.bends, places))


def draw(knobs: AugmentationRecipe, count: int, fov_mm: float) -> Motions | None:
    """Draw one motion a slice, from the global generator.

    Args:
        knobs: How far motions go.
        count: Slices.
        fov_mm: Side of a slice.

    Returns:
        For `move`; None where slices do not move.

    Reference:
        Bending: Simard, Steinkraus and Platt, Best practices for convolutional neural networks
        applied to visual document analysis, ICDAR 2003; here by a coarse grid, as Ronneberger,
        Fischer and Brox, U-Net, MICCAI 2015.
    """
    if not knobs.moves:
        return None
    angle, scale, shift_x, shift_y = torch.rand(4, count) * 2 - 1
    flipped = torch.rand(count) < knobs.flip
    angle = angle * math.radians(knobs.rotate_degrees)
    scale = 1 + scale * knobs.scale
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    mirror = torch.where(flipped, -1.0, 1.0)
    shifts = torch.stack([shift_x, shift_y]) * (2 * knobs.shift_mm / fov_mm)
    rows = [
        torch.stack([cos * mirror, -sin, shifts[0]]),
        torch.stack([sin * mirror, cos, shifts[1]]),
    ]
    return Motions(torch.stack(rows).permute(2, 0, 1), _draw_bends(knobs, count, fov_mm))


def _draw_bends(
    knobs: AugmentationRecipe, count: int, fov_mm: float
) -> Float[Tensor, "b 2 k k"] | None:
    if not knobs.bend_mm:  # nothing is drawn: recipes without keep their random numbers
        return None
    points = max(2, round(fov_mm / BEND_STEP_MM))
    return (torch.rand(count, 2, points, points) * 2 - 1) * (2 * knobs.bend_mm / fov_mm)


def move(batch: Batch, motions: Motions) -> Batch:
    """Move CT, PET and body of each slice alike, with bilinear interpolation.

    Args:
        batch: Slices.
        motions: What `draw` gave for them.

    Returns:
        The slices, moved; air and no uptake come in over the edges.
    """
    marks = [batch.body] if batch.lesions is None else [batch.body, batch.lesions]
    images = torch.cat(
        [batch.hu - AIR_HU, *(mark[:, None].to(batch.suv) for mark in (batch.suv, *marks))], dim=1
    )
    moved = functional.grid_sample(
        images, _places(motions, images), mode="bilinear", align_corners=False
    )
    hu, suv, *inside = torch.split(moved, [batch.hu.shape[1], 1, *(1 for _ in marks)], dim=1)
    body, *lesions = (mark[:, 0] > 0.5 for mark in inside)
    return Batch(hu + AIR_HU, suv[:, 0], body, *lesions)


def _places(motions: Motions, images: Float[Tensor, "b c y x"]) -> Float[Tensor, "b y x 2"]:
    """From where in the input each voxel comes, in halves of the side."""
    places = functional.affine_grid(
        _beside(images, motions.affine), list(images.shape), align_corners=False
    )
    if motions.bends is None:
        return places
    bends = functional.interpolate(
        _beside(images, motions.bends), size=images.shape[2:], mode="bicubic", align_corners=False
    )
    return places + bends.permute(0, 2, 3, 1)


@dataclass(frozen=True)
class Tints:
    """What changes the HU of each slice.

    Attributes:
        factor: Of HU above air.
        shift_hu: Added to all.
        noise_hu: Standard deviation of a slice's noise; None where there is none.
        seeds: Of each slice's noise: it is drawn where the slice lies, with whatever slices beside
            it, and has to come out alike.
    """

    factor: Float[Tensor, " n"]
    shift_hu: Float[Tensor, " n"]
    noise_hu: Float[Tensor, " n"] | None
    seeds: Int[Tensor, " n"] | None

    def at(self, places: Sequence[int]) -> "Tints":
        """Those of some slices.

        Args:
            places: Which.

        Returns:
            Theirs, in that order.
        """
        noise_hu, seeds = _at(self.noise_hu, places), _at(self.seeds, places)
        return Tints(self.factor[places], self.shift_hu[places], noise_hu, seeds)


def draw_tints(knobs: AugmentationRecipe, count: int) -> Tints | None:
    """Draw a factor, a shift and a noise a slice, from the global generator.

    Args:
        knobs: How far changes go.
        count: Slices.

    Returns:
        What `tint` does to them; None where no knob asks for it.
    """
    if not knobs.tints:
        return None
    factor, shift = torch.rand(2, count) * 2 - 1
    noise, seeds = None, None
    if knobs.hu_noise:
        noise = torch.rand(count) * knobs.hu_noise
        seeds = torch.randint(2**63 - 1, (count,))
    return Tints(1 + knobs.hu_scale * factor, knobs.hu_shift * shift, noise, seeds)


def tint(hu: Float[Tensor, "b c y x"], tints: Tints) -> Float[Tensor, "b c y x"]:
    """Change a CT's HU as another scanner might.

    Args:
        hu: Slices in HU.
        tints: What `draw_tints` gave for them.

    Returns:
        The slices, changed.
    """
    factor, shift_hu = (
        _beside(hu, of_each).view(-1, 1, 1, 1) for of_each in (tints.factor, tints.shift_hu)
    )
    changed: Tensor = (hu - AIR_HU) * factor + AIR_HU + shift_hu
    if tints.noise_hu is not None and tints.seeds is not None:
        noise_hu = _beside(hu, tints.noise_hu).view(-1, 1, 1, 1)
        changed = changed + noise_hu * _noise(hu, tints.seeds)
    return changed


def _beside(images: Tensor, values: Tensor) -> Tensor:
    return sent(values.to(images.dtype), images.device)


def _at(values: Tensor | None, places: Sequence[int]) -> Tensor | None:
    return None if values is None else values[places]


def _noise(hu: Tensor, seeds: Tensor) -> Tensor:
    generator = torch.Generator(hu.device)
    noise = torch.empty(hu.shape, dtype=hu.dtype, device=hu.device)  # in order, as they are drawn
    for of_slice, seed in zip(noise, seeds.tolist(), strict=True):
        of_slice.normal_(generator=generator.manual_seed(seed))
    return noise
