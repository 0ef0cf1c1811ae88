"""A CT and a trained model in, a synthetic PET in SUV out, on the CT's own geometry.

It is written as NIfTI, or as the DICOM that the CT came as: a series in the CT's own study.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int16

from petcast.align import ct_on_grid
from petcast.anatomy import lung_mask
from petcast.checkpoint import MODEL_FILE, Card, Which, load_synthesizer
from petcast.dataset import ct_slices
from petcast.device import casting_within_memory, choose_device
from petcast.dicom.derived import SYNTHETIC_PET, Casting, Kind
from petcast.dicom.read import load_ct_and_source
from petcast.dicom.source import Source, choice_of
from petcast.dicom.write import require_room, write_series
from petcast.errors import UsageError
from petcast.grid import grid_for_ct, standing
from petcast.models import Synthesizer
from petcast.nifti import case
from petcast.plausible import require_ct
from petcast.progress import track
from petcast.recipe import PreparationRecipe
from petcast.volume import Unit, Volume
from petcast.words import count

NIFTI_SUFFIXES = (".nii", ".nii.gz")
BATCH_SIZE = 16


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
    batch_size: int = BATCH_SIZE,
    last_only: bool = False,
    stages: int | None = None,
) -> Float[np.ndarray, "stages z y x"]:
    """Cast slices that already lie on the model grid.

    Args:
        synthesizer: A trained model.
        ct_hu: The CT in HU.
        device: Where to compute.
        batch_size: Slices at a time.
        last_only: Keep only the last stage's output.
        stages: Run only so many stages, the first ones; the K-th is then the last.

    Returns:
        float32 SUV of every stage, or of the last one alone.

    Raises:
        UsageError: The model has fewer stages.
    """
    batches = []
    with casting_within_memory(device), first_stages(synthesizer, stages):
        synthesizer = synthesizer.to(device).eval()
        for hu in hu_batches(ct_hu, synthesizer.slices, batch_size):
            outputs = synthesizer(hu.to(device))
            kept = outputs[-1:] if last_only else outputs
            batches.append(torch.stack(kept).cpu().numpy())
    return np.concatenate(batches, axis=1)


def hu_batches(
    ct_hu: Int16[np.ndarray, "z y x"] | Float[np.ndarray, "z y x"],
    channels: int,
    batch_size: int = BATCH_SIZE,
) -> Iterator[Float[torch.Tensor, "b c y x"]]:
    """Divide a CT into batches, as a synthesizer takes them.

    Args:
        ct_hu: The CT in HU.
        channels: Of the synthesizer.
        batch_size: Slices at a time.

    Yields:
        Slices in HU, each with its neighbours where it has three channels.
    """
    for start in track(range(0, len(ct_hu), batch_size), "Casting"):
        places = range(start, min(start + batch_size, len(ct_hu)))
        hu = np.stack([ct_slices(ct_hu, z, channels) for z in places])
        yield torch.from_numpy(hu.astype(np.float32))


@contextmanager
def first_stages(synthesizer: Synthesizer, stages: int | None) -> Iterator[None]:
    """Run only the first stages meanwhile: the later ones cost nothing.

    Args:
        synthesizer: A trained model.
        stages: How many; all of them where None.

    Raises:
        UsageError: The model has fewer.
    """
    generator = synthesizer.generator
    has = len(generator.chain)
    if stages is not None and not 1 <= stages <= has:
        offered = "1 stage; give 1" if has == 1 else f"{has} stages; give 1 to {has}"
        raise UsageError(f"--stages {stages}: {synthesizer.recipe.name} has {offered}")
    before, generator.limit = generator.limit, stages
    try:
        yield
    finally:
        generator.limit = before


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
        RefusedError: NOT-AXIAL, where it is tilted or oblique.
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
        RefusedError: NOT-AXIAL, where it is tilted or oblique.
    """
    upright = standing(ct.require(Unit.HU), "CT")
    recipe = PreparationRecipe(size=int(card.grid["size"]), spacing_mm=card.grid["spacing_mm"])
    on_grid = ct_on_grid(upright, grid_for_ct(upright, recipe))
    images = [
        on_grid.like(suv, Unit.SUV).resampled(ct.grid, outside=0.0, antialias=False)
        for suv in cast(on_grid.voxels)
    ]
    return images, _warnings(on_grid)


def load_any_ct(ct: Path) -> tuple[Volume, Source | None]:
    """Read a CT.

    Args:
        ct: A DICOM folder, a zip of one, or a NIfTI file in HU.

    Returns:
        The CT in HU, and of DICOM what an image derived from it needs.

    Raises:
        DataError: It cannot be used, and why; of NIfTI, what `prepare` refuses.
    """
    if not is_nifti(ct):
        volume, source = load_ct_and_source(ct)
        require_ct(volume)
        return volume, source
    return case.load_ct(ct), None


def is_nifti(path: Path) -> bool:
    """Say whether a name is that of a NIfTI file.

    Args:
        path: Any.

    Returns:
        True where it ends in `.nii` or `.nii.gz`, in large letters, too; anything else names a
        folder of DICOM.
    """
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def require_output(option: str, out: Path, ct: Path) -> None:
    """Refuse what cannot be written, before a large CT is read.

    Args:
        option: That names the output.
        out: A NIfTI file, or a folder for DICOM.
        ct: Where the CT comes from.

    Raises:
        UsageError: A file or a folder stands in the way, or holds something else, or the CT is no
            DICOM.
    """
    if not is_nifti(out):
        require_room(out, option)
        if is_nifti(ct):
            raise UsageError(
                f"{option} {out} is a folder, and DICOM is written only of a CT that came as "
                f"DICOM: {ct} is NIfTI, which names neither patient nor study. Give a .nii.gz file"
            )
        return
    if not out.name.endswith(NIFTI_SUFFIXES):
        raise UsageError(f"{option} {out}: write its ending in small letters, .nii.gz or .nii")
    blocking = [out] if out.is_dir() else [one for one in out.parents if one.is_file()]
    if blocking:  # said before the long work
        raise UsageError(f"{option} {out}: {blocking[0]} is in the way; give another place")


def require_apart(ct: Path, *outputs: Path) -> None:
    """Refuse to write over the CT, or one output over another or into it.

    Args:
        ct: What is read.
        outputs: What will be written.

    Raises:
        UsageError: Two of them are one file, or one is the folder of another.
    """
    taken = {ct.resolve()}
    for out in outputs:
        if out.resolve() in taken:
            raise UsageError(
                f"{out} is the CT, or is named twice; give each file a name of its own"
            )
        taken.add(out.resolve())
    for out in outputs:  # a series' folder is replaced as a whole, and holds nothing else
        if any(other.resolve() in out.resolve().parents for other in outputs):
            raise UsageError(f"{out} lies inside another output; give each a place of its own")


def write_volume(out: Path, volume: Volume, source: Source | None, casting: Casting) -> None:
    """Write what was cast, as NIfTI or as a DICOM series.

    Args:
        out: A NIfTI file, or a folder for DICOM.
        volume: In SUV, on the CT's grid.
        source: The CT, where it came as DICOM.
        casting: What made the volume.
    """
    if source is None or is_nifti(out):
        volume.save(out)
    else:
        write_series(out, volume, source, casting)


def casting_of(
    card: Card,
    warnings: Sequence[str],
    *,
    stage: int,
    stages: int,
    kind: Kind = SYNTHETIC_PET,
    calibration: str = "",
) -> Casting:
    """Say in the words of a DICOM header what made a volume.

    Args:
        card: The model's.
        warnings: What a reader must know.
        stage: Whose output it is.
        stages: How many the model has.
        kind: What is shown.
        calibration: What made a half-width.

    Returns:
        The casting.
    """
    return Casting(
        card.recipe.model.name,
        (card.sha256 or {}).get(MODEL_FILE, "unknown"),
        stage,
        stages,
        card.recipe.model.suv_window,
        tuple(warnings),
        kind,
        calibration,
    )


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
    prediction = replace(prediction, warnings=(*choice_of(source), *prediction.warnings))
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


def _warnings(ct: Volume) -> list[str]:
    """What the model cannot know about this CT."""
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
