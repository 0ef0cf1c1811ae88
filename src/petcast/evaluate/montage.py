"""Which slices the report shows: chosen from the real PET by a rule, before any prediction."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from petcast.durable import open_whole
from petcast.pairs import PairedStudy

PICTURES = 6
PER_PATIENT = 3

RULE = (
    "Of at most 6 patients, spread evenly over those ordered by mean body SUV, the slices (at most "
    "3 each, 6 in all) whose mean body SUV stands at evenly spaced quantiles of the patient's own: "
    "the median for one, the quartiles for two, 1/6, 1/2 and 5/6 for three. The predictions have "
    "no say."
)


def choose_slices(studies: Sequence[PairedStudy]) -> dict[str, list[int]]:
    """Choose the slices to show (see `RULE`).

    Args:
        studies: Of the evaluated part; of a patient with several, the first counts.

    Returns:
        Slice numbers, ascending, by study id.
    """
    uptake = {}
    for study in {study.patient: study for study in reversed(studies)}.values():
        uptake[study.id] = _body_suv(study)
    ordered = sorted(uptake, key=lambda name: (float(uptake[name].mean()), name))
    chosen = [ordered[i] for i in _evenly(len(ordered), min(PICTURES, len(ordered)))]
    each = min(PER_PATIENT, PICTURES // max(len(chosen), 1))
    return {name: _at_quantiles(uptake[name], each) for name in chosen}


class Montage:
    """Gathers the chosen slices while studies pass by."""

    def __init__(self, studies: Sequence[PairedStudy]) -> None:
        self._chosen = choose_slices(studies)
        self._parts: dict[str, list[np.ndarray]] = {
            name: [] for name in ("ct", "truth", "stages", "study", "slice")
        }

    def add(self, study: PairedStudy, stages: Shaped[np.ndarray, "k z y x"]) -> None:
        """Keep what the montage shows of a study.

        Args:
            study: A study of the evaluated part.
            stages: Predicted SUV of each stage.
        """
        places = [z for z in self._chosen.get(study.id, ()) if z < study.slices]
        if not places:
            return
        held: dict[str, np.ndarray] = {
            "ct": np.asarray(study.ct)[places].astype(np.int16),
            "truth": np.asarray(study.pet)[places].astype(np.float32),
            "stages": stages[:, places].swapaxes(0, 1).astype(np.float32),
            "study": np.array([study.id] * len(places)),
            "slice": np.array(places, dtype=np.int64),
        }
        for name, values in held.items():
            self._parts[name].append(values)

    def save(self, path: Path) -> None:
        """Write montage.npz (docs/files.md).

        Args:
            path: The file.
        """
        arrays: dict[str, Any] = {n: np.concatenate(parts) for n, parts in self._parts.items()}
        with open_whole(path) as stream:
            np.savez_compressed(stream, **arrays)


def _body_suv(study: PairedStudy) -> Shaped[np.ndarray, " z"]:
    body = np.asarray(study.regions) > 0
    sums = np.where(body, study.pet, 0).sum(axis=(1, 2), dtype=np.float64)
    return np.asarray(sums / np.maximum(body.sum(axis=(1, 2)), 1))


def _evenly(n: int, k: int) -> list[int]:
    """The k of n places that stand at the middles of k equal parts."""
    return sorted({min(int((i + 0.5) / k * n), n - 1) for i in range(k)})


def _at_quantiles(values: Shaped[np.ndarray, " z"], k: int) -> list[int]:
    order = np.argsort(values, kind="stable")
    return sorted(int(order[i]) for i in _evenly(len(order), k))
