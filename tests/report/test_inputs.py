"""Reading a run: torn lines, repeated epochs, interrupted checkpoints."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from petcast.errors import FormatError
from petcast.report.inputs import finite, read_epochs, read_run

MakeRun = Callable[..., Path]


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 1}\n{"epoch": 2, "tra')
    assert [row["epoch"] for row in read_epochs(path)] == [1]


@pytest.mark.parametrize("line", [b"nonsense", b"\xff\xfe", b"{}", b"[" * 100_000])
def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"epoch": 1}\n' + line + b'\n{"epoch": 3}\n')
    with pytest.raises(FormatError, match="line 2"):
        read_epochs(path)


def test_an_epoch_trained_again_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    rows = [{"epoch": 2, "seconds": 1}, {"epoch": 1}, {"epoch": 2, "seconds": 9}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [row.get("seconds") for row in read_epochs(path)] == [None, 9]


@pytest.mark.parametrize("left", ["best.next", "best.previous"])
def test_a_checkpoint_whose_replacement_was_interrupted_is_found(
    make_run: MakeRun, left: str
) -> None:
    run = make_run()
    (run / "best").rename(run / left)
    assert read_run(run).card["epoch"] == 3


@pytest.mark.parametrize("value", [math.nan, math.inf, None, True, "1", [1]])
def test_what_is_no_finite_number_is_none(value: Any) -> None:
    assert finite(value) is None


def test_a_recipe_that_is_no_toml_is_named(make_run: MakeRun) -> None:
    with pytest.raises(FormatError, match=r"recipe\.toml is not TOML"):
        read_run(make_run(recipe="[[["))
