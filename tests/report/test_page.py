"""The page as a whole: self-contained, safe, the same each time, whatever the run lacks."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from petcast.errors import FormatError, UsageError
from petcast.report import write_report

MakeRun = Callable[..., Path]

VOID = {"meta", "img", "br", "link", "hr", "input"}
SECTIONS = ("verdict", "scores", "stages", "montage", "curves", "data", "provenance", "limits")


class Page(HTMLParser):
    """Collects tags, and refuses what is not closed in its order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] for _, attrs in self.tags if attribute in attrs]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def page_of(tmp_path: Path) -> Callable[[Path], Page]:
    def page(run: Path) -> Page:
        return Page(write_report(run, tmp_path / "report.html").read_text(encoding="utf-8"))

    return page


PageOf = Callable[[Path], Page]


@pytest.mark.slow
def test_every_section_is_there_and_every_tag_is_closed(
    make_run: MakeRun, good: dict[str, Any], page_of: PageOf
) -> None:
    page = page_of(make_run(evaluation=good))
    assert set(SECTIONS) <= set(page.values("id"))
    assert page.tags[0] == ("html", {"lang": "en"})
    assert "Beats every image made without the CT, inside the body too" in page.text


@pytest.mark.slow
def test_the_limits_say_that_lesions_without_a_sign_cannot_be_found(
    make_run: MakeRun, page_of: PageOf
) -> None:
    text = page_of(make_run()).text  # of any run, also where no lesion was measured
    assert "A lesion without a sign on the CT cannot be found," in text


@pytest.mark.slow
def test_ids_are_unique_and_every_link_has_its_target(
    make_run: MakeRun, good: dict[str, Any], page_of: PageOf
) -> None:
    page = page_of(make_run(evaluation=good))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    pointed = [link.removeprefix("#") for link in page.values("href")]
    assert set(pointed + page.values("aria-labelledby")) <= set(ids)


@pytest.mark.slow
def test_nothing_is_loaded_from_anywhere(
    make_run: MakeRun, good: dict[str, Any], tmp_path: Path, page_of: PageOf
) -> None:
    page = page_of(make_run(evaluation=good))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(link.startswith("#") for link in page.values("href"))
    assert all(source.startswith("data:image/png;base64,") for source in page.values("src"))
    assert not re.search(r"https?:|url\(|@import|<script|<link|\bon\w+=", text)
    [policy] = [a["content"] for _, a in page.tags if "Policy" in a.get("http-equiv", "")]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.slow
def test_the_policy_allows_the_very_style_sheet_that_stands_there(
    make_run: MakeRun, tmp_path: Path, page_of: PageOf
) -> None:
    import base64
    import hashlib

    page = page_of(make_run())
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    [style] = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in text
    assert page.values("style") == []  # the policy would drop them
    assert re.search(r"\.scroll {[^}]*linear-gradient[^}]* local", style)  # a hint of what it hides


@pytest.mark.slow
def test_what_files_say_is_never_markup(
    make_run: MakeRun, good: dict[str, Any], page_of: PageOf
) -> None:
    planted = "<script>alert(1)</script>\"'&"
    good["warnings"] = [{"code": planted, "detail": planted}]
    good["montage"] = planted
    good["model"] = planted
    index = {
        "split": {"kind": planted, "note": planted},
        "studies": [
            {"part": "test", "patient": planted, "factor_rule": planted, "notes": [planted]}
        ],
        "refused": [{"reason": planted, "level": planted, "id": planted, "detail": planted}],
        "parts": {"test": [planted]},
    }
    recipe = f"# {planted}\n"
    page = page_of(make_run(evaluation=good, index=index, recipe=recipe))
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count("<script>alert(1)</script>") >= 8


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes(
    make_run: MakeRun, good: dict[str, Any], tmp_path: Path
) -> None:
    run = make_run(evaluation=good)
    first = write_report(run, tmp_path / "a.html").read_bytes()
    assert write_report(run, tmp_path / "b.html").read_bytes() == first
    assert str(tmp_path).encode() not in first  # a path may name a patient


@pytest.mark.slow
def test_without_evaluation_the_page_says_which_command_to_run(
    make_run: MakeRun, page_of: PageOf
) -> None:
    page = page_of(make_run())
    assert "Not evaluated yet" in page.text
    assert "petcast evaluate --truth PAIRS --predictions RUN" in page.text
    assert "epoch" in page.text


@pytest.mark.slow
def test_commands_in_warnings_are_set_as_code_and_nothing_else_is_markup(
    make_run: MakeRun, good: dict[str, Any], page_of: PageOf
) -> None:
    detail = "`zero` is <b>no</b> `<i>` PET."
    good["warnings"] = [{"code": "HOSTILE", "detail": detail}]
    page = page_of(make_run(evaluation=good))
    assert "`" not in page.text
    assert "zero is <b>no</b> <i> PET." in page.text
    assert not [tag for tag, _ in page.tags if tag in ("b", "i")]


@pytest.mark.slow
def test_no_mark_is_told_by_its_colour_alone(
    make_run: MakeRun, good: dict[str, Any], page_of: PageOf
) -> None:
    """What a stage betters was green and nothing else; a cross had a title that nobody hears."""
    page = page_of(make_run(evaluation=good))
    assert "green" not in page.text
    changes = [attrs for _, attrs in page.tags if attrs.get("class", "").startswith("change")]
    better = [attrs for attrs in changes if attrs["class"].endswith("up")]
    assert better
    assert page.values("aria-label").count("better") >= len(better)


@pytest.mark.slow
def test_paper_has_room_for_every_metric(make_run: MakeRun, good: dict[str, Any]) -> None:
    """Paper has no scroll bar: tables of nine metrics with intervals were cut off."""
    run = make_run(evaluation=good)
    page = write_report(run, run.parent / "report.html").read_text("utf-8")
    printed = page.split("@media print")[1]
    assert re.search(r"table\.scores \{ font-size: 7", printed)
    assert "td .ends, .change, th small, thead tr.groups th { font-size: 6pt; }" in printed


@pytest.mark.slow
def test_long_names_of_files_do_not_push_the_numbers_away(
    make_run: MakeRun, good: dict[str, Any]
) -> None:
    """Names of 140 characters in one line left no number on the page, nor the slice's on paper."""
    run = make_run(evaluation=good)
    page = write_report(run, run.parent / "report.html").read_text("utf-8")
    [name] = re.findall(r"\ntbody th code \{(.*)\}", page)
    [heading] = re.findall(r"\n\.montage tbody th \{(.*)\}", page)
    assert all(rule in name for rule in ("max-width: 14rem", "white-space: normal", "break-word"))
    assert all(rule in heading for rule in ("white-space: normal", "overflow-wrap: anywhere"))


@pytest.mark.slow
def test_a_model_of_one_stage_has_no_table_of_stages(
    make_run: MakeRun, evaluated: Callable[..., dict[str, Any]], page_of: PageOf
) -> None:
    evaluation = evaluated("Stage01", {"Stage01": 0.9, "zero": 0.0})
    page = page_of(make_run(model="Stage01", stages=1, evaluation=evaluation))
    assert "Stage01 has one stage" in page.text
    assert "Predicted" in page.text


@pytest.mark.slow
def test_one_patient_has_no_interval(
    make_run: MakeRun, evaluated: Callable[..., dict[str, Any]], page_of: PageOf
) -> None:
    evaluation = evaluated("Stage02", {"Stage02": 0.9, "zero": 0.0}, n=1)
    page = page_of(make_run(evaluation=evaluation))
    assert "1 test patient" in page.text
    assert "ends" not in page.values("class")
    assert "None" not in page.text
    assert "n/a" not in page.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("window", "said"), [([0, 2.5], "0 to 2.5 SUV"), ([-0.5, 10], "−0.5 to 10 SUV")]
)
def test_the_window_of_image_metrics_is_said_to_the_digit(
    make_run: MakeRun, page_of: PageOf, good: dict[str, Any], window: list[float], said: str
) -> None:
    text = page_of(make_run(evaluation=good | {"suv_window": window})).text
    assert f"SUV window of image metrics {said}" in text


@pytest.mark.slow
def test_uptake_outside_the_window_may_lie_on_either_side(
    make_run: MakeRun, page_of: PageOf, good: dict[str, Any]
) -> None:
    text = page_of(make_run(evaluation=good)).text
    assert "SUV outside the window counts as its nearer end" in text
    assert "that concerns 0.20 % (inside the body)" in text


@pytest.mark.slow
def test_a_run_that_is_nearly_empty_still_gives_a_page(tmp_path: Path, page_of: PageOf) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "metrics.jsonl").write_text("")
    (run / "recipe.toml").write_text("[model]\nname = 'Stage01'\n")
    page = page_of(run)
    assert set(SECTIONS) <= set(page.values("id"))
    assert "No epoch was finished" in page.text


@pytest.mark.slow
def test_rows_with_missing_keys_are_shown_as_far_as_they_go(
    make_run: MakeRun, page_of: PageOf
) -> None:
    evaluation = {
        "format": 1,
        "rows": [{"name": "Stage02", "region": "whole", "metric": "ssim", "value": 0.9}, {}],
    }
    page = page_of(make_run(evaluation=evaluation, index={"studies": [{}], "refused": [{}]}))
    assert "0.900" in page.text
    assert "Only partly measured" in page.text


@pytest.mark.slow
def test_an_evaluation_of_other_weights_is_called_old(
    make_run: MakeRun, good: dict[str, Any], page_of: PageOf
) -> None:
    good["weights"] = {"model.safetensors": "ef" * 32}
    assert "OLD-EVALUATION" in page_of(make_run(evaluation=good)).text


@pytest.mark.slow
def test_refusals_are_folded_counted_and_explained(make_run: MakeRun, page_of: PageOf) -> None:
    page = page_of(make_run())
    assert "57 items were refused, for 3 reasons" in page.text
    assert "Export again with PatientWeight kept" in page.text
    assert "And 15 more" in page.text
    assert "This petcast does not know the code" in page.text


@pytest.mark.slow
def test_a_cascade_of_ten_stages_stays_below_three_megabytes(
    make_run: MakeRun, evaluated: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    import numpy as np

    stages = {f"Stage10 / stage {k}": 0.05 * k for k in range(1, 10)}
    evaluation = evaluated("Stage10", {"Stage10": 0.9, **stages, "zero": 0.0})
    run = make_run(model="Stage10", stages=10, evaluation=evaluation)
    y, x = np.mgrid[:256, :256]
    body = ((x - 128) / 100) ** 2 + ((y - 128) / 65) ** 2 < 1
    noise = np.random.default_rng(0).normal(1.5, 0.3, size=(6, 10, 256, 256))
    for name, n in (("montage", 6), ("worst", 3)):
        np.savez(
            run / "evaluation" / f"{name}.npz",
            ct=np.repeat(np.where(body, 40, -1000)[None], n, axis=0).astype(np.int16),
            truth=(noise[:n, 0] * body).astype(np.float32),
            stages=(noise[:n] * body).astype(np.float32),
            study=np.array(["s"] * n),
            slice=np.arange(n),
        )
    page = write_report(run, tmp_path / "report.html")
    assert page.stat().st_size < 3_000_000


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no run"):
        write_report(tmp_path, tmp_path / "report.html")


def test_a_folder_as_output_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give a file name"):
        write_report(make_run(), tmp_path)


def test_a_damaged_montage_is_named(
    make_run: MakeRun, good: dict[str, Any], tmp_path: Path
) -> None:
    run = make_run(evaluation=good)
    path = run / "evaluation" / "montage.npz"
    whole = path.read_bytes()
    for content in (whole[:1000], whole[:60] + bytes(20) + whole[80:]):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=r"montage\.npz is damaged"):
            write_report(run, tmp_path / "report.html")


@pytest.mark.parametrize(("written", "said"), [(2, "update"), ("one", "no format")])
def test_files_of_another_format_are_refused(
    make_run: MakeRun, tmp_path: Path, written: object, said: str
) -> None:
    run = make_run()
    (run / "data.json").write_text(json.dumps({"format": written}))
    with pytest.raises(FormatError, match=said):
        write_report(run, tmp_path / "report.html")


@pytest.mark.slow
def test_frechet_distances_stand_with_the_scores(
    make_run: MakeRun, good: dict[str, Any], tmp_path: Path, page_of: PageOf
) -> None:
    frechet = [
        {"name": "Stage02", "value": 12.345, "slices": 840, "patients": 9},
        {"name": "zero", "value": None, "slices": 840, "patients": 9},
        {"name": "train-mean", "value": 210.0, "slices": 840, "patients": 9},
    ]
    perceptual = {"architecture": "alexnet", "sha256": "ab", "features": 256, "frechet": frechet}
    run = make_run(evaluation=good | {"perceptual": perceptual})
    text = page_of(run).text
    assert "of alexnet features over 840 slices" in text
    assert "Stage02 12.3, train-mean 210." in text  # of a single slice there is none
    write_report(run, tmp_path / "report.html", tmp_path / "CARD.md")
    assert "Stage02 12.3, train-mean 210." in (tmp_path / "CARD.md").read_text(encoding="utf-8")
    (run / "evaluation" / "evaluation.json").write_text(json.dumps(good))
    assert "Fréchet" not in page_of(run).text
