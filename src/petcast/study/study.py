"""`petcast study`: one recipe, thirteen generators, two protocols, one folder of results."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from petcast.claim import DATA_FILE, HARMLESS, RECIPE_FILE, STUDY_FILE
from petcast.disk.durable import LOCK_FILE, exclusive, read_json, write_json, write_text
from petcast.engine.parallel import World
from petcast.engine.possible import require_possible, require_trainable
from petcast.errors import DataError, UsageError
from petcast.pairs import INDEX_FILE, Pairs
from petcast.recipe import GENERATOR_NAMES, GeneratorName, Recipe, load_recipe
from petcast.study.course import Course, Keep, follow, is_unfinished, read_course
from petcast.study.protocol import (
    PROTOCOLS,
    Protocol,
    divide,
    empty_parts,
    pairs_folder,
    run_folder,
)
from petcast.study.results import write_results
from petcast.study.tables import table_of
from petcast.words import count

FORMAT = 1

PAPER_ORDER: tuple[GeneratorName, ...] = (*GENERATOR_NAMES[10:], *GENERATOR_NAMES[:10])
"""Generators as the paper's Tables 2 and 4 list them."""

PRINTED = ("table-4", "protocol-worth")
"""Tables that the command line prints."""

FREE = HARMLESS | {"model.name"}
"""Knobs in which the recipe of a study that goes on may differ from the one that began it."""


@dataclass(frozen=True)
class Study:
    """A study on disk.

    Attributes:
        path: Its folder.
        results: What results.json holds.
    """

    path: Path
    results: dict[str, Any]

    def printed(self) -> Iterator[tuple[str, list[list[str]]]]:
        """Lay out what the command line prints: of Table 4 all but the paper's own numbers.

        Yields:
            A title and rows, the first one the head.
        """
        for table in self.results["tables"]:
            if table["key"] in PRINTED:
                whole = table_of(table)
                wide = len(whole.groups) > 1
                yield whole.title, (whole.without_first_group() if wide else whole).printed()


def run_study(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    generators: Sequence[GeneratorName] = PAPER_ORDER,
    keep: Keep = "best",
    settings: Sequence[str] = (),
    tell: Callable[[str], None] = print,
) -> Study:
    """Train generators under both protocols and write the paper's tables and figures.

    The same call again goes on where it was: by generator, by protocol, by epoch. The tables hold
    every generator of which the folder holds a run.

    Args:
        recipe: What all of them share; its `model.name` is replaced by each generator's.
        data: Pairs, divided in any way.
        out: The study's folder.
        generators: Which to train.
        keep: What stays of a finished run: the weights of its chosen epoch, everything that a
            longer training needs, or no weights.
        settings: Overrides that made the recipe; one of `[preparation]` must agree with the pairs.
        tell: Receives a line a step.

    Returns:
        The study.

    Raises:
        UsageError: `out` belongs to another recipe, to other pairs, to a longer study or to a run,
            or holds pairs; a generator cannot learn by the recipe; `settings` ask for other pairs;
            or torchrun started several processes.
        DataError: The pairs cannot be trained on.
    """
    _refuse_company()
    out.mkdir(parents=True, exist_ok=True)
    with exclusive(out / LOCK_FILE):
        pairs = Pairs.open(data)
        recipe = recipe.prepared_as(pairs.index["preparation"], settings)
        recipes = [_own(recipe, name) for name in _in_order(generators)]
        for _, own in _unfinished(out, recipes):
            with _told_early(own.model.name):
                require_possible(own, World(parts=own.engine.parts or 1))
        _claim(out, recipe, pairs)
        for protocol in PROTOCOLS:
            division = divide(pairs, protocol, pairs_folder(out, protocol))
            if "train" in empty_parts(division):  # said before hours go into the other protocol
                raise DataError(
                    f"under the {protocol} protocol nobody is left to train; see the split in "
                    f"{data / 'pairs.json'}"
                )
        for protocol, own in _unfinished(out, recipes):
            with _told_early(own.model.name):
                require_trainable(own, Pairs.open(pairs_folder(out, protocol)))
        _train_all(recipes, out, keep, tell)
        return write_tables(out)


def _refuse_company() -> None:
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        raise UsageError(
            f"a study runs in one process, and torchrun started {processes}: start `petcast study` "
            "by itself; `petcast train` is what torchrun divides among processes"
        )


def write_tables(out: Path) -> Study:
    """Write tables and figures of what a study's folder holds; a study may be running in it.

    Args:
        out: The study's folder.

    Returns:
        The study.

    Raises:
        UsageError: The folder is no study.
    """
    if not (out / STUDY_FILE).exists():
        raise UsageError(f"{out} is no study; `petcast study RECIPE --data PAIRS --out {out}`")
    recipe = load_recipe(out / RECIPE_FILE)
    return Study(out, write_results(out, recipe, _begun(out), PAPER_ORDER))


def choose(names: str | None) -> tuple[GeneratorName, ...]:
    """Read a list of generators as the command line gives it.

    Args:
        names: Separated by commas; None for all thirteen.

    Returns:
        The generators, in the paper's order.

    Raises:
        UsageError: One is unknown.

    Example:
        >>> choose("Stage01, U-Net")
        ('U-Net', 'Stage01')
    """
    if names is None:
        return PAPER_ORDER
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = sorted(set(wanted) - set(get_args(GeneratorName)))
    if unknown or not wanted:
        said = ", ".join(unknown) or "nothing"
        raise UsageError(f"--models {said}: choose from {', '.join(PAPER_ORDER)}")
    return _in_order(wanted)


def _in_order(names: Sequence[str]) -> tuple[GeneratorName, ...]:
    return tuple(name for name in PAPER_ORDER if name in names)


def _begun(out: Path) -> tuple[GeneratorName, ...]:
    """The generators of which there is a run."""
    return tuple(
        name for name in PAPER_ORDER if any(run_folder(out, p, name).is_dir() for p in PROTOCOLS)
    )


def _own(recipe: Recipe, name: GeneratorName) -> Recipe:
    knobs = recipe.model_dump()
    return Recipe.from_mapping(knobs | {"model": knobs["model"] | {"name": name}}, _refused(name))


def _refused(name: GeneratorName) -> str:
    return f"{name} cannot learn by this recipe; change it, or leave {name} out of --models"


def _unfinished(out: Path, recipes: Sequence[Recipe]) -> Iterator[tuple[Protocol, Recipe]]:
    for own in recipes:
        for protocol in PROTOCOLS:
            if is_unfinished(read_course(run_folder(out, protocol, own.model.name)), own):
                yield protocol, own


@contextmanager
def _told_early(name: GeneratorName) -> Iterator[None]:
    """Say what a generator cannot do before hours go into others, and which it is."""
    try:
        yield
    except (UsageError, DataError) as error:
        raise type(error)(f"{_refused(name)}: {error}") from None


def _train_all(
    recipes: Sequence[Recipe], out: Path, keep: Keep, tell: Callable[[str], None]
) -> None:
    for place, own in enumerate(recipes, start=1):
        for protocol in PROTOCOLS:
            epochs = count(own.training.epochs, "epoch")
            tell(f"{place}/{len(recipes)} {own.model.name}, {protocol}: {epochs}")
            tell(_ending(follow(out, protocol, own, keep)))


def _ending(course: Course) -> str:
    if course.status == "diverged":
        return f"  diverged at epoch {course.epochs}: {course.detail}"
    return f"  {course.status}"


def _claim(out: Path, recipe: Recipe, pairs: Pairs) -> None:
    """Make the folder this recipe's and these pairs', or refuse another's."""
    path = out / STUDY_FILE
    if path.exists():
        _require_same(out, recipe, read_json(path, "data"), pairs)
    elif (out / DATA_FILE).exists():
        raise UsageError(f"{out} holds a run, whose recipe would be lost; give another --out")
    elif (out / INDEX_FILE).exists():
        raise UsageError(f"{out} holds pairs, and a study needs its own folder; give another --out")
    write_text(out / RECIPE_FILE, recipe.to_toml())
    write_json(path, {"format": FORMAT, "data": pairs.index["hash"]})


def _require_same(out: Path, recipe: Recipe, study: dict[str, Any], pairs: Pairs) -> None:
    if study["data"] != pairs.index["hash"]:
        raise UsageError(f"{out} was made on other pairs; give another --out")
    begun = load_recipe(out / RECIPE_FILE)
    differing = begun.differences(recipe, preparation=False) - FREE
    if differing:
        raise UsageError(
            f"{out} was begun with another recipe (it differs in {', '.join(sorted(differing))}); "
            "give another --out, or the same recipe to go on"
        )
    if recipe.training.epochs < begun.training.epochs:
        raise UsageError(
            f"{out} holds {count(begun.training.epochs, 'epoch')}, more than "
            f"{recipe.training.epochs}; give as many to go on, or another --out"
        )
