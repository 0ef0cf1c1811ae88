"""Doubling the size: known answers, and which way begins without a lattice."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from petcast.models import build_generator
from petcast.models.upsample import LARGE, BilinearConvolution, PixelShuffle, Upsampling, upsample
from petcast.recipe import ModelRecipe

FORMS: tuple[Upsampling, ...] = ("transposed", "bilinear", "pixel-shuffle")


def phases_differ(image: torch.Tensor) -> float:
    """How far the four phases' means lie apart, away from the border, over the image's spread."""
    inner = image[..., 32:-32, 32:-32].double()
    means = functional.pixel_unshuffle(inner, 2).mean(dim=(-2, -1))
    return float(means.unflatten(1, (-1, 4)).std(dim=2).max() / inner.std())


@pytest.mark.parametrize("form", FORMS)
def test_every_way_doubles_the_size_and_sends_gradients_back(form: Upsampling) -> None:
    layer, x = upsample(3, 5, form), torch.randn(2, 3, 18, 20, requires_grad=True)
    layer(x).square().sum().backward()
    assert layer(x).shape == (2, 5, 36, 40)
    assert x.grad is not None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())


@pytest.mark.parametrize("size", [(LARGE, LARGE), (18, 33), (64, 17)])
@pytest.mark.parametrize("bias", [True, False])
def test_interpolating_and_convolving_at_once_is_the_same(
    size: tuple[int, int], bias: bool
) -> None:
    layer = BilinearConvolution(3, 4, bias=bias).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(layer(x), layer.in_two_steps(x), rtol=1e-12, atol=1e-12)


def test_the_two_steps_are_those_of_torch_away_from_the_border() -> None:
    layer, x = BilinearConvolution(2, 3), torch.randn(1, 2, 9, 9)
    larger = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    plain = functional.conv2d(larger, layer.convolution.weight, layer.convolution.bias, padding=1)
    inner = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(layer.in_two_steps(x)[inner], plain[inner])


def test_pixel_shuffle_begins_as_nearest_neighbours() -> None:
    layer, x = PixelShuffle(3, 4), torch.randn(1, 3, 8, 8)
    once = functional.conv2d(
        x, layer.convolution.weight[::4], layer.convolution.bias[::4], padding=1
    )
    nearest = functional.interpolate(once, scale_factor=2, mode="nearest")
    torch.testing.assert_close(layer(x), nearest)


@pytest.mark.slow
@pytest.mark.parametrize("initialisation", ["torch", "normal"])
def test_only_transposed_convolutions_begin_with_a_lattice(initialisation: str) -> None:
    torch.manual_seed(0)
    smooth = functional.interpolate(torch.rand(1, 3, 8, 8), 256, mode="bicubic")
    lattice = {}
    for form in FORMS:
        recipe = ModelRecipe(upsampling=form, initialisation=initialisation)
        with torch.inference_mode():
            lattice[form] = phases_differ(build_generator(recipe).train()(smooth)[0])
    assert lattice["transposed"] > 0.1
    assert max(lattice["bilinear"], lattice["pixel-shuffle"]) < 0.05 * lattice["transposed"]


def decoder(form: Upsampling) -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.ReLU(), upsample(12, 12, form), nn.ReLU(), upsample(12, 8, form), nn.ReLU())
    return nn.Sequential(nn.Conv2d(4, 12, 3, padding=1), *layers, upsample(8, 1, form))


@pytest.mark.slow
def test_only_transposed_convolutions_keep_a_lattice_while_they_learn() -> None:
    """Sixty steps of a small decoder towards smooth images, then an image that it never saw."""
    features = torch.rand(5, 4, 16, 16, generator=torch.Generator().manual_seed(5))
    smooth = functional.interpolate(features.mean(dim=1, keepdim=True), 128, mode="bicubic")
    lattice = {}
    for form in FORMS:
        network = decoder(form)
        adam = torch.optim.Adam(network.parameters(), 1e-3)
        errors = []
        for _ in range(60):
            error = functional.mse_loss(network(features[:4]), smooth[:4])
            errors.append(error.item())
            adam.zero_grad()
            error.backward()
            adam.step()
        assert errors[-1] < 0.5 * errors[0]
        with torch.inference_mode():
            lattice[form] = phases_differ(network(features[4:]))
    assert lattice["transposed"] > 0.1
    assert max(lattice["bilinear"], lattice["pixel-shuffle"]) < 0.05 * lattice["transposed"]
