"""Phantoms to learn from before patients: what a recipe's `[pretraining]` asks for.

A phantom is not a patient, but a network that has seen many knows where lungs, heart and liver
lie, how noise and resolution of scanners differ, and which of it a PET repeats. Few patients are
then enough to learn the rest: docs/results.md says what that is worth.
"""

import shutil
from pathlib import Path
from typing import Any

from petcast.disk.durable import remove_directory
from petcast.errors import UsageError
from petcast.pairs import Pairs
from petcast.recipe import STUDY_KNOBS, PreparationRecipe, Recipe

FOLDER = "pretraining"
"""Of a run: where its network learned from phantoms, itself a run."""

PHANTOMS = "phantoms"

SALT = "phantoms are nobody"
"""A key of their own, not the user's: phantoms fall into the same order for everyone."""


def require_place(place: Path, recipe: Recipe, run: Path) -> None:
    """Refuse a place for what phantoms teach that is of no use.

    Args:
        place: What the user gave.
        recipe: The whole recipe.
        run: The folder of the run that begins with it.

    Raises:
        UsageError: No phantoms are asked for, or `place` is the run's own folder.
    """
    if not recipe.pretraining.phantoms:
        raise UsageError(
            "--pretraining: this recipe learns from no phantoms (pretraining.phantoms = 0); leave "
            "it off, or set how many"
        )
    if place.resolve() == run.resolve():  # the run holds its lock, and would wait for itself
        raise UsageError(
            f"--pretraining {place} is the run's own folder; give another one, or leave it off: "
            f"{run / FOLDER} is then taken"
        )


def pretraining_recipe(recipe: Recipe, preparation: dict[str, Any]) -> Recipe:
    """Say how a recipe's network learns from phantoms.

    Args:
        recipe: The whole recipe.
        preparation: How the pairs were prepared that it learns from afterwards.

    Returns:
        The same network, loss and motions, with the epochs and the learning rate of
        `[pretraining]`, and all phantoms to train on.
    """
    knobs = recipe.pretraining
    grid = {name: preparation[name] for name in STUDY_KNOBS}
    optimizer = {"learning_rate": knobs.learning_rate}
    training = {"epochs": knobs.epochs, "score_every": knobs.epochs}
    return recipe.model_copy(
        update={
            "preparation": PreparationRecipe(**grid, test=0.0, validation=0.0),
            "optimizer": recipe.optimizer.model_copy(update=optimizer),
            "training": recipe.training.model_copy(update=training),
        }
    )


def phantom_pairs(first: Recipe, out: Path) -> Pairs:
    """Write phantoms as DICOM and prepare them as patients are; the same call again resumes.

    Args:
        first: How many, which, and the grid, as `pretraining_recipe` gives it.
        out: Gets `cohort` and `pairs`.

    Returns:
        The pairs, opened.
    """
    from petcast.phantom import write_cohort  # a second to load, for those who ask for phantoms
    from petcast.prepare import prepare

    cohort, knobs = out / "cohort", first.pretraining
    write_cohort(cohort, knobs.phantoms, knobs.seed, slice_step_mm=knobs.slice_step_mm)
    return prepare([cohort / "dicom"], out / "pairs", first.preparation, salt=SALT)


def remove_phantoms(folder: Path) -> None:
    """Give back the room of what can be made again.

    Args:
        folder: Of a pretraining that is finished.
    """
    shutil.rmtree(folder / PHANTOMS, ignore_errors=True)
    remove_directory(folder / "last")
