"""The discriminator's faster forms are the published ones: outputs, gradients, names."""

import pytest
import torch
from torch import nn

from petcast.engine.opponent import TapConvolution, WinogradConvolution, rewrite_discriminator
from petcast.models import Discriminator

CPU = torch.device("cpu")


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "channels", "bias"),
    [(WinogradConvolution, 3, False), (TapConvolution, 1, True), (TapConvolution, 1, False)],
)
@pytest.mark.parametrize("shape", [(7, 7), (4, 9), (3, 3), (31, 30)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_each_form_gives_the_convolution_and_its_gradients(
    form, channels: int, bias: bool, shape: tuple[int, int], dtype, tolerance: float
) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(5, channels, 4, padding=1, bias=bias).to(dtype)
    x = torch.randn(2, 5, *shape, dtype=dtype, requires_grad=True)
    expected, found = plain(x), form(plain)(x)
    assert found.shape == expected.shape
    assert relative(found, expected) < tolerance
    upstream = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, [x, plain.weight], upstream)
    got = torch.autograd.grad(found, [x, plain.weight], upstream)
    assert all(relative(*pair) < tolerance for pair in zip(got, wanted, strict=True))


@pytest.mark.slow
def test_winograd_loses_no_more_than_a_digit_at_the_discriminators_own_size() -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(256, 512, 4, padding=1, bias=False)
    x = torch.randn(1, 256, 32, 32)
    exact = nn.functional.conv2d(x.double(), plain.weight.double(), padding=1)
    assert relative(WinogradConvolution(plain)(x), exact) < 3e-6


def test_under_bfloat16_winograd_is_the_plain_convolution_and_the_last_layer_is_not_rounded():
    torch.manual_seed(0)
    plain, last = nn.Conv2d(64, 64, 4, padding=1, bias=False), nn.Conv2d(64, 1, 4, padding=1)
    x = torch.randn(1, 64, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(WinogradConvolution(plain)(x), plain(x))
        logits = TapConvolution(last)(x.bfloat16())
    assert logits.dtype == torch.float32
    assert relative(logits, last(x.bfloat16().float())) < 1e-6


def test_the_discriminator_keeps_its_judgement_names_and_parameters() -> None:
    torch.manual_seed(0)
    judge = Discriminator()
    ct, pet = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    expected, names = judge(ct, pet), list(judge.state_dict())
    parameters = list(judge.parameters())
    rewrite_discriminator(judge, CPU)
    kinds = [type(layer) for layer in judge.layers]
    assert (kinds.count(WinogradConvolution), kinds.count(TapConvolution)) == (1, 1)
    torch.testing.assert_close(judge(ct, pet), expected, rtol=1e-4, atol=1e-5)
    assert list(judge.state_dict()) == names
    assert all(a is b for a, b in zip(judge.parameters(), parameters, strict=True))


def test_narrow_layers_and_gpus_keep_the_plain_convolution() -> None:
    narrow = Discriminator(width=8)
    rewrite_discriminator(narrow, CPU)
    assert isinstance(narrow.layers[8], nn.Conv2d)
    judge = Discriminator()
    rewrite_discriminator(judge, torch.device("cuda"))
    assert all(not isinstance(m, WinogradConvolution | TapConvolution) for m in judge.modules())
