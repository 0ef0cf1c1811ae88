"""Faster kernels, the same numbers."""

import pytest
import torch
from torch import Tensor, nn

from petcast.engine.processor import SingleTanh, suit_processor
from petcast.models.build import build_generator
from petcast.recipe import ModelRecipe


def gradients(generator: nn.Module, images: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(0)
    generator(images)[-1].square().mean().backward()
    return {name: one.grad for name, one in generator.named_parameters() if one.grad is not None}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Stage01", "U-Net"])
def test_a_suited_generator_learns_the_same(name: str) -> None:
    images, ends = torch.randn(2, 3, 256, 256, dtype=torch.float64), []
    for suited in (False, True):
        torch.manual_seed(1)
        generator = build_generator(ModelRecipe(name=name)).double().train()
        names = list(generator.state_dict())
        if suited:
            suit_processor(generator)
        assert list(generator.state_dict()) == names
        ends.append(gradients(generator, images))
    assert ends[0].keys() == ends[1].keys()
    for parameter, expected in ends[0].items():
        torch.testing.assert_close(ends[1][parameter], expected, rtol=1e-8, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("suited", [False, True])
def test_batch_normalisation_gets_gradients_of_its_own(*, suited: bool) -> None:
    """Of a concatenation it would get a part of a larger one, and its slow path."""
    generator, seen = build_generator(ModelRecipe(name="Stage01")).train(), []
    norms = [module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)]
    if suited:
        suit_processor(generator)

    def look(_: nn.Module, __: object, output: Tensor) -> None:
        output.register_hook(lambda gradient: seen.append(gradient.is_contiguous()))

    for norm in norms:
        norm.register_forward_hook(look)
    generator(torch.randn(2, 3, 256, 256))[-1].mean().backward()
    assert len(seen) == len(norms) == 13
    assert all(seen) == suited


def test_tanh_by_way_of_float32_is_tanh() -> None:
    values = torch.linspace(-4, 4, 4001).bfloat16().requires_grad_()
    plain, single = torch.tanh(values), SingleTanh()(values)
    assert single.dtype == torch.bfloat16
    torch.testing.assert_close(single, plain, rtol=2**-7, atol=0)  # at most a last bit
    [first] = torch.autograd.grad(plain.sum(), values)
    [second] = torch.autograd.grad(single.sum(), values)
    torch.testing.assert_close(second, first, rtol=0, atol=2**-7)


def test_tanh_of_other_types_is_torchs_own() -> None:
    values = torch.randn(100)
    assert torch.equal(SingleTanh()(values), values.tanh())
