"""Which slices are shown, and in which order."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

REPEATED = 0.1
"""Share of the pictures that come twice: whether a reader agrees with himself."""

TRIES = 200


@dataclass(frozen=True)
class Place:
    """A slice that is shown.

    Attributes:
        patient: Pseudonym.
        study: Pseudonym.
        slice: Its number in the study.
    """

    patient: str
    study: str
    slice: int


@dataclass(frozen=True)
class Shown:
    """A picture, in its turn.

    Attributes:
        place: The slice's number among those chosen.
        source: 0 for the real PET, then the runs.
        repeats: The number of the picture that it shows again; None of one that is new.
    """

    place: int
    source: int
    repeats: int | None = None


def choose_places(
    slices: Mapping[tuple[str, str], int], wanted: int, *, seed: int = 0
) -> list[Place]:
    """Choose slices evenly: as many of each patient, and spread over the patient's slices.

    Args:
        slices: How many each study has, by patient and study.
        wanted: How many to choose; all where there are fewer.
        seed: Which patients give one more where they cannot all give as many.

    Returns:
        The slices, patient by patient.

    Example:
        >>> [place.slice for place in choose_places({("p", "s"): 10}, 2)]
        [2, 7]
    """
    by_patient: dict[str, list[Place]] = {}
    for (patient, study), number in sorted(slices.items()):
        own = by_patient.setdefault(patient, [])
        own += [Place(patient, study, z) for z in range(number)]
    quotas = _quotas({patient: len(own) for patient, own in by_patient.items()}, wanted, seed)
    return [
        own[(2 * k + 1) * len(own) // (2 * quotas[patient])]
        for patient, own in by_patient.items()
        for k in range(quotas[patient])
    ]


def _quotas(holds: Mapping[str, int], wanted: int, seed: int) -> dict[str, int]:
    """How many slices each patient gives; one who has too few leaves the rest to the others."""
    turns = sorted(holds)
    random.Random(seed).shuffle(turns)  # noqa: S311  a draw, no secret
    quotas = dict.fromkeys(turns, 0)
    left = min(wanted, sum(holds.values()))
    while left:
        for patient in turns:
            if left and quotas[patient] < holds[patient]:
                quotas[patient] += 1
                left -= 1
    return quotas


def put_in_order(places: Sequence[Place], sources: int, *, seed: int | str = 0) -> list[Shown]:
    """Mix the pictures so that their order tells nothing.

    In each round every slice comes once, in another source's picture each time, and the sources are
    as frequent as each other. So no slice comes again soon, and never beside itself. The last round
    also holds the repeated ones, which stood in the first.

    Args:
        places: The chosen slices.
        sources: The real PET and the runs.
        seed: The same seed gives the same order. A page shows how many pictures there are and which
            slice each is, so a seed that can be guessed tells all sources.

    Returns:
        Each slice of each source once, and some of the first round twice.
    """
    draw = random.Random(seed)  # noqa: S311
    offsets = list(range(len(places)))
    draw.shuffle(offsets)
    order: list[Shown] = []
    for turn in range(sources):
        more = [Shown(k, (offsets[k] + turn) % sources) for k in range(len(places))]
        if turn == sources - 1 and turn:
            again = draw.sample(range(len(places)), _repeats(len(places), sources))
            more += [Shown(order[k].place, order[k].source, k) for k in sorted(again)]
        order += _apart(more, order, draw)
    return order


def _apart(more: list[Shown], before: Sequence[Shown], draw: random.Random) -> list[Shown]:
    """Shuffle until no slice stands beside itself; with very few slices that may be impossible."""
    for _ in range(TRIES):
        draw.shuffle(more)
        if all(one.place != other.place for one, other in pairwise([*before[-1:], *more])):
            break
    return more


def _repeats(places: int, sources: int) -> int:
    return min(places, round(REPEATED * places * sources))
