"""A run on pairs: every stage, the trivial rows, and what is written."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from petcast.checkpoint import Card
from petcast.disk.durable import write_json
from petcast.errors import DataError, FormatError, GeometryError, UsageError
from petcast.evaluate import Evaluation, evaluate_run, runs
from petcast.evaluate.montage import choose_slices
from petcast.pairs import Pairs, study_folder, write_index, write_study
from petcast.recipe import ModelRecipe, Recipe
from petcast.volume import Grid

SIDE = 16


@dataclass(frozen=True)
class Wanted:
    """A study to write: its left half is body, brighter slice by slice; above, it is lungs."""

    id: str
    part: str
    body_suv: float
    slices: int = 4
    lesion: bool = False
    box: tuple[Sequence[float], Sequence[float]] | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        regions = np.zeros((self.slices, SIDE, SIDE), np.uint8)
        regions[:, :, :8] = 1
        regions[:, :2, :8] = 2
        rise = np.arange(self.slices)[:, None, None]
        pet = np.where(regions > 0, self.body_suv + rise, 0)
        arrays = {"regions": regions, "pet": pet, "ct": np.full(pet.shape, 40)}
        if self.lesion:
            arrays["lesions"] = np.where(rise == self.slices - 1, regions == 2, False)
        return arrays


TWO_AND_TWO = (
    Wanted("a", "train", 1.0), Wanted("b", "train", 3.0),
    Wanted("c", "test", 2.0), Wanted("d", "test", 4.0),
)  # fmt: skip


class Bench:
    """Pairs on disk, and a stand-in for the network: each stage is the real PET times a factor."""

    def __init__(self, pairs: Path) -> None:
        self.path = pairs
        self.factors: tuple[float, ...] = (0.5, 0.9)
        self.spacing_mm = 2.0
        self.data_hash: str | None = None
        self.write(TWO_AND_TWO)

    def write(self, studies: Sequence[Wanted]) -> None:
        grid = Grid((studies[0].slices, SIDE, SIDE), np.eye(4))
        rows = []
        for one in studies:
            lesions = (
                [{"label": "A", "low_mm": one.box[0], "high_mm": one.box[1]}] if one.box else []
            )
            boxes = {"boxes": {"lesions": lesions}} if lesions else {}
            card = write_study(study_folder(self.path, one.id), one.arrays(), grid, boxes)
            patient = f"patient-{one.id}"
            row = {"id": one.id, "patient": patient, "part": one.part, "hash": card["hash"]}
            rows.append(row)
        preparation = {"size": SIDE, "spacing_mm": 2.0}
        self.index = write_index(self.path, {"preparation": preparation, "studies": rows})

    def load(self, *_: Any) -> tuple[None, Card]:
        card = Card(
            recipe=Recipe(model=ModelRecipe(name="Stage02")),
            epoch=7,
            grid={"size": SIDE, "spacing_mm": self.spacing_mm},
            data_hash=self.data_hash or self.index["hash"],
            parameters=1,
        )
        return None, card

    def predict(self, _model: None, ct: Any, **_: Any) -> np.ndarray:
        pet = np.load(Path(ct.filename).with_name("pet.npy"))
        return np.stack([pet * np.float32(factor) for factor in self.factors])

    def evaluate(self, run: Path, **options: Any) -> Evaluation:
        return evaluate_run(self.path, run, **options)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    bench = Bench(tmp_path / "pairs")
    monkeypatch.setattr(runs, "load_synthesizer", bench.load)
    monkeypatch.setattr(runs, "predict_slices", bench.predict)
    return bench


def codes(evaluation: Any) -> set[str]:
    return {warning.code for warning in evaluation.warnings}


@pytest.mark.slow
def test_every_number_is_right_by_hand(bench: Bench, tmp_path: Path) -> None:
    found = bench.evaluate(tmp_path / "run")
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
    assert codes(found) == {"FEW-PATIENTS", "LOW-POWER"}


@pytest.mark.slow
def test_the_last_stage_bears_the_plain_name_and_stands_first(bench: Bench, tmp_path: Path) -> None:
    found = bench.evaluate(tmp_path / "run")
    assert list(dict.fromkeys(row.name for row in found.rows)) == [
        "Stage02", "Stage02 / stage 1", "zero", "body-constant", "train-mean", "blurred-truth",
    ]  # fmt: skip


@pytest.mark.slow
def test_what_is_written_is_what_is_returned(bench: Bench, tmp_path: Path) -> None:
    found = bench.evaluate(tmp_path / "run")
    folder = tmp_path / "run" / "evaluation"
    assert {path.name for path in folder.iterdir()} == {
        "evaluation.json", "rows.csv", "montage.npz", "registration.npz", "spectra.npz",
        "lesions.csv", "detection.csv", "agreement.csv", "comparisons.csv", "worst.npz",
    }  # fmt: skip
    document = json.loads((folder / "evaluation.json").read_text())
    assert document == json.loads(json.dumps(found.to_json()))
    assert document["suv_window"] == [0.0, 10.0]
    for name in ("rows", "lesions", "detection", "agreement", "comparisons"):
        lines = (folder / f"{name}.csv").read_text().splitlines()
        assert len(lines) == 1 + len(document[name])
    assert document["comparisons"]
    assert document["agreement"][0]["points"][0]["patient"] == "patient-c"
    with np.load(folder / "montage.npz", allow_pickle=False) as montage:
        assert montage["ct"].shape == montage["truth"].shape == (6, SIDE, SIDE)
        assert montage["stages"].shape == (6, 2, SIDE, SIDE)
        assert montage["study"].tolist() == ["c"] * 3 + ["d"] * 3
        for row, (name, z) in enumerate(zip(montage["study"], montage["slice"], strict=True)):
            [shown] = [study for study in Pairs.open(bench.path).studies() if study.id == name]
            np.testing.assert_array_equal(montage["truth"][row], shown.pet[z])
            np.testing.assert_array_equal(montage["stages"][row, 1], shown.pet[z] * np.float32(0.9))


@pytest.mark.slow
def test_a_second_evaluation_replaces_the_first(bench: Bench, tmp_path: Path) -> None:
    bench.evaluate(tmp_path / "run")
    bench.factors = (0.5, 1.0)
    bench.evaluate(tmp_path / "run")
    document = json.loads((tmp_path / "run" / "evaluation" / "evaluation.json").read_text())
    [row] = [
        row for row in document["rows"]
        if (row["name"], row["region"], row["metric"]) == ("Stage02", "body", "suv_mae")
    ]  # fmt: skip
    assert row["value"] == 0.0
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["evaluation"]


@pytest.mark.slow
def test_a_second_evaluation_at_the_same_time_is_refused(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, refused = tmp_path / "run", []

    def meanwhile(*_: Any) -> None:
        monkeypatch.setattr(runs, "save_fusion", lambda *_: None)
        with pytest.raises(UsageError, match=f"another process evaluates into {run}"):
            bench.evaluate(run)
        refused.append(True)

    monkeypatch.setattr(runs, "save_fusion", meanwhile)
    found = bench.evaluate(run)
    assert refused == [True]
    kept = json.loads((run / "evaluation" / "evaluation.json").read_text())
    assert kept == json.loads(json.dumps(found.to_json()))
    assert [path.name for path in run.iterdir()] == ["evaluation"]


@pytest.mark.slow
def test_a_network_that_gives_zero_is_called_one(bench: Bench, tmp_path: Path) -> None:
    bench.factors = (0.5, 0.0)
    assert {"ZERO-PREDICTION", "BEATEN-BY-TRIVIAL"} <= codes(bench.evaluate(tmp_path / "run"))


@pytest.mark.parametrize(("train", "test", "named"), [(1.0, np.nan, "c"), (np.nan, 1.0, "a")])
def test_a_stored_pet_with_nan_is_named(
    bench: Bench, tmp_path: Path, train: float, test: float, named: str
) -> None:
    """Of a patient who is measured, or was trained on: the trivial images are learned there."""
    bench.write([Wanted("a", "train", train), Wanted("c", "test", test)])
    with pytest.raises(FormatError, match=rf"{named}/pet\.npy holds NaN"):
        bench.evaluate(tmp_path / "run")


def test_a_network_that_gives_nan_is_refused(bench: Bench, tmp_path: Path) -> None:
    bench.factors = (0.5, float("nan"))
    with pytest.raises(DataError, match="Stage02"):
        bench.evaluate(tmp_path / "run")


@pytest.mark.slow
def test_patients_that_were_trained_on_are_said(bench: Bench, tmp_path: Path) -> None:
    assert "NOT-TEST" in codes(bench.evaluate(tmp_path / "run", part="train"))
    bench.data_hash = "other"
    parts = {"train": ["patient-c"], "validation": [], "test": []}
    write_json(tmp_path / "run" / "data.json", {"parts": parts})
    assert {"OTHER-PAIRS", "TRAINED-ON"} <= codes(bench.evaluate(tmp_path / "run"))


@pytest.mark.parametrize(
    ("hash_", "trained_on", "said"),
    [
        ("own", ["p"], {"LEAKING-SPLIT", "NOT-TEST"}),
        ("other", ["p"], {"OTHER-PAIRS"}),
        ("other", [], {"LEAKING-SPLIT", "NOT-TEST", "OTHER-PAIRS"}),  # nobody knows
    ],
)
def test_how_other_pairs_are_divided_says_nothing_of_a_model_whose_patients_are_known(
    tmp_path: Path, hash_: str, trained_on: list[str], said: set[str]
) -> None:
    write_json(tmp_path / "data.json", {"parts": {"train": trained_on}})
    card: Any = SimpleNamespace(data_hash="own")
    index = {"hash": hash_, "split": {"leaks": True}}
    assert {one.code for one in runs._provenance(index, card, tmp_path, [], "train")} == said


@pytest.mark.parametrize(
    ("content", "marks", "said"),
    [
        ("h", ("1", "2"), {"OTHER-PAIRS", "TRAINED-ON", "OTHER-KEY"}),
        ("else", ("1", "2"), {"OTHER-PAIRS", "OTHER-KEY"}),
        ("else", ("1", "1"), {"OTHER-PAIRS"}),
        ("else", ("", "2"), {"OTHER-PAIRS"}),  # older pairs hold no mark
        ("else", ("1", ""), {"OTHER-PAIRS"}),
    ],
)
def test_a_patient_of_another_key_is_known_by_the_study(
    tmp_path: Path, content: str, marks: tuple[str, str], said: set[str]
) -> None:
    there, here = ({"key_mark": mark} if mark else {} for mark in marks)
    rows = [{"patient": "p", "hash": "h"}, {"patient": "tested", "hash": "else"}]
    write_json(tmp_path / "data.json", {"parts": {"train": ["p"]}, "studies": rows, **there})
    studies: Any = [SimpleNamespace(patient="q", hash=content)]
    card: Any = SimpleNamespace(data_hash="own")
    found = runs._provenance({"hash": "other", **here}, card, tmp_path, studies, "test")
    assert {one.code for one in found} == said


@pytest.mark.slow
def test_pairs_without_training_patients_still_have_trivial_rows(
    bench: Bench, tmp_path: Path
) -> None:
    bench.write(TWO_AND_TWO[2:])
    found = bench.evaluate(tmp_path / "run")
    assert "BODY-CONSTANT-FROM-TRUTH" in codes(found)
    assert found.value("body-constant", "body", "suv_bias") == pytest.approx(0, abs=1e-5)
    assert found.value("train-mean", "body", "suv_bias") is None


def test_a_part_that_is_empty_or_unknown_is_said(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no validation patients"):
        bench.evaluate(tmp_path / "run", part="validation")
    with pytest.raises(UsageError, match="tset"):
        bench.evaluate(tmp_path / "run", part="tset")


def test_a_model_of_another_grid_is_refused(bench: Bench, tmp_path: Path) -> None:
    bench.spacing_mm = 4.0
    with pytest.raises(GeometryError, match=r"4\.0"):
        bench.evaluate(tmp_path / "run")


@pytest.mark.slow
def test_lesion_masks_of_the_cohort_are_a_region(bench: Bench, tmp_path: Path) -> None:
    bench.write([*TWO_AND_TWO[:3], Wanted("d", "test", 4.0, lesion=True)])
    found = bench.evaluate(tmp_path / "run")
    [row] = [
        row for row in found.patients
        if (row.name, row.region, row.metric) == ("Stage02", "lesions", "suv_bias")
    ]  # fmt: skip
    assert (row.patient, row.slices) == ("patient-d", 1)
    assert row.value == pytest.approx(-0.7, abs=1e-5)  # a tenth of SUV 7
    masked = [row for row in found.lesions if row.source == "mask"]
    assert [(row.name, row.patient, row.lesion, row.slice) for row in masked[:1]] == [
        ("Stage02", "patient-d", 1, 3)
    ]
    assert (masked[0].truth_suv_max, masked[0].prediction_suv_max) == pytest.approx((7.0, 6.3))
    assert len(masked) == 6  # the model, its first stage, three trivial images, the blurred truth


@pytest.mark.slow
def test_published_boxes_of_a_study_are_its_lesions(bench: Bench, tmp_path: Path) -> None:
    bench.write([*TWO_AND_TWO[:3], Wanted("d", "test", 4.0, box=((2, 2, 2), (5, 6, 3)))])
    found = bench.evaluate(tmp_path / "run")
    [row] = [row for row in found.lesions if (row.name, row.source) == ("Stage02", "boxes")]
    assert row.volume_ml == pytest.approx(4 * 5 * 2 / 1000)
    assert found.value("Stage02", "lesions", "suv_bias") == pytest.approx(-0.65, abs=1e-5)


@pytest.mark.slow
def test_the_model_is_set_against_its_stages_and_the_trivial_images(
    bench: Bench, tmp_path: Path
) -> None:
    found = bench.evaluate(tmp_path / "run")
    rows = {row.reference: row for row in found.comparisons if row.metric == "suv_mae"
            and row.region == "body"}  # fmt: skip
    assert set(rows) == {"Stage02 / stage 1", "zero", "body-constant", "train-mean"}
    assert rows["zero"].difference == pytest.approx(-4.5 + 0.45, abs=1e-5)
    assert {row.verdict for row in rows.values()} == {"undecided"}  # two patients decide nothing


@pytest.mark.slow
def test_the_regions_of_a_patient_agree_by_their_voxels(bench: Bench, tmp_path: Path) -> None:
    found = bench.evaluate(tmp_path / "run")
    body = next(r for r in found.agreement if (r.name, r.region) == ("Stage02", "body"))
    assert body.bias == pytest.approx(-0.45, abs=1e-5)
    assert [point["truth"] for point in body.points] == pytest.approx([3.5, 5.5], abs=1e-5)


def test_the_montage_takes_even_quantiles_of_uptake_never_the_prediction(bench: Bench) -> None:
    bench.write([Wanted("a", "test", 1.0, slices=12)])
    assert choose_slices(Pairs.open(bench.path).studies()) == {"a": [2, 6, 10]}


@pytest.mark.slow
def test_the_montage_shows_at_most_six_slices_spread_over_the_patients(bench: Bench) -> None:
    bench.write([Wanted(f"{n:02}", "test", float(n)) for n in range(12)])
    chosen = choose_slices(Pairs.open(bench.path).studies())
    assert list(chosen) == ["01", "03", "05", "07", "09", "11"]
    assert {len(places) for places in chosen.values()} == {1}


@pytest.mark.slow
def test_the_table_has_a_head_and_a_line_a_name(bench: Bench, tmp_path: Path) -> None:
    head, *body = bench.evaluate(tmp_path / "run").table()
    assert head[0] == ""
    assert body[0][0] == "Stage02"
    assert {len(row) for row in body} == {len(head)}
    assert body[0][head.index("body SUV bias")] == "-0.450\n[-0.550, -0.350]"
