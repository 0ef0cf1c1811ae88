"""First weights as they are asked for."""

import pytest
import torch
from torch import nn

from petcast.engine import Learner
from petcast.models import build_generator
from petcast.models.initialise import initialise
from petcast.recipe import ModelRecipe, Recipe


@pytest.mark.slow
def test_normal_weights_have_the_stated_spread_and_nothing_is_added() -> None:
    torch.manual_seed(0)
    generator = build_generator(ModelRecipe(name="Stage01", initialisation="normal"))
    for module in generator.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.weight.numel() > 10_000:
            assert float(module.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
            assert float(module.weight.detach().mean().abs()) < 0.001
        if isinstance(module, nn.BatchNorm2d):
            assert float(module.weight.detach().mean()) == pytest.approx(1.0, abs=0.03)
        if getattr(module, "bias", None) is not None:
            assert not module.bias.any()


def test_torchs_own_weights_stay_as_they_are() -> None:
    network = nn.Conv2d(3, 5, 4)
    before = network.weight.clone()
    assert initialise(network, "torch") is network
    assert torch.equal(network.weight, before)


@pytest.mark.slow
def test_the_discriminator_begins_like_the_generator() -> None:
    learner = Learner(Recipe(model=ModelRecipe(initialisation="normal")), torch.device("cpu"))
    assert learner.discriminator is not None
    weight = learner.discriminator.layers[8].weight
    assert float(weight.detach().std()) == pytest.approx(0.02, rel=0.05)
