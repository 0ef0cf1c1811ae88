"""What the tests of evaluation share."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from petcast.evaluate import Weights
from petcast.evaluate.records import LesionRow
from petcast.metrics.backbone import ALEXNET

Tensors = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def _no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's own key."""
    monkeypatch.setenv("PETCAST_SALT", "tests")


@pytest.fixture
def lesion_row() -> Callable[..., LesionRow]:
    """Makes a lesion's row; `truth` and `prediction` are SUVmax, SUVpeak and SUVmean at once."""

    def make(truth: float = 8.0, prediction: float = 6.0, **others: Any) -> LesionRow:
        values: dict[str, Any] = {
            "name": "model", "patient": "a", "lesion": 1, "source": "mask", "slice": 0,
            "volume_ml": 2.0, "hot": True, "clipped": False, "found": True,
        }  # fmt: skip
        for side, suv in (("truth", truth), ("prediction", prediction)):
            values |= {f"{side}_suv_{kind}": suv for kind in ("max", "peak", "mean")}
            values |= {f"{side}_background_suv": 1.0, f"{side}_tbr": suv}
            values |= {f"{side}_mtv_ml": 2.0, f"{side}_tlg_g": 2.0 * suv}
        return LesionRow(**(values | others))

    return make


def alexnet() -> Tensors:
    torch.manual_seed(0)
    return {
        name: torch.rand(shape) if name.startswith("lin")
        else torch.randn(shape) * (2 / np.prod(shape[1:] or (20,))) ** 0.5
        for name, shape in ALEXNET.shapes.items()
    }  # fmt: skip


def written(path: Path, tensors: Tensors) -> Weights:
    save_file(tensors, path)
    return Weights(path, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return written(tmp_path_factory.mktemp("weights") / "alexnet.safetensors", alexnet())
