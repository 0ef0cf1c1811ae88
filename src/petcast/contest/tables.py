"""The contest's tables: Markdown for readers, CSV and JSON for machines."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from petcast.catalogue import Column
from petcast.contest.course import REAL_LATTICE
from petcast.contest.entrants import Contest
from petcast.contest.scores import (
    BODY_ERROR,
    BODY_PSNR,
    COLUMNS,
    Difference,
    Key,
    Score,
    best_of,
    difference,
    final,
    key_of,
    of_real,
    over_patients,
    ratio,
    scores_of,
    spread,
    with_excess,
)
from petcast.words import number

SPREAD_NOTE = (
    "The 95 % intervals are Student's t over the pairs of runs that share seed and direction (n of "
    "them): they hold the spread of seeds and directions, not that of patients."
)

PATIENTS_NOTE = (
    "The 95 % intervals are Student's t over the test patients (n of them), each with the mean of "
    "its runs: they hold the spread of patients, not that of seeds."
)

FIRST = "pretraining_seconds"
COSTS = (FIRST, "seconds_per_epoch", "peak_mb", "inference_seconds_per_slice", "gflop",
         "parameters", "threads", "load")  # fmt: skip

Records = Sequence[Mapping[str, Any]]


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay a table out.

    Args:
        head: Headings.
        rows: Cells.

    Returns:
        Markdown.

    Example:
        >>> print(markdown(["a", "b"], [["1", "2"]]))
        | a | b |
        |---|---|
        | 1 | 2 |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"|{'|'.join(line)}|" if line[0] == "---" else f"| {' | '.join(line)} |" for line in lines
    )


def quality_tables(contest: Contest, records: Records) -> Iterator[str]:
    """A table for each pairs: mean over seeds ± standard deviation, beside trivial images.

    Args:
        contest: Who takes part.
        records: Of finished runs.

    Yields:
        Markdown with a heading.
    """
    scores = scores_of(records)
    for pairs in dict.fromkeys(record["pairs"] for record in records):
        rows = [_quality_row(name, pairs, records, scores) for name in contest.names]
        rows += list(_trivial_rows(pairs, records))
        head = ["", "seeds", "epochs", *(column.heading for column in COLUMNS)]
        yield f"### {pairs}: mean over seeds ± standard deviation\n\n{markdown(head, rows)}"


def _quality_row(name: str, pairs: str, records: Records, scores: Sequence[Score]) -> list[str]:
    own = [score for key, score in final(scores, name).items() if key[0] == pairs]
    diverged = sum("diverged" in r for r in records if (r["entrant"], r["pairs"]) == (name, pairs))
    count = f"{len(own)}" + (f", {diverged} diverged" if diverged else "")
    epochs = {r["epochs"] for r in records if (r["entrant"], r["pairs"]) == (name, pairs)}
    said = ", ".join(map(str, sorted(epochs)))
    return [name, count, said, *(_spread_cell(own, column) for column in COLUMNS)]


def _spread_cell(own: Sequence[Score], column: Column) -> str:
    found = spread([value for score in own if (value := score.of(column)) is not None])
    if found is None:
        return ""
    mean = number(found.value, column.digits)
    return mean if found.sd is None else f"{mean} ± {number(found.sd, column.digits)}"


def _trivial_rows(pairs: str, records: Records) -> Iterator[list[str]]:
    record = next((r for r in records if r["pairs"] == pairs and "trivial" in r), None)
    if record is None:
        return
    for name, metrics in {**record["trivial"], "real PET": of_real(record[REAL_LATTICE])}.items():
        values = with_excess(metrics, record[REAL_LATTICE])
        cells = (number(values.get(key_of(column)), column.digits) for column in COLUMNS)
        yield [f"*{name}*", "", "", *cells]


def against_published(contest: Contest, records: Records) -> str:
    """Each entrant against the best published one of each metric.

    Args:
        contest: Who takes part.
        records: Of finished runs.

    Returns:
        Markdown; empty where either side is missing.
    """
    scores = scores_of(records)
    published = [entrant.name for entrant in contest.entrants if entrant.is_published]
    others = [name for name in contest.names if name not in published]
    best = {m: rival for m in COLUMNS if (rival := best_of(published, scores, m)) is not None}
    if not best or not any(final(scores, name) for name in others):
        return ""
    headings = {column: f"{_compared(column)} − {best[column]}" for column in best}
    head = ["", *headings.values(), _ratio_head(best.get(BODY_ERROR))]
    rows = [[name, *_against(name, best, scores)] for name in others if final(scores, name)]
    title = "### Against the best published one of each metric"
    names = [name for name in others if final(scores, name)]
    over = "Against the best published one, over patients"
    wide = _patients_table(over, names, best, headings, scores)
    return f"{title}\n\n{markdown(head, rows)}\n\n{SPREAD_NOTE}{wide}"


def _against(name: str, best: Mapping[Column, str], scores: Sequence[Score]) -> Iterator[str]:
    own = final(scores, name)
    for column, rival in best.items():
        yield _difference_cell(difference(own, final(scores, rival), column), column.digits)
    error = best.get(BODY_ERROR)
    yield _ratio_cell(ratio(own, final(scores, error), BODY_ERROR)) if error else ""


def against_base(contest: Contest, records: Records) -> str:
    """Each entrant against the contest's base: an ablation's table.

    Args:
        contest: Who takes part.
        records: Of finished runs.

    Returns:
        Markdown; empty where there is no base or it has no run.
    """
    scores = scores_of(records)
    base = final(scores, contest.base) if contest.base else {}
    if not base:
        return ""
    headings = {column: _compared(column) for column in COLUMNS}
    head = ["", "n", *headings.values(), _ratio_head(None)]
    rows = []
    for name in contest.names:
        own = final(scores, name)
        if own and name != contest.base:
            found = [difference(own, base, column) for column in COLUMNS]
            cells = [_difference_cell(d, m.digits) for d, m in zip(found, COLUMNS, strict=True)]
            n = str(found[2].n) if found[2] else ""
            rows.append([name, n, *cells, _ratio_cell(ratio(own, base, BODY_ERROR))])
    title = f"### Each minus {contest.base}, same pairs and seed"
    names = [name for name in contest.names if final(scores, name) and name != contest.base]
    rivals = dict.fromkeys(COLUMNS, str(contest.base))
    over = f"Each minus {contest.base}, over patients"
    wide = _patients_table(over, names, rivals, headings, scores)
    return f"{title}\n\n{markdown(head, rows)}\n\n{SPREAD_NOTE}{wide}"


def _patients_table(
    title: str,
    names: Sequence[str],
    rivals: Mapping[Column, str],
    headings: Mapping[Column, str],
    scores: Sequence[Score],
) -> str:
    """The same differences with the spread of patients; empty where there are too few of them."""
    rows, seen = [], set[Column]()
    for name in names:
        found = {
            column: difference
            for column, rival in rivals.items()
            if (difference := over_patients(final(scores, name), final(scores, rival), column))
        }
        seen |= found.keys()
        rows.append((name, found))
    columns = [column for column in rivals if column in seen]
    if not columns:
        return ""
    head = ["", "n", *(headings[column] for column in columns)]
    lines = [
        [name, str(max(one.n for one in found.values())),
         *(_difference_cell(found.get(column), column.digits) for column in columns)]
        for name, found in rows if found
    ]  # fmt: skip
    return f"\n\n### {title}\n\n{markdown(head, lines)}\n\n{PATIENTS_NOTE}"


def stage_table(contest: Contest, records: Records) -> str:
    """Body PSNR of every stage, and what it adds to the one before.

    Args:
        contest: Who takes part.
        records: Of finished runs.

    Returns:
        Markdown; empty where no entrant has two stages.
    """
    scores = scores_of(records)
    folders = list(dict.fromkeys(record["pairs"] for record in records))
    rows = [row for name in contest.names for row in _stage_rows(name, folders, scores)]
    if not rows:
        return ""
    head = ["", "stage", *(f"{pairs}: {BODY_PSNR.heading}" for pairs in folders), "added"]
    title = "### What each stage adds: body PSNR of each stage's output"
    return f"{title}\n\n{markdown(head, rows)}\n\n{SPREAD_NOTE}"


def _stage_rows(name: str, folders: Sequence[str], scores: Sequence[Score]) -> Iterator[list[str]]:
    stages = sorted({score.stage for score in scores if score.entrant == name})
    before: dict[Key, Score] = {}
    for stage in stages if len(stages) > 1 else ():
        own = {(s.pairs, s.seed): s for s in scores if (s.entrant, s.stage) == (name, stage)}
        cells = [
            _spread_cell([s for (pairs, _), s in own.items() if pairs == folder], BODY_PSNR)
            for folder in folders
        ]
        added = _difference_cell(difference(own, before, BODY_PSNR), BODY_PSNR.digits)
        yield [name, str(stage), *cells, added]
        before = own


def training_cost_table(contest: Contest, records: Records) -> str:
    """What the runs themselves took, beside whatever else the machine did.

    Args:
        contest: Who takes part.
        records: Of finished runs.

    Returns:
        Markdown.
    """
    rows = []
    for name in contest.names:
        own = [r for r in records if r["entrant"] == name and "stages" in r]
        if own:
            rows.append([name, *_cost_cells(own)])
    head = ["", "s on phantoms first", "s an epoch", "peak MB", "inference ms a slice",
            "GFLOP a slice", "parameters"]  # fmt: skip
    title = "### What the runs took, beside other work on the machine"
    note = (
        "Times hold whatever else the machine did (least and greatest run), and an epoch's its "
        "scoring of the test slices (unless `--unscored`): `--cost` measures one recipe after the "
        "other in a quiet run."
    )
    return f"{title}\n\n{markdown(head, rows)}\n\n{note}"


def _cost_cells(own: Records) -> Iterator[str]:
    yield _range([r[FIRST] for r in own if FIRST in r], 1)
    yield _range([r["seconds_per_epoch"] for r in own], 1)
    yield _range([r["peak_mb"] for r in own if r["peak_mb"] is not None], 0)
    yield _range([1000 * r["inference_seconds_per_slice"] for r in own], 0)
    yield number(own[0]["gflop"], 2)
    yield f"{own[0]['parameters'] / 1e6:.1f} M"


def _range(values: Sequence[float], digits: int) -> str:
    if not values:
        return ""
    low, high = (number(end, digits) for end in (min(values), max(values)))
    return low if low == high else f"{number(fmean(values), digits)} ({low}–{high})"


def quiet_cost_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What `--cost` measured: medians, and ratios to the references.

    Args:
        rows: Of `summarise_costs`.

    Returns:
        Markdown.
    """
    references = list(rows[0]["of"]) if rows else []
    kinds = (("train_s", "training"), ("peak_mb", "memory"), ("predict_s", "inference"))
    head = ["", "training ms a slice", "peak MB", "inference ms a slice", "GFLOP a slice",
            "parameters", *(f"{word} ÷ {r}" for r in references for _, word in kinds)]  # fmt: skip
    lines = [
        [row["name"], number(1000 * row["train_s"], 0), number(row.get("peak_mb"), 0),
         number(1000 * row["predict_s"], 0), number(row["gflop"], 2),
         f"{row['parameters'] / 1e6:.1f} M",
         *(number(row["of"][r].get(key), 2) for r in references for key, _ in kinds)]
        for row in rows
    ]  # fmt: skip
    return f"### Cost, one recipe after the other, round by round\n\n{markdown(head, lines)}"


def rows_as_csv(records: Records) -> str:
    """Give every run and stage as CSV.

    Args:
        records: Of finished runs.

    Returns:
        A head and a line a run and stage; a diverged run has one line.
    """
    keys = [key_of(column) for column in COLUMNS]
    names = ["entrant", "pairs", "seed", "epochs", "epoch", "stage", "last", *keys, *COSTS,
             "diverged"]  # fmt: skip
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for record in records:
        shared = {key: value for key, value in record.items() if key != "stages"}
        for stage in record.get("stages") or [{"metrics": {}}]:
            metrics = with_excess(stage["metrics"], record.get(REAL_LATTICE, {}))
            writer.writerow({**shared, **stage, **metrics})
    return stream.getvalue()


def _compared(column: Column) -> str:
    return column.heading if column.metric.sign else f"distance of {column.heading} from 0"


def _ratio_head(rival: str | None) -> str:
    return f"{BODY_ERROR.heading} ÷" + (f" {rival}" if rival else "")


def _difference_cell(found: Difference | None, digits: int) -> str:
    if found is None:
        return ""
    value = number(found.value, digits, signed=True)
    if found.low is None or found.high is None:
        return value
    ends = f"[{number(found.low, digits, signed=True)}, {number(found.high, digits, signed=True)}]"
    return f"**{value}** {ends}" if found.decided else f"{value} {ends}"


def _ratio_cell(found: Difference | None) -> str:
    if found is None:
        return ""
    value = number(found.value, 2)
    if found.low is None or found.high is None:
        return value
    return f"{value} [{number(found.low, 2)}, {number(found.high, 2)}]"
