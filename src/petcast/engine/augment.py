"""Random motions of CT and PET alike and changes of the CT's HU, on the device they lie on."""

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
        slices do not move.
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
    return torch.stack(rows).permute(2, 0, 1)


def move(batch: Batch, motions: Float[Tensor, "b 2 3"]) -> Batch:
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
    places = functional.affine_grid(motions.to(images), list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, places, mode="bilinear", align_corners=False)
    hu, suv, *inside = torch.split(moved, [batch.hu.shape[1], 1, *(1 for _ in marks)], dim=1)
    body, *lesions = (mark[:, 0] > 0.5 for mark in inside)
    return Batch(hu + AIR_HU, suv[:, 0], body, *lesions)


def tint(knobs: AugmentationRecipe, hu: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
    """Change a CT's HU as another scanner might: a factor, a shift and a noise a slice.

    Args:
        knobs: How far changes go.
        hu: Slices in HU.

    Returns:
        The slices, changed; as they are where no knob asks for it.
    """
    if not knobs.tints:
        return hu
    factor, shift = torch.rand(2, len(hu), 1, 1, 1, device=hu.device) * 2 - 1
    changed: Tensor = (
        (hu - AIR_HU) * (1 + knobs.hu_scale * factor) + AIR_HU + knobs.hu_shift * shift
    )
    if knobs.hu_noise:
        strength = torch.rand(len(hu), 1, 1, 1, device=hu.device) * knobs.hu_noise
        changed = changed + strength * torch.randn_like(hu)
    return changed
