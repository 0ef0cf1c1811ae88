"""Work shared by many processes: here, in a pool, or wherever an executor runs it.

Tasks are drawn as they are needed and results given as they come, so that memory holds a handful of
both, however many there are. A process that dies loses nothing: its tasks are done again.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, ParamSpec, TypeVar

from petcast.errors import DataError

Task = TypeVar("Task")
Result = TypeVar("Result")
Given = ParamSpec("Given")

AHEAD = 4
"""Tasks under way for each process, so that none of them waits for the next."""
TRIES = 2
"""A task is given up after so many processes of its own died on it."""

_ALONE = threading.Lock()


def cores() -> int:
    """Count the processors that this process may use.

    Returns:
        At least 1.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def work_through(
    work: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    workers: int,
    executor: Executor | None = None,
) -> Iterator[Result]:
    """Do all tasks.

    Args:
        work: Can be pickled; the same task may be done twice, and must not mind.
        tasks: Drawn one by one.
        workers: Processes; 1 works in this one.
        executor: Does the tasks instead, in so many processes.

    Yields:
        Each task's result, in any order.

    Raises:
        DataError: A task's process dies again and again.
    """
    if executor is not None:
        yield from _Flight(partial(alone, work), executor, workers).through(tasks)
    elif workers > 1:
        yield from _in_processes(partial(alone, work), tasks, workers)
    else:
        yield from map(work, tasks)


def alone(work: Callable[[Task], Result], task: Task) -> Result:
    """Do a task where many processes work: one at a time, and in one thread.

    Args:
        work: What is to be done.
        task: With what.

    Returns:
        Its result.
    """
    with _ALONE:  # a cluster's process may have several threads, and decoders bear only one
        _use_one_thread()
        return work(task)


def _use_one_thread() -> None:
    """Processes are as many as cores; threads within would only get in each other's way."""
    if "SimpleITK" in sys.modules:  # reading headers does without it
        sys.modules["SimpleITK"].ProcessObject.SetGlobalDefaultNumberOfThreads(1)


@dataclass
class _Flight(Generic[Task, Result]):
    """Tasks under way in one executor, never more than a few for each process."""

    work: Callable[[Task], Result]
    executor: Executor
    workers: int
    lost: list[Task] = field(default_factory=list)

    def through(self, tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield each result; where that raises, `lost` holds what was under way."""
        running: dict[Future[Result], Task] = {}
        try:
            for task in tasks:
                self.lost = [task]
                running[self.executor.submit(self.work, task)] = task
                self.lost = []
                if len(running) >= AHEAD * self.workers:
                    yield from _finished(running)
            while running:
                yield from _finished(running)
        except BaseException:
            for future in running:
                future.cancel()
            self.lost += running.values()
            raise


def _finished(running: dict[Future[Result], Task]) -> Iterator[Result]:
    """Wait for the next results and take them out."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        result = future.result()
        del running[future]
        yield result


def _in_processes(
    work: Callable[[Task], Result], tasks: Iterable[Task], workers: int
) -> Iterator[Result]:
    """Work in processes that start clean; after one was killed, in new ones."""
    waiting = iter(tasks)
    while True:
        with _pool(workers) as pool:
            flight = _Flight(work, pool, workers)
            try:
                pool.submit(cores).result()
                yield from flight.through(waiting)
            except BrokenExecutor:
                lost = flight.lost
            else:
                return
        if not lost:  # no process can live: a script without a __main__ guard
            yield from map(work, waiting)
            return
        yield from (result for task in lost for result in _by_itself(work, task))


def _by_itself(work: Callable[[Task], Result], task: Task) -> Iterator[Result]:
    """Do one task in a process of its own: what kills it shall take no other along."""
    for _ in range(TRIES):
        with _pool(1) as pool:
            try:
                yield pool.submit(work, task).result()
            except BrokenExecutor:
                continue
            else:
                return
    raise DataError(
        f"{getattr(task, 'name', 'a task')}: {TRIES} processes in a row were killed while they "
        "worked on it, most likely because memory ran out; free some and give the same call again: "
        "what is done stays"
    )


def _pool(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return _Pool(workers, context, initializer=_end_quietly)


class _Pool(ProcessPoolExecutor):
    """Processes, started as tasks come, that do not hear Ctrl-C before they can end quietly."""

    def submit(
        self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        with _ctrl_c_held():  # a new process inherits it
            return super().submit(fn, *args, **kwargs)


@contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """Let Ctrl-C wait: none is lost."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_quietly() -> None:
    """Ctrl-C reaches every process of a terminal; each would print a traceback of its own."""
    code = 128 + signal.SIGINT
    heard = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN  # not under nohup
    if heard:
        signal.signal(signal.SIGINT, lambda *_: os._exit(code))  # the executor would log it
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if heard:
        signal.signal(signal.SIGINT, lambda *_: sys.exit(code))


def in_chunks(items: Iterable[Task], size: int) -> Iterator[list[Task]]:
    """Gather items into lists.

    Args:
        items: Any.
        size: Of each list but the last.

    Yields:
        The lists.

    Example:
        >>> list(in_chunks(range(5), 2))
        [[0, 1], [2, 3], [4]]
    """
    rest = iter(items)
    for first in rest:
        yield [first, *(item for _, item in zip(range(size - 1), rest, strict=False))]
