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
