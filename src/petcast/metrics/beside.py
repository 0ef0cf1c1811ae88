"""SSIM of several images beside one truth, whose windows are averaged once for all of them."""

from collections.abc import Iterator
from dataclasses import dataclass

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

CUT_BELOW = 0.8
"""Images that fill more of the slice than this are averaged whole: little is spared."""


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
        box = _support(truth)
        mean, power = truth.new_empty(2, *truth.shape)
        _average(truth, box, mean)
        _average(truth.square(), box, power)
        return cls(truth, mean, power)

    def beside(
        self, prediction: Float[Tensor, "n y x"], out: Float[Tensor, "3 n y x"] | None = None
    ) -> Float[Tensor, "3 n y x"]:
        """Average an image's windows.

        Args:
            prediction: On the [0, 1] scale.
            out: Where the result is written; into memory of its own where None.

        Returns:
            Weighted means of the prediction, of the sum of both squares, and of the product.
        """
        result = prediction.new_empty(3, *prediction.shape) if out is None else out
        box = _support(prediction)
        _average(prediction, box, result[0])
        _average(prediction.square(), box, result[1])
        _average(prediction * self.truth, box, result[2])
        result[1] += self.power
        return result


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


def _average(
    image: Float[Tensor, "n y x"], box: tuple[slice, slice] | None, mean: Float[Tensor, "n y x"]
) -> None:
    """Write the windows' means of an image; outside the box it is 0."""
    if box is None:
        mean.zero_()
        return
    cut = image[:, *box]
    if cut[0].numel() > CUT_BELOW * image[0].numel():
        blur(image, out=mean)
        return
    mean.zero_()
    blur(cut, out=mean[:, *box])


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
