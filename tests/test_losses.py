"""Each term against its equation, by hand."""

import math

import pytest
import torch

from petcast import losses

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
