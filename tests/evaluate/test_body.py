"""The body on a PET: its largest part, filled, wherever in the image it lies."""

import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes, label

from petcast.evaluate.body import body_on_truth


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.35, 0.5, 0.75])
def test_it_is_the_largest_part_filled_slice_by_slice(seed: int, share: float) -> None:
    suv = np.zeros((5, 30, 26))
    rng = np.random.default_rng(seed)
    top, left = rng.integers(0, 12, 2)
    suv[:, top : top + 18, left : left + 14] = rng.uniform(size=(5, 18, 14)) < share
    suv[1:3, -3:, -2:] = 1  # a table
    labels, _ = label(suv > 0.1)
    sizes = np.bincount(labels.ravel())[1:]
    largest = labels == sizes.argmax() + 1
    expected = np.stack([binary_fill_holes(one) for one in largest])
    assert (body_on_truth(suv) == expected).all()


@pytest.mark.parametrize(("suv", "is_body"), [(0.05, False), (0.2, True)])
def test_air_is_no_body_and_cold_tissue_is(suv: float, is_body: bool) -> None:
    image = np.zeros((2, 12, 12))
    image[:, 3:9, 3:9] = suv
    assert (body_on_truth(image) == (image > 0 if is_body else image > 1)).all()


def test_a_body_that_fills_the_image_is_whole() -> None:
    suv = np.ones((2, 12, 12))
    suv[:, 5:7, 5:7] = 0
    assert body_on_truth(suv).all()
    assert not body_on_truth(np.zeros((2, 12, 12))).any()
