"""The terms of the loss, one function each."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Form = Literal["bce", "least-squares", "hinge"]
Scalar = Float[Tensor, ""]


def mse(prediction: Float[Tensor, "*any"], target: Float[Tensor, "*any"]) -> Scalar:
    """Mean squared error, the paper's own term.

    Args:
        prediction: On the [0, 1] scale.
        target: On the [0, 1] scale.

    Returns:
        The mean over all voxels.
    """
    return functional.mse_loss(prediction, target)


def l1(prediction: Float[Tensor, "*any"], target: Float[Tensor, "*any"]) -> Scalar:
    """Mean absolute error.

    Args:
        prediction: On the [0, 1] scale.
        target: On the [0, 1] scale.

    Returns:
        The mean over all voxels.
    """
    return functional.l1_loss(prediction, target)


QUANTILES = (0.05, 0.5, 0.95)
"""What the three output channels are where `model.output` is "quantiles"."""


def pinball(prediction: Float[Tensor, "b 3 y x"], target: Float[Tensor, "b 3 y x"]) -> Scalar:
    """Pinball loss: its minimum is a quantile, as that of the absolute error is the median.

    Args:
        prediction: The quantiles `QUANTILES`, on the [0, 1] scale.
        target: The PET in each channel, on the [0, 1] scale.

    Returns:
        The mean over all voxels and quantiles.

    Reference:
        Koenker and Bassett, Regression quantiles, Econometrica 46(1), 1978, Eq. 3.1.
    """
    levels = prediction.new_tensor(QUANTILES).view(1, -1, 1, 1)
    difference = target - prediction
    return torch.maximum(levels * difference, (levels - 1) * difference).mean()


def discriminator_loss(
    real: Float[Tensor, "*patches"], fake: Float[Tensor, "*patches"], form: Form
) -> Scalar:
    """What the discriminator minimises.

    Args:
        real: Logits of real PETs.
        fake: Logits of synthetic PETs.
        form: Of the adversarial game.

    Returns:
        The mean of both halves.

    Reference:
        Goodfellow et al. 2014 Eq. 1 (bce); Mao et al. 2017 Eq. 9 with a = 0, b = c = 1
        (least-squares); Lim and Ye 2017 (hinge).
    """
    if form == "hinge":
        return (functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()) / 2
    return (_distance(real, 1.0, form) + _distance(fake, 0.0, form)) / 2


def generator_adversarial_loss(fake: Float[Tensor, "*patches"], form: Form) -> Scalar:
    """What the generator minimises so that its PETs pass for real (non-saturating).

    Args:
        fake: Logits of synthetic PETs.
        form: Of the adversarial game.

    Returns:
        The mean over all patches.

    Reference:
        As for `discriminator_loss`; Goodfellow et al. 2014, section 3, for −log D.
    """
    if form == "hinge":
        return -fake.mean()
    return _distance(fake, 1.0, form)


def _distance(logits: Tensor, label: float, form: Form) -> Tensor:
    labels = logits.new_full(logits.shape, label)
    if form == "bce":
        return functional.binary_cross_entropy_with_logits(logits, labels)
    return functional.mse_loss(logits, labels)
