"""Which data were used, and which were refused and why."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from petcast.pairs.split import PARTS
from petcast.refusal import Reason
from petcast.report.inputs import Document, finite, records, table
from petcast.report.numbers import MISSING, number
from petcast.words import count

MOST_CASES = 40
"""Refusals of one reason that are listed; the others are counted."""


@dataclass(frozen=True)
class Part:
    """A part of the split.

    Attributes:
        name: "train", "validation" or "test".
        patients: How many.
        studies: How many.
        slices: Pairs of CT and PET slices.
        suv_max: The largest SUV in it, as text.
    """

    name: str
    patients: int
    studies: int
    slices: int
    suv_max: str


@dataclass(frozen=True)
class Fact:
    """A property of the data and the values it takes.

    Attributes:
        name: What it is.
        value: Its values.
    """

    name: str
    value: str


@dataclass(frozen=True)
class RefusedCase:
    """One refusal.

    Attributes:
        level: "study", "series" or "file".
        id: Its pseudonym.
        modality: CT, PT …; empty where unknown.
        files: How many it held; 0 where unknown.
        detail: What was found.
    """

    level: str
    id: str
    modality: str
    files: int
    detail: str


@dataclass(frozen=True)
class RefusedGroup:
    """Everything refused for one reason.

    Attributes:
        code: The reason.
        meaning: In a sentence; empty for an unknown code.
        remedy: What to do.
        counts: Such as "2 series, 1 study".
        files: How many files the studies and series among them held; 0 where unknown.
        cases: The first of them.
        more: How many are not listed.
    """

    code: str
    meaning: str
    remedy: str
    counts: str
    files: int
    cases: tuple[RefusedCase, ...]
    more: int


@dataclass(frozen=True)
class DataAccount:
    """What was used and what was not.

    Attributes:
        parts: Of the split.
        facts: Of the used studies.
        notes: Repairs and remarks, with the number of studies that have them.
        refused: By reason, the most frequent first.
        split_kind: How patients were divided.
        split_note: What that means.
    """

    parts: tuple[Part, ...]
    facts: tuple[Fact, ...]
    notes: tuple[tuple[str, int], ...]
    refused: tuple[RefusedGroup, ...]
    split_kind: str
    split_note: str

    @property
    def refusals(self) -> int:
        """How many studies, series and files were refused."""
        return sum(len(group.cases) + group.more for group in self.refused)


def account_for(index: Document) -> DataAccount:
    """Read the index of the pairs.

    Args:
        index: A copy of pairs.json; may be empty.

    Returns:
        What it says, in the page's words.
    """
    studies = records(index, "studies")
    split = table(index, "split")
    notes = Counter(note for study in studies for note in _texts(study.get("notes")))
    return DataAccount(
        parts=tuple(_parts(index, studies)),
        facts=tuple(_facts(studies)),
        notes=tuple(sorted(notes.items(), key=lambda item: (-item[1], item[0]))),
        refused=tuple(_refused(records(index, "refused"))),
        split_kind=_split_kind(split),
        split_note=str(split.get("note") or ""),
    )


def leaks(index: Document, part: str = "test") -> bool | None:
    """Whether patients both train and stand in another part.

    Args:
        index: A copy of pairs.json; may be empty.
        part: The other one.

    Returns:
        None where the index does not say.
    """
    listed = table(index, "parts")
    train, other = listed.get("train"), listed.get(part)
    if not isinstance(train, list) or not isinstance(other, list):
        return None
    return bool({str(name) for name in train} & {str(name) for name in other})


def _parts(index: Document, studies: Sequence[Document]) -> Iterable[Part]:
    listed = table(index, "parts")
    if not studies and not listed:
        return
    for name in PARTS:
        own = [(study, n) for study in studies if (n := _slices(study, name)) is not None]
        members = listed.get(name)
        found = {study.get("patient") for study, _ in own}
        patients = members if isinstance(members, list) else found
        tops = [top for study, _ in own if (top := finite(study.get("suv_max"))) is not None]
        slices = sum(n for _, n in own)
        yield Part(name, len(patients), len(own), slices, number(max(tops, default=None), 1))


def _slices(study: Document, part: str) -> int | None:
    """How many slices a study gives to a part; None where it gives none.

    A split that shuffles slices lists runs of them by part: the first, and the one after the last.
    """
    if study.get("part") == part:
        return int(finite(study.get("slices")) or 0)
    runs = table(study, "ranges").get(part)
    if not isinstance(runs, list) or not runs:
        return None
    return sum(_length(run) for run in runs)


def _length(run: object) -> int:
    if not isinstance(run, list) or len(run) != 2:
        return 0
    first, after = finite(run[0]), finite(run[1])
    return int(after - first) if first is not None and after is not None else 0


def _facts(studies: Sequence[Document]) -> Iterable[Fact]:
    for key, name in (("factor_rule", "SUV factor from"), ("time_rule", "Decay time from")):
        counts = Counter(str(study[key]) for study in studies if study.get(key))
        if counts:
            shares = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            yield Fact(name, "; ".join(f"{rule} ({n})" for rule, n in shares))
    minutes = [m for study in studies if (m := finite(study.get("uptake_minutes"))) is not None]
    if minutes:
        yield Fact("Uptake time", f"{_range(minutes, 0)} min")
    for key, name in (("ct_spacing_mm", "CT as scanned"), ("pet_spacing_mm", "PET as scanned")):
        spacings = [s for study in studies if (s := _spacing(study.get(key))) is not None]
        if spacings:
            yield Fact(name, _spacing_text(spacings))


def _spacing(value: object) -> tuple[float, ...] | None:
    if not isinstance(value, list) or len(value) != 3:
        return None
    numbers = [finite(item) for item in value]
    held = tuple(item for item in numbers if item is not None)
    return held if len(held) == 3 else None


def _spacing_text(spacings: Sequence[tuple[float, ...]]) -> str:
    x, y, z = (_range([spacing[axis] for spacing in spacings], 2) for axis in range(3))
    return f"{x} × {y} × {z} mm"


def _range(values: Sequence[float], digits: int) -> str:
    low, high = number(min(values), digits), number(max(values), digits)
    return low if low == high else f"{low}–{high}"


def _split_kind(split: Document) -> str:
    kind = str(split.get("kind") or "")
    seed = split.get("seed")
    return {
        "": MISSING,
        "patient": f"whole patients by lot, seed {seed}",
        "file": "as a file of the user says",
        "published": f"slices shuffled, whosever they are, seed {seed}",
    }.get(kind, kind)


def _refused(rows: Sequence[Document]) -> Iterable[RefusedGroup]:
    counts = Counter(str(row.get("reason") or "unknown") for row in rows)
    known = {str(reason): reason for reason in Reason}
    for code, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        own = [row for row in rows if str(row.get("reason") or "unknown") == code]
        cases = tuple(_case(row) for row in own)
        reason = known.get(code)
        yield RefusedGroup(
            code=code,
            meaning=reason.meaning if reason else "This petcast does not know the code.",
            remedy=reason.remedy if reason else "",
            counts=_level_counts(cases),
            files=sum(case.files for case in cases if case.level != "file"),
            cases=cases[:MOST_CASES],
            more=max(n - MOST_CASES, 0),
        )


def _case(row: Document) -> RefusedCase:
    return RefusedCase(
        level=str(row.get("level") or ""),
        id=str(row.get("id") or ""),
        modality=str(row.get("modality") or ""),
        files=int(finite(row.get("files")) or 0),
        detail=str(row.get("detail") or ""),
    )


_MANY = {"study": "studies", "series": "series"}


def _level_counts(cases: Sequence[RefusedCase]) -> str:
    counts = Counter(case.level or "item" for case in cases)
    return ", ".join(count(n, level, _MANY.get(level)) for level, n in sorted(counts.items()))


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
