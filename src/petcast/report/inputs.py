"""What the report reads: the files of a run, each of which may be missing or older.

A file that is there must be whole; a key that is not there is left out of the page.
"""

import json
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from petcast.durable import read_json
from petcast.errors import FormatError, UsageError

FORMAT = 1
Document = dict[str, Any]


@dataclass(frozen=True)
class Score:
    """A row of an evaluation.

    Attributes:
        name: The model, its stage, or a trivial image.
        region: Where it was measured.
        metric: The catalogue's key.
        value: Mean over patients, or one patient's; None where it is not finite.
        low: Lower end of the 95 % interval, or None.
        high: Upper end.
        n: Patients behind it.
        patient: The patient's id where the row is of one.
    """

    name: str
    region: str
    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 1
    patient: str = ""


@dataclass(frozen=True)
class Evaluation:
    """An evaluation as far as it is known.

    Attributes:
        rows: Means with intervals.
        patients: The same per patient.
        warnings: Code and detail of each.
        part: Of the pairs it was made on.
        document: Everything that the file holds.
    """

    rows: tuple[Score, ...]
    patients: tuple[Score, ...]
    warnings: tuple[tuple[str, str], ...]
    part: str
    document: Document


@dataclass(frozen=True)
class Slices:
    """The slices that are shown.

    Attributes:
        ct: HU, shape (n, y, x).
        truth: SUV, shape (n, y, x).
        stages: SUV, shape (n, stage, y, x).
        study: Id of each slice's study, shape (n,).
        index: Number of each slice in its study, shape (n,).
    """

    ct: NDArray[Any]
    truth: NDArray[Any]
    stages: NDArray[Any]
    study: tuple[str, ...]
    index: tuple[int, ...]


@dataclass(frozen=True)
class Fused:
    """The slices in which CT and PET agree least.

    Attributes:
        ct: HU, shape (n, y, x).
        pet: SUV, shape (n, y, x).
        regions: 0 outside, 1 body, 2 lungs on CT, shape (n, y, x).
        study: Id of each slice's study, shape (n,).
        index: Number of each slice in its study, shape (n,).
    """

    ct: NDArray[Any]
    pet: NDArray[Any]
    regions: NDArray[Any]
    study: tuple[str, ...]
    index: tuple[int, ...]


@dataclass(frozen=True)
class Run:
    """A run's files.

    Attributes:
        recipe_text: recipe.toml as it stands.
        recipe: The same, parsed.
        data: The index of the pairs.
        epochs: Rows of metrics.jsonl, one an epoch.
        best: Card of the chosen epoch.
        last: Card of the last epoch that was saved.
        evaluation: None where the run was not evaluated.
        slices: None where none were kept.
        fused: None where none were kept.
    """

    recipe_text: str
    recipe: Document
    data: Document
    epochs: tuple[Document, ...]
    best: Document
    last: Document
    evaluation: Evaluation | None
    slices: Slices | None
    fused: Fused | None

    @property
    def card(self) -> Document:
        """The card of the epoch that the report is about."""
        return self.best or self.last

    @property
    def model(self) -> str:
        """The generator's name."""
        return str(self.card.get("model") or table(self.recipe, "model").get("name") or "Model")


def read_run(run: Path) -> Run:
    """Read what a run's folder holds.

    Args:
        run: A training's folder.

    Returns:
        Its files.

    Raises:
        UsageError: The folder is no run.
        FormatError: A file is damaged, or a newer petcast wrote it.
    """
    epochs = read_epochs(run / "metrics.jsonl")
    recipe_text = _read_text(run / "recipe.toml")
    best, last = (_read_document(_whole(run / which) / "card.json") for which in ("best", "last"))
    if not (epochs or recipe_text or best or last):
        raise UsageError(
            f"{run} is no run: it holds none of recipe.toml, metrics.jsonl, best/ and last/; "
            "give the folder that `petcast train` wrote"
        )
    return Run(
        recipe_text=recipe_text,
        recipe=_parse_toml(recipe_text, run / "recipe.toml"),
        data=_read_document(run / "data.json"),
        epochs=epochs,
        best=best,
        last=last,
        evaluation=_read_evaluation(_whole(run / "evaluation") / "evaluation.json"),
        slices=_read_slices(_whole(run / "evaluation") / "montage.npz"),
        fused=_read_fused(_whole(run / "evaluation") / "registration.npz"),
    )


def read_epochs(path: Path) -> tuple[Document, ...]:
    """Read a run's rows of metrics; a last line that was cut off is left out.

    Args:
        path: metrics.jsonl; it need not exist.

    Returns:
        One row an epoch, the later one where an epoch was trained again.

    Raises:
        FormatError: Another line than the last is damaged.
    """
    lines = [line for line in _read_text(path).splitlines() if line.strip()]
    rows: dict[int, Document] = {}
    for place, line in enumerate(lines, start=1):
        row = _parse_row(line)
        if row is not None:
            rows[int(row["epoch"])] = row
        elif place < len(lines):
            raise FormatError(f"{path}: line {place} is no row of metrics; train again to mend it")
    return tuple(rows[epoch] for epoch in sorted(rows))


def finite(value: Any) -> float | None:
    """A finite number, or None for whatever else a file may hold.

    Args:
        value: From a JSON document.

    Returns:
        The number as a float.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def table(document: Mapping[str, Any], key: str) -> Document:
    """A mapping inside a document; empty where there is none.

    Args:
        document: From JSON or TOML.
        key: Its name.

    Returns:
        The mapping.
    """
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def records(document: Mapping[str, Any], key: str) -> list[Document]:
    """A list of mappings inside a document; whatever is no mapping is left out.

    Args:
        document: From JSON.
        key: Its name.

    Returns:
        The mappings.
    """
    value = document.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _whole(folder: Path) -> Path:
    """Where a folder's whole content lies, even if its replacement was interrupted.

    Nothing is moved: a training may be running, and a report must not disturb it.
    """
    others = (folder.with_name(f"{folder.name}.{end}") for end in ("next", "previous"))
    return next((one for one in (folder, *others) if one.is_dir()), folder)


def _read_text(path: Path) -> str:
    if not path.is_file():
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} is no UTF-8 text; is it damaged?") from error


def _read_document(path: Path) -> Document:
    if not path.is_file():
        return {}
    document = read_json(path)
    if not isinstance(document, dict):
        raise FormatError(f"{path} should hold a JSON object; make it again")
    written = finite(document.get("format"))
    if written is not None and written > FORMAT:
        raise FormatError(f"{path} has format {written:g}, this petcast knows {FORMAT}; update it")
    return document


def _parse_toml(text: str, path: Path) -> Document:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FormatError(f"{path} is not TOML: {error}") from error


def _parse_row(line: str) -> Document | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and finite(row.get("epoch")) is not None else None


def _read_evaluation(path: Path) -> Evaluation | None:
    if not path.is_file():
        return None
    document = _read_document(path)
    warnings = (
        (str(item.get("code", "")), str(item.get("detail", "")))
        for item in records(document, "warnings")
    )
    return Evaluation(
        rows=tuple(_scores(records(document, "rows"))),
        patients=tuple(_scores(records(document, "patients"))),
        warnings=tuple(warnings),
        part=str(document.get("part") or "test"),
        document=document,
    )


def _scores(items: Iterable[Document]) -> Iterable[Score]:
    for item in items:
        if not (item.get("name") and item.get("metric")):
            continue
        yield Score(
            name=str(item.get("name", "")),
            region=str(item.get("region", "whole")),
            metric=str(item.get("metric", "")),
            value=finite(item.get("value")),
            low=finite(item.get("low")),
            high=finite(item.get("high")),
            n=int(finite(item.get("n")) or 1),
            patient=str(item.get("patient", "")),
        )


def _read_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in names}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise FormatError(f"{path} is damaged ({error}); run `petcast evaluate` again") from error


def _read_slices(path: Path) -> Slices | None:
    if not path.is_file():
        return None
    held = _read_arrays(path, ("ct", "truth", "stages", "study", "slice"))
    n = len(held["ct"])
    shapes_fit = (
        held["ct"].ndim == 3
        and held["truth"].shape == held["ct"].shape
        and held["stages"].ndim == 4
        and held["stages"].shape[0] == n
        and held["stages"].shape[2:] == held["ct"].shape[1:]
        and len(held["study"]) == len(held["slice"]) == n
    )
    _require_fit(path, fit=shapes_fit)
    if not n:
        return None
    return Slices(
        ct=held["ct"],
        truth=held["truth"],
        stages=held["stages"],
        study=tuple(str(name) for name in held["study"]),
        index=tuple(int(place) for place in held["slice"]),
    )


def _read_fused(path: Path) -> Fused | None:
    if not path.is_file():
        return None
    held = _read_arrays(path, ("ct", "pet", "regions", "study", "slice"))
    shape = held["ct"].shape
    shapes_fit = (
        len(shape) == 3 and held["pet"].shape == held["regions"].shape == shape
    ) or not held["ct"].size
    _require_fit(path, fit=shapes_fit and len(held["study"]) == len(held["slice"]) == shape[0])
    if not held["ct"].size:
        return None
    return Fused(
        ct=held["ct"],
        pet=held["pet"],
        regions=held["regions"],
        study=tuple(str(name) for name in held["study"]),
        index=tuple(int(place) for place in held["slice"]),
    )


def _require_fit(path: Path, *, fit: bool) -> None:
    if not fit:
        raise FormatError(f"{path}: its arrays do not fit together; run `petcast evaluate` again")
