"""What the command line prints of a document for people; `--json` prints the document itself."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 140
"""Columns of a table that goes to a file or a pipe; more where its words need them."""
BOUNDLESS = 100_000

WORDS = re.compile(r"\S+\s*")
HYPHENS = re.compile(r"\S*?[A-Za-z]-(?=[A-Za-z])|\S+\s*")
"""What a line is made of that may be broken between words, or after hyphens, too."""

NUMBER = re.compile(r"[-−+]?\d[\d.,]*(e[-+]\d+)?(?!\w)")
"""How a cell begins that stands to the right."""

Row = Mapping[str, Any]


def print_table(title: str, rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text.

    In a terminal no word is cut: lines are broken between words, where that is not enough after
    hyphens, and where that is not either, each row is printed as lines of its own. The first column
    is never broken. Nobody sees the edge of a file or a pipe, so there nothing is broken but text.

    Args:
        title: Stands above.
        rows: The first one is the head. Columns of numbers stand to the right.
    """
    from rich.console import Console

    if not sys.stdout.isatty():
        console, table = Console(width=WIDTH), _table(title, rows)
        boundless = console.options.update(max_width=BOUNDLESS)
        words = console.measure(table, options=boundless).minimum
        console.width = max(WIDTH, words + len(rows[0]) + 1)  # rich leaves out what divides columns
        console.print(table)
        return
    console = Console()
    if sum(_longest_lines(rows)) + 3 * len(rows[0]) + 1 <= console.width:
        console.print(_table(title, rows))
    elif fitted := _fitted(rows, console.width):
        console.print(_table(title, fitted, padding=0))
    else:
        text = _as_lines(title, rows)
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def _table(title: str, rows: Sequence[Sequence[str]], padding: int = 1) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, padding))
    head, *body = rows
    for number, name in enumerate(head):
        numeric = all(_is_numeric(row[number]) for row in body)
        justify: Literal["left", "right"] = "right" if numeric else "left"
        table.add_column(Text(name), justify=justify, overflow="fold", no_wrap=number == 0)
    for row in body:
        table.add_row(
            *map(Text, row)
        )  # never as markup, nor a head: a path and a name may hold brackets
    return table


def _fitted(rows: Sequence[Sequence[str]], room: int) -> list[list[str]] | None:
    """The rows with lines broken so that the columns have room beside each other, if that goes."""
    full = _longest_lines(rows)
    room -= len(full) + 1  # what divides columns
    for pieces in (WORDS, HYPHENS):
        least = [
            max(
                (len(piece.rstrip()) for cell in column for piece in pieces.findall(cell)),
                default=0,
            )
            for column in zip(*rows, strict=True)
        ]
        least[0] = full[0]
        wanted, spare = sum(full) - sum(least), room - sum(least)
        if spare >= 0:
            share = min(1.0, spare / wanted) if wanted else 0
            spans = zip(least, full, strict=True)
            widths = [low + int((high - low) * share) for low, high in spans]
            return [
                [_broken(cell, width, pieces) for cell, width in zip(row, widths, strict=True)]
                for row in rows
            ]
    return None


def _longest_lines(rows: Sequence[Sequence[str]]) -> list[int]:
    columns = zip(*rows, strict=True)
    return [max(len(line) for cell in column for line in cell.split("\n")) for column in columns]


def _broken(cell: str, width: int, pieces: re.Pattern[str]) -> str:
    lines: list[str] = []
    for line in cell.split("\n"):
        lines.append("")
        for piece in pieces.findall(line):
            if lines[-1] and len((lines[-1] + piece).rstrip()) > width:
                lines.append("")
            lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def _as_lines(title: str, rows: Sequence[Sequence[str]]) -> str:
    """Each row as a paragraph of names and cells, which a terminal may break where it likes."""
    head, *body = [[cell.replace("\n", " ") for cell in row] for row in rows]
    width = max(map(len, head))
    paragraphs = [
        "\n".join(f"  {name:{width}}  {text}" for name, text in zip(head, row, strict=True) if text)
        for row in body
    ]
    return "\n\n".join([title, *paragraphs, ""])


def print_rows(title: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Print some columns of a document's rows.

    Args:
        title: Stands above.
        columns: Keys of the rows; one that no row fills is left out.
        rows: Nothing is printed where there are none.
    """
    found = list(rows)
    filled = [name for name in columns if any(row.get(name) not in (None, "") for row in found)]
    if filled:
        cells = [[cell(row.get(name)) for name in filled] for row in found]
        print_table(title, [filled, *cells])


def print_scan(document: Mapping[str, Sequence[Row]]) -> None:
    """Print what `petcast scan` found.

    Args:
        document: With `studies`, `series` and `files`.
    """
    columns = ["modality", "files", "status", "reason", "detail", "where"]
    for level, ids in (("studies", ["id", "patient"]), ("series", ["id"]), ("files", [])):
        print_rows(level.capitalize(), [*ids, *columns], map(_shortened, document[level]))
    rows = [row for level in document.values() for row in level]
    _print_notes(rows)
    print_remedies(rows)


def _print_notes(rows: Iterable[Row]) -> None:
    notes = [(row["id"], note) for row in rows for note in row.get("notes", ())]
    if notes:
        print_table("Repaired or assumed", [("id", "note"), *notes])


def print_pairs(index: Mapping[str, Any]) -> None:
    """Print what `petcast prepare` made.

    Args:
        index: Of the pairs.
    """
    columns = ["id", "patient", "part", "slices", "suv_max", "factor_rule", "time_rule"]
    columns += ["registration"]
    rows = [study | {"registration": _codes(study)} for study in index["studies"]]
    print_rows("Pairs", columns, rows)
    _print_notes(rows)
    refused = [row | {"files": row["files"] or None} for row in index["refused"]]
    print_rows("Refused", ["level", "id", "files", "reason", "detail"], refused)
    print_remedies(index["refused"])
    if "boxes" in index:
        names = ("boxes", "placed", "unmatched", "outside", "resized", "clipped", "malformed")
        print_rows("Tumour boxes", names, [index["boxes"]])


def registration_remarks(index: Mapping[str, Any]) -> Iterator[str]:
    """Say where CT and PET of a study do not lie on each other.

    Args:
        index: Of the pairs.

    Yields:
        A sentence a warning.
    """
    for study in index["studies"]:
        for warning in study["registration"]["warnings"]:
            yield f"study {study['id']}: {warning['code']}: {warning['detail']}"


def _codes(study: Row) -> str:
    warnings = study["registration"]["warnings"]
    return ", ".join(warning["code"] for warning in warnings) or "good"


def print_remedies(rows: Iterable[Row]) -> None:
    """Print each reason among some rows once, with what to do.

    Args:
        rows: Refused ones carry a `reason`.
    """
    from petcast.refusal import Reason

    met = {row.get("reason") for row in rows}
    told = [[str(one), one.meaning, one.remedy] for one in Reason if str(one) in met]
    if told:
        print_table("What to do", [["reason", "what it means", "what to do"], *told])


def _shortened(row: Row) -> Row:
    """A row whose detail leaves away what the table of reasons says once."""
    from petcast.refusal import Reason

    meanings = [one.meaning for one in Reason if str(one) == row["reason"]]
    detail = (row["detail"] or "").removeprefix(meanings[0]).strip() if meanings else None
    return {**row, "detail": detail}


def print_epochs(rows: Sequence[Row]) -> None:
    """Print the metrics of the last epoch.

    Args:
        rows: One an epoch; none where the file that kept them was lost.
    """
    columns = ["last epoch", "ssim", "psnr", "mae", "psnr_body"]
    for last in rows[-1:]:
        parts = [part for part in ("validation", "test") if last[part]]
        measured = [{"last epoch": part, **last[part]} for part in parts]
        print_rows(f"Epoch {last['epoch']}", columns, measured)


def cell(value: Any) -> str:
    """Write a value into a table.

    Args:
        value: Of a document.

    Returns:
        Text; empty for None.
    """
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_numeric(text: str) -> bool:
    """A number or nothing, with whatever stands behind it; no id that begins with a digit."""
    return not text or bool(NUMBER.match(text))
