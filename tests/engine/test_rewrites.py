"""The faster forms are the published ones: outputs, gradients, state, learned weights."""

import copy

import pytest
import torch
from torch import nn

from petcast.engine.rewrites import (
    InnerConvolution,
    InnerTransposed,
    PhasedTransposed,
    rewrite,
)
from petcast.models.cascade import Cascade, Stage
from petcast.models.unet import UNet


@pytest.mark.parametrize(
    ("form", "published", "side"),
    [
        (InnerConvolution, nn.Conv2d(5, 7, 4, 2, 1), 2),
        (InnerConvolution, nn.Conv2d(5, 7, 4, 2, 1, bias=False), 2),
        (InnerTransposed, nn.ConvTranspose2d(5, 7, 4, 2, 1, bias=False), 1),
        (InnerTransposed, nn.ConvTranspose2d(5, 7, 4, 2, 1), 1),
        (PhasedTransposed, nn.ConvTranspose2d(5, 3, 4, 2, 1), 6),
        (PhasedTransposed, nn.ConvTranspose2d(5, 3, 4, 2, 1, bias=False), 1),
    ],
)
def test_each_form_gives_the_published_output_and_gradient(form, published, side: int) -> None:
    faster = form(published)
    x = torch.randn(3, 5, side, side, requires_grad=True)
    expected, found = published(x), faster(x)
    torch.testing.assert_close(found, expected)
    upstream = torch.randn_like(expected)
    [wanted] = torch.autograd.grad(expected, x, upstream)
    [got] = torch.autograd.grad(found, x, upstream)
    torch.testing.assert_close(got, wanted)


@pytest.mark.slow
def test_at_256_the_ends_of_every_stage_are_rewritten_and_nothing_else() -> None:
    cascade = Cascade([Stage(), Stage()])
    rewrite(cascade, 256)
    kinds = (InnerConvolution, InnerTransposed, PhasedTransposed)
    found = [name for name, m in cascade.named_modules() if isinstance(m, kinds)]
    ends = ("encoders.7.1", "decoders.0.1", "visual.1")
    assert found == [f"chain.{n}.{end}" for n in (0, 1) for end in ends]


@pytest.mark.slow
def test_at_512_every_tap_meets_data_and_stays() -> None:
    stage = Stage()
    rewrite(stage, 512)
    assert isinstance(stage.encoders[7][1], nn.Conv2d)
    assert isinstance(stage.decoders[0][1], nn.ConvTranspose2d)


@pytest.mark.slow
@pytest.mark.parametrize(("network", "side"), [(Stage(dropout=0.0), 256), (UNet(3, 0.0), 8)])
def test_some_steps_leave_the_published_weights(network: nn.Module, side: int) -> None:
    # In double precision: the steps at this rate multiply what rounding leaves, and how much that
    # is in single precision depends on the processor's kernels, not on the rewrite.
    torch.manual_seed(0)
    published = Cascade([network]).double().train()
    faster = copy.deepcopy(published)
    rewrite(faster, side)
    x, target = torch.rand(2, 2, 3, side, side, dtype=torch.float64)
    for generator in (published, faster):
        descent = torch.optim.SGD(generator.parameters(), lr=0.05, momentum=0.9)
        for _ in range(3):
            loss = nn.functional.mse_loss(generator(x)[-1], target)
            descent.zero_grad()
            loss.backward()
            descent.step()
    expected, found = published.state_dict(), faster.state_dict()
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-11, msg=key)


@pytest.mark.slow
def test_the_taps_that_meet_no_data_are_not_learned_and_stay_as_they_were() -> None:
    stage = Stage()
    published = sum(p.numel() for p in stage.parameters())
    before = {name: value.clone() for name, value in stage.state_dict().items()}
    rewrite(stage, 256)
    assert published - sum(p.numel() for p in stage.parameters()) == 12 * 960 * (162 + 960)
    after = stage.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.slow
def test_weights_go_from_one_form_into_the_other_and_back() -> None:
    one, other = Stage(), Stage()
    rewrite(one, 256)
    other.load_state_dict(one.state_dict())
    again = Stage()
    rewrite(again, 256)
    again.load_state_dict(other.state_dict())
    x = torch.rand(2, 3, 256, 256)
    outputs = [stage.eval()(x) for stage in (one, other, again)]
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-6)
    assert torch.equal(outputs[0], outputs[2])


@pytest.mark.slow
def test_weights_of_another_shape_are_refused() -> None:
    stage = Stage()
    rewrite(stage, 256)
    state = stage.state_dict()
    state["encoders.7.1.weight"] = state["encoders.7.1.weight"][..., :2]
    with pytest.raises(RuntimeError, match=r"encoders\.7\.1\.live"):
        stage.load_state_dict(state)
