"""The part of the plane that is measured, and the regions in it."""

import numpy as np
import pytest
import torch

from petcast.evaluate.regions import Plane, Region
from petcast.metrics.similarity import halved


def image(rows: slice, columns: slice, size: tuple[int, int] = (61, 64)) -> np.ndarray:
    voxels = np.zeros((2, *size), np.float32)
    voxels[1, rows, columns] = np.random.default_rng(0).uniform(
        1, 2, voxels[1, rows, columns].shape
    )
    return voxels


def test_the_part_holds_every_image_and_what_a_window_sees_around_it() -> None:
    images = image(slice(21, 30), slice(20, 40)), image(slice(25, 33), slice(31, 45))
    plane = Plane.around(images)
    assert (plane.rows, plane.columns) == (slice(14, 40), slice(14, 52))
    assert plane.size == (61, 64)


def test_a_broadcast_slice_counts_like_its_copies() -> None:
    mean = image(slice(21, 30), slice(20, 40))[1]
    spread = np.broadcast_to(mean, (200, *mean.shape))
    assert Plane.around([spread]) == Plane.around([spread.copy()])


@pytest.mark.parametrize("side", [8, 61])
def test_where_nothing_is_the_part_still_holds_a_window(side: int) -> None:
    plane = Plane.around([np.zeros((3, side, side), np.float32)])
    assert plane.shape == (min(side, 12), min(side, 12))


@pytest.mark.parametrize(
    ("rows", "columns"),
    [(slice(21, 30), slice(20, 40)), (slice(0, 5), slice(50, 64)), (slice(50, 61), slice(0, 64))],
)
def test_halved_parts_come_back_to_their_place(rows: slice, columns: slice) -> None:
    whole = image(rows, columns)
    plane = Plane.around([whole])
    part = torch.from_numpy(whole[:, plane.rows, plane.columns].copy())
    torch.testing.assert_close(plane.place_halved(halved(part)), halved(torch.from_numpy(whole)))


def test_what_lies_beyond_the_part_counts() -> None:
    voxels = image(slice(21, 30), slice(20, 40))
    plane = Plane.around([voxels])
    mask = np.zeros(voxels.shape, bool)
    mask[:, 10:30, 5:35] = True
    filled = np.where(voxels > 0, voxels, 1).astype(np.float32)
    part = torch.from_numpy(filled[:, plane.rows, plane.columns].copy())
    found = Region.of(mask, plane).mean(part, beyond=1.0)
    assert found.tolist() == pytest.approx([one[mask[0]].mean() for one in filled])
    inner = Region.without_border(2, plane, 5).mean(part, beyond=1.0)
    assert inner.tolist() == pytest.approx(filled[:, 5:-5, 5:-5].mean(axis=(1, 2)).tolist())


def test_a_region_without_voxels_has_no_mean() -> None:
    voxels = image(slice(21, 30), slice(20, 40))
    plane = Plane.around([voxels])
    part = torch.from_numpy(voxels[:, plane.rows, plane.columns].copy())
    assert torch.isnan(Region.of(np.zeros(voxels.shape, bool), plane).mean(part)).all()
