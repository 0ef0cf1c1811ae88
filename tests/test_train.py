"""Training: to the bit resumable, strict about its folder, and it learns."""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from petcast.checkpoint import MODEL_FILE, TRAINING_FILE, load_card
from petcast.disk.durable import sha256_of
from petcast.engine.parallel import World
from petcast.errors import DataError, TrainingError, UsageError
from petcast.models.synthesizer import Synthesizer
from petcast.pairs import PairedStudy, Pairs
from petcast.recipe import (
    AugmentationRecipe,
    EngineRecipe,
    LossRecipe,
    ModelRecipe,
    OptimizerRecipe,
    Recipe,
    TrainingRecipe,
    load_recipe,
)
from petcast.train import Training, read_metrics, train


def recipe(epochs: int = 2, adversarial: float = 0.0, **training: object) -> Recipe:
    return Recipe(
        model=ModelRecipe(name="Stage01"),
        loss=LossRecipe(adversarial=adversarial),
        training=TrainingRecipe(epochs=epochs, batch_size=2, **training),
    )


EVERYTHING = recipe(2, ema=0.9).model_copy(
    update={
        "augmentation": AugmentationRecipe(flip=0.5, rotate_degrees=5, scale=0.1, shift_mm=10),
        "engine": EngineRecipe(precision="bfloat16", recompute=True, pairs="streamed"),
        "optimizer": OptimizerRecipe(warmup_epochs=0.5),
    }
)
"""Each knob of the engine that may get in resuming's way."""


def hashes(run: Path) -> list[str]:
    return [sha256_of(run / "last" / name) for name in (MODEL_FILE, TRAINING_FILE)]


@pytest.fixture(scope="module")
def trained(tiny_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one epoch; nobody writes into it."""
    run = tmp_path_factory.mktemp("trained") / "run"
    train(recipe(1), tiny_pairs, run)
    return run


@pytest.mark.slow
def test_rows_are_one_an_epoch_with_every_part(trained: Path) -> None:
    rows = read_metrics(trained)
    assert [row["epoch"] for row in rows] == [1]
    assert set(rows[0]["train"]) == {"loss", "mse", "l1"}
    for part in ("validation", "test"):
        assert {"ssim", "psnr", "mae", "mse", "psnr_body"} <= set(rows[0][part])


@pytest.mark.slow
def test_best_is_the_validation_epoch_with_the_highest_score(
    tiny_pairs: Path, tmp_path: Path
) -> None:
    rows = train(recipe(epochs=3), tiny_pairs, tmp_path / "run")
    scores = [row["validation"]["psnr"] for row in rows]
    assert load_card(tmp_path / "run" / "best").epoch == 1 + scores.index(max(scores))


@pytest.mark.slow
def test_without_validation_patients_best_is_the_last_epoch(
    two_patient_pairs: Path, tmp_path: Path
) -> None:
    rows = train(recipe(), two_patient_pairs, tmp_path / "run")
    assert rows[0]["validation"] is None
    assert load_card(tmp_path / "run" / "best").epoch == 2


@pytest.mark.slow
@pytest.mark.parametrize("parts", ["two_patient_pairs", "tiny_pairs"])
def test_a_run_that_ends_earlier_than_it_was_begun_for_has_a_best_epoch(
    parts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Without validation patients, and with some who were not scored yet."""
    pairs, run, whole = request.getfixturevalue(parts), tmp_path / "run", Training._train_epoch

    def dies_in_the_third(self: Training, epoch: int, *reach: Any) -> dict[str, float]:
        if epoch == 3:
            raise KeyboardInterrupt
        return whole(self, epoch, *reach)

    monkeypatch.setattr("petcast.train.SAVING_SHARE", 1e9)  # after each epoch
    monkeypatch.setattr(Training, "_train_epoch", dies_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        train(recipe(3, score_every=3), pairs, run)
    with pytest.raises(UsageError, match=r"holds 2 epochs, more than training\.epochs = 1"):
        train(recipe(1, score_every=3), pairs, run)
    assert load_recipe(run / "recipe.toml").training.epochs == 3
    train(recipe(2, score_every=3), pairs, run)
    assert load_card(run / "best").epoch == 2


@pytest.mark.slow
@pytest.mark.parametrize("knobs", [recipe(2), recipe(2, 0.01), EVERYTHING])
def test_a_training_in_two_parts_equals_one_in_one_part(
    tiny_pairs: Path, tmp_path: Path, knobs: Recipe
) -> None:
    train(knobs, tiny_pairs, tmp_path / "straight")
    half = knobs.model_copy(update={"training": knobs.training.model_copy(update={"epochs": 1})})
    train(half, tiny_pairs, tmp_path / "parts")
    train(knobs, tiny_pairs, tmp_path / "parts")
    assert hashes(tmp_path / "straight") == hashes(tmp_path / "parts")
    assert len(read_metrics(tmp_path / "parts")) == 2


@pytest.mark.slow
def test_greedy_stages_stopped_between_their_turns_end_in_the_same_weights(
    marked_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy = load_recipe("best", [
        "training.epochs=2", "training.order=greedy", "model.name=Stage02", "training.ema=0.9",
        "augmentation.hu_noise=10", "loss.lesions=5", "engine.precision=float32",
        "pretraining.phantoms=0",
    ])  # fmt: skip
    train(greedy, marked_pairs, tmp_path / "straight")
    whole = Training._train_epoch

    def dies_in_the_second(self: Training, epoch: int, *reach: Any) -> dict[str, float]:
        if epoch == 2:
            raise KeyboardInterrupt
        return whole(self, epoch, *reach)

    monkeypatch.setattr(Training, "_train_epoch", dies_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        train(greedy, marked_pairs, tmp_path / "stopped")
    monkeypatch.setattr(Training, "_train_epoch", whole)
    train(greedy, marked_pairs, tmp_path / "stopped")
    assert hashes(tmp_path / "straight") == hashes(tmp_path / "stopped")


@pytest.mark.slow
def test_scores_come_as_often_as_asked_for_and_after_the_last_epoch(
    tiny_pairs: Path, tmp_path: Path
) -> None:
    rows = train(recipe(3, score_every=2), tiny_pairs, tmp_path / "run")
    assert [row["test"] is not None for row in rows] == [False, True, True]
    assert load_card(tmp_path / "run" / "best").epoch in (2, 3)


@pytest.mark.slow
def test_a_killed_training_ends_in_the_same_weights(
    tiny_pairs: Path, tmp_path: Path, begin: Callable[..., Any]
) -> None:
    """On one thread: on two, on a busy machine, one process in fifty rounded otherwise from its
    first step on (docs/log.md).
    """
    (tmp_path / "r.toml").write_text(recipe(4).to_toml())
    training = ("train", tmp_path / "r.toml", "--data", tiny_pairs, "--out")
    # Processes of their own: another number of threads rounds otherwise
    assert begin(*training, tmp_path / "straight").wait() == 0
    for rows in (1, 2):  # die in the middle of epochs 2 and 3
        child = begin(*training, tmp_path / "killed")
        while len(read_metrics(tmp_path / "killed")) < rows and child.poll() is None:
            time.sleep(0.02)
        assert child.kill() == -signal.SIGKILL
    assert begin(*training, tmp_path / "killed").wait() == 0
    assert hashes(tmp_path / "straight") == hashes(tmp_path / "killed")
    assert [row["epoch"] for row in read_metrics(tmp_path / "killed")] == [1, 2, 3, 4]


@pytest.mark.slow
def test_while_it_trains_mkl_takes_the_threads_that_it_is_given_and_gives_the_same_bits(
    tiny_pairs: Path, tmp_path: Path
) -> None:
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    if not library.is_file() or not hasattr(ctypes.CDLL(str(library)), "mkl_serv_get_dynamic"):
        pytest.skip("this torch has no MKL that can be asked")
    told = (
        "import ctypes, sys, torch; from pathlib import Path; from petcast.train import train\n"
        "from petcast.recipe import load_recipe\n"
        "before = torch.get_num_threads()\n"
        "train(load_recipe('tiny', ['training.epochs=1']), Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "mkl = ctypes.CDLL(sys.argv[3])\n"
        "print(mkl.mkl_serv_get_dynamic(), torch.get_num_threads() - before)\n"
        "print(mkl.mkl_serv_cbwr_get(1))"  # of the branch: 1 is off
    )
    command = [sys.executable, "-c", told, str(tiny_pairs), str(tmp_path / "run"), str(library)]
    free = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    found = subprocess.run(command, check=True, capture_output=True, text=True, env=free)
    assert found.stdout.split() == ["0", "0", "2"]


@pytest.mark.parametrize("best", get_args(TrainingRecipe.model_fields["best"].annotation))
def test_the_better_epoch_has_more_of_all_but_of_errors(best: str) -> None:
    judge = Training.__new__(Training)
    judge.recipe = recipe(best=best)
    fewer, more = (judge._judged({best: score}) for score in (0.25, 0.75))
    assert fewer is not None
    assert more is not None
    assert (more > fewer) is (best != "mae")


def test_a_best_epoch_that_was_removed_is_said_to_be_lost(tmp_path: Path, caplog) -> None:
    again = Training.__new__(Training)
    again.run, again._best = tmp_path, 30.0  # as `last` remembers it
    again._keep_unjudged()
    assert f"{tmp_path / 'best'} was removed, and with it the epoch" in caplog.text


@pytest.mark.slow
def test_a_torn_row_of_metrics_is_dropped(tiny_pairs: Path, tmp_path: Path) -> None:
    train(recipe(1), tiny_pairs, tmp_path / "run")
    with (tmp_path / "run" / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 2, "train": {"lo')
    rows = train(recipe(2), tiny_pairs, tmp_path / "run")
    assert [row["epoch"] for row in rows] == [1, 2]
    text = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert all(json.loads(line) for line in text.splitlines())


@pytest.mark.parametrize("line", [b"\xff\xfe\0", b"{}", b"[]", b"null", b"5", b"[" * 100_000])
def test_a_damaged_row_of_metrics_costs_itself_alone(tmp_path: Path, line: bytes) -> None:
    rows = [json.dumps({"epoch": epoch, "train": {}}).encode() for epoch in (1, 2)]
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join([rows[0], line, rows[1], b""]))
    assert [row["epoch"] for row in read_metrics(tmp_path)] == [1, 2]


@pytest.mark.slow
def test_another_recipe_does_not_take_over_a_run(tiny_pairs: Path, trained: Path) -> None:
    with pytest.raises(UsageError, match=r"training\.seed"):
        train(recipe(1, seed=5), tiny_pairs, trained)


@pytest.mark.slow
def test_a_run_keeps_how_its_pairs_were_prepared_not_what_the_recipe_says(
    tiny_pairs: Path, trained: Path
) -> None:
    prepared = Pairs.open(tiny_pairs).index["preparation"]
    assert prepared["margin_mm"] != recipe(1).preparation.margin_mm
    for kept in (load_recipe(trained / "recipe.toml"), load_card(trained / "best").recipe):
        assert kept.preparation.model_dump(mode="json") == prepared


@pytest.mark.slow
def test_a_run_that_kept_another_preparation_is_taken_up_and_mended(
    tiny_pairs: Path, trained: Path, tmp_path: Path
) -> None:
    """As runs did before they kept the pairs'."""
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "recipe.toml").write_text(recipe(1).to_toml())
    train(recipe(1), tiny_pairs, tmp_path / "run")
    assert load_recipe(tmp_path / "run" / "recipe.toml").preparation.margin_mm == 0


def test_an_override_that_asks_for_other_pairs_is_refused(tiny_pairs: Path, tmp_path: Path) -> None:
    asked = ["preparation.margin_mm=30"]
    with pytest.raises(UsageError, match=r"preparation\.margin_mm: .* prepared with 0\.0"):
        train(load_recipe("tiny", asked), tiny_pairs, tmp_path / "run", settings=asked)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_other_pairs_do_not_take_over_a_run(two_patient_pairs: Path, trained: Path) -> None:
    with pytest.raises(UsageError, match="other pairs"):
        train(recipe(1), two_patient_pairs, trained)


@pytest.mark.slow
def test_an_infinite_loss_stops_with_a_word_and_keeps_the_last_good_state(
    tiny_pairs: Path, tmp_path: Path
) -> None:
    train(recipe(1), tiny_pairs, tmp_path / "run")
    before = hashes(tmp_path / "run")
    import petcast.losses

    original = petcast.losses.mse
    petcast.losses.mse = lambda *images: original(*images) * float("nan")
    try:
        with pytest.raises(TrainingError, match="learning_rate"):
            train(recipe(2), tiny_pairs, tmp_path / "run")
    finally:
        petcast.losses.mse = original
    assert hashes(tmp_path / "run") == before


@pytest.mark.slow
def test_weights_that_an_epochs_last_step_has_spoilt_are_not_kept(
    tiny_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No loss of that epoch has seen them, and it may not be scored."""
    whole = Training._train_epoch

    def spoilt(self: Training, epoch: int, *reach: Any) -> dict[str, float]:
        terms = whole(self, epoch, *reach)
        if epoch == 2:
            next(self.learner.synthesizer.parameters()).data.fill_(torch.nan)
        return terms

    monkeypatch.setattr("petcast.train.SAVING_SHARE", 1e9)  # after each epoch
    monkeypatch.setattr(Training, "_train_epoch", spoilt)
    with pytest.raises(TrainingError, match="epoch 2: weights became infinite or NaN"):
        train(recipe(3, score_every=3), tiny_pairs, tmp_path / "run")
    assert load_card(tmp_path / "run" / "last").epoch == 1
    assert len(read_metrics(tmp_path / "run")) == 1


@pytest.mark.slow
def test_where_no_epoch_was_kept_none_is_promised(
    tiny_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("petcast.losses.mse", lambda *images: images[0].mean() * float("nan"))
    with pytest.raises(TrainingError, match=r"l1 became infinite or NaN\. Try a smaller"):
        train(recipe(1), tiny_pairs, tmp_path / "run")


@pytest.mark.slow
def test_a_prediction_that_is_not_finite_is_no_score(
    tiny_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses stay sound where only the running statistics of evaluation have overflowed."""
    train(recipe(1), tiny_pairs, tmp_path / "run")
    before = hashes(tmp_path / "run")
    forward = Synthesizer.forward

    def spoilt(self: Synthesizer, hu: torch.Tensor) -> list[torch.Tensor]:
        stages = forward(self, hu)
        return stages if self.training else [stage * float("nan") for stage in stages]

    monkeypatch.setattr(Synthesizer, "forward", spoilt)
    with pytest.raises(TrainingError, match="on the validation part"):
        train(recipe(2), tiny_pairs, tmp_path / "run")
    assert hashes(tmp_path / "run") == before


def test_pairs_without_training_slices_are_refused(test_only_pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least two slices"):
        train(recipe(1), test_only_pairs, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("left", ["", '\0\0\0{"epoch": 1}\n'])
def test_epochs_that_are_lost_from_the_metrics_are_said(
    trained: Path, tiny_pairs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, left: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    train(recipe(1), tiny_pairs, run)
    assert not caplog.records
    (run / "metrics.jsonl").write_text(left)
    train(recipe(1), tiny_pairs, run)
    assert "lacks 1 of the 1 epochs that are trained" in caplog.text


def test_an_epoch_cannot_be_chosen_inside_bodies_that_no_slice_shows(
    tiny_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PairedStudy, "regions", torch.zeros(2, 256, 256, dtype=torch.uint8))
    with pytest.raises(DataError, match=r'set training.best="psnr"'):
        train(recipe(1, best="psnr_body"), tiny_pairs, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_batch_without_a_slice_for_each_part_is_refused(tiny_pairs: Path, tmp_path: Path) -> None:
    knobs = recipe(1)
    small = knobs.model_copy(
        update={
            "training": knobs.training.model_copy(update={"batch_size": 2}),
            "engine": knobs.engine.model_copy(update={"parts": 4}),
        }
    )
    with pytest.raises(UsageError, match=r"training\.batch_size = 2 has no slice for each of 4"):
        train(small, tiny_pairs, tmp_path / "run")


def test_fewer_slices_than_parts_are_refused(tiny_pairs: Path, tmp_path: Path) -> None:
    knobs = recipe(1)
    many = knobs.model_copy(update={"engine": knobs.engine.model_copy(update={"parts": 16})})
    with pytest.raises(DataError, match="16 to divide a batch"):
        train(many, tiny_pairs, tmp_path / "run")


@pytest.mark.slow
def test_processes_that_score_nothing_hold_no_slices_to_score(
    tiny_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("petcast.train.Learner", lambda *_: None)
    pairs, two = Pairs.open(tiny_pairs), {"size": 2, "parts": 2}
    held = [set(Training(recipe(), pairs, tmp_path, World(rank, **two)).parts) for rank in (0, 1)]
    assert held == [{"train", "validation", "test"}, {"train"}]


@pytest.mark.slow
def test_the_adversarial_terms_are_learned_and_written(tiny_pairs: Path, tmp_path: Path) -> None:
    rows = train(recipe(1, adversarial=0.01), tiny_pairs, tmp_path / "run")
    assert {"adversarial", "discriminator"} <= set(rows[0]["train"])
