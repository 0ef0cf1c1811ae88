"""Evaluate anyone's predictions: NIfTI or DICOM, with or without a CT."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from petcast.anatomy import regions
from petcast.errors import DataError, GeometryError
from petcast.evaluate.artefacts import Artefacts
from petcast.evaluate.baselines import BLURRED_TRUTH, baselines_of_truth, blurred_truth
from petcast.evaluate.body import body_on_truth
from petcast.evaluate.cases import Case, find_cases, match
from petcast.evaluate.comparison import compare_rows, describe_power
from petcast.evaluate.findings import beaten_by_trivial, describe_flaws, flaw_of
from petcast.evaluate.flat import Declared
from petcast.evaluate.lesions import Uptake, lesions_of
from petcast.evaluate.measure import (
    Masks,
    SliceValues,
    measure_clipping,
    measure_images,
    refuse_not_finite,
    region_masks,
)
from petcast.evaluate.mistakes import Subject, describe_mistakes, examine
from petcast.evaluate.montage import FILES_RULE, FileMontage
from petcast.evaluate.notes import Notes, describe
from petcast.evaluate.perceptual import Perceptual, Weights
from petcast.evaluate.result import Evaluation
from petcast.evaluate.statistics import LEVEL, Scores, few_patients, summarise
from petcast.evaluate.store import require_free, save_evaluation
from petcast.evaluate.worst import WorstSlices
from petcast.grid import part_of
from petcast.metrics.image import MS_SSIM_SIDE
from petcast.progress import track
from petcast.volume import Grid, Unit, Volume

Window = tuple[float, float]
Images = dict[str, np.ndarray]

PREDICTION = "prediction"
"""The name of foreign predictions in the rows."""

AIR_HU = -1024.0
SUSPECT_SUV = 30.0
"""A body's mean SUV is near 1 by its definition; above this, something else than SUV was given."""


@dataclass(frozen=True)
class _Companions:
    """The CT and the lesion mask of a case, where there are any, and whether lesions count."""

    ct: Case | None
    lesions: Case | None
    with_lesions: bool


def evaluate_files(
    truth: Path,
    predictions: Path,
    *,
    ct: Path | None = None,
    lesions: Path | None = None,
    suv_window: tuple[float, float] = (0.0, 10.0),
    seed: int = 0,
    named: bool = False,
    declared: Declared | None = None,
    out: Path | None = None,
    weights: Weights | None = None,
    with_lesions: bool = True,
) -> Evaluation:
    """Measure predicted PET of any origin against the real ones.

    Args:
        truth: The real PET in SUV: a NIfTI file, a folder of them, DICOM, PNG or `.npy`.
        predictions: The predicted PET in SUV, alike. Other grids are brought to the truth's.
        ct: CT in HU, alike: it shows body and lungs. Without it the body is found on the truth.
        lesions: Masks (NIfTI, not 0 inside): a region of their own.
        suv_window: SUV mapped to 0 and 1 for the image metrics.
        seed: Of the bootstrap over cases.
        named: Call cases by their files' names, which may name patients; else by pseudonyms.
        declared: What PNG and `.npy` mean.
        out: A folder for evaluation.json and what goes with it; nothing is written where None.
        weights: Of a network for perceptual metrics; without them there are none.
        with_lesions: Look for lesions and measure their uptake, which takes time of its own.

    Returns:
        The metrics; each case counts as a patient.

    Raises:
        UsageError: Paths or names do not fit.
        DataError: A file cannot be used, and why.
    """
    if out is not None:
        require_free(out)
    measured: list[_Measured] = []
    notes, uptake, artefacts = Notes(), Uptake(suv_window), Artefacts()
    perceptual, worst = Perceptual(weights, suv_window), WorstSlices()
    with ExitStack() as stack:
        find = partial(find_cases, stack=stack, named=named, declared=declared)
        pairs, alone = match(find(truth, "truth"), find(predictions, "prediction"))
        matched = [case for case, _ in pairs]
        cts = _companions(matched, find(ct, "ct") if ct else [])
        masks = _companions(matched, find(lesions, "lesions") if lesions else [])
        montage = FileMontage(list({case.name for case in matched}))
        for real, predicted in track(pairs, "evaluating"):
            companions = _Companions(cts.get(real.keys[0]), masks.get(real.keys[0]), with_lesions)
            notes.note_slices(real.name, real.numbers, predicted.numbers)
            measured.append(
                _measure_case(
                    real,
                    predicted,
                    companions,
                    notes,
                    uptake,
                    artefacts,
                    montage,
                    perceptual,
                    worst,
                )
            )
    if notes.leave_out_rescaled():
        uptake = Uptake(suv_window)
    montage.drop(notes.mistakes)
    perceptual.drop(notes.mistakes)
    worst.drop(notes.mistakes)
    patients = _scores(measured, notes).patients()
    rows = summarise(patients, seed=seed)
    comparisons = compare_rows(patients, PREDICTION, seed=seed)
    findings = [
        *describe_mistakes(notes.mistakes, len(measured)),
        *describe_flaws(notes.flaws, "cases"),
        *beaten_by_trivial(rows, PREDICTION),
        *artefacts.findings(rows, PREDICTION),
        *perceptual.findings(),
        *few_patients(len({case.name for case in matched})),
        *describe_power(comparisons),
        *uptake.findings(),
        *describe(notes, alone),
    ]
    evaluation = Evaluation(
        tuple(rows),
        tuple(patients),
        tuple(findings),
        suv_window,
        _about(seed)
        | {"left_out": notes.left_out(), "worst_slices": worst.rows()}
        | perceptual.about(),
        lesions=tuple(uptake.rows),
        detection=tuple(uptake.detection()),
        agreement=tuple(uptake.agreement()),
        comparisons=tuple(comparisons),
    )
    if out is not None:

        def more(folder: Path) -> None:
            artefacts.save(folder / "spectra.npz")
            worst.save(folder / "worst.npz")

        save_evaluation(out, evaluation, montage, more)
    return evaluation


def _companions(truths: Sequence[Case], others: Sequence[Case]) -> dict[str, Case]:
    """The CT or mask of each case that has one, by the case's strongest key."""
    return {truth.keys[0]: other for truth, other in match(truths, others)[0]} if others else {}


def _measure_case(
    real: Case,
    predicted: Case,
    companions: _Companions,
    notes: Notes,
    uptake: Uptake,
    artefacts: Artefacts,
    montage: FileMontage,
    perceptual: Perceptual,
    worst: WorstSlices,
) -> "_Measured":
    truth = real.load().require(Unit.SUV).canonical()
    ct = _ct_on(companions.ct, truth.grid, real.name)
    with ThreadPoolExecutor(1) as beside:
        coming = beside.submit(_on_grid_of, truth.grid, predicted, real.name, notes)
        masks = _regions(truth, ct, companions.lesions, real.name, notes)
    placed = coming.result()
    _note_units(truth.voxels[masks["body"]], "truth", real.name, notes)
    if min(truth.voxels.shape[1:]) < MS_SSIM_SIDE:
        notes.small.append(real.name)
    if _examine(truth, placed, masks["body"], real.name, notes):
        return _measure_trivial(truth, masks, real.name, uptake.suv_window, perceptual)
    kept = _kept_slices(placed.covered, masks["body"], real.name, notes)
    suv, guess, covered = truth.voxels[kept], placed.suv[kept], placed.covered[kept]
    # What the prediction does not cover is left out of every region; whole slices count it as 0.
    inside = {name: mask[kept] & covered for name, mask in masks.items()}
    inside = {name: mask for name, mask in inside.items() if name == "body" or mask.any()}
    _note_units(guess[inside["body"]], "prediction", real.name, notes)
    place = part_of(truth.grid, kept)
    images = {PREDICTION: guess} | _references(suv, inside["body"], place, real.name)
    values = _measure_images(images, suv, inside, uptake.suv_window, place)
    values.extend(perceptual.measure(images, suv, real.name).items())
    values.append((PREDICTION, measure_clipping(suv, inside, uptake.suv_window)))
    # A mask that is there and empty means that there are no lesions.
    mask = masks["lesions"][kept] & covered if "lesions" in masks else None
    lesions = None
    if companions.with_lesions:
        lesions = lesions_of(suv, inside["body"], place, mask=mask)
    hu = ct.voxels[kept] if ct else None
    looked_at = {name: images[name] for name in (PREDICTION, BLURRED_TRUTH)}
    with ThreadPoolExecutor(1) as beside:
        counted = beside.submit(
            uptake.add, real.name, suv, images, inside, lesions, place.spacing_mm
        )
        seen = artefacts.measure(
            looked_at, suv, inside["body"], place.spacing_mm[::-1], real.name,
            resampled=real.name in notes.resampled,
        )  # fmt: skip
    counted.result()
    values.extend(seen.items())
    montage.add(real.name, hu, suv, guess, inside["body"])
    worst.add(real.name, hu, suv, guess[None], inside["body"])
    return _Measured(real.name, values)


def _measure_trivial(
    truth: Volume,
    masks: dict[str, Bool[np.ndarray, "z y x"]],
    name: str,
    window: Window,
    perceptual: Perceptual,
) -> "_Measured":
    """A mistaken case: only what any prediction of it would have to beat."""
    suv, inside = truth.voxels, {n: mask for n, mask in masks.items() if n == "body" or mask.any()}
    images = _references(suv, inside["body"], truth.grid, name)
    values = _measure_images(images, suv, inside, window, truth.grid)
    return _Measured(name, [*values, *perceptual.measure(images, suv, name).items()])


def _references(suv: np.ndarray, body: Bool[np.ndarray, "z y x"], grid: Grid, name: str) -> Images:
    """The images beside the prediction: trivial ones, and the truth without its detail."""
    trivial = baselines_of_truth(suv, body, f"case {name}").images(body)
    return trivial | {BLURRED_TRUTH: blurred_truth(suv, grid.spacing_mm[::-1])}


def _measure_images(
    images: Images, suv: np.ndarray, masks: Masks, window: Window, grid: Grid
) -> list[tuple[str, SliceValues]]:
    spacing = grid.spacing_mm[::-1]
    return list(measure_images(images, suv, masks, window, spacing_mm=spacing).items())


def _examine(
    truth: Volume, placed: "_Placed", body: Bool[np.ndarray, "z y x"], name: str, notes: Notes
) -> bool:
    """Note flaws and mistakes; say whether there is a mistake that keeps the case out."""
    inside = body & placed.covered
    flaw = flaw_of(placed.suv, inside) if inside.any() else None
    notes.flaws.append((name, flaw))
    if flaw is not None:
        return False
    facts = examine(Subject(truth.voxels, placed.suv, body, placed.covered, placed.stored))
    if facts.mistakes:
        notes.mistakes[name] = facts.mistakes
    else:
        notes.facts[name] = facts
    return bool(facts.mistakes)


def _note_units(inside: np.ndarray, what: str, name: str, notes: Notes) -> None:
    mean = float(inside.mean(dtype=np.float64)) if inside.size else 0.0
    if abs(mean) > SUSPECT_SUV:
        notes.not_suv.append(f"{what} of {name}: {mean:.0f} on average")


def _scores(measured: Sequence["_Measured"], notes: Notes) -> Scores:
    """The values of cases without mistakes; where there are none, the trivial rows of all."""
    sound = [case for case in measured if case.name not in notes.mistakes]
    scores = Scores()
    for case in sound or measured:
        for name, values in case.values:
            if sound or name != PREDICTION:
                scores.add(name, case.name, values)
    return scores


@dataclass(frozen=True)
class _Measured:
    """A case's values, by the name of the row."""

    name: str
    values: list[tuple[str, SliceValues]]


@dataclass(frozen=True)
class _Placed:
    """A prediction on the truth's grid, which voxels it covers, and as its file has it."""

    suv: np.ndarray
    covered: Bool[np.ndarray, "z y x"]
    stored: np.ndarray


def _on_grid_of(grid: Grid, predicted: Case, name: str, notes: Notes) -> _Placed:
    volume = predicted.load().require(Unit.SUV)
    refuse_not_finite(volume.voxels, f"case {name}")
    if not predicted.placed:
        return _unplaced(grid, volume.voxels, name)
    volume = volume.canonical()
    if volume.grid.matches(grid):
        return _Placed(volume.voxels, np.ones(grid.shape, dtype=bool), volume.voxels)
    notes.resampled.append(name)
    # Not smoothed first: PET is smooth at the scale of its voxels, and what is not (noise, a
    # lattice) shall be measured as it is, not blurred away.
    suv = volume.resampled(grid, outside=0.0, antialias=False).voxels
    ones = volume.like(np.ones(volume.voxels.shape, np.uint8), Unit.LABEL)
    covered = ones.resampled(grid, outside=0, interpolation="nearest").voxels > 0
    return _Placed(suv, covered, volume.voxels)


def _unplaced(grid: Grid, stored: np.ndarray, name: str) -> _Placed:
    """What has no place of its own takes the truth's, voxel by voxel."""
    if stored.shape == grid.shape:
        return _Placed(stored, np.ones(grid.shape, dtype=bool), stored)
    if sorted(stored.shape) != sorted(grid.shape):
        raise _other_shape(grid, stored, name)
    nowhere = np.zeros(grid.shape, np.float32)  # exchanged axes: `examine` says so
    return _Placed(nowhere, np.zeros(grid.shape, dtype=bool), stored)


def _other_shape(grid: Grid, stored: np.ndarray, name: str) -> GeometryError:
    side_by_side = stored.shape[-1] == 2 * grid.shape[-1] or 2 * stored.shape[-1] == grid.shape[-1]
    hint = "; images side by side have to be cut apart" if side_by_side else ""
    return GeometryError(
        f"case {name}: {stored.shape} voxels along (z, y, x), the real PET has {grid.shape}; PNG "
        f"and .npy have no position, so both need the same shape{hint}"
    )


def _load_on(case: Case, grid: Grid, name: str) -> Volume:
    """A companion; where it has no place, at the truth's."""
    volume = case.load()
    if case.placed:
        return volume
    if volume.voxels.shape != grid.shape:
        raise _other_shape(grid, volume.voxels, name)
    return Volume(volume.voxels, grid.affine, volume.unit)


def _regions(
    truth: Volume, ct: Volume | None, lesions: Case | None, name: str, notes: Notes
) -> dict[str, Bool[np.ndarray, "z y x"]]:
    masks = {}
    if ct is None:
        notes.body_from_truth.append(name)
        masks["body"] = body_on_truth(truth.voxels)
    else:
        masks |= region_masks(regions(ct).voxels, ct.voxels)
    if lesions is not None:
        volume = _load_on(lesions, truth.grid, name)
        on_grid = volume.resampled(truth.grid, outside=0, interpolation="nearest")
        masks["lesions"] = on_grid.voxels != 0
    return masks


def _ct_on(case: Case | None, grid: Grid, name: str) -> Volume | None:
    if case is None:
        return None
    ct = _load_on(case, grid, name).require(Unit.HU)
    return ct if ct.grid.matches(grid) else ct.resampled(grid, outside=AIR_HU)


def _kept_slices(
    covered: Bool[np.ndarray, "z y x"], body: Bool[np.ndarray, "z y x"], name: str, notes: Notes
) -> slice:
    """The slices that the prediction covers: at least half of their body, where they have one."""
    area = body.sum(axis=(1, 2))
    share = (body & covered).sum(axis=(1, 2)) / np.maximum(area, 1)
    places = np.flatnonzero(np.where(area > 0, share >= 0.5, covered.any(axis=(1, 2))))
    if not places.size:
        raise DataError(
            f"case {name}: the prediction covers no slice of the truth; are both of the same scan, "
            "and is the position in both files?"
        )
    kept = slice(int(places[0]), int(places[-1]) + 1)
    left_out = len(area) - (kept.stop - kept.start)
    cut = int((body[kept] & ~covered[kept]).sum()) / max(int(area[kept].sum()), 1)
    if left_out or cut > 0.001:
        notes.uncovered.append(
            f"{name}: {left_out} of {len(area)} slices left out, {cut:.1%} of the body in the rest"
        )
    return kept


def _about(seed: int) -> dict[str, Any]:
    return {
        "model": PREDICTION,
        "montage": FILES_RULE,
        "interval": {"level": LEVEL, "kind": "expanded percentile bootstrap", "seed": seed},
    }
