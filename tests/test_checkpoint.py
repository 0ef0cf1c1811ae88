"""Checkpoints: what is saved comes back, and what is damaged is said to be."""

import errno
import json
import sys
from pathlib import Path

import pytest
import torch

from petcast import checkpoint as room
from petcast.checkpoint import (
    CARD_FILE,
    MODEL_FILE,
    TRAINING_FILE,
    Card,
    load_card,
    load_synthesizer,
    load_tensors,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)
from petcast.errors import FormatError, UsageError
from petcast.models import Synthesizer
from petcast.recipe import ModelRecipe, Recipe


@pytest.fixture
def card() -> Card:
    recipe = Recipe(model=ModelRecipe(name="Stage03"))
    return Card(recipe, 7, {"size": 256, "spacing_mm": 2.0}, "abc", 12, score=30.5, best=31.0)


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    return {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)}


def test_a_saved_checkpoint_comes_back_equal(tmp_path: Path, card: Card, weights) -> None:
    save_checkpoint(tmp_path / "last", card, weights, {"adam.0.step": torch.tensor(5.0)})
    loaded = load_card(tmp_path / "last")
    assert (loaded.recipe, loaded.epoch, loaded.best) == (card.recipe, 7, 31.0)
    model = load_tensors(tmp_path / "last", MODEL_FILE, loaded)
    assert model.keys() == weights.keys()
    assert all(torch.equal(model[name], weights[name]) for name in weights)
    training = load_tensors(tmp_path / "last", TRAINING_FILE, loaded)
    assert training["adam.0.step"] == 5


def test_a_folder_may_have_a_name_that_is_no_text(latin_folder: Path, card: Card, weights) -> None:
    """safetensors takes text alone: whole weights were called damaged."""
    for _ in range(2):
        save_checkpoint(latin_folder / "last", card, weights, None)
    model = load_tensors(latin_folder / "last", MODEL_FILE, load_card(latin_folder / "last"))
    assert all(torch.equal(model[name], weights[name]) for name in weights)
    assert sorted(path.name for path in (latin_folder / "last").iterdir()) == [
        CARD_FILE,
        MODEL_FILE,
    ]


def test_weights_may_be_read_by_whoever_may_read_the_card(
    tmp_path: Path, card: Card, weights
) -> None:
    save_checkpoint(tmp_path / "last", card, weights, {"adam.0.step": torch.tensor(5.0)})
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "last").iterdir()}
    assert set(modes) == {CARD_FILE, MODEL_FILE, TRAINING_FILE}
    assert len(set(modes.values())) == 1, modes


def test_a_flipped_bit_in_the_weights_is_found(tmp_path: Path, card: Card, weights) -> None:
    save_checkpoint(tmp_path / "best", card, weights, None)
    path = tmp_path / "best" / MODEL_FILE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(FormatError, match=CARD_FILE):
        load_tensors(tmp_path / "best", MODEL_FILE, load_card(tmp_path / "best"))


def test_truncated_and_missing_weights_are_refused(tmp_path: Path, card: Card, weights) -> None:
    save_checkpoint(tmp_path / "best", card, weights, None)
    path = tmp_path / "best" / MODEL_FILE
    loaded = load_card(tmp_path / "best")
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(FormatError, match=f"is not the file .*or remove {tmp_path} and train anew"):
        load_tensors(tmp_path / "best", MODEL_FILE, loaded)
    path.unlink()
    with pytest.raises(FormatError, match="is missing"):
        load_tensors(tmp_path / "best", MODEL_FILE, loaded)


@pytest.mark.parametrize(
    ("key", "value"), [("epoch", None), ("epoch", "3"), ("grid", []), ("sha256", "x")]
)
def test_a_card_with_a_field_of_another_kind_is_refused(
    tmp_path: Path, card: Card, weights, key: str, value: object
) -> None:
    save_checkpoint(tmp_path / "best", card, weights, None)
    path = tmp_path / "best" / CARD_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(FormatError, match=f"no card of a checkpoint.*{key} = "):
        load_card(tmp_path / "best")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}'])
def test_a_damaged_card_is_refused(tmp_path: Path, card: Card, weights, content: str) -> None:
    save_checkpoint(tmp_path / "best", card, weights, None)
    (tmp_path / "best" / CARD_FILE).write_text(content)
    with pytest.raises(FormatError):
        load_card(tmp_path / "best")


def test_a_card_of_a_newer_format_asks_for_an_update(tmp_path: Path, card: Card, weights) -> None:
    save_checkpoint(tmp_path / "best", card, weights, None)
    path = tmp_path / "best" / CARD_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(FormatError, match="update petcast"):
        load_card(tmp_path / "best")


@pytest.mark.skipif(sys.platform == "win32", reason="files have no limit there")
def test_a_full_disk_is_an_oserror_and_leaves_the_old_one(
    tmp_path: Path, card: Card, weights
) -> None:
    import resource

    save_checkpoint(tmp_path / "last", card, weights, None)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=MODEL_FILE) as full:
            save_checkpoint(tmp_path / "last", card, {"a": torch.zeros(50_000)}, None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert full.value.errno == errno.EFBIG
    assert [path.name for path in tmp_path.iterdir()] == ["last"]
    assert load_tensors(tmp_path / "last", MODEL_FILE, load_card(tmp_path / "last")).keys() == {
        "a", "b",
    }  # fmt: skip


def a_run(run: Path, epoch: int) -> Recipe:
    recipe = Recipe()
    run.mkdir(exist_ok=True)
    (run / "recipe.toml").write_text(recipe.to_toml())
    card = Card(recipe, epoch, {"size": 256, "spacing_mm": 2.0}, "abc", 12)
    torch.manual_seed(epoch)
    save_checkpoint(run / "best", card, Synthesizer(recipe.model).state_dict(), None)
    return recipe


@pytest.mark.slow
def test_a_reader_leaves_alone_what_a_training_writes(tmp_path: Path) -> None:
    a_run(tmp_path / "run", 1)
    written = tmp_path / "run" / "best.partial" / MODEL_FILE
    written.parent.mkdir()
    written.write_text("half")
    assert load_synthesizer(tmp_path / "run")[1].epoch == 1
    assert written.read_text() == "half"


def test_a_run_without_an_epoch_to_use_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(Recipe().to_toml())
    with pytest.raises(FormatError, match=r"best is missing: training has not kept it yet"):
        load_synthesizer(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["best.next", "best.previous"])
def test_a_reader_finds_what_an_interrupted_write_left_and_moves_nothing(
    tmp_path: Path, name: str
) -> None:
    a_run(tmp_path, 1)
    (tmp_path / "best").rename(tmp_path / name)
    assert load_synthesizer(tmp_path)[1].epoch == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "recipe.toml"]


@pytest.mark.slow
def test_weights_are_of_the_cards_epoch_though_a_training_replaces_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_run(tmp_path, 1)
    read = room._tensors_in

    def meanwhile(path: Path):
        monkeypatch.undo()
        found = read(path)
        a_run(tmp_path, 2)
        return found

    monkeypatch.setattr(room, "_tensors_in", meanwhile)
    synthesizer, card = load_synthesizer(tmp_path)
    torch.manual_seed(2)
    wanted = Synthesizer(card.recipe.model).state_dict()
    assert card.epoch == 2
    assert all(torch.equal(v, wanted[name]) for name, v in synthesizer.state_dict().items())


def test_a_folder_that_is_no_run_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no recipe\.toml"):
        load_synthesizer(tmp_path)


def test_an_optimiser_goes_on_as_if_it_had_never_stopped() -> None:
    def steps(linear: torch.nn.Linear, adam: torch.optim.Adam, number: int) -> None:
        for i in range(number):
            torch.manual_seed(i)
            adam.zero_grad()
            linear(torch.randn(4, 3)).square().mean().backward()
            adam.step()

    def pair() -> tuple[torch.nn.Linear, torch.optim.Adam]:
        torch.manual_seed(0)
        linear = torch.nn.Linear(3, 2)
        return linear, torch.optim.Adam(linear.parameters(), lr=0.1, fused=True)

    straight, straight_adam = pair()
    steps(straight, straight_adam, 3)
    state = optimizer_tensors(straight_adam, "adam")
    saved = {name: value.clone() for name, value in state.items()}  # as a file would
    resumed, resumed_adam = pair()
    resumed.load_state_dict(straight.state_dict())
    restore_optimizer(resumed_adam, {**saved, "other.0.step": torch.tensor(9.0)}, "adam")
    steps(straight, straight_adam, 3)
    steps(resumed, resumed_adam, 3)
    assert torch.equal(straight.weight, resumed.weight)
