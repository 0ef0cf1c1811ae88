"""Who watches sees how far long work has come; nobody else sees anything."""

import io
import sys

import numpy as np
import pytest

from petcast.predict import hu_batches
from petcast.progress import bar, speaks, track


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _watched(monkeypatch: pytest.MonkeyPatch) -> _Terminal:
    """Called by the test itself: pytest gives each phase a standard error of its own."""
    shown = _Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    return shown


def test_a_terminal_shows_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _watched(monkeypatch)
    assert list(track([1, 2], "Reading headers")) == [1, 2]
    assert "Reading headers" in terminal.getvalue()


@pytest.mark.parametrize(("size", "rank", "first"), [(2, 0, True), (2, 1, False), (1, 1, True)])
def test_of_torchruns_processes_the_first_speaks(
    monkeypatch: pytest.MonkeyPatch, size: int, rank: int, first: bool
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(size))
    monkeypatch.setenv("RANK", str(rank))
    terminal = _watched(monkeypatch)
    assert list(track([1, 2], "training")) == [1, 2]
    assert speaks() == ("training" in terminal.getvalue()) == first


def test_nothing_is_written_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track([1, 2], "Reading headers")) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_casting_a_ct_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _watched(monkeypatch)
    batches = list(hu_batches(np.zeros((5, 4, 4), np.int16), 1, batch_size=2))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert "Casting" in terminal.getvalue()


def test_work_within_work_shows_one_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Older versions of rich refuse a second one."""
    terminal = _watched(monkeypatch)
    inner = [list(track([1, 2], "Casting")) for _ in track(range(2), "evaluating")]
    assert inner == [[1, 2], [1, 2]]
    assert "evaluating" in terminal.getvalue()
    assert "Casting" not in terminal.getvalue()


def test_the_next_work_is_shown_again(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _watched(monkeypatch)
    next(track([1, 2], "Reading headers"))  # and no further, as after an error
    assert list(track([1], "Writing DICOM")) == [1]
    assert "Writing DICOM" in terminal.getvalue()


def test_a_bar_moves_within_an_item_and_knows_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An epoch may take minutes: longer than what rich looks back on by default."""
    terminal = _watched(monkeypatch)
    times = iter(range(0, 100_000, 100))
    monkeypatch.setattr("rich.console.monotonic", lambda: float(next(times)))
    with bar("training", 2) as reach:
        for done in (0.25, 0.5, 0.75):
            reach(done)
    last = terminal.getvalue().split("training")[-1]
    assert "38%" in last
    assert "-:--:--" not in last
