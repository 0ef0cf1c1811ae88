"""A CT and a trained model in, a synthetic PET in SUV out, on the CT's own geometry."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int16

from petcast.align import ct_on_grid
from petcast.anatomy import lung_mask
from petcast.checkpoint import Card, Which, load_synthesizer
from petcast.dataset import ct_slices
from petcast.device import choose_device
from petcast.dicom.read import load_ct
from petcast.errors import UsageError
from petcast.grid import grid_for_ct, standing
from petcast.models import Synthesizer
from petcast.recipe import PreparationRecipe
from petcast.volume import Unit, Volume

NIFTI_SUFFIXES = (".nii", ".nii.gz")


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


@torch.inference_mode()
def predict_slices(
    synthesizer: Synthesizer,
    ct_hu: Int16[np.ndarray, "z y x"] | Float[np.ndarray, "z y x"],
    *,
    device: torch.device | str = "cpu",
    batch_size: int = 16,
    last_only: bool = False,
) -> Float[np.ndarray, "stages z y x"]:
    """Cast slices that already lie on the model grid.

    Args:
        synthesizer: A trained model.
        ct_hu: The CT in HU.
        device: Where to compute.
        batch_size: Slices at a time.
        last_only: Keep only the last stage's output.

    Returns:
        float32 SUV of every stage, or of the last one alone.
    """
    synthesizer = synthesizer.to(device).eval()
    batches = []
    for start in range(0, len(ct_hu), batch_size):
        places = range(start, min(start + batch_size, len(ct_hu)))
        hu = np.stack([ct_slices(ct_hu, z, synthesizer.channels) for z in places])
        stages = synthesizer(torch.from_numpy(hu.astype(np.float32)).to(device))
        kept = stages[-1:] if last_only else stages
        batches.append(torch.stack(kept).cpu().numpy())
    return np.concatenate(batches, axis=1)


def predict_volume(
    synthesizer: Synthesizer, ct: Volume, card: Card, *, device: torch.device | str = "cpu"
) -> Prediction:
    """Cast a whole CT.

    Args:
        synthesizer: A trained model.
        ct: In HU, on any axial grid.
        card: The model's card; it names the model grid.
        device: Where to compute.

    Returns:
        The PET on the CT's own grid, with its warnings.

    Raises:
        UnitError: `ct` is not in HU.
        RefusedError: NOT-AXIAL, where it is tilted or oblique.
    """
    upright = standing(ct.require(Unit.HU), "CT")
    recipe = PreparationRecipe(size=int(card.grid["size"]), spacing_mm=card.grid["spacing_mm"])
    on_grid = ct_on_grid(upright, grid_for_ct(upright, recipe))
    suv = predict_slices(synthesizer, on_grid.voxels, device=device, last_only=True)[0]
    pet = on_grid.like(suv, Unit.SUV).resampled(ct.grid, outside=0.0, antialias=False)
    return Prediction(pet, tuple(_warnings(on_grid)))


def predict(
    ct: Path, run: Path, out: Path, *, which: Which = "best", device: str = "auto"
) -> Prediction:
    """Cast a CT on disk and write the PET as NIfTI.

    Args:
        ct: A DICOM folder, a zip of one, or a NIfTI file in HU.
        run: A training's folder.
        out: A `.nii` or `.nii.gz` file.
        which: The run's chosen epoch, or its last.
        device: "auto" takes a GPU where there is one.

    Returns:
        What was written.

    Raises:
        UsageError: `out` is no NIfTI name, or `run` no run.
        DataError: The CT cannot be used, and why.
    """
    if not out.name.endswith(NIFTI_SUFFIXES):
        raise UsageError(f"--out {out}: give a file that ends in .nii.gz or .nii")
    synthesizer, card = load_synthesizer(run, which)
    volume = Volume.load(ct, Unit.HU) if ct.name.endswith(NIFTI_SUFFIXES) else load_ct(ct)
    prediction = predict_volume(synthesizer, volume, card, device=choose_device(device))
    prediction.pet.save(out)
    return prediction


def _warnings(ct: Volume) -> list[str]:
    """What the model cannot know about this CT."""
    lungs = np.asarray(lung_mask(ct).voxels.any(axis=(1, 2)))
    if not lungs.any():
        return ["No lungs were found in this CT; the model was trained on the chest alone."]
    first, last = np.flatnonzero(lungs)[[0, -1]]
    outside = len(lungs) - (last - first + 1)
    if not outside:
        return []
    return [
        f"{outside} of {len(lungs)} slices lie above or below the lungs; the model was trained on "
        "the chest alone, do not rely on the PET there."
    ]
