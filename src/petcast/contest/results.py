"""What a contest leaves: tables, numbers and a figure in its folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import petcast
from petcast.contest import tables
from petcast.contest.cost import machine_load, measure_costs, operations, summarise_costs
from petcast.contest.course import Task, read_record, twins
from petcast.contest.entrants import Contest
from petcast.contest.figure import describe_quality, draw_quality
from petcast.contest.thin import label_of, portion
from petcast.disk.durable import read_json, write_bytes, write_json, write_text
from petcast.pairs import Pairs
from petcast.study.figures import to_png, to_svg
from petcast.words import count

FORMAT = 1
COST_FILE = "{name}-cost.json"

Document = dict[str, Any]


def write_results(
    contest: Contest,
    tasks: Sequence[Task],
    out: Path,
    common: Sequence[str] = (),
    name: str = "contest",
) -> str:
    """Write tables and figure of the runs that are finished.

    Args:
        contest: Who takes part.
        tasks: All runs of the contest.
        out: Its folder.
        common: Settings that all share.
        name: Of the contest's file: several contests may share a folder, and so their runs.

    Returns:
        The tables as Markdown, also in OUT/NAME.md; beside it NAME.csv, NAME.json,
        NAME-quality-cost.svg and .png.
    """
    records = [record for task in tasks if (record := read_record(task)) is not None]
    measured = out / COST_FILE.format(name=name)
    quiet = read_json(measured) if measured.exists() else None
    text = "\n\n".join(_parts(contest, records, quiet, tasks, common)) + "\n"
    write_text(out / f"{name}.md", text)
    write_text(out / f"{name}.csv", tables.rows_as_csv(records))
    document = {"format": FORMAT, "petcast": petcast.__version__, "base": contest.base,
                "entrants": [entrant.model_dump() for entrant in contest.entrants],
                "runs": records, "cost": quiet}  # fmt: skip
    write_json(out / f"{name}.json", document)
    if records:
        _draw(contest, records, quiet, tasks, out / f"{name}-quality-cost")
    return text


def _parts(
    contest: Contest,
    records: Sequence[Document],
    quiet: Document | None,
    tasks: Sequence[Task],
    common: Sequence[str],
) -> list[str]:
    done = sorted({record["epochs"] for record in records})
    epochs = f"{' and '.join(map(str, done)) or 'no'} {'epoch' if done == [1] else 'epochs'}"
    parts = [
        f"{len(records)} of {count(len(tasks), 'run')}, {epochs}; whole "
        "slices on the SUV window 0…10; the last epoch's weights, or where there are validation "
        "patients the epoch that these chose; one or few test patients a direction.",
        *(
            f"{name} is the same recipe as {first}: left out."
            for name, first in twins(contest.entrants, common).items()
        ),
        *tables.quality_tables(contest, records),
        tables.against_published(contest, records),
        tables.against_base(contest, records),
        tables.stage_table(contest, records),
        tables.training_cost_table(contest, records) if records else "",
        tables.quiet_cost_table(quiet["rows"]) if quiet else "",
    ]
    return [part for part in parts if part]


def _draw(
    contest: Contest,
    records: Sequence[Document],
    quiet: Document | None,
    tasks: Sequence[Task],
    path: Path,
) -> None:
    slices = {task.pairs: _train_slices(task.data) for task in tasks}
    drawn = quiet_epochs(records, quiet["rows"], slices) if quiet else records
    words = "measured alone" if quiet else "beside other work"
    figure = draw_quality(contest, drawn, f"seconds of an epoch ({words})")
    write_bytes(path.with_suffix(".svg"), to_svg(figure))
    write_bytes(path.with_suffix(".png"), to_png(figure, 130))
    write_text(path.with_suffix(".txt"), describe_quality(contest, records) + "\n")


def quiet_epochs(
    records: Sequence[Document], rows: Sequence[Mapping[str, Any]], slices: Mapping[str, int]
) -> list[Document]:
    """Put the time that was measured alone in the place of the runs' own.

    Args:
        records: Of finished runs.
        rows: What `summarise_costs` gave.
        slices: To train on, by pairs.

    Returns:
        The records of those that were measured; `seconds_per_epoch` is of training alone.
    """
    seconds = {row["name"]: row["train_s"] for row in rows}
    return [
        record | {"seconds_per_epoch": seconds[record["entrant"]] * slices[record["pairs"]]}
        for record in records
        if record["entrant"] in seconds
    ]


def _train_slices(data: Path) -> int:
    return sum(study.slices for study in Pairs.open(data).studies("train"))


def write_cost(
    contest: Contest,
    data: Path,
    out: Path,
    *,
    common: Sequence[str],
    rounds: int,
    slices: int,
    name: str = "contest",
) -> str:
    """Measure what each entrant costs, one after the other, and write OUT/NAME-cost.json.

    Args:
        contest: Who takes part.
        data: Pairs to train a few steps on.
        out: The contest's folder.
        common: Settings that all share.
        rounds: How often each is measured.
        slices: An epoch's; whole batches, if the ratios are to hold for long epochs.
        name: Of the contest's file.

    Returns:
        The table as Markdown.
    """
    same = twins(contest.entrants, common)
    recipes = {e.name: e.made(common, 1, 0) for e in contest.entrants if e.name not in same}
    few = portion(data, out / "cost-pairs" / label_of(data) / str(slices), slices)
    side = Pairs.open(few).index["preparation"]["size"]
    began = machine_load()
    found = measure_costs(recipes, few, out, rounds, tell=lambda line: print(line, flush=True))  # noqa: T201
    counted = {name: operations(recipe.model, side) for name, recipe in recipes.items()}
    rows = summarise_costs(found, [n for n in contest.references if n in found], counted)
    write_json(out / COST_FILE.format(name=name), {
        "rounds": found, "rows": rows, "slices": slices, "threads": torch.get_num_threads(),
        "load": [began, machine_load()],
    })  # fmt: skip
    load = "unknown" if began is None else f"{began:.1f}"
    said = f"{torch.get_num_threads()} threads; the machine's load before was {load}"
    return f"{tables.quiet_cost_table(rows)}\n\nMedians of {rounds} rounds, {said}.\n"
