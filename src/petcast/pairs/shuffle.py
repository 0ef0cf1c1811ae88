"""The published split as petcast reads it: slices shuffled, 400 to train on and 64 to test on.

The paper counts pairs, not patients, and does not say how they were divided (decision 3).

It leaks, and is marked so wherever it goes: a slice and its neighbour 3 mm away show the same
patient, the same organs and the same lesion. It is offered so that published numbers can be
compared with, and so that `petcast audit` can say how much it leaks.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from petcast.pairs.split import MIXED, PARTS, Range, Split

PUBLISHED_TRAIN = 400
PUBLISHED_TEST = 64
"""Of 464 pairs; of other numbers, the same share."""

NOTE = (
    "THIS SPLIT LEAKS: slices were shuffled, so neighbouring slices of one patient "
    "train and test. What is measured on it says nothing about patients never seen. "
    "Slices: train {train}, test {test}; {shared} of {patients} patients are in both."
)


@dataclass(frozen=True)
class SliceSplit(Split):
    """A split of slices.

    Attributes:
        ranges: Of each study and part, the runs of its slices: from the first up to, not with,
            the second number.
        patient_of: The patient of each study.
    """

    ranges: Mapping[str, Mapping[str, Sequence[Range]]] = field(default_factory=dict)
    patient_of: Mapping[str, str] = field(default_factory=dict)

    def parts(self) -> dict[str, list[str]]:
        """List the patients that have slices in each part.

        Returns:
            Sorted pseudonyms by part; most stand in two.
        """
        return {
            part: sorted({self.patient_of[name] for name, own in self.ranges.items() if own[part]})
            for part in PARTS
        }

    def place(self, study: str, patient: str) -> dict[str, Any]:  # noqa: ARG002
        """Say where a study's slices go.

        Args:
            study: Its pseudonym.
            patient: Its patient's.

        Returns:
            `part` "mixed", and `ranges`.
        """
        own = self.ranges[study]
        return {"part": MIXED, "ranges": {part: [list(run) for run in own[part]] for part in PARTS}}

    def to_json(self) -> dict[str, Any]:
        """Lay the split out for pairs.json.

        Returns:
            `kind`, `seed`, `note` and `leaks`.
        """
        return {**super().to_json(), "leaks": True}


def split_by_slice(
    slices_of: Mapping[str, int], patient_of: Mapping[str, str], seed: int
) -> SliceSplit:
    """Shuffle slices, whosever they are.

    Args:
        slices_of: How many slices each study has.
        patient_of: The patient of each study.
        seed: The same studies and seed give the same split everywhere.

    Returns:
        The split; it has no validation part.

    Example:
        >>> split = split_by_slice({"s": 464}, {"s": "p"}, seed=0)
        >>> [sum(b - a for a, b in split.ranges["s"][part]) for part in ("train", "test")]
        [400, 64]
    """
    places = [(study, z) for study, slices in slices_of.items() for z in range(slices)]
    shuffled = sorted(places, key=lambda place: _lot(seed, *place))
    test = _test_slices(len(shuffled))
    chosen = {"train": _runs(shuffled[test:]), "validation": {}, "test": _runs(shuffled[:test])}
    ranges = {study: {part: chosen[part].get(study, []) for part in PARTS} for study in slices_of}
    split = SliceSplit("published", seed, {}, "", ranges=ranges, patient_of=patient_of)
    parts = split.parts()
    note = NOTE.format(
        train=len(shuffled) - test,
        test=test,
        shared=len(set(parts["train"]) & set(parts["test"])),
        patients=len(set(parts["train"]) | set(parts["test"])),
    )
    return replace(split, note=note)


def _lot(seed: int, study: str, z: int) -> bytes:
    return hashlib.sha256(f"{seed}:{study}:{z}".encode()).digest()


def _test_slices(slices: int) -> int:
    wanted = round(slices * PUBLISHED_TEST / (PUBLISHED_TRAIN + PUBLISHED_TEST))
    return min(max(1, wanted), slices - 1) if slices else 0


def _runs(places: Sequence[tuple[str, int]]) -> dict[str, list[Range]]:
    """Each study's slices among some places, as runs of neighbours."""
    runs: dict[str, list[Range]] = defaultdict(list)
    for study, z in sorted(places):
        own = runs[study]
        if own and own[-1][1] == z:
            own[-1] = (own[-1][0], z + 1)
        else:
            own.append((z, z + 1))
    return runs
