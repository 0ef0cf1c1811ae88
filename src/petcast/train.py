"""Training: MSE + adversarial loss, resumable to the bit.

Every epoch draws its order and its dropout from (seed, epoch) alone. A run that is killed
starts its unfinished epoch again and ends in the same weights as one that never stopped.
"""

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from petcast.audit import require_clean
from petcast.catalogue import METRICS
from petcast.checkpoint import Card, Tensors, load_card, save_checkpoint
from petcast.claim import claim, epochs_in, require_same
from petcast.dataset import SliceDataset
from petcast.device import choose_device, fix_threads, keep_freed_memory, within_memory
from petcast.disk.durable import read_json_lines, settle, write_text
from petcast.engine import Learner, augment
from petcast.engine.curves import Curves
from petcast.engine.divergence import refuse_divergence
from petcast.engine.feed import Feed
from petcast.engine.parallel import World, held, joined, totals
from petcast.engine.possible import lighter, require_slices, require_trainable
from petcast.metrics import score_slices
from petcast.pairs import Pairs
from petcast.pairs.split import PARTS
from petcast.pretraining import (
    FOLDER,
    PHANTOMS,
    phantom_pairs,
    pretraining_recipe,
    remove_phantoms,
    require_place,
)
from petcast.progress import bar
from petcast.recipe import Recipe

_LOG = logging.getLogger(__name__)

METRICS_FILE = "metrics.jsonl"

SAVING_SHARE = 0.05
"""Saving the state of training may take this share of the time; a large model is then saved
less often than once an epoch, and a killed run repeats a few more epochs."""

Row = dict[str, Any]


class Training:
    """One run: the course of a learner over the epochs, and its folder."""

    def __init__(self, recipe: Recipe, pairs: Pairs, run: Path, world: World) -> None:
        self.recipe, self.run, self._world = recipe, run, world
        self.device = choose_device(recipe.training.device)
        marked = ("train",) if recipe.loss.lesions > 0 else ()
        self.parts = {
            part: Feed(
                SliceDataset(pairs.studies(part), recipe.model.slices, lesions=part in marked),
                self.device,
                recipe.engine.pairs,
            )
            for part in (PARTS if world.first else ("train",))  # the first process scores alone
        }
        require_slices(len(self.parts["train"]), world)
        self._pairs = pairs
        self._grid = pairs.index["preparation"]
        self.learner = Learner(recipe, self.device, self._grid["size"], world)
        self._epoch = 0
        self._best: float | None = None
        self._saved_at = -math.inf
        self._saving_seconds = 0.0

    def resume(self, start: Path | None = None) -> None:
        """Take up an earlier training in the same folder, where there is one.

        Args:
            start: A checkpoint to begin from where there is none; random weights where None.
        """
        last = self.run / "last"
        with self._world.led() as mine:
            if mine:
                settle(last)
        if last.is_dir():
            self.learner.restore(last, card := load_card(last))
            self._epoch, self._best = card.epoch, card.best
        elif start is not None:
            self.learner.begin_from(start, load_card(start))
        with self._world.led() as mine:
            if mine:
                _truncate_metrics(self.run / METRICS_FILE, self._epoch)

    def finish(self, activity: str = "training") -> None:
        """Train the epochs that are left.

        Args:
            activity: What the progress bar calls it.
        """
        epochs = range(self._epoch + 1, self.recipe.training.epochs + 1)
        with self._world.led() as mine:
            curves = Curves(self.run, self.recipe.engine.tensorboard and mine)
        with bar(f"{activity} {self.recipe.model.name}", len(epochs)) as reach:
            for done, epoch in enumerate(epochs):
                started = time.perf_counter()
                terms = self._train_epoch(epoch, partial(reach, done))
                self._epoch = epoch
                with self._world.led() as mine:
                    if mine:
                        scores = {part: self._score(part, epoch) for part in ("validation", "test")}
                        seconds = round(time.perf_counter() - started, 3)
                        row = {"epoch": epoch, "seconds": seconds, "train": terms, **scores}
                        self._keep(row)
                        curves.add(row)
        with self._world.led() as mine:
            if mine:
                self._keep_unjudged()
        curves.close()

    def _train_epoch(self, epoch: int, reach: Callable[[float], None]) -> dict[str, float]:
        knobs, feed = self.recipe.training, self.parts["train"]
        seed = _epoch_seed(knobs.seed, epoch)
        torch.manual_seed(seed)
        order = torch.randperm(len(feed))
        fov_mm = self._grid["size"] * self._grid["spacing_mm"]
        motions = augment.draw(self.recipe.augmentation, len(feed), fov_mm)
        tints = augment.draw_tints(self.recipe.augmentation, len(feed))
        if not self._world.first:  # dropout is each process's own
            torch.manual_seed(_epoch_seed(seed, self._world.rank))
        self.learner.synthesizer.train()
        sums: dict[str, Tensor] = {}
        division = feed.division(order, knobs.batch_size, self._world)
        for step, batch in enumerate(feed.batches(order, knobs.batch_size, self._world)):
            self.learner.advance(epoch - 1 + (step + 0.5) / len(division))
            slices, places, whole = batch, self._world.part(division[step]), len(division[step])
            if motions is not None:
                slices = augment.move(batch, motions.at(places))
            if tints is not None:
                slices = replace(slices, hu=augment.tint(slices.hu, tints.at(places)))
            for name, value in self.learner.step(slices, whole).items():
                sums[name] = sums.get(name, 0.0) + value * (len(places) / whole)
            reach((step + 1) / len(division))
        means = {name: value / len(division) for name, value in totals(sums).items()}
        refuse_divergence(means, epoch, self.run, self._pairs.studies("train"), self.recipe)
        return means

    @torch.inference_mode()
    def _score(self, part: str, epoch: int) -> dict[str, float] | None:
        feed, knobs = self.parts[part], self.recipe.training
        due = epoch % knobs.score_every == 0 or epoch == knobs.epochs
        if not (due and len(feed)):
            return None
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        with self.learner.scoring() as synthesizer:
            for batch in feed.batches(None, knobs.batch_size):
                suv = synthesizer(batch.hu.to(self.learner.dtype))[-1].float()
                window = self.recipe.model.suv_window
                with_body = int(batch.body.flatten(1).any(1).sum())
                for name, value in score_slices(suv, batch.suv, batch.body, window).items():
                    if slices := with_body if name.endswith("_body") else len(suv):
                        sums[name] = sums.get(name, 0.0) + value * slices
                        counts[name] = counts.get(name, 0) + slices
        means = {name: sums[name] / counts[name] for name in sums}
        studies, where = self._pairs.studies(part), f" on the {part} part"
        refuse_divergence(means, epoch, self.run, studies, self.recipe, where)
        return means

    def _keep(self, row: Row) -> None:
        """Write the epoch down: its row, the best weights so far, the state of training."""
        if not self.learner.finite:
            refuse_divergence({"weights": math.nan}, row["epoch"], self.run, (), self.recipe)
        with (self.run / METRICS_FILE).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        score = self._judged(row["validation"])
        last_epoch = row["epoch"] == self.recipe.training.epochs
        if score is not None and (self._best is None or score > self._best):
            self._best = score
            self._save("best", score, training=None)
        now = time.perf_counter()
        if last_epoch or now - self._saved_at > self._saving_seconds / SAVING_SHARE:
            self._save("last", score, self.learner.training_state())
            self._saved_at = time.perf_counter()
            self._saving_seconds = self._saved_at - now

    def _keep_unjudged(self) -> None:
        """Where no epoch was judged, `best` is the last one.

        Looked at when training ends, not in its last epoch: a run that was taken up to do fewer
        epochs than it was begun with may have none left.
        """
        settle(best := self.run / "best")
        if self._best is None and not (best.is_dir() and load_card(best).epoch == self._epoch):
            self._save("best", None, training=None)
        if not best.is_dir():
            _LOG.warning(
                "%s was removed, and with it the epoch that validation chose; petcast predict "
                "--last takes the last one, and training anew in another --out finds it again", best
            )  # fmt: skip

    def _judged(self, scores: dict[str, float] | None) -> float | None:
        """The validation metric that chooses `best`, larger is better."""
        if scores is None:
            return None
        best = self.recipe.training.best
        return -METRICS[best.removesuffix("_body")].penalty(scores[best])

    def _save(self, name: str, score: float | None, training: Tensors | None) -> None:
        card = Card(
            recipe=self.recipe,
            epoch=self._epoch,
            grid={key: self._grid[key] for key in ("size", "spacing_mm")},
            data_hash=self._pairs.index["hash"],
            parameters=self.learner.parameters,
            score=score,
            best=self._best,
        )
        save_checkpoint(self.run / name, card, self.learner.model_state(), training)


def train(
    recipe: Recipe,
    data: Path,
    run: Path,
    pretraining: Path | None = None,
    settings: Sequence[str] = (),
) -> list[Row]:
    """Train a model, or finish a training that was interrupted.

    Args:
        recipe: What to do. Its `[preparation]` is not looked at: the run keeps that of the pairs.
        data: A folder of pairs.
        run: The run's folder; it is made, or taken up where the same recipe and data made it.
        pretraining: Where the network that has learned from phantoms is kept, if the recipe wants
            one; several runs may share it. `run / "pretraining"` where None.
        settings: Overrides that made the recipe; one of `[preparation]` must agree with the pairs.

    Returns:
        The rows of metrics.jsonl, one an epoch.

    Raises:
        UsageError: `run` belongs to another recipe or to other data, `pretraining` to another
            recipe or is `run` itself, `settings` ask for other pairs, knobs exclude each other, or
            several processes have not the same recipe, pairs or run before them.
        DataError: There is too little to train on or to choose an epoch by, the generator cannot
            halve the slices, or the pairs leak and are not marked to.
        MemoryShortError: The device has not memory enough.
        TrainingError: The loss became infinite or NaN.
        PartnerError: Another process of this training failed.
    """
    fix_threads()
    keep_freed_memory()
    with joined(recipe.training.device, recipe.engine.parts) as world:
        pairs = Pairs.open(data)  # joined: on one machine it may be missing, and others would wait
        require_clean(pairs)
        recipe = recipe.prepared_as(pairs.index["preparation"], settings)
        require_trainable(recipe, pairs, world)
        if pretraining is not None:
            require_place(pretraining, recipe, run)
        with held(run, world), _within_memory(recipe, run):
            _begin(recipe, pairs, run, world)
            start = None
            if recipe.pretraining.phantoms and not (run / "last").is_dir():
                first = pretraining_recipe(recipe, pairs.index["preparation"])
                start = _pretrained(first, pretraining or run / FOLDER, world)
            training = Training(recipe, pairs, run, world)
            training.resume(start)
            training.finish()
    return read_metrics(run)


@contextmanager
def _within_memory(recipe: Recipe, run: Path) -> Iterator[None]:
    what = f"training {recipe.model.name} on {choose_device(recipe.training.device)}"
    with within_memory(what, lambda: lighter(recipe, begun=(run / "last").is_dir())):
        yield


def _begin(recipe: Recipe, pairs: Pairs, run: Path, world: World) -> None:
    """Claim a run's folder for processes that are about to learn the same thing there."""
    with world.led() as mine:
        if mine:
            claim(run, recipe, pairs)
    facts = {"the recipe": recipe.to_toml(), "the pairs": pairs.index["hash"]}
    world.agree(facts | {f"the epochs that {run / 'last'} holds": epochs_in(run)})


def _pretrained(first: Recipe, folder: Path, world: World) -> Path:
    """Have the network that has learned from phantoms; whoever else makes it is waited for.

    Args:
        first: How the network learns from phantoms.
        folder: Where it is, or will be.
        world: The processes that share the work.

    Returns:
        Its checkpoint.

    Raises:
        UsageError: `folder` holds another one.
    """
    best = folder / "best"
    with held(folder, world, wait=True):
        with world.led() as mine:
            if mine:
                settle(best)
        world.agree({f"what {folder} holds": (best.is_dir(), epochs_in(folder))})
        if best.is_dir():  # without validation patients, `best` is written at the end alone
            require_same(folder, first)
        else:
            phantoms = folder / PHANTOMS
            with world.led() as mine:
                if mine:
                    pairs = phantom_pairs(first, phantoms)
                    claim(folder, first, pairs)
            training = Training(first, Pairs.open(phantoms / "pairs"), folder, world)
            training.resume()
            training.finish("pretraining")
        with world.led() as mine:
            if mine:
                remove_phantoms(folder)
    return best


def read_metrics(run: Path) -> list[Row]:
    """Read a run's metrics.jsonl.

    Args:
        run: The run's folder.

    Returns:
        One row an epoch; lines that were cut off or damaged are left out.
    """
    rows = read_json_lines(run / METRICS_FILE, "epoch")
    return [row for row in rows if row is not None]


def _epoch_seed(seed: int, epoch: int) -> int:
    return (seed * 1_000_003 + epoch) % 2**63


def _truncate_metrics(path: Path, epoch: int) -> None:
    """Drop the rows of epochs that will be trained again."""
    rows = [row for row in read_metrics(path.parent) if row["epoch"] <= epoch]
    if lost := sorted(set(range(1, epoch + 1)) - {row["epoch"] for row in rows}):
        _LOG.warning(
            "%s was damaged or removed: it lacks %d of the %d epochs that are trained, the first "
            "of them %d; curves and the best of all epochs know nothing of these",
            path, len(lost), epoch, lost[0],
        )  # fmt: skip
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
