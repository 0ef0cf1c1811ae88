"""Calibrate a run: on validation patients, or, where there are none, with a warning."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from petcast.checkpoint import Card, load_card, load_synthesizer, require_run
from petcast.claim import trained_on
from petcast.dataset import require_finite
from petcast.device import choose_device
from petcast.errors import DataError, GeometryError, UsageError
from petcast.models import Synthesizer
from petcast.pairs import PairedStudy, Pairs
from petcast.predict import finite
from petcast.progress import track
from petcast.uncertainty.calibrate import Voxels, calibrate, coverage
from petcast.uncertainty.held import HeldVoxels
from petcast.uncertainty.spread import WAYS, Method, Way, cast_with_spread, require_possible
from petcast.uncertainty.store import Calibration, member_of, save_calibration, weights_of
from petcast.words import count

BEST: Way = "uptake"
BEST_WITH_QUANTILES: Way = "quantiles"
"""The ways that are gone where none is named: benchmarks/uncertainty.py measures them."""

ENOUGH_PATIENTS = 9
"""With fewer, no finite factor would hold 90 % of the next patient on average, whoever it is."""


def method_of(way: str | None, run: Path, *, passes: int = 8, seed: int = 0) -> Method:
    """Choose how a run's spread is made.

    Args:
        way: One of `WAYS`; where None, the one that was measured to be best for such a model
            (docs/decisions/0013).
        run: A training's folder.
        passes: Of dropout.
        seed: Of dropout.

    Returns:
        The method.

    Raises:
        UsageError: There is no such way, or `run` is no run.
        FormatError: The run has no card, or a damaged one.
    """
    if way is None:
        require_run(run)
        card = load_card(run / "best")
        way = BEST_WITH_QUANTILES if card.recipe.model.output == "quantiles" else BEST
    known = next((one for one in WAYS if one == way), None)
    if known is None:
        raise UsageError(f"--way {way}: there are {', '.join(WAYS)}")
    return Method(known, passes, seed)


def calibrate_run(
    run: Path,
    data: Path,
    method: Method,
    *,
    others: Sequence[Path] = (),
    device: str = "auto",
) -> Calibration:
    """Find what makes intervals of a run's PET, and write RUN/uncertainty.json.

    Args:
        run: A training's folder; its chosen epoch counts.
        data: Pairs with patients that it was not trained on.
        method: How the spread is made.
        others: Of an ensemble, the other runs.
        device: "auto" takes a GPU where there is one.

    Returns:
        What was written.

    Raises:
        UsageError: A folder is not what it should be, or the model cannot go this way.
        DataError: The pairs hold nobody to calibrate on.
        GeometryError: A model was trained on another grid.
    """
    pairs = Pairs.open(data)
    loaded = [load_synthesizer(folder) for folder in (run, *others)]
    card = loaded[0][1]
    for _, one in loaded:
        require_grid(pairs, one)
    models = [synthesizer for synthesizer, _ in loaded]
    require_possible(models, method)
    _require_others((run, *others), [one for _, one in loaded])
    part, studies = _to_calibrate_on(pairs)
    patients = gather(models, studies, method, choose_device(device), folder=run)
    held = patients.values()
    scale = calibrate(held)
    widths = [float(scale.half_width(voxels.spread).mean()) for voxels in held]
    calibration = Calibration(
        method=method,
        scale=scale,
        part=part,
        patients=len(held),
        coverage=tuple(coverage(voxels, scale) for voxels in held),
        half_width_suv=float(np.mean(widths)),
        sha256=weights_of(card),
        data_hash=pairs.index["hash"],
        members=tuple(member_of(run, other) for other in others),
        warnings=tuple(_warnings(part, [s for s in studies if s.patient in patients], run, others)),
    )
    save_calibration(run, calibration)
    return calibration


def gather(
    models: Sequence[Synthesizer],
    studies: Sequence[PairedStudy],
    method: Method,
    device: torch.device,
    *,
    folder: Path,
) -> HeldVoxels:
    """Take error and spread of the body voxels of each patient.

    Args:
        models: The model, and of an ensemble the others.
        studies: Whose voxels count.
        method: How the spread is made.
        device: Where to predict.
        folder: On whose disk the voxels are held, 8 bytes each.

    Returns:
        Voxels by patient.

    Raises:
        DataError: No voxel lies inside a body.
        FormatError: A stored PET holds NaN or infinite values.
        RefusedError: The model's own PET does.
    """
    held = HeldVoxels(folder)
    for study in track(studies, f"calibrating by {method.way}"):
        require_finite([study])
        pet, spread = map(finite, cast_with_spread(models, study.ct, method, device=device))
        body = np.asarray(study.regions) > 0
        held.add(study.patient, Voxels.inside(pet, np.asarray(study.pet), spread, body))
    if not held:
        raise DataError("no voxel of these studies lies inside a body; see regions.npy")
    return held


def require_grid(pairs: Pairs, card: Card) -> None:
    """Refuse pairs on another grid than the model's.

    Args:
        pairs: Prepared.
        card: The model's.

    Raises:
        GeometryError: They are.
    """
    here = {key: pairs.index["preparation"][key] for key in ("size", "spacing_mm")}
    if here != {key: card.grid[key] for key in here}:
        raise GeometryError(
            f"the model was trained on a grid of {card.grid}, these pairs have {here}; prepare "
            "them again with the run's [preparation]"
        )


def _require_others(folders: Sequence[Path], cards: Sequence[Card]) -> None:
    """Refuse an ensemble with the same weights twice: their spread would be too small, or 0."""
    first: dict[str, Path] = {}
    for folder, card in zip(folders, cards, strict=True):
        if twin := first.get(weights_of(card)):
            raise UsageError(
                f"--model {folder}: its weights are the same as those of {twin}, and disagree "
                "nowhere; give runs of other seeds"
            )
        first[weights_of(card)] = folder


def _to_calibrate_on(pairs: Pairs) -> tuple[str, list[PairedStudy]]:
    """Validation patients; training ones where there are none."""
    for part in ("validation", "train"):
        studies = pairs.studies(part)
        if studies:
            return part, studies
    raise DataError(
        "the pairs hold neither validation nor training patients to calibrate on; test patients "
        "are for measuring the coverage"
    )


def _warnings(
    part: str, studies: Sequence[PairedStudy], run: Path, others: Sequence[Path]
) -> list[str]:
    warnings = []
    learned = [trained_on(folder) for folder in (run, *others)]
    patients = {study.patient for study in studies}
    known = {study.patient for study in studies if any(one.knows(study) for one in learned)}
    if known and known < patients:
        warnings.append(
            f"Calibrated on {count(len(patients), 'patient')}, {len(known)} of them trained on: "
            "errors are smaller there, so the intervals are too narrow for anyone else. Calibrate "
            "on others."
        )
    # Who trains in pairs that this run never saw need not have trained it.
    elif known or (part == "train" and not any(one.patients for one in learned)):
        warnings.append(
            "Calibrated on patients that the model was trained on, since there are no others: "
            "errors are smaller there, so the intervals are too narrow for anyone else. Prepare "
            "with validation patients (preparation.validation)."
        )
    if len(patients) < ENOUGH_PATIENTS:
        warnings.append(
            f"Calibrated on {count(len(patients), 'patient')}: 90 % is a rough estimate of what "
            f"the next one's intervals hold; calibrate on {ENOUGH_PATIENTS} and more."
        )
    return warnings
