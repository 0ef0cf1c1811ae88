"""Training: MSE + adversarial loss, resumable to the bit.

Every epoch draws its order and its dropout from (seed, epoch) alone. A run that is killed
starts its unfinished epoch again and ends in the same weights as one that never stopped.
"""

import json
import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from petcast import losses
from petcast.audit import require_clean
from petcast.checkpoint import (
    MODEL_FILE,
    TRAINING_FILE,
    Card,
    Tensors,
    load_card,
    load_tensors,
    load_weights,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)
from petcast.dataset import Batch, SliceDataset
from petcast.device import choose_device, keep_freed_memory
from petcast.durable import exclusive, read_json, settle, write_json, write_text
from petcast.errors import DataError, TrainingError, UsageError
from petcast.metrics import score_slices
from petcast.models import Discriminator, Synthesizer
from petcast.pairs import Pairs
from petcast.progress import track
from petcast.recipe import Recipe, load_recipe

RECIPE_FILE = "recipe.toml"
METRICS_FILE = "metrics.jsonl"
DATA_FILE = "data.json"

SAVING_SHARE = 0.05
"""Saving the state of training may take this share of the time; a large model is then saved
less often than once an epoch, and a killed run repeats a few more epochs."""

Row = dict[str, Any]


@dataclass
class Learner:
    """All that changes during training.

    Attributes:
        recipe: What to do.
        device: Where.
        synthesizer: The generator in its units.
        discriminator: Its opponent, or None where the adversarial loss has no weight.
    """

    recipe: Recipe
    device: torch.device
    synthesizer: Synthesizer = field(init=False)
    discriminator: Discriminator | None = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(self.recipe.training.seed)
        self.synthesizer = Synthesizer(self.recipe.model).to(self.device)
        adversarial = self.recipe.loss.adversarial > 0
        self.discriminator = Discriminator().to(self.device) if adversarial else None
        self._generator_adam = self._adam(self.synthesizer)
        self._discriminator_adam = self._adam(self.discriminator) if self.discriminator else None

    def _adam(self, module: nn.Module) -> torch.optim.Adam:
        knobs = self.recipe.optimizer
        return torch.optim.Adam(
            module.parameters(), lr=knobs.learning_rate, betas=knobs.betas, fused=True
        )

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Learn from one batch.

        Args:
            batch: Slices, on the learner's device.

        Returns:
            Each term of the loss, still on the device.
        """
        ct = self.synthesizer.normalise(batch.hu)
        pet = self.synthesizer.target(batch.suv)
        stages = self.synthesizer.stages(batch.hu)
        terms = {}
        if self.discriminator is not None:
            terms["discriminator"] = self._step_discriminator(ct, pet, stages[-1].detach())
        terms |= self._step_generator(ct, pet, stages)
        return {name: value.detach() for name, value in terms.items()}

    def _step_discriminator(self, ct: Tensor, pet: Tensor, fake: Tensor) -> Tensor:
        assert self.discriminator is not None  # noqa: S101 - for the type checker
        assert self._discriminator_adam is not None  # noqa: S101
        loss = losses.discriminator_loss(
            self.discriminator(ct, pet),
            self.discriminator(ct, fake),
            self.recipe.loss.adversarial_form,
        )
        self._discriminator_adam.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._discriminator_adam.step()
        return loss

    def _step_generator(self, ct: Tensor, pet: Tensor, stages: list[Tensor]) -> dict[str, Tensor]:
        knobs = self.recipe.loss
        supervised = stages if knobs.stages == "all" else stages[-1:]
        terms = {
            "mse": torch.stack([losses.mse(stage, pet) for stage in supervised]).mean(),
            "l1": torch.stack([losses.l1(stage, pet) for stage in supervised]).mean(),
        }
        loss = knobs.mse * terms["mse"] + knobs.l1 * terms["l1"]
        if self.discriminator is not None:
            self.discriminator.requires_grad_(False)
            terms["adversarial"] = losses.generator_adversarial_loss(
                self.discriminator(ct, stages[-1]), knobs.adversarial_form
            )
            loss = loss + knobs.adversarial * terms["adversarial"]
        self._generator_adam.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._generator_adam.step()
        if self.discriminator is not None:
            self.discriminator.requires_grad_(True)
        return {"loss": loss, **terms}

    def training_state(self) -> Tensors:
        """Everything that resuming needs besides the generator's weights.

        Returns:
            Named tensors.
        """
        tensors = optimizer_tensors(self._generator_adam, "generator_adam")
        if self.discriminator is not None and self._discriminator_adam is not None:
            tensors |= optimizer_tensors(self._discriminator_adam, "discriminator_adam")
            weights = self.discriminator.state_dict()
            tensors |= {f"discriminator/{name}": value for name, value in weights.items()}
        return tensors

    def restore(self, checkpoint: Path, card: Card) -> None:
        """Take up where a checkpoint left off.

        Args:
            checkpoint: `RUN/last`.
            card: Its card.
        """
        load_weights(self.synthesizer, load_tensors(checkpoint, MODEL_FILE, card), checkpoint)
        state = load_tensors(checkpoint, TRAINING_FILE, card)
        restore_optimizer(self._generator_adam, state, "generator_adam")
        if self.discriminator is not None and self._discriminator_adam is not None:
            restore_optimizer(self._discriminator_adam, state, "discriminator_adam")
            prefix = "discriminator/"
            weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            load_weights(self.discriminator, weights, checkpoint)


class Training:
    """One run: the course of a learner over the epochs, and its folder."""

    def __init__(self, recipe: Recipe, pairs: Pairs, run: Path) -> None:
        self.recipe = recipe
        self.run = run
        self.device = choose_device(recipe.training.device)
        self.learner = Learner(recipe, self.device)
        channels = self.learner.synthesizer.channels
        self.parts = {
            part: SliceDataset(pairs.studies(part), channels)
            for part in ("train", "validation", "test")
        }
        if len(self.parts["train"]) < 2:
            raise DataError("training needs at least two slices; see the split in pairs.json")
        self._pairs = pairs
        self._epoch = 0
        self._best: float | None = None
        self._saved_at = -math.inf
        self._saving_seconds = 0.0

    def resume(self) -> None:
        """Take up an earlier training in the same folder, where there is one."""
        last = self.run / "last"
        settle(last)
        if last.is_dir():
            card = load_card(last)
            self.learner.restore(last, card)
            self._epoch, self._best = card.epoch, card.best
        _truncate_metrics(self.run / METRICS_FILE, self._epoch)

    def finish(self) -> None:
        """Train the epochs that are left."""
        epochs = range(self._epoch + 1, self.recipe.training.epochs + 1)
        for epoch in track(epochs, f"training {self.recipe.model.name}"):
            started = time.perf_counter()
            terms = self._train_epoch(epoch)
            scores = {part: self._score(part) for part in ("validation", "test")}
            seconds = round(time.perf_counter() - started, 3)
            self._epoch = epoch
            self._keep({"epoch": epoch, "seconds": seconds, "train": terms, **scores})

    def _train_epoch(self, epoch: int) -> dict[str, float]:
        torch.manual_seed(_epoch_seed(self.recipe.training.seed, epoch))
        dataset = self.parts["train"]
        self.learner.synthesizer.train()
        sums: dict[str, Tensor] = {}
        steps = 0
        for batch in dataset.batches(torch.randperm(len(dataset)), self.recipe.training.batch_size):
            for name, value in self.learner.step(batch.to(self.device)).items():
                sums[name] = sums[name] + value if name in sums else value
            steps += 1
        means = {name: float(value) / steps for name, value in sums.items()}
        _refuse_divergence(means, epoch, self.run)
        return means

    @torch.inference_mode()
    def _score(self, part: str) -> dict[str, float] | None:
        dataset = self.parts[part]
        if not len(dataset):
            return None
        self.learner.synthesizer.eval()
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        for batch in dataset.batches(None, self.recipe.training.batch_size):
            moved = batch.to(self.device)
            suv = self.learner.synthesizer(moved.hu)[-1]
            window = self.recipe.model.suv_window
            scores = score_slices(suv, moved.suv, moved.body, window)
            for name, value in scores.items():
                if math.isfinite(value):
                    sums[name] = sums.get(name, 0.0) + value * len(suv)
                    counts[name] = counts.get(name, 0) + len(suv)
        return {name: sums[name] / counts[name] for name in sums}

    def _keep(self, row: Row) -> None:
        """Write the epoch down: its row, the best weights so far, the state of training."""
        with (self.run / METRICS_FILE).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        score = self._judged(row["validation"])
        last_epoch = row["epoch"] == self.recipe.training.epochs
        better = score is not None and (self._best is None or score > self._best)
        if better:
            self._best = score
        if better or (last_epoch and not len(self.parts["validation"])):
            self._save("best", score, training=None)
        now = time.perf_counter()
        if last_epoch or now - self._saved_at > self._saving_seconds / SAVING_SHARE:
            self._save("last", score, self.learner.training_state())
            self._saved_at = time.perf_counter()
            self._saving_seconds = self._saved_at - now

    def _judged(self, scores: dict[str, float] | None) -> float | None:
        """The validation metric that chooses `best`, larger is better."""
        if scores is None:
            return None
        value = scores[self.recipe.training.best]
        return -value if self.recipe.training.best == "mae" else value

    def _save(self, name: str, score: float | None, training: Tensors | None) -> None:
        preparation = self._pairs.index["preparation"]
        card = Card(
            recipe=self.recipe,
            epoch=self._epoch,
            grid={key: preparation[key] for key in ("size", "spacing_mm")},
            data_hash=self._pairs.index["hash"],
            parameters=sum(p.numel() for p in self.learner.synthesizer.parameters()),
            score=score,
            best=self._best,
        )
        save_checkpoint(self.run / name, card, self.learner.synthesizer.state_dict(), training)


def train(recipe: Recipe, data: Path, run: Path) -> list[Row]:
    """Train a model, or finish a training that was interrupted.

    Args:
        recipe: What to do.
        data: A folder of pairs.
        run: The run's folder; it is made, or taken up where the same recipe and data made it.

    Returns:
        The rows of metrics.jsonl, one an epoch.

    Raises:
        UsageError: `run` belongs to another recipe or to other data.
        DataError: There is too little to train on, or the pairs leak and are not marked to.
        TrainingError: The loss became infinite or NaN.
    """
    pairs = Pairs.open(data)
    require_clean(pairs)
    keep_freed_memory()
    run.mkdir(parents=True, exist_ok=True)
    with exclusive(run / ".lock"):
        _claim(run, recipe, pairs)
        training = Training(recipe, pairs, run)
        training.resume()
        training.finish()
    return read_metrics(run)


def read_metrics(run: Path) -> list[Row]:
    """Read a run's metrics.jsonl.

    Args:
        run: The run's folder.

    Returns:
        One row an epoch; a last line that was cut off is left out.
    """
    path = run / METRICS_FILE
    rows: list[Row] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows


def _epoch_seed(seed: int, epoch: int) -> int:
    return (seed * 1_000_003 + epoch) % 2**63


def _refuse_divergence(means: dict[str, float], epoch: int, run: Path) -> None:
    bad = [name for name, value in means.items() if not math.isfinite(value)]
    if bad:
        raise TrainingError(
            f"epoch {epoch}: {', '.join(bad)} became infinite or NaN. The last good state is in "
            f"{run / 'last'}; try a smaller optimizer.learning_rate or loss.adversarial"
        )


def _claim(run: Path, recipe: Recipe, pairs: Pairs) -> None:
    """Make the run's folder this recipe's and these pairs', or refuse another's."""
    path = run / RECIPE_FILE
    if not path.exists():
        write_json(run / DATA_FILE, pairs.index)
        write_text(path, recipe.to_toml())
        return
    if read_json(run / DATA_FILE)["hash"] != pairs.index["hash"]:
        raise UsageError(f"{run} was trained on other pairs; give another --out")
    differing = _differences(load_recipe(path), recipe)
    if differing - {"training.epochs", "training.device"}:
        raise UsageError(
            f"{run} was begun with another recipe ({', '.join(sorted(differing))} differ); "
            "give another --out, or the same recipe to resume"
        )
    write_text(path, recipe.to_toml())


def _differences(one: Recipe, other: Recipe) -> set[str]:
    mine, theirs = one.model_dump(), other.model_dump()
    return {
        f"{table}.{key}"
        for table, knobs in mine.items()
        for key in knobs
        if knobs[key] != theirs[table][key]
    }


def _truncate_metrics(path: Path, epoch: int) -> None:
    """Drop the rows of epochs that will be trained again."""
    rows = [row for row in read_metrics(path.parent) if row["epoch"] <= epoch]
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
