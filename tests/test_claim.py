"""A run's folder is one recipe's and some pairs', once something has been learned."""

from pathlib import Path

import pytest

from petcast.checkpoint import Card, save_checkpoint
from petcast.claim import DATA_FILE, RECIPE_FILE, STUDY_FILE, claim
from petcast.disk.durable import read_json
from petcast.errors import UsageError
from petcast.pairs import INDEX_FILE, Pairs
from petcast.recipe import load_recipe


@pytest.mark.slow
def test_a_corrected_recipe_takes_the_place_of_one_that_was_refused(
    tiny_pairs: Path, two_patient_pairs: Path, tmp_path: Path
) -> None:
    """Too many parts, or pairs without a slice to train on, are found after the claim."""
    claim(tmp_path, load_recipe("tiny", ["engine.parts=16"]), Pairs.open(two_patient_pairs))
    corrected, pairs = load_recipe("tiny"), Pairs.open(tiny_pairs)
    claim(tmp_path, corrected, pairs)
    assert load_recipe(tmp_path / RECIPE_FILE) == corrected
    assert read_json(tmp_path / DATA_FILE)["hash"] == pairs.index["hash"]


@pytest.mark.parametrize("name", ["last.next", "best", "best.next", "pretraining"])
def test_what_has_been_learned_is_not_taken_over(
    tiny_pairs: Path, tmp_path: Path, name: str
) -> None:
    pairs = Pairs.open(tiny_pairs)
    claim(tmp_path, load_recipe("tiny"), pairs)
    (tmp_path / name).mkdir()
    changed = load_recipe("tiny", ["training.seed=5", "training.epochs=7"])
    with pytest.raises(UsageError, match=r"another recipe \(it differs in training\.seed\)"):
        claim(tmp_path, changed, pairs)


def test_weights_whose_recipe_was_lost_are_not_taken_over(tiny_pairs: Path, tmp_path: Path) -> None:
    """They would go on by another recipe, and be said to have begun by it."""
    pairs = Pairs.open(tiny_pairs)
    claim(tmp_path, load_recipe("tiny"), pairs)
    (tmp_path / "last").mkdir()
    (tmp_path / RECIPE_FILE).unlink()
    with pytest.raises(UsageError, match=r"no recipe\.toml that says by which recipe; put it back"):
        claim(tmp_path, load_recipe("tiny", ["training.seed=5"]), pairs)


def test_a_run_whose_best_epoch_is_ahead_is_not_taken_up_for_fewer(
    tiny_pairs: Path, tmp_path: Path
) -> None:
    """`last` is not kept after every epoch, `best` is; no shorter run would have made it."""
    pairs, recipe = Pairs.open(tiny_pairs), load_recipe("tiny")
    claim(tmp_path, recipe, pairs)
    for name, epoch in (("last", 3), ("best", 5)):
        card = Card(recipe, epoch, {}, pairs.index["hash"], parameters=0)
        save_checkpoint(tmp_path / name, card, {}, None)
    claim(tmp_path, load_recipe("tiny", ["training.epochs=5"]), pairs)
    with pytest.raises(UsageError, match=r"holds 5 epochs, more than training\.epochs = 4"):
        claim(tmp_path, load_recipe("tiny", ["training.epochs=4"]), pairs)


def test_a_studys_folder_is_not_taken_over(tiny_pairs: Path, tmp_path: Path) -> None:
    for name in (STUDY_FILE, RECIPE_FILE):
        (tmp_path / name).write_text("")
    with pytest.raises(UsageError, match="holds a study, whose recipe would be lost"):
        claim(tmp_path, load_recipe("tiny"), Pairs.open(tiny_pairs))
    assert not (tmp_path / RECIPE_FILE).read_text()


def test_a_folder_of_pairs_is_not_taken_over(tiny_pairs: Path, tmp_path: Path) -> None:
    (tmp_path / INDEX_FILE).write_text("")
    with pytest.raises(UsageError, match="holds pairs, and a run needs its own folder"):
        claim(tmp_path, load_recipe("tiny"), Pairs.open(tiny_pairs))
    assert [path.name for path in tmp_path.iterdir()] == [INDEX_FILE]
