"""A progress bar with the time left, on standard error, and only where somebody watches."""

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class _Bar:
    """The one that is shown: work within work shows none of its own."""

    shown = False


def speaks() -> bool:
    """Say whether this process speaks for all: of those that torchrun started, the first.

    Returns:
        True without torchrun.
    """
    return int(os.environ.get("WORLD_SIZE", "1")) == 1 or os.environ.get("RANK", "0") == "0"


def track(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items, showing how far the caller has come.

    Args:
        items: What is worked through.
        what: The work, in a few words.
        total: How many items there are, where `len` cannot tell.

    Yields:
        Each item. Where standard error is no terminal, a bar is shown already, or another process
        shows it, no bar is shown.
    """
    if _Bar.shown or not sys.stderr.isatty() or not speaks():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    _Bar.shown = True
    try:
        yield from rich_track(items, what, total, console=Console(stderr=True), transient=True)
    finally:
        _Bar.shown = False
