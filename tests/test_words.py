"""Counts read as English does, and numbers as print has them."""

import re
from pathlib import Path

import petcast
from petcast.audit import SPLITS
from petcast.words import count, number


def test_one_is_singular_and_all_else_plural() -> None:
    assert [count(n, "epoch") for n in (0, 1, 2)] == ["0 epochs", "1 epoch", "2 epochs"]
    assert count(2, "study", "studies") == "2 studies"


def test_no_message_counts_in_the_plural_alone() -> None:
    """ "1 files hold slices" is met as soon as there is one; `count` knows better."""
    nouns = "case|epoch|file|fragment|frame|image|lesion|patient|slice|stud(?:ies|y)|voxel"
    alone = re.compile(rf"\{{(?:len|sum)\([^{{}}]*\)\}} (?:{nouns})s?\b")
    package = Path(petcast.__file__).parent
    found = {
        f"{path.relative_to(package)}: {match[0]}"
        for path in package.rglob("*.py")
        for match in alone.finditer(path.read_text("utf-8"))
    }
    assert found == NEVER_ONE


NEVER_ONE = {
    "evaluate/placed.py: {len(area)} slices",
    "nifti/layout.py: {len(files)} files",
}
"""A part of a volume, and files of which one would be no clash."""


def test_no_split_is_called_by_its_keyword_alone() -> None:
    assert SPLITS["published"] == "split by slices, whosever they are"


def test_numbers_have_true_minus_signs_and_no_negative_zero() -> None:
    assert [number(value, 1) for value in (-1.25, -0.01, float("nan"), None)] == [
        "−1.2", "0.0", "", "",
    ]  # fmt: skip
    assert [number(value, 0, signed=True) for value in (-0.4, 0.6, -1.0)] == ["+0", "+1", "−1"]
