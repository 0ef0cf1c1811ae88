"""Everything that a study's folder gives: tables, figures, timings, and results.json."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import petcast
from petcast.catalogue import PAPER
from petcast.checkpoint import git_state
from petcast.disk.durable import write_bytes, write_json, write_text
from petcast.evaluate.comparison import Paired, least_p
from petcast.pairs import Pairs
from petcast.recipe import Recipe
from petcast.study.contests import table_curves, table_paired, table_worth
from petcast.study.figures import (
    FIGURES,
    LAYOUTS,
    THEMES,
    describe_curves,
    draw_curves,
    to_png,
    to_svg,
)
from petcast.study.makeup import table_1, table_2, table_3
from petcast.study.outcome import read_outcome, seconds_of
from petcast.study.pictures import describe_pictures, draw_pictures, read_pictures
from petcast.study.protocol import PROTOCOLS, Protocol, empty_parts, pairs_folder
from petcast.study.scores import REFERENCES, Scores
from petcast.study.table4 import table_4, table_body
from petcast.study.tables import Table
from petcast.study.trivial import trivial_rows

FORMAT = 1
RESULTS_FILE = "results.json"
TIMINGS_FILE = "timings.csv"
QUESTION = ("Stage07", "U-Net")
"""Whether the first beats the second is what the paper's Table 4 answers with yes."""


def write_results(
    study: Path, recipe: Recipe, generators: Sequence[str], every: Sequence[str]
) -> dict[str, Any]:
    """Write tables, figures, timings and results.json from what the runs hold.

    Args:
        study: The study's folder.
        recipe: The study's.
        generators: Those of which there is a run, in the paper's order.
        every: All that the paper has, in its order.

    Returns:
        What results.json holds.
    """
    divisions = {protocol: Pairs.open(pairs_folder(study, protocol)) for protocol in PROTOCOLS}
    scores = _scores(study, recipe, generators)
    tables = _tables(scores, divisions, every)
    for table in tables:
        table.save(study / "tables")
    figures = dict(_figures(study, scores))
    write_text(study / TIMINGS_FILE, _timings(study, generators))
    results = {
        "format": FORMAT,
        **_provenance(recipe, divisions, scores),
        "generators": list(generators),
        "epochs": recipe.training.epochs,
        "divisions": {name: _division(pairs) for name, pairs in divisions.items()},
        "worth": {m.key: (w := scores.worth(m)) and asdict(w) for m in PAPER},
        "question": _question(scores),
        "warnings": _warnings(scores),
        "figures": figures,
        "tables": [table.to_json() for table in tables if table.lines],
    }
    write_json(study / RESULTS_FILE, results)
    return results


def _scores(study: Path, recipe: Recipe, generators: Sequence[str]) -> Scores:
    epochs, window = recipe.training.epochs, recipe.model.suv_window
    outcomes = {
        (protocol, name): read_outcome(study, protocol, name, epochs)
        for protocol in PROTOCOLS
        for name in generators
    }
    trivial = {p: trivial_rows(pairs_folder(study, p), p, window) for p in PROTOCOLS}
    means = {protocol: own.means for protocol, own in trivial.items()}
    over_slices = {protocol: own.over_slices for protocol, own in trivial.items()}
    return Scores(generators, outcomes, means, epochs, over_slices)


def _tables(scores: Scores, divisions: dict[Protocol, Pairs], every: Sequence[str]) -> list[Table]:
    return [
        table_4(scores),
        table_body(scores),
        table_worth(scores),
        *(table_paired(scores, name) for name in REFERENCES if name in scores.generators),
        table_3(divisions),
        table_1(),
        table_2(every),
        table_curves(scores),
    ]


def _figures(study: Path, scores: Scores) -> Iterator[tuple[str, str]]:
    """Draw every figure; of each, the name and what it shows in words."""
    folder = study / "figures"
    light = THEMES[0]
    for name, column in FIGURES.items():
        paper = draw_curves(scores, column, light, "wide")
        write_bytes(folder / f"{name}.svg", to_svg(paper))
        write_bytes(folder / f"{name}.png", to_png(paper))
        for theme in THEMES:
            for layout in LAYOUTS:
                drawn = draw_curves(scores, column, theme, layout)
                write_bytes(folder / "page" / f"{name}-{theme.name}-{layout}.svg", to_svg(drawn))
        yield name, describe_curves(scores, column)
    done = [n for n in scores.generators if scores.outcomes["sound", n].state == "done"]
    pictures = read_pictures(study, done)
    if pictures is not None:
        paper = draw_pictures(pictures, light)
        write_bytes(folder / "figure-5.svg", to_svg(paper))
        write_bytes(folder / "figure-5.png", to_png(paper))
        for theme in THEMES:
            drawn = draw_pictures(pictures, theme)
            write_bytes(folder / "page" / f"figure-5-{theme.name}.png", to_png(drawn, dpi=144))
        yield "figure-5", describe_pictures(pictures)


def _timings(study: Path, generators: Sequence[str]) -> str:
    lines = ["protocol,generator,seconds\n"]
    lines += [
        f"{protocol},{name},{seconds_of(study, protocol, name):.1f}\n"
        for protocol in PROTOCOLS
        for name in generators
    ]
    return "".join(lines)


def _provenance(recipe: Recipe, divisions: dict[Protocol, Pairs], scores: Scores) -> dict[str, Any]:
    return {
        "petcast": petcast.__version__,
        "torch": torch.__version__,
        "git": git_state(),
        "recipe": recipe.to_toml(),
        "grid": {
            key: divisions["sound"].index["preparation"][key] for key in ("size", "spacing_mm")
        },
        "data_hashes": {name: pairs.index["hash"] for name, pairs in divisions.items()},
        "weights": {
            name: {p: scores.outcomes[p, name].weights for p in PROTOCOLS}
            for name in scores.generators
        },
    }


def _division(pairs: Pairs) -> dict[str, Any]:
    patients = {part: len(names) for part, names in pairs.index["parts"].items()}
    return {
        "kind": pairs.index["split"].get("kind"),
        "note": pairs.index["split"].get("note", ""),
        "patients": patients,
        "slices": {part: sum(one.slices for one in pairs.studies(part)) for part in patients},
        "empty": empty_parts(pairs),
    }


def _question(scores: Scores) -> dict[str, Any]:
    mine, theirs = QUESTION
    known = all(name in scores.generators for name in QUESTION)
    answers: dict[str, Any] = {}
    for column in PAPER:
        pair: Paired | None = scores.paired(mine, theirs, column) if known else None
        answers[column.key] = pair and {**asdict(pair), "least_p": least_p(pair.n)}
    return {"generator": mine, "reference": theirs, "answers": answers}


def _warnings(scores: Scores) -> dict[str, list[str]]:
    """Codes of evaluations, and whose they are."""
    found: dict[str, list[str]] = {}
    for name in scores.generators:
        for code in scores.outcomes["sound", name].warnings:
            found.setdefault(code, []).append(name)
    return found
