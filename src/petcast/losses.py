"""The terms of the loss, one function each.

The paper's come first: the mean squared error and the adversarial game. `published.toml` leaves the
others out.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Form = Literal["bce", "least-squares", "hinge"]
Scalar = Float[Tensor, ""]
Images = Float[Tensor, "*any"]

SIGMA, RADIUS = 1.5, 5
C1, C2 = 0.01**2, 0.03**2
"""The window and the constants of SSIM on the [0, 1] scale."""

EPSILON = 1e-3
"""Below it `charbonnier` turns from the absolute error to the squared one: 0.01 SUV of 0…10."""

WEIGHTED = ("mse", "l1", "charbonnier")
"""The terms in which some voxels may count more than others."""

QUANTILES = (0.05, 0.5, 0.95)
"""What the three output channels are where `model.output` is "quantiles"."""


def mse(prediction: Images, target: Images, weight: Images | None = None) -> Scalar:
    """Mean squared error, the paper's own term.

    Args:
        prediction: On the [0, 1] scale.
        target: On the [0, 1] scale.
        weight: What each voxel counts; all the same where None.

    Returns:
        The mean over all voxels.
    """
    if weight is None:
        return functional.mse_loss(prediction, target)
    return ((prediction - target).square() * weight).mean()


def discriminator_loss(
    real: Float[Tensor, "*patches"], fake: Float[Tensor, "*patches"], form: Form
) -> Scalar:
    """What the discriminator minimises.

    Args:
        real: Logits of real PETs.
        fake: Logits of synthetic PETs.
        form: Of the adversarial game.

    Returns:
        The mean of what it gets wrong of the real and of the synthetic ones.

    Reference:
        Half of Goodfellow et al. 2014 Eq. 1 (bce) and of Lim and Ye 2017 (hinge); Mao et al. 2017
        Eq. 9 with a = 0, b = c = 1 (least-squares), which has the ½ itself.
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
        The mean over all patches. Least squares comes without the ½ of Mao et al. Eq. 9, as in
        pix2pix: the same `loss.adversarial` weighs twice what it would with that ½.

    Reference:
        As for `discriminator_loss`; Goodfellow et al. 2014, section 3, for −log D.
    """
    if form == "hinge":
        return -fake.mean()
    return _distance(fake, 1.0, form)


def l1(prediction: Images, target: Images, weight: Images | None = None) -> Scalar:
    """Mean absolute error.

    Args:
        prediction: On the [0, 1] scale.
        target: On the [0, 1] scale.
        weight: What each voxel counts; all the same where None.

    Returns:
        The mean over all voxels.

    Reference:
        Zhao et al., IEEE Trans. Comput. Imaging 3(1), 2017, section III.A.
    """
    if weight is None:
        return functional.l1_loss(prediction, target)
    return ((prediction - target).abs() * weight).mean()


def charbonnier(prediction: Images, target: Images, weight: Images | None = None) -> Scalar:
    """Absolute error, smooth at 0.

    Args:
        prediction: On the [0, 1] scale.
        target: On the [0, 1] scale.
        weight: What each voxel counts; all the same where None.

    Returns:
        The mean of √(e² + ε²) − ε over all voxels: 0 where both are equal.

    Reference:
        Charbonnier et al., ICIP 1994; Lai et al., CVPR 2017.
    """
    error = ((prediction - target).square() + EPSILON**2).sqrt() - EPSILON
    return (error if weight is None else error * weight).mean()


def ssim(prediction: Images, target: Images) -> Scalar:
    """How far SSIM is from 1, with the Gaussian window of Wang et al. 2004.

    Args:
        prediction: On the [0, 1] scale.
        target: On the [0, 1] scale.

    Returns:
        1 − SSIM, over all places where the window of 11 × 11 lies inside.

    Reference:
        Zhao et al., IEEE Trans. Comput. Imaging 3(1), 2017, section III.B.
    """
    a, b = (image.flatten(0, -3)[:, None] for image in (prediction, target))
    mean_a, mean_b, square_a, square_b, product = (
        _blurred(image) for image in (a, b, a * a, b * b, a * b)
    )
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    spread = square_a - mean_a**2 + square_b - mean_b**2
    structure = (2 * (product - mean_a * mean_b) + C2) / (spread + C2)
    return 1 - (luminance * structure).mean()


def gradient(prediction: Images, target: Images) -> Scalar:
    """How much edges differ in strength.

    Args:
        prediction: On the [0, 1] scale.
        target: On the [0, 1] scale.

    Returns:
        The mean over both axes of the absolute difference of the gradients' sizes.

    Reference:
        Mathieu et al., ICLR 2016, Eq. 6, to the first power.
    """
    differences = [
        functional.l1_loss(prediction.diff(dim=axis).abs(), target.diff(dim=axis).abs())
        for axis in (-2, -1)
    ]
    return (differences[0] + differences[1]) / 2


def voxel_weights(
    target: Images, uptake: float, lesions: Images | None = None, lesion_weight: float = 0.0
) -> Images | None:
    """Say what each voxel counts, so that the dark majority does not decide.

    Args:
        target: The PET on the [0, 1] scale.
        uptake: How much more a voxel of 1 counts than one of 0.
        lesions: 1 inside lesions, where masks are known.
        lesion_weight: How much more those count.

    Returns:
        Weights with a mean of 1 over all voxels, so that the learning rate keeps its meaning;
        None where all count the same.

    Reference:
        None: petcast's own.
    """
    weight = 1 + uptake * target if uptake else None
    if lesion_weight and lesions is not None:
        marked = lesion_weight * lesions
        weight = 1 + marked if weight is None else weight + marked
    return None if weight is None else weight / weight.mean()


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
    levels = torch.cat([prediction.new_full((1, 1, 1, 1), level) for level in QUANTILES], dim=1)
    difference = target - prediction
    return torch.maximum(levels * difference, (levels - 1) * difference).mean()


def _distance(logits: Tensor, label: float, form: Form) -> Tensor:
    labels = logits.new_full(logits.shape, label)
    if form == "bce":
        return functional.binary_cross_entropy_with_logits(logits, labels)
    return functional.mse_loss(logits, labels)


def _blurred(images: Float[Tensor, "n 1 y x"]) -> Tensor:
    places = torch.arange(-RADIUS, RADIUS + 1, dtype=images.dtype, device=images.device)
    window = torch.exp(-places.square() / (2 * SIGMA**2))
    window = window / window.sum()
    down = functional.conv2d(images, window[None, None, :, None])
    return functional.conv2d(down, window[None, None, None, :])
