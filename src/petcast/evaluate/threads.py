"""Work shared by threads: NumPy, SciPy and torch let go of the interpreter while they compute."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_THREADS = 8
"""Each holds the images of its slices, about 100 MB at 256 × 256."""


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Do the work in as many threads as torch may use, each with one of its own.

    A slice is too little for torch to share among cores: its threads would mostly wait for each
    other, and for seconds where other programs keep the cores busy.

    Args:
        work: Is called in any thread.
        items: What it is called with.

    Returns:
        A result each, in the order of the items.

    Example:
        >>> in_threads(len, ["a", "bc"])
        [1, 2]
    """
    threads = torch.get_num_threads()
    if threads == 1:
        return [work(item) for item in items]
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(min(threads, MOST_THREADS)) as pool:
            return list(pool.map(work, items))
    finally:
        torch.set_num_threads(threads)


def stretches(slices: int, least: int = 1) -> list[range]:
    """Divide slices among the threads of `in_threads`.

    Args:
        slices: How many there are.
        least: Of one stretch, as far as there are so many.

    Returns:
        As many stretches as there are threads, or fewer.

    Example:
        >>> [range(0, 5)] == stretches(5, least=8)
        True
    """
    count = max(min(torch.get_num_threads(), MOST_THREADS, slices // least), 1)
    ends = [slices * k // count for k in range(count + 1)]
    return [range(start, stop) for start, stop in pairwise(ends)]
