"""The account of the data: parts, shuffled slices, leaks, refusals."""

from typing import Any

import pytest

from petcast.report.data import account_for, leaks


def test_shuffled_slices_are_counted_by_part() -> None:
    study = {"id": "s", "patient": "p", "part": "mixed", "slices": 10, "suv_max": 5.0}
    study["ranges"] = {"train": [[0, 4], [6, 9]], "validation": [], "test": [[4, 6], [9, 10]]}
    parts = {"train": ["p"], "validation": [], "test": ["p"]}
    index: dict[str, Any] = {"studies": [study], "parts": parts, "split": {"kind": "published"}}
    train, validation, test = account_for(index).parts
    assert (train.patients, train.studies, train.slices) == (1, 1, 7)
    assert (validation.patients, validation.studies, validation.slices) == (0, 0, 0)
    assert (test.patients, test.studies, test.slices) == (1, 1, 3)
    assert leaks(index) is True


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"train": ["a"], "test": ["b"]}, False),
        ({"train": ["a", "b"], "test": ["b"]}, True),
        ({"train": ["a"]}, None),
        ({}, None),
        ("broken", None),
    ],
)
def test_a_leak_is_known_only_where_the_parts_are(parts: object, expected: bool | None) -> None:
    assert leaks({"parts": parts}) is expected


def test_the_most_frequent_refusal_comes_first_with_its_remedy() -> None:
    rows = [{"reason": "GAP", "level": "series", "files": 3}]
    rows += [{"reason": "NO-DOSE", "level": "series", "files": 2}] * 2
    first, second = account_for({"refused": rows}).refused
    assert (first.code, first.counts, first.files) == ("NO-DOSE", "2 series", 4)
    assert "RadionuclideTotalDose" in first.remedy
    assert second.counts == "1 series"


def test_nothing_known_is_nothing_said() -> None:
    account = account_for({})
    assert (account.parts, account.facts, account.refused, account.refusals) == ((), (), (), 0)
