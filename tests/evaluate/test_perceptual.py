"""Perceptual metrics of an evaluation: known weights or none, rows, distances, and silence."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from petcast.checkpoint import Card
from petcast.errors import FormatError, GeometryError, UsageError
from petcast.evaluate import Weights, evaluate, evaluate_files, evaluate_run, runs
from petcast.evaluate.perceptual import Perceptual, load_backbone
from petcast.metrics.backbone import CHANNEL_MEAN, CHANNEL_STD
from petcast.metrics.frechet import frechet_distance
from petcast.metrics.perceptual import lpips, pooled
from petcast.pairs import study_folder, write_index, write_study
from petcast.recipe import ModelRecipe, Recipe
from petcast.train import train
from petcast.volume import Grid, Unit, Volume

from .conftest import Tensors, alexnet, written

SIDE = 32


def scan(seed: int, slices: int = 6) -> np.ndarray:
    """A body of SUV 2 with a hot organ and noise, in empty air."""
    rng = np.random.default_rng(seed)
    suv = np.zeros((slices, SIDE, SIDE), np.float32)
    suv[:, 6:26, 6:26] = 2 + 0.3 * rng.normal(size=(slices, 20, 20))
    suv[:, 10:15, 10 + seed : 15 + seed] = 7
    return suv


def blurry(suv: np.ndarray) -> np.ndarray:
    return (suv + np.roll(suv, 1, 1) + np.roll(suv, 1, 2) + np.roll(suv, -1, 1)) / 4


def save(path: Path, suv: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True)
    affine = np.diag([4.0, 4.0, 3.0, 1.0])
    Volume(np.asarray(suv, np.float32), affine, Unit.SUV).save(path)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two cases: real PET and predictions."""
    for seed, name in enumerate(("a", "b")):
        save(tmp_path / "truth" / f"{name}.nii.gz", scan(seed))
        save(tmp_path / "guess" / f"{name}.nii.gz", blurry(scan(seed)))
    return tmp_path / "truth", tmp_path / "guess"


def canonical(path: Path) -> np.ndarray:
    return Volume.load(path, Unit.SUV).canonical().voxels


@pytest.mark.slow
def test_every_row_and_distance_is_the_metrics_own(
    folders: tuple[Path, Path], weights: Weights
) -> None:
    found = evaluate_files(*folders, weights=weights)
    backbone, per_case, clouds = load_backbone(weights), [], []
    for name in ("a.nii.gz", "b.nii.gz"):
        real, guess = (
            torch.tensor(canonical(folder / name) / 10).clamp(0, 1) for folder in folders
        )
        per_case.append(float(lpips(guess, real, backbone, data_range=1.0).mean()))
        clouds.append([pooled(backbone.features(image)).numpy() for image in (guess, real)])
    assert found.value("prediction", "whole", "lpips") == pytest.approx(np.mean(per_case), rel=1e-5)
    names = {"prediction", "zero", "body-constant", "blurred-truth"}
    assert {row.name for row in found.rows if row.metric == "lpips"} == names
    document = found.about["perceptual"]
    assert {row["name"] for row in document["frechet"]} == names
    [row] = [row for row in document["frechet"] if row["name"] == "prediction"]
    guesses, reals = (np.concatenate(own) for own in zip(*clouds, strict=True))
    assert row["value"] == pytest.approx(frechet_distance(guesses, reals), rel=1e-4)
    assert (row["slices"], row["patients"]) == (12, 2)
    assert (document["architecture"], document["features"]) == ("alexnet", 256)
    assert document["sha256"] == weights.sha256
    assert document["channel_mean"] == list(CHANNEL_MEAN)
    assert document["channel_std"] == list(CHANNEL_STD)
    assert "FRECHET-FEW-SLICES" in {warning.code for warning in found.warnings}
    compared = {row.reference for row in found.comparisons if row.metric == "lpips"}
    assert compared == {"zero", "body-constant"}
    assert any("LPIPS" in cell for cell in found.table()[0])
    line = found.frechet_line()
    assert "no FID" in line
    assert "12 slices" in line


@pytest.mark.slow
def test_a_perfect_prediction_has_no_distance(folders: tuple[Path, Path], weights: Weights) -> None:
    found = evaluate_files(folders[0], folders[0], weights=weights)
    assert found.value("prediction", "whole", "lpips") == 0.0
    distances = {row["name"]: row["value"] for row in found.about["perceptual"]["frechet"]}
    assert distances["prediction"] == pytest.approx(0, abs=1e-9 * distances["zero"])
    assert found.value("zero", "whole", "lpips") > 0


@pytest.mark.slow
def test_cases_that_were_saved_wrongly_are_in_no_distance(
    folders: tuple[Path, Path], weights: Weights
) -> None:
    save(folders[1] / "b.nii.gz", 4000 * blurry(scan(1)))
    found = evaluate_files(*folders, weights=weights)
    assert [case["mistakes"] for case in found.about["left_out"]] == [["BQML-FOR-SUV"]]
    for row in found.about["perceptual"]["frechet"]:
        assert (row["slices"], row["patients"]) == (6, 1)
    alone = evaluate_files(*(folder / "a.nii.gz" for folder in folders), weights=weights)
    assert found.about["perceptual"] == alone.about["perceptual"]


@pytest.mark.slow
def test_where_no_case_is_sound_the_trivial_rows_have_lpips_and_nothing_a_distance(
    folders: tuple[Path, Path], weights: Weights
) -> None:
    for seed, name in enumerate(("a", "b")):
        save(folders[1] / f"{name}.nii.gz", 4000 * scan(seed))
    found = evaluate_files(*folders, weights=weights)
    assert found.value("zero", "whole", "lpips") > 0
    assert found.value("prediction", "whole", "lpips") is None
    assert found.about["perceptual"]["frechet"] == []
    assert found.frechet_line() == ""
    json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.slow
def test_chunks_do_not_show_and_equal_slices_are_looked_at_once(weights: Weights) -> None:
    truth = scan(0, slices=10)
    images = {"guess": blurry(truth), "zero": np.zeros_like(truth)}
    whole = Perceptual(weights, (0.0, 10.0)).measure(images, truth, "a", "p")
    single = Perceptual(weights, (0.0, 10.0))
    for z in range(10):
        cut = {name: image[z : z + 1] for name, image in images.items()}
        one = single.measure(cut, truth[z : z + 1], "a", "p")
        for name in images:
            [value] = one[name]["whole", "lpips"]
            assert whole[name]["whole", "lpips"][z] == pytest.approx(value, rel=1e-5)


def test_one_slice_has_a_distance_of_none(weights: Weights) -> None:
    perceptual, truth = Perceptual(weights, (0.0, 10.0)), scan(0, slices=1)
    perceptual.measure({"guess": blurry(truth)}, truth, "a", "p")
    [row] = perceptual.about()["perceptual"]["frechet"]
    assert row == {"name": "guess", "value": None, "slices": 1, "patients": 1}


def test_cases_of_one_patient_are_one_patient(weights: Weights) -> None:
    perceptual = Perceptual(weights, (0.0, 10.0))
    for seed, case in enumerate("ab"):
        truth = scan(seed)
        perceptual.measure({"guess": blurry(truth)}, truth, case, "p")
    [row] = perceptual.about()["perceptual"]["frechet"]
    assert row["patients"] == 1
    perceptual.drop({"b"})
    [fewer] = perceptual.about()["perceptual"]["frechet"]
    assert fewer["slices"] == row["slices"] / 2


@pytest.mark.slow
def test_enough_slices_are_not_warned_of(weights: Weights) -> None:
    perceptual = Perceptual(weights, (0.0, 10.0))
    for count, warned in ((256, True), (1, False)):
        perceptual.measure({}, np.zeros((count, SIDE, SIDE), np.float32), "a", "p")
        assert [f.code for f in perceptual.findings()] == ["FRECHET-FEW-SLICES"] * warned


@pytest.mark.slow
def test_a_run_has_a_row_a_stage(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []
    for seed, (name, part) in enumerate((("a", "train"), ("b", "test"), ("c", "test"))):
        pet = scan(seed)
        arrays = {"pet": pet, "ct": np.full(pet.shape, 40), "regions": (pet > 1).astype(np.uint8)}
        folder = study_folder(tmp_path / "pairs", name)
        card = write_study(folder, arrays, Grid(pet.shape, np.eye(4)), {})
        rows.append({"id": name, "patient": f"p-{name}", "part": part, "hash": card["hash"]})
    preparation = {"size": SIDE, "spacing_mm": 1.0}
    index = write_index(tmp_path / "pairs", {"preparation": preparation, "studies": rows})
    knobs = Recipe(model=ModelRecipe(name="Stage02"))
    card = Card(recipe=knobs, epoch=1, grid=preparation, data_hash=index["hash"], parameters=1)

    def predict(_model: None, ct: Any, **_: Any) -> np.ndarray:
        pet = np.load(Path(ct.filename).with_name("pet.npy"))
        return np.stack([blurry(blurry(pet)), blurry(pet)])

    monkeypatch.setattr(runs, "load_synthesizer", lambda *_: (None, card))
    monkeypatch.setattr(runs, "predict_slices", predict)
    found = evaluate_run(tmp_path / "pairs", tmp_path / "run", weights=weights)
    last, first = (found.value(name, "whole", "lpips") for name in ("Stage02", "Stage02 / stage 1"))
    assert 0 < last < first < found.value("zero", "whole", "lpips")
    document = json.loads((tmp_path / "run" / "evaluation" / "evaluation.json").read_text())
    assert [row["name"] for row in document["perceptual"]["frechet"]] == [
        "Stage02", "Stage02 / stage 1", "zero", "body-constant", "train-mean", "blurred-truth",
    ]  # fmt: skip
    assert document["perceptual"]["frechet"][0]["patients"] == 2
    without = evaluate_run(tmp_path / "pairs", tmp_path / "run")
    assert "perceptual" not in without.about
    assert without.rows == tuple(row for row in found.rows if row.metric != "lpips")


@pytest.mark.parametrize(
    ("path", "sha256", "words"),
    [
        ("w.safetensors", None, "belong together"),
        (None, "0" * 64, "belong together"),
        ("w.safetensors", "abc", "64 hexadecimal digits"),
    ],
)
def test_weights_are_asked_for_with_their_hash(
    path: str | None, sha256: str | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        Weights.asked(Path(path) if path else None, sha256)


def test_a_hash_may_be_written_in_capitals(weights: Weights) -> None:
    assert Weights.asked(weights.path, weights.sha256.upper()) == weights
    assert Weights.asked(None, None) is None


def test_another_file_is_refused_before_anything_is_measured(
    weights: Weights, tmp_path: Path
) -> None:
    other = Weights(weights.path, "0" * 64)
    with pytest.raises(FormatError, match=f"has the SHA-256 {weights.sha256}, expected 0000"):
        evaluate(tmp_path, tmp_path, weights=other)
    with pytest.raises(UsageError, match="is no file"):
        load_backbone(Weights(tmp_path / "absent", weights.sha256))


def test_pickles_are_never_read(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(alexnet(), path)
    pickled = Weights(path, hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(FormatError, match=r"no safetensors file.*\.pth\) are never read"):
        load_backbone(pickled)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("lin4.model.1.weight"), "alexnet: 1 tensors are missing"),
        (lambda t: t.update({"features.8.bias": torch.zeros(3)}), r"features.8.bias has the shape"),
        (lambda t: t.pop("features.0.weight"), "no weights of alexnet or vgg16"),
    ],
)
def test_other_tensors_are_refused_with_the_files_name(
    change: Callable[[Tensors], object], words: str, tmp_path: Path
) -> None:
    tensors = alexnet()
    change(tensors)
    with pytest.raises(FormatError, match=rf"odd\.safetensors.*{words}"):
        load_backbone(written(tmp_path / "odd.safetensors", tensors))


def test_slices_too_small_for_the_network_are_refused(weights: Weights) -> None:
    small = np.zeros((2, 16, 16), np.float32)
    with pytest.raises(GeometryError, match=r"16 × 16 voxels are too small"):
        Perceptual(weights, (0.0, 10.0)).measure({}, small, "a", "p")


PETCAST = (
    "import sys; from petcast.cli import main\n"
    "try: main()\n"
    "finally: print([m for m in sys.modules if m in ("
    "'petcast.metrics.backbone', 'petcast.metrics.perceptual', 'petcast.metrics.frechet')],"
    " file=sys.stderr)"
)


def cli(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PETCAST, "evaluate", *map(str, arguments)],
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_nothing_is_imported_or_said_without_weights(folders: tuple[Path, Path]) -> None:
    done = cli("--truth", folders[0], "--predictions", folders[1], "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().endswith("[]")
    assert "lpips" not in done.stdout
    assert "perceptual" not in done.stdout


@pytest.mark.slow
def test_the_command_takes_weights_for_files(folders: tuple[Path, Path], weights: Weights) -> None:
    both = ("--truth", folders[0], "--predictions", folders[1], "--perceptual", weights.path)
    done = cli(*both, "--perceptual-sha256", weights.sha256)
    assert done.returncode == 0, done.stderr
    assert "LPIPS" in done.stdout
    assert "Fréchet distance of alexnet features (no FID" in done.stdout
    assert "FRECHET-FEW-SLICES" in done.stderr
    assert cli(*both).returncode == 2
    wrong = cli(*both, "--perceptual-sha256", "0" * 64)
    assert wrong.returncode == 3
    assert "Traceback" not in wrong.stderr


@pytest.mark.slow
def test_the_command_takes_weights_for_a_run_on_phantoms(
    tiny_pairs: Path, weights: Weights, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    knobs = {"model": {"name": "Stage01"}, "training": {"epochs": 1, "batch_size": 2}}
    train(Recipe.from_mapping(knobs | {"loss": {"adversarial": 0.0}}, "test"), tiny_pairs, run)
    done = cli(
        "--truth", tiny_pairs, "--predictions", run, "--json",
        "--perceptual", weights.path, "--perceptual-sha256", weights.sha256,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["perceptual"]["sha256"] == weights.sha256
    assert printed == json.loads((run / "evaluation" / "evaluation.json").read_text())
    rows = {row["name"]: row["value"] for row in printed["rows"] if row["metric"] == "lpips"}
    assert set(rows) == {"Stage01", "zero", "body-constant", "train-mean", "blurred-truth"}
    assert rows["blurred-truth"] < rows["zero"]
    assert all(row["value"] > 0 for row in printed["perceptual"]["frechet"])
