"""Evaluate anyone's predictions: NIfTI or DICOM, with or without a CT."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from petcast.errors import DataError
from petcast.evaluate.artefacts import Artefacts
from petcast.evaluate.cases import Case, find_cases, match
from petcast.evaluate.comparison import compare_rows, describe_power
from petcast.evaluate.findings import beaten_by_trivial, describe_flaws, describe_mistakes
from petcast.evaluate.flat import Declared
from petcast.evaluate.foreign import PREDICTION, Companions, Gathered, Measured, measure_case
from petcast.evaluate.lesions import Uptake
from petcast.evaluate.montage import FILES_RULE, FileMontage
from petcast.evaluate.notes import Notes, describe
from petcast.evaluate.perceptual import Perceptual, Weights
from petcast.evaluate.result import Evaluation
from petcast.evaluate.statistics import LEVEL, SEED, Scores, few_patients, summarise
from petcast.evaluate.store import alone_for, require_free, save_evaluation
from petcast.evaluate.worst import WorstSlices
from petcast.progress import track
from petcast.words import count

SUV_WINDOW = (0.0, 10.0)
"""SUV mapped to 0 and 1 for the image metrics, whoever made the files: so they can be compared."""


def evaluate_files(
    truth: Path,
    predictions: Path,
    *,
    ct: Path | None = None,
    lesions: Path | None = None,
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
        named: Call cases by their files' names, which may name patients; else by pseudonyms.
        declared: What PNG and `.npy` mean.
        out: A folder for evaluation.json and what goes with it; nothing is written where None.
        weights: Of a network for perceptual metrics; without them there are none.
        with_lesions: Look for lesions and measure their uptake, which takes time of its own.

    Returns:
        The metrics; each case counts as a patient where no file says whose it is.

    Raises:
        UsageError: Paths or names do not fit, or another process evaluates into `out`.
        DataError: No case can be measured, and why. Where others can, it is a warning.
    """
    perceptual = Perceptual(weights, SUV_WINDOW)  # first of all, as it refuses another file
    with ExitStack() as stack:
        if out is not None:
            require_free(out)
            stack.enter_context(alone_for(out))
        find = partial(find_cases, stack=stack, named=named, declared=declared)
        pairs, alone = match(find(truth, "truth"), find(predictions, "prediction"))
        matched = [case for case, _ in pairs]
        cts, unused_cts = _companions(matched, find(ct, "ct") if ct else [], "CT")
        masks, unused = _companions(matched, find(lesions, "lesions") if lesions else [], "mask")
        gathered = Gathered(
            Notes(), Uptake(SUV_WINDOW), Artefacts(), perceptual, WorstSlices(),
            FileMontage(list({case.name for case in matched})),
        )  # fmt: skip
        measured = []
        for real, predicted in track(pairs, "evaluating"):
            companions = Companions(cts.get(real.keys[0]), masks.get(real.keys[0]), with_lesions)
            measured += _measure(real, predicted, companions, gathered, alone=len(pairs) == 1)
        _require_any(measured, gathered.notes)
        gathered.notes.name_no_path(
            {"real PET": truth, "prediction": predictions, "CT": ct, "mask": lesions}
        )
        evaluation = _concluded(measured, gathered, [*alone, *unused_cts, *unused])
        if out is not None:
            _save(out, evaluation, gathered)
    return evaluation


def _measure(
    real: Case, predicted: Case, companions: Companions, gathered: Gathered, *, alone: bool
) -> list[Measured]:
    """Measure a case; where it cannot be and others are there, note why instead."""
    notes = Notes()
    try:
        measured = measure_case(real, predicted, companions, gathered, notes)
    except DataError as error:
        if alone:
            raise
        gathered.notes.unusable[real.name] = str(error)
        return []
    gathered.notes.take(notes)
    return [measured]


def _require_any(measured: Sequence[Measured], notes: Notes) -> None:
    if not measured:
        cases, reason = count(len(notes.unusable), "case"), next(iter(notes.unusable.values()))
        raise DataError(f"none of {cases} can be measured; the first: {reason}")


def _save(out: Path, evaluation: Evaluation, gathered: Gathered) -> None:
    def more(folder: Path) -> None:
        gathered.artefacts.save(folder / "spectra.npz")
        gathered.worst.save(folder / "worst.npz")

    save_evaluation(out, evaluation, gathered.montage.chosen(), more)


def _concluded(
    measured: Sequence[Measured], gathered: Gathered, alone: Sequence[str]
) -> Evaluation:
    """Means, intervals, comparisons and warnings of all cases."""
    gathered.leave_out_mistaken()
    patients = _scores(measured, gathered.notes).patients()
    rows = summarise(patients, seed=SEED)
    cases = len(measured) + len(gathered.notes.unusable)
    comparisons = compare_rows(patients, PREDICTION, seed=SEED)
    findings = [
        *describe_mistakes(gathered.notes.mistakes, cases),
        *describe_flaws(gathered.notes.flaws, "case", "cases"),
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
        _about()
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
    pairs, _ = match(truths, others, f"{what}s")
    used = {id(other) for _, other in pairs}
    unused = [f"{what} {other.name}" for other in others if id(other) not in used]
    found = {truth.keys[0]: other for truth, other in pairs}
    return found, unused if len(pairs) < len(truths) else []


def _scores(measured: Sequence[Measured], notes: Notes) -> Scores:
    """The values of cases without mistakes; where there are none, the trivial rows of all."""
    sound, scores = _sound(measured, notes), Scores()
    for case in sound or measured:
        for name, values in case.values:
            if sound or name != PREDICTION:
                scores.add(name, case.patient, values)
    return scores


def _sound(measured: Sequence[Measured], notes: Notes) -> list[Measured]:
    return [case for case in measured if case.name not in notes.mistakes]


def _about() -> dict[str, Any]:
    return {
        "model": PREDICTION,
        "montage": FILES_RULE,
        "interval": {"level": LEVEL, "kind": "expanded percentile bootstrap", "seed": SEED},
    }
