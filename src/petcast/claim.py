"""Whose a run's folder is: one recipe's and some pairs', from its first epoch on."""

from dataclasses import dataclass
from pathlib import Path

from petcast.checkpoint import Which, load_card
from petcast.disk.durable import read_json, settle, whole, write_json, write_text
from petcast.errors import UsageError
from petcast.pairs import INDEX_FILE, PairedStudy, Pairs
from petcast.pretraining import FOLDER
from petcast.recipe import Recipe, load_recipe
from petcast.words import count

RECIPE_FILE = "recipe.toml"
DATA_FILE = "data.json"
STUDY_FILE = "study.json"
"""Of a study: its folder has a recipe, too, which no run may take over."""

HARMLESS = {
    "training.epochs", "training.device", "engine.pairs", "engine.recompute", "engine.tensorboard",
}  # fmt: skip
"""Knobs that may be other ones when a run is taken up again."""


def claim(run: Path, recipe: Recipe, pairs: Pairs) -> None:
    """Make a run's folder this recipe's and these pairs', or refuse another's.

    While nothing has been learned, a corrected recipe may take the place of one that was refused.

    Args:
        run: The folder; nobody else works there.
        recipe: How the run learns.
        pairs: What it learns from.

    Raises:
        UsageError: Another recipe or other pairs have begun there, nothing says which, more epochs
            are done, or it is a study's folder or one of pairs.
        FormatError: What says whose it is, is damaged.
    """
    if (run / STUDY_FILE).exists():
        raise UsageError(f"{run} holds a study, whose recipe would be lost; give another --out")
    path = run / RECIPE_FILE
    settle(run / "last")
    trained = any((run / name).exists() for name in ("last", "best", "best.next"))
    if trained and not path.exists():
        raise UsageError(
            f"{run} holds trained weights, but no {RECIPE_FILE} that says by which recipe; put it "
            "back, or give another --out"
        )
    if not (path.exists() and (trained or (run / FOLDER).exists())):
        if (run / INDEX_FILE).exists():
            raise UsageError(
                f"{run} holds pairs, and a run needs its own folder; give another --out"
            )
        write_json(run / DATA_FILE, pairs.index)
        write_text(path, recipe.to_toml())
        return
    if read_json(run / DATA_FILE, "hash")["hash"] != pairs.index["hash"]:
        raise UsageError(f"{run} was trained on other pairs; give another --out")
    # Equal pairs were prepared alike; older runs kept what the recipe's file said of it
    if differing := load_recipe(path).differences(recipe, preparation=False) - HARMLESS:
        raise UsageError(
            f"{run} was begun with another recipe (it differs in {', '.join(sorted(differing))}); "
            "give another --out, or the same recipe to resume"
        )
    # `best` may be ahead: `last` is not kept after every epoch
    if (done := max(epochs_in(run), epochs_in(run, "best"))) > recipe.training.epochs:
        raise UsageError(  # the recipe that is kept would name fewer than the weights have seen
            f"{run} holds {count(done, 'epoch')}, more than training.epochs = "
            f"{recipe.training.epochs}; give as many to go on, or another --out"
        )
    write_text(path, recipe.to_toml())


def epochs_in(run: Path, name: Which = "last") -> int:
    """Say how many epochs have gone into a checkpoint.

    Args:
        run: The run's folder.
        name: Of the checkpoint.

    Returns:
        Epochs; 0 where there is none.
    """
    checkpoint = run / name
    return load_card(checkpoint).epoch if whole(checkpoint).is_dir() else 0


def require_same(folder: Path, first: Recipe) -> None:
    """Refuse a network that learned from phantoms otherwise than a recipe wants.

    Args:
        folder: Where it learned.
        first: How it should have.

    Raises:
        UsageError: It learned by another recipe.
    """
    harmless = HARMLESS - {"training.epochs"}
    if differing := load_recipe(folder / RECIPE_FILE).differences(first) - harmless:
        raise UsageError(
            f"{folder} holds a network that learned from phantoms by another recipe "
            f"(it differs in {', '.join(sorted(differing))}); give another --pretraining"
        )


@dataclass(frozen=True)
class Learned:
    """Whom a run was trained on.

    Attributes:
        patients: Their pseudonyms; none where the folder does not say.
        contents: Hashes of their studies, which are the same under another key.
        key_mark: Of the key that made the pseudonyms; empty where the folder does not say.
    """

    patients: frozenset[str] = frozenset()
    contents: frozenset[str] = frozenset()
    key_mark: str = ""

    def knows(self, study: PairedStudy) -> bool:
        """Whether a study's patient is one of them, as far as name and content tell.

        Args:
            study: Of any pairs.

        Returns:
            True also for their own study under another name.
        """
        return study.patient in self.patients or study.hash in self.contents


def trained_on(run: Path) -> Learned:
    """Say whom a run was trained on.

    Args:
        run: Its folder.

    Returns:
        The patients and their studies.
    """
    path = run / DATA_FILE
    if not path.is_file():
        return Learned()
    index = read_json(path, "parts")
    patients = frozenset(index["parts"]["train"])
    rows = [row for row in index.get("studies", ()) if row["patient"] in patients]
    mark = index.get("key_mark", "")
    return Learned(patients, frozenset(row["hash"] for row in rows), mark)
