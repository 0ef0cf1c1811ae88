"""The paper's thirteen generators by name (Table 2)."""

from petcast.models.cascade import ENCODERS, Cascade, Stage
from petcast.models.dsggan import DSGGAN
from petcast.models.initialise import initialise
from petcast.models.refinement import Refinement
from petcast.models.unet import UNet
from petcast.recipe import ModelRecipe

UNETS = {"U-Net": 1, "Cas-UNet": 2}
"""How many U-Nets stand in a row."""


def build_generator(recipe: ModelRecipe) -> Cascade:
    """Build a generator with fresh weights.

    Args:
        recipe: Names it, sets its dropout, how its weights begin, and what is not as published.

    Returns:
        A cascade: `forward` takes (b, channels, y, x) and returns every stage's output, last one
        last.
    """
    generator = _fresh(recipe)
    initialise(generator, recipe.initialisation)
    return generator


def _fresh(recipe: ModelRecipe) -> Cascade:
    if recipe.name == "DSGGAN":
        return DSGGAN(recipe.dropout)
    if recipe.name in UNETS:
        return Cascade([UNet(dropout=recipe.dropout) for _ in range(UNETS[recipe.name])])
    if recipe.ct_in_stages or recipe.residual:
        return Refinement(_stages(recipe), sees_ct=recipe.ct_in_stages, residual=recipe.residual)
    return Cascade([*_stages(recipe)])


def _stages(recipe: ModelRecipe) -> list[Stage]:
    """Table 1's stage, as often as the name says; the first takes the CT."""
    pet = ENCODERS[0].input
    later = recipe.channels + pet if recipe.ct_in_stages else pet
    inputs = [recipe.channels] + [later] * (int(recipe.name.removeprefix("Stage")) - 1)
    return [Stage(recipe.dropout, channels, recipe.upsampling) for channels in inputs]
