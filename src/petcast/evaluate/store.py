"""An evaluation on disk: the same files beside a run and in a folder of its own (docs/files.md)."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from petcast.disk.durable import exclusive, write_directory, write_json, write_text
from petcast.errors import UsageError
from petcast.evaluate.montage import Pictures
from petcast.evaluate.records import records_as_csv
from petcast.evaluate.result import RECORDS, Evaluation, Row

DOCUMENT = "evaluation.json"

_TABLES = ("rows", "uncertainty", *RECORDS)
_PICTURES = ("montage", "worst", "registration", "spectra", "uncertainty")
_OURS = {DOCUMENT, *(f"{name}.csv" for name in _TABLES), *(f"{name}.npz" for name in _PICTURES)}
"""Whatever an evaluation may hold, of a run or of files."""


def save_evaluation(
    folder: Path,
    evaluation: Evaluation,
    pictures: Pictures,
    more: Callable[[Path], None] | None = None,
) -> None:
    """Write an evaluation, all or nothing; an older one in the same place is replaced.

    Args:
        folder: Where to.
        evaluation: The metrics.
        pictures: For the report; no file where it is empty.
        more: Writes further files into the folder.
    """

    def fill(directory: Path) -> None:
        write_json(directory / DOCUMENT, evaluation.to_json())
        write_text(directory / "rows.csv", records_as_csv(Row, evaluation.rows))
        for name, kind in RECORDS.items():
            text = records_as_csv(kind, getattr(evaluation, name))
            write_text(directory / f"{name}.csv", text)
        if not pictures.empty:
            pictures.save(directory / "montage.npz")
        if more is not None:
            more(directory)

    write_directory(folder, fill)


def alone_for(folder: Path) -> AbstractContextManager[None]:
    """Keep other evaluations out of a folder, from before the long work until it is written.

    The lock lies beside it while it lasts, as `.NAME.lock`: the folder itself is replaced.

    Args:
        folder: Where an evaluation will be written.

    Returns:
        To be entered.

    Raises:
        BusyError: Another process evaluates into it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    busy = f"another process evaluates into {folder}; wait for it, and do not start it again"
    return exclusive(folder.with_name(f".{folder.name}.lock"), passing=True, busy=busy)


def require_free(folder: Path) -> None:
    """Refuse to replace what is no evaluation.

    Args:
        folder: Where an evaluation shall be written.

    Raises:
        UsageError: Something else is there.
    """
    if not folder.exists():
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {""}
    visible = {name for name in names if not name.startswith(".")}  # not a file manager's
    if visible and not {DOCUMENT} <= visible <= _OURS:
        raise UsageError(
            f"{folder} holds something else; give --out a new folder, or an older evaluation"
        )
