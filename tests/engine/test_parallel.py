"""Two processes with half of each batch end where one with all of it does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from petcast.engine.parallel import ALONE, World, joined, synchronise_norms
from petcast.recipe import EngineRecipe, LossRecipe, ModelRecipe, Recipe, TrainingRecipe
from petcast.train import read_metrics


def test_without_torchrun_there_is_one_process(monkeypatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as world:
        assert world == ALONE
        world.wait()


def test_alone_norms_stay_torchs_own() -> None:
    module = nn.Sequential(nn.BatchNorm2d(3))
    synchronise_norms(module, ALONE)
    assert type(module[0]) is nn.BatchNorm2d


@pytest.mark.parametrize("count", [2, 3, 7])
def test_parts_of_a_batch_make_the_batch(count: int) -> None:
    places = list(range(count))
    parts = [World(rank, 3).part(places) for rank in range(3)]
    assert [place for part in parts for place in part] == places


STEPS_AN_EPOCH = 2
"""Six slices in batches of four: the second is smaller."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gloo is not built there")
def test_two_processes_end_where_one_does(tiny_pairs: Path, tmp_path: Path) -> None:
    """After 20 steps. In float64: float32 rounds some activations to either side of a ReLU's 0, and
    gradients jump there (docs/train.md).
    """
    recipe = Recipe(
        model=ModelRecipe(name="Stage01", dropout=0.0),
        loss=LossRecipe(adversarial=0.0),
        training=TrainingRecipe(epochs=10, batch_size=4),
        engine=EngineRecipe(precision="float64"),
    )
    (tmp_path / "r.toml").write_text(recipe.to_toml())
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    for processes in (1, 2):
        command = [
            *torchrun, str(processes), "-m", "petcast", "train", str(tmp_path / "r.toml"),
            "--data", str(tiny_pairs), "--out", str(tmp_path / f"of-{processes}"),
        ]  # fmt: skip
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, capture_output=True, env=environment)
    one, two = (load_file(tmp_path / f"of-{n}/last/model.safetensors") for n in (1, 2))
    assert len(read_metrics(tmp_path / "of-1")) * STEPS_AN_EPOCH == 20
    assert relative_difference(two, one) < 1e-9


def relative_difference(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Of all weights together."""
    names = [name for name, value in expected.items() if value.is_floating_point()]
    apart = sum(float((found[name] - expected[name]).double().square().sum()) for name in names)
    size = sum(float(expected[name].double().square().sum()) for name in names)
    return (apart / size) ** 0.5
