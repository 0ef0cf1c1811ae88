"""Studies without training: runs are made up as `train` and `evaluate` leave them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from petcast.pairs import study_folder, write_index, write_study
from petcast.pairs.split import PARTS
from petcast.recipe import PreparationRecipe, Recipe, TrainingRecipe
from petcast.study import course
from petcast.volume import Grid

SIDE, SLICES = 32, 3
"""Small: what is tested is the study, not its networks, which want 256 voxels a side."""

Faker = Callable[..., None]

QUALITY = {"U-Net": 0.0, "Cas-UNet": 0.3, "DSGGAN": 0.4, **{f"Stage{n:02d}": n for n in range(11)}}
"""Added to every PSNR of a made-up generator, in dB."""


def short(epochs: int = 2) -> Recipe:
    return Recipe(training=TrainingRecipe(epochs=epochs))


def made_up_scores(name: str, epoch: int) -> dict[str, float]:
    psnr = 30 + QUALITY[name] - (epoch - 2) ** 2  # the second epoch is the best
    return {"ssim": psnr / 50, "psnr": psnr, "mae": 1 / psnr, "psnr_body": psnr, "mse": 0.1}


def fake_train(recipe: Recipe, data: Path, run: Path) -> None:
    """Write what a training leaves; rows that are there already are not written again."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "data.json").write_text((data / "pairs.json").read_text())
    rows = []
    for epoch in range(1, recipe.training.epochs + 1):
        scores = made_up_scores(recipe.model.name, epoch)
        rows.append({"epoch": epoch, "seconds": 0.1 * epoch, "train": {"loss": 1 / epoch},
                     "validation": None, "test": scores})  # fmt: skip
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("last", "best"):
        (run / name).mkdir(exist_ok=True)
        (run / name / "card.json").write_text('{"sha256": {"model.safetensors": "ab"}}')


def made_up_evaluation(name: str, patients: int) -> dict[str, Any]:
    values = {f"p{k}": 29 + QUALITY[name] + 0.1 * k * QUALITY[name] for k in range(patients)}
    mean = sum(values.values()) / len(values)
    row = {"name": name, "region": "whole", "metric": "psnr"}
    return {
        "epoch": 2,
        "weights": {"model.safetensors": "ab"},
        "rows": [row | {"value": mean, "low": mean - 1, "high": mean + 1, "n": patients}],
        "patients": [row | {"patient": p, "value": v, "slices": 3} for p, v in values.items()],
        "warnings": [],
    }


def made_up_pairs(out: Path, parts: Sequence[str]) -> Path:
    """A patient a part, with noise for CT and PET."""
    dice, shape = np.random.default_rng(0), (SLICES, SIDE, SIDE)
    grid, rows = Grid(shape, np.diag([2.0, 2.0, 3.0, 1.0])), []
    for number, part in enumerate(parts):
        name, patient = f"study-{number}", f"patient-{number}"
        arrays = {
            "ct": dice.integers(-1000, 400, shape, np.int16),
            "pet": 3 * dice.random(shape, np.float32),
            "regions": dice.integers(0, 3, shape, np.uint8),
        }
        card = write_study(study_folder(out, name), arrays, grid, {"id": name})
        rows.append({"id": name, "patient": patient, "part": part, "slices": SLICES,
                     "hash": card["hash"]})  # fmt: skip
    named = {part: [row["patient"] for row in rows if row["part"] == part] for part in PARTS}
    split = {"kind": "patient", "seed": 0, "note": "Whole patients."}
    preparation = PreparationRecipe(size=SIDE).model_dump(mode="json")
    write_index(out, {"preparation": preparation, "split": split, "parts": named,
                      "audit": {"leaks": [], "clean": True}, "studies": rows})  # fmt: skip
    return out


@pytest.fixture(scope="session")
def tiny_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of four patients: two train, one validates, one tests."""
    return made_up_pairs(tmp_path_factory.mktemp("four"), ("train", "validation", "train", "test"))


@pytest.fixture(scope="session")
def two_patient_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of two patients: one trains, one tests, none validates."""
    return made_up_pairs(tmp_path_factory.mktemp("two"), ("train", "test"))


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> Faker:
    """Replaces training and evaluation by made-up files; either can be given."""

    def fake(train: Callable[..., Any] = fake_train, patients: int = 3) -> None:
        def evaluate(data: Path, run: Path) -> None:
            (run / "evaluation").mkdir(exist_ok=True)
            document = made_up_evaluation(run.name, patients)
            (run / "evaluation" / "evaluation.json").write_text(json.dumps(document))

        monkeypatch.setattr("petcast.engine.possible.require_side", lambda *_: None)
        monkeypatch.setattr(course, "train", train)
        monkeypatch.setattr(course, "evaluate_run", evaluate)

    return fake


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the figures out: they take most of the time."""
    monkeypatch.setattr("petcast.study.results._figures", lambda *_: iter(()))
