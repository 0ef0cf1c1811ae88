"""What a recipe costs: operations, memory, and seconds, each measured in a process of its own."""

import os
import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from typing import Any, ParamSpec, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

from petcast.checkpoint import load_synthesizer
from petcast.device import choose_device
from petcast.models import Synthesizer
from petcast.models.describe import count_parameters
from petcast.pairs import Pairs
from petcast.predict import predict_slices
from petcast.recipe import ModelRecipe, PretrainingRecipe, Recipe
from petcast.train import read_metrics, train

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")

WARM_EPOCHS = 1
"""Of a timed training the first epoch is left out: memory is faulted in there."""

TIMED_EPOCHS = 2
TIMED_SLICES = 16
"""Slices that are predicted to time a prediction."""

Cost = Mapping[str, float]


def apart(work: Callable[Asked, Answer], *args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
    """Do some work in a fresh process, so that its peak of memory is its own.

    Args:
        work: A function of a module.
        args: Its arguments.
        kwargs: Its arguments.

    Returns:
        What it returns; what it raises is raised here.
    """
    context, here = get_context("spawn"), (os.getpid(),)
    with ProcessPoolExecutor(1, context, initializer=_leave_with, initargs=here) as pool:
        return pool.submit(work, *args, **kwargs).result()


def _leave_with(parent: int) -> None:
    """End this process when its parent has ended: a killed contest leaves nobody training."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def operations(recipe: ModelRecipe, side: int = 256) -> dict[str, float]:
    """Count what one slice asks for, on torch's meta device: shapes without memory.

    Args:
        recipe: The generator.
        side: Pixels of a slice along x and y.

    Returns:
        `gflop` of a forward pass (a multiplication and an addition are two) and `parameters`.
    """
    with torch.device("meta"):
        synthesizer = Synthesizer(recipe).eval()
        hu = torch.empty(1, synthesizer.slices, side, side)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        synthesizer(hu)
    gflop = round(counter.get_total_flops() / 1e9, 3)
    return {"gflop": gflop, "parameters": count_parameters(synthesizer)}


def machine_load() -> float | None:
    """How many processes have wanted a processor during the last minute.

    Returns:
        Their mean number; None where the system does not say, as Windows.
    """
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def peak_mb(device: torch.device) -> float | None:
    """The most memory that this process has had.

    Args:
        device: Where it computes.

    Returns:
        Of a GPU what torch has had of its memory, else the whole process's, in MB; None where the
        system does not say.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    status = Path("/proc/self/status")
    # The system's own maximum of a child also holds what its parent had when it was started.
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    if found:
        return int(found[1]) / 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def train_here(
    recipe: Recipe, data: Path, run: Path, pretraining: Path | None = None
) -> dict[str, float | None]:
    """Train, and say what it took beside the epochs' own times; for a process of its own.

    Args:
        recipe: What to do.
        data: Pairs.
        run: The run's folder.
        pretraining: Where what was learned from phantoms is kept.

    Returns:
        `peak_mb` (None also where there was nothing left to train), `threads`, and the machine's
        `load` at the end.
    """
    left = recipe.training.epochs - len(read_metrics(run))
    train(recipe, data, run, pretraining)
    peak = peak_mb(choose_device(recipe.training.device)) if left > 0 else None
    return {"peak_mb": peak, "threads": torch.get_num_threads(), "load": machine_load()}


def seconds_a_slice(data: Path, run: Path, device: str, part: str = "test") -> float:
    """Time a prediction.

    Args:
        data: Pairs.
        run: A trained run.
        device: Where to predict.
        part: Of the pairs.

    Returns:
        Seconds a slice, the shortest of three predictions of some slices.
    """
    synthesizer, _ = load_synthesizer(run)
    ct = Pairs.open(data).studies(part)[0].ct[:TIMED_SLICES]
    taken = []
    for _ in range(4):  # the first one warms up
        start = time.perf_counter()
        predict_slices(synthesizer, ct, device=choose_device(device), last_only=True)
        taken.append(time.perf_counter() - start)
    return min(taken[1:]) / len(ct)


def epoch_seconds(run: Path, leave_out: int = 0) -> float:
    """How long an epoch of a run took.

    Args:
        run: Its folder.
        leave_out: So many epochs at the beginning do not count, if others are left.

    Returns:
        The median of its epochs, in seconds, scoring after each epoch included.
    """
    taken = [float(row["seconds"]) for row in read_metrics(run)]
    return statistics.median(taken[leave_out:] or taken)


def total_seconds(run: Path) -> float:
    """How long all epochs of a run took.

    Args:
        run: Its folder.

    Returns:
        In seconds.
    """
    return sum(float(row["seconds"]) for row in read_metrics(run))


def cost_here(recipe: Recipe, data: Path, run: Path) -> dict[str, float]:
    """Train a few epochs and predict; for a process of its own.

    Args:
        recipe: Its epochs are replaced, and nothing is learned from phantoms first.
        data: Pairs with training slices alone, so that no epoch's time holds its scoring.
        run: Is made, and removed.

    Returns:
        `train_s`, seconds of training a slice; `peak_mb` of training, where the system says it;
        `predict_s`, seconds of predicting a slice.
    """
    shutil.rmtree(run, ignore_errors=True)
    slices = sum(study.slices for study in Pairs.open(data).studies("train"))
    knobs = recipe.training.model_copy(update={"epochs": WARM_EPOCHS + TIMED_EPOCHS})
    short = recipe.model_copy(update={"training": knobs, "pretraining": PretrainingRecipe()})
    took = train_here(short, data, run)
    memory = {} if took["peak_mb"] is None else {"peak_mb": took["peak_mb"]}
    cost = {
        "train_s": epoch_seconds(run, WARM_EPOCHS) / slices,
        **memory,
        "predict_s": seconds_a_slice(data, run, recipe.training.device, "train"),
    }
    shutil.rmtree(run)
    return cost


def measure_costs(
    recipes: Mapping[str, Recipe],
    data: Path,
    scratch: Path,
    rounds: int,
    *,
    tell: Callable[[str], None] = print,
) -> dict[str, list[dict[str, float]]]:
    """Measure recipes in turn, round by round, since a machine's speed drifts.

    Args:
        recipes: By name.
        data: Pairs with training slices alone.
        scratch: Where runs are made and removed.
        rounds: How often.
        tell: Receives a line a measurement.

    Returns:
        By name, a cost a round.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in recipes}
    for number in range(1, rounds + 1):
        for name, recipe in recipes.items():
            cost = apart(cost_here, recipe, data, scratch / "cost-run")
            found[name].append(cost)
            memory = f"{cost['peak_mb']:.0f} MB" if "peak_mb" in cost else "memory unknown"
            said = f"{cost['train_s']:.3f} s a training slice, {memory}"
            tell(f"round {number}/{rounds} {name}: {said}")
    return found


def summarise_costs(
    rounds: Mapping[str, Sequence[Cost]],
    references: Sequence[str],
    operations_of: Mapping[str, Mapping[str, float]],
) -> list[dict[str, Any]]:
    """Take medians over the rounds, and ratios round by round.

    Args:
        rounds: By name, a cost a round.
        references: Names to which ratios are given.
        operations_of: By name, `gflop` and `parameters`.

    Returns:
        A row a name: medians, operations, and `of`, by reference the median ratio of each cost.
    """
    rows = []
    for name, own in rounds.items():
        middle = {key: statistics.median(cost[key] for cost in own) for key in own[0]}
        ratios = {
            reference: {
                key: statistics.median(
                    mine[key] / other[key]
                    for mine, other in zip(own, rounds[reference], strict=True)
                )
                for key in own[0]
            }
            for reference in references
        }
        rows.append({"name": name, **middle, **operations_of[name], "of": ratios})
    return rows
