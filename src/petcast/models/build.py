"""The paper's thirteen generators by name (Table 2)."""

from torch import nn

from petcast.models.cascade import Cascade, Stage
from petcast.models.dsggan import DSGGAN
from petcast.models.unet import UNet
from petcast.recipe import ModelRecipe


def build_generator(recipe: ModelRecipe) -> Cascade:
    """Build a generator with fresh weights, PyTorch's own initialisation.

    Args:
        recipe: Names it and sets its dropout.

    Returns:
        A cascade: `forward` takes (b, 3, y, x) and returns every stage's output, last one last.
    """
    if recipe.name == "DSGGAN":
        return DSGGAN(recipe.dropout)
    stage, count = _parts(recipe.name)
    return Cascade([stage(dropout=recipe.dropout) for _ in range(count)])


def _parts(name: str) -> tuple[type[nn.Module], int]:
    """What a cascade is made of, and how often."""
    baselines: dict[str, tuple[type[nn.Module], int]] = {"U-Net": (UNet, 1), "Cas-UNet": (UNet, 2)}
    return baselines.get(name) or (Stage, int(name.removeprefix("Stage")))
