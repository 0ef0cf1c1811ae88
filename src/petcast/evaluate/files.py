"""Evaluate anyone's predictions: NIfTI or DICOM, with or without a CT."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from petcast.errors import DataError
from petcast.evaluate.baselines import baselines_of_truth
from petcast.evaluate.body import body_on_truth
from petcast.evaluate.cases import Case, find_cases, match
from petcast.evaluate.comparison import compare_rows, describe_power
from petcast.evaluate.findings import Flaw, beaten_by_trivial, describe_flaws, flaw_of, some
from petcast.evaluate.lesions import Uptake, lesions_of
from petcast.evaluate.measure import (
    measure_clipping,
    measure_slices,
    refuse_not_finite,
    region_masks,
)
from petcast.evaluate.result import Evaluation, Finding
from petcast.evaluate.statistics import LEVEL, Scores, few_patients, summarise
from petcast.grid import part_of
from petcast.metrics.image import MS_SSIM_SIDE
from petcast.progress import track
from petcast.volume import Grid, Unit, Volume

PREDICTION = "prediction"
"""The name of foreign predictions in the rows."""

AIR_HU = -1024.0
SUSPECT_SUV = 30.0
"""A body's mean SUV is near 1 by its definition; above this, something else than SUV was given."""


@dataclass
class _Notes:
    """What happened to the cases on the way, by case name."""

    resampled: list[str] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)
    body_from_truth: list[str] = field(default_factory=list)
    small: list[str] = field(default_factory=list)
    not_suv: list[str] = field(default_factory=list)
    flaws: list[tuple[str, Flaw | None]] = field(default_factory=list)


@dataclass(frozen=True)
class _Companions:
    """The CT and the lesion mask of a case, where there are any."""

    ct: Case | None
    lesions: Case | None


def evaluate_files(
    truth: Path,
    predictions: Path,
    *,
    ct: Path | None = None,
    lesions: Path | None = None,
    suv_window: tuple[float, float] = (0.0, 10.0),
    seed: int = 0,
    named: bool = False,
) -> Evaluation:
    """Measure predicted PET of any origin against the real ones.

    Args:
        truth: The real PET in SUV: a NIfTI file, a folder of them, or DICOM.
        predictions: The predicted PET in SUV, alike. Other grids are brought to the truth's.
        ct: CT in HU, alike: it shows body and lungs. Without it the body is found on the truth.
        lesions: Masks (NIfTI, not 0 inside): a region of their own.
        suv_window: SUV mapped to 0 and 1 for the image metrics.
        seed: Of the bootstrap over cases.
        named: Call cases by their files' names, which may name patients; else by pseudonyms.

    Returns:
        The metrics; each case counts as a patient.

    Raises:
        UsageError: Paths or names do not fit.
        DataError: A file cannot be used, and why.
    """
    scores, notes, uptake = Scores(), _Notes(), Uptake(suv_window)
    with ExitStack() as stack:
        find = partial(find_cases, stack=stack, named=named)
        pairs, alone = match(find(truth, "truth"), find(predictions, "prediction"))
        matched = [case for case, _ in pairs]
        cts = _companions(matched, find(ct, "ct") if ct else [])
        masks = _companions(matched, find(lesions, "lesions") if lesions else [])
        for real, predicted in track(pairs, "evaluating"):
            companions = _Companions(cts.get(real.keys[0]), masks.get(real.keys[0]))
            _measure_case(real, predicted, companions, scores, notes, uptake)
    patients = scores.patients()
    rows = summarise(patients, seed=seed)
    comparisons = compare_rows(patients, PREDICTION, seed=seed)
    findings = [
        *describe_flaws(notes.flaws, "cases"),
        *beaten_by_trivial(rows, PREDICTION),
        *few_patients(len({case.name for case in matched})),
        *describe_power(comparisons),
        *uptake.findings(),
        *_describe(notes, alone),
    ]
    return Evaluation(
        tuple(rows),
        tuple(patients),
        tuple(findings),
        suv_window,
        _about(seed),
        lesions=tuple(uptake.rows),
        detection=tuple(uptake.detection()),
        agreement=tuple(uptake.agreement()),
        comparisons=tuple(comparisons),
    )


def _companions(truths: Sequence[Case], others: Sequence[Case]) -> dict[str, Case]:
    """The CT or mask of each case that has one, by the case's strongest key."""
    return {truth.keys[0]: other for truth, other in match(truths, others)[0]} if others else {}


def _measure_case(
    real: Case,
    predicted: Case,
    companions: _Companions,
    scores: Scores,
    notes: _Notes,
    uptake: Uptake,
) -> None:
    window = uptake.suv_window
    truth = real.load().require(Unit.SUV).canonical()
    prediction, covered = _on_grid_of(truth.grid, predicted, real.name, notes)
    masks = _regions(truth, companions, real.name, notes)
    kept = _kept_slices(covered, masks["body"], real.name, notes)
    suv, guess = truth.voxels[kept], prediction[kept]
    # What the prediction does not cover is left out of every region; whole slices count it as 0.
    inside = {name: mask[kept] & covered[kept] for name, mask in masks.items()}
    inside = {name: mask for name, mask in inside.items() if name == "body" or mask.any()}
    images = {PREDICTION: guess}
    images |= baselines_of_truth(suv, inside["body"], f"case {real.name}").images(inside["body"])
    for name, image in images.items():
        scores.add(name, real.name, measure_slices(image, suv, inside, window))
    scores.add(PREDICTION, real.name, measure_clipping(suv, inside, window))
    place = part_of(truth.grid, kept)
    lesions = lesions_of(suv, inside["body"], place, mask=_mask_of(masks, kept, covered))
    uptake.add(real.name, suv, images, inside, lesions, place.spacing_mm)
    notes.flaws.append((real.name, flaw_of(guess, inside["body"])))
    for what, values in (("truth", suv), ("prediction", guess)):
        mean = float(values[inside["body"]].mean(dtype=np.float64))
        if abs(mean) > SUSPECT_SUV:
            notes.not_suv.append(f"{what} of {real.name}: {mean:.0f} on average")
    if min(suv.shape[1:]) < MS_SSIM_SIDE:
        notes.small.append(real.name)


def _mask_of(
    masks: dict[str, Bool[np.ndarray, "z y x"]], kept: slice, covered: Bool[np.ndarray, "z y x"]
) -> Bool[np.ndarray, "z y x"] | None:
    """The case's lesion mask where the prediction covers it; empty means that there are none."""
    return masks["lesions"][kept] & covered[kept] if "lesions" in masks else None


def _on_grid_of(
    grid: Grid, predicted: Case, name: str, notes: _Notes
) -> tuple[np.ndarray, Bool[np.ndarray, "z y x"]]:
    """The prediction on the truth's grid, and which voxels it covers."""
    volume = predicted.load().require(Unit.SUV).canonical()
    refuse_not_finite(volume.voxels, f"case {name}")
    if volume.grid.matches(grid):
        return volume.voxels, np.ones(grid.shape, dtype=bool)
    notes.resampled.append(name)
    # Not smoothed first: PET is smooth at the scale of its voxels, and what is not (noise, a
    # lattice) shall be measured as it is, not blurred away.
    suv = volume.resampled(grid, outside=0.0, antialias=False).voxels
    ones = volume.like(np.ones(volume.voxels.shape, np.uint8), Unit.LABEL)
    covered = ones.resampled(grid, outside=0, interpolation="nearest").voxels > 0
    return suv, covered


def _regions(
    truth: Volume, companions: _Companions, name: str, notes: _Notes
) -> dict[str, Bool[np.ndarray, "z y x"]]:
    masks = {}
    if companions.ct is None:
        notes.body_from_truth.append(name)
        masks["body"] = body_on_truth(truth.voxels)
    else:
        masks |= _regions_of_ct(companions.ct.load().require(Unit.HU), truth.grid)
    if companions.lesions is not None:
        volume = companions.lesions.load()
        on_grid = volume.resampled(truth.grid, outside=0, interpolation="nearest")
        masks["lesions"] = on_grid.voxels != 0
    return masks


def _regions_of_ct(ct: Volume, grid: Grid) -> dict[str, Bool[np.ndarray, "z y x"]]:
    from petcast.anatomy import regions

    on_grid = ct if ct.grid.matches(grid) else ct.resampled(grid, outside=AIR_HU)
    return region_masks(regions(on_grid).voxels, on_grid.voxels)


def _kept_slices(
    covered: Bool[np.ndarray, "z y x"], body: Bool[np.ndarray, "z y x"], name: str, notes: _Notes
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


def _describe(notes: _Notes, alone: Sequence[str]) -> list[Finding]:
    """Put into words what happened to the cases."""
    said = {
        "NOT-SUV": (
            notes.not_suv,
            "Values inside the body are far from SUV, whose mean is near 1; convert them (Bq/mL?) "
            "first: {}.",
        ),
        "UNMATCHED": (alone, "These have no partner and were left out: {}."),
        "RESAMPLED": (
            notes.resampled,
            "The prediction lies on another grid than the truth and was brought there by linear "
            "interpolation: {}.",
        ),
        "NOT-COVERED": (
            notes.uncovered,
            "Only what both cover was compared; in whole slices the rest counts as SUV 0: {}.",
        ),
        "BODY-FROM-TRUTH": (
            notes.body_from_truth,
            "Without a CT the body is where the real PET shows uptake: {}. Give --ct for the body "
            "and the lungs as the CT shows them.",
        ),
        "NO-MS-SSIM": (
            notes.small,
            f"Slices of fewer than {MS_SSIM_SIDE} voxels a side have no MS-SSIM: {{}}.",
        ),
    }
    findings = [Finding(c, text.format(some(names))) for c, (names, text) in said.items() if names]
    detail = "`body-constant` has each real PET's own mean body SUV: no training data are at hand."
    return [*findings, Finding("BODY-CONSTANT-FROM-TRUTH", detail)]


def _about(seed: int) -> dict[str, Any]:
    return {
        "model": PREDICTION,
        "interval": {"level": LEVEL, "kind": "expanded percentile bootstrap", "seed": seed},
    }
