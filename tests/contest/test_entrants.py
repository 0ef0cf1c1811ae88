"""Who takes part, and what is refused."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from petcast.contest.course import twins
from petcast.contest.entrants import Contest, Entrant, read_contest
from petcast.errors import RecipeError, UsageError

CONTESTS = Path(__file__).resolve().parents[2] / "benchmarks" / "contests"


def test_an_entrants_own_settings_come_after_the_common_ones() -> None:
    entrant = Entrant(name="U-Net", recipe="published", settings=("training.batch_size=4",))
    recipe = entrant.made(["training.batch_size=8", "loss.adversarial=0.0"], epochs=3, seed=2)
    assert recipe.training.batch_size == 4
    assert recipe.loss.adversarial == 0
    assert (recipe.training.epochs, recipe.training.seed) == (3, 2)
    assert entrant.is_published
    assert not Entrant(name="x", recipe="published", published=False).is_published


def test_a_share_of_the_epochs_where_all_are_given_the_same_time() -> None:
    slow = Entrant(name="slow", recipe="published", epochs=0.36)
    assert [slow.made([], epochs, 0).training.epochs for epochs in (1, 2, 60)] == [1, 1, 22]
    quick = Entrant(name="quick", recipe="published", epochs=3.0)
    assert twins([slow, quick], ()) == {}
    with pytest.raises(ValidationError, match="greater than 0"):
        Entrant(name="never", recipe="published", epochs=0)


def test_another_suv_window_is_refused_since_psnr_would_not_compare() -> None:
    entrant = Entrant(name="wide", recipe="published", settings=("model.suv_window=[0, 20]",))
    with pytest.raises(UsageError, match=r"wide: model.suv_window = \[0.0, 20.0\]"):
        entrant.made([], 1, 0)


def test_names_that_would_share_a_folder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "contest.toml"
    path.write_text(
        '[[entrant]]\nname = "a b"\nrecipe = "tiny"\n[[entrant]]\nname = "a-b"\nrecipe = "tiny"\n'
    )
    with pytest.raises(RecipeError, match="two entrants share a name"):
        read_contest(path)
    path.write_text('base = "nobody"\n[[entrant]]\nname = "a"\nrecipe = "tiny"\n')
    with pytest.raises(RecipeError, match="name no entrant: nobody"):
        read_contest(path)


def test_what_is_no_contest_is_refused_and_a_mark_of_windows_is_not(tmp_path: Path) -> None:
    text, path = '[[entrant]]\nname = "Wörter"\nrecipe = "tiny"\n', tmp_path / "contest.toml"
    with pytest.raises(UsageError, match=r"contest.toml is missing; give a TOML file"):
        read_contest(path)
    with pytest.raises(UsageError, match=r"is a folder; give a TOML file"):
        read_contest(tmp_path)
    path.write_text(text, encoding="latin-1")
    with pytest.raises(RecipeError, match=r"contest.toml is no text in UTF-8"):
        read_contest(path)
    path.write_text(text, encoding="utf-8-sig")
    assert read_contest(path).names == ("Wörter",)


def test_entrants_are_chosen_by_name_in_the_contests_order(contest: Contest) -> None:
    assert [e.name for e in contest.chosen("U-Net;ours")] == ["ours", "U-Net"]
    assert [e.name for e in contest.chosen("ours, less")] == ["ours, less"]
    with pytest.raises(UsageError, match="--only Stage99: choose from ours"):
        contest.chosen("Stage99")


@pytest.mark.parametrize("path", sorted(CONTESTS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_contests_that_come_with_petcast_can_be_made(path: Path) -> None:
    contest = read_contest(path)
    assert all(entrant.made([], 1, 0) for entrant in contest.entrants)
    assert set(twins(contest.entrants, ())).isdisjoint({contest.base, *contest.references})
