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
from petcast.errors import GeometryError
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
    region_masks,
)
from petcast.evaluate.mistakes import Subject, describe_mistakes, examine, misplaced
from petcast.evaluate.montage import FILES_RULE, FileMontage
from petcast.evaluate.notes import Notes, describe
from petcast.evaluate.perceptual import Perceptual, Weights
from petcast.evaluate.placed import (
    Placed,
    covered_slices,
    place_ct,
    place_lesions,
    place_prediction,
)
from petcast.evaluate.result import Evaluation
from petcast.evaluate.statistics import LEVEL, Scores, few_patients, summarise
from petcast.evaluate.store import alone_for, require_free, save_evaluation
from petcast.evaluate.worst import WorstSlices
from petcast.grid import part_of
from petcast.metrics.image import MS_SSIM_SIDE
from petcast.metrics.similarity import require_room
from petcast.progress import track
from petcast.volume import Grid, Unit, Volume

Window = tuple[float, float]
Images = dict[str, np.ndarray]

PREDICTION = "prediction"
"""The name of foreign predictions in the rows."""

SUSPECT_SUV = 10.0
"""A body's mean SUV is near 1 by its definition; above this, something else than SUV was given."""

UNIT_RANGE = 1.001
"""Blood, liver and any organ that shows a tracer exceed SUV 1; a real PET that does not was scaled
to 0…1, and its prediction with it."""


@dataclass(frozen=True)
class _Companions:
    """The CT and the lesion mask of a case, where there are any, and whether lesions count."""

    ct: Case | None
    lesions: Case | None
    with_lesions: bool


@dataclass
class _Gathered:
    """What cases add to while they pass by."""

    notes: Notes
    uptake: Uptake
    artefacts: Artefacts
    perceptual: Perceptual
    worst: WorstSlices
    montage: FileMontage

    def leave_out_mistaken(self) -> None:
        """Forget the pictures and values of cases whose mistakes were found."""
        if self.notes.leave_out_rescaled():
            self.uptake = Uptake(self.uptake.suv_window)
        for one in (self.montage, self.perceptual, self.worst):
            one.drop(self.notes.mistakes)


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
        UsageError: Paths or names do not fit, or another process evaluates into `out`.
        DataError: A file cannot be used, and why.
    """
    perceptual = Perceptual(weights, suv_window)  # first of all, as it refuses another file
    measured: list[_Measured] = []
    notes = Notes()
    with ExitStack() as stack:
        if out is not None:
            require_free(out)
            stack.enter_context(alone_for(out))
        find = partial(find_cases, stack=stack, named=named, declared=declared)
        pairs, alone = match(find(truth, "truth"), find(predictions, "prediction"))
        matched = [case for case, _ in pairs]
        cts, unused_cts = _companions(matched, find(ct, "ct") if ct else [], "CT")
        masks, unused = _companions(matched, find(lesions, "lesions") if lesions else [], "mask")
        gathered = _Gathered(
            notes, Uptake(suv_window), Artefacts(), perceptual, WorstSlices(),
            FileMontage(list({case.name for case in matched})),
        )  # fmt: skip
        for real, predicted in track(pairs, "evaluating"):
            companions = _Companions(cts.get(real.keys[0]), masks.get(real.keys[0]), with_lesions)
            notes.note_slices(real.name, real.numbers, predicted.numbers)
            measured.append(_measure_case(real, predicted, companions, gathered))
        evaluation = _concluded(measured, gathered, [*alone, *unused_cts, *unused], seed)
        if out is not None:
            _save(out, evaluation, gathered)
    return evaluation


def _save(out: Path, evaluation: Evaluation, gathered: _Gathered) -> None:
    def more(folder: Path) -> None:
        gathered.artefacts.save(folder / "spectra.npz")
        gathered.worst.save(folder / "worst.npz")

    save_evaluation(out, evaluation, gathered.montage, more)


def _concluded(
    measured: Sequence["_Measured"], gathered: _Gathered, alone: Sequence[str], seed: int
) -> Evaluation:
    """Means, intervals, comparisons and warnings of all cases."""
    gathered.leave_out_mistaken()
    patients = _scores(measured, gathered.notes).patients()
    rows = summarise(patients, seed=seed)
    comparisons = compare_rows(patients, PREDICTION, seed=seed)
    findings = [
        *describe_mistakes(gathered.notes.mistakes, len(measured)),
        *describe_flaws(gathered.notes.flaws, "cases"),
        *beaten_by_trivial(rows, PREDICTION),
        *gathered.artefacts.findings(rows, PREDICTION),
        *gathered.perceptual.findings(),
        *few_patients(len({case.patient for case in _sound(measured, gathered.notes) or measured})),
        *describe_power(comparisons),
        *gathered.uptake.findings(),
        *describe(gathered.notes, alone),
    ]
    return Evaluation(
        tuple(rows),
        tuple(patients),
        tuple(findings),
        gathered.uptake.suv_window,
        _about(seed)
        | {"left_out": gathered.notes.left_out(), "worst_slices": gathered.worst.rows()}
        | gathered.perceptual.about(),
        lesions=tuple(gathered.uptake.rows),
        detection=tuple(gathered.uptake.detection()),
        agreement=tuple(gathered.uptake.agreement()),
        comparisons=tuple(comparisons),
    )


def _companions(
    truths: Sequence[Case], others: Sequence[Case], what: str
) -> tuple[dict[str, Case], list[str]]:
    """The CT or mask of each case that has one, by the case's strongest key.

    Where a case has none, those that found no case are named: one of them may be meant for it.
    """
    if not others:
        return {}, []
    pairs, _ = match(truths, others)
    used = {id(other) for _, other in pairs}
    unused = [f"{what} {other.name}" for other in others if id(other) not in used]
    found = {truth.keys[0]: other for truth, other in pairs}
    return found, unused if len(pairs) < len(truths) else []


def _measure_case(
    real: Case, predicted: Case, companions: _Companions, gathered: _Gathered
) -> "_Measured":
    notes, uptake, perceptual = gathered.notes, gathered.uptake, gathered.perceptual
    with ThreadPoolExecutor(1) as beside:
        reading = beside.submit(predicted.load)
        truth = real.load().require(Unit.SUV).canonical()
        _require_slices(truth, real.name)
        ct = place_ct(companions.ct, truth.grid, real.name, notes)
        stored = reading.result().require(Unit.SUV)
        coming = beside.submit(
            place_prediction, truth.grid, stored, real.name, notes, has_place=predicted.placed
        )
        masks = _regions(truth, ct, companions.lesions, real.name, notes)
    placed = coming.result()
    _note_units(truth.voxels[masks["body"]], "truth", real.name, notes)
    _note_unit_range(truth.voxels, real.name, notes)
    if min(truth.voxels.shape[1:]) < MS_SSIM_SIDE:
        notes.small.append(real.name)
    with ThreadPoolExecutor(1) as beside:
        blurring = beside.submit(blurred_truth, truth.voxels, truth.grid.spacing_mm[::-1])
        mistaken = _examine(truth, placed, masks["body"], real.name, notes)
        blurred = blurring.result()
    if mistaken:
        return _measure_trivial(truth, blurred, masks, real, uptake.suv_window, perceptual)
    kept = covered_slices(placed.covered, masks["body"], real.name, notes)
    suv, guess, covered = truth.voxels[kept], placed.suv[kept], placed.covered[kept]
    # What the prediction does not cover is left out of every region; whole slices count it as 0.
    inside = {name: mask[kept] & covered for name, mask in masks.items()}
    inside = {name: mask for name, mask in inside.items() if name == "body" or mask.any()}
    _note_units(guess[inside["body"]], "prediction", real.name, notes)
    place = part_of(truth.grid, kept)
    trivial = _references(suv, blurred[kept], inside["body"], real.name)
    images = {PREDICTION: guess} | trivial
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
    body = inside["body"]
    with ThreadPoolExecutor(1) as beside:
        others = [
            beside.submit(uptake.add, real.whose, suv, images, inside, lesions, place.spacing_mm),
            beside.submit(gathered.montage.add, real.name, hu, suv, guess, body),
            beside.submit(gathered.worst.add, real.name, hu, suv, guess[None], body),
        ]
        seen = gathered.artefacts.measure(
            looked_at, suv, body, place.spacing_mm[::-1], real.name,
            resampled=real.name in notes.resampled,
        )  # fmt: skip
    for other in others:
        other.result()
    values.extend(seen.items())
    return _Measured(real.name, real.whose, values)


def _require_slices(truth: Volume, name: str) -> None:
    try:
        require_room(truth.voxels.shape)
    except GeometryError as error:
        shape = " × ".join(str(size) for size in truth.voxels.shape)
        raise GeometryError(
            f"case {name}: {error}; found {shape} along z, y, x. Give axial slices, or leave it out"
        ) from None


def _measure_trivial(
    truth: Volume,
    blurred: np.ndarray,
    masks: dict[str, Bool[np.ndarray, "z y x"]],
    real: Case,
    window: Window,
    perceptual: Perceptual,
) -> "_Measured":
    """A mistaken case: only what any prediction of it would have to beat."""
    suv, inside = truth.voxels, {n: mask for n, mask in masks.items() if n == "body" or mask.any()}
    images = _references(suv, blurred, inside["body"], real.name)
    values = _measure_images(images, suv, inside, window, truth.grid)
    values.extend(perceptual.measure(images, suv, real.name).items())
    return _Measured(real.name, real.whose, values)


def _references(
    suv: np.ndarray, blurred: np.ndarray, body: Bool[np.ndarray, "z y x"], name: str
) -> Images:
    """The images beside the prediction: trivial ones, and the truth without its detail."""
    trivial = baselines_of_truth(suv, body, f"case {name}").images(body)
    return trivial | {BLURRED_TRUTH: blurred}


def _measure_images(
    images: Images, suv: np.ndarray, masks: Masks, window: Window, grid: Grid
) -> list[tuple[str, SliceValues]]:
    spacing = grid.spacing_mm[::-1]
    return list(measure_images(images, suv, masks, window, spacing_mm=spacing).items())


def _examine(
    truth: Volume, placed: Placed, body: Bool[np.ndarray, "z y x"], name: str, notes: Notes
) -> bool:
    """Note flaws and mistakes; say whether there is a mistake that keeps the case out."""
    inside = body & placed.covered
    subject = Subject(truth.voxels, placed.suv, body, placed.covered, placed.stored)
    flaw = flaw_of(placed.suv, inside) if inside.any() else None
    if flaw is not None and misplaced(subject):
        flaw = None  # what lies in the body is the prediction's air
    notes.flaws.append((name, flaw))
    if flaw is not None:
        return False
    facts = examine(subject)
    if facts.mistakes:
        notes.mistakes[name] = facts.mistakes
    else:
        notes.facts[name] = facts
    return bool(facts.mistakes)


def _note_units(inside: np.ndarray, what: str, name: str, notes: Notes) -> None:
    mean = float(inside.mean(dtype=np.float64)) if inside.size else 0.0
    if abs(mean) > SUSPECT_SUV:
        notes.not_suv.append(f"{what} of {name}: {mean:.0f} on average")


def _note_unit_range(suv: np.ndarray, name: str, notes: Notes) -> None:
    if 0 < (highest := float(suv.max())) <= UNIT_RANGE:
        notes.not_suv.append(f"truth of {name}: {highest:.3g} at most")


def _scores(measured: Sequence["_Measured"], notes: Notes) -> Scores:
    """The values of cases without mistakes; where there are none, the trivial rows of all."""
    sound, scores = _sound(measured, notes), Scores()
    for case in sound or measured:
        for name, values in case.values:
            if sound or name != PREDICTION:
                scores.add(name, case.patient, values)
    return scores


def _sound(measured: Sequence["_Measured"], notes: Notes) -> list["_Measured"]:
    return [case for case in measured if case.name not in notes.mistakes]


@dataclass(frozen=True)
class _Measured:
    """A case's values, by the name of the row, and whose they are."""

    name: str
    patient: str
    values: list[tuple[str, SliceValues]]


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
        masks["lesions"] = place_lesions(lesions, truth.grid, name, notes)
    return masks


def _about(seed: int) -> dict[str, Any]:
    return {
        "model": PREDICTION,
        "montage": FILES_RULE,
        "interval": {"level": LEVEL, "kind": "expanded percentile bootstrap", "seed": seed},
    }
