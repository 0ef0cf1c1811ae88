"""Whether a run's intervals hold what they promise, where it was calibrated (petcast calibrate)."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from petcast.checkpoint import Card, load_synthesizer
from petcast.durable import open_whole, write_text
from petcast.evaluate.measure import Masks
from petcast.evaluate.result import Finding
from petcast.evaluate.statistics import bootstrap_interval
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

    Args:
        run: The run's folder.
        card: Of the weights that are evaluated.
        synthesizer: The model.
        device: Where to predict.
    """

    def __init__(
        self, run: Path, card: Card, synthesizer: Synthesizer, device: torch.device
    ) -> None:
        found = load_calibration(run)
        self._stale = found is not None and not fits(found, card)
        self._calibration: Calibration | None = None if self._stale else found
        self._models, self._device = [synthesizer], device
        if self._calibration is not None:
            others = runs_of(run, self._calibration.members)
            self._models += [load_synthesizer(other)[0] for other in others]
        self._voxels: dict[tuple[str, str], list[Voxels]] = {}
        self._shown: list[tuple[str, int, NDArray[np.float32]]] = []

    def add(self, study: PairedStudy, masks: Masks, places: Sequence[int]) -> None:
        """Take in a study.

        Args:
            study: Of the evaluated part.
            masks: Regions.
            places: Slices that the montage shows.
        """
        if self._calibration is None:
            return
        method = self._calibration.method
        pet, spread = cast_with_spread(self._models, study.ct, method, device=self._device)
        truth = np.asarray(study.pet)
        for region, mask in masks.items():
            if mask.any():
                voxels = Voxels.inside(pet, truth, spread, mask)
                self._voxels.setdefault((region, study.patient), []).append(voxels)
        half_width = self._calibration.scale.half_width(spread[list(places)])
        for place, image in zip(places, half_width, strict=True):
            self._shown.append((study.id, place, image))

    def about(self) -> dict[str, Any]:
        """Give what evaluation.json holds.

        Returns:
            `uncertainty` (docs/files.md), or nothing.
        """
        made = self._calibration
        if made is None or not self._bodies():
            return {}
        curves = [sparsify(voxels) for voxels in self._bodies().values()]
        return {
            "uncertainty": {
                "way": made.method.way,
                "level": made.level,
                "factor": made.scale.factor,
                "floor_suv": made.scale.floor_suv,
                "calibrated_on": {"part": made.part, "patients": made.patients},
                "coverage": self._coverage(made),
                "patients": [asdict(row) for row in self._rows(made)],
                "sparsification": _mean_curves(curves),
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
        if made is None or not self._bodies():
            return []
        told = [Finding("CALIBRATION", text) for text in made.warnings]
        mean = float(np.mean([row.coverage for row in self._rows(made)]))
        if abs(mean - made.level) > TOLERANCE:
            detail = (
                f"The {100 * made.level:.0f} % intervals hold {100 * mean:.0f} % of these "
                "patients' body voxels: they are too "
                f"{'narrow' if mean < made.level else 'wide'} for them."
            )
            told.append(Finding("COVERAGE", detail))
        return told

    def save(self, folder: Path) -> None:
        """Write uncertainty.csv and uncertainty.npz; nothing without a calibration.

        Args:
            folder: The evaluation's.
        """
        made = self._calibration
        if made is None or not self._bodies():
            return
        write_text(folder / "uncertainty.csv", _as_csv(self._rows(made)))
        if not self._shown:
            return
        studies, places, images = zip(*self._shown, strict=True)
        arrays: dict[str, Any] = {
            "half_width": np.stack(images), "study": np.array(studies), "slice": np.array(places)
        }  # fmt: skip
        with open_whole(folder / "uncertainty.npz") as stream:
            np.savez_compressed(stream, **arrays)

    def _bodies(self) -> dict[str, Voxels]:
        return self._of_region("body")

    def _of_region(self, region: str) -> dict[str, Voxels]:
        return {
            patient: Voxels.joined(parts)
            for (where, patient), parts in self._voxels.items()
            if where == region
        }

    def _rows(self, made: Calibration) -> list[PatientIntervals]:
        return [_row(name, voxels, made) for name, voxels in self._bodies().items()]

    def _coverage(self, made: Calibration) -> list[dict[str, Any]]:
        rows = []
        for region in dict.fromkeys(region for region, _ in self._voxels):
            held = [coverage(v, made.scale) for v in self._of_region(region).values()]
            low, high = bootstrap_interval(held, seed=0) or (None, None)
            value = float(np.mean(held))
            row = {"region": region, "value": value, "low": low, "high": high, "n": len(held)}
            rows.append(row)
        return rows


def _row(patient: str, voxels: Voxels, made: Calibration) -> PatientIntervals:
    curves = sparsify(voxels)
    return PatientIntervals(
        patient=patient,
        coverage=coverage(voxels, made.scale),
        half_width_suv=float(made.scale.half_width(voxels.spread).mean()),
        suv_mae=float(voxels.error.mean()),
        interval_score_suv=interval_score(voxels, made.scale, made.level),
        ause=curves.ause,
        monotone=curves.monotone,
    )


def _mean_curves(curves: Sequence[Sparsification]) -> dict[str, list[float]]:
    return {
        "removed": list(REMOVED),
        "error": np.mean([curve.error for curve in curves], axis=0).tolist(),
        "oracle": np.mean([curve.oracle for curve in curves], axis=0).tolist(),
    }


def _as_csv(rows: Sequence[PatientIntervals]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(
        stream, list(PatientIntervals.__dataclass_fields__), lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return stream.getvalue()
