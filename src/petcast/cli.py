"""The command line: parse, call, print. No logic lives here.

Libraries that are slow to import are imported by the command that needs them, so that
`petcast --help` answers at once. Results go to standard output, everything else to standard
error; `--json` prints one document on standard output and nothing else.
"""

import errno
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import petcast
from petcast.errors import PetcastError

app = typer.Typer(
    name="petcast",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its traceback would print local variables: identities
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Cast a PET from a CT: HU in, SUV out. Research only; a PET made from a CT measures "
    "no tracer.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def main() -> None:
    """Run the command line; the exit status is that of DESIGN's contract."""
    logging.basicConfig(format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        app()
    except PetcastError as error:
        _fail(str(error), error.exit_status)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        _fail(f"{error.strerror}: {error.filename or 'while writing'}; nothing was damaged", 3)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options that stand before a command."""
    if version:
        typer.echo(petcast.__version__)
        raise typer.Exit


@app.command()
def models(as_json: Json = False) -> None:
    """List the generators and their size.

    Stages, parameters, and GFLOP for a slice of 256 x 256 voxels.

    Example: petcast models
    """
    from petcast.models.describe import describe_all

    document = describe_all()
    if as_json:
        _print_json(document)
        return
    rows = [
        [m["name"], str(m["stages"]), f"{m['parameters']:,}", f"{m['gflop']:.2f}"]
        for m in document["models"]
    ]
    _print_table("Generators", [["name", "stages", "parameters", "GFLOP"], *rows])
    discriminator = document["discriminator"]
    typer.echo(f"Discriminator: {discriminator['name']}, {discriminator['parameters']:,}")


@app.command()
def archive(
    collection: Annotated[str, typer.Argument(help="A public collection: lung-pet-ct-dx.")],
    download: Annotated[
        Path | None, typer.Option(help="Fetch the usable series into this folder (tens of GB).")
    ] = None,
    subjects: Annotated[
        list[str] | None, typer.Option(help="Fetch only these subjects; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what of a public collection is usable, or fetch it.

    Subjects, series, slices and gigabytes, from an index that is read offline.

    Example: petcast archive lung-pet-ct-dx
    """
    from petcast import archive as archives

    if download is not None:
        report = archives.download(collection, download, subjects or None)
        _print_json(report.to_json()) if as_json else typer.echo(f"Fetched into {report.out}")
        return
    summary = archives.summarise(collection)
    if as_json:
        _print_json(summary.to_json())
        return
    _print_table("Usable", summary.table())
    _print_table("Refused in the index", summary.refused_table())


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _fail(text: str, status: int) -> None:
    _say(f"petcast: {text}")
    raise SystemExit(status)


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, allow_nan=False))


def _print_table(title: str, rows: Sequence[Sequence[str]]) -> None:
    """Print rows; the first one is the head."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    head, *body = rows
    for number, name in enumerate(head):
        table.add_column(name, justify="left" if number == 0 else "right", overflow="fold")
    for row in body:
        table.add_row(*row)
    Console().print(table)
