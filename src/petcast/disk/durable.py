"""Writing that survives kill -9 and a full disk: beside, fsync, rename.

A reader never sees half a file. A directory that replaces another one (a checkpoint) goes
through three names, and `settle` brings any interruption between them to the last whole state::

    last.partial   being written; never read, swept away
    last.next      whole and on disk, about to become `last`
    last.previous  the one before, until `last` stands
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from petcast.errors import BusyError, FormatError, UsageError

LOCK_FILE = ".lock"
"""What `exclusive` locks in a folder that one command at a time works in."""

_UNFINISHED = re.compile(r"\.partial-\d+-.+|\..+\.partial")


def is_unfinished(name: str) -> bool:
    """Say whether a file or folder is what a killed command left of something half-written.

    Args:
        name: Without its folder.

    Returns:
        True of hidden names alone that `open_whole`, `named_whole` or `write_directory` give.

    Example:
        >>> is_unfinished(".partial-4711-pet.nii.gz"), is_unfinished("partial.nii.gz")
        (True, False)
    """
    return _UNFINISHED.fullmatch(name) is not None


def sync_directory(directory: Path) -> None:
    """Force a directory's entries to disk, where the system knows how to.

    Args:
        directory: An existing directory.
    """
    if os.name == "nt":  # Windows cannot open a directory; its renames are journalled
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def open_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only when it is whole.

    Args:
        path: The final name. Its folder is created where it is missing.

    Yields:
        A binary stream on a file beside `path`.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with _renamed(partial, path), partial.open("wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def named_whole(path: Path) -> Iterator[Path]:
    """Let a library that takes names write a file that appears under its own only when whole.

    Args:
        path: The final name. Its folder is created where it is missing.

    Yields:
        The name of an empty file beside `path`, with the same endings. Libraries may write less
        than they should and keep silent: look at the file before the block ends.
    """
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    with _renamed(partial, path):
        partial.touch()  # the system's own word where no file can be made
        yield partial
        with partial.open("r+b") as stream:
            os.fsync(stream.fileno())


@contextmanager
def _renamed(partial: Path, path: Path) -> Iterator[None]:
    """Give a file its final name when the block ends well; else remove it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        _say_where(error, path)
        raise
    sync_directory(path.parent)


def _say_where(error: BaseException, path: Path) -> None:
    """Name the file where the system did not: a stream that it was written to knows no name."""
    if isinstance(error, OSError) and error.errno is not None and error.filename is None:
        error.filename = str(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file, or none.

    Args:
        path: The final name.
        content: What it shall hold.
    """
    with open_whole(path) as stream:
        stream.write(content)


def write_text(path: Path, content: str) -> None:
    """Write a whole UTF-8 text file, or none.

    Args:
        path: The final name.
        content: What it shall hold.
    """
    write_bytes(path, content.encode())


def write_json(path: Path, document: Any) -> None:
    """Write a JSON document, indented and with a final newline; NaN is refused.

    Args:
        path: The final name.
        document: Anything `json.dumps` takes.
    """
    write_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def read_json(path: Path, *keys: str) -> Any:
    """Read a JSON document, with a clear word where it is missing or damaged.

    Args:
        path: The file.
        keys: Of an object that has at least these.

    Returns:
        What the file holds.

    Raises:
        FormatError: The file is missing, is not JSON, or is no object with these keys.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FormatError(f"{path} is missing") from None
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not whole JSON ({error}); make it again") from error
    if lost := [key for key in keys if not (isinstance(document, dict) and key in document)]:
        raise FormatError(
            f"{path} is damaged or another file: it has no {lost[0]!r}; make it again"
        )
    return document


def read_json_lines(path: Path, key: str) -> list[dict[str, Any] | None]:
    """Read JSON objects, one a line, from a file that grows and may be cut off.

    Args:
        path: The file; it need not exist.
        key: Names a whole number that each object has.

    Returns:
        The objects in their order; None for a line that holds no such object.
    """
    lines = path.read_bytes().splitlines() if path.is_file() else []
    return [_json_row(line, key) for line in lines if line.strip()]


def _json_row(line: bytes, key: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get(key), int) else None


def require_known_format(written: object, known: int, source: Path | str) -> None:
    """Refuse a document of another kind, or one that a newer petcast wrote.

    Args:
        written: The `format` that it names; None where it names none.
        known: The newest that the caller reads.
        source: Where it comes from, for the message.

    Raises:
        FormatError: It names no number, or a newer one.
    """
    if not isinstance(written, int):
        raise FormatError(f"{source} names no format; make it again")
    if written > known:
        raise FormatError(
            f"{source} has format {written}, this petcast knows {known}; update petcast"
        )


def sha256_of(path: Path) -> str:
    """Hash a file.

    Args:
        path: The file.

    Returns:
        64 hexadecimal digits.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_directory(target: Path, fill: Callable[[Path], None], *, hidden: bool = False) -> None:
    """Replace a directory by a new one, so that a whole one can always be recovered.

    Args:
        target: The directory's final name.
        fill: Writes the content into the empty directory that it is given.
        hidden: Put a dot before the names beside it: in a user's folder, such as `last.previous`
            could be theirs.
    """
    settle(target, hidden=hidden)
    partial, following, _ = _names(target, hidden)
    partial.mkdir(parents=True)
    try:
        fill(partial)
        _sync_tree(partial)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        _say_where(error, target)
        raise
    partial.rename(following)
    sync_directory(target.parent)
    settle(target, hidden=hidden)


def settle(target: Path, *, hidden: bool = False) -> None:
    """Bring an interrupted `write_directory` to the last whole state; sweep what is partial.

    Only for whoever writes there: of another process it would sweep away what is being written.

    Args:
        target: The directory's final name; it need not exist.
        hidden: As it was given to `write_directory`.
    """
    partial, following, previous = _names(target, hidden)
    if partial.exists():
        shutil.rmtree(partial)
    if following.exists():
        if target.exists():
            if previous.exists():
                shutil.rmtree(previous)
            target.rename(previous)
        following.rename(target)
        sync_directory(target.parent)
    if previous.exists() and target.exists():
        shutil.rmtree(previous)


def remove_directory(target: Path) -> None:
    """Remove a directory that `write_directory` wrote; half of it is never taken for the whole.

    Only for whoever writes there. What cannot be removed stays as `target.partial`, to be swept by
    `settle`.

    Args:
        target: The directory's final name; it need not exist.
    """
    settle(target)
    if target.exists():
        partial, _, _ = _names(target)
        target.rename(partial)
        shutil.rmtree(partial, ignore_errors=True)


def whole(target: Path) -> Path:
    """Where a directory's whole content lies, even if `write_directory` was interrupted.

    Nothing is moved or swept: readers do not own the folder, and whoever does may be writing.

    Args:
        target: The directory's final name; it need not exist.

    Returns:
        The directory; `target` where there is none. It may be replaced at any moment: what is
        missing there a moment later is to be looked for once more.
    """
    _, following, previous = _names(target)
    return next((one for one in (target, following, previous) if one.is_dir()), target)


@contextmanager
def exclusive(
    lock: Path, *, wait: bool = False, passing: bool = False, busy: str = ""
) -> Iterator[None]:
    """Keep other processes out of a folder; the system lifts the lock when the holder dies.

    Args:
        lock: A file in the folder, made where it is missing.
        wait: Until the other process is done, instead of giving up.
        passing: For work that is written at once when it is done: no lock file stays, and where
            the file system knows no locks, nobody is kept out.
        busy: What is said where another process holds it, if not the usual.

    Yields:
        Nothing; the lock is held inside the block.

    Raises:
        BusyError: Another process holds it.
        UsageError: The file system knows no locks.
    """
    try:
        import fcntl
    except ImportError:  # Windows: two processes in one folder are the user's care there
        yield
        return
    held = False
    while not held:
        with lock.open("a") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                usual = f"another process works in {lock.parent}; wait, or give another --out"
                raise BusyError(busy or usual) from None
            except OSError as error:
                if not passing:
                    raise UsageError(
                        f"{lock.parent} lies on a file system without locks ({error.strerror}); "
                        "give a folder on another one"
                    ) from None
            # Who held a passing lock has removed the file that others have opened meanwhile
            held = not passing or os.fstat(stream.fileno()).st_nlink > 0
            try:
                if held:
                    yield
            finally:
                if held and passing:
                    lock.unlink(missing_ok=True)


@contextmanager
def alone_beside(target: Path) -> Iterator[None]:
    """Let processes that write into one folder wait for each other; no lock file stays in it.

    Args:
        target: What is written; its folder exists.

    Yields:
        Nothing. Where the file system knows no locks, nobody is kept out.
    """
    try:
        import fcntl
    except ImportError:  # Windows: two processes in one folder are the user's care there
        yield
        return
    handle = os.open(target.parent, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _names(target: Path, hidden: bool = False) -> tuple[Path, Path, Path]:
    name = f".{target.name}" if hidden else target.name
    return (
        target.with_name(f"{name}.partial"),
        target.with_name(f"{name}.next"),
        target.with_name(f"{name}.previous"),
    )


def _sync_tree(root: Path) -> None:
    for path in sorted(root.rglob("*")):
        if path.is_file():
            with path.open("r+b") as stream:  # Windows flushes none that is open for reading alone
                os.fsync(stream.fileno())
        elif path.is_dir():
            sync_directory(path)
    sync_directory(root)
