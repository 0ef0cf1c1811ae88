"""The table of refusals: each code once, each with words, each in the documents."""

import pickle
import re
from pathlib import Path

import pytest

from petcast.refusal import Reason, RefusedError

PAGE = Path("docs", "how-to", "refusals.md")


@pytest.fixture(scope="module")
def rows(request) -> dict[str, str]:
    """The rows of the page by their code."""
    text = (request.config.rootpath / PAGE).read_text(encoding="utf-8")
    return {
        found[1]: found[0] for found in re.finditer(r"^\| `([A-Z-]+)` \|.*$", text, re.MULTILINE)
    }


def test_the_page_lists_each_code_and_no_other(rows: dict[str, str]) -> None:
    assert sorted(rows) == sorted(map(str, Reason))


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_each_code_has_a_sentence_and_a_remedy_and_the_page_says_the_same(
    reason: Reason, rows: dict[str, str]
) -> None:
    assert re.fullmatch(r"[A-Z]+(-[A-Z]+)*", reason)
    assert reason == reason.name.replace("_", "-")
    assert reason.meaning.endswith(".")
    assert reason.remedy.endswith(".")
    assert rows[reason] == f"| `{reason}` | {reason.meaning} | {reason.remedy} |"


def test_a_refusal_travels_between_processes_whole() -> None:
    error = RefusedError(Reason.GAP, "Between slices 3 and 4.")
    again = pickle.loads(pickle.dumps(error))
    assert again.refusal == error.refusal
    assert str(again) == str(error)
    assert "Export the whole series" in str(again)
