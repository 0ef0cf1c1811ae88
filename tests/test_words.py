"""Counts read as English does."""

from petcast.audit import SPLITS
from petcast.words import count


def test_one_is_singular_and_all_else_plural() -> None:
    assert [count(n, "epoch") for n in (0, 1, 2)] == ["0 epochs", "1 epoch", "2 epochs"]
    assert count(2, "study", "studies") == "2 studies"


def test_no_split_is_called_by_its_keyword_alone() -> None:
    assert SPLITS["published"] == "split by slices, as published"
