"""The generators beside the paper: Table 1 row by row, Table 2 to the digit."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from petcast.models import Discriminator, build_generator
from petcast.models.cascade import Stage
from petcast.models.describe import describe_all
from petcast.recipe import ModelRecipe

# Typed from the paper, not from the code: name, input, output, skip, dropout.
PRINTED = """
Encoder 1,3,16,0,0
Encoder 2,16,24,0,0
Encoder 3,24,42,0,0
Encoder 4,42,81,0,0
Encoder 5,81,114,0,0
Encoder 6,114,162,0,0
Encoder 7,162,162,0,0
Encoder 8,162,960,0,0
Decoder 1,960,960,162,0.5
Decoder 2,1122,162,162,0.5
Decoder 3,324,114,114,0.5
Decoder 4,228,81,81,0
Decoder 5,162,42,42,0
Decoder 6,84,24,24,0
Decoder 7,48,16,16,0
Visual Block,32,3,0,0
"""
ROWS = [line.split(",") for line in PRINTED.split("\n") if line]
PARAMETERS = {f"Stage{n:02d}": n * 22_129_107 for n in range(1, 11)} | {
    "U-Net": 54_413_955,
    "Cas-UNet": 108_827_910,
    "DSGGAN": 92_540_678,
}


@pytest.fixture(scope="module")
def stage() -> Stage:
    torch.manual_seed(0)
    return Stage().eval()


def convolution(block: nn.Module) -> nn.Conv2d | nn.ConvTranspose2d:
    [found] = [m for m in block.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    return found


def test_every_row_of_table_1_is_built(stage: Stage) -> None:
    blocks = [*stage.encoders, *stage.decoders, stage.visual]
    for (name, inputs, outputs, _, dropout), block in zip(ROWS, blocks, strict=True):
        layer = convolution(block)
        assert (layer.in_channels, layer.out_channels) == (int(inputs), int(outputs)), name
        assert (layer.kernel_size, layer.stride, layer.padding) == ((4, 4), (2, 2), (1, 1)), name
        rates = [m.p for m in block.modules() if isinstance(m, nn.Dropout)]
        assert rates == ([float(dropout)] if float(dropout) else []), name


def test_every_skip_has_table_1s_width(stage: Stage) -> None:
    for row, following in pairwise(ROWS[8:16]):
        assert int(row[2]) + int(row[3]) == int(following[1])


def test_a_bias_stands_exactly_where_no_normalisation_does(stage: Stage) -> None:
    for block in [*stage.encoders, *stage.decoders, stage.visual]:
        normalised = any(isinstance(m, nn.BatchNorm2d) for m in block.modules())
        assert (convolution(block).bias is None) == normalised


@pytest.mark.parametrize(
    ("block", "order"),
    [
        ("encoders.1", ["LeakyReLU", "Conv2d", "BatchNorm2d"]),  # Eq. 2
        ("decoders.0", ["ReLU", "ConvTranspose2d", "BatchNorm2d", "Dropout"]),  # Eq. 4
        ("visual", ["Tanh", "ConvTranspose2d"]),  # Eq. 5
    ],
)
def test_the_order_inside_a_block_is_the_equations(stage: Stage, block: str, order) -> None:
    layers = list(stage.get_submodule(block).children())
    assert [type(layer).__name__ for layer in layers] == order


@pytest.mark.slow
def test_every_parameter_of_table_2_is_there_to_the_digit() -> None:
    document = describe_all()
    assert {m["name"]: m["parameters"] for m in document["models"]} == PARAMETERS
    assert document["discriminator"]["parameters"] == 2_768_705
    gflop = {m["name"]: m["gflop"] for m in document["models"]}
    assert gflop["Stage01"] == pytest.approx(0.555, abs=0.002)
    assert gflop["U-Net"] == pytest.approx(12.10, abs=0.01)


def test_a_slice_of_256_voxels_is_encoded_to_one(stage: Stage) -> None:
    shapes = []
    handle = stage.encoders[-1].register_forward_hook(lambda *a: shapes.append(a[2].shape))
    with torch.inference_mode():
        assert stage(torch.rand(1, 3, 256, 256)).shape == (1, 3, 256, 256)
    handle.remove()
    assert shapes == [(1, 960, 1, 1)]


@pytest.mark.slow
def test_each_stage_is_fed_with_the_output_of_the_one_before() -> None:
    cascade = build_generator(ModelRecipe(name="Stage03")).eval()
    fed = []
    for part in cascade.chain:
        part.register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0]))
    x = torch.rand(1, 3, 256, 256)
    with torch.inference_mode():
        outputs = cascade(x)
    assert len(outputs) == 3
    assert all(torch.equal(a, b) for a, b in zip(fed, [x, *outputs[:2]], strict=True))


@pytest.mark.slow
def test_only_the_inner_taps_of_the_bottleneck_are_ever_taught(stage: Stage) -> None:
    """At 256² encoder 8 and decoder 1 meet data with their inner 2×2 taps alone."""
    trained = Stage(dropout=0.0).train()
    trained(torch.rand(2, 3, 256, 256)).square().mean().backward()
    dead = 0
    for block in (trained.encoders[-1], trained.decoders[0]):
        gradient = convolution(block).weight.grad
        inner = gradient[:, :, 1:3, 1:3]
        assert inner.abs().max() > 0
        assert gradient.count_nonzero() == inner.count_nonzero()
        dead += gradient.numel() - inner.numel()
    assert dead == pytest.approx(12.9e6, rel=0.01)


def test_a_slice_that_cannot_be_halved_eight_times_is_refused(stage: Stage) -> None:
    from petcast.errors import GeometryError

    with pytest.raises(GeometryError, match=r"preparation\.size"):
        stage(torch.rand(1, 3, 200, 256))


def test_the_discriminator_sees_patches_of_70_voxels() -> None:
    judge = Discriminator(width=4).eval()
    pet = torch.rand(1, 3, 256, 256, requires_grad=True)
    logits = judge(torch.rand(1, 3, 256, 256), pet)
    logits[0, 0, 15, 15].backward()
    seen = pet.grad.abs().sum(dim=(0, 1)).nonzero()
    assert (seen.max(0).values - seen.min(0).values + 1).tolist() == [70, 70]
