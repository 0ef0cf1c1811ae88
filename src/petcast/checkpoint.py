"""Weights on disk: safetensors and a card that says what they are. Nothing is unpickled.

A checkpoint is a directory `RUN/last` or `RUN/best`::

    model.safetensors      the generator's weights
    training.safetensors   what else resuming needs: discriminator, optimisers (`last` only)
    card.json              recipe, units, windows, grid, data, versions, and the files' SHA-256
"""

import os
import re
import stat
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import petcast
from petcast.disk.durable import (
    read_json,
    require_known_format,
    sha256_of,
    whole,
    write_directory,
    write_json,
)
from petcast.disk.names import text_name
from petcast.errors import FormatError, UsageError
from petcast.models.synthesizer import Synthesizer
from petcast.recipe import Recipe

FORMAT = 1
MODEL_FILE = "model.safetensors"
TRAINING_FILE = "training.safetensors"
CARD_FILE = "card.json"

Which = Literal["best", "last"]
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Card:
    """What a checkpoint says of itself.

    Attributes:
        recipe: The recipe that made it.
        epoch: Epochs trained.
        grid: Voxels and spacing of the model grid: `size`, `spacing_mm`.
        data_hash: SHA-256 of the pairs it was trained on.
        score: The validation metric that chose it, or None.
        best: The best score so far, or None.
        parameters: Number of the generator's parameters.
        sha256: Of each weight file, by its name.
    """

    recipe: Recipe
    epoch: int
    grid: dict[str, float]
    data_hash: str
    parameters: int
    score: float | None = None
    best: float | None = None
    sha256: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The card as a JSON document.

        Returns:
            Every field, with the versions of the code that wrote it.
        """
        return {
            "format": FORMAT,
            "petcast": petcast.__version__,
            "torch": torch.__version__,
            "git": git_state(),
            "use": "Research only. A PET made from a CT measures no tracer.",
            "model": self.recipe.model.name,
            "parameters": self.parameters,
            "epoch": self.epoch,
            "score": self.score,
            "best": self.best,
            "units": {"input": "HU", "output": "SUV (body weight)"},
            "windows": {
                "hu": list(self.recipe.model.hu_window),
                "suv": list(self.recipe.model.suv_window),
            },
            "grid": self.grid,
            "data_hash": self.data_hash,
            "recipe": self.recipe.model_dump(mode="json"),
            "sha256": self.sha256,
        }

    @classmethod
    def from_json(cls, document: Any, source: Path) -> "Card":
        """Read a card back.

        Args:
            document: What `to_json` gave.
            source: Where it comes from, for the error message.

        Returns:
            The card.

        Raises:
            FormatError: A field is missing, or a newer petcast wrote it.
        """
        try:
            require_known_format(document["format"], FORMAT, source)
            for name, kind in (("epoch", int), ("grid", dict), ("sha256", dict)):
                if not isinstance(document[name], kind):
                    raise TypeError(f"{name} = {document[name]!r}")  # noqa: TRY301
            return cls(
                recipe=Recipe.from_mapping(document["recipe"], str(source)),
                epoch=document["epoch"],
                grid=document["grid"],
                data_hash=document["data_hash"],
                parameters=document["parameters"],
                score=document["score"],
                best=document["best"],
                sha256=document["sha256"],
            )
        except (KeyError, TypeError) as error:
            raise FormatError(f"{source} is no card of a checkpoint: {error!r}") from error


def save_checkpoint(target: Path, card: Card, model: Tensors, training: Tensors | None) -> None:
    """Write a checkpoint, so that either the new one or the old one is whole on disk.

    Args:
        target: Its directory.
        card: What it says of itself; the files' hashes are added.
        model: The generator's weights.
        training: What only resuming needs, or None.

    Raises:
        OSError: The disk is full, or cannot be written to; the old one stays.
    """

    def fill(directory: Path) -> None:
        files = {MODEL_FILE: model} | ({TRAINING_FILE: training} if training is not None else {})
        for name, tensors in files.items():
            _save_tensors(tensors, directory / name)
        hashes = {name: sha256_of(directory / name) for name in files}
        document = card.to_json() | {"sha256": hashes}
        write_json(directory / CARD_FILE, document)

    write_directory(target, fill)


def _save_tensors(tensors: Tensors, path: Path) -> None:
    """Write tensors; what the system refuses is an OSError, as of any other file.

    safetensors gives the owner alone leave to read: a run is shared as its folder is.
    """
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    try:
        with text_name(path) as named:
            save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, named)
    except SafetensorError as error:
        found = re.search(r"os error (\d+)", str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error
    path.chmod(mode)


def load_card(checkpoint: Path) -> Card:
    """Read a checkpoint's card, wherever an interrupted write has left it; nothing is moved.

    Args:
        checkpoint: `RUN/last` or `RUN/best`.

    Returns:
        The card.

    Raises:
        FormatError: There is none, or it is damaged.
    """
    try:
        document = read_json(whole(checkpoint) / CARD_FILE)
    except FormatError:  # for a moment it is missing, while a training puts another one there
        if not whole(checkpoint).is_dir():
            raise FormatError(
                f"{checkpoint} is missing: training has not kept it yet, or it was removed; give "
                "the petcast train command again"
            ) from None
        document = read_json(whole(checkpoint) / CARD_FILE)
    return Card.from_json(document, checkpoint / CARD_FILE)


def load_tensors(checkpoint: Path, name: str, card: Card) -> Tensors:
    """Read one of a checkpoint's weight files, and check that it is the card's.

    Args:
        checkpoint: Its directory.
        name: The file's name.
        card: The checkpoint's card.

    Returns:
        Tensors by name, on the CPU.

    Raises:
        FormatError: The file is missing, damaged or another one.
    """
    path = whole(checkpoint) / name
    # What is damaged would stop the same training, too: that it is given again does not help
    anew = f"copy the whole run again, or remove {checkpoint.parent} and train anew"
    try:
        tensors, damage = _tensors_in(path)
        found = sha256_of(path)  # after reading, so that it shows a file that came in between
    except FileNotFoundError:
        raise FormatError(f"{path} is missing; {anew}") from None
    if found != card.sha256.get(name):
        raise FormatError(f"{path} is not the file that {CARD_FILE} beside it describes; {anew}")
    if damage:
        raise FormatError(f"{path} is damaged: {damage}; {anew}")
    return tensors


def _tensors_in(path: Path) -> tuple[Tensors, str]:
    try:
        with text_name(path) as named:
            return load_file(named), ""
    except SafetensorError as error:
        return {}, str(error)


def _card_and_weights(checkpoint: Path) -> tuple[Card, Tensors]:
    """A card and the weights of the same epoch, though a training may replace both meanwhile."""
    while True:
        card = load_card(checkpoint)
        try:
            return card, load_tensors(checkpoint, MODEL_FILE, card)
        except FormatError:
            if load_card(checkpoint) == card:
                raise


def require_run(run: Path) -> None:
    """Refuse a folder that no training has made.

    Args:
        run: Such as somebody gave.

    Raises:
        UsageError: `run` is no run.
    """
    if not (run / "recipe.toml").is_file():
        raise UsageError(f"{run} is not a run: it has no recipe.toml. Give the --out of a training")


def load_synthesizer(run: Path, which: Which = "best") -> tuple[Synthesizer, Card]:
    """Load a trained model, ready to predict; the run may go on training meanwhile.

    Args:
        run: The run's folder.
        which: The chosen epoch, or the last one.

    Returns:
        The model in evaluation mode on the CPU, and its card.

    Raises:
        UsageError: `run` is no run.
        FormatError: The checkpoint is missing or damaged.
    """
    require_run(run)
    card, weights = _card_and_weights(run / which)
    synthesizer = Synthesizer(card.recipe.model)
    load_weights(synthesizer, weights, run / which)
    return synthesizer.eval(), card


def load_weights(module: nn.Module, weights: Tensors, source: Path) -> None:
    """Put weights into a module, all of them and no others.

    Args:
        module: Takes the weights.
        weights: By name.
        source: Where they come from, for the error message.

    Raises:
        FormatError: Names or shapes do not fit.
    """
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise FormatError(f"the weights in {source} do not fit the recipe's model") from error


def optimizer_tensors(optimizer: torch.optim.Optimizer, prefix: str) -> Tensors:
    """An optimiser's state as named tensors.

    Args:
        optimizer: Whose state is wanted.
        prefix: Put before each name.

    Returns:
        Tensors by "prefix.parameter.state".
    """
    state = optimizer.state_dict()["state"]
    return {
        f"{prefix}.{parameter}.{name}": value
        for parameter, values in state.items()
        for name, value in values.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors, prefix: str) -> None:
    """Put back what `optimizer_tensors` gave.

    Args:
        optimizer: Takes the state; its parameters are the same, in the same order.
        tensors: May hold other prefixes too.
        prefix: This optimiser's.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(f"{prefix}."):
            _, place, key = name.split(".")
            parameter = parameters[int(place)]
            # In the parameter's own layout: fused optimisers walk through memory, not indices.
            like = torch.empty_like(parameter, device=value.device, dtype=value.dtype)
            fits = value.shape == parameter.shape
            state.setdefault(int(place), {})[key] = like.copy_(value) if fits else value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def git_state() -> str | None:
    """The commit of petcast's own checkout, where it runs from one.

    Returns:
        The commit, with "+changes" where files differ from it; None outside a checkout.
    """
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        commit, changes = (
            subprocess.run(  # noqa: S603 - a fixed command
                ["git", "-C", str(here), *command],  # noqa: S607 - the user's own git
                capture_output=True, text=True, check=True, timeout=10,
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if changes else "")
