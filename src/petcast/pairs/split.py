"""Which patient trains, validates and tests: by a seed, by folds, or as a file says.

Always whole patients: slices of one patient in two parts would let a network be tested on what it
learned by heart. docs/how-to/split.md shows the file. The split of the published study, which
shuffles slices, is in `petcast.pairs.shuffle`.
"""

import csv
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from petcast.errors import UsageError
from petcast.recipe import PreparationRecipe
from petcast.words import count

PARTS = ("train", "validation", "test")
MIXED = "mixed"
"""The part of a study whose slices are in several."""

COLUMNS = ("patient", "part")

Range = tuple[int, int]
"""Slices from the first up to, not with, the second."""

LEAST_FOR_VALIDATION = 4
"""With fewer patients none can be spared for choosing an epoch."""


@dataclass(frozen=True)
class Split:
    """Who goes where.

    Attributes:
        kind: "patient" where a seed decided, "file" where the user did, "published" where slices
            were shuffled.
        seed: The seed; None for a file.
        part_of: Each patient's part.
        note: What the split means for choosing an epoch and for testing, in sentences.
        details: What else pairs.json shall say of it: folds, diagnoses.
    """

    kind: str
    seed: int | None
    part_of: Mapping[str, str]
    note: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def parts(self) -> dict[str, list[str]]:
        """List the patients of each part.

        Returns:
            Sorted pseudonyms by part; every part is there, perhaps empty.
        """
        return {
            part: sorted(patient for patient, own in self.part_of.items() if own == part)
            for part in PARTS
        }

    def place(self, study: str, patient: str) -> dict[str, Any]:  # noqa: ARG002
        """Say where a study's slices go.

        Args:
            study: Its pseudonym.
            patient: Its patient's.

        Returns:
            `part`, for its row in pairs.json.
        """
        return {"part": self.part_of[patient]}

    def to_json(self) -> dict[str, Any]:
        """Lay the split out for pairs.json.

        Returns:
            `kind`, `seed` where there is one, `note` and the details.
        """
        seed = {} if self.seed is None else {"seed": self.seed}
        return {"kind": self.kind, **seed, "note": self.note, **self.details}


@dataclass(frozen=True)
class SplitFile:
    """A split as the user wrote it, its patients not yet looked up.

    Attributes:
        rows: Line number, patient as written, and part.
        name: The file, for messages.
    """

    rows: tuple[tuple[int, str, str], ...]
    name: str


def split_by_seed(
    patients: Collection[str],
    recipe: PreparationRecipe,
    diagnoses: Mapping[str, str] | None = None,
) -> Split:
    """Divide patients by a seed; the same patients and seed give the same split everywhere.

    One patient trains. Of two, one tests; of three, too. From four on, at least one validates and
    one tests, unless the recipe asks for none. With folds, each patient tests in exactly one.

    Args:
        patients: Pseudonyms, in any order, repeated or not.
        recipe: Shares, seed and folds.
        diagnoses: The diagnosis of patients of whom it is known; each gets its share of each part.

    Returns:
        The split.

    Raises:
        UsageError: There are more folds than patients.

    Example:
        >>> split = split_by_seed(["a", "b", "c", "d"], PreparationRecipe())
        >>> [len(members) for members in split.parts().values()]
        [2, 1, 1]
    """
    known = (diagnoses or {}) if recipe.stratify else {}
    ordered = _ordered(set(patients), recipe.seed, known)
    test, validation = _sizes(len(ordered), recipe)
    if recipe.folds:
        ordered, test = _fold(ordered, recipe)
        validation = max(0, min(_validation(len(ordered), recipe), len(ordered) - test - 1))
    names = ["test"] * test + ["validation"] * validation
    names += ["train"] * (len(ordered) - len(names))
    part_of = dict(sorted(zip(ordered, names, strict=True)))
    note = f"{_fold_note(recipe)}{_note(part_of)}"
    return Split("patient", recipe.seed, part_of, note, _details(part_of, recipe, known))


def read_split_file(path: Path) -> SplitFile:
    """Read a split file and check what can be checked without the data.

    Args:
        path: CSV with the columns `patient,part`.

    Returns:
        Its rows.

    Raises:
        UsageError: It is no such file, and which line is wrong. No message repeats a patient.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no UTF-8 text; save it as CSV in UTF-8") from None
    lines = _cells(text, path)
    head = lines[0][1] if lines else []
    if tuple(cell.strip().lower() for cell in head) != COLUMNS:
        raise UsageError(f"{path}: its first line must be `{','.join(COLUMNS)}`{_parted(head)}")
    rows = [_row(cells, line, path) for line, cells in lines[1:] if any(map(str.strip, cells))]
    _refuse_repeated(rows, path)
    return SplitFile(tuple(rows), str(path))


def split_by_file(
    file: SplitFile,
    patients: Collection[str],
    *,
    pseudonym: Callable[[str], str],
    studies: Mapping[str, str],
    refused: Collection[str] = (),
    numbers: Mapping[str, Collection[str]] | None = None,
) -> Split:
    """Divide patients as a file says.

    Args:
        file: What the user wrote. A patient stands there by petcast's id, by a study's id, or by
            the hospital's own number.
        patients: Pseudonyms of those that have pairs.
        pseudonym: Hashes a hospital's number as `scan` does; the number is kept nowhere.
        studies: The patient of each study id, refused studies included.
        refused: Pseudonyms of patients that were found and have no usable study.
        numbers: The patients of a hashed number, whichever hospital gave it to them.

    Returns:
        The split.

    Raises:
        UsageError: A patient is unknown, ambiguous, missing, or in two parts.
    """
    known = {*patients, *refused}
    part_of: dict[str, str] = {}
    line_of: dict[str, int] = {}
    for line, written, part in file.rows:
        patient = _looked_up(written, known, studies, pseudonym)
        if patient is None:
            several = (numbers or {}).get(pseudonym(written), ())
            patient = _only_one(several, f"{file.name}, line {line}")
        if part_of.setdefault(patient, part) != part:
            raise UsageError(
                f"{file.name}, lines {line_of[patient]} and {line}: one patient in two parts; a "
                "network would be tested on a patient that it has learned"
            )
        line_of.setdefault(patient, line)
    missing = sorted(set(patients) - set(part_of))
    if missing:
        raise UsageError(
            f"{file.name} gives no part to {len(missing)} of "
            f"{count(len(set(patients)), 'patient')}: {', '.join(missing[:5])}"
            f"{' …' if len(missing) > 5 else ''}; add a line for each"
        )
    used = {patient: part_of[patient] for patient in sorted(set(patients))}
    return Split("file", None, used, _note(used))


def _lot(seed: int, patient: str) -> bytes:
    """A patient's lot; a hash, so that no library's random numbers decide."""
    return hashlib.sha256(f"{seed}:{patient}".encode()).digest()


def _ordered(patients: Collection[str], seed: int, diagnoses: Mapping[str, str]) -> list[str]:
    """Patients by lot, those of each diagnosis spread evenly: any stretch holds its share."""
    strata: dict[str, list[str]] = defaultdict(list)
    for patient in sorted(patients, key=lambda patient: _lot(seed, patient)):
        strata[diagnoses.get(patient, "")].append(patient)
    rank = {}
    for diagnosis, members in strata.items():
        start = int.from_bytes(_lot(seed, f"diagnosis {diagnosis}")[:4]) / 2**32
        for place, patient in enumerate(members):
            rank[patient] = ((place + start) / len(members), _lot(seed, patient))
    return sorted(patients, key=lambda patient: rank[patient])


def _fold(ordered: list[str], recipe: PreparationRecipe) -> tuple[list[str], int]:
    """The patients, those of the fold first, and how many these are."""
    patients = len(ordered)
    if patients < recipe.folds:
        raise UsageError(
            f"{recipe.folds} folds need as many patients, found {patients}; ask for fewer folds"
        )
    start, stop = (patients * number // recipe.folds for number in (recipe.fold, recipe.fold + 1))
    return ordered[start:] + ordered[:start], stop - start


def _fold_note(recipe: PreparationRecipe) -> str:
    if not recipe.folds:
        return ""
    return f"Fold {recipe.fold} of {recipe.folds}, counted from 0: every patient tests in one. "


def _details(
    part_of: Mapping[str, str], recipe: PreparationRecipe, diagnoses: Mapping[str, str]
) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if recipe.folds:
        details |= {"folds": recipe.folds, "fold": recipe.fold}
    if any(patient in diagnoses for patient in part_of):
        counted = Counter((diagnoses.get(patient, "?"), part) for patient, part in part_of.items())
        letters = sorted({letter for letter, _ in counted})
        details["diagnoses"] = {
            letter: {part: counted[letter, part] for part in PARTS} for letter in letters
        }
    return details


def _sizes(patients: int, recipe: PreparationRecipe) -> tuple[int, int]:
    """How many test and how many validate; at least one is left to train."""
    test = _share(patients, recipe.test) if patients > 1 else 0
    spare = patients - test - 1
    validation = _validation(patients, recipe)
    if patients >= LEAST_FOR_VALIDATION and recipe.validation > 0 and spare < 1:
        test, spare = test - 1, 1
    return min(test, patients - 1), max(0, min(validation, spare))


def _validation(patients: int, recipe: PreparationRecipe) -> int:
    return _share(patients, recipe.validation) if patients >= LEAST_FOR_VALIDATION else 0


def _share(patients: int, share: float) -> int:
    return min(max(1, round(patients * share)), patients - 1) if share > 0 else 0


def _cells(text: str, path: Path) -> list[tuple[int, list[str]]]:
    """Each line's number and cells; one whose quotation marks hold several is their last."""
    reader = csv.reader(io.StringIO(text))
    lines: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            lines.append((reader.line_num, cells))  # noqa: PERF401 - kept where a later one fails
    except csv.Error as error:
        begun = lines[-1][0] + 1 if lines else 1
        raise UsageError(
            f"{path}, line {begun}: no CSV ({error}); is a quotation mark left open there?"
        ) from None
    return lines


def _parted(head: Sequence[str]) -> str:
    """What a table program saves as CSV where a comma is the decimal mark."""
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(head) == 1 and mark in head[0]:
            return f"; {name} part its columns: save it with commas"
    return ""


def _row(cells: Sequence[str], line: int, path: Path) -> tuple[int, str, str]:
    if len(cells) != len(COLUMNS) or not cells[0].strip():
        raise UsageError(f"{path}, line {line}: expected a patient and a part, found {len(cells)}")
    part = cells[1].strip().lower()
    if part not in PARTS:
        raise UsageError(f"{path}, line {line}: the part must be one of {', '.join(PARTS)}")
    return line, cells[0].strip(), part


def _refuse_repeated(rows: Sequence[tuple[int, str, str]], path: Path) -> None:
    first: dict[str, int] = {}
    for line, patient, _ in rows:
        if patient in first:
            raise UsageError(f"{path}, lines {first[patient]} and {line} name the same patient")
        first[patient] = line
    if not rows:
        raise UsageError(f"{path} names no patient")


def _looked_up(
    written: str,
    known: Collection[str],
    studies: Mapping[str, str],
    pseudonym: Callable[[str], str],
) -> str | None:
    if written in known:
        return written
    if written in studies:
        return studies[written]
    hashed = pseudonym(written)
    return hashed if hashed in known else None


def _only_one(patients: Collection[str], where: str) -> str:
    """The patient who bears a number, where one hospital alone gave it."""
    if len(patients) > 1:
        raise UsageError(
            f"{where}: {len(patients)} hospitals gave that number to a patient; write the ids that "
            "`petcast scan` prints"
        )
    for patient in patients:
        return patient
    raise UsageError(
        f"{where}: no patient or study of that name was found; write the id that `petcast scan` "
        "prints, or the PatientID exactly as in the DICOM files"
    )


def _note(part_of: Mapping[str, str]) -> str:
    patients = {part: list(part_of.values()).count(part) for part in PARTS}
    said = ", ".join(f"{part} {number}" for part, number in patients.items())
    sentences = [f"Whole patients: {said}."]
    if not patients["train"]:
        sentences.append("Nobody trains: these pairs can only be evaluated on.")
    elif not patients["validation"]:
        sentences.append(
            "No patient is left for choosing an epoch, so the last one counts; the test patients "
            "never choose it."
        )
    if patients["train"] and not patients["test"]:
        sentences.append("Nobody tests: nothing can be said about patients never seen.")
    elif patients["test"] == 1:
        sentences.append("One test patient says nothing about how patients differ.")
    return " ".join(sentences)
