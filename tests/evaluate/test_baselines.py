"""Trivial images: what they are made of, however many slices are worked on at once."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from petcast.evaluate.baselines import (
    BLURRED_TRUTH_FWHM_MM,
    SLICES_AT_ONCE,
    baselines_of,
    blurred_truth,
)
from petcast.volume import FWHM_PER_SIGMA


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("slices", [1, SLICES_AT_ONCE, SLICES_AT_ONCE + 1, 3 * SLICES_AT_ONCE - 2])
@pytest.mark.parametrize("spacing_mm", [(3.0, 2.0, 2.5), (1.0, 4.0, 4.0)])
def test_it_is_the_whole_volume_behind_one_gaussian(
    slices: int, spacing_mm: tuple[float, float, float], threads: int
) -> None:
    truth = np.random.default_rng(0).uniform(0, 9, (slices, 12, 15)).astype(np.float32)
    sigmas = [BLURRED_TRUTH_FWHM_MM / FWHM_PER_SIGMA / step for step in spacing_mm]
    expected = gaussian_filter(truth, sigmas, mode="nearest", truncate=3)
    torch.set_num_threads(threads)
    found = blurred_truth(truth, spacing_mm)
    torch.set_num_threads(1)
    np.testing.assert_array_equal(found, expected)


def study(patient: str, suv: float, slices: int, body: bool = True) -> SimpleNamespace:
    regions = np.zeros((slices, 4, 4), np.uint8)
    regions[:, 1:3, 1:3] = body
    pet = np.where(regions > 0, suv, 0.0).astype(np.float32)
    return SimpleNamespace(id=f"{patient}{suv}", patient=patient, pet=pet, regions=regions)


def test_the_constant_is_a_mean_over_patients_and_the_mean_slice_one_over_slices() -> None:
    studies = [study("a", 1.0, 1), study("a", 2.0, 3), study("b", 4.0, 1)]
    found = baselines_of(studies)  # type: ignore[arg-type]
    assert found is not None
    assert found.body_suv == pytest.approx((1.75 + 4.0) / 2)
    assert found.train_mean is not None
    assert found.train_mean[1, 1] == pytest.approx((1 + 3 * 2 + 4) / 5)
    assert found.train_mean[0, 0] == 0


def test_without_a_body_to_learn_from_there_is_none() -> None:
    assert baselines_of([]) is None
    assert baselines_of([study("a", 1.0, 2, body=False)]) is None  # type: ignore[arg-type]
