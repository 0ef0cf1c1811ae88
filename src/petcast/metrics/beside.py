"""SSIM of several images beside one truth, whose windows are averaged once for all of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from petcast.metrics.error import masked_mean
from petcast.metrics.similarity import (
    RADIUS,
    SCALE_WEIGHTS,
    blur,
    contrast_mean,
    halved,
    multiscale,
    similarity_of_moments,
)

MARGIN = RADIUS + 1
"""So much nothing around an image, and mirroring it is mirroring nothing."""


@dataclass(frozen=True)
class Windows:
    """Slices of the truth, and what SSIM knows of the windows around their voxels.

    Attributes:
        truth: The slices, on the [0, 1] scale.
        mean: Weighted means.
        power: Weighted means of the squares.
    """

    truth: Float[Tensor, "n y x"]
    mean: Float[Tensor, "n y x"]
    power: Float[Tensor, "n y x"]

    @classmethod
    def of(cls, truth: Float[Tensor, "n y x"]) -> "Windows":
        """Average the truth's windows.

        Args:
            truth: On the [0, 1] scale.

        Returns:
            The averages.
        """
        mean, power = _blurred(torch.stack((truth, truth.square())), _support(truth))
        return cls(truth, mean, power)

    def beside(self, prediction: Float[Tensor, "n y x"]) -> Float[Tensor, "3 n y x"]:
        """Average an image's windows.

        Args:
            prediction: On the [0, 1] scale.

        Returns:
            Weighted means of the prediction, of the sum of both squares, and of the product.
        """
        images = torch.stack((prediction, prediction.square(), prediction * self.truth))
        means = _blurred(images, _support(prediction))
        means[1] += self.power
        return means


def pyramid(half: Float[Tensor, "n y x"]) -> list[Windows]:
    """Average the truth's windows at the coarser scales of MS-SSIM.

    Args:
        half: The truth, half as fine, on the [0, 1] scale.

    Returns:
        Four scales, the first of `half` itself, each half as fine as the last.
    """
    scales = [Windows.of(half)]
    while len(scales) < len(SCALE_WEIGHTS) - 1:
        half = halved(half)
        scales.append(Windows.of(half))
    return scales


def ms_ssim_beside(
    half: Float[Tensor, "n y x"], scales: list[Windows], finest: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Give each slice's MS-SSIM, as `similarity.ms_ssim`.

    Args:
        half: The prediction, half as fine, on the [0, 1] scale.
        scales: The truth's, of `pyramid`.
        finest: The finest scale's mean of contrast and structure, as `contrast_mean`.

    Returns:
        A value a slice, from 0 to 1.
    """
    return multiscale(_means(half, scales, finest))


def _means(half: Tensor, scales: list[Windows], finest: Tensor) -> Iterator[Tensor]:
    yield finest
    for number, real in enumerate(scales, start=1):
        mean, power, product = real.beside(half)
        maps = similarity_of_moments(mean, real.mean, power, product, data_range=1.0)
        last = number == len(scales)
        yield masked_mean(maps[0]) if last else contrast_mean(maps[1])
        half = half if last else halved(half)


def _blurred(images: Float[Tensor, "k n y x"], box: tuple[slice, slice] | None) -> Tensor:
    """The images behind the window; outside the box all are 0."""
    if box is None:
        return torch.zeros_like(images)
    cut = images[:, :, *box]
    means = blur(cut.flatten(0, 1)).view(cut.shape)
    if cut.shape == images.shape:
        return means
    result = torch.zeros_like(images)
    result[:, :, *box] = means
    return result


def _support(image: Float[Tensor, "n y x"]) -> tuple[slice, slice] | None:
    """The box in which an image is not 0, with as much around it as the window needs.

    Air is 0 in trivial images and in many a PET: about half of what there is to average.
    """
    total = image.sum(0)  # nothing is below 0; sums are quicker than comparisons
    sides = []
    for axis, size in enumerate(total.shape):
        places = total.sum(1 - axis).nonzero()
        if not len(places):
            return None
        start, stop = int(places[0]) - MARGIN, int(places[-1]) + 1 + MARGIN
        sides.append(slice(max(start, 0), min(stop, size)))
    return sides[0], sides[1]
