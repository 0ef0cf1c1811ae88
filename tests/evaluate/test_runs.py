"""A run on pairs: every stage, the trivial rows, and what is written."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from petcast.checkpoint import Card
from petcast.errors import DataError, GeometryError, UsageError
from petcast.evaluate import evaluate_run, runs
from petcast.evaluate.montage import choose_slices
from petcast.recipe import ModelRecipe, Recipe

SIDE = 16


def study(name: str, part: str, body_suv: float, slices: int = 4) -> Any:
    """A study whose left half is body, brighter slice by slice; its first rows are lungs."""
    regions = np.zeros((slices, SIDE, SIDE), np.uint8)
    regions[:, :, :8] = 1
    regions[:, :2, :8] = 2
    rise = np.arange(slices, dtype=np.float32)[:, None, None]
    pet = np.where(regions > 0, body_suv + rise, 0).astype(np.float32)
    return SimpleNamespace(
        id=name, patient=f"patient-{name}", part=part, slices=slices, regions=regions, pet=pet,
        ct=np.zeros(pet.shape, np.int16),
    )  # fmt: skip


class Bench:
    """Stands in for the pairs on disk, the checkpoint and the network."""

    def __init__(self, studies: list[Any]) -> None:
        self.held = studies
        self.index = {"hash": "h", "preparation": {"size": SIDE, "spacing_mm": 2.0}}
        self.card = Card(
            recipe=Recipe(model=ModelRecipe(name="Stage02")),
            epoch=7,
            grid={"size": SIDE, "spacing_mm": 2.0},
            data_hash="h",
            parameters=1,
        )
        self.factors = (0.5, 0.9)

    def studies(self, part: str) -> list[Any]:
        return [study for study in self.held if study.part == part]

    def predict(self, _model: Any, ct: np.ndarray, **_: Any) -> np.ndarray:
        [study] = [study for study in self.held if study.ct is ct]
        return np.stack([study.pet * np.float32(factor) for factor in self.factors])


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    studies = [
        study("a", "train", 1.0), study("b", "train", 3.0),
        study("c", "test", 2.0), study("d", "test", 4.0),
    ]  # fmt: skip
    bench = Bench(studies)
    monkeypatch.setattr(runs.Pairs, "open", lambda _: bench)
    monkeypatch.setattr(runs, "load_synthesizer", lambda *_: (None, bench.card))
    monkeypatch.setattr(runs, "predict_slices", bench.predict)
    return bench


def codes(evaluation: Any) -> set[str]:
    return {warning.code for warning in evaluation.warnings}


def test_every_number_is_right_by_hand(bench: Bench, tmp_path: Path) -> None:
    found = evaluate_run(tmp_path, tmp_path)
    # Body SUV by slice: 2…5 and 4…7, their mean 4.5; a tenth is missing, in stage 1 a half.
    assert found.value("Stage02", "body", "suv_bias") == pytest.approx(-0.45, abs=1e-5)
    assert found.value("Stage02 / stage 1", "body", "suv_mae") == pytest.approx(2.25, abs=1e-5)
    assert found.value("Stage02", "whole", "mae") == pytest.approx(0.0225, abs=1e-5)
    assert found.value("zero", "lungs", "suv_mae") == pytest.approx(4.5, abs=1e-5)
    # The training patients' bodies have 2.5 and 4.5 on average; their mean slice has 3.5 there.
    for name in ("body-constant", "train-mean"):
        assert found.value(name, "body", "suv_bias") == pytest.approx(-1.0, abs=1e-5)
    assert found.about["body_constant_suv"] == pytest.approx(3.5)
    row = next(row for row in found.rows if (row.name, row.metric) == ("Stage02", "suv_bias"))
    assert row.n == 2
    assert codes(found) == {"FEW-PATIENTS"}


def test_the_last_stage_bears_the_plain_name_and_stands_first(bench: Bench, tmp_path: Path) -> None:
    found = evaluate_run(tmp_path, tmp_path)
    assert list(dict.fromkeys(row.name for row in found.rows)) == [
        "Stage02", "Stage02 / stage 1", "zero", "body-constant", "train-mean",
    ]  # fmt: skip


def test_what_is_written_is_what_is_returned(bench: Bench, tmp_path: Path) -> None:
    found = evaluate_run(tmp_path, tmp_path / "run")
    folder = tmp_path / "run" / "evaluation"
    assert {path.name for path in folder.iterdir()} == {
        "evaluation.json", "rows.csv", "montage.npz",
    }  # fmt: skip
    document = json.loads((folder / "evaluation.json").read_text())
    assert document == json.loads(json.dumps(found.to_json()))
    assert document["suv_window"] == [0.0, 10.0]
    assert len((folder / "rows.csv").read_text().splitlines()) == 1 + len(found.rows)
    with np.load(folder / "montage.npz", allow_pickle=False) as montage:
        assert montage["ct"].shape == montage["truth"].shape == (6, SIDE, SIDE)
        assert montage["stages"].shape == (6, 2, SIDE, SIDE)
        assert montage["study"].tolist() == ["c"] * 3 + ["d"] * 3
        for row, (name, z) in enumerate(zip(montage["study"], montage["slice"], strict=True)):
            [shown] = [study for study in bench.held if study.id == name]
            np.testing.assert_array_equal(montage["truth"][row], shown.pet[z])
            np.testing.assert_array_equal(montage["stages"][row, 1], shown.pet[z] * np.float32(0.9))


def test_a_second_evaluation_replaces_the_first(bench: Bench, tmp_path: Path) -> None:
    evaluate_run(tmp_path, tmp_path / "run")
    bench.factors = (0.5, 1.0)
    evaluate_run(tmp_path, tmp_path / "run")
    document = json.loads((tmp_path / "run" / "evaluation" / "evaluation.json").read_text())
    [row] = [
        row for row in document["rows"]
        if (row["name"], row["region"], row["metric"]) == ("Stage02", "body", "suv_mae")
    ]  # fmt: skip
    assert row["value"] == 0.0
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["evaluation"]


def test_a_network_that_gives_zero_is_called_one(bench: Bench, tmp_path: Path) -> None:
    bench.factors = (0.5, 0.0)
    assert {"ZERO-PREDICTION", "BEATEN-BY-TRIVIAL"} <= codes(evaluate_run(tmp_path, tmp_path))


def test_a_network_that_gives_nan_is_refused(bench: Bench, tmp_path: Path) -> None:
    bench.factors = (0.5, float("nan"))
    with pytest.raises(DataError, match="Stage02"):
        evaluate_run(tmp_path, tmp_path)


def test_patients_that_were_trained_on_are_said(bench: Bench, tmp_path: Path) -> None:
    assert "NOT-TEST" in codes(evaluate_run(tmp_path, tmp_path, part="train"))
    bench.index["hash"] = "other"
    parts = {"train": ["patient-c"], "validation": [], "test": []}
    (tmp_path / "data.json").write_text(json.dumps({"parts": parts}))
    assert {"OTHER-PAIRS", "TRAINED-ON"} <= codes(evaluate_run(tmp_path, tmp_path))


def test_pairs_without_training_patients_still_have_trivial_rows(
    bench: Bench, tmp_path: Path
) -> None:
    bench.held = bench.studies("test")
    found = evaluate_run(tmp_path, tmp_path)
    assert "BODY-CONSTANT-FROM-TRUTH" in codes(found)
    assert found.value("body-constant", "body", "suv_bias") == pytest.approx(0, abs=1e-5)
    assert found.value("train-mean", "body", "suv_bias") is None


def test_a_part_that_is_empty_or_unknown_is_said(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no validation patients"):
        evaluate_run(tmp_path, tmp_path, part="validation")
    with pytest.raises(UsageError, match="tset"):
        evaluate_run(tmp_path, tmp_path, part="tset")


def test_a_model_of_another_grid_is_refused(bench: Bench, tmp_path: Path) -> None:
    bench.index["preparation"] = {"size": SIDE, "spacing_mm": 4.0}
    with pytest.raises(GeometryError, match=r"4\.0"):
        evaluate_run(tmp_path, tmp_path)


def test_the_montage_takes_even_quantiles_of_uptake_never_the_prediction() -> None:
    shown = study("a", "test", 1.0, slices=12)
    shown.pet = shown.pet[::-1].copy()  # darkest slice last
    assert choose_slices([shown]) == {"a": [1, 5, 9]}


def test_the_montage_shows_at_most_six_slices_spread_over_the_patients() -> None:
    many = [study(f"{n:02}", "test", float(n)) for n in range(12)]
    chosen = choose_slices(many)
    assert list(chosen) == ["01", "03", "05", "07", "09", "11"]
    assert {len(places) for places in chosen.values()} == {1}


def test_the_table_has_a_head_and_a_line_a_name(bench: Bench, tmp_path: Path) -> None:
    head, *body = evaluate_run(tmp_path, tmp_path).table()
    assert head[0] == ""
    assert body[0][0] == "Stage02"
    assert {len(row) for row in body} == {len(head)}
    assert body[0][head.index("body SUV bias")] == "-0.450\n[-0.550, -0.350]"
