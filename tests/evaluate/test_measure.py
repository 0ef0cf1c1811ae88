"""Every number of a synthetic case, by hand."""

import math

import numpy as np
import pytest
import torch

from petcast.errors import DataError
from petcast.evaluate.measure import (
    measure_clipping,
    measure_slices,
    refuse_not_finite,
    region_masks,
)
from petcast.metrics.image import mae, ms_ssim, mse, nrmse, ssim, ssim_3d

WINDOW = (0.0, 10.0)


@pytest.fixture
def regions() -> np.ndarray:
    """Two slices of 16 × 16: half body with a quarter of it lungs, and empty air."""
    labels = np.zeros((2, 16, 16), np.uint8)
    labels[0, :8] = 1
    labels[0, :2] = 2
    return labels


def test_every_number_is_right_by_hand(regions: np.ndarray) -> None:
    truth = np.where(regions == 1, 4.0, np.where(regions == 2, 30.0, 0.0)).astype(np.float32)
    prediction = np.where(regions > 0, 5.0, 0.0).astype(np.float32)
    values = measure_slices(prediction, truth, region_masks(regions), WINDOW)
    lungs, body = (0.5, 0.25), (0.2, 0.07)  # errors 0.1 in 6 rows of 8, 0.5 (clipped) in 2
    expected = {
        ("lungs", "mae"): lungs[0],
        ("lungs", "mse"): lungs[1],
        ("lungs", "suv_mae"): 25.0,
        ("lungs", "suv_bias"): -25.0,
        ("body", "mae"): body[0],
        ("body", "mse"): body[1],
        ("body", "psnr"): -10 * math.log10(body[1]),
        ("body", "suv_mae"): (6 * 1 + 2 * 25) / 8,
        ("body", "suv_bias"): (6 * 1 - 2 * 25) / 8,
        ("whole", "mae"): body[0] / 2,
        ("whole", "mse"): body[1] / 2,
        ("whole", "psnr"): -10 * math.log10(body[1] / 2),
    }
    for key, value in expected.items():
        assert values[key][0] == pytest.approx(value, rel=1e-5), key


def test_one_voxel_that_is_no_number_leaves_no_number_of_the_volume() -> None:
    truth = np.random.default_rng(0).random((9, 16, 16)).astype(np.float32)
    prediction = truth.copy()
    prediction[4, 8, 8] = np.nan
    masks = region_masks(np.ones(truth.shape, np.uint8))
    values = measure_slices(prediction, truth, masks, WINDOW, spacing_mm=(3.0, 2.0, 2.0))
    assert all(np.isnan(values["body", metric]).all() for metric in ("ssim_3d", "nrmse"))


def test_a_slice_of_air_has_no_body_and_a_finite_whole(regions: np.ndarray) -> None:
    zeros = np.zeros(regions.shape, np.float32)
    values = measure_slices(zeros, zeros, region_masks(regions), WINDOW)
    assert np.isnan(values["body", "ssim"][1])
    assert values["whole", "psnr"][1] == 100.0
    assert values["whole", "ssim"][1] == 1.0


@pytest.mark.parametrize("threads", [1, 3])
def test_numbers_of_the_volume_are_those_of_the_metrics(threads: int) -> None:
    torch.set_num_threads(threads)
    rng = np.random.default_rng(1)
    truth, prediction = rng.uniform(0, 12, (2, 40, 20, 20)).astype(np.float32)
    mask = rng.uniform(size=truth.shape) > 0.5
    mask[7] = False
    spacing = (3.0, 2.0, 2.0)
    values = measure_slices(prediction, truth, {"body": mask}, WINDOW, spacing_mm=spacing)
    torch.set_num_threads(1)
    images = [torch.from_numpy(suv).div(10).clamp(0, 1) for suv in (prediction, truth)]
    for region, where in (("whole", None), ("body", torch.from_numpy(mask))):
        expected = ssim_3d(*images, data_range=1.0, spacing_mm=spacing, mask=where)
        assert values[region, "ssim_3d"][0] == pytest.approx(expected, abs=1e-6)
        assert values[region, "nrmse"][0] == pytest.approx(nrmse(*images, mask=where), rel=1e-5)
    assert np.isnan(values["body", "nrmse"][7])
    assert np.isnan(values["body", "ssim_3d"][7])
    assert np.isfinite(values["whole", "ssim_3d"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("window", [(0.0, 10.0), (-1.0, 9.0)])
@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (slice(41, 90), slice(52, 121)),
        (slice(0, 60), slice(100, None)),
        (slice(3, 168), slice(8, 171)),
        (slice(84, 85), slice(87, 88)),
        (slice(0, 0), slice(0, 0)),
    ],
)
def test_empty_air_is_counted_though_not_computed(
    rows: slice, columns: slice, window: tuple[float, float]
) -> None:
    rng = np.random.default_rng(2)
    truth, prediction = np.zeros((2, 20, 171, 175), np.float32)
    truth[:, rows, columns] = rng.uniform(0, 12, truth[:, rows, columns].shape)
    prediction[5:, rows, columns] = rng.uniform(0, 12, truth[5:, rows, columns].shape)
    prediction[:, 60:70, 61:80] = 4
    mask = np.zeros(truth.shape, bool)
    mask[:18, 30:120, :90] = True  # partly where nothing is
    spacing = (3.0, 2.0, 2.0)
    values = measure_slices(prediction, truth, {"body": mask}, window, spacing_mm=spacing)
    suv = [torch.from_numpy(image) for image in (prediction, truth)]
    images = [image.sub(window[0]).div(10).clamp(0, 1) for image in suv]
    for region, where in (("whole", None), ("body", torch.from_numpy(mask))):
        knobs = {"data_range": 1.0, "mask": where}
        expected = {
            "ssim": ssim(*images, **knobs),
            "mae": mae(*images, **knobs),
            "mse": mse(*images, **knobs),
            "suv_mae": mae(*suv, **knobs),
            "ssim_3d": ssim_3d(*images, spacing_mm=spacing, **knobs),
            "nrmse": nrmse(*images, mask=where),
        }
        for metric, value in expected.items():
            there = slice(None) if where is None else slice(18)
            measured = torch.from_numpy(values[region, metric][there]).double()
            by_itself = torch.as_tensor(value, dtype=torch.float64).expand(20)[there]
            torch.testing.assert_close(
                measured,
                by_itself,
                atol=1e-5,
                rtol=1e-5,
                equal_nan=True,
                msg=lambda text, at=(region, metric): f"{at}: {text}",
            )
            assert where is None or np.isnan(values[region, metric][18:]).all()
    many = torch.from_numpy(values["whole", "ms_ssim"])
    torch.testing.assert_close(many, ms_ssim(*images, data_range=1.0), atol=1e-5, rtol=0)


def test_too_few_slices_have_no_ssim_over_volumes(regions: np.ndarray) -> None:
    zeros = np.zeros(regions.shape, np.float32)
    values = measure_slices(zeros, zeros, {}, WINDOW, spacing_mm=(2.0, 2.0, 2.0))
    assert ("whole", "ssim_3d") not in values
    assert values["whole", "ssim"][0] == 1.0


@pytest.mark.parametrize("threads", [1, 3])
def test_chunks_and_threads_do_not_show(threads: int) -> None:
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    truth, prediction = rng.uniform(0, 12, (2, 40, 20, 20)).astype(np.float32)
    masks = {"body": rng.uniform(size=truth.shape) > 0.5}
    together = measure_slices(prediction, truth, masks, WINDOW)
    assert torch.get_num_threads() == threads
    torch.set_num_threads(1)
    last = measure_slices(prediction[-1:], truth[-1:], {"body": masks["body"][-1:]}, WINDOW)
    for key, values in together.items():
        assert values.shape == (40,)
        if key[1] == "nrmse":  # one number of the volume
            continue
        assert values[-1] == pytest.approx(last[key][0], rel=1e-5), key


def test_ms_ssim_is_there_where_slices_are_large_enough() -> None:
    large, small = np.zeros((1, 161, 161), np.float32), np.zeros((1, 160, 160), np.float32)
    assert measure_slices(large, large, {}, WINDOW)["whole", "ms_ssim"][0] == pytest.approx(1)
    assert ("whole", "ms_ssim") not in measure_slices(small, small, {}, WINDOW)


def test_views_stored_the_other_way_round_are_read(regions: np.ndarray) -> None:
    truth = regions[:, ::-1].astype(np.float32)
    values = measure_slices(truth, truth, {"body": regions[:, ::-1] > 0}, WINDOW)
    assert values["body", "mae"][0] == 0.0


def test_the_clipped_share_is_that_of_the_real_pet(regions: np.ndarray) -> None:
    truth = np.where(regions == 2, 30.0, 1.0)
    values = measure_clipping(truth, region_masks(regions), WINDOW)
    assert values["whole", "clipped"][0] == 2 / 16
    assert values["body", "clipped"][0] == 2 / 8
    assert values["lungs", "clipped"][0] == 1.0


def test_lungs_are_listed_only_where_there_are_any(regions: np.ndarray) -> None:
    assert set(region_masks(regions)) == {"body", "lungs"}
    assert set(region_masks(np.minimum(regions, 1))) == {"body"}


def test_nan_is_refused_with_its_count() -> None:
    suv = np.array([1.0, np.nan, np.inf])
    with pytest.raises(DataError, match="study x: 2 of 3"):
        refuse_not_finite(suv, "study x")
