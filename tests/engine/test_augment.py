"""Motions: known answers, the same for CT and PET, and nothing where no knob asks for any."""

import math

import pytest
import torch

from petcast.dataset import Batch
from petcast.engine.augment import Motions, _places, draw, draw_tints, move, tint
from petcast.recipe import AugmentationRecipe

SIDE = 32


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(0)
    suv = torch.rand(2, SIDE, SIDE)
    return Batch(suv[:, None] * 100 - 50, suv, suv > 0.5)


def affine(a: float, b: float, x: float, c: float, d: float, y: float) -> Motions:
    return Motions(torch.tensor([[[a, b, x], [c, d, y]]]).expand(2, 2, 3))


def test_no_knob_no_motion() -> None:
    assert draw(AugmentationRecipe(), 3, 512.0) is None


@pytest.mark.slow
def test_standing_still_changes_nothing(batch: Batch) -> None:
    still = move(batch, affine(1, 0, 0, 0, 1, 0))
    torch.testing.assert_close(still.suv, batch.suv)
    torch.testing.assert_close(still.hu, batch.hu, rtol=1e-4, atol=1e-3)
    assert torch.equal(still.body, batch.body)


@pytest.mark.slow
def test_a_flip_mirrors_left_and_right_of_all_three(batch: Batch) -> None:
    motions = draw(AugmentationRecipe(flip=1.0), 2, 512.0)
    flipped = move(batch, motions)
    torch.testing.assert_close(flipped.suv, batch.suv.flip(-1))
    torch.testing.assert_close(flipped.hu, batch.hu.flip(-1), rtol=1e-4, atol=1e-3)
    assert torch.equal(flipped.body, batch.body.flip(-1))


@pytest.mark.slow
def test_a_shift_of_two_voxels_brings_air_and_no_uptake_in(batch: Batch) -> None:
    moved = move(batch, affine(1, 0, 4 / SIDE, 0, 1, 0))
    torch.testing.assert_close(moved.suv[:, :, :-2], batch.suv[:, :, 2:])
    assert (moved.suv[:, :, -2:] == 0).all()
    assert (moved.hu[..., -1] == -1024).all()


def test_draws_stay_within_the_knobs_and_come_again_with_the_seed() -> None:
    knobs = AugmentationRecipe(rotate_degrees=10, scale=0.1, shift_mm=8)
    torch.manual_seed(3)
    motions = draw(knobs, 500, 512.0).affine
    torch.manual_seed(3)
    assert torch.equal(draw(knobs, 500, 512.0).affine, motions)
    zoom = torch.linalg.det(motions[:, :, :2]).sqrt()
    angle = torch.atan2(motions[:, 1, 0], motions[:, 0, 0])
    assert 1 / 1.1 - 1e-6 <= zoom.min() < 0.95 < 1.05 < zoom.max() <= 1 / 0.9 + 1e-6
    assert math.radians(9) < angle.abs().max() <= math.radians(10) + 1e-6
    assert 7.5 < motions[:, :, 2].abs().max() * 256 <= 8 + 1e-4


def test_a_bend_pulls_ct_and_pet_alike_and_leaves_what_is_far_where_it_was(batch: Batch) -> None:
    """One of 8 × 8 points pulled by one voxel: bicubic weights end two points away."""
    bends = torch.zeros(2, 2, 8, 8)
    bends[:, 0, 2, 2] = 2 / SIDE
    still = affine(1, 0, 0, 0, 1, 0).affine
    bent = move(batch, Motions(still, bends))
    changed = (bent.suv != batch.suv).any(0)
    assert changed[8:12, 8:12].all()
    assert not changed[:, 18:].any()
    assert not changed[18:].any()
    # Brightness and HU were one image before, and are one after.
    torch.testing.assert_close(bent.hu[:, 0], bent.suv * 100 - 50, rtol=1e-3, atol=1e-2)


def test_bends_stay_within_the_knob_and_come_again_with_the_seed() -> None:
    torch.manual_seed(3)
    motions = draw(AugmentationRecipe(bend_mm=16), 100, 512.0)
    assert motions.bends.shape == (100, 2, 8, 8)
    assert 15.9 < motions.bends.abs().max() * 256 <= 16
    torch.manual_seed(3)
    assert torch.equal(draw(AugmentationRecipe(bend_mm=16), 100, 512.0).bends, motions.bends)
    assert torch.equal(motions.at([7, 3]).bends, motions.bends[[7, 3]])
    torch.manual_seed(3)  # who does not bend draws no number for it
    assert torch.equal(draw(AugmentationRecipe(scale=0.1), 100, 512.0).affine[:, 0, 1],
                       torch.zeros(100))  # fmt: skip


@pytest.mark.slow
def test_a_quarter_of_the_points_distance_folds_nothing() -> None:
    """The map's determinant stays positive, or tissue would lie twice on top of itself."""
    torch.manual_seed(0)
    motions = draw(AugmentationRecipe(bend_mm=16), 400, 512.0)
    places = _places(motions, torch.zeros(400, 1, 64, 64)) * 32  # in voxels
    along_x = (places[:, :-1, 1:] - places[:, :-1, :-1]).unbind(-1)
    along_y = (places[:, 1:, :-1] - places[:, :-1, :-1]).unbind(-1)
    assert (along_x[0] * along_y[1] - along_x[1] * along_y[0]).min() > 0


def test_lesions_move_with_the_pet(batch: Batch) -> None:
    marked = Batch(batch.hu, batch.suv, batch.body, batch.body)
    moved = move(marked, affine(1, 0, 4 / SIDE, 0, 1, 0))
    assert moved.lesions is not None
    assert torch.equal(moved.lesions, moved.body)


def tinted(hu: torch.Tensor, **knobs: float) -> torch.Tensor:
    torch.manual_seed(0)
    tints = draw_tints(AugmentationRecipe(**knobs), len(hu))
    assert tints is not None
    return tint(hu, tints)


def test_a_tint_changes_each_slice_within_the_knobs_and_air_the_least() -> None:
    hu = torch.full((400, 3, 2, 2), 40.0)
    hu[..., 0] = -1024
    changed = tinted(hu, hu_scale=0.05, hu_shift=20) - hu
    assert torch.equal(changed[:, 0], changed[:, 2])
    air, tissue = changed[:, 0, 0, 0], changed[:, 0, 0, 1]
    assert 19 < air.abs().max() <= 20 + 1e-3
    assert 50 < (tissue - air).abs().max() <= 1064 * 0.05 + 1e-3


def test_no_knob_no_tint_and_nothing_drawn() -> None:
    torch.manual_seed(0)
    assert draw_tints(AugmentationRecipe(flip=1), 3) is None
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), drawn)


def test_noise_is_of_another_strength_in_each_slice() -> None:
    noise = tinted(torch.zeros(200, 1, 64, 64), hu_noise=30).std(dim=(1, 2, 3))
    assert 0 < noise.min() < 3
    assert 27 < noise.max() < 31


def test_a_slice_is_tinted_alike_whatever_lies_beside_it() -> None:
    torch.manual_seed(0)
    hu = torch.rand(6, 3, 8, 8) * 100
    tints = draw_tints(AugmentationRecipe(hu_scale=0.1, hu_shift=20, hu_noise=30), len(hu))
    assert tints is not None
    whole = tint(hu, tints)
    assert not torch.equal(whole[4] - hu[4], whole[1] - hu[1])
    assert torch.equal(tint(hu[[4, 1]], tints.at([4, 1])), whole[[4, 1]])
