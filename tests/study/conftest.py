"""Studies without training: runs are made up as `train` and `evaluate` leave them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from petcast.recipe import Recipe, TrainingRecipe
from petcast.study import course

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


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> Faker:
    """Replaces training and evaluation by made-up files; either can be given."""

    def fake(train: Callable[..., Any] = fake_train, patients: int = 3) -> None:
        def evaluate(data: Path, run: Path) -> None:
            (run / "evaluation").mkdir(exist_ok=True)
            document = made_up_evaluation(run.name, patients)
            (run / "evaluation" / "evaluation.json").write_text(json.dumps(document))

        monkeypatch.setattr(course, "train", train)
        monkeypatch.setattr(course, "evaluate_run", evaluate)

    return fake


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the figures out: they take most of the time."""
    monkeypatch.setattr("petcast.study.results._figures", lambda *_: iter(()))
