"""The benchmarks run and say what they measured; what only takes time is made small or left out."""

import importlib
import io
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from petcast.pairs import Pairs
from petcast.recipe import ModelRecipe, load_recipe
from petcast.train import read_metrics

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
NAMES = sorted(path.stem for path in BENCHMARKS.glob("*.py"))

Load = Callable[[str], ModuleType]
Call = Callable[..., list[str]]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Gives a benchmark as a module, one that finds those beside it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.fixture
def call(load: Load, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls a benchmark as a user does, and gives the lines that it prints."""

    def called(name: str, *arguments: object) -> list[str]:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        load(name).main()
        return capsys.readouterr().out.splitlines()

    return called


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_says_what_it_does(name: str, call: Call) -> None:
    with pytest.raises(SystemExit) as ended:
        call(name, "--help")
    assert ended.value.code == 0


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("train", ("--serve", "gemm,Stage01,0", "--pairs", "nowhere")),
        ("parallel", ("--pairs", "nowhere")),
        ("sweep", ("--data", "nowhere", "--out", "out")),
        ("uncertainty", ("--data", "nowhere", "--out", "out")),
        ("contest", (BENCHMARKS / "contests/better.toml", "--data", "nowhere", "--out", "out",
                     "--every", 2)),
    ],
)  # fmt: skip
def test_pairs_that_are_not_there_are_said_in_a_line(
    name: str,
    arguments: tuple[object, ...],
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"nowhere(?!.*\n.)"):
        call(name, *arguments)


@pytest.mark.parametrize("name", ["train", "grid"])
def test_a_generator_that_is_none_is_refused(
    name: str, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        call(name, "--models", "Stage99")
    assert "choose from" in capsys.readouterr().err


# Training


SECONDS = {
    "gemm": 2 * 2048**3 / 100e9,
    "plain": 4.0,
    "float32": 2.0,
    "bfloat16": 1.0,
    "recompute": 3.0,
}


class Canned:
    """A worker that needs no time: a product of 100 GFLOP/s, and Stage10 ten times Stage01."""

    def __init__(self, knobs: Any, kind: str, name: str, adversarial: float) -> None:
        self._seconds = SECONDS[kind] * (10 if name == "Stage10" else 1)

    def time(self) -> dict[str, float]:
        return {"seconds": self._seconds, "peak_mb": 1000 * self._seconds}

    def close(self) -> None:
        pass


@pytest.fixture
def canned(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train", "grid"):
        monkeypatch.setattr(load(name), "Worker", Canned)
        told = {"models": [{"name": "Stage01", "gflop": 0.555}]}
        monkeypatch.setattr(load(name), "describe_all", lambda told=told: told)


@pytest.mark.usefixtures("canned")
def test_ratios_of_training_say_how_many_times_as_fast(call: Call) -> None:
    said = call("train", "--models", "Stage01", "--rounds", 2, "--pairs", "any")
    rows = [line.split() for line in said if "Stage01" in line]
    assert rows == [
        ["Stage01", "without", "plain", "2.00", "1.00", "0.03"],
        ["Stage01", "without", "float32", "4.00", "2.00", "0.07"],
        ["Stage01", "without", "bfloat16", "8.00", "4.00", "0.13"],
        ["Stage01", "with", "plain", "2.00", "1.00"],
        ["Stage01", "with", "float32", "4.00", "2.00"],
        ["Stage01", "with", "bfloat16", "8.00", "4.00"],
    ]
    said = call("train", "--memory", "--rounds", 1, "--pairs", "any")
    row = "recompute  Stage01   2000 MB  2.00 s   Stage10  30000 MB 30.00 s   15.00 ×"
    assert any(row in line for line in said)


@pytest.mark.usefixtures("canned")
def test_the_grid_is_its_steps(call: Call) -> None:
    *_, row, whole = call("grid", "--models", "Stage01", "--plain", "--pairs", "any")
    work_gflop = 16 * (3 * 0.555 + 7 * 6.4)
    hours = 2.0 * 200 * 25 / 3600
    assert row.split() == [
        "Stage01",
        "0.500",
        f"{work_gflop / 2 / 100:.2f}",
        f"{hours:.2f}",
        "2.00",
    ]
    assert whole == f"all 1: {hours:.2f} hours"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gemm", "float32", "bfloat16", "recompute", "plain"])
def test_a_worker_times_a_step_whenever_it_is_asked(
    kind: str,
    load: Load,
    call: Call,
    tiny_pairs: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(load("train"), "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n\n"))
    adversarial = 0.01 if kind == "plain" else 0
    served = ("--pairs", tiny_pairs, "--serve", f"{kind},Stage01,{adversarial}", "--batch")
    ready, *answers = call("train", *served, 2)
    assert (ready, len(answers)) == ("ready", 2)
    assert all(json.loads(answer)["peak_mb"] > 100 for answer in answers)
    with pytest.raises(SystemExit, match=r"batches of 99: .* holds 12 slices"):
        call("train", *served, 99)


@pytest.mark.slow
def test_the_plain_loop_learns_what_ours_does(
    load: Load, tiny_pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, mse, plain = load("train"), torch.nn.functional.mse_loss, []
    monkeypatch.setattr(train, "ModelRecipe", partial(ModelRecipe, dropout=0.0))
    dataset = train.SliceDataset(Pairs.open(tiny_pairs).studies(), channels=1)
    common = (dataset, "Stage01", len(dataset), 0.0, torch.device("cpu"))
    with monkeypatch.context() as patch:
        patch.setattr(
            torch.nn.functional, "mse_loss", lambda *of: plain.append(mse(*of)) or plain[-1]
        )
        torch.manual_seed(0)
        step = train.plain_step(*common)
        for _ in range(2):
            step()
    step = train.our_step(*common)
    for expected in plain:
        torch.testing.assert_close(step()["mse"], expected.detach(), rtol=1e-2, atol=0)
    assert plain[1] < plain[0]


@pytest.mark.slow
def test_two_processes_are_held_against_one(
    load: Load, call: Call, tiny_pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parallel, status = load("parallel"), 0

    def trained(command: list[str], **_: Any) -> SimpleNamespace:
        recipe = load_recipe(Path(command[command.index("train") + 1]))
        alike = command[command.index("--nproc-per-node") + 1] == "2" or recipe.engine.parts == 2
        last = Path(command[-1]) / "last"
        last.mkdir(parents=True)
        save_file({"weight": torch.tensor([1.0 if alike else 1.5])}, last / "model.safetensors")
        return SimpleNamespace(returncode=status, stderr="no memory")

    monkeypatch.setattr(parallel.subprocess, "run", trained)
    said = call("parallel", "--pairs", tiny_pairs, "--batch", 4, "--steps", 1)
    _, single, double, *ours = map(str.split, said)
    assert 1000 * float(double[-1]) < float(single[-1]) < 1
    assert [words[-1] for words in ours] == ["0.0e+00", "3.3e-01"] * 3
    status = 1
    with pytest.raises(SystemExit, match="no memory"):
        call("parallel", "--pairs", tiny_pairs, "--batch", 4, "--steps", 1)


# Preparing and evaluating


@pytest.mark.slow
def test_preparing_is_measured(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = importlib.import_module("petcast.phantom.crowd")
    small = partial(crowd.write_crowd, models=1, ct_size=48, workers=1)
    monkeypatch.setattr(crowd, "write_crowd", lambda out, patients, **_: small(out, patients))
    said = call("prepare", "--files", 100, "--times", 1, 2, "--rounds", 1, "--full-patients", 1,
                "--workers", 1)  # fmt: skip
    rows = [line.split() for line in said]
    once, twice = (row for row in rows if len(row) == 8 and row[0] in ("1", "2"))
    assert (once[2], twice[2]) == ("1", "2")
    assert rows[-1][:7] == ["At", "these", "rates", "the", "whole", "collection", "of"]


@pytest.mark.slow
def test_evaluating_is_measured_beside_a_loop(call: Call) -> None:
    said = call("evaluate", "--slices", 24, "--side", 64, "--rounds", 1, "--threads", 1)
    _, _, ours, shorter, loop = map(str.split, said)
    assert (ours[1:3], shorter[1:3]) == (["petcast", "evaluate"], ["without", "lesions"])
    assert float(loop[-1]) < float(ours[-1])


# Comparisons


def test_every_variant_of_the_sweep_is_a_recipe(load: Load) -> None:
    for variants in load("sweep").VARIANTS.values():
        recipes = [
            load_recipe("published", [one.format(twice=2) for one in settings]).to_toml()
            for settings in variants.values()
        ]
        assert len(set(recipes)) == len(recipes)


@pytest.mark.slow
def test_a_sweep_compares_with_its_first_row(
    load: Load,
    call: Call,
    two_patient_pairs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [(title, variants), _] = load("sweep").VARIANTS.items()
    few = {name: variants[name] for name in ("published.toml", "twice the epochs")}
    monkeypatch.setattr(load("sweep"), "VARIANTS", {title: few})
    asked = ("--data", two_patient_pairs, "--out", tmp_path, "--epochs", 1, "--seeds", 1)
    *_, first, second = call("sweep", *asked)
    assert "+0.00 [+0.00, +0.00]" in first
    assert second.startswith("| twice the epochs |")
    runs = sorted(path.parent for path in tmp_path.rglob("metrics.jsonl"))
    assert [len(read_metrics(run)) for run in runs] == [1, 2]


@pytest.mark.slow
def test_ways_to_doubt_are_measured_on_unseen_patients(
    call: Call, tiny_pairs: Path, tmp_path: Path
) -> None:
    said = call("uncertainty", "--data", tiny_pairs, "--out", tmp_path, "--epochs", 1, "--seeds", 1,
         "--most-passes", 1)  # fmt: skip
    [told] = tmp_path.rglob("ways.json")
    rows = json.loads(told.read_text())
    assert told.parent == tmp_path / "runs" / tiny_pairs.name
    names = ["constant", "uptake", "stages", "quantiles", "uptake, of the run with quantiles"]
    assert [row["name"] for row in rows] == names
    assert rows[0]["suv_mae"] == pytest.approx(rows[1]["suv_mae"])
    assert any("calibrated on 1 validation patients, measured on 1 test" in line for line in said)


def test_each_folder_of_pairs_has_runs_of_its_own(
    load: Load, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uncertainty, trained = load("uncertainty"), []

    def note(data: Path, runs: Path, epochs: int, seeds: int) -> tuple[list[Path], Path]:
        runs.mkdir(parents=True)
        trained.append(runs)
        return [], runs

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(uncertainty, "trained", note)
    monkeypatch.setattr(uncertainty, "measure", lambda *_: ([], ""))
    monkeypatch.setattr(uncertainty, "show", lambda *_: None)
    monkeypatch.setattr(uncertainty.Pairs, "open", lambda data: data)
    call("uncertainty", "--data", "PAIRS", "MORE", "--out", "out")
    assert trained == [Path("out/runs/PAIRS"), Path("out/runs/MORE")]
    with pytest.raises(SystemExit, match="two folders are called"):
        call("uncertainty", "--data", "a/pairs", "b/a/pairs", "--out", "out")


def test_the_phantoms_of_all_users_are_divided_alike(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uncertainty, keys = load("uncertainty"), []
    monkeypatch.setattr(uncertainty, "write_cohort", lambda *_, **__: [])
    monkeypatch.setattr(uncertainty, "prepare", lambda *_, salt=None, **__: keys.append(salt))
    uncertainty.phantoms(tmp_path, 4)
    assert keys == [uncertainty.SALT]


@pytest.mark.slow
def test_lesions_of_known_truth_are_there_before_anybody_is_trained(
    load: Load, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesions = load("lesions")
    for name in ("write_cohort", "prepare"):
        monkeypatch.setattr(lesions, name, partial(getattr(lesions, name), workers=1))
    call("lesions", "--out", tmp_path, "--train", 1, "--test", 1, "--ct-size", 96,
         "--slice-step-mm", 16, "--tables")  # fmt: skip
    assert lesions.known_lesions(tmp_path / "phantoms/pairs", tmp_path / "cohort")
    assert json.loads((tmp_path / "lesions.json").read_text()) == {}
    assert "0 of 5 runs" in (tmp_path / "contest.md").read_text()
