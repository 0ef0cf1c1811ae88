"""The course of one generator under one protocol: train, evaluate, keep what is wanted.

`RUN/course.json` says how far it is, so that a study which is killed goes on where it was. It is
written after each of these steps, never before::

    trained    all epochs are trained
    diverged   training stopped by itself; it would stop there again
    done       what the tables need of it is on disk
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from petcast.disk.durable import read_json, remove_directory, write_json
from petcast.errors import NotFiniteError, TrainingError, UsageError
from petcast.evaluate import evaluate_run
from petcast.pairs import Pairs
from petcast.pretraining import FOLDER
from petcast.recipe import Recipe
from petcast.study.protocol import Protocol, pairs_folder, run_folder
from petcast.train import read_metrics, train

COURSE_FILE = "course.json"
FORMAT = 1

Status = Literal["trained", "diverged", "done"]
Keep = Literal["best", "all", "none"]
KEEPS: tuple[Keep, ...] = get_args(Keep)

FROM_PHANTOMS = f"{FOLDER}/best"
WASTE: dict[Keep, tuple[str, ...]] = {
    "best": ("last", FROM_PHANTOMS),
    "all": (),
    "none": ("last", FROM_PHANTOMS, "best"),
}
"""What of a finished run is removed: the optimiser's state alone is twice the weights, and what was
learned from phantoms as large as what was learned from patients afterwards."""


@dataclass(frozen=True)
class Course:
    """How far a run is.

    Attributes:
        status: The last step that was made.
        epochs: Epochs that were asked for; of a diverged run, the one that diverged.
        detail: Why it diverged.
    """

    status: Status
    epochs: int
    detail: str = ""


def keep_of(word: str) -> Keep:
    """Read what shall stay of a finished run.

    Args:
        word: As the command line gives it.

    Returns:
        The same, known to be one of `KEEPS`.

    Raises:
        UsageError: It is none of them.
    """
    for keep in KEEPS:
        if word == keep:
            return keep
    raise UsageError(f"--keep {word}: choose one of {', '.join(KEEPS)}")


def read_course(run: Path) -> Course | None:
    """Read how far a run is.

    Args:
        run: Its folder.

    Returns:
        Its course; None where training has not ended.
    """
    path = run / COURSE_FILE
    if not path.exists():
        return None
    document = read_json(path, "status", "epochs", "detail")
    return Course(document["status"], document["epochs"], document["detail"])


def is_unfinished(course: Course | None, recipe: Recipe) -> bool:
    """Say whether a run is still to be trained.

    Args:
        course: How far it is.
        recipe: The generator's.

    Returns:
        False also of a run that diverged: it would again.
    """
    if course is None:
        return True
    return course.status != "diverged" and course.epochs < recipe.training.epochs


def follow(study: Path, protocol: Protocol, recipe: Recipe, keep: Keep) -> Course:
    """Bring a generator's run under a protocol to its end, from wherever it is.

    Args:
        study: The study's folder, divided.
        protocol: Which.
        recipe: The generator's.
        keep: What of the finished run stays: the chosen weights, everything, or no weights.

    Returns:
        How it ended: "done" or "diverged".
    """
    data, run = pairs_folder(study, protocol), run_folder(study, protocol, recipe.model.name)
    course = read_course(run)
    if course is None or is_unfinished(course, recipe):
        course = _train(recipe, data, run)
    if course.status == "trained":
        course = _measure(protocol, course, data, run)
    for name in WASTE[keep]:
        remove_directory(run / name)
    return course


def _train(recipe: Recipe, data: Path, run: Path) -> Course:
    (run / COURSE_FILE).unlink(missing_ok=True)
    try:
        train(recipe, data, run)
    except TrainingError as error:
        finished = read_metrics(run)
        epoch = finished[-1]["epoch"] + 1 if finished else 1
        return _mark(run, Course("diverged", epoch, _without_paths(error, run)))
    return _mark(run, Course("trained", recipe.training.epochs))


def _measure(protocol: Protocol, course: Course, data: Path, run: Path) -> Course:
    """Measure the chosen epoch on test patients; as published, the epochs' own metrics suffice."""
    if protocol == "sound" and Pairs.open(data).studies("test"):
        try:
            evaluate_run(data, run)
        except NotFiniteError as error:  # whatever else is wrong with files can be mended
            return _mark(run, Course("diverged", course.epochs, _without_paths(error, run)))
    return _mark(run, Course("done", course.epochs))


def _without_paths(error: Exception, run: Path) -> str:
    return str(error).replace(str(run), run.name)


def _mark(run: Path, course: Course) -> Course:
    document = {"format": FORMAT, "status": course.status, "epochs": course.epochs}
    write_json(run / COURSE_FILE, document | {"detail": course.detail})
    return course
