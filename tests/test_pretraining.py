"""Phantoms first: what is learned from them is where training begins, once, and shared."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from petcast.checkpoint import (
    MODEL_FILE,
    Card,
    load_card,
    load_synthesizer,
    load_tensors,
    save_checkpoint,
)
from petcast.engine import Learner
from petcast.errors import UsageError
from petcast.pretraining import pretraining_recipe
from petcast.recipe import PretrainingRecipe, Recipe, load_recipe
from petcast.train import read_metrics, train

SETTINGS = (
    "model.name=Stage01",
    "training.epochs=1",
    "pretraining.phantoms=2",
    "pretraining.epochs=2",
    "pretraining.slice_step_mm=20",
    "pretraining.learning_rate=0.002",
)


def recipe(*more: str) -> Recipe:
    return load_recipe("tiny", (*SETTINGS, *more))


BY_ITSELF = """
import petcast.phantom.cohort, petcast.prepare.course
petcast.phantom.cohort.cores = petcast.prepare.course.cores = lambda: 1
from petcast.cli import main
main()
"""
"""Draws its two phantoms without workers, which would take longer to start."""

WITH_WORKERS = "from petcast.cli import main; main()"

together = pytest.mark.xdist_group("pretrained")
"""One process runs what reads `trained`, or each would train its own."""


Learn = Callable[..., Any]


@pytest.fixture(scope="module")
def learn(begin: Callable[..., Any], tiny_pairs: Path) -> Learn:
    """Begins a training by the recipe in a process of its own."""

    def begun(run: Path, *options: object, code: str = BY_ITSELF, **environment: str) -> Any:
        recipe_file = run.with_suffix(".toml")
        recipe_file.write_text(recipe().to_toml())
        arguments = ("train", recipe_file, "--data", tiny_pairs, "--out", run, *options)
        return begin(*arguments, code=code, **environment)

    return begun


@pytest.fixture(scope="module")
def trained(learn: Learn, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that learned from two phantoms first; nobody writes into it."""
    run = tmp_path_factory.mktemp("pretrained") / "run"
    assert learn(run).wait() == 0
    return run


def test_published_and_tiny_learn_from_no_phantom() -> None:
    assert load_recipe("published").pretraining.phantoms == 0
    assert load_recipe("tiny").pretraining.phantoms == 0


def test_it_is_the_same_network_on_the_same_grid_with_its_own_epochs_and_rate() -> None:
    whole = recipe("loss.l1=0.5", "augmentation.flip=0.5", "preparation.seed=4")
    first = pretraining_recipe(whole, {"size": 128, "spacing_mm": 4.0, "slices": "all",
                                       "margin_mm": 5.0, "test": 0.3, "folds": 3})  # fmt: skip
    for table in ("model", "loss", "augmentation", "engine", "pretraining"):
        assert getattr(first, table) == getattr(whole, table)
    assert (first.training.epochs, first.optimizer.learning_rate) == (2, 0.002)
    grid = first.preparation
    assert (grid.size, grid.spacing_mm, grid.slices, grid.margin_mm) == (128, 4.0, "all", 5.0)
    assert (grid.test, grid.validation, grid.folds) == (0.0, 0.0, 0)


@pytest.mark.slow
def test_a_learner_begins_with_the_weights_it_is_given_and_so_does_its_average(
    tmp_path: Path,
) -> None:
    one, other = (
        Learner(load_recipe("tiny", [f"training.seed={seed}", "training.ema=0.9"]),
                torch.device("cpu"))
        for seed in (0, 1)
    )  # fmt: skip
    grid = {"size": 256, "spacing_mm": 2.0}
    card = Card(recipe=one.recipe, epoch=1, grid=grid, data_hash="x", parameters=one.parameters,
                score=None, best=None)  # fmt: skip
    save_checkpoint(tmp_path / "best", card, one.model_state(), None)
    other.begin_from(tmp_path / "best", load_card(tmp_path / "best"))
    state = other.model_state()
    assert all(torch.equal(value, state[name]) for name, value in one.model_state().items())


@pytest.mark.slow
@together
def test_a_run_keeps_what_was_learned_and_not_the_phantoms(trained: Path) -> None:
    folder = trained / "pretraining"
    assert len(read_metrics(folder)) == 2
    assert sorted(path.name for path in folder.iterdir() if path.name[0] != ".") == [
        "best", "data.json", "metrics.jsonl", "recipe.toml"]  # fmt: skip
    assert load_card(folder / "best").epoch == 2
    assert load_synthesizer(trained)[1].recipe.pretraining.phantoms == 2


@pytest.mark.slow
@together
def test_training_begins_from_it(trained: Path, tiny_pairs: Path, tmp_path: Path) -> None:
    """At a rate of nothing the weights stay what the phantoms taught."""
    still = recipe("optimizer.learning_rate=1e-30")
    train(still, tiny_pairs, tmp_path / "run", trained / "pretraining")
    taught, kept = (
        load_tensors(best, MODEL_FILE, load_card(best))
        for best in (trained / "pretraining" / "best", tmp_path / "run" / "best")
    )
    weights = [name for name in taught if "running" not in name and "num_batches" not in name]
    assert weights
    assert all(torch.equal(taught[name], kept[name]) for name in weights)
    assert not (tmp_path / "run" / "pretraining").exists()


@pytest.mark.slow
@together
def test_what_was_learned_is_shared_but_not_with_another_recipe(
    trained: Path, learn: Learn, tiny_pairs: Path, tmp_path: Path
) -> None:
    shared = trained / "pretraining"
    assert learn(tmp_path / "again", "--pretraining", shared).wait() == 0
    one, other = (read_metrics(run)[-1]["train"] for run in (trained, tmp_path / "again"))
    assert one == other
    for change in ("pretraining.phantoms=3", "pretraining.epochs=1", "loss.l1=1.0"):
        knob = change.partition("=")[0]
        with pytest.raises(UsageError, match=rf"phantoms by another recipe \(.*{knob}"):
            train(recipe(change), tiny_pairs, tmp_path / knob, shared)


@pytest.mark.slow
def test_killed_again_and_again_while_it_learns_from_phantoms_it_ends_in_the_same_weights(
    learn: Learn, tmp_path: Path
) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert learn(straight).wait() == 0
    for after, code in (
        ("phantoms/cohort/truth", WITH_WORKERS), ("last", BY_ITSELF), ("best", BY_ITSELF)
    ):  # fmt: skip
        child = learn(killed, code=code)
        while not (killed / "pretraining" / after).exists() and child.poll() is None:
            time.sleep(0.005)
        assert child.kill() == -signal.SIGKILL, f"it ended without pretraining/{after}"
        assert not (killed / "last").exists(), "it was killed too late to say anything"
    assert learn(killed).wait() == 0
    one, other = (
        load_tensors(run / "best", MODEL_FILE, load_card(run / "best"))
        for run in (straight, killed)
    )
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert not list((killed / "pretraining").glob("phantoms*"))


def test_a_place_for_what_no_recipe_asks_for_is_refused(tiny_pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"learns from no phantoms \(pretraining.phantoms = 0\)"):
        train(load_recipe("tiny"), tiny_pairs, tmp_path / "run", tmp_path / "phantoms")


def test_the_runs_own_folder_is_no_place_for_what_phantoms_taught(
    tiny_pairs: Path, tmp_path: Path
) -> None:
    """Both are locked, so that the run would wait for itself."""
    run = tmp_path / "run"
    with pytest.raises(UsageError, match="is the run's own folder"):
        train(recipe(), tiny_pairs, run, tmp_path / "elsewhere" / ".." / "run")
    assert not run.exists()


def test_phantoms_to_learn_from_are_not_those_of_a_demonstration() -> None:
    assert PretrainingRecipe().seed >= 1_000_000


@pytest.mark.slow
@together
def test_phantoms_fall_alike_whatever_the_users_key(
    trained: Path, learn: Learn, tmp_path: Path
) -> None:
    assert learn(tmp_path / "run", PETCAST_SALT="another key").wait() == 0
    one, other = (
        (run / "pretraining" / "data.json").read_bytes() for run in (trained, tmp_path / "run")
    )
    assert one == other
