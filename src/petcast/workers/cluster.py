"""A Dask cluster as an executor: the same work, done by processes on any number of machines.

Every worker sees the same file system and has petcast installed; only names of files and small
results travel. A worker that dies loses nothing: Dask gives its work to another.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import petcast
from petcast.errors import DataError, UsageError

if TYPE_CHECKING:
    from distributed import Client

PATIENCE_S = 5
"""How long a scheduler may take to answer, and its first worker to be there."""


@dataclass(frozen=True)
class Pool:
    """The processes that do the work.

    Attributes:
        workers: How many tasks are done at a time; one a core where None.
        executor: Gives a cluster's workers their tasks; None for processes of this machine.
    """

    workers: int | None
    executor: Executor | None = None


@contextmanager
def connected(
    address: str | None, paths: Sequence[Path], workers: int | None = None
) -> Iterator[Pool]:
    """Use a running Dask cluster, if one is given.

    Args:
        address: Of its scheduler, such as tcp://10.0.0.1:8786; None for this machine.
        paths: Folders and files that every worker must see; of one that is still to be made, the
            folder that it will be in.
        workers: Processes of this machine, where they do it; one a core where None.

    Yields:
        Who does the work.

    Raises:
        UsageError: Dask is not installed, nobody answers, there are no workers, or they do not
            see the paths, or have another petcast; or the cluster is lost in the middle.
        DataError: Worker after worker died on the same piece of work.
    """
    if address is None:
        yield Pool(workers)
        return
    client = _client(address)
    try:
        with _said(address):
            _require_workers(client, address, list(map(_there, paths)))
            # Not pure: what is given again shall be looked at again
            yield Pool(sum(client.nthreads().values()), client.get_executor(pure=False))
    finally:
        client.close(timeout=PATIENCE_S)


def _there(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    absolute = path.absolute()
    return next(place for place in (absolute, *absolute.parents) if place.exists())


def _client(address: str) -> "Client":
    try:
        from distributed import Client
    except ImportError:
        raise UsageError(
            "--cluster needs Dask, which is not installed: pip install 'petcast[cluster]'"
        ) from None
    _silence()
    try:
        return Client(address, timeout=PATIENCE_S, set_as_default=False)
    except (OSError, ValueError) as error:  # a TimeoutError is an OSError
        raise UsageError(
            f"no Dask scheduler answers at {address} ({type(error).__name__}); start one with "
            "`dask scheduler`, and give the address that it prints, such as tcp://10.0.0.1:8786"
        ) from None


def _silence() -> None:
    """Keep Dask's tracebacks from the user: what matters is said in our own words."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


@contextmanager
def _said(address: str) -> Iterator[None]:
    """Turn what Dask says of itself into words for the user."""
    from distributed import KilledWorker

    try:
        yield
    except KilledWorker:
        raise DataError(
            f"several workers at {address} died, one after another, on the same study, most likely "
            "because memory ran out; give each more (`dask worker --memory-limit`), and the same "
            "call again: what is done stays"
        ) from None
    except CancelledError:
        raise UsageError(
            f"the cluster at {address} was lost in the middle; start it again, and give the same "
            "call again: what is done stays"
        ) from None


def _require_workers(client: "Client", address: str, paths: Sequence[Path]) -> None:
    try:
        client.wait_for_workers(1, timeout=PATIENCE_S)
    except TimeoutError:
        raise UsageError(
            f"the scheduler at {address} has no workers; start some with "
            f"`dask worker {address} --nthreads 1`"
        ) from None
    try:
        found = client.run(_look, paths)
    except Exception as error:  # noqa: BLE001  whatever a worker without petcast raises
        raise UsageError(
            f"a worker of {address} cannot run petcast ({type(error).__name__}); install "
            f"petcast {petcast.__version__} where it runs"
        ) from None
    for worker, (version, missing) in found.items():
        if version != petcast.__version__:
            raise UsageError(
                f"the worker {worker} has petcast {version}, this is {petcast.__version__}; "
                "install the same one everywhere"
            )
        if missing:
            raise UsageError(
                f"the worker {worker} does not see {missing[0]}; all workers must see the same "
                "file system under the same names"
            )


def _look(paths: Sequence[Path]) -> tuple[str, list[str]]:
    """What a worker knows: its petcast, and which of the paths it does not see."""
    return petcast.__version__, [str(path) for path in paths if not os.access(path, os.R_OK)]
