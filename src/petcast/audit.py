"""`petcast audit`: what leaks in some pairs, and what the published split of them would leak.

`require_clean` is the part that `train` calls each time: it reads small files only.
docs/how-to/audit.md says what each leak means and what to do.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from petcast.errors import DataError
from petcast.pairs import Document, Pairs
from petcast.pairs.leaks import (
    Content,
    LeakKind,
    Leaks,
    contents_of,
    describe,
    find_leaks,
    leak_rows,
    parts_of,
)
from petcast.pairs.shuffle import split_by_slice
from petcast.progress import track
from petcast.recipe import ModelRecipe
from petcast.words import count

MOST_COPIED = 256
"""Test slices that are compared with their neighbours; of more, as many spread evenly."""

PSNR_CEILING_DB = 100.0
"""That of `petcast.metrics.error`, which would load torch before every `prepare`."""

SPLITS = {
    "patient": "split by patient",
    "file": "split by a file that names each patient's part",
    "published": "split by slices, whosever they are",
}
"""What is said of a split's kind."""

NAMED = 3
"""How many groups of patients a message names."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Copying:
    """How far one comes without learning: each test slice is its nearest training slice.

    Attributes:
        slices: Test slices that were compared.
        psnr_db: Mean over them of the PSNR of the copied PET, whole slice, SUV 0…10.
        zero_psnr_db: The same of an image that is 0 everywhere.
    """

    slices: int
    psnr_db: float
    zero_psnr_db: float


@dataclass(frozen=True)
class Published:
    """What the published split of the same data leaks.

    Attributes:
        train: Slices to train on.
        test: Slices to test on.
        leaks: How many of each kind.
        copying: How well copying does; None where no test slice has its study in training.
    """

    train: int
    test: int
    leaks: Leaks
    copying: Copying | None

    def to_json(self) -> Document:
        """Lay it out for `petcast audit --json`.

        Returns:
            `train`, `test`, `leaks` and `copying`.
        """
        copying = self.copying and {
            "slices": self.copying.slices,
            "psnr_db": round(self.copying.psnr_db, 2),
            "zero_psnr_db": round(self.copying.zero_psnr_db, 2),
        }
        leaks = leak_rows(self.leaks)
        return {"train": self.train, "test": self.test, "leaks": leaks, "copying": copying}


@dataclass(frozen=True)
class Audit:
    """What some pairs leak.

    Attributes:
        kind: Of their split: "patient", "file" or "published".
        marked: The split says of itself that it leaks.
        patients: How many there are.
        slices: How many there are.
        leaks: How many of each kind; only kinds that occur.
        published: What the published split of the same data leaks.
        alike: Groups of patients that share images: each is likely one person.
    """

    kind: str
    marked: bool
    patients: int
    slices: int
    leaks: Leaks
    published: Published
    alike: Sequence[Sequence[str]] = ()

    @property
    def clean(self) -> bool:
        """Nothing leaks."""
        return not self.leaks

    def to_json(self) -> Document:
        """Lay the audit out for `petcast audit --json`.

        Returns:
            `leaks` (rows of `kind` and `count`), `clean`, and what it was found on.
        """
        return {
            "leaks": leak_rows(self.leaks),
            "clean": self.clean,
            "split": self.kind,
            "marked": self.marked,
            "patients": self.patients,
            "slices": self.slices,
            "published": self.published.to_json(),
            "same_images": [list(patients) for patients in self.alike],
        }

    def table(self) -> list[list[str]]:
        """Lay the leaks out as a table.

        Returns:
            A head and a row for each kind: its code, what is counted, the count in these pairs
            and in the published split of the same data.
        """
        head = ["leak", "counted", "here", "published split"]
        rows = [
            [
                kind,
                kind.counted,
                *(str(of.get(kind, 0)) for of in (self.leaks, self.published.leaks)),
            ]
            for kind in LeakKind
        ]
        return [head, *rows]

    def sentences(self) -> list[str]:
        """Say what the numbers mean.

        Returns:
            A few sentences.
        """
        verdict = "Nothing leaks." if self.clean else f"These pairs leak: {describe(self.leaks)}."
        if self.marked:
            verdict += " Their split is marked as leaking."
        held = f"{count(self.patients, 'patient')}, {count(self.slices, 'slice')}"
        said = [f"{held}, {SPLITS.get(self.kind, 'split')}. {verdict}"]
        if self.alike:
            said.append(
                f"{_named(self.alike)} Each counts as a patient of its own, in metrics' intervals "
                "too: take all exports but one away, and prepare again."
            )
        copying = self.published.copying
        if copying is not None:
            said.append(
                "Under the published split, the test part holds "
                f"{count(self.published.test, 'slice')}; copying the PET of the nearest "
                "training slice, without any network, scores a PSNR of "
                f"{copying.psnr_db:.1f} dB (an image of zeros: {copying.zero_psnr_db:.1f} dB)."
            )
        return said


def audit(pairs: Pairs) -> Audit:
    """Look for leaks in pairs, and say what the published split of the same data would leak.

    Args:
        pairs: Opened.

    Returns:
        What leaks.

    Raises:
        FormatError: The pairs are damaged, or older than slice hashes.
    """
    contents = list(contents_of(pairs.path, pairs.index["studies"]))
    split = pairs.index.get("split", {})
    kind = str(split.get("kind", ""))
    shuffled = contents if kind == "published" else _shuffled(contents, pairs)
    of_part = Counter(part for content in shuffled for part in content.parts)
    published = Published(
        of_part["train"], of_part["test"], find_leaks(shuffled), _copying(pairs, shuffled)
    )
    return Audit(
        kind,
        bool(split.get("leaks")),
        len({content.patient for content in contents}),
        sum(len(content.parts) for content in contents),
        find_leaks(contents),
        published,
        _alike(contents),
    )


def require_clean(pairs: Pairs) -> None:
    """Refuse pairs that leak, unless they are marked to; then warn.

    Args:
        pairs: Opened. Their arrays are not read.

    Raises:
        DataError: They leak, and what.
    """
    contents = list(contents_of(pairs.path, pairs.index["studies"]))
    leaks = find_leaks(contents)
    if leaks and pairs.index["split"].get("leaks"):
        _LOG.warning("these pairs leak, as their split says: %s", describe(leaks))
    elif leaks:
        raise DataError(_said(pairs, leaks, contents))


def leak_of(pairs: Pairs) -> str:
    """Say what leaks in pairs that are not marked to, and what to do.

    Args:
        pairs: Opened, just prepared: what their index says of leaks is true.

    Returns:
        Sentences with pseudonyms; empty where nothing leaks.
    """
    if pairs.index["audit"]["clean"] or pairs.index["split"].get("leaks"):
        return ""
    contents = list(contents_of(pairs.path, pairs.index["studies"]))
    return _said(pairs, find_leaks(contents), contents)


def _said(pairs: Pairs, leaks: Leaks, contents: Sequence[Content]) -> str:
    return (
        f"{pairs.path} leaks: {describe(leaks)}. A network would be tested on what it has learned. "
        f"{_remedy(contents)}"
    )


# What is compared


def _shuffled(contents: Sequence[Content], pairs: Pairs) -> list[Content]:
    """The same studies under the published split."""
    slices_of = {content.study: len(content.parts) for content in contents}
    patient_of = {content.study: content.patient for content in contents}
    seed = int(pairs.index.get("preparation", {}).get("seed", 0))
    split = split_by_slice(slices_of, patient_of, seed)
    placed = {name: split.place(name, patient_of[name]) for name in slices_of}
    return [
        replace(content, parts=parts_of(placed[content.study], len(content.parts)))
        for content in contents
    ]


def _remedy(contents: Sequence[Content]) -> str:
    """What to do; where several patients share images, which."""
    shared = _alike(contents)
    if not shared:
        return "Prepare again, divided by patient."
    return (
        f"{_named(shared)} Put them into one part with a split file, or take one export away, and "
        "prepare again."
    )


def _named(shared: Sequence[Sequence[str]]) -> str:
    named = "; ".join(" and ".join(names) for names in shared[:NAMED])
    more = " …" if len(shared) > NAMED else ""
    return f"Patients that share images, so that they are likely one: {named}{more}."


def _alike(contents: Sequence[Content]) -> list[list[str]]:
    """Groups of patients that share images."""
    patients: dict[str, set[str]] = defaultdict(set)
    for one in contents:
        for hashes in (*one.slices.values(), *one.sources.values()):
            for content in filter(None, hashes):
                patients[content].add(one.patient)
    return _joined({frozenset(names) for names in patients.values() if len(names) > 1})


def _joined(groups: Iterable[frozenset[str]]) -> list[list[str]]:
    """Groups that share a member become one: who shares images with one of them is one of them."""
    found: list[frozenset[str]] = []
    for group in groups:
        apart = [other for other in found if not other & group]
        found = [*apart, group.union(*(other for other in found if other & group))]
    return sorted(map(sorted, found))


# Copying


def _copying(pairs: Pairs, contents: Sequence[Content]) -> Copying | None:
    """Compare test slices with the nearest training slice of their own study."""
    studies = {study.id: study for study in pairs.studies()}
    places = [(one.study, *pair) for one in contents for pair in _nearest(one.parts)]
    if not places:
        return None
    step = max(1, len(places) / MOST_COPIED)
    chosen = [places[int(n * step)] for n in range(min(len(places), MOST_COPIED))]
    copied, zero = [], []
    for name, z, nearest in track(chosen, "Comparing neighbours"):
        pet = studies[name].pet
        copied.append(_psnr_db(pet[z], pet[nearest]))
        zero.append(_psnr_db(pet[z], np.zeros_like(pet[z])))
    return Copying(len(chosen), float(np.mean(copied)), float(np.mean(zero)))


def _nearest(parts: Sequence[str]) -> list[tuple[int, int]]:
    """Each test slice with the training slice that is nearest to it."""
    train = [z for z, part in enumerate(parts) if part == "train"]
    if not train:
        return []
    return [
        (z, min(train, key=lambda other: abs(other - z)))
        for z, part in enumerate(parts)
        if part == "test"
    ]


def _psnr_db(truth: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    low, high = ModelRecipe().suv_window
    one, two = (np.clip((suv - low) / (high - low), 0, 1) for suv in (truth, other))
    mse = float(np.square(one - two, dtype=np.float64).mean())
    return min(PSNR_CEILING_DB, -10 * float(np.log10(mse))) if mse else PSNR_CEILING_DB
