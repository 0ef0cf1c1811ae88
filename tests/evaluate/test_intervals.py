"""Coverage and sparsification of a calibrated run, and what each stage adds, by hand."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from petcast.checkpoint import MODEL_FILE, Card
from petcast.evaluate import Evaluation, evaluate_run, intervals, runs
from petcast.evaluate.gains import stage_gains
from petcast.evaluate.result import PatientRow
from petcast.pairs import study_folder, write_index, write_study
from petcast.recipe import ModelRecipe, Recipe
from petcast.uncertainty.calibrate import Scale
from petcast.uncertainty.spread import Method
from petcast.uncertainty.store import Calibration, save_calibration
from petcast.volume import Grid

SIDE, SLICES = 16, 4
ROOT = Path(__file__).resolve().parents[2]


class Bench:
    """Two test patients whose whole slice is body at SUV 2; the PET is off by a known ramp."""

    def __init__(self, folder: Path) -> None:
        self.pairs, self.run, self.weights = folder / "pairs", folder / "run", "ab" * 32
        self.run.mkdir(parents=True)
        grid = Grid((SLICES, SIDE, SIDE), np.eye(4))
        rows = []
        for name, part in (("a", "train"), ("c", "test"), ("d", "test")):
            shape = (SLICES, SIDE, SIDE)
            arrays = {
                "regions": np.ones(shape, np.uint8), "ct": np.full(shape, 40),
                "pet": np.full(shape, 2.0),
            }  # fmt: skip
            card = write_study(study_folder(self.pairs, name), arrays, grid, {})
            row = {"id": name, "patient": f"patient-{name}", "part": part, "hash": card["hash"]}
            rows.append(row)
        preparation = {"size": SIDE, "spacing_mm": 2.0}
        self.index = write_index(self.pairs, {"preparation": preparation, "studies": rows})

    def load(self, *_: Any) -> tuple[None, Card]:
        return None, Card(
            Recipe(model=ModelRecipe(name="Stage02")), 7, {"size": SIDE, "spacing_mm": 2.0},
            self.index["hash"], 1, sha256={MODEL_FILE: self.weights},
        )  # fmt: skip

    def error(self) -> np.ndarray:
        """From 0.5 / 16 to 15.5 / 16, the same in each slice: 90 % lie below 0.9."""
        ramp = (np.arange(SIDE) + 0.5) / SIDE
        return np.broadcast_to(ramp, (SLICES, SIDE, SIDE)).astype(np.float32)

    def predict(self, *_: Any, **__: Any) -> np.ndarray:
        return np.stack([2 + 2 * self.error(), 2 + self.error()])

    def cast(self, *_: Any, **__: Any) -> tuple[np.ndarray, np.ndarray]:
        return 2 + self.error(), self.error() / 2

    def calibrate(self, factor: float) -> None:
        made = Calibration(
            Method("dropout"), Scale(factor, 0.01), "validation", 3, (0.9,), 0.5, "ab" * 32, "",
            warnings=("Calibrated on 3 patient(s).",),
        )  # fmt: skip
        save_calibration(self.run, made)

    def evaluate(self) -> Evaluation:
        return evaluate_run(self.pairs, self.run, device="cpu")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    monkeypatch.setattr(runs, "load_synthesizer", bench.load)
    monkeypatch.setattr(runs, "predict_slices", bench.predict)
    monkeypatch.setattr(intervals, "cast_with_spread", bench.cast)
    return bench


def codes(evaluation: Evaluation) -> dict[str, str]:
    return {warning.code: warning.detail for warning in evaluation.warnings}


@pytest.mark.slow
def test_coverage_and_curves_by_hand(bench: Bench) -> None:
    bench.calibrate(2.0)  # half-widths are the errors and 0.02 more: all voxels lie inside
    found = bench.evaluate()
    told = found.about["uncertainty"]
    [body] = told["coverage"]
    assert (body["region"], body["value"], body["n"]) == ("body", 1.0, 2)
    for row in told["patients"]:
        assert row["half_width_suv"] == pytest.approx(0.5 + 0.02)
        assert row["suv_mae"] == pytest.approx(0.5)
        assert row["interval_score_suv"] == pytest.approx(2 * 0.52, abs=1e-6)
        assert row["ause"] == pytest.approx(0, abs=1e-6)
        assert row["monotone"]
    assert "too wide" in codes(found)["COVERAGE"]
    assert codes(found)["CALIBRATION"] == "Calibrated on 3 patient(s)."


@pytest.mark.slow
def test_studies_of_a_patient_count_together_and_voxels_are_let_go(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.calibrate(1.5)
    apart = bench.evaluate().about["uncertainty"]
    seen: list[int] = []
    add = intervals.Intervals.add

    def watched(self: intervals.Intervals, *given: Any) -> None:
        add(self, *given)
        seen.append(len(self._voxels))

    monkeypatch.setattr(intervals.Intervals, "add", watched)
    bench.evaluate()
    assert seen == [0, 0]
    rows = [row | {"patient": "patient-c" if row["part"] == "test" else row["patient"]}
            for row in bench.index["studies"]]  # fmt: skip
    bench.index = write_index(bench.pairs, bench.index | {"studies": rows})
    together = bench.evaluate().about["uncertainty"]
    assert seen == [0, 0, 1, 0]
    assert len(together["patients"]) == 1
    for key in ("coverage", "interval_score_suv", "suv_mae", "ause"):
        assert together["patients"][0][key] == pytest.approx(apart["patients"][0][key], abs=1e-6)
    assert together["coverage"][0]["n"] == 1


@pytest.mark.slow
def test_intervals_that_are_too_narrow_are_named(bench: Bench) -> None:
    bench.calibrate(1.0)  # half of each error
    found = bench.evaluate()
    # |e| <= e / 2 + 0.01 holds nowhere: the least error is 0.03
    assert found.about["uncertainty"]["coverage"][0]["value"] == 0
    assert "too narrow" in codes(found)["COVERAGE"]


@pytest.mark.parametrize(
    ("coverage", "word"), [(0.849, "narrow"), (0.85, ""), (0.95, ""), (0.951, "wide")]
)
def test_intervals_may_be_off_by_five_percent(coverage: float, word: str) -> None:
    found = intervals.off_level(coverage, 0.9)
    assert [f"too {word} for them" in one.detail for one in found] == [True] * bool(word)


@pytest.mark.slow
def test_what_is_written_is_what_is_returned(bench: Bench) -> None:
    bench.calibrate(2.0)
    found = bench.evaluate()
    folder = bench.run / "evaluation"
    document = json.loads((folder / "evaluation.json").read_text())
    assert document["uncertainty"] == found.about["uncertainty"]
    with (folder / "uncertainty.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["coverage"]) for row in rows] == [1.0, 1.0]
    with np.load(folder / "uncertainty.npz") as held, np.load(folder / "montage.npz") as montage:
        assert held["half_width"].shape == montage["truth"].shape
        assert held["study"].tolist() == montage["study"].tolist()
        assert held["slice"].tolist() == montage["slice"].tolist()
        np.testing.assert_allclose(held["half_width"][0], bench.error()[0] + 0.02, rtol=1e-5)


@pytest.mark.slow
def test_every_key_is_documented(bench: Bench) -> None:
    bench.calibrate(2.0)
    told = bench.evaluate().to_json()
    text = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    known = set(re.findall(r"[`\"]([a-z_0-9]+)[`\"]", text))
    rows = [row for value in told["uncertainty"].values() if isinstance(value, list)
            for row in value if isinstance(row, dict)]  # fmt: skip
    keys = set(told["uncertainty"]) | set(told["uncertainty"]["sparsification"])
    keys |= {key for row in [*rows, *told["stage_gains"]] for key in row}
    assert keys - known == set()
    stored = json.loads((bench.run / "uncertainty.json").read_text())
    assert (set(stored) | set(stored["calibrated_on"])) - known == set()


@pytest.mark.slow
def test_a_run_without_a_calibration_has_none_of_it(bench: Bench) -> None:
    found = bench.evaluate()
    assert "uncertainty" not in found.about
    assert not (bench.run / "evaluation" / "uncertainty.csv").exists()
    assert not {"COVERAGE", "CALIBRATION", "OLD-CALIBRATION"} & set(codes(found))


@pytest.mark.slow
def test_a_calibration_of_other_weights_is_said_and_not_used(bench: Bench) -> None:
    bench.calibrate(2.0)
    bench.weights = "cd" * 32
    found = bench.evaluate()
    assert "OLD-CALIBRATION" in codes(found)
    assert "uncertainty" not in found.about


@pytest.mark.slow
def test_what_each_stage_adds_is_the_mean_difference_by_patient(bench: Bench) -> None:
    gains = bench.evaluate().about["stage_gains"]
    [error] = [g for g in gains if (g["region"], g["metric"]) == ("body", "suv_mae")]
    assert error["stage"] == 2
    assert error["difference"] == pytest.approx(-0.5, abs=1e-5)  # errors of 1 become 0.5
    assert error["low"] <= error["difference"] <= error["high"]


def test_each_stage_is_set_against_the_one_before_it() -> None:
    psnr = {"M / stage 1": (20, 22), "M / stage 2": (21, 25), "M": (24, 26)}
    rows = [
        PatientRow(name, f"p{k}", "body", "psnr", float(value), 3)
        for name, values in psnr.items()
        for k, value in enumerate(values)
    ]
    gains = stage_gains(rows, "M", 3, seed=0)
    assert [(one["stage"], one["difference"], one["n"]) for one in gains] == [(2, 2, 2), (3, 2, 2)]
    assert gains[1]["low"] >= 1 - 1e-9
    assert gains[1]["high"] <= 3 + 1e-9
    assert stage_gains(rows[4:], "M", 1, seed=0) == []
