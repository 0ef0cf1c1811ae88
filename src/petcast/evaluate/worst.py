"""The slices with the largest error, kept for the report: a mean hides them."""

from collections.abc import Container
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from petcast.evaluate.montage import Pictures, mean_inside
from petcast.volume import AIR_HU

PER_STUDY = 3
LISTED = 12
SHOWN = 3

LEAST_BODY = 0.25
"""Slices with less body than this share of the study's median are left out: a rim of skin at either
end of a scan may have any error."""

APART = 0.1
"""Of one study, listed slices lie a tenth of the scan apart: neighbours show the same."""


@dataclass(frozen=True)
class WorstSlice:
    """A slice and its error.

    Attributes:
        study: The study's pseudonym; of files, the case's.
        slice: Its number within the study, from 0.
        suv_mae: Mean absolute error inside the body, in SUV.
        suv_bias: Mean of predicted − real there.
        truth_suv: Mean of the real PET there.
    """

    study: str
    slice: int
    suv_mae: float
    suv_bias: float
    truth_suv: float


class WorstSlices:
    """Gathers the worst slices while studies pass by."""

    def __init__(self) -> None:
        self._rows: list[WorstSlice] = []
        self._pictures: dict[tuple[str, int], tuple[np.ndarray, ...]] = {}

    def add(
        self,
        study: str,
        ct: Shaped[np.ndarray, "z y x"] | None,
        truth: Shaped[np.ndarray, "z y x"],
        stages: Shaped[np.ndarray, "k z y x"],
        body: Bool[np.ndarray, "z y x"],
        first: int = 0,
    ) -> None:
        """Keep a study's worst slices by the last stage's mean absolute error inside the body.

        Args:
            study: What it is called.
            ct: In HU; None where there is none.
            truth: In SUV.
            stages: Predicted SUV of each stage.
            body: True inside the body.
            first: The first slice's number within the study.
        """
        for found in worst_of(study, truth, stages[-1], body):
            z, row = found.slice, replace(found, slice=first + found.slice)
            hu = np.full(truth.shape[1:], AIR_HU, np.int16) if ct is None else ct[z]
            pictures = (hu[None], np.asarray(truth[z])[None], np.asarray(stages[:, z])[:, None])
            self._rows.append(row)
            self._pictures[study, row.slice] = tuple(np.array(part) for part in pictures)
        self._forget_pictures()

    def drop(self, names: Container[str]) -> None:
        """Forget studies again.

        Args:
            names: Those whose prediction turned out to be mistaken.
        """
        self._rows = [row for row in self._rows if row.study not in names]

    def rows(self) -> list[dict[str, Any]]:
        """Give the worst slices of all studies.

        Returns:
            What evaluation.json holds under `worst_slices`: at most 12, the worst first.
        """
        return [asdict(row) for row in self._ordered()[:LISTED]]

    def save(self, path: Path) -> None:
        """Write worst.npz, which is built like montage.npz (docs/files.md).

        Args:
            path: The file; not written where nothing was kept.
        """
        kept, shape = Pictures(), None
        places = ((row.study, row.slice) for row in self._ordered())
        for study, z in [place for place in places if place in self._pictures][:SHOWN]:
            ct, truth, stages = self._pictures[study, z]
            shape = shape or truth.shape
            if truth.shape == shape:
                kept.keep(study, [0], ct, truth, stages, numbers=[z])
        if not kept.empty:
            kept.save(path)

    def _ordered(self) -> list[WorstSlice]:
        return sorted(self._rows, key=lambda row: (-row.suv_mae, row.study, row.slice))

    def _forget_pictures(self) -> None:
        """Of large cohorts only those that may be shown stay in memory."""
        listed = {(row.study, row.slice) for row in self._ordered()[:LISTED]}
        self._pictures = {place: p for place, p in self._pictures.items() if place in listed}


def worst_of(
    study: str,
    truth: Shaped[np.ndarray, "z y x"],
    prediction: Shaped[np.ndarray, "z y x"],
    body: Bool[np.ndarray, "z y x"],
) -> list[WorstSlice]:
    """Choose a study's worst slices.

    Args:
        study: What it is called.
        truth: In SUV.
        prediction: In SUV.
        body: True inside the body.

    Returns:
        At most three, a tenth of the scan apart, the worst first.
    """
    area = body.sum(axis=(1, 2))
    if not area.any():
        return []
    voxels = np.maximum(area, 1)
    differences = (np.where(b, p - t, 0) for p, t, b in zip(prediction, truth, body, strict=True))
    sums = [(np.abs(one).sum(dtype=np.float64), one.sum(dtype=np.float64)) for one in differences]
    error, bias = np.array(sums).T / voxels
    real = mean_inside(truth, body)
    counted = area >= LEAST_BODY * np.median(area[area > 0])
    chosen: list[int] = []
    for z in np.argsort(-error, kind="stable").tolist():
        if counted[z] and all(abs(z - other) >= APART * len(truth) for other in chosen):
            chosen.append(z)
    return [
        WorstSlice(study, z, float(error[z]), float(bias[z]), float(real[z]))
        for z in chosen[:PER_STUDY]
    ]
