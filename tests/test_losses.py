"""Each term against its equation, by hand."""

import math

import pytest
import torch

from petcast import losses
from petcast.metrics.similarity import ssim_map

REAL, FAKE = torch.tensor([2.0, 0.5]), torch.tensor([-1.0, 3.0])


def test_voxel_terms_are_means() -> None:
    assert float(losses.mse(REAL, FAKE)) == pytest.approx((9 + 6.25) / 2)
    assert float(losses.l1(REAL, FAKE)) == pytest.approx((3 + 2.5) / 2)


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


@pytest.mark.parametrize(
    ("form", "judge", "generator"),
    [
        ("bce",
         -(log_sigmoid(2) + log_sigmoid(0.5)) / 4 - (log_sigmoid(1) + log_sigmoid(-3)) / 4,
         -(log_sigmoid(-1) + log_sigmoid(3)) / 2),
        ("least-squares", (1 + 0.25) / 4 + (1 + 9) / 4, (4 + 4) / 2),
        ("hinge", (0 + 0.5) / 4 + (0 + 4) / 4, -1.0),
    ],
)  # fmt: skip
def test_adversarial_terms(form, judge: float, generator: float) -> None:
    assert float(losses.discriminator_loss(REAL, FAKE, form)) == pytest.approx(judge)
    assert float(losses.generator_adversarial_loss(FAKE, form)) == pytest.approx(generator)


def test_the_pinball_loss_by_hand() -> None:
    prediction, target = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([3.0, 3.0, 0.0])
    expected = (0.05 * 2 + 0.5 * 2 + (1 - 0.95) * 1) / 3
    shaped = prediction.view(1, 3, 1, 1), target.view(1, 3, 1, 1)
    assert float(losses.pinball(*shaped)) == pytest.approx(expected)


@pytest.mark.slow
def test_the_pinball_loss_is_least_at_the_quantiles() -> None:
    """Descended on skewed data, where the median is not the mean."""
    torch.manual_seed(0)
    sample = torch.distributions.Exponential(1.0).sample((1, 1, 100, 100)).double()
    guess = torch.full((1, 3, 1, 1), 1.0, dtype=torch.float64, requires_grad=True)
    for step in range(2000):
        spread = guess.expand(1, 3, 100, 100)
        [slope] = torch.autograd.grad(losses.pinball(spread, sample.expand(-1, 3, -1, -1)), guess)
        guess = (guess - 20 * 0.998**step * slope).detach().requires_grad_()
    levels = torch.tensor(losses.QUANTILES, dtype=torch.float64)
    expected = torch.quantile(sample.flatten(), levels)
    assert guess.flatten().tolist() == pytest.approx(expected.tolist(), abs=0.01)


def test_charbonnier_is_smooth_at_zero_and_the_absolute_error_far_from_it() -> None:
    x = torch.tensor([0.0, 0.5], requires_grad=True)
    term = losses.charbonnier(x, torch.zeros(2))
    term.backward()
    assert term.item() == pytest.approx((math.hypot(0.5, 1e-3) - 1e-3) / 2)
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([0.0, 0.5], abs=1e-5)


def test_the_ssim_term_is_what_the_evaluator_measures_away_from_the_border() -> None:
    truth, noise = torch.rand(2, 2, 40, 48, generator=torch.Generator().manual_seed(0))
    prediction = (truth + 0.3 * noise).clamp(0, 1)
    inner = ssim_map(prediction, truth, data_range=1.0)[:, 5:-5, 5:-5]
    stacked = (image[:, None].expand(-1, 3, -1, -1) for image in (prediction, truth))
    assert float(losses.ssim(*stacked)) == pytest.approx(1 - float(inner.mean()), abs=1e-5)
    assert float(losses.ssim(truth, truth)) == pytest.approx(0, abs=1e-6)


def test_the_gradient_term_forgives_a_constant_and_not_a_blur() -> None:
    step = torch.zeros(1, 1, 4, 4)
    step[..., 2:] = 1
    ramp = torch.tensor([0.0, 0.25, 0.75, 1.0]).expand(1, 1, 4, 4)
    assert float(losses.gradient(step + 0.5, step)) == 0
    assert float(losses.gradient(ramp, step)) == pytest.approx((0.25 + 0.5 + 0.25) / 3 / 2)
    assert float(losses.gradient(1 - step, step)) == 0  # an edge's strength, not its direction


@pytest.mark.parametrize("term", [losses.mse, losses.l1, losses.charbonnier])
def test_weights_say_whose_errors_count(term) -> None:
    target, prediction = torch.zeros(2, 1, 1, 1), torch.tensor([0.5, 0.0]).view(2, 1, 1, 1)
    weight = torch.tensor([2.0, 0.0]).view(2, 1, 1, 1)
    assert float(term(prediction, target, weight)) == pytest.approx(
        2 * float(term(prediction, target))
    )


def test_voxel_weights_have_a_mean_of_one_and_favour_the_bright_and_the_lesions() -> None:
    target = torch.tensor([0.0, 1.0, 1.0]).view(1, 3, 1, 1)
    assert losses.voxel_weights(target, 0.0) is None
    assert losses.voxel_weights(target, 0.0, None, 5.0) is None
    uptake = losses.voxel_weights(target, 3.0)
    assert uptake is not None
    assert uptake.flatten().tolist() == pytest.approx([1 / 3, 4 / 3, 4 / 3])
    wide = torch.zeros(1, 3, 1, 2)
    marked = losses.voxel_weights(wide, 0.0, torch.tensor([[[[1.0, 0.0]]]]).expand_as(wide), 2.0)
    assert marked is not None
    assert marked[0, 0, 0].tolist() == pytest.approx([1.5, 0.5])
    assert float(marked.mean()) == pytest.approx(1)
