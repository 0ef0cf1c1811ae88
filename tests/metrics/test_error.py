"""NRMSE against scikit-image and plain arithmetic."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import normalized_root_mse

from petcast.metrics.error import nrmse
from petcast.volume import Unit, Volume


def pair(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand((3, 12, 14), generator=generator)
    return truth + torch.randn(truth.shape, generator=generator), truth


@pytest.mark.parametrize("seed", range(10))
def test_nrmse_is_that_of_scikit_image(seed: int) -> None:
    prediction, truth = pair(seed)
    theirs = normalized_root_mse(truth.numpy(), prediction.numpy(), normalization="euclidean")
    assert nrmse(prediction, truth) == pytest.approx(float(theirs), abs=1e-5)


@pytest.mark.real
def test_nrmse_of_a_real_pet_is_that_of_scikit_image(real_data: Path) -> None:
    suv = Volume.load(real_data / "volumes" / "ge_a_pet.nii.gz", Unit.SUV).voxels[40:80]
    truth = torch.from_numpy(suv.astype(np.float32))
    prediction = truth.roll(2, -1)
    theirs = normalized_root_mse(truth.numpy(), prediction.numpy(), normalization="euclidean")
    assert nrmse(prediction, truth) == pytest.approx(float(theirs), abs=1e-5)


def test_nrmse_in_a_mask_counts_its_voxels_alone() -> None:
    prediction, truth = pair(1)
    mask = torch.rand(truth.shape, generator=torch.Generator().manual_seed(2)) > 0.7
    mask[1] = False  # a slice without the region has no say
    errors, norms = [], []
    for place in np.argwhere(mask.numpy()).tolist():
        p, t = float(prediction[tuple(place)]), float(truth[tuple(place)])
        errors.append((p - t) ** 2)
        norms.append(t**2)
    expected = math.sqrt(sum(errors) / sum(norms))
    assert nrmse(prediction, truth, mask=mask) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@given(st.integers(0, 2**31), st.floats(0.1, 100))
def test_an_all_zero_prediction_has_one_and_units_do_not_matter(seed: int, unit: float) -> None:
    prediction, truth = pair(seed)
    assert nrmse(torch.zeros_like(truth), truth) == pytest.approx(1, rel=1e-6)
    assert nrmse(prediction * unit, truth * unit) == pytest.approx(
        nrmse(prediction, truth), rel=1e-5
    )


def test_a_truth_that_is_zero_gives_no_value() -> None:
    zero = torch.zeros(2, 4, 4)
    assert math.isnan(nrmse(zero + 1, zero))
    assert math.isnan(nrmse(zero, zero + 1, mask=zero > 1))


def test_a_prediction_that_is_not_a_number_has_no_error_of_zero() -> None:
    prediction, truth = pair(3)
    prediction[0] = math.nan
    assert math.isnan(nrmse(prediction, truth))
    outside = torch.ones(truth.shape, dtype=torch.bool)
    outside[0] = False
    assert nrmse(prediction, truth, mask=outside) > 0
