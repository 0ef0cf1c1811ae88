"""The page of a study: reads results.json and the figures beside it, and nothing else."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from petcast.disk.durable import read_json, require_known_format
from petcast.errors import UsageError
from petcast.report.answers import answer_question, answer_trivial, answer_worth, cautions
from petcast.report.data import Fact
from petcast.report.inputs import Document, records, table
from petcast.report.templating import STYLE, fill

FORMAT = 1
STUDY_FILE = "study.json"
RESULTS_FILE = "results.json"
STYLES = (STYLE, "study.css.j2")

TITLES = {
    "figure-2": "Figure 2. SSIM on the test part after each epoch",
    "figure-3": "Figure 3. PSNR on the test part after each epoch",
    "figure-4": "Figure 4. MAE on the test part after each epoch",
}
MONTAGE = "figure-5"
CURVE_VARIANTS = ("light-wide", "light-narrow", "dark-wide", "dark-narrow")
MONTAGE_VARIANTS = ("light", "dark")
MIME = {".svg": "image/svg+xml", ".png": "image/png"}


@dataclass(frozen=True)
class Figure:
    """A figure in the variants that a page needs.

    Attributes:
        key: Such as "figure-2".
        title: What it shows.
        alt: The same in words, for those who do not see it.
        uris: A data URI by the variant's name, such as "dark-narrow".
    """

    key: str
    title: str
    alt: str
    uris: dict[str, str]


@dataclass(frozen=True)
class StudyFiles:
    """What a study's folder holds.

    Attributes:
        results: results.json.
        figures: Curves; those that were drawn.
        montage: Figure 5, or None.
    """

    results: Document
    figures: tuple[Figure, ...]
    montage: Figure | None


def is_study(folder: Path) -> bool:
    """Tell a study's folder from a run's.

    Args:
        folder: Either.

    Returns:
        True for a study's.
    """
    return (folder / STUDY_FILE).is_file()


def read_study(folder: Path) -> StudyFiles:
    """Read what a study's folder holds.

    Args:
        folder: The study's.

    Returns:
        Its files.

    Raises:
        UsageError: Its tables were not written yet.
        FormatError: A file is damaged, or a newer petcast wrote it.
    """
    path = folder / RESULTS_FILE
    if not path.is_file():
        raise UsageError(
            f"{folder} has no tables yet; `petcast study RECIPE --data PAIRS --out {folder} "
            "--only-tables` writes them from what is trained"
        )
    results = read_json(path, "format")
    require_known_format(results["format"], FORMAT, path)
    said = table(results, "figures")
    drawn = (_figure(folder, key, title, said) for key, title in TITLES.items())
    figures = tuple(figure for figure in drawn if set(CURVE_VARIANTS) <= set(figure.uris))
    montage = _figure(folder, MONTAGE, "Figure 5", said)
    shown = set(MONTAGE_VARIANTS) <= set(montage.uris)
    return StudyFiles(results, figures, montage if shown else None)


def render_study(study: StudyFiles) -> str:
    """Write the page as text; the same study gives the same text.

    Args:
        study: Its files.

    Returns:
        HTML.
    """
    results = study.results
    tables = {str(one["key"]): one for one in records(results, "tables")}
    answers = [answer_worth(results), answer_question(results), answer_trivial(results)]
    content: dict[str, Any] = {
        "results": results,
        "tables": tables,
        "paired": [one for key, one in tables.items() if key.startswith("paired-")],
        "answers": [answer for answer in answers if answer is not None],
        "warnings": list(cautions(results)),
        "figures": study.figures,
        "montage": study.montage,
        "divisions": table(results, "divisions"),
        "provenance": [fact for fact in _facts(results) if fact.value],
        "weights": _weights(results),
    }
    return fill("study.html.j2", content, STYLES)


def _figure(folder: Path, key: str, title: str, said: Document) -> Figure:
    pages = sorted((folder / "figures" / "page").glob(f"{key}-*"))
    uris = {path.stem.removeprefix(f"{key}-"): _uri(path) for path in pages if path.suffix in MIME}
    return Figure(key, title, str(said.get(key, "")), uris)


def _uri(path: Path) -> str:
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"data:{MIME[path.suffix]};base64,{content}"


def _facts(results: Document) -> Iterator[Fact]:
    grid = table(results, "grid")
    yield Fact("petcast", str(results.get("petcast") or ""))
    yield Fact("PyTorch", str(results.get("torch") or ""))
    yield Fact("Source code", str(results.get("git") or ""))
    if grid:
        size, spacing = grid.get("size"), grid.get("spacing_mm")
        yield Fact("Model grid", f"{size} × {size} voxels of {spacing} mm")
    for name, value in table(results, "data_hashes").items():
        yield Fact(f"Data, {name} (SHA-256)", str(value))


def _weights(results: Document) -> list[tuple[str, str, str]]:
    """Generator, protocol and hash of each set of weights that is known."""
    return [
        (name, protocol, str(value))
        for name, own in table(results, "weights").items()
        for protocol, value in own.items()
        if value
    ]
