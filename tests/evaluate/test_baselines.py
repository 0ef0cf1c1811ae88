"""The blurred truth is the same however many slices are blurred at once."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from petcast.evaluate.baselines import BLURRED_TRUTH_FWHM_MM, SLICES_AT_ONCE, blurred_truth
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
