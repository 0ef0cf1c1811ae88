"""Random flips, turns, scales and shifts of CT and PET alike, on the device they lie on."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from petcast.dataset import Batch
from petcast.recipe import AugmentationRecipe

AIR_HU = -1024.0
"""What lies beyond a CT's edge."""


def draw(knobs: AugmentationRecipe, count: int, fov_mm: float) -> Float[Tensor, "b 2 3"] | None:
    """Draw one motion a slice, from the global generator.

    Args:
        knobs: How far motions go.
        count: Slices.
        fov_mm: Side of a slice.

    Returns:
        Affine maps from the output to the input, in halves of the side, for `move`; None where
        every knob is 0.
    """
    if not any(knobs.model_dump().values()):
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
    return torch.stack(rows).permute(2, 0, 1)


def move(batch: Batch, motions: Float[Tensor, "b 2 3"]) -> Batch:
    """Move CT, PET and body of each slice alike, with bilinear interpolation.

    Args:
        batch: Slices.
        motions: What `draw` gave for them.

    Returns:
        The slices, moved; air and no uptake come in over the edges.
    """
    channels = batch.hu.shape[1]
    images = torch.cat(
        [batch.hu - AIR_HU, batch.suv[:, None], batch.body[:, None].to(batch.suv)], dim=1
    )
    places = functional.affine_grid(motions.to(images), list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, places, mode="bilinear", align_corners=False)
    hu, suv, body = torch.split(moved, [channels, 1, 1], dim=1)
    return Batch(hu + AIR_HU, suv[:, 0], body[:, 0] > 0.5)
