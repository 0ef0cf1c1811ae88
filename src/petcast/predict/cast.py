"""Cast a CT: there to the model grid, through the model, and back to the CT's own geometry."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int16

from petcast.align import ct_on_grid
from petcast.anatomy import body_mask, lung_mask
from petcast.checkpoint import Card, Which, load_synthesizer
from petcast.device import choose_device
from petcast.dicom.source import remarks_of
from petcast.grid import grid_for_ct, standing, thinned
from petcast.models import Synthesizer
from petcast.predict.files import (
    casting_of,
    load_any_ct,
    require_apart,
    require_output,
    write_volume,
)
from petcast.predict.slices import finite, first_stages, predict_slices
from petcast.recipe import PreparationRecipe
from petcast.volume import Grid, Unit, Volume
from petcast.words import count

LONGEST_CUT_MM = 60.0
"""An arm at the edge of a slice is shorter: common, and far from the lungs."""
MOST_CUT = 0.1
"""Share of the slices that may be cut further: shoulders often are."""

LEAST_BEYOND_ML = 1.0
"""Less of a body beyond the model grid is a fold of skin, or half of a thinned voxel."""


@dataclass(frozen=True)
class Prediction:
    """A synthetic PET.

    Attributes:
        pet: In SUV, on the geometry of the CT that it was cast from.
        warnings: What the reader of the PET must know, in sentences.
    """

    pet: Volume
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A summary without voxels.

        Returns:
            Shape, spacing, range and warnings.
        """
        return {
            "shape": list(self.pet.voxels.shape),
            "spacing_mm": list(self.pet.spacing_mm),
            "suv_min": float(self.pet.voxels.min()),
            "suv_max": float(self.pet.voxels.max()),
            "warnings": list(self.warnings),
        }


def predict_volume(
    synthesizer: Synthesizer,
    ct: Volume,
    card: Card,
    *,
    device: torch.device | str = "cpu",
    stages: int | None = None,
) -> Prediction:
    """Cast a whole CT.

    Args:
        synthesizer: A trained model.
        ct: In HU, on any axial grid.
        card: The model's card; it names the model grid.
        device: Where to compute.
        stages: Run only so many stages, the first ones: the K-th output is the PET.

    Returns:
        The PET on the CT's own grid, with its warnings.

    Raises:
        UnitError: `ct` is not in HU.
        RefusedError: NOT-AXIAL, where it is tilted or oblique; NOT-FINITE, where the model is bad.
        UsageError: The model has fewer stages.
    """

    def cast(hu: Int16[np.ndarray, "z y x"]) -> list[np.ndarray]:
        suv = predict_slices(synthesizer, hu, device=device, last_only=True, stages=stages)
        return [suv[0]]

    [pet], warnings = cast_on_grid(ct, card, cast)
    return Prediction(pet, (*warnings, *_of_early_stage(card, synthesizer, stages)))


def cast_on_grid(
    ct: Volume, card: Card, cast: Callable[[np.ndarray], Sequence[np.ndarray]]
) -> tuple[list[Volume], list[str]]:
    """Take a CT to where a model sees it, and what the model makes of it back.

    Args:
        ct: In HU, on any axial grid.
        card: The model's card; it names the model grid.
        cast: From HU (z, y, x) on the model grid to images in SUV there.

    Returns:
        The images on the CT's own grid, 0 where the model grid does not reach, and warnings.

    Raises:
        UnitError: `ct` is not in HU.
        RefusedError: NOT-AXIAL, where it is tilted or oblique; NOT-FINITE, where the model is bad.
    """
    upright = standing(ct.require(Unit.HU), "CT")
    recipe = PreparationRecipe(size=int(card.grid["size"]), spacing_mm=card.grid["spacing_mm"])
    grid = grid_for_ct(upright, recipe)
    on_grid = ct_on_grid(upright, grid)
    images = [
        on_grid.like(finite(suv), Unit.SUV).resampled(ct.grid, outside=0.0, antialias=False)
        for suv in cast(on_grid.voxels)
    ]
    body = body_mask(thinned(upright))
    told = (_without_neighbours(on_grid, card), _beyond_lungs(on_grid), _beyond_grid(body, grid),
            _beyond_view(body))  # fmt: skip
    return images, [warning for warnings in told for warning in warnings]


def predict(
    ct: Path,
    run: Path,
    out: Path,
    *,
    which: Which = "best",
    device: str = "auto",
    stages: int | None = None,
) -> Prediction:
    """Cast a CT on disk and write the PET as NIfTI, or as a DICOM series.

    Args:
        ct: A DICOM folder, a zip of one, or a NIfTI file in HU.
        run: A training's folder.
        out: A `.nii` or `.nii.gz` file; of a CT that came as DICOM, or a folder for DICOM.
        which: The run's chosen epoch, or its last.
        device: "auto" takes a GPU where there is one.
        stages: Run only so many stages, the first ones: the K-th output is the PET.

    Returns:
        What was written.

    Raises:
        UsageError: `out` cannot be written or is the CT itself, `run` is no run, or its model has
            fewer stages.
        DataError: The CT cannot be used, and why.
    """
    require_output("--out", out, ct)
    require_apart(ct, out)
    synthesizer, card = load_synthesizer(run, which)
    with first_stages(synthesizer, stages):  # refused before a large CT is read
        volume, source = load_any_ct(ct)
    where, has = choose_device(device), len(synthesizer.generator.chain)
    prediction = predict_volume(synthesizer, volume, card, device=where, stages=stages)
    prediction = replace(prediction, warnings=(*remarks_of(source), *prediction.warnings))
    casting = casting_of(card, prediction.warnings, stage=stages or has, stages=has)
    write_volume(out, prediction.pet, source, casting)
    return prediction


def _of_early_stage(card: Card, synthesizer: Synthesizer, stages: int | None) -> list[str]:
    """What is to be said of an earlier stage that was never compared with a PET."""
    last = len(synthesizer.generator.chain)
    each_learned = card.recipe.loss.stages == "all" or card.recipe.training.order == "greedy"
    if stages in (None, last) or each_learned:
        return []
    return [
        f'Only stage {last} was compared with the PET in training (loss.stages = "last"): the '
        f"output of stage {stages} need not look like one."
    ]


def _without_neighbours(ct: Volume, card: Card) -> list[str]:
    """What is to be said of one slice alone; a model that sees one at a time misses nothing."""
    if len(ct.voxels) > 1 or card.recipe.model.slices == 1:
        return []
    return [
        "This CT is one slice to the model, which looks at those above and below, too: it was "
        "given the same slice in their place. Give the whole CT; do not rely on this PET."
    ]


def _beyond_grid(body: Volume, grid: Grid) -> list[str]:
    """What is to be said of a body wider than the model grid: a PET of 0 there looks measured."""
    z, y, x = np.nonzero(body.voxels)
    places = (np.linalg.inv(grid.affine) @ body.affine @ np.stack([x, y, z, np.ones_like(x)]))[:2]
    size = np.array(grid.shape[:0:-1])[:, np.newaxis]
    beyond = ((places < -0.5) | (places > size - 0.5)).any(axis=0)
    lost_ml = int(beyond.sum()) * math.prod(body.spacing_mm) / 1000
    if lost_ml < LEAST_BEYOND_ML:
        return []
    width_mm, depth_mm = (n * mm for n, mm in zip(size.ravel(), grid.spacing_mm, strict=False))
    return [
        f"{100 * beyond.mean():.2g} % of the body in this CT lie outside the {width_mm:.0f} × "
        f"{depth_mm:.0f} mm that the model sees; the PET is 0 there, and nothing was cast."
    ]


def _beyond_view(body: Volume) -> list[str]:
    """What is to be said of a body that the CT does not hold whole, as one zoomed to the lungs."""
    inside = np.asarray(body.voxels) > 0
    x_mm, y_mm, _ = body.spacing_mm
    rows, columns = inside[:, [0, -1], :].sum(axis=(1, 2)), inside[:, :, [0, -1]].sum(axis=(1, 2))
    cut = rows * x_mm + columns * y_mm > LONGEST_CUT_MM
    held = inside.any(axis=(1, 2))
    if not held.any() or cut.sum() <= MOST_CUT * held.sum():
        return []
    share = 100 * cut.sum() / held.sum()
    return [
        f"The CT's field of view cuts the body off in {share:.0f} % of its slices: towards its "
        "edges the PET is made without what lies beyond them."
    ]


def _beyond_lungs(ct: Volume) -> list[str]:
    """What is to be said of slices unlike those that the model learned from."""
    lungs = np.asarray(lung_mask(ct).voxels.any(axis=(1, 2)))
    if not lungs.any():
        return ["No lungs were found in this CT; the model was trained on the chest alone."]
    first, last = np.flatnonzero(lungs)[[0, -1]]
    if not (outside := len(lungs) - (last - first + 1)):
        return []
    return [
        f"{outside} of {count(len(lungs), 'slice')} {'lies' if outside == 1 else 'lie'} above or "
        "below the lungs; the model was trained on the chest alone, do not rely on the PET there."
    ]
