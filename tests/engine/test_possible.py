"""What cannot be trained is said before phantoms are made, too little memory in a line."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from petcast.cli import app
from petcast.engine.parallel import World
from petcast.engine.possible import (
    lighter,
    require_masks,
    require_possible,
    require_side,
    require_turns,
)
from petcast.errors import DataError, GeometryError, MemoryShortError, UsageError
from petcast.recipe import load_recipe
from petcast.train import Training, train

TWO = World(size=2, parts=2)
GREEDY = ["model.name=Stage02", "model.residual=true", "training.order=greedy"]


@pytest.mark.parametrize(
    ("settings", "world", "word"),
    [
        (GREEDY, TWO, "leave torchrun off"),
        (["engine.compile=true"], World(parts=2), r"leave engine\.parts at 0"),
        (["model.name=DSGGAN", "engine.recompute=true"], World(), "DSGGAN is none: leave it off"),
        (["training.batch_size=1"], TWO, "no slice for each of 2 parts"),
        (["engine.tensorboard=true"], World(), r"petcast\[tensorboard\]"),
        (["loss.mse=0", "loss.ssim=1", "loss.uptake=9"], World(), r"or set loss\.uptake=0"),
        (["loss.mse=0", "loss.gradient=1", "loss.lesions=9"], World(), r"or set loss\.lesions=0"),
        (["model.lung_window=[-900, 0]"], World(), r'lung_window is for .* not "replicate"'),
        (["model.input=neighbours", "model.soft_window=[0, 99]"], World(), "soft_window is for"),
    ],
)
def test_knobs_that_exclude_each_other_are_named(
    settings: list[str], world: World, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=word):
        require_possible(load_recipe("tiny", settings), world)


@pytest.mark.parametrize(
    "settings",
    [
        ["loss.mse=0", "loss.l1=1", "loss.uptake=9", "loss.lesions=9"],
        ["loss.mse=0", "loss.charbonnier=1", "loss.uptake=9"],
        ["model.input=windows", "model.lung_window=[-900, 0]", "model.soft_window=[0, 99]"],
    ],
)
def test_knobs_that_have_something_to_change_are_taken(settings: list[str]) -> None:
    require_possible(load_recipe("tiny", settings), World())


def test_lesions_weigh_nothing_where_nobody_marked_one() -> None:
    marked, bare = SimpleNamespace(lesions=np.zeros((1, 2, 2))), SimpleNamespace(lesions=None)
    heavy = load_recipe("tiny", ["loss.lesions=20"])
    with pytest.raises(DataError, match=r"loss\.lesions = 20 .* no training study has one"):
        require_masks(heavy, [bare, bare])
    require_masks(heavy, [bare, marked])
    require_masks(load_recipe("tiny"), [bare])


def test_greedy_stages_need_a_step_each() -> None:
    greedy = load_recipe("tiny", ["model.name=Stage03", *GREEDY[1:]])
    with pytest.raises(UsageError, match=r"stages of Stage03 .* 2 steps are fewer"):
        require_turns(greedy, 2)
    require_turns(greedy, 3)
    require_turns(load_recipe("tiny", ["model.name=U-Net"]), 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "error", "word"),
    [
        (["loss.lesions=20"], DataError, "no training study has one"),
        (["training.epochs=1", *GREEDY], UsageError, "some would never be trained"),
    ],
)
def test_what_would_come_to_nothing_is_refused_before_the_folder_is_claimed(
    tiny_pairs: Path, tmp_path: Path, settings: list[str], error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word):
        train(load_recipe("tiny", settings), tiny_pairs, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "side"), [("Stage03", 384), ("U-Net", 128), ("DSGGAN", 192)])
def test_slices_that_a_generator_cannot_halve_are_named(name: str, side: int) -> None:
    with pytest.raises(GeometryError, match=rf"slices of {side} × {side} voxels"):
        require_side(load_recipe("tiny", [f"model.name={name}"]), side)
    require_side(load_recipe("tiny", [f"model.name={name}"]), 512)


@pytest.mark.slow
def test_what_cannot_be_trained_is_refused_before_phantoms_are_made_and_the_folder_is_claimed(
    tiny_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("petcast.train.phantom_pairs", lambda *_: pytest.fail("phantoms"))
    knobs = load_recipe("tiny", ["pretraining.phantoms=1", "engine.compile=true", "engine.parts=2"])
    with pytest.raises(UsageError, match=r"engine\.compile"):
        train(knobs, tiny_pairs, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_has_begun_is_told_what_it_may_change() -> None:
    knobs = load_recipe("tiny", ["model.name=Stage07", "training.batch_size=16"])
    fresh, begun = lighter(knobs, begun=False), lighter(knobs, begun=True)
    first, _, other = begun.partition("With another --out also: ")
    assert "--set training.batch_size=8" in fresh
    assert "another --out" not in fresh
    assert "engine.pairs=streamed or --set engine.recompute=true" in first
    assert "not lost" in first
    assert other == "--set training.batch_size=8 or --set engine.precision=bfloat16"
    least = ["engine.pairs=streamed", "engine.precision=bfloat16", "training.batch_size=1"]
    assert lighter(load_recipe("tiny", least), begun=False).endswith("give the command again")


@pytest.mark.slow
def test_a_full_gpu_ends_training_in_a_line_and_the_run_goes_on_with_less(
    tiny_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, one = tmp_path / "run", ["--set", "training.epochs=1", "--set", "model.name=Stage02"]
    command = ["train", "tiny", "--data", str(tiny_pairs), "--out", str(run)]
    assert CliRunner().invoke(app, [*command, *one]).exit_code == 0
    two = [*one, "--set", "training.epochs=2"]
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_train_epoch", full)
        failed = CliRunner().invoke(app, [*command, *two]).exception
    assert isinstance(failed, MemoryShortError)
    assert "training Stage02 on cpu needs more memory" in str(failed)
    assert "engine.recompute=true; the epochs that are kept are not lost" in str(failed)
    again = CliRunner().invoke(app, [*command, *two, "--set", "engine.recompute=true"])
    assert again.exit_code == 0


def full(*_: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
