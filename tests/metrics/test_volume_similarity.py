"""SSIM over volumes against torchmetrics, scikit-image and brute force."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from petcast.errors import GeometryError
from petcast.metrics import volume_similarity
from petcast.metrics.volume_similarity import ssim_3d, ssim_3d_map
from petcast.volume import Unit, Volume

EVEN = (2.0, 2.0, 2.0)
TOLERANCE = 1e-5


def pair(seed: int, shape: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(shape, generator=generator)
    return (truth + 0.3 * torch.randn(shape, generator=generator)).clamp(0, 1), truth


def assert_equals_both(prediction: torch.Tensor, truth: torch.Tensor) -> None:
    theirs = structural_similarity_index_measure(
        prediction[None, None], truth[None, None], data_range=1.0
    )
    ours = ssim_3d_map(prediction, truth, data_range=1.0, spacing_mm=EVEN)
    assert float(ours.mean()) == pytest.approx(float(theirs), abs=TOLERANCE)
    whole = ssim_3d(prediction, truth, data_range=1.0, spacing_mm=EVEN)
    assert whole == pytest.approx(float(theirs), abs=TOLERANCE)
    theirs = structural_similarity(
        prediction.numpy(), truth.numpy(), data_range=1.0,
        gaussian_weights=True, use_sample_covariance=False, sigma=1.5,
    )  # fmt: skip
    assert float(ours[5:-5, 5:-5, 5:-5].mean()) == pytest.approx(theirs, abs=TOLERANCE)


@pytest.mark.parametrize("seed", range(3))
def test_isotropic_volumes_score_as_in_torchmetrics_and_scikit_image(seed: int) -> None:
    assert_equals_both(*pair(seed, (14, 20, 18)))


@pytest.mark.real
def test_a_real_pet_scores_as_in_both(real_data: Path) -> None:
    suv = Volume.load(real_data / "volumes" / "ge_a_pet.nii.gz", Unit.SUV).voxels[70:90]
    truth = torch.from_numpy(suv.astype(np.float32)).div(10).clamp(0, 1)
    assert_equals_both(truth.roll(2, -1), truth)


def window(spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """The three-dimensional weights, written out."""
    sigmas = 1.5 * spacing_mm[2] / spacing_mm[0], 1.5, 1.5
    radii = [int(3.5 * sigma + 0.5) for sigma in sigmas]
    axes = np.meshgrid(*(np.arange(-r, r + 1) for r in radii), indexing="ij")
    weights = np.exp(-0.5 * sum((a / s) ** 2 for a, s in zip(axes, sigmas, strict=True)))
    return np.asarray(weights / weights.sum())


def brute_force(p: np.ndarray, t: np.ndarray, weights: np.ndarray, place: list[int]) -> float:
    reach = [size // 2 for size in weights.shape]
    windows = [
        np.pad(image.astype(np.float64), [(r, r) for r in reach], mode="reflect")[
            tuple(slice(at, at + size) for at, size in zip(place, weights.shape, strict=True))
        ]
        for image in (p, t)
    ]
    mean_p, mean_t = ((weights * one).sum() for one in windows)
    deviations = windows[0] - mean_p, windows[1] - mean_t
    var_p, var_t = ((weights * one**2).sum() for one in deviations)
    covariance = (weights * deviations[0] * deviations[1]).sum()
    luminance = (2 * mean_p * mean_t + 1e-4) / (mean_p**2 + mean_t**2 + 1e-4)
    return float(luminance * (2 * covariance + 9e-4) / (var_p + var_t + 9e-4))


@pytest.mark.slow
@pytest.mark.parametrize("spacing_mm", [EVEN, (3.27, 2.0, 2.0), (5.0, 2.0, 2.0), (1.5, 2.0, 2.0)])
def test_masked_values_equal_brute_force_on_any_spacing(
    spacing_mm: tuple[float, float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume_similarity, "SLAB", 5)  # seams between slabs must not show
    prediction, truth = pair(4, (13, 12, 14))
    mask = torch.rand(truth.shape, generator=torch.Generator().manual_seed(5)) > 0.9
    weights, places = window(spacing_mm), np.argwhere(mask.numpy()).tolist()
    one_by_one = [brute_force(prediction.numpy(), truth.numpy(), weights, p) for p in places]
    ours = ssim_3d(prediction, truth, data_range=1.0, spacing_mm=spacing_mm, mask=mask)
    assert ours == pytest.approx(float(np.mean(one_by_one)), abs=TOLERANCE)


def test_a_flip_or_an_order_of_the_two_changes_nothing() -> None:
    prediction, truth = pair(6, (9, 12, 12))
    value = ssim_3d(prediction, truth, data_range=1.0, spacing_mm=(3.0, 2.0, 2.0))
    for other in ((truth, prediction), (prediction.flip(0), truth.flip(0))):
        again = ssim_3d(*other, data_range=1.0, spacing_mm=(3.0, 2.0, 2.0))
        assert again == pytest.approx(value, abs=1e-6)


def test_an_empty_mask_gives_no_value_and_a_full_one_is_none() -> None:
    prediction, truth = pair(7, (8, 12, 12))
    keys = {"data_range": 1.0, "spacing_mm": EVEN}
    assert math.isnan(ssim_3d(prediction, truth, mask=truth > 2, **keys))
    full = ssim_3d(prediction, truth, mask=truth >= 0, **keys)
    assert full == pytest.approx(ssim_3d(prediction, truth, **keys), abs=1e-7)


def test_too_few_slices_and_wrong_shapes_are_refused() -> None:
    prediction, truth = pair(8, (5, 12, 12))
    with pytest.raises(GeometryError, match="more than 5 slices"):
        ssim_3d(prediction, truth, data_range=1.0, spacing_mm=EVEN)
    with pytest.raises(GeometryError, match="positive"):
        ssim_3d(prediction, truth, data_range=1.0, spacing_mm=(0.0, 2.0, 2.0))
    with pytest.raises((GeometryError, TypeCheckError), match=r"mask|Type-check"):
        ssim_3d(prediction, truth, data_range=1.0, spacing_mm=EVEN, mask=torch.ones(5, 12, 11) > 0)
