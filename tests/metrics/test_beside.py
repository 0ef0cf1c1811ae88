"""SSIM beside a shared truth: the same numbers as image by image, wherever images are 0."""

import pytest
import torch
from torch import Tensor

from petcast.metrics.beside import Windows, ms_ssim_beside, pyramid
from petcast.metrics.similarity import (
    contrast_mean,
    halved,
    ms_ssim,
    similarity_maps,
    similarity_of_moments,
)

SIDE = 180


def patch(rows: slice, columns: slice) -> Tensor:
    """Random inside, 0 around."""
    image = torch.zeros(2, SIDE, SIDE)
    image[:, rows, columns] = torch.rand(image[:, rows, columns].shape)
    return image


@pytest.mark.slow
@pytest.mark.parametrize(
    "box",
    [
        (slice(None), slice(None)),
        (slice(40, 120), slice(30, 150)),
        (slice(0, 1), slice(0, 1)),
        (slice(SIDE - 3, None), slice(60, 61)),
        (slice(5, SIDE - 5), slice(6, SIDE - 6)),
        (slice(0, 0), slice(0, 0)),
    ],
)
def test_beside_a_truth_all_is_as_image_by_image(box: tuple[slice, slice]) -> None:
    torch.manual_seed(0)
    for truth in (patch(slice(None), slice(None)), patch(slice(20, 100), slice(50, 170))):
        prediction = patch(*box)
        windows = Windows.of(truth)
        mean, power, product = windows.beside(prediction)
        here = similarity_of_moments(mean, windows.mean, power, product, data_range=1.0)
        alone = similarity_maps(prediction, truth, data_range=1.0)
        for one, other in zip(here, alone, strict=True):
            torch.testing.assert_close(one, other, atol=2e-5, rtol=0)
        many = ms_ssim_beside(halved(prediction), pyramid(halved(truth)), contrast_mean(here[1]))
        torch.testing.assert_close(many, ms_ssim(prediction, truth, data_range=1.0))


def test_an_image_beside_itself_is_exactly_alike() -> None:
    truth = torch.rand(2, SIDE, SIDE)
    windows = Windows.of(truth)
    mean, power, product = windows.beside(truth)
    similarity, _ = similarity_of_moments(mean, windows.mean, power, product, data_range=1.0)
    assert similarity.min() == similarity.max() == 1.0


@pytest.mark.parametrize(("y", "x"), [(16, 16), (17, 18), (21, 15)])
def test_halving_is_pooling(y: int, x: int) -> None:
    image = torch.rand(3, y, x)
    torch.testing.assert_close(halved(image), torch.nn.functional.avg_pool2d(image, 2))
