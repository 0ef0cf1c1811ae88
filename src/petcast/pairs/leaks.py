"""What a network would be tested on although it has learned it: found by ids and by content.

Patients and studies are compared by their ids, images by hashes of their slices that `prepare`
wrote down, so that nothing but small files is read. Slices are compared twice: as they lie in the
pairs, and as they came, so that one person's scan that was exported twice, under two numbers and
cut differently, is found out.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from petcast.errors import FormatError
from petcast.pairs.split import MIXED, PARTS
from petcast.pairs.store import Document, read_card, study_folder
from petcast.words import count

MODALITIES = ("ct", "pet")


class LeakKind(StrEnum):
    """What is in two parts.

    Attributes:
        one: What is counted, where it is one.
        many: The same, where it is more.
        where: Which of them.
    """

    one: str
    many: str
    where: str

    def __new__(cls, code: str, one: str, many: str, where: str) -> "LeakKind":
        """Make a member of its code; the words travel as attributes."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.one, member.many, member.where = one, many, where
        return member

    PATIENT = ("patient-in-two-parts", "patient", "patients", "with slices in two parts")
    STUDY = ("study-in-two-parts", "study", "studies", "with slices in two parts")
    SERIES = (
        "series-in-two-parts", "CT or PET series", "CT and PET series", "with slices in two parts",
    )  # fmt: skip
    SLICE = (
        "identical-slice-in-two-parts", "CT or PET slice", "different CT and PET slices",
        "in two parts",
    )  # fmt: skip
    SOURCE = (
        "identical-source-slice-in-two-parts", "CT or PET slice", "different CT and PET slices",
        "in two parts, as they came",
    )  # fmt: skip
    NEIGHBOUR = (
        "neighbouring-slice-in-two-parts", "slice", "slices",
        "held out of training whose direct neighbour is in another part",
    )  # fmt: skip

    @property
    def counted(self) -> str:
        """What its number counts."""
        return f"{self.many} {self.where}"


Leaks = Mapping[LeakKind, int]


@dataclass(frozen=True)
class Content:
    """One study, as far as leaks go.

    Attributes:
        study: Its pseudonym.
        patient: Its patient's.
        parts: The part of each slice, empty for a slice in none.
        slices: Hashes of the slices in the pairs, by modality; None for a blank one.
        sources: Hashes of the slices as they came, by modality; nothing where unknown.
    """

    study: str
    patient: str
    parts: tuple[str, ...]
    slices: Mapping[str, Sequence[str | None]]
    sources: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def held(self) -> set[str]:
        """The parts that its slices are in."""
        return set(self.parts) - {""}


def contents_of(pairs: Path, rows: Iterable[Document]) -> Iterator[Content]:
    """Gather what studies hold, card by card: all cards at once would fill the memory.

    Args:
        pairs: Their folder.
        rows: Of pairs.json.

    Yields:
        A study each; no array is read.

    Raises:
        FormatError: A card is damaged, or older than slice hashes.
    """
    for row in rows:
        yield _content_of(row, read_card(study_folder(pairs, row["id"])))


def _content_of(row: Document, card: Document) -> Content:
    try:
        slices = {name: tuple(card["slice_hashes"][name]) for name in MODALITIES}
        known = card.get("source_hashes") or {}
        sources = {name: frozenset(filter(None, known[name])) for name in known}
        parts = parts_of(row, len(slices["ct"]))
    except (KeyError, TypeError, ValueError):
        raise FormatError(
            f"study {row.get('id')} has no hashes of its slices; give the same `petcast prepare` "
            "again, it writes them"
        ) from None
    return Content(str(row["id"]), str(row["patient"]), parts, slices, sources)


def parts_of(row: Document, slices: int) -> tuple[str, ...]:
    """Say which part each slice of a study is in.

    Args:
        row: Its row of pairs.json: `part`, and of a mixed study `ranges`.
        slices: How many it has.

    Returns:
        A part a slice, empty for a slice in none.
    """
    if row["part"] != MIXED:
        return (str(row["part"]),) * slices
    parts = [""] * slices
    for part, runs in row["ranges"].items():
        for start, stop in runs:
            parts[start:stop] = [part] * (stop - start)
    return tuple(parts)


def find_leaks(contents: Iterable[Content]) -> dict[LeakKind, int]:
    """Count what is in two parts.

    Args:
        contents: Studies, each once; each is let go of before the next is drawn.

    Returns:
        Kinds that occur, and how often.
    """
    tallies = {kind: _Tally() for kind in _PLACED}
    beside = 0
    for one in contents:
        for kind, placed in _PLACED.items():
            tallies[kind].count(placed(one))
        beside += _beside_another_part(one)
    counts = {kind: tally.in_two_parts() for kind, tally in tallies.items()}
    counts[LeakKind.NEIGHBOUR] = beside
    return {kind: count for kind, count in counts.items() if count}


Placed = Iterable[tuple[object, set[str]]]


class _Tally:
    """Which names were met in which parts: nine bytes each, for a cohort has many slices."""

    def __init__(self) -> None:
        self._names = array("Q")
        self._parts = array("B")

    def count(self, placed: Placed) -> None:
        for name, held in placed:
            digest = hashlib.blake2b(repr(name).encode(), digest_size=8).digest()
            self._names.append(int.from_bytes(digest, "little"))
            self._parts.append(sum(1 << PARTS.index(part) for part in held))

    def in_two_parts(self) -> int:
        if not self._names:
            return 0
        names = np.frombuffer(self._names, np.uint64)
        order = np.argsort(names)
        starts = np.flatnonzero(np.diff(names[order], prepend=~names[order[:1]]))
        parts = np.frombuffer(self._parts, np.uint8)[order]
        several = np.bitwise_count(np.bitwise_or.reduceat(parts, starts)) > 1
        return int(several.sum())


def _series(one: Content) -> Placed:
    """CT and PET, known by all their slices; where these are unknown, by their study."""
    for name in MODALITIES:
        yield (name, sorted(one.sources.get(name, ())) or one.study), one.held


def _slices(one: Content) -> Placed:
    for name in MODALITIES:
        for content, part in zip(one.slices[name], one.parts, strict=True):
            if content is not None and part:
                yield (name, content), {part}


def _sources(one: Content) -> Placed:
    """Slices as they came, of a study that lies in one part; those of others say no more."""
    if len(one.held) == 1:
        for name, hashes in one.sources.items():
            yield from (((name, content), one.held) for content in hashes)


def _beside_another_part(content: Content) -> int:
    parts = content.parts
    count = 0
    for z, part in enumerate(parts):
        beside = {*parts[max(z - 1, 0) : z], *parts[z + 1 : z + 2]} - {"", part}
        count += bool(beside) and part not in ("", "train")
    return count


_PLACED: Mapping[LeakKind, Callable[[Content], Placed]] = {
    LeakKind.PATIENT: lambda one: [(one.patient, one.held)],
    LeakKind.STUDY: lambda one: [(one.study, one.held)],
    LeakKind.SERIES: _series,
    LeakKind.SLICE: _slices,
    LeakKind.SOURCE: _sources,
}
"""What of a study is looked for in two parts."""


def describe(leaks: Leaks) -> str:
    """Put leaks into words.

    Args:
        leaks: Of at least one kind.

    Returns:
        Such as "2 patients with slices in two parts".
    """
    return "; ".join(f"{count(n, kind.one, kind.many)} {kind.where}" for kind, n in leaks.items())


def leak_rows(leaks: Leaks) -> list[dict[str, Any]]:
    """Lay leaks out for JSON.

    Args:
        leaks: Kinds that occur, and how often.

    Returns:
        Rows of `kind` and `count`.
    """
    return [{"kind": str(kind), "count": count} for kind, count in leaks.items()]
