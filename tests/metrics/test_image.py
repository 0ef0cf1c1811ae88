"""Image metrics against torchmetrics, scikit-image, brute force and plain arithmetic."""

import math
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from skimage.metrics import peak_signal_noise_ratio as peak_signal_noise_ratio_of_scikit_image
from skimage.metrics import structural_similarity
from torch import Tensor
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)
from torchmetrics.functional.regression import mean_absolute_error

from petcast.errors import GeometryError, UsageError
from petcast.metrics import image
from petcast.volume import Unit, Volume

TOLERANCE = 1e-5
MISFIT = (GeometryError, TypeCheckError)
"""Shapes that do not fit: refused by the function, or before it where shapes are checked."""
EACH = {"reduction": "none"}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def random_pair(seed: int, shape: tuple[int, ...] = (3, 176, 192)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(shape, generator=generator)
    noise = torch.randn(shape, generator=generator) * torch.rand(1, generator=generator)
    return (truth + noise).clamp(0, 1), truth


def real_pairs(real_data: Path) -> list[tuple[Tensor, Tensor]]:
    """A real PET on [0, 1] against itself, blurred, shifted and zeroed."""
    suv = Volume.load(real_data / "volumes" / "ge_a_pet.nii.gz", Unit.SUV).voxels[40:160:30]
    truth = torch.from_numpy(suv.astype(np.float32)).div(10).clamp(0, 1)
    blurred = torch.nn.functional.avg_pool2d(truth, 5, stride=1, padding=2)
    return [(blurred, truth), (truth.roll(3, -1), truth), (torch.zeros_like(truth), truth)]


def assert_equals_torchmetrics(prediction: Tensor, truth: Tensor, data_range: float = 1.0) -> None:
    one_channel = (prediction[:, None], truth[:, None])
    theirs = structural_similarity_index_measure(*one_channel, data_range=data_range, **EACH)
    ours = image.ssim(prediction, truth, data_range=data_range)
    torch.testing.assert_close(ours, theirs.double(), atol=TOLERANCE, rtol=0)
    theirs = multiscale_structural_similarity_index_measure(
        *one_channel, data_range=data_range, **EACH
    )
    ours = image.ms_ssim(prediction, truth, data_range=data_range)
    torch.testing.assert_close(ours, theirs.double(), atol=TOLERANCE, rtol=0)
    theirs = peak_signal_noise_ratio(
        *one_channel, data_range=data_range, dim=(1, 2, 3), reduction="none"
    )
    ours = image.psnr(prediction, truth, data_range=data_range)
    torch.testing.assert_close(ours, theirs.double(), atol=TOLERANCE, rtol=TOLERANCE)

    theirs = torch.stack(
        [mean_absolute_error(*pair) for pair in zip(prediction, truth, strict=True)]
    )
    ours = image.mae(prediction, truth, data_range=data_range)
    torch.testing.assert_close(ours, theirs.double() / data_range, atol=TOLERANCE, rtol=0)


def assert_equals_scikit_image(prediction: Tensor, truth: Tensor) -> None:
    """scikit-image averages the same map without its outer 5 voxels, in any precision."""
    psnr = image.psnr(prediction, truth, data_range=1.0)
    maps = image.ssim_map(prediction, truth, data_range=1.0)[:, 5:-5, 5:-5]
    for number, ours in enumerate(maps):
        theirs = structural_similarity(
            prediction[number].numpy(), truth[number].numpy(), data_range=1.0,
            gaussian_weights=True, use_sample_covariance=False, sigma=1.5,
        )  # fmt: skip
        assert float(ours.mean()) == pytest.approx(theirs, abs=TOLERANCE)
        arrays = truth[number].numpy(), prediction[number].numpy()
        theirs = peak_signal_noise_ratio_of_scikit_image(*arrays, data_range=1.0)
        assert float(psnr[number]) == pytest.approx(theirs, abs=TOLERANCE, rel=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_random_images_score_as_in_torchmetrics(seed: int) -> None:
    assert_equals_torchmetrics(*random_pair(seed))


def test_the_scale_does_not_matter_as_long_as_the_data_range_says_it() -> None:
    prediction, truth = (images * 10 for images in random_pair(7))
    assert_equals_torchmetrics(prediction, truth, data_range=10.0)


@pytest.mark.parametrize("seed", range(4))
def test_random_images_score_as_in_scikit_image(seed: int) -> None:
    assert_equals_scikit_image(*random_pair(seed, (2, 90, 70)))


@pytest.mark.slow
def test_two_hundred_random_images_score_as_in_both() -> None:
    for seed in range(100, 150):
        prediction, truth = random_pair(seed, (4, 176, 176))
        assert_equals_torchmetrics(prediction, truth)
        assert_equals_scikit_image(prediction, truth)


@pytest.mark.real
@pytest.mark.slow
def test_two_hundred_real_pairs_score_as_in_both(real_data: Path) -> None:
    """67 slices, each against itself blurred, shifted and with noise."""
    suv = Volume.load(real_data / "volumes" / "ge_a_pet.nii.gz", Unit.SUV).voxels[3:204:3]
    truth = torch.from_numpy(suv.astype(np.float32)).div(10).clamp(0, 1)
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0)) * 0.02
    blurred = torch.nn.functional.avg_pool2d(truth, 3, stride=1, padding=1)
    for prediction in (blurred, truth.roll((2, -1), (1, 2)), (truth + noise).clamp(0, 1)):
        assert len(prediction) == 67
        assert_equals_torchmetrics(prediction, truth)
        assert_equals_scikit_image(prediction, truth)


@pytest.mark.real
def test_real_images_score_as_in_both(real_data: Path) -> None:
    for prediction, truth in real_pairs(real_data):
        assert_equals_torchmetrics(prediction, truth)
        assert_equals_scikit_image(prediction, truth)


def test_mae_and_mse_are_those_of_numpy() -> None:
    prediction, truth = random_pair(1)
    error = (prediction - truth).double().numpy()
    ours = image.mae(prediction, truth, data_range=1.0)
    np.testing.assert_allclose(ours, np.abs(error).mean((1, 2)), atol=TOLERANCE)
    ours = image.mse(prediction, truth, data_range=1.0)
    np.testing.assert_allclose(ours, (error**2).mean((1, 2)), atol=TOLERANCE)


def brute_force_ssim(prediction: np.ndarray, truth: np.ndarray, y: int, x: int) -> float:
    """Eq. 13 at one voxel, window by window; the border is mirrored without repeating the edge."""
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(weights, weights) / weights.sum() ** 2

    def patch(values: np.ndarray) -> np.ndarray:
        return np.pad(values, 5, mode="reflect")[y : y + 11, x : x + 11].astype(np.float64)

    a, b = patch(prediction), patch(truth)
    mean_a, mean_b = (window * a).sum(), (window * b).sum()
    var_a = (window * (a - mean_a) ** 2).sum()
    var_b = (window * (b - mean_b) ** 2).sum()
    covariance = (window * (a - mean_a) * (b - mean_b)).sum()
    luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
    return float(luminance * (2 * covariance + 9e-4) / (var_a + var_b + 9e-4))


def test_scores_inside_autocast_are_those_outside_of_it() -> None:
    prediction, truth = torch.rand(2, 2, 200, 170)
    expected = image.ssim(prediction, truth, data_range=1.0)
    with torch.autocast("cpu", torch.bfloat16):
        found = image.ssim(prediction, truth, data_range=1.0)
    assert torch.equal(found, expected)


def test_masked_metrics_equal_brute_force() -> None:
    prediction, truth = random_pair(3, (2, 20, 24))
    mask = torch.rand(truth.shape, generator=torch.Generator().manual_seed(5)) > 0.8
    ours = image.ssim(prediction, truth, data_range=1.0, mask=mask)
    ours_psnr = image.psnr(prediction, truth, data_range=1.0, mask=mask)
    ours_mae = image.mae(prediction, truth, data_range=1.0, mask=mask)
    for n in range(2):
        p, t, inside = prediction[n].numpy(), truth[n].numpy(), mask[n].numpy()
        places = np.argwhere(inside)
        expected = np.mean([brute_force_ssim(p, t, y, x) for y, x in places])
        assert float(ours[n]) == pytest.approx(expected, abs=TOLERANCE)
        errors = [float(p[y, x]) - float(t[y, x]) for y, x in places]
        mean_square = sum(e * e for e in errors) / len(errors)
        assert float(ours_psnr[n]) == pytest.approx(-10 * math.log10(mean_square), abs=TOLERANCE)
        expected = sum(map(abs, errors)) / len(errors)
        assert float(ours_mae[n]) == pytest.approx(expected, abs=TOLERANCE)


def test_a_slice_without_mask_voxels_has_no_value_and_its_neighbour_keeps_its_own() -> None:
    prediction, truth = random_pair(2, (2, 32, 32))
    mask = torch.zeros(truth.shape, dtype=torch.bool)
    mask[1] = True
    for metric in (image.ssim, image.psnr, image.mae, image.mse):
        values = metric(prediction, truth, data_range=1.0, mask=mask)
        assert math.isnan(values[0])
        assert values[1] == pytest.approx(float(metric(prediction, truth, data_range=1.0)[1]))


def test_a_full_mask_is_no_mask() -> None:
    prediction, truth = random_pair(2, (2, 32, 32))
    full = torch.ones(truth.shape, dtype=torch.bool)
    for metric in (image.ssim, image.psnr, image.mae, image.mse):
        one = metric(prediction, truth, data_range=1.0)
        torch.testing.assert_close(metric(prediction, truth, data_range=1.0, mask=full), one)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.integers(6, 40), st.integers(6, 40))
def test_ssim_is_symmetric_bounded_and_one_for_equals(seed: int, y: int, x: int) -> None:
    prediction, truth = random_pair(seed, (1, y, x))
    value = float(image.ssim(prediction, truth, data_range=1.0))
    assert value == pytest.approx(float(image.ssim(truth, prediction, data_range=1.0)), abs=1e-6)
    assert -1 - 1e-6 <= value <= 1 + 1e-6
    assert float(image.ssim(truth, truth, data_range=1.0)) == pytest.approx(1, abs=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.integers(1, 20))
def test_slices_do_not_influence_each_other(seed: int, n: int) -> None:
    prediction, truth = random_pair(seed, (n, 16, 16))
    together = image.ssim(prediction, truth, data_range=1.0)
    last = image.ssim(prediction[-1:], truth[-1:], data_range=1.0)
    assert float(together[-1]) == pytest.approx(float(last), abs=1e-6)


def test_known_answers() -> None:
    zero, half = torch.zeros(1, 16, 16), torch.full((1, 16, 16), 0.5)
    assert float(image.mae(zero, half, data_range=1.0)) == 0.5
    assert float(image.mse(zero, half, data_range=1.0)) == 0.25
    assert float(image.psnr(zero, half, data_range=1.0)) == pytest.approx(6.0206, abs=1e-4)
    assert float(image.ssim(zero, half, data_range=1.0)) == pytest.approx(1e-4 / 0.2501, abs=1e-6)
    assert float(image.psnr(half, half, data_range=1.0)) == math.inf


def test_ms_ssim_of_small_slices_is_refused_with_a_word() -> None:
    small = torch.zeros(1, 160, 200)
    with pytest.raises(GeometryError, match="more than 160 voxels a side, these slices have 200"):
        image.ms_ssim(small, small, data_range=1.0)


def test_the_data_range_is_never_guessed() -> None:
    truth = torch.rand(1, 16, 16)
    with pytest.raises(TypeError, match="data_range"):
        image.ssim(truth, truth)  # type: ignore[call-arg]
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(UsageError, match="data_range"):
            image.psnr(truth, truth, data_range=wrong)


def test_images_and_masks_of_other_shapes_are_refused() -> None:
    truth = torch.rand(1, 16, 16)
    with pytest.raises(MISFIT, match=r"cannot be compared|Type-check"):
        image.ssim(truth[:, :15], truth, data_range=1.0)
    with pytest.raises(MISFIT, match="mask"):
        image.mae(truth, truth, data_range=1.0, mask=torch.ones(1, 16, 15, dtype=torch.bool))
    with pytest.raises(GeometryError, match="6 × 6"):
        image.ssim(truth[:, :5], truth[:, :5], data_range=1.0)


def test_scores_of_a_batch_clip_the_window_but_not_the_suv_error() -> None:
    truth = torch.full((2, 16, 16), 30.0)
    prediction = torch.full((2, 16, 16), 5.0)
    body = torch.zeros(2, 16, 16, dtype=torch.bool)
    body[0, :8] = True  # the second slice has no body
    scores = image.score_slices(prediction, truth, body, (0.0, 10.0))
    assert scores["mae"] == 0.5
    assert scores["mse"] == 0.25
    assert scores["psnr"] == scores["psnr_body"] == pytest.approx(6.0206, abs=1e-4)
    assert scores["suv_mae_body"] == 25.0


def test_a_slice_that_is_not_finite_is_not_left_out_of_the_scores() -> None:
    truth = torch.ones(2, 16, 16)
    body = torch.ones(2, 16, 16, dtype=torch.bool)
    prediction = truth.clone()
    prediction[1] = float("nan")
    scores = image.score_slices(prediction, truth, body, (0.0, 10.0))
    assert not any(math.isfinite(value) for value in scores.values())


def test_what_is_not_finite_outside_a_mask_does_not_count() -> None:
    values, mask = torch.ones(1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, :2] = True
    values[0, 3, 3] = float("nan")
    assert image.masked_mean(values, mask).tolist() == [1.0]


def test_scores_of_a_perfect_batch_stay_finite() -> None:
    truth, body = torch.rand(1, 16, 16), torch.ones(1, 16, 16, dtype=torch.bool)
    scores = image.score_slices(truth, truth, body, (0.0, 10.0))
    assert scores["psnr"] == image.PSNR_CEILING_DB
    assert scores["ssim"] == pytest.approx(1)


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(UsageError, match="window"):
        image.to_unit_scale(torch.zeros(1), (10.0, 10.0))


@pytest.mark.slow
def test_a_batch_of_64_slices_is_scored_within_a_second_on_one_core() -> None:
    prediction, truth = random_pair(0, (64, 256, 256))
    body = torch.ones(truth.shape, dtype=torch.bool)
    image.score_slices(prediction, truth, body, (0.0, 1.0))
    started = time.process_time()
    image.score_slices(prediction, truth, body, (0.0, 1.0))
    assert time.process_time() - started < 1.0
