"""What a table is: numbers for machines (CSV), and cells for readers (Markdown, the page)."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

from petcast.disk.durable import write_text

Kind = Literal["model", "trivial", "sum"]
Value = str | int | float | None
Record = Mapping[str, Value]

DECIMALS = 6
"""Of numbers in CSV: far below what any of them means, above what rounding could show."""


@dataclass(frozen=True)
class Cell:
    """A cell for readers.

    Attributes:
        text: Its main line.
        ends: A smaller second line: an interval, an epoch.
        best: Whether it is the best of its column.
        span: How many columns it takes.
    """

    text: str
    ends: str = ""
    best: bool = False
    span: int = 1


@dataclass(frozen=True)
class Line:
    """A row for readers.

    Attributes:
        name: What it is about.
        cells: The columns after the name.
        kind: A generator, an image that none made, or a sum.
        note: A few words beneath the name.
    """

    name: str
    cells: Sequence[Cell]
    kind: Kind = "model"
    note: str = ""


@dataclass(frozen=True)
class Group:
    """Columns that belong together.

    Attributes:
        label: What they have in common, in short up to the first comma; may be empty.
        columns: Their headings.
    """

    label: str
    columns: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table in both forms.

    Attributes:
        key: Name of its files.
        title: What it shows.
        first: Heading of the first column.
        groups: The other columns.
        lines: Rows for readers.
        note: How to read it.
        records: Rows for machines.
    """

    key: str
    title: str
    first: str
    groups: Sequence[Group]
    lines: Sequence[Line]
    note: str
    records: Sequence[Record]

    def to_csv(self) -> str:
        """Lay the numbers out as CSV.

        Returns:
            A head and a line a record; what is not known is empty.
        """
        stream = io.StringIO()
        names = list(self.records[0]) if self.records else []
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _raw(row[key]) for key in names} for row in self.records)
        return stream.getvalue()

    def to_markdown(self) -> str:
        """Lay the cells out as Markdown.

        Returns:
            Title, table and note.
        """
        head, *body = self.printed(bold=True)
        lines = [_pipes(head), _pipes(["---", *["---:"] * (len(head) - 1)])]
        lines += [_pipes([cell.replace("\n", " ") for cell in row]) for row in body]
        return f"**{self.title}**\n\n" + "\n".join(lines) + f"\n\n{self.note}\n"

    def printed(self, *, bold: bool = False) -> list[list[str]]:
        """Lay the cells out as plain text.

        Args:
            bold: Whether two asterisks mark the best cells.

        Returns:
            A head and a row a line; second lines after a line break.
        """
        head = [
            f"{group.label.partition(',')[0]}: {column}" if group.label else column
            for group in self.groups
            for column in group.columns
        ]
        return [
            [self.first, *head],
            *([line.name, *_spread(line.cells, bold)] for line in self.lines),
        ]

    def without_first_group(self) -> "Table":
        """Leave out the first columns, where space is scarce.

        Returns:
            The table without its first group.
        """
        dropped = len(self.groups[0].columns)
        lines = [replace(line, cells=line.cells[dropped:]) for line in self.lines]
        return replace(self, groups=self.groups[1:], lines=lines)

    def to_json(self) -> dict[str, Any]:
        """Lay the table out for results.json.

        Returns:
            Cells and numbers, by the names of the attributes.
        """
        return asdict(self)

    def save(self, folder: Path) -> None:
        """Write both forms.

        Args:
            folder: Takes KEY.csv and, where there are rows for readers, KEY.md.
        """
        write_text(folder / f"{self.key}.csv", self.to_csv())
        if not self.lines:
            return
        write_text(folder / f"{self.key}.md", self.to_markdown())


def table_of(document: Mapping[str, Any]) -> Table:
    """Read back what `to_json` gave.

    Args:
        document: A table of results.json.

    Returns:
        The table.
    """
    lines = [
        Line(**{**line, "cells": [Cell(**cell) for cell in line["cells"]]})
        for line in document["lines"]
    ]
    groups = [Group(**group) for group in document["groups"]]
    return Table(**{**document, "lines": lines, "groups": groups})


def mark_best(lines: Sequence[Line], values: Sequence[Sequence[float | None]]) -> list[Line]:
    """Mark the best cell of each column.

    Args:
        lines: Rows for readers.
        values: Of each row, a number a column, larger is better; None where it does not compete.

    Returns:
        The rows, marked.
    """
    columns = max(map(len, values), default=0)
    tops = [_top(_at(row, column) for row in values) for column in range(columns)]
    return [
        replace(line, cells=[
            replace(cell, best=_is_top(_at(row, place), _at(tops, place)))
            for cell, place in zip(line.cells, _places(line.cells), strict=True)
        ])
        for line, row in zip(lines, values, strict=True)
    ]  # fmt: skip


def _places(cells: Sequence[Cell]) -> list[int]:
    """The column that each cell begins in."""
    ends = list(accumulate(cell.span for cell in cells))
    return [end - cell.span for end, cell in zip(ends, cells, strict=True)]


def _top(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _is_top(value: float | None, top: float | None) -> bool:
    return value is not None and value == top


def _at(row: Sequence[float | None], place: int) -> float | None:
    return row[place] if place < len(row) else None


def _spread(cells: Sequence[Cell], bold: bool) -> list[str]:
    texts: list[str] = []
    for cell in cells:
        text = f"**{cell.text}**" if cell.best and bold else cell.text
        texts += [f"{text}\n{cell.ends}" if cell.ends else text]
        texts += [""] * (cell.span - 1)
    return texts


def _pipes(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _raw(value: Value) -> Value:
    if isinstance(value, float):
        return f"{round(value, DECIMALS) + 0.0:.{DECIMALS}f}"
    return "" if value is None else value
