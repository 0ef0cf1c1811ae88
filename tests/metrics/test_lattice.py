"""The checkerboard index: planted lattices are found, clean images have none."""

from collections.abc import Callable

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from numpy.typing import NDArray

from petcast.errors import GeometryError
from petcast.metrics.lattice import (
    MOST_SLICES,
    Lattice,
    _contrasts,
    find_lattice,
    slices_to_measure,
)

Kind = tuple[int, str]
KINDS: list[Kind] = [(period, axis) for period in (2, 4, 8) for axis in ("x", "y", "both")]


def pattern(shape: tuple[int, ...], period_px: int, axis: str, shift: int = 0) -> NDArray:
    """+1 and −1 in turn, each for half a period, along an axis or as a checkerboard."""
    y, x = (1.0 - 2.0 * ((np.arange(size) + shift) // (period_px // 2) % 2) for size in shape[-2:])
    return {"x": np.ones_like(y)[:, None] * x, "y": y[:, None] * np.ones_like(x)}.get(
        axis, y[:, None] * x
    )


def planted(suv: NDArray, share: float, kind: Kind, shift: int = 0) -> NDArray:
    """The image times 1 ± share."""
    return (suv * (1 + share * pattern(suv.shape, *kind, shift=shift))).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_known_lattice_is_found_with_its_period_axis_and_strength(
    kind: Kind, noisy_disc: Callable
) -> None:
    picture = noisy_disc(1, 2.0, noise=0.05)
    found = find_lattice(planted(picture.suv, 0.05, kind), picture.body)
    assert found.found
    assert (found.period_px, found.axis) == kind
    assert found.strength == pytest.approx(0.05, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("period", [2, 4, 8])
def test_the_strength_grows_with_the_planted_one(period: int, noisy_disc: Callable) -> None:
    picture = noisy_disc(2, 1.5, noise=0.02)
    shares = (0.01, 0.02, 0.04, 0.08)
    results = [
        find_lattice(planted(picture.suv, share, (period, "both")), picture.body)
        for share in shares
    ]
    strengths = np.array([result.strength for result in results])
    assert (np.diff(strengths) > 0).all()
    np.testing.assert_allclose(strengths, shares, rtol=0.15)


@pytest.mark.parametrize(
    ("contrast_db", "strength", "called"),
    [(14.0, 0.05, False), (16.0, 0.05, True), (30.0, 3e-4, False), (30.0, 8e-4, True)],
)
def test_fifteen_decibels_and_a_share_of_the_uptake_make_a_lattice(
    contrast_db: float, strength: float, called: bool
) -> None:
    line = np.zeros(3, np.float32)
    assert Lattice(contrast_db, strength, 2, "x", line, line, line).found is called


@pytest.mark.parametrize("period", [2, 4])
def test_the_spectrum_shows_the_lattice_where_it_is(period: int, noisy_disc: Callable) -> None:
    picture = noisy_disc(3, 1.5)
    found = find_lattice(planted(picture.suv, 0.1, (period, "x")), picture.body)
    assert found.frequency_per_px[found.along_x.argmax()] == 1 / period
    assert len(found.along_x) == len(found.along_y) == len(found.frequency_per_px)
    assert found.along_x.max() > found.along_y[found.frequency_per_px == 1 / period][0] + 10
    assert found.strength == pytest.approx(0.1, rel=0.1)


def test_every_multiple_of_an_eighth_is_looked_at_once() -> None:
    """A real image has the same energy at opposite frequencies: the two are looked at as one."""
    looked_at = _contrasts(np.ones((256, 256)), np.ones((29, 29), bool))
    ways = range(8)
    once = {min((i, j), (-i % 8, -j % 8)) for i in ways for j in ways} - {(0, 0)}
    assert {min((i % 8, j % 8), (-i % 8, -j % 8)) for i, j in looked_at} == once
    assert len(looked_at) == len(once) == 33


GRAINS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""White noise to coarse blobs: standard deviation of their correlation, in voxels."""


@pytest.mark.slow
@pytest.mark.parametrize("grain", GRAINS)
def test_noise_of_any_grain_shows_no_lattice_and_a_planted_one_is_seen(
    grain: float, noisy_disc: Callable
) -> None:
    for seed in range(100):
        picture = noisy_disc(seed, grain)
        assert not find_lattice(picture.suv, picture.body).found, seed
        spoilt = planted(picture.suv, 0.1, KINDS[seed % len(KINDS)], shift=seed)
        assert find_lattice(spoilt, picture.body).found, seed


@pytest.mark.slow
def test_a_checkerboard_of_one_percent_is_seen_in_phantoms_and_none_without(
    phantom_pet: Callable,
) -> None:
    for seed in range(100):
        picture = phantom_pet(seed % 10, (128, 192)[seed % 2])
        rng = np.random.default_rng(seed)
        suv = picture.suv * rng.normal(1, 0.01, picture.suv.shape).astype(np.float32)
        assert not find_lattice(suv, picture.body).found, seed
        spoilt = planted(suv, 0.01, (2, "both"), shift=seed)
        assert find_lattice(spoilt, picture.body).found, seed


@pytest.mark.slow
@pytest.mark.real
def test_a_checkerboard_of_one_percent_is_seen_in_real_pet_and_none_without(
    real_pets: list, gaussian: Callable
) -> None:
    for seed in range(100):
        picture = real_pets[seed % 2].few(seed)
        blurred = gaussian(picture.suv, (0, 0.4, 0.8, 1.5, 3)[seed // 2 % 5])
        assert not find_lattice(blurred, picture.body).found, seed
        for suv in (picture.suv, blurred):
            spoilt = planted(suv, 0.01, (2, "both"), shift=seed)
            assert find_lattice(spoilt, picture.body).found, seed


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_one_percent_of_the_window_is_seen_in_real_pet_at_every_period(
    kind: Kind, real_pets: list
) -> None:
    """0.1 SUV inside the body, where the window is 0…10."""
    for seed in range(20):
        picture = real_pets[seed % 2].few(seed)
        added = 0.1 * pattern(picture.suv.shape, *kind, shift=seed) * picture.body
        assert find_lattice(picture.suv + added, picture.body).found, seed


@pytest.mark.slow
def test_what_looks_regular_but_is_no_lattice_is_left_alone(noisy_disc: Callable) -> None:
    picture = noisy_disc(4, 2.0)
    half = picture.suv[:, ::2, ::2]
    doubled = half.repeat(2, axis=1).repeat(2, axis=2)  # nearest-neighbour magnification
    linear = (picture.suv + np.roll(picture.suv, 1, 2)) / 2
    coarse = np.round(picture.suv * 25.5) / 25.5  # 8 bits over a window of 10
    flat = picture.body.astype(np.float32)
    for name, image in {
        "doubled": doubled,
        "linear": linear,
        "8 bits": coarse,
        "flat": flat,
    }.items():
        assert not find_lattice(image, picture.body).found, name


def test_a_rectangle_has_edges_but_no_lattice() -> None:
    body = np.zeros((4, 128, 128), dtype=bool)
    body[:, 32:96, 24:104] = True
    image = np.where(body, 1, 0).astype(np.float32)
    image[:, 48:64, 40:56] = 6
    assert not find_lattice(image, body).found


def test_rounding_is_not_called_a_lattice(noisy_disc: Callable) -> None:
    body = noisy_disc(5, 1.0).body
    faint = (1 + 1e-4 * pattern(body.shape, 2, "both")) * body
    assert not find_lattice(faint.astype(np.float32), body).found


def test_no_body_is_refused() -> None:
    with pytest.raises((GeometryError, TypeCheckError), match=r"body|Type-check"):
        find_lattice(np.zeros((2, 16, 16)), np.zeros((2, 16, 16), dtype=bool))


def test_slices_are_spread_over_the_scan() -> None:
    body = np.zeros((200, 2, 2), dtype=bool)
    body[50:55, 1, 1] = True
    assert slices_to_measure(body).tolist() == [50, 51, 52, 53, 54]
    body[:] = True
    places = slices_to_measure(body)
    assert len(places) == MOST_SLICES
    assert (places[0], places[-1]) == (1, 198)
    assert set(np.diff(places)) == {3, 4}
