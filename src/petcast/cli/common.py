"""What all commands share: how they print, and how they name what they take."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Folders = Annotated[
    list[Path], typer.Argument(metavar="DIR…", help="Folders or zips of DICOM, or NIfTI cohorts.")
]
Device = Annotated[str, typer.Option(help="auto (a GPU where there is one), cpu, cuda, cuda:1 …")]


def existing(paths: Sequence[Path]) -> list[Path]:
    """Refuse paths that are not there.

    Args:
        paths: What the user gave.

    Returns:
        The paths.

    Raises:
        UsageError: One is not there.
    """
    from petcast.errors import UsageError

    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} is not there; check the path")
    return list(paths)


def next_step(*words: str | Path) -> str:
    """Say what to do next, as a command that a shell takes as it stands.

    Args:
        words: The command's; paths of any name.

    Returns:
        Such as "Next: petcast scan 'our cohort/dicom'".
    """
    return f"Next: petcast {shlex.join(map(str, words))}"


def say(text: str) -> None:
    """Print for people, on standard error.

    Args:
        text: A line.
    """
    typer.echo(text, err=True)


def print_json(document: Any) -> None:
    """Print the one document that `--json` asks for.

    Args:
        document: JSON values only.
    """
    typer.echo(json.dumps(document, indent=2, allow_nan=False))
