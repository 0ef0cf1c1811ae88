"""The paper's thirteen generators by name (Table 2)."""

from torch import nn

from petcast.models.cascade import Cascade, Stage
from petcast.models.dsggan import DSGGAN
from petcast.models.initialise import initialise
from petcast.models.unet import UNet
from petcast.recipe import ModelRecipe


def build_generator(recipe: ModelRecipe) -> Cascade:
    """Build a generator with fresh weights.

    Args:
        recipe: Names it, sets its dropout and how its weights begin.

    Returns:
        A cascade: `forward` takes (b, 3, y, x) and returns every stage's output, last one last.
    """
    generator = _fresh(recipe.name, recipe.dropout)
    initialise(generator, recipe.initialisation)
    return generator


def _fresh(name: str, dropout: float) -> Cascade:
    if name == "DSGGAN":
        return DSGGAN(dropout)
    stage, count = _parts(name)
    return Cascade([stage(dropout=dropout) for _ in range(count)])


def _parts(name: str) -> tuple[type[nn.Module], int]:
    """What a cascade is made of, and how often."""
    baselines: dict[str, tuple[type[nn.Module], int]] = {"U-Net": (UNet, 1), "Cas-UNet": (UNet, 2)}
    return baselines.get(name) or (Stage, int(name.removeprefix("Stage")))
