"""What the command line prints of a document for people; `--json` prints the document itself."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 140
"""Columns of a table that goes to a file or a pipe; more where its words need them."""
BOUNDLESS = 100_000

NUMBER = re.compile(r"[-−+]?\d[\d.,]*(e[-+]\d+)?(?!\w)")
"""How a cell begins that stands to the right."""

Row = Mapping[str, Any]


def print_table(title: str, rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text.

    Args:
        title: Stands above.
        rows: The first one is the head. Columns of numbers stand to the right. The first column is
            never cut; where a terminal is too narrow for the others beside it, each row is printed
            as lines.
    """
    from rich.console import Console

    table, head = _table(title, rows), rows[0]
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    boundless = console.options.update(max_width=BOUNDLESS)
    words = console.measure(table, options=boundless).minimum
    words += len(head) + 1  # rich leaves out what divides columns
    if not sys.stdout.isatty():  # nobody sees the edge of a file: no id and no path is cut in two
        console.width = max(WIDTH, words)
    elif words > console.width and max(len(row[0]) for row in rows) > console.width / 3:
        console.print(_as_lines(title, rows), markup=False, highlight=False, soft_wrap=True)
        return
    console.print(table)


def _table(title: str, rows: Sequence[Sequence[str]]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    head, *body = rows
    for number, name in enumerate(head):
        numeric = all(_is_numeric(row[number]) for row in body)
        justify: Literal["left", "right"] = "right" if numeric else "left"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=number == 0)
    for row in body:
        table.add_row(*map(Text, row))  # never as markup: a path may hold brackets
    return table


def _as_lines(title: str, rows: Sequence[Sequence[str]]) -> str:
    """Each row as a paragraph of names and cells, which a terminal may break where it likes."""
    head, *body = rows
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
    columns = ["id", "modality", "files", "status", "reason", "detail", "where"]
    for level in ("studies", "series", "files"):
        print_rows(level.capitalize(), columns, map(_shortened, document[level]))
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
    columns = ["id", "part", "slices", "suv_max", "factor_rule", "time_rule", "registration"]
    rows = [study | {"registration": _codes(study)} for study in index["studies"]]
    print_rows("Pairs", columns, rows)
    _print_notes(rows)
    print_rows("Refused", ["level", "id", "files", "reason", "detail"], index["refused"])
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


def shown(path: Path) -> str:
    """Write a path so that any terminal can show it.

    Args:
        path: Its bytes need not be text.

    Returns:
        Text; what cannot be shown is replaced.
    """
    return str(path).encode(errors="replace").decode()


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
