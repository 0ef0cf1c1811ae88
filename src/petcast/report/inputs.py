"""What the report reads: the files of a run, each of which may be missing or older.

A file that is there must be whole; a key that is not there is left out of the page.
"""

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from petcast.disk.durable import read_json, read_json_lines, require_known_format, whole
from petcast.errors import FormatError, UsageError
from petcast.report.arrays import (
    Fused,
    HalfWidths,
    Slices,
    Spectra,
    read_fused,
    read_half_widths,
    read_slices,
    read_spectra,
)

FORMAT = 1
EVALUATION = "evaluation.json"
_OF_A_RUN = ("recipe.toml", "metrics.jsonl", "best", "last")

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
        spectra: None where none were kept.
        worst: The slices with the largest error; None where none were kept.
        trained: False for an evaluation of files that no run of petcast made.
        half_widths: Of the intervals, in the same slices; None where none were kept.
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
    spectra: Spectra | None = None
    worst: Slices | None = None
    trained: bool = True
    half_widths: HalfWidths | None = None

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
        run: A training's folder, or what `petcast evaluate --out` wrote.

    Returns:
        Its files.

    Raises:
        UsageError: The folder is no run.
        FormatError: A file is damaged, or a newer petcast wrote it.
    """
    if not any((run / name).exists() for name in _OF_A_RUN) and (run / EVALUATION).is_file():
        return _read_files(run)
    epochs = read_epochs(run / "metrics.jsonl")
    recipe_text = _read_text(run / "recipe.toml")
    best, last = (_read_document(whole(run / which) / "card.json") for which in ("best", "last"))
    if not (epochs or recipe_text or best or last):
        raise UsageError(
            f"{run} is no run: it holds none of recipe.toml, metrics.jsonl, best/ and last/, and "
            "no evaluation.json; give the folder that `petcast train`, `petcast study` or "
            "`petcast evaluate --out` wrote"
        )
    folder = whole(run / "evaluation")
    return Run(
        recipe_text=recipe_text,
        recipe=_parse_toml(recipe_text, run / "recipe.toml"),
        data=_read_document(run / "data.json"),
        epochs=epochs,
        best=best,
        last=last,
        evaluation=_read_evaluation(folder / EVALUATION),
        slices=read_slices(folder / "montage.npz"),
        fused=read_fused(folder / "registration.npz"),
        spectra=read_spectra(folder / "spectra.npz"),
        worst=read_slices(folder / "worst.npz"),
        half_widths=read_half_widths(folder / "uncertainty.npz"),
    )


def _read_files(folder: Path) -> Run:
    """An evaluation of anyone's predictions: nothing is known of how they were made."""
    return Run(
        recipe_text="",
        recipe={},
        data={},
        epochs=(),
        best={},
        last={},
        evaluation=_read_evaluation(folder / EVALUATION),
        slices=read_slices(folder / "montage.npz"),
        fused=None,
        spectra=read_spectra(folder / "spectra.npz"),
        worst=read_slices(folder / "worst.npz"),
        trained=False,
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
    lines = read_json_lines(path, "epoch")
    rows: dict[int, Document] = {}
    for place, row in enumerate(lines, start=1):
        if row is not None:
            rows[row["epoch"]] = row
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
    if "format" in document:
        require_known_format(document["format"], FORMAT, path)
    return document


def _parse_toml(text: str, path: Path) -> Document:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FormatError(f"{path} is not TOML: {error}") from error


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
