"""A study that is killed ends in the same tables, to the byte."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHILD = """
from dataclasses import replace
from torch import nn
import petcast.models.synthesizer as synthesizer
import petcast.study.results as results
from petcast.models.cascade import Cascade

def small(recipe):  # a convolution a stage
    stages = 2 if recipe.name == "Stage02" else 1
    return Cascade([nn.Conv2d(3, 3, 3, padding=1) for _ in range(stages)])

synthesizer.build_generator = small
results._figures = lambda *_: iter(())
# To count the operations of thirteen networks takes seconds.
results.table_2 = lambda names: replace(results.table_1(), key="table-2")
from petcast.cli import main
main()
"""
EPOCHS = 3
ROWS = 2 * 2 * EPOCHS
"""Two generators under two protocols."""


def command(pairs: Path, out: Path) -> list[str]:
    return [
        sys.executable, "-c", CHILD, "study", "tiny", "--data", str(pairs), "--out", str(out),
        "--models", "Stage01,Stage02", "--epochs", str(EPOCHS), "--json",
    ]  # fmt: skip


def rows_in(study: Path) -> int:
    """Look only where the runs are: folders of weights come and go while it trains."""
    return sum(path.read_text().count("\n") for path in study.glob("*/runs/*/metrics.jsonl"))


def kill_after(rows: int, pairs: Path, out: Path) -> None:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command(pairs, out), **quiet) as child:
        while rows_in(out) < rows and child.poll() is None:
            time.sleep(0.005)
        os.kill(child.pid, signal.SIGKILL)


@pytest.mark.slow
def test_killed_at_random_and_given_again_a_study_has_the_same_tables(
    tiny_pairs: Path, tmp_path: Path
) -> None:
    subprocess.run(command(tiny_pairs, tmp_path / "straight"), check=True, capture_output=True)
    for rows in sorted(random.Random(4).sample(range(1, ROWS), 2)):
        kill_after(rows, tiny_pairs, tmp_path / "killed")
    done = subprocess.run(
        command(tiny_pairs, tmp_path / "killed"), check=True, capture_output=True, text=True
    )
    tables = sorted((tmp_path / "straight" / "tables").iterdir())
    assert len(tables) >= 12
    for path in tables:
        assert (tmp_path / "killed" / "tables" / path.name).read_bytes() == path.read_bytes()
    for name in ("results.json", "study.html"):
        one, other = ((tmp_path / of / name).read_bytes() for of in ("straight", "killed"))
        assert one == other
    assert done.stdout.startswith("{")
