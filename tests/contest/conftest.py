"""Made-up records: what runs leave, without training."""

from collections.abc import Callable
from typing import Any

import pytest

from petcast.contest.entrants import Contest

Record = dict[str, Any]


def _record(entrant: str, pairs: str, seed: int, *psnr: float, error: float = 0.4) -> Record:
    """A finished run with a body PSNR for each stage."""
    stages = [
        {"stage": k, "last": k == len(psnr),
         "metrics": {"body/psnr": value, "whole/psnr": value + 5, "whole/ssim": value / 40,
                     "body/suv_mae": error, "body/suv_bias": -0.1, "body/lattice": 9.0,
                     "body/lattice_strength": 0.0004,
                     "body/blur_mm": 3.0}}
        for k, value in enumerate(psnr, start=1)
    ]  # fmt: skip
    return {
        "format": 2, "entrant": entrant, "pairs": pairs, "seed": seed, "epochs": 7, "epoch": 7,
        "peak_mb": 800.0 + seed, "threads": 1, "load": 2.0, "stages": stages,
        "trivial": {"zero": {"body/psnr": 19.0}}, "seconds_per_epoch": 10.0,
        "real_lattice": {"contrast_db": 4.0, "strength": 0.0002},
        "inference_seconds_per_slice": 0.025, "gflop": 0.555, "parameters": 22_000_000,
    }  # fmt: skip


@pytest.fixture
def record() -> Callable[..., Record]:
    return _record


@pytest.fixture
def contest() -> Contest:
    return Contest.model_validate({
        "base": "ours", "references": ["Stage01"],
        "entrant": [
            {"name": "ours", "recipe": "tiny"},
            {"name": "ours, less", "recipe": "tiny", "settings": ["loss.l1=1.0"]},
            {"name": "Stage01", "recipe": "published"},
            {"name": "U-Net", "recipe": "published", "settings": ["model.name=U-Net"]},
        ],
    })  # fmt: skip


@pytest.fixture
def records() -> list[Record]:
    """Two directions, two seeds; ours is 3, 5, 4 and 4 dB better than the better published one."""
    gains = {("a", 0): 3.0, ("a", 1): 5.0, ("b", 0): 4.0, ("b", 1): 4.0}
    found = []
    for (pairs, seed), gain in gains.items():
        found += [
            _record("ours", pairs, seed, 27.0, 28.0 + gain, error=0.2),
            _record("ours, less", pairs, seed, 27.0, 27.5 + gain, error=0.25),
            _record("Stage01", pairs, seed, 28.0),
            _record("U-Net", pairs, seed, 26.0, error=0.5),
        ]
    return found
