"""The course of a contest: train what is not trained, measure what is not measured, keep little."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from petcast.catalogue import BLURRED_TRUTH
from petcast.contest.cost import (
    apart,
    epoch_seconds,
    operations,
    seconds_a_slice,
    total_seconds,
    train_here,
)
from petcast.contest.entrants import Entrant
from petcast.contest.thin import label_of
from petcast.disk.durable import (
    exclusive,
    read_json,
    remove_directory,
    require_known_format,
    write_json,
)
from petcast.engine.possible import require_trainable
from petcast.errors import (
    BusyError,
    DataError,
    FormatError,
    NotFiniteError,
    TrainingError,
    UsageError,
)
from petcast.evaluate import Evaluation, evaluate_run
from petcast.evaluate.baselines import TRIVIAL
from petcast.metrics.artefact import find_lattice
from petcast.pairs import Pairs
from petcast.pretraining import pretraining_recipe
from petcast.recipe import Recipe, load_recipe
from petcast.words import count

RECORD_FILE = "contest.json"
TRAINED_FILE = "trained.json"
FORMAT = 2

FREE = {"training.device", "engine.tensorboard", "engine.pairs"}
"""Knobs in which the recipe of a finished run may differ from the one asked for."""

REAL_LATTICE = "real_lattice"
"""What the real PET itself shows: `contrast_db`, `strength`."""

MANY_EPOCHS = 1000
"""Entrants that differ in their share of the epochs alone differ in so many."""

Document = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One run of a contest.

    Attributes:
        entrant: Whose.
        recipe: With the contest's epochs and this run's seed.
        data: The pairs.
        pairs: What they are called.
        seed: Of the run.
        run: Its folder.
        training: The pairs to train on, where they are others than those to test on.
    """

    entrant: Entrant
    recipe: Recipe
    data: Path
    pairs: str
    seed: int
    run: Path
    training: Path | None = None

    @property
    def title(self) -> str:
        """The run in words."""
        return f"{self.entrant.name}, {self.pairs}, seed {self.seed}"


def plan(
    entrants: Sequence[Entrant],
    folders: Sequence[Path],
    out: Path,
    *,
    seeds: int,
    epochs: int,
    common: Sequence[str] = (),
) -> list[Task]:
    """List the runs, all entrants' first seed before the second; twins run once.

    Args:
        entrants: Who takes part.
        folders: Of pairs.
        out: The contest's folder.
        seeds: How many runs of each on each pairs.
        epochs: Of each run.
        common: Settings that all share.

    Returns:
        A task a run.

    Raises:
        UsageError: Two folders of pairs would have one name.
    """
    labels = [label_of(folder) for folder in folders]
    same = twins(entrants, common)
    if len(set(labels)) < len(labels):
        raise UsageError(f"--data: two folders are called {labels}; put them under other names")
    return [
        Task(entrant, entrant.made(common, epochs, seed), data, label, seed,
             out / label / entrant.folder / str(seed))
        for seed in range(seeds)
        for entrant in entrants
        if entrant.name not in same
        for data, label in zip(folders, labels, strict=True)
    ]  # fmt: skip


def twins(entrants: Sequence[Entrant], common: Sequence[str]) -> dict[str, str]:
    """Find entrants whose recipe is an earlier one's: a line taken back that was not there.

    Args:
        entrants: Who takes part.
        common: Settings that all share.

    Returns:
        The earlier entrant's name by the twin's.
    """
    seen: dict[str, str] = {}
    firsts = {e.name: seen.setdefault(e.made(common, MANY_EPOCHS, 0).to_toml(), e.name)
              for e in entrants}  # fmt: skip
    return {name: first for name, first in firsts.items() if name != first}


def read_record(task: Task) -> Document | None:
    """Read what a finished run came to.

    Args:
        task: The run.

    Returns:
        Its record; None where it is not finished.

    Raises:
        UsageError: It was made by another recipe.
        FormatError: It is damaged, or a newer or an older petcast wrote it.
    """
    path = task.run / RECORD_FILE
    if not path.exists():
        return None
    kept = load_recipe(task.run / "recipe.toml")  # with the pairs' [preparation]
    differing = kept.differences(task.recipe, preparation=False) - FREE
    if differing:
        raise UsageError(
            f"{task.run} holds a finished run of another recipe (it differs in "
            f"{', '.join(sorted(differing))}); give another --out, or the settings that made it"
        )
    record = dict(read_json(path, "format"))
    require_known_format(record["format"], FORMAT, path)
    if record["format"] < FORMAT:  # its `real_lattice` is one number
        raise FormatError(
            f"{path} is of an older petcast (format {record['format']}, now {FORMAT}), and the "
            "tables need what it does not hold; give another --out, where the run is trained anew"
        )
    return record


def follow(task: Task, *, keep_weights: bool = False) -> Document:
    """Bring a run to its end, from wherever it is.

    Args:
        task: The run.
        keep_weights: Keep those of the measured epoch; the state of training always goes.

    Returns:
        Its record.

    Raises:
        UsageError: It was begun with another recipe.
    """
    record = read_record(task)
    if record is None:
        task.run.mkdir(parents=True, exist_ok=True)
        record = _finish(task)
        write_json(task.run / RECORD_FILE, record)
    _sweep(task.run, keep_weights)
    return record


def _finish(task: Task) -> Document:
    common = {"format": FORMAT, "entrant": task.entrant.name, "pairs": task.pairs,
              "seed": task.seed, "epochs": task.recipe.training.epochs}  # fmt: skip
    marked = task.run / TRAINED_FILE
    try:
        if not marked.exists():
            data, first = task.training or task.data, pretraining_folder(task)
            took = apart(train_here, task.recipe, data, task.run, first)
            before = {} if first is None else {"pretraining_seconds": total_seconds(first)}
            write_json(marked, took | before)
        measured = apart(measure_here, task.recipe, task.data, task.run)
        return {**common, **read_json(marked), **measured}
    except (TrainingError, NotFiniteError) as error:  # other mistakes can be mended: none is kept
        return common | {"diverged": str(error).replace(str(task.run), task.run.name)}


def pretraining_folder(task: Task) -> Path | None:
    """Where a run's network learns from phantoms: runs that learn alike share it.

    Args:
        task: The run.

    Returns:
        A folder of the contest's, named after how it learns; None where it does not.
    """
    if not task.recipe.pretraining.phantoms:
        return None
    preparation = Pairs.open(task.training or task.data).index["preparation"]
    recipe = pretraining_recipe(task.recipe, preparation).to_toml()
    out = task.run.parents[2]
    return out / "pretraining" / sha256(recipe.encode()).hexdigest()[:12]


def measure_here(recipe: Recipe, data: Path, run: Path) -> Document:
    """Evaluate a trained run and say what it costs; for a process of its own.

    Args:
        recipe: The run's.
        data: Pairs with test patients.
        run: The run's folder.

    Returns:
        `stages` and `trivial` with their metrics, `real_lattice`, and the costs.
    """
    evaluation = evaluate_run(data, run, device=recipe.training.device)
    return {
        "epoch": evaluation.about["epoch"],
        "warnings": list(dict.fromkeys(finding.code for finding in evaluation.warnings)),
        "stages": list(stages_of(evaluation)),
        "trivial": {n: metrics_of(evaluation, n) for n in (*TRIVIAL, BLURRED_TRUTH)},
        REAL_LATTICE: real_lattice(data),
        "seconds_per_epoch": epoch_seconds(run),
        "inference_seconds_per_slice": seconds_a_slice(data, run, recipe.training.device),
        **operations(recipe.model, Pairs.open(data).index["preparation"]["size"]),
    }


def stages_of(evaluation: Evaluation) -> Iterator[Document]:
    """Metrics of each stage, the last one last.

    Args:
        evaluation: Of a run.

    Yields:
        `stage`, counted from 1, `last`, `metrics`, and `patients`: the same for each.
    """
    model = str(evaluation.about["model"])
    names = dict.fromkeys(row.name for row in evaluation.rows)
    earlier = sorted(int(n.rsplit(" ", 1)[1]) for n in names if n.startswith(f"{model} / stage "))
    for stage in (*earlier, None):
        name = model if stage is None else f"{model} / stage {stage}"
        yield {"stage": stage or len(earlier) + 1, "last": stage is None,
               "metrics": metrics_of(evaluation, name),
               "patients": patients_of(evaluation, name)}  # fmt: skip


def metrics_of(evaluation: Evaluation, name: str) -> dict[str, float]:
    """All means of a row.

    Args:
        evaluation: Of a run.
        name: Of the model, a stage or a trivial image.

    Returns:
        Means over the test patients, by region and metric as in "body/psnr".
    """
    return {f"{r.region}/{r.metric}": r.value for r in evaluation.rows if r.name == name}


def patients_of(evaluation: Evaluation, name: str) -> dict[str, dict[str, float]]:
    """All of a row's values, patient by patient.

    Args:
        evaluation: Of a run.
        name: Of the model or a stage.

    Returns:
        By pseudonym, then by region and metric.
    """
    found: dict[str, dict[str, float]] = {}
    for row in evaluation.patients:
        if row.name == name:
            found.setdefault(row.patient, {})[f"{row.region}/{row.metric}"] = row.value
    return found


def real_lattice(data: Path) -> dict[str, float]:
    """Look how much of a lattice the real PET itself seems to have.

    Args:
        data: Pairs with test patients.

    Returns:
        `contrast_db`, the checkerboard index, and `strength`, a share of the uptake: means over
        the test studies.
    """
    studies = Pairs.open(data).studies("test")
    found = [find_lattice(study.pet, np.asarray(study.regions) > 0) for study in studies]
    return {
        "contrast_db": fmean(lattice.contrast_db for lattice in found),
        "strength": fmean(lattice.strength for lattice in found),
    }


def _sweep(run: Path, keep_weights: bool) -> None:
    for name in ("last",) if keep_weights else ("best", "last"):  # `last` tells what is unswept
        remove_directory(run / name)


def _unswept(run: Path) -> bool:
    """Whether a finished run was killed before what it does not keep was removed."""
    return (run / "last").exists() or any(run.glob("*.partial"))


def follow_all(
    tasks: Sequence[Task], *, keep: str = "first", tell: Callable[[str], None] = print
) -> list[Document]:
    """Bring all runs to their end; those that another process works on are left to it.

    Args:
        tasks: The runs.
        keep: Weights that stay: of the "first" seed, of "all", or "none".
        tell: Receives a line a run.

    Returns:
        Records of the runs that are finished.

    Raises:
        UsageError: One cannot be trained so: said before another is.
        DataError: Its pairs lack what it wants.
    """
    _require_trainable(tasks)
    records = []
    for number, task in enumerate(tasks, start=1):
        there, keeps = read_record(task), keep == "all" or (keep == "first" and not task.seed)
        if there is None:
            epochs = count(task.recipe.training.epochs, "epoch")
            tell(f"{number}/{len(tasks)} {task.title}: {epochs}")
            there = _unless_taken(task, keeps, tell)
        elif _unswept(task.run):
            _unless_taken(task, keeps, tell)
        if there is not None:
            records.append(there)
    return records


def _require_trainable(tasks: Sequence[Task]) -> None:
    for task in tasks:
        if read_record(task) is None:
            try:
                require_trainable(task.recipe, Pairs.open(task.training or task.data))
            except (UsageError, DataError) as error:
                raise type(error)(f"{task.title}: {error}") from error


def _unless_taken(task: Task, keep_weights: bool, tell: Callable[[str], None]) -> Document | None:
    task.run.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(exclusive(task.run / ".contest.lock"))
        except BusyError as error:
            tell(f"  left out: {error}")
            return None
        return follow(task, keep_weights=keep_weights)
