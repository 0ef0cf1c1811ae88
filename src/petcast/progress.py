"""A progress bar with the time left, on standard error, and only where somebody watches."""

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
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


@contextmanager
def bar(what: str, total: float | None) -> Iterator[Callable[..., None]]:
    """Show how far work has come, which may be measured in parts of its items.

    Args:
        what: The work, in a few words.
        total: How much of it there is; None where nobody knows.

    Yields:
        Takes how much is done, in numbers that add up. Where standard error is no terminal, a bar
        is shown already, or another process shows it, no bar is shown.
    """
    if _Bar.shown or not sys.stderr.isatty() or not speaks():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import Progress

    # The time left by all that is remembered: of half a minute, the default, slow steps leave none.
    console = Console(stderr=True)
    shown = Progress(console=console, transient=True, speed_estimate_period=math.inf)
    _Bar.shown = True
    try:
        with shown:
            task = shown.add_task(what, total=total)
            yield lambda *done: shown.update(task, completed=sum(done))
    finally:
        _Bar.shown = False


def track(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items, showing how far the caller has come (see `bar`).

    Args:
        items: What is worked through.
        what: The work, in a few words.
        total: How many items there are, where `len` cannot tell.

    Yields:
        Each item.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with bar(what, total) as reach:
        for done, item in enumerate(items, 1):
            yield item
            reach(done)
