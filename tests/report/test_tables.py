"""Tables of scores: who is in bold, what stands where, what a stage adds."""

from pathlib import Path

import pytest

from petcast.report.inputs import Score
from petcast.report.tables import all_columns, main_table, stage_names, stage_table


def _scores(metric: str, region: str = "body", **values: float | None) -> list[Score]:
    return [Score(name.replace("_", "-"), region, metric, value) for name, value in values.items()]


def test_the_best_is_bold_even_where_it_is_a_trivial_image() -> None:
    rows = _scores("psnr", model=20.0, zero=10.0, body_constant=25.0)
    table = main_table(rows, "model")
    assert [line.kind for line in table.lines] == ["model", "trivial", "trivial"]
    assert [line.cells[0].best for line in table.lines] == [False, False, True]


def test_the_best_bias_is_the_one_nearest_to_zero() -> None:
    table = main_table(_scores("suv_bias", model=-0.1, zero=-0.6, train_mean=0.2), "model")
    assert [line.cells[0].best for line in table.lines] == [True, False, False]
    assert table.lines[0].cells[0].value == "−0.100"


def test_a_value_that_is_missing_is_never_best() -> None:
    table = main_table(_scores("psnr", model=None, zero=10.0, body_constant=12.0), "model")
    assert table.lines[0].cells[0].value == "n/a"
    assert not table.lines[0].cells[0].best


def test_a_metric_nobody_knows_is_shown_without_a_winner() -> None:
    [table] = all_columns(_scores("novel", region="liver", model=1.0, zero=2.0), "model")
    assert table.groups[0].label == "liver"
    assert not any(cell.best for line in table.lines for cell in line.cells)


def test_regions_are_ordered_from_the_whole_slice_inwards() -> None:
    rows = [
        row
        for region in ("lesions", "lungs", "whole", "body")
        for row in _scores("suv_mae", region=region, model=1.0)
    ]
    labels = [table.groups[0].label for table in all_columns(rows, "model")]
    assert labels == ["Whole slice", "Inside the body", "Inside the lungs", "Inside lesions"]


def test_ten_stages_stand_in_their_order() -> None:
    names = [f"Stage10 / stage {k}" for k in (10, 2, 1, 9)]
    rows = [Score(name, "body", "psnr", 1.0) for name in ("Stage10", *names)]
    assert [name[-2:].strip() for name in stage_names(rows, "Stage10")] == [
        "1",
        "2",
        "9",
        "10",
        "10",
    ]


def test_a_stage_shows_what_it_changes() -> None:
    rows = [
        Score("m / stage 1", "body", "suv_mae", 0.5),
        Score("m", "body", "suv_mae", 0.4),
    ]
    table = stage_table(rows, "m")
    assert table is not None
    first, last = table.lines
    assert first.cells[0].change == ""
    assert (last.cells[0].change, last.cells[0].better) == ("−0.100", True)


def test_one_stage_has_no_table() -> None:
    assert stage_table(_scores("psnr", m=1.0), "m") is None


@pytest.mark.slow
def test_what_train_and_evaluate_really_write_is_read(tiny_pairs: Path, tmp_path: Path) -> None:
    from petcast.evaluate import evaluate_run
    from petcast.recipe import load_recipe
    from petcast.report import write_report
    from petcast.train import train

    recipe = load_recipe("demo", ["training.epochs=1"])
    run = tmp_path / "run"
    train(recipe, tiny_pairs, run)
    evaluate_run(tiny_pairs, run)
    text = write_report(run, tmp_path / "report.html").read_text(encoding="utf-8")
    for word in (
        "Stage 2 (output)",
        "chosen: epoch 1",
        "Body-constant",
        "27,903,726",
        "FEW-PATIENTS",
    ):
        assert word in text
    for word in ("OLD-EVALUATION", "OTHER-DATA", "Not described here", "Not measured"):
        assert word not in text
