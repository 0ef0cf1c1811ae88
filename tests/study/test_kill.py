"""A study that is killed ends in the same tables, to the byte."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def rows_in(study: Path) -> int:
    """Look only where the runs are: folders of weights come and go while it trains."""
    return sum(path.read_text().count("\n") for path in study.glob("*/runs/*/metrics.jsonl"))


@pytest.mark.slow
def test_killed_at_random_and_given_again_a_study_has_the_same_tables(
    tiny_pairs: Path, tmp_path: Path, begin: Callable[..., Any]
) -> None:
    study = (
        "study", "tiny", "--data", tiny_pairs, "--models", "Stage01,Stage02",
        "--epochs", EPOCHS, "--json", "--out",
    )  # fmt: skip
    assert begin(*study, tmp_path / "straight", code=CHILD).wait() == 0
    for rows in sorted(random.Random(4).sample(range(1, ROWS), 2)):
        child = begin(*study, tmp_path / "killed", code=CHILD)
        while rows_in(tmp_path / "killed") < rows and child.poll() is None:
            time.sleep(0.005)
        assert child.kill() == -signal.SIGKILL
    done = begin(*study, tmp_path / "killed", code=CHILD)
    assert done.wait() == 0
    tables = sorted((tmp_path / "straight" / "tables").iterdir())
    assert len(tables) >= 12
    for path in tables:
        assert (tmp_path / "killed" / "tables" / path.name).read_bytes() == path.read_bytes()
    for name in ("results.json", "study.html"):
        one, other = ((tmp_path / of / name).read_bytes() for of in ("straight", "killed"))
        assert one == other
    assert done.said()[0].startswith("{")
