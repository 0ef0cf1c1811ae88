"""From readers' answers to numbers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from statistics import fmean, median
from typing import Any

import petcast
from petcast.disk.durable import write_json
from petcast.errors import UsageError
from petcast.evaluate.statistics import SEED, bootstrap_interval, few_patients
from petcast.reading.answers import (
    ARTEFACTS,
    CALLS,
    FORMAT,
    QUALITIES,
    REAL,
    SCORES_FILE,
    Answer,
    Reader,
    read_answers,
    read_key,
)
from petcast.reading.statistics import (
    FEWEST_PATIENTS,
    Rated,
    telling_apart,
    weighted_kappa,
    with_width,
)
from petcast.words import count, number

CALLED_SYNTHETIC = 4
"""From this answer on, a reader calls the picture synthetic."""

QUESTIONS = {"synthetic": len(CALLS), "quality": len(QUALITIES)}
"""How many grades each has."""

Document = dict[str, Any]
Images = Sequence[Mapping[str, Any]]


def score_reading(reading: Path, answers: Sequence[Path]) -> Document:
    """Count what readers said, and write READING/scores.json.

    Pictures that were shown again count for agreement alone.

    Args:
        reading: A folder that `petcast reading` wrote.
        answers: A file a reader.

    Returns:
        `sources` (called synthetic, quality, what disturbs), `told_apart`, `agreement`, `readers`.

    Raises:
        UsageError: It is no reading, there are no answers, or they are to another one.
        FormatError: A file is damaged.
    """
    if not answers:
        raise UsageError("no answers are given; add --answers FILE, once for each reader")
    key = read_key(reading)
    readers = read_answers(answers, key)
    images = key["images"]
    names = [source["name"] for source in key["sources"]]
    document = {
        "format": FORMAT, "petcast": petcast.__version__, "reading": key["id"],
        "readers": [_reader_row(reader, len(images)) for reader in readers],
        "sources": [_source_row(name, readers, images) for name in names],
        "told_apart": [_apart_row(name, readers, images) for name in names if name != REAL],
        "agreement": [*_between(readers, images), *_within(readers, images)],
    }  # fmt: skip
    document["notes"] = list(_notes(document, readers, images))
    write_json(reading / SCORES_FILE, document)
    return document


def _reader_row(reader: Reader, images: int) -> Document:
    took = [answer.seconds for answer in reader.answers.values()]
    return {"name": reader.name, "answered": len(took), "images": images,
            "median_seconds": median(took) if took else None}  # fmt: skip


Given = dict[str, dict[str, list[Answer]]]
"""Answers by patient, then by reader."""


def _given(readers: Sequence[Reader], images: Images, name: str) -> Given:
    """All answers to new pictures of a source."""
    found: Given = {}
    for reader in readers:
        for at, answer in reader.answers.items():
            if images[at]["source"] == name and images[at]["repeats"] is None:
                own = found.setdefault(images[at]["patient"], {})
                own.setdefault(reader.name, []).append(answer)
    return dict(sorted(found.items()))


def _by_patient(given: Given, value: Callable[[Answer], float]) -> list[float]:
    """Each patient's mean over readers, who count alike however many slices they judged."""
    return [fmean(fmean(map(value, answers)) for answers in own.values()) for own in given.values()]


def _source_row(name: str, readers: Sequence[Reader], images: Images) -> Document:
    given = _given(readers, images, name)
    calls = _by_patient(given, lambda one: one.synthetic >= CALLED_SYNTHETIC)
    qualities = _by_patient(given, lambda one: one.quality)
    shares = {key: _mean(_by_patient(given, partial(_marked, key))) for key in ARTEFACTS}
    answers = sum(len(one) for own in given.values() for one in own.values())
    return {
        "name": name, "answers": answers, "patients": len(given),
        "called_synthetic": _with_interval(calls), "quality": _with_interval(qualities),
        "artefacts": shares,
    }  # fmt: skip


def _marked(artefact: str, answer: Answer) -> bool:
    return artefact in answer.artefacts


def _with_interval(values: Sequence[float]) -> Document:
    """The mean over patients, and its interval where there are enough of them."""
    enough = len(values) >= FEWEST_PATIENTS
    ends = (bootstrap_interval(values, seed=SEED) if enough else None) or (None, None)
    low, high = with_width(ends)
    return {"value": _mean(values), "low": low, "high": high, "n": len(values)}


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _apart_row(name: str, readers: Sequence[Reader], images: Images) -> Document:
    rated = [
        [
            Rated(images[at]["patient"], images[at]["source"] == name, answer.synthetic)
            for at, answer in sorted(reader.answers.items())
            if images[at]["source"] in (name, REAL) and images[at]["repeats"] is None
        ]
        for reader in readers
    ]
    area = telling_apart(rated)
    if area is None:
        return {"name": name, "auc": None, "low": None, "high": None, "readers": []}
    each = zip((reader.name for reader in readers), area.readers, strict=True)
    return {"name": name, "auc": area.value, "low": area.low, "high": area.high,
            "readers": [{"name": who, "auc": value} for who, value in each]}  # fmt: skip


def _between(readers: Sequence[Reader], images: Images) -> Iterable[Document]:
    """Each two readers on the pictures that both judged."""
    for one, other in combinations(readers, 2):
        both = [at for at in sorted(one.answers.keys() & other.answers.keys())
                if images[at]["repeats"] is None]  # fmt: skip
        pairs = [(one.answers[at], other.answers[at]) for at in both]
        yield _agreement("between", [one.name, other.name], pairs)


def _within(readers: Sequence[Reader], images: Images) -> Iterable[Document]:
    """Each reader with himself on the pictures that came twice."""
    for reader in readers:
        twice = [(images[at]["repeats"], at) for at in sorted(reader.answers)
                 if images[at]["repeats"] in reader.answers]  # fmt: skip
        pairs = [(reader.answers[first], reader.answers[again]) for first, again in twice]
        yield _agreement("within", [reader.name], pairs)


def _agreement(kind: str, names: list[str], pairs: Sequence[tuple[Answer, Answer]]) -> Document:
    kappas = {
        question: weighted_kappa([getattr(one, question) for one, _ in pairs],
                                 [getattr(other, question) for _, other in pairs], grades)
        for question, grades in QUESTIONS.items()
    }  # fmt: skip
    return {"kind": kind, "readers": names, "images": len(pairs), "kappa": kappas}


def _notes(document: Document, readers: Sequence[Reader], images: Images) -> Iterable[str]:
    for reader in document["readers"]:
        if reader["answered"] < reader["images"]:
            yield (f"{reader['name']} answered {reader['answered']} of "
                   f"{count(reader['images'], 'picture')}")  # fmt: skip
    patients = len({images[at]["patient"] for reader in readers for at in reader.answers})
    if patients < FEWEST_PATIENTS:
        yield f"{count(patients, 'patient')} only: no interval can be given"
        return
    who = "one reader" if len(readers) == 1 else "these readers"
    yield f"the intervals are over {patients} patients, for {who}: others may judge otherwise"
    yield from (finding.detail for finding in few_patients(patients))
    if any(row["value"] is not None and row["low"] is None for row in _measured(document)):
        yield ("where all patients say the same no interval is given: they do not tell how others "
               "would differ")  # fmt: skip


def _measured(document: Document) -> Iterable[Document]:
    for row in document["sources"]:
        if row["patients"] >= FEWEST_PATIENTS:
            yield from (row["called_synthetic"], row["quality"])
    for row in document["told_apart"]:
        yield {"value": row["auc"], "low": row["low"]}


def printed(document: Mapping[str, Any]) -> list[tuple[str, list[list[str]]]]:
    """Lay scores out for a terminal.

    Args:
        document: What `score_reading` gave.

    Returns:
        Titles and rows, the first of which is the head.
    """
    return [
        ("What readers say, with 95 % intervals over patients", _source_table(document)),
        ("Told apart; 0.5 is guessing", _apart_table(document)),
        ("Agreement, as weighted kappa", _agreement_table(document)),
    ]


def _source_table(document: Mapping[str, Any]) -> list[list[str]]:
    head = ["", "answers", "called synthetic %", "quality (1 to 5)",
            *(f"{words} %" for words in ARTEFACTS.values())]  # fmt: skip
    return [head, *(
        [row["name"], str(row["answers"]), _cell(row["called_synthetic"], 0, 100),
         _cell(row["quality"], 1),
         *(_share(share) for share in row["artefacts"].values())]
        for row in document["sources"]
    )]  # fmt: skip


def _apart_table(document: Mapping[str, Any]) -> list[list[str]]:
    names = [reader["name"] for reader in document["readers"]]
    rows = []
    for row in document["told_apart"]:
        each = {one["name"]: one["auc"] for one in row["readers"]}
        area = {"value": row["auc"], "low": row["low"], "high": row["high"]}
        rows.append([row["name"], _cell(area, 2), *(number(each.get(name), 2) for name in names)])
    return [["", "area under ROC", *names], *rows]


def _agreement_table(document: Mapping[str, Any]) -> list[list[str]]:
    rows = [
        [_pair(row), str(row["images"]), *(number(row["kappa"][q], 2) for q in QUESTIONS)]
        for row in document["agreement"]
    ]
    return [["readers", "pictures", "real or synthetic", "quality"], *rows]


def _pair(row: Mapping[str, Any]) -> str:
    return (
        " and ".join(row["readers"]) if row["kind"] == "between" else f"{row['readers'][0]} again"
    )


def _share(value: float | None) -> str:
    return "" if value is None else number(100 * value, 0)


def _cell(found: Mapping[str, Any], digits: int, factor: int = 1) -> str:
    if found["value"] is None:
        return ""
    value = number(factor * found["value"], digits)
    if found["low"] is None:
        return value
    low, high = (number(factor * found[end], digits) for end in ("low", "high"))
    return f"{value} [{low}–{high}]"
