"""Which slices the report shows: chosen from the real PET by a rule, before any prediction."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from petcast.disk.durable import open_whole
from petcast.volume import AIR_HU

if TYPE_CHECKING:
    from petcast.pairs import PairedStudy

PICTURES = 6
PER_PATIENT = 3

CANDIDATES = 12
"""Foreign cases whose pictures are held until it is known which of them can be shown."""

RULE = (
    "Of at most 6 patients, spread evenly over those ordered by mean body SUV, the slices (at most "
    "3 each, 6 in all) whose mean body SUV stands at evenly spaced quantiles of the patient's own: "
    "the median for one, the quartiles for two, 1/6, 1/2 and 5/6 for three. The predictions have "
    "no say."
)


FILES_RULE = (
    "Of at most 6 cases, spread evenly over those in the order of their names, the slices (at most "
    "3 each, 6 in all) whose mean body SUV stands at evenly spaced quantiles of the case's own: "
    "the median for one, 1/6 and 5/6 for two, all of these for three. Cases whose slices have "
    "another size than the first one's, or that are left out, are not among them. The predictions "
    "have no other say."
)


def choose_slices(studies: "Sequence[PairedStudy]") -> dict[str, list[int]]:
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


class Pictures:
    """The slices that the report shows, in the order in which they are kept."""

    def __init__(self) -> None:
        self._parts: dict[str, list[np.ndarray]] = {
            name: [] for name in ("ct", "truth", "stages", "study", "slice")
        }

    def keep(
        self,
        name: str,
        places: Sequence[int],
        ct: Shaped[np.ndarray, "z y x"],
        truth: Shaped[np.ndarray, "z y x"],
        stages: Shaped[np.ndarray, "k z y x"],
        numbers: Sequence[int] | None = None,
    ) -> None:
        """Keep some slices.

        Args:
            name: The study's id, or the case's.
            places: Which slices.
            ct: In HU.
            truth: In SUV.
            stages: Predicted SUV of each stage.
            numbers: What the slices are called, where that is not their place.
        """
        held: dict[str, np.ndarray] = {
            "ct": np.asarray(ct)[places].astype(np.int16),
            "truth": np.asarray(truth)[places].astype(np.float32),
            "stages": stages[:, places].swapaxes(0, 1).astype(np.float32),
            "study": np.array([name] * len(places)),
            "slice": np.array(places if numbers is None else numbers, dtype=np.int64),
        }
        for part, values in held.items():
            self._parts[part].append(values)

    @property
    def empty(self) -> bool:
        """Whether nothing was kept."""
        return not self._parts["ct"]

    def save(self, path: Path) -> None:
        """Write montage.npz (docs/files.md).

        Args:
            path: The file.
        """
        arrays: dict[str, Any] = {n: np.concatenate(parts) for n, parts in self._parts.items()}
        with open_whole(path) as stream:
            np.savez_compressed(stream, **arrays)


class Montage(Pictures):
    """Gathers the chosen slices while studies pass by."""

    def __init__(self, studies: "Sequence[PairedStudy]") -> None:
        super().__init__()
        self._chosen = choose_slices(studies)

    def add(self, study: "PairedStudy", stages: Shaped[np.ndarray, "k z y x"]) -> None:
        """Keep what the montage shows of a study.

        Args:
            study: A study of the evaluated part.
            stages: Predicted SUV of each stage.
        """
        places = self.places(study)
        if places:
            self.keep(study.id, places, study.ct, study.pet, stages)

    def places(self, study: "PairedStudy") -> list[int]:
        """Say which slices the montage shows of a study.

        Args:
            study: A study of the evaluated part.

        Returns:
            Their numbers, from 0.
        """
        return [z for z in self._chosen.get(study.id, ()) if z < study.slices]


@dataclass(frozen=True)
class _Candidate:
    """What may be shown of a case: three slices, the least uptake first; fewer if it has fewer."""

    name: str
    off: float
    places: list[int]
    ct: Shaped[np.ndarray, "z y x"]
    truth: Shaped[np.ndarray, "z y x"]
    stages: Shaped[np.ndarray, "k z y x"]


class FileMontage:
    """Gathers slices of foreign cases (see `FILES_RULE`) while they pass by.

    Which of them can be shown is known only when all have passed. Of many, those in the order of
    their names are divided into as many parts as there may be candidates, and of each part the case
    nearest to its middle is held.
    """

    def __init__(self, names: Sequence[str]) -> None:
        n, k = len(names), min(CANDIDATES, len(names))
        places = {name: (2 * place + 1) * k / (2 * n) for place, name in enumerate(sorted(names))}
        self._part = {name: int(place) for name, place in places.items()}
        self._off = {name: abs(place % 1 - 0.5) for name, place in places.items()}
        self._held: dict[int, _Candidate] = {}
        self._shape: tuple[int, ...] | None = None

    def add(
        self,
        name: str,
        ct: Shaped[np.ndarray, "z y x"] | None,
        truth: Shaped[np.ndarray, "z y x"],
        prediction: Shaped[np.ndarray, "z y x"],
        body: Bool[np.ndarray, "z y x"],
        first: int = 0,
    ) -> None:
        """Hold what the montage may show of a case.

        Args:
            name: The case.
            ct: In HU, on the truth's grid; air is shown where there is none.
            truth: In SUV.
            prediction: In SUV.
            body: True inside the body.
            first: The first slice's number within the case.
        """
        self._shape = self._shape or truth.shape[1:]
        part, off = self._part[name], self._off[name]
        nearer = part in self._held and self._held[part].off <= off
        if nearer or truth.shape[1:] != self._shape:
            return
        places = _by_uptake(mean_inside(truth, body), min(PER_PATIENT, len(truth)))
        hu = np.broadcast_to(np.int16(AIR_HU), truth.shape) if ct is None else ct
        kept = (hu[places], truth[places], prediction[None, places])
        self._held[part] = _Candidate(name, off, [first + z for z in places], *kept)

    def drop(self, names: Container[str]) -> None:
        """Forget cases again.

        Args:
            names: Those whose prediction turned out to be mistaken.
        """
        self._held = {part: one for part, one in self._held.items() if one.name not in names}

    def chosen(self) -> Pictures:
        """Choose among what is held.

        Returns:
            The pictures, none where nothing is held.
        """
        held = sorted(self._held.values(), key=lambda one: one.name)
        shown = [held[i] for i in _evenly(len(held), min(PICTURES, len(held)))]
        each = min(PER_PATIENT, PICTURES // max(len(shown), 1))
        pictures = Pictures()
        for one in shown:
            kept = sorted(_evenly(len(one.places), each), key=lambda i: one.places[i])
            numbers = [one.places[i] for i in kept]
            pictures.keep(one.name, kept, one.ct, one.truth, one.stages, numbers=numbers)
        return pictures


def mean_inside(
    suv: Shaped[np.ndarray, "z y x"], body: Bool[np.ndarray, "z y x"]
) -> Float[np.ndarray, " z"]:
    """Give each slice's mean inside the body.

    Args:
        suv: In SUV.
        body: True inside the body.

    Returns:
        A mean a slice; 0 where it has no body.
    """
    # Slice by slice: a whole volume's copy in 64 bits costs more than the sums.
    sums = [
        np.where(mask, one, 0).sum(dtype=np.float64) for one, mask in zip(suv, body, strict=True)
    ]
    return np.asarray(np.array(sums) / np.maximum(body.sum(axis=(1, 2)), 1))


def _body_suv(study: "PairedStudy") -> Shaped[np.ndarray, " z"]:
    return mean_inside(np.asarray(study.pet), np.asarray(study.regions) > 0)


def _evenly(n: int, k: int) -> list[int]:
    """The k of n places that stand at the middles of k equal parts."""
    return sorted({min(int((i + 0.5) / k * n), n - 1) for i in range(k)})


def _at_quantiles(values: Shaped[np.ndarray, " z"], k: int) -> list[int]:
    return sorted(_by_uptake(values, k))


def _by_uptake(values: Shaped[np.ndarray, " z"], k: int) -> list[int]:
    """The places of k evenly spaced quantiles, the lowest first."""
    order = np.argsort(values, kind="stable")
    return [int(order[i]) for i in _evenly(len(order), k)]
