"""The paper's thirteen generators by name (Table 2)."""

from torch import nn

from petcast.models.cascade import ENCODERS, Cascade, Stage
from petcast.models.dsggan import DSGGAN
from petcast.models.initialise import initialise
from petcast.models.members import Members
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
    if recipe.ct_in_stages or recipe.residual:
        return Refinement(_stages(recipe), sees_ct=recipe.ct_in_stages, residual=recipe.residual)
    return Cascade(_stages(recipe))


def _stages(recipe: ModelRecipe) -> list[nn.Module]:
    """Table 1's stage or a U-Net, as often as the name says; the first takes the CT."""
    pet, ct = ENCODERS[0].input, recipe.channels if recipe.ct_in_stages else 0
    rows = UNETS.get(recipe.name) or int(recipe.name.removeprefix("Stage"))
    return [_stage(recipe, recipe.channels, 0)] + [_stage(recipe, ct, pet) for _ in range(rows - 1)]


def _stage(recipe: ModelRecipe, ct: int, pet: int) -> nn.Module:
    """One network, or as many as there are members, from so many channels of CT and PET."""
    networks = [_network(recipe, ct + pet) for _ in range(recipe.members)]
    return networks[0] if recipe.members == 1 else Members(networks, shared=ct)


def _network(recipe: ModelRecipe, inputs: int) -> nn.Module:
    if recipe.name in UNETS:
        return UNet(dropout=recipe.dropout)
    return Stage(recipe.dropout, inputs, recipe.upsampling)
