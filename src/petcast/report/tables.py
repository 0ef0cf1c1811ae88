"""The evaluation's rows as tables: the model, its stages, and the trivial images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from petcast.catalogue import (
    ARTEFACTS,
    BLURRED_TRUTH,
    TRIVIAL,
    TRIVIAL_MEANING,
    Metric,
    is_known,
    metric_of,
    metric_order,
    region_label,
    region_order,
)
from petcast.report.inputs import Document, Score, finite
from petcast.report.numbers import number
from petcast.words import interval

MAIN = (
    ("whole", "ssim"), ("whole", "psnr"), ("whole", "mae"),
    ("body", "ssim"), ("body", "psnr"), ("body", "suv_mae"), ("body", "suv_bias"),
)  # fmt: skip
"""Region and metric of the columns that everybody reads."""

HIDDEN = (*ARTEFACTS, "clipped")
"""Told elsewhere on the page."""

STAGE_COLUMNS = (("whole", "ssim"), ("whole", "psnr"), ("body", "psnr"), ("body", "suv_mae"))


@dataclass(frozen=True)
class Cell:
    """A number of a table.

    Attributes:
        value: Its text.
        interval: Its interval's text, empty where there is none.
        best: Whether no other row is better.
        change: Difference to the row above, where the table shows one.
        better: Whether that difference is an improvement.
        change_ends: Its 95 % interval's text, empty where there is none.
    """

    value: str
    interval: str = ""
    best: bool = False
    change: str = ""
    better: bool = False
    change_ends: str = ""


@dataclass(frozen=True)
class Line:
    """A row of a table.

    Attributes:
        name: Of the model, stage or image.
        kind: "model", "stage", "trivial" or "reference".
        meaning: What a trivial image is.
        cells: One a column.
        n: Patients behind it.
    """

    name: str
    kind: str
    meaning: str
    cells: tuple[Cell, ...]
    n: str


@dataclass(frozen=True)
class Group:
    """Neighbouring columns of one region.

    Attributes:
        label: The region's name.
        metrics: Of its columns.
    """

    label: str
    metrics: tuple[Metric, ...]


@dataclass(frozen=True)
class Table:
    """A table of scores.

    Attributes:
        groups: Of columns.
        lines: Its rows.
    """

    groups: tuple[Group, ...]
    lines: tuple[Line, ...]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Each metric that occurs, once."""
        found = (metric for group in self.groups for metric in group.metrics)
        return tuple({metric.key: metric for metric in found}.values())

    @property
    def has_change_ends(self) -> bool:
        """Whether a change stands with its interval."""
        return any(cell.change_ends for line in self.lines for cell in line.cells)


def main_table(rows: Sequence[Score], model: str) -> Table:
    """Lay out the columns that everybody reads.

    Args:
        rows: Means over patients.
        model: The model's name in them.

    Returns:
        The table; columns that were not measured are left out.
    """
    return _table(rows, model, MAIN)


def all_columns(rows: Sequence[Score], model: str) -> list[Table]:
    """Lay out every metric of image and uptake, a table a region.

    What pixel metrics do not see has a panel of its own.

    Args:
        rows: Means over patients.
        model: The model's name in them.

    Returns:
        One table a region, from the whole slice inwards.
    """
    found = {(row.region, row.metric) for row in rows if row.metric not in HIDDEN}
    regions = sorted({region for region, _ in found}, key=region_order)
    return [
        _table(rows, model, sorted((f for f in found if f[0] == region), key=_column_order))
        for region in regions
    ]


def stage_table(rows: Sequence[Score], model: str, gains: Sequence[Document] = ()) -> Table | None:
    """Lay out what each stage adds to the one before.

    Args:
        rows: Means over patients.
        model: The model's name in them, which is its last stage's.
        gains: `stage_gains` of the evaluation: differences by patient, with intervals.

    Returns:
        A row a stage with the change to the one above; None for a model of one stage.
    """
    names = stage_names(rows, model)
    if len(names) < 2:
        return None
    held = [row for row in rows if row.name in names]
    columns = [column for column in STAGE_COLUMNS if _measured(held, column)]
    lines: list[Line] = []
    for place, name in enumerate(names):
        above = names[place - 1] if place else None
        ends = _ends_of_gains(gains, place + 1)
        cells = tuple(
            replace(_changed_cell(held, name, above, column), change_ends=ends.get(column, ""))
            for column in columns
        )
        label = f"Stage {place + 1}" + (" (the output)" if name == model else "")
        lines.append(Line(label, "model" if name == model else "stage", "", cells, ""))
    return Table(_groups(columns), tuple(lines))


def _ends_of_gains(gains: Sequence[Document], stage: int) -> dict[tuple[str, str], str]:
    """The interval of what a stage adds, by region and metric."""
    ends = {}
    for one in gains:
        if finite(one.get("stage")) == stage:
            column = str(one.get("region")), str(one.get("metric"))
            low, high = finite(one.get("low")), finite(one.get("high"))
            ends[column] = interval(low, high, metric_of(column[1]).digits)
    return ends


def stage_names(rows: Sequence[Score], model: str) -> list[str]:
    """The model's stages in their order, the last one under the model's name.

    Args:
        rows: Means over patients.
        model: The model's name in them.

    Returns:
        Names of rows.
    """
    names = dict.fromkeys(row.name for row in rows)
    earlier = [name for name in names if name.startswith(f"{model} / stage ")]
    return [*sorted(earlier, key=_stage_number), *([model] if model in names else [])]


def _stage_number(name: str) -> int:
    digits = name.rpartition(" ")[2]
    return int(digits) if digits.isdecimal() else 0


def _column_order(column: tuple[str, str]) -> tuple[int, str]:
    return metric_order(column[1])


def _table(rows: Sequence[Score], model: str, wanted: Iterable[tuple[str, str]]) -> Table:
    columns = [column for column in wanted if _measured(rows, column)]
    here = [row for row in rows if (row.region, row.metric) in columns]
    best = {column: _best_value(here, column) for column in columns}
    lines = []
    for name in _names(here, model):
        own = {(row.region, row.metric): row for row in here if row.name == name}
        cells = tuple(_cell(own.get(column), best[column]) for column in columns)
        kind = _kind(name, model)
        lines.append(
            Line(_label(name, model), kind, TRIVIAL_MEANING.get(name, ""), cells, _n(own.values()))
        )
    return Table(_groups(columns), tuple(lines))


def _names(rows: Sequence[Score], model: str) -> list[str]:
    """The model, its stages from the first, the trivial images, then whatever else there is."""
    stages = stage_names(rows, model)
    found = dict.fromkeys(row.name for row in rows)
    trivial = [name for name in TRIVIAL if name in found]
    ordered = [*stages[-1:], *stages[:-1], *trivial]
    others = sorted((n for n in found if n not in ordered), key=lambda name: name == BLURRED_TRUTH)
    return [*ordered, *others]


def _kind(name: str, model: str) -> str:
    if name in TRIVIAL:
        return "trivial"
    if name == BLURRED_TRUTH:
        return "reference"
    return "model" if name == model else "stage"


def _label(name: str, model: str) -> str:
    if name in TRIVIAL:
        return TRIVIAL[name].capitalize()
    if name == BLURRED_TRUTH:
        return "Blurred truth"
    return name.removeprefix(f"{model} / ").capitalize() if name != model else name


def _n(scores: Iterable[Score]) -> str:
    counts = sorted({score.n for score in scores})
    return "–".join(str(n) for n in counts[:1] + counts[1:][-1:])


def _groups(columns: Sequence[tuple[str, str]]) -> tuple[Group, ...]:
    regions = dict.fromkeys(region for region, _ in columns)
    return tuple(
        Group(region_label(region), tuple(metric_of(m) for r, m in columns if r == region))
        for region in regions
    )


def _measured(rows: Sequence[Score], column: tuple[str, str]) -> bool:
    return any((row.region, row.metric) == column for row in rows)


def _best_value(rows: Sequence[Score], column: tuple[str, str]) -> float | None:
    """The best penalty of a column; None where nothing competes."""
    metric = metric_of(column[1])
    here = [row for row in rows if (row.region, row.metric) == column and row.name != BLURRED_TRUTH]
    values = [metric.penalty(row.value) for row in here if row.value is not None]
    return min(values) if len(values) > 1 and is_known(metric.key) else None


def _cell(score: Score | None, best: float | None) -> Cell:
    if score is None:
        return Cell("")
    best = None if score.name == BLURRED_TRUTH else best
    metric = metric_of(score.metric)
    ends = interval(score.low, score.high, metric.digits)
    is_best = best is not None and score.value is not None and metric.penalty(score.value) <= best
    return Cell(number(score.value, metric.digits), ends, is_best)


def _changed_cell(
    rows: Sequence[Score], name: str, above: str | None, column: tuple[str, str]
) -> Cell:
    by_name = {row.name: row.value for row in rows if (row.region, row.metric) == column}
    metric, value = metric_of(column[1]), by_name.get(name)
    before = by_name.get(above) if above else None
    text = number(value, metric.digits)
    if value is None or before is None:
        return Cell(text)
    sign = "+" if value >= before else ""
    better = metric.penalty(value) < metric.penalty(before)
    return Cell(text, change=f"{sign}{number(value - before, metric.digits)}", better=better)
