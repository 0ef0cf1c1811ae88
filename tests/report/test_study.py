"""The page of a study: self-contained, and honest about what its numbers can say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from petcast.errors import FormatError, UsageError
from petcast.report import write_report
from petcast.report.answers import answer_question, answer_trivial, answer_worth, cautions


def paired(value: float, n: int, p: float | None = 0.01, spread: float = 0.1) -> dict[str, Any]:
    ends = (None, None) if n < 2 else (value - spread, value + spread)
    return {"value": value, "low": ends[0], "high": ends[1], "p": p, "n": n, "least_p": 2 / 2**n}


def cell(text: str, **more: Any) -> dict[str, Any]:
    return {"text": text, "ends": "", "best": False, "span": 1} | more


def table(key: str, records: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    lines = [
        {"name": "U-Net", "cells": [cell("30.00", ends="[29, 31]", best=True), cell("1")],
         "kind": "model", "note": ""},
        {"name": "zero", "cells": [cell("diverged at epoch 3", span=2)], "kind": "trivial",
         "note": "no uptake anywhere"},
    ]  # fmt: skip
    return {
        "key": key, "title": f"Title of {key}", "first": "Generator",
        "groups": [{"label": "Sound", "columns": ["PSNR dB", "epoch"]}],
        "lines": lines, "note": "How to read it.", "records": records or [],
    }  # fmt: skip


def score(name: str, psnr: float | None, kind: str = "model", state: str = "done") -> dict:
    return {"name": name, "kind": kind, "sound_psnr": psnr, "published_state": "done",
            "sound_state": state if kind == "model" else ""}  # fmt: skip


def results(n: int = 8, value: float = 0.5, p: float | None = 0.01, **more: Any) -> dict[str, Any]:
    answers = {key: paired(value, n, p) for key in ("ssim", "psnr", "mae")}
    worth = {"middle": 1.25, "least": 0.5, "most": 2.0, "generators": 13, "picking": 0.4,
             "slices": 0.3}  # fmt: skip
    keys = ("table-1", "table-2", "table-3", "table-4-body", "protocol-worth", "paired-u-net")
    scores = [score("U-Net", 31.0), score("Stage07", 32.0), score("zero", 29.0, "trivial")]
    patients = {"train": 20, "validation": 3, "test": n}
    return {
        "format": 1, "petcast": "0", "torch": "0", "git": None, "recipe": "[model]\n",
        "grid": {"size": 256, "spacing_mm": 2.0}, "data_hashes": {"published": "a", "sound": "b"},
        "weights": {"U-Net": {"published": None, "sound": "cd" * 32}},
        "generators": ["U-Net", "Stage07"], "epochs": 200,
        "divisions": {
            "published": {"kind": "published", "note": "It leaks.", "patients": {}, "empty": [],
                          "slices": {"train": 400, "validation": 0, "test": 64}},
            "sound": {"kind": "patient", "note": "Whole.", "patients": patients, "empty": [],
                      "slices": {"train": 300, "validation": 50, "test": 114}},
        },
        "worth": {"psnr": worth, "ssim": worth, "mae": worth}, "warnings": {}, "figures": {},
        "question": {"generator": "Stage07", "reference": "U-Net", "answers": answers},
        "tables": [*map(table, keys), table("table-4", scores)], **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("n", "value", "p", "kind", "words"),
    [
        (8, 0.5, 0.01, "good", "Stage07 beats U-Net"),
        (8, -0.5, 0.01, "bad", "it is worse"),
        (8, 0.5, 0.30, "mixed", "no difference can be shown"),
        (8, 0.05, 0.01, "mixed", "no difference can be shown"),  # the interval holds 0
        (5, 0.5, 0.06, "unknown", "cannot be known from 5 patients"),
        (1, -0.5, None, "unknown", "trails U-Net here"),
    ],
)
def test_whether_stage07_beats_the_unet(
    n: int, value: float, p: float | None, kind: str, words: str
) -> None:
    answer = answer_question(results(n, value, p))
    assert answer.kind == kind
    assert words in answer.headline
    assert "PSNR" in answer.sentences[0]
    assert ("95 %" in answer.sentences[0]) == (n > 1)


def test_a_larger_mae_is_called_worse() -> None:
    said = answer_question(results(8, 0.5)).sentences[0]
    assert re.search(r"PSNR [^;]*better", said)
    assert re.search(r"MAE [^;]*worse", said)


def test_the_worth_is_told_in_db_with_what_is_in_it() -> None:
    answer = answer_worth(results())
    assert answer.headline == "The protocol alone is worth +1.25 dB"
    text = " ".join(answer.sentences)
    for number in ("+0.50 dB to +2.00 dB", "+0.40 dB", "+0.30 dB", "easier", "400 slices", "300",
                   "the chance of one run each"):  # fmt: skip
        assert number in text
    assert answer_worth(results(worth={})).kind == "unknown"


def test_trivial_images_are_beaten_or_not() -> None:
    won = answer_trivial(results())
    assert won is not None
    assert won.kind == "good"
    scores = [score("U-Net", 28.0), score("zero", 29.0, "trivial")]
    lost = answer_trivial(results(tables=[table("table-4", scores)]))
    assert lost is not None
    assert lost.kind == "bad"
    assert "0 of 1 generator is above it" in lost.sentences[0]
    assert answer_trivial(results(tables=[])) is None


def test_cautions_say_what_is_missing() -> None:
    scores = [score("U-Net", None, state="diverged at epoch 7"),
              score("Stage01", None, state="3 of 9 epochs")]  # fmt: skip
    divisions = {"sound": {"patients": {"test": 1}, "empty": ["validation"]}}
    flaws = {"BEATEN-BY-TRIVIAL": ["U-Net", "Stage01"], "ZERO-PREDICTION": ["Stage01"]}
    tables = [table("table-4", scores)]
    given = results(epochs=9, divisions=divisions, tables=tables, warnings=flaws)
    said = dict(cautions(given))
    assert list(said) == [
        "FEWER-EPOCHS", "NO-VALIDATION", "FEW-PATIENTS", "DIVERGED", "NOT-FINISHED",
        "ZERO-PREDICTION", "BEATEN-BY-TRIVIAL",
    ]  # fmt: skip
    assert "epoch 7" in said["DIVERGED"]
    assert "U-Net and Stage01" in said["BEATEN-BY-TRIVIAL"]
    assert said["ZERO-PREDICTION"].startswith("Of some test patients or of all, only zeros")
    assert not list(cautions(results()))


def study(folder: Path, document: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    (folder / "study.json").write_text('{"format": 1}')
    (folder / "results.json").write_text(json.dumps(document))
    page = folder / "figures" / "page"
    page.mkdir(parents=True)
    for number in (2, 3, 4):
        for variant in ("light-wide", "light-narrow", "dark-wide", "dark-narrow"):
            (page / f"figure-{number}-{variant}.svg").write_text("<svg/>")
    return folder


def test_a_page_of_a_study_without_test_patients_says_what_is_missing(tmp_path: Path) -> None:
    whole = results()["tables"]
    there = [one for one in whole if one["key"] not in ("table-4-body", "paired-u-net")]
    folder = study(tmp_path / "study", results(tables=there))
    page = write_report(folder, tmp_path / "a.html").read_text()
    assert "the sound protocol has no test patient" in page
    assert "Nothing to compare yet" in page


def test_the_page_loads_nothing_and_is_the_same_twice(tmp_path: Path) -> None:
    folder = study(tmp_path / "study", results())
    page = write_report(folder, tmp_path / "a.html").read_text()
    assert page == write_report(folder, tmp_path / "b.html").read_text()
    assert not re.search(r'(?:src|href|srcset)="(?!data:|#)', page)
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert 'style="' not in page  # the policy would not let it through
    assert str(tmp_path) not in page
    assert page.count("data:image/svg+xml") == 12
    for title in ("Title of table-4", "Stage07 beats U-Net", "Limits of use", "cd" * 32):
        assert title in page


def test_every_table_says_what_it_holds_and_of_how_many(tmp_path: Path) -> None:
    """What the protocol is worth stood there without metric and unit, a test without its n."""
    page = write_report(study(tmp_path / "s", results(n=8)), tmp_path / "a.html").read_text()
    for one in results()["tables"]:
        assert re.search(rf"<h[23][^>]*>{one['title']}</h", page), one["key"]
    assert "every generator is measured on the same 8 patients" in page


def test_the_widest_table_is_laid_out_for_paper(tmp_path: Path) -> None:
    """Paper has no scroll bar: the sound protocol's columns of Table 4 were cut off."""
    page = write_report(study(tmp_path / "s", results()), tmp_path / "a.html").read_text()
    printed = "".join(page.split("@media print")[1:])
    assert re.search(r"table\.grid \{ font-size: \dpt", printed)
    assert "table.grid thead th { white-space: normal; }" in printed


def test_spans_and_intervals_are_laid_out(tmp_path: Path) -> None:
    page = write_report(study(tmp_path / "s", results()), tmp_path / "a.html").read_text()
    assert 'colspan="2">diverged at epoch 3' in page
    assert '<strong class="best">30.00</strong><span class="ends">[29, 31]</span>' in page


def test_a_study_without_tables_or_of_a_newer_petcast_is_said(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", results(format=2))
    with pytest.raises(FormatError, match="format 2"):
        write_report(folder, tmp_path / "a.html")
    (folder / "results.json").unlink()
    with pytest.raises(UsageError, match="--only-tables"):
        write_report(folder, tmp_path / "a.html")


def test_a_study_has_no_card_and_nothing_is_written_where_one_is_asked_for(tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    with pytest.raises(UsageError, match="give one of its runs"):
        write_report(study(tmp_path / "s", results()), page, tmp_path / "CARD.md")
    assert not page.exists()
