"""A CT in, a synthetic PET and the half-width of its interval out, on the CT's own geometry."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from petcast.checkpoint import Card, Which, load_synthesizer
from petcast.device import choose_device
from petcast.dicom.derived import HALF_WIDTH
from petcast.dicom.source import remarks_of
from petcast.errors import UsageError
from petcast.models import Synthesizer
from petcast.predict import (
    Prediction,
    cast_on_grid,
    casting_of,
    load_any_ct,
    predict,
    require_apart,
    require_output,
    write_volume,
)
from petcast.uncertainty.spread import cast_with_spread
from petcast.uncertainty.store import Calibration, require_calibration, runs_of
from petcast.volume import Unit, Volume


@dataclass(frozen=True)
class UncertainPrediction:
    """A synthetic PET with its intervals.

    Attributes:
        prediction: The PET and its warnings.
        half_width: In SUV, on the geometry of the PET: the interval is PET ± half-width.
        calibration: What made them.
    """

    prediction: Prediction
    half_width: Volume
    calibration: Calibration

    def to_json(self) -> dict[str, Any]:
        """A summary without voxels.

        Returns:
            That of the PET, and `uncertainty`: way, level, largest half-width, calibration.
        """
        made = self.calibration
        about = {
            "way": made.method.way,
            "level": made.level,
            "half_width_suv_max": float(self.half_width.voxels.max()),
            "calibrated_on": {"part": made.part, "patients": made.patients},
        }
        return self.prediction.to_json() | {"uncertainty": about}


def predict_either(
    ct: Path,
    run: Path,
    out: Path,
    half_width_out: Path | None = None,
    *,
    last: bool = False,
    device: str = "auto",
    stages: int | None = None,
) -> Prediction | UncertainPrediction:
    """Cast a CT on disk, with the half-width of its interval where that is wanted.

    Args:
        ct: A DICOM folder, a zip of one, or a NIfTI file in HU.
        run: A training's folder.
        out: A `.nii` or `.nii.gz` file for the PET, or a folder for DICOM.
        half_width_out: Another one for the half-width, or None.
        last: The run's last epoch, not its best.
        device: "auto" takes a GPU where there is one.
        stages: Run only so many stages, the first ones.

    Returns:
        What was written.

    Raises:
        UsageError: What is wanted does not go together, or is not there.
        DataError: The CT cannot be used, and why.
    """
    which: Which = "last" if last else "best"
    if half_width_out is None:
        return predict(ct, run, out, which=which, device=device, stages=stages)
    if stages is not None:
        raise UsageError(
            "--uncertainty is calibrated for the last stage's PET; leave --stages or it out"
        )
    return predict_with_uncertainty(ct, run, out, half_width_out, which=which, device=device)


def predict_with_uncertainty(
    ct: Path,
    run: Path,
    out: Path,
    half_width_out: Path,
    *,
    which: Which = "best",
    device: str = "auto",
) -> UncertainPrediction:
    """Cast a CT on disk; write the PET and the half-width of its 90 % interval.

    Args:
        ct: A DICOM folder, a zip of one, or a NIfTI file in HU.
        run: A training's folder with an uncertainty.json.
        out: A `.nii` or `.nii.gz` file for the PET, or a folder for DICOM.
        half_width_out: Another one for the half-width.
        which: The run's chosen epoch, or its last.
        device: "auto" takes a GPU where there is one.

    Returns:
        What was written.

    Raises:
        UsageError: A place cannot be written or stands for two, `run` is no run, or it was not
            calibrated.
        DataError: The CT cannot be used, and why.
    """
    require_output("--out", out, ct)
    require_output("--uncertainty", half_width_out, ct)
    require_apart(ct, out, half_width_out)
    synthesizer, card = load_synthesizer(run, which)
    calibration = require_calibration(run, card)
    others = [load_synthesizer(folder)[0] for folder in runs_of(run, calibration.members)]
    volume, source = load_any_ct(ct)
    where = choose_device(device)
    cast = cast_volume([synthesizer, *others], volume, card, calibration, device=where)
    told = (*remarks_of(source), *cast.prediction.warnings)
    cast = replace(cast, prediction=replace(cast.prediction, warnings=told))
    last = len(synthesizer.generator.chain)
    of_pet = casting_of(card, told, stage=last, stages=last)
    made = (
        f"It holds {100 * calibration.level:.0f} % of the body's voxels of patients like those of "
        f"its calibration (by {calibration.method.way})."
    )
    of_half = casting_of(card, told, stage=last, stages=last, kind=HALF_WIDTH, calibration=made)
    write_volume(out, cast.prediction.pet, source, of_pet)
    write_volume(half_width_out, cast.half_width, source, of_half)
    return cast


def cast_volume(
    models: list[Synthesizer],
    ct: Volume,
    card: Card,
    calibration: Calibration,
    *,
    device: torch.device | str = "cpu",
) -> UncertainPrediction:
    """Cast a whole CT, with intervals.

    Args:
        models: The model, and of an ensemble the others.
        ct: In HU, on any axial grid.
        card: The model's card; it names the model grid.
        calibration: Of the model.
        device: Where to compute.

    Returns:
        The PET on the CT's own grid, and its half-width there: interpolated, so between two slices
        of the model it is their mixture.
    """

    def cast(hu: NDArray[Any]) -> list[NDArray[np.floating]]:
        pet, spread = cast_with_spread(models, hu, calibration.method, device=device)
        return [pet, calibration.scale.half_width(spread)]

    (pet, half_width), warnings = cast_on_grid(ct, card, cast)
    told = (*warnings, _meaning(calibration), *calibration.warnings)
    half_width = half_width.like(half_width.voxels, Unit.HALF_WIDTH)
    return UncertainPrediction(Prediction(pet, told), half_width, calibration)


def _meaning(calibration: Calibration) -> str:
    """What an interval says, and what not."""
    return (
        f"PET ± half-width holds the real SUV of {100 * calibration.level:.0f} % of the body's "
        "voxels, on average over patients like those of the calibration; in air, outside the "
        "chest, in lesions without a sign on the CT and on other scanners it promises nothing."
    )
