"""A Dask cluster of real worker processes gives the same bytes, also where one is killed."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

import petcast
from petcast import cli
from petcast.disk.durable import LOCK_FILE
from petcast.errors import UsageError
from petcast.pairs import Pairs
from petcast.prepare import LOCKS_FOLDER, SCRATCH_FOLDER, prepare
from petcast.recipe import PreparationRecipe
from petcast.workers import cluster
from petcast.workers.cluster import connected

SALT = "tests"
COARSE = PreparationRecipe(size=32, spacing_mm=16.0, slices="all")
PATIENCE_S = 60


@dataclass
class Farm:
    """A scheduler and its workers, each a process of its own on loopback."""

    folder: Path
    address: str
    stack: ExitStack
    scheduler: subprocess.Popen[bytes] | None = None

    def start(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{program}", *options]
        child = subprocess.Popen(
            command, cwd=self.folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        self.stack.callback(child.wait)
        self.stack.callback(child.kill)
        return child

    def hire(self) -> subprocess.Popen[bytes]:
        """Start a worker; its nanny would only hire another one when it dies."""
        options = ("--no-nanny", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1")
        return self.start("dask_worker", self.address, *options)

    def wait_for_workers(self, count: int) -> None:
        from distributed import Client

        with Client(self.address, timeout=PATIENCE_S, set_as_default=False) as client:
            if count:
                client.wait_for_workers(count, timeout=PATIENCE_S)


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    """A scheduler without workers; gone in the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with ExitStack() as stack:
        found = Farm(tmp_path, f"tcp://127.0.0.1:{port}", stack)
        options = ("--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        found.scheduler = found.start("dask_scheduler", *options)
        yield found


def on_cluster(farm: Farm, source: Path, out: Path) -> Pairs:
    with connected(farm.address, [source, out]) as pool:
        return prepare(
            [source], out, COARSE, salt=SALT, workers=pool.workers, executor=pool.executor
        )


def hashes(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != LOCK_FILE
    }


@pytest.mark.slow
def test_a_cluster_gives_the_same_bytes_and_a_killed_worker_loses_nothing(
    farm: Farm, tiny_cohort: Path, tmp_path: Path
) -> None:
    doomed, _ = farm.hire(), farm.hire()
    prepare([tiny_cohort], tmp_path / "here", COARSE, salt=SALT, workers=1)
    farm.wait_for_workers(2)
    on_cluster(farm, tiny_cohort, tmp_path / "whole")
    with ThreadPoolExecutor(1) as killer:
        killed = killer.submit(kill_while_it_holds_a_study, doomed, tmp_path / "killed")
        on_cluster(farm, tiny_cohort, tmp_path / "killed")
        assert killed.result() == -signal.SIGKILL
    expected = hashes(tmp_path / "here")
    assert hashes(tmp_path / "whole") == expected
    assert hashes(tmp_path / "killed") == expected
    shutil.make_archive(str(tmp_path / "packed"), "zip", tiny_cohort)
    on_cluster(farm, tmp_path / "packed.zip", tmp_path / "zip")  # unpacked where workers see it
    assert hashes(tmp_path / "zip") == expected
    assert not (tmp_path / "zip" / SCRATCH_FOLDER).exists()


def kill_while_it_holds_a_study(worker: subprocess.Popen[bytes], out: Path) -> int:
    """End a worker as soon as it has the lock of a study."""
    end = time.monotonic() + PATIENCE_S
    while not holds_open(worker.pid, out / LOCKS_FOLDER):
        assert time.monotonic() < end
        time.sleep(0.005)
    os.kill(worker.pid, signal.SIGKILL)
    return worker.wait()


def holds_open(pid: int, folder: Path) -> bool:
    try:
        handles = [handle.readlink() for handle in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:  # closed in the meantime
        return False
    return any(handle.parent == folder for handle in handles)


@pytest.mark.slow
def test_workers_that_cannot_do_it_are_told_of(
    farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm.wait_for_workers(0)
    monkeypatch.setattr(cluster, "PATIENCE_S", 1)
    with pytest.raises(UsageError, match="no workers; start some with `dask worker"):
        enter(farm.address, tmp_path)
    farm.hire()
    farm.wait_for_workers(1)
    with pytest.raises(UsageError, match=r"does not see .*gone"):
        enter(farm.address, tmp_path / "gone", monkeypatch)
    monkeypatch.setattr(petcast, "__version__", "9.9")
    with pytest.raises(UsageError, match=r"has petcast .*, this is 9\.9"):
        enter(farm.address, tmp_path)


@pytest.mark.slow
def test_a_scheduler_that_dies_is_told_of(
    farm: Farm, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert farm.scheduler is not None
    farm.hire()
    farm.wait_for_workers(1)
    with pytest.raises(UsageError, match="lost in the middle"):
        lose(farm.scheduler, farm.address, tmp_path)
    assert "Traceback" not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "127.0.0.1:1", "nonsense://there"])
def test_nobody_at_the_address_ends_soon_and_says_so(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(cluster, "PATIENCE_S", 0.5)
    arguments = ["prepare", str(tmp_path), "--out", str(tmp_path / "pairs"), "--cluster", address]
    assert status_of(arguments, monkeypatch) == 2
    error = capsys.readouterr().err
    assert "no Dask scheduler answers" in error
    assert "Traceback" not in error
    assert not (tmp_path / "pairs").exists()


def test_without_dask_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    arguments = ["prepare", str(tmp_path), "--out", str(tmp_path / "pairs"), "--cluster", "x:1"]
    assert status_of(arguments, monkeypatch) == 2
    assert "pip install 'petcast[cluster]'" in capsys.readouterr().err


def lose(scheduler: subprocess.Popen[bytes], address: str, path: Path) -> None:
    with connected(address, [path]) as pool:
        assert pool.executor is not None
        working = pool.executor.submit(time.sleep, PATIENCE_S)
        scheduler.kill()
        working.result()


def status_of(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr(sys, "argv", ["petcast", *arguments])
    with pytest.raises(SystemExit) as status:
        cli.main()
    return status.value.code


def enter(address: str, path: Path, monkeypatch: pytest.MonkeyPatch | None = None) -> None:
    if monkeypatch is not None:  # a path that exists here, and nowhere else
        monkeypatch.setattr(cluster, "_there", lambda given: given)
    with connected(address, [path]):
        pytest.fail("connected")


def test_without_an_address_this_machine_works() -> None:
    with connected(None, [Path("anything")], 3) as pool:
        assert (pool.workers, pool.executor) == (3, None)
