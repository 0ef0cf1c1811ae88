"""The model card: the page's numbers in Markdown, nothing of a file taken for markup."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from petcast.errors import UsageError
from petcast.report import write_report
from petcast.report.card import plain

MakeRun = Callable[..., Path]
CardOf = Callable[[Path], str]


@pytest.fixture
def card_of(tmp_path: Path) -> CardOf:
    def card(run: Path) -> str:
        write_report(run, tmp_path / "page.html", tmp_path / "card.md")
        return (tmp_path / "card.md").read_text(encoding="utf-8")

    return card


def tables(card: str) -> list[list[str]]:
    """Lines of each table, which Markdown needs to have the same number of cells."""
    blocks = [block.splitlines() for block in card.split("\n\n")]
    return [block for block in blocks if block[0].startswith("|")]


@pytest.mark.slow
def test_the_card_has_the_pages_numbers(
    make_run: MakeRun, good: dict[str, Any], card_of: CardOf
) -> None:
    card = card_of(make_run(evaluation=good))
    for title in ("Verdict", "Intended use", "Data", "Metrics", "Limits of use", "Provenance"):
        assert f"## {title}\n" in card
    [metrics] = [t for t in tables(card) if t[0].startswith("| Image | Whole slice: SSIM")]
    assert metrics[2].startswith("| Stage02 | 0.980 (0.931–1.029) | 37.0 (35.1–38.9) |")
    assert "| train | 2 | 2 | 80 |" in card
    assert f"| Data (SHA-256) | {'cd' * 32} |" in card


@pytest.mark.slow
def test_every_table_is_even(make_run: MakeRun, good: dict[str, Any], card_of: CardOf) -> None:
    found = tables(card_of(make_run(evaluation=good)))
    assert len(found) > 3
    for table in found:
        assert len({line.replace("\\|", "").count("|") for line in table}) == 1, table[0]


@pytest.mark.slow
def test_what_files_say_is_no_markup(
    make_run: MakeRun, good: dict[str, Any], card_of: CardOf
) -> None:
    planted = "<img src=x>\n# head | `code` [a](b)"
    good["warnings"] = [{"code": planted, "detail": planted}]
    for row in good["patients"]:
        row["patient"] = planted
    card = card_of(make_run(evaluation=good))
    assert "<img" not in card.replace("\\<img", "")
    assert "\n# head" not in card
    assert "[a](" not in card.replace("\\[a\\](", "")


def test_special_characters_are_escaped() -> None:
    assert plain("a|b_c\n<d> & e") == "a\\|b\\_c \\<d\\> &amp; e"


@pytest.mark.slow
def test_the_same_run_gives_the_same_card_without_path(
    make_run: MakeRun, good: dict[str, Any], card_of: CardOf, tmp_path: Path
) -> None:
    run = make_run(evaluation=good)
    assert card_of(run) == card_of(run)
    assert str(tmp_path) not in card_of(run)


def test_a_run_without_evaluation_says_so(make_run: MakeRun, card_of: CardOf) -> None:
    assert "Not evaluated." in card_of(make_run())


def test_a_folder_as_card_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"give a file name such as .*MODEL_CARD\.md"):
        write_report(make_run(), tmp_path / "page.html", tmp_path)


@pytest.mark.slow
def test_phantoms_that_it_learned_from_are_named(make_run: MakeRun, card_of: CardOf) -> None:
    run = make_run()
    assert "Learned from first" not in card_of(run)
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text() + "\n[pretraining]\nphantoms = 24\nepochs = 4\n")
    assert "| Learned from first | 24 phantoms, for 4 epochs; nobody's data |" in card_of(run)
