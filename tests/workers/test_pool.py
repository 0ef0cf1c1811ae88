"""Many processes: every task's result once, whoever dies; never more at hand than needed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from petcast.errors import DataError
from petcast.workers import AHEAD, in_chunks, work_through


@dataclass(frozen=True)
class Errand:
    """A number, and how often the process dies that is given it."""

    number: int
    deaths: int
    folder: Path

    @property
    def name(self) -> str:
        return f"errand {self.number}"


def run(errand: Errand) -> int:
    """Square the number, unless another death is due."""
    for death in range(errand.deaths):
        mark = errand.folder / f"{errand.number}-{death}"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return errand.number**2


def errands(folder: Path, deaths: dict[int, int]) -> list[Errand]:
    return [Errand(number, deaths.get(number, 0), folder) for number in range(12)]


def test_one_worker_works_here(tmp_path: Path) -> None:
    assert list(work_through(run, errands(tmp_path, {}), workers=1)) == [n**2 for n in range(12)]


@pytest.mark.slow
def test_tasks_of_killed_processes_are_done_again(tmp_path: Path) -> None:
    found = work_through(run, errands(tmp_path, {0: 1, 5: 1, 11: 1}), workers=2)
    assert sorted(found) == [n**2 for n in range(12)]


@pytest.mark.slow
def test_a_task_that_kills_every_process_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"errand 3: .*memory"):
        list(work_through(run, errands(tmp_path, {3: 99}), workers=2))


@pytest.mark.slow
def test_a_script_without_a_guard_works_in_its_own_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from petcast.workers import work_through\n"
        "print(sorted(work_through(abs, [-3, 2, -1], workers=2)))\n"
    )
    found = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[1, 2, 3]"


def at_ctrl_c(
    script: Path, text: str, before: list[str], handler: str = "default_int_handler"
) -> tuple[int, str]:
    """How a script ends and what it says when its terminal interrupts all processes after `before`.

    Whoever runs the tests may ignore Ctrl-C: the script says how it takes it.
    """
    script.write_text(f"import signal\nsignal.signal(signal.SIGINT, signal.{handler})\n{text}")
    with subprocess.Popen(
        [sys.executable, script], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in before] == before
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    return process.returncode, said


WAITING = (
    "import time\n"
    "from petcast.workers import work_through\n"
    "if __name__ == '__main__':\n"
    "    for _ in work_through(time.sleep, [1, 1, {last}], workers=2):\n"
    "        print('one', flush=True)\n"
)

STARTING = (
    "import time\n"
    "from petcast.workers import work_through\n"
    "if __name__ == '__main__':\n"
    "    list(work_through(time.sleep, [30], workers=2))\n"
    "else:  # what a new process reads first\n"
    "    print('starts', flush=True)\n"
    "    time.sleep(0.5)\n"
)


@pytest.mark.slow
def test_no_process_prints_a_traceback_at_ctrl_c(tmp_path: Path) -> None:
    """Those that wait for work among them."""
    code, said = at_ctrl_c(tmp_path / "script.py", WAITING.format(last=30), ["one\n"] * 2)
    assert code != 0
    assert "SpawnProcess" not in said


@pytest.mark.slow
def test_no_process_prints_a_traceback_at_ctrl_c_while_it_starts(tmp_path: Path) -> None:
    code, said = at_ctrl_c(tmp_path / "script.py", STARTING, ["starts\n"])
    assert code != 0, said
    assert said.count("Traceback") == 1, said  # the script's own


@pytest.mark.slow
def test_processes_of_who_ignores_ctrl_c_ignore_it_too(tmp_path: Path) -> None:
    """As under nohup; they had ended, and their work had been done again, one by one."""
    script = tmp_path / "script.py"
    assert at_ctrl_c(script, WAITING.format(last=1), ["one\n"] * 2, "SIG_IGN") == (0, "")


def test_tasks_are_drawn_only_a_few_ahead() -> None:
    class Counting(ThreadPoolExecutor):
        def submit(self, *arguments, **options) -> Future:
            nonlocal most
            most = max(most, drawn - given)
            return super().submit(*arguments, **options)

    drawn = given = most = 0

    def tasks() -> Iterator[int]:
        nonlocal drawn
        for number in range(100):
            drawn += 1
            yield number

    with Counting(2) as executor:
        for _ in work_through(abs, tasks(), workers=2, executor=executor):
            given += 1
    assert given == 100
    assert most <= 2 * AHEAD + 1


def test_an_error_of_a_task_comes_out() -> None:
    with ThreadPoolExecutor(1) as executor, pytest.raises(ZeroDivisionError):
        list(work_through(lambda n: 1 // n, [1, 0], workers=1, executor=executor))


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (3, [3]), (4, [4]), (9, [4, 4, 1])])
def test_chunks_hold_everything_once(count: int, sizes: list[int]) -> None:
    chunks = list(in_chunks(range(count), 4))
    assert [len(chunk) for chunk in chunks] == sizes
    assert [item for chunk in chunks for item in chunk] == list(range(count))
