"""Runs as files, made without any training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

MakeRun = Callable[..., Path]

TRIVIAL = {"zero": 0.0, "body-constant": 0.5, "train-mean": 0.6}


def _row(name: str, region: str, metric: str, value: float | None, n: int = 12) -> dict[str, Any]:
    spread = None if value is None or n < 2 else abs(value) * 0.05
    low, high = (None, None) if spread is None else (value - spread, value + spread)
    return {
        "name": name, "region": region, "metric": metric, "value": value, "low": low,
        "high": high, "n": n,
    }  # fmt: skip


def quality(name: str, value: float, n: int = 12) -> list[dict[str, Any]]:
    """Rows of an image whose quality goes from 0 (nothing) to 1 (equality), everywhere."""
    return [
        *(_row(name, region, "ssim", 0.8 + 0.2 * value, n) for region in ("whole", "body")),
        _row(name, "whole", "psnr", 28 + 10 * value, n),
        _row(name, "body", "psnr", 20 + 10 * value, n),
        _row(name, "whole", "mae", 0.02 - 0.01 * value, n),
        _row(name, "body", "suv_mae", 1.0 - 0.8 * value, n),
        _row(name, "body", "suv_bias", -1.0 + value, n),
    ]


def _patients(rows: list[dict[str, Any]], n: int) -> list[dict[str, Any]]:
    keys = ("name", "region", "metric", "value")
    return [
        {key: row[key] for key in keys} | {"patient": f"patient{k}", "slices": 5}
        for row in rows
        for k in range(n)
    ]


def evaluation_of(model: str, values: dict[str, float], n: int = 12, **more: Any) -> dict[str, Any]:
    """An evaluation in which each named image has one quality."""
    rows = [row for name, value in values.items() for row in quality(name, value, n)]
    rows.append(_row(model, "body", "clipped", 0.002, n))
    return {
        "format": 1, "petcast": "0", "suv_window": [0, 10], "part": "test", "model": model,
        "which": "best", "epoch": 3, "weights": {"model.safetensors": "ab" * 32},
        "interval": {"level": 0.95, "kind": "bootstrap", "seed": 0}, "montage": "By a rule.",
        "rows": rows, "patients": _patients(rows, n), "warnings": [], **more,
    }  # fmt: skip


def write_montage(path: Path, stages: int, slices: int = 2, size: int = 64) -> None:
    """An ellipse for a body, with a hot spot that the model paints too cold."""
    y, x = np.mgrid[:size, :size]
    body = ((x - size / 2) / (size * 0.4)) ** 2 + ((y - size / 2) / (size * 0.3)) ** 2 < 1
    spot = (x - size * 0.7) ** 2 + (y - size * 0.5) ** 2 < 9
    ct = np.where(body, 40, -1000).astype(np.int16)
    truth = np.where(spot, 6.0, np.where(body, 1.5, 0.0)).astype(np.float32)
    images = np.stack([truth * (0.4 + 0.5 * k / stages) for k in range(stages)])
    np.savez_compressed(
        path,
        ct=np.stack([ct] * slices),
        truth=np.stack([truth] * slices),
        stages=np.stack([images] * slices).astype(np.float32),
        study=np.array([f"study{k}" for k in range(slices)]),
        slice=np.arange(slices),
    )


def _epoch(number: int) -> dict[str, Any]:
    share = 1 - 0.6**number
    scores = {
        "ssim": 0.5 + 0.4 * share, "psnr": 20 + 12 * share, "mae": 0.05 - 0.04 * share,
        "mse": 0.01, "psnr_body": 18 + 8 * share,
    }  # fmt: skip
    terms = {"loss": 0.1 * 0.5**number, "mse": 0.1, "l1": 0.1}
    return {
        "epoch": number, "seconds": 2.5, "train": terms,
        "validation": {k: v * 0.98 for k, v in scores.items()}, "test": scores,
    }  # fmt: skip


INDEX = {
    "format": 1,
    "petcast": "0",
    "preparation": {"size": 256, "spacing_mm": 2.0},
    "split": {"kind": "patient", "seed": 7, "note": "Two patients choose the epoch."},
    "parts": {"train": ["a", "b"], "validation": ["c"], "test": ["d"]},
    "studies": [
        {
            "id": f"s{patient}", "patient": patient, "part": part, "slices": 40, "suv_max": 8.25,
            "ct_spacing_mm": [0.98, 0.98, 3.0], "pet_spacing_mm": [4.07, 4.07, 5.0],
            "factor_rule": "BQML", "time_rule": "START", "uptake_minutes": 61.0,
            "notes": ["2 duplicate slices were left out"], "hash": "00",
        }
        for patient, part in (("a", "train"), ("b", "train"), ("c", "validation"), ("d", "test"))
    ],
    "refused": [
        {
            "level": "series", "id": f"r{k:03d}", "modality": "PT", "files": 90,
            "reason": "NO-WEIGHT", "detail": "PatientWeight is empty.",
        }
        for k in range(55)
    ]
    + [
        {
            "level": "file", "id": "f1", "modality": "", "files": 1, "reason": "NOT-DICOM",
            "detail": "The mark DICM is missing.",
        },
        {
            "level": "series", "id": "x1", "modality": "CT", "files": 3, "reason": "FROM-LATER",
            "detail": "A code of a newer petcast.",
        },
    ],
    "hash": "cd" * 32,
}  # fmt: skip

RECIPE = """[model]
name = "{model}"

[training]
epochs = 4
best = "psnr"
"""


def _card(model: str, epoch: int) -> dict[str, Any]:
    return {
        "format": 1, "petcast": "0", "torch": "2", "git": "1234567 (clean)", "model": model,
        "parameters": 44258214, "epoch": epoch, "score": 31.5, "best": 31.5,
        "windows": {"hu": [-1000, 1000], "suv": [0, 10]},
        "grid": {"size": 256, "spacing_mm": 2.0}, "data_hash": "cd" * 32,
        "sha256": {"model.safetensors": "ab" * 32},
    }  # fmt: skip


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Write a run's files: `make_run(stages=2, evaluation={...} | None, epochs=[...], index=…)`."""

    def make(
        *,
        model: str = "Stage02",
        stages: int = 2,
        evaluation: dict[str, Any] | None = None,
        epochs: list[dict[str, Any]] | None = None,
        index: dict[str, Any] | None = None,
        recipe: str | None = None,
    ) -> Path:
        run = tmp_path / "run"
        for name, epoch in (("best", 3), ("last", 4)):
            (run / name).mkdir(parents=True)
            (run / name / "card.json").write_text(json.dumps(_card(model, epoch)))
        rows = [_epoch(k) for k in range(1, 5)] if epochs is None else epochs
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (run / "data.json").write_text(json.dumps(INDEX if index is None else index))
        (run / "recipe.toml").write_text(recipe or RECIPE.format(model=model))
        if evaluation is not None:
            (run / "evaluation").mkdir()
            (run / "evaluation" / "evaluation.json").write_text(json.dumps(evaluation))
            write_montage(run / "evaluation" / "montage.npz", stages)
        return run

    return make


@pytest.fixture
def evaluated() -> Callable[..., dict[str, Any]]:
    """`evaluation_of`, for tests."""
    return evaluation_of


@pytest.fixture
def epoch_row() -> Callable[[int], dict[str, Any]]:
    """A row of metrics.jsonl."""
    return _epoch


@pytest.fixture
def good(evaluated: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """A cascade of two stages that beats all trivial images."""
    return evaluated("Stage02", {"Stage02": 0.9, "Stage02 / stage 1": 0.7, **TRIVIAL})
