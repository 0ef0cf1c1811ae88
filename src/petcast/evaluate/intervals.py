"""Whether a run's intervals hold what they promise, where it was calibrated (petcast calibrate)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from petcast.checkpoint import Card, load_synthesizer
from petcast.disk.durable import open_whole, write_text
from petcast.evaluate.measure import Masks
from petcast.evaluate.records import records_as_csv
from petcast.evaluate.result import Finding
from petcast.evaluate.statistics import SEED, bootstrap_interval
from petcast.models import Synthesizer
from petcast.pairs import PairedStudy
from petcast.uncertainty.calibrate import Voxels, coverage, interval_score
from petcast.uncertainty.sparsify import REMOVED, Sparsification, sparsify
from petcast.uncertainty.spread import cast_with_spread
from petcast.uncertainty.store import Calibration, fits, load_calibration, runs_of

TOLERANCE = 0.05
"""A coverage further than this from its level is said."""


@dataclass(frozen=True)
class PatientIntervals:
    """How a patient's intervals do, inside the body.

    Attributes:
        patient: The pseudonym.
        coverage: Share of voxels whose real SUV lies inside.
        half_width_suv: Mean.
        suv_mae: Mean absolute error, to hold it against.
        interval_score_suv: Width and what lies beyond (Gneiting and Raftery 2007); less is better.
        ause: Area under the sparsification error.
        monotone: Whether leaving more uncertain voxels out never makes the rest worse.
    """

    patient: str
    coverage: float
    half_width_suv: float
    suv_mae: float
    interval_score_suv: float
    ause: float
    monotone: bool


class Intervals:
    """Gathers coverage and sparsification while studies pass by; nothing without a calibration.

    Voxels are held only until the last study of their patient has passed: those of a large cohort
    would fill the memory.

    Args:
        run: The run's folder.
        card: Of the weights that are evaluated.
        synthesizer: The model.
        device: Where to predict.
        studies: All that will pass.
    """

    def __init__(
        self,
        run: Path,
        card: Card,
        synthesizer: Synthesizer,
        device: torch.device,
        studies: Sequence[PairedStudy],
    ) -> None:
        found = load_calibration(run)
        self._stale = found is not None and not fits(found, card)
        self._calibration: Calibration | None = None if self._stale else found
        self._models, self._device = [synthesizer], device
        if self._calibration is not None:
            others = runs_of(run, self._calibration.members)
            self._models += [load_synthesizer(other)[0] for other in others]
        self._left = Counter(study.patient for study in studies)
        self._voxels: dict[str, list[Voxels]] = {}
        self._held: dict[tuple[str, str], NDArray[np.int64]] = {}
        self._seen: dict[str, tuple[PatientIntervals, Sparsification]] = {}
        self._shown: list[tuple[str, int, NDArray[np.float32]]] = []

    def add(self, study: PairedStudy, masks: Masks, places: Sequence[int]) -> None:
        """Take in a study.

        Args:
            study: Of the evaluated part.
            masks: Regions.
            places: Slices that the montage shows.
        """
        made = self._calibration
        if made is None:
            return
        pet, spread = cast_with_spread(self._models, study.ct, made.method, device=self._device)
        truth = np.asarray(study.pet)
        for region, mask in masks.items():
            if mask.any():
                self._take(study.patient, region, Voxels.inside(pet, truth, spread, mask), made)
        for place, image in zip(places, made.scale.half_width(spread[list(places)]), strict=True):
            self._shown.append((study.id, place, image))
        self._left[study.patient] -= 1
        if not self._left[study.patient] and (parts := self._voxels.pop(study.patient, [])):
            self._seen[study.patient] = _seen(study.patient, Voxels.joined(parts), made)

    def _take(self, patient: str, region: str, voxels: Voxels, made: Calibration) -> None:
        if region == "body":
            self._voxels.setdefault(patient, []).append(voxels)
        inside = np.count_nonzero(voxels.error <= made.scale.half_width(voxels.spread))
        before = self._held.get((region, patient), np.zeros(2, np.int64))
        self._held[region, patient] = before + np.array([inside, voxels.error.size])

    def about(self) -> dict[str, Any]:
        """Give what evaluation.json holds.

        Returns:
            `uncertainty` (docs/files.md), or nothing.
        """
        made = self._calibration
        if made is None or not self._seen:
            return {}
        return {
            "uncertainty": {
                "way": made.method.way,
                "level": made.level,
                "factor": made.scale.factor,
                "floor_suv": made.scale.floor_suv,
                "calibrated_on": {"part": made.part, "patients": made.patients},
                "coverage": self._coverage(),
                "patients": [asdict(row) for row in self._rows()],
                "sparsification": _mean_curves([curves for _, curves in self._seen.values()]),
                "warnings": list(made.warnings),
            }
        }

    def findings(self) -> list[Finding]:
        """Say what must be known of the intervals.

        Returns:
            Warnings.
        """
        if self._stale:
            detail = (
                "uncertainty.json was made for other weights of this run: its intervals were not "
                "measured; run `petcast calibrate` again."
            )
            return [Finding("OLD-CALIBRATION", detail)]
        made = self._calibration
        if made is None or not self._seen:
            return []
        mean = float(np.mean([row.coverage for row in self._rows()]))
        told = [Finding("CALIBRATION", text) for text in made.warnings]
        return [*told, *off_level(mean, made.level)]

    def save(self, folder: Path) -> None:
        """Write uncertainty.csv and uncertainty.npz; nothing without a calibration.

        Args:
            folder: The evaluation's.
        """
        if not self._seen:
            return
        write_text(folder / "uncertainty.csv", records_as_csv(PatientIntervals, self._rows()))
        if not self._shown:
            return
        studies, places, images = zip(*self._shown, strict=True)
        arrays: dict[str, Any] = {
            "half_width": np.stack(images), "study": np.array(studies), "slice": np.array(places)
        }  # fmt: skip
        with open_whole(folder / "uncertainty.npz") as stream:
            np.savez_compressed(stream, **arrays)

    def _rows(self) -> list[PatientIntervals]:
        return [row for row, _ in self._seen.values()]

    def _coverage(self) -> list[dict[str, Any]]:
        rows = []
        for region in dict.fromkeys(region for region, _ in self._held):
            counts = [both for (where, _), both in self._held.items() if where == region]
            held = [int(inside) / int(voxels) for inside, voxels in counts]
            low, high = bootstrap_interval(held, seed=SEED) or (None, None)
            value = float(np.mean(held))
            row = {"region": region, "value": value, "low": low, "high": high, "n": len(held)}
            rows.append(row)
        return rows


def off_level(coverage: float, level: float) -> list[Finding]:
    """Say where intervals hold more or less than they promise.

    Args:
        coverage: The mean over patients of the share of body voxels inside.
        level: What is promised.

    Returns:
        A warning, or nothing.
    """
    if round(abs(coverage - level), 9) <= TOLERANCE:  # 0.9 - 0.85 is more than 0.05 in binary
        return []
    detail = (
        f"The {100 * level:.0f} % intervals hold {100 * coverage:.0f} % of these patients' body "
        f"voxels: they are too {'narrow' if coverage < level else 'wide'} for them."
    )
    return [Finding("COVERAGE", detail)]


def _seen(
    patient: str, voxels: Voxels, made: Calibration
) -> tuple[PatientIntervals, Sparsification]:
    curves = sparsify(voxels)
    row = PatientIntervals(
        patient=patient,
        coverage=coverage(voxels, made.scale),
        half_width_suv=float(made.scale.half_width(voxels.spread).mean()),
        suv_mae=float(voxels.error.mean()),
        interval_score_suv=interval_score(voxels, made.scale, made.level),
        ause=curves.ause,
        monotone=curves.monotone,
    )
    return row, curves


def _mean_curves(curves: Sequence[Sparsification]) -> dict[str, list[float]]:
    return {
        "removed": list(REMOVED),
        "error": np.mean([curve.error for curve in curves], axis=0).tolist(),
        "oracle": np.mean([curve.oracle for curve in curves], axis=0).tolist(),
    }
