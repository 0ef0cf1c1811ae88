"""The generators by name, as a recipe asks for them."""

from torch import nn

from petcast.models.cascade import Cascade, Stage
from petcast.models.dsggan import DSGGAN
from petcast.models.unet import UNet
from petcast.recipe import ModelRecipe


def build_generator(recipe: ModelRecipe) -> nn.Module:
    """Build one of the paper's thirteen generators (Table 2), untrained.

    Args:
        recipe: Its name and its dropout.

    Returns:
        A module that maps "b 3 y x" to the list of all its stages' outputs, the last one last.

    Example:
        >>> with torch.device("meta"):
        ...     generator = build_generator(ModelRecipe(name="Stage02"))
        >>> sum(p.numel() for p in generator.parameters())
        44258214
    """
    dropout = recipe.dropout
    match recipe.name:
        case "U-Net":
            return Cascade([UNet(dropout=dropout)])
        case "Cas-UNet":
            return Cascade(UNet(dropout=dropout) for _ in range(2))
        case "DSGGAN":
            return DSGGAN(dropout=dropout)
        case name:  # Stage01 … Stage10
            stages = int(name.removeprefix("Stage"))
            return Cascade(Stage(dropout=dropout) for _ in range(stages))
