"""Intervals of known distributions hold what they should; a better spread makes them narrower."""

import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petcast.uncertainty.calibrate import (
    FLOOR_SHARES,
    Scale,
    Voxels,
    balanced_quantile,
    calibrate,
    coverage,
    interval_score,
    scale_with_floor,
)
from petcast.uncertainty.held import HeldVoxels

N = 40_000


def patient(seed: int, noise: str, n: int = N) -> Voxels:
    """Errors whose own scale differs from voxel to voxel, and a spread that knows it."""
    draw = np.random.default_rng(seed)
    scale = draw.lognormal(-1, 0.8, n)
    error = {"normal": draw.standard_normal, "laplace": lambda size: draw.laplace(size=size)}
    return Voxels(np.abs(error[noise](n) * scale), scale * 7)


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["normal", "laplace"])
def test_nine_of_ten_voxels_of_new_patients_lie_inside(noise: str) -> None:
    scale = calibrate([patient(seed, noise) for seed in range(5)])
    for seed in range(5, 10):
        assert coverage(patient(seed, noise), scale) == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(("noise", "quantile"), [("normal", 1.6449), ("laplace", math.log(10))])
def test_the_factor_is_the_quantile_of_the_distribution(noise: str, quantile: float) -> None:
    scale = scale_with_floor([patient(seed, noise) for seed in range(5)], 1e-6)
    assert scale.factor * 7 == pytest.approx(quantile, rel=0.02)


def test_the_less_a_spread_knows_the_higher_is_its_floor() -> None:
    """The least of those tried where errors follow it, the greatest where they do not."""
    knowing = [patient(seed, "normal", 3000) for seed in range(3)]
    misled = [Voxels(voxels.error, voxels.spread[::-1]) for voxels in knowing]
    usual = float(np.mean([voxels.spread.mean() for voxels in knowing]))
    chosen = [calibrate(patients).floor_suv / usual for patients in (knowing, misled)]
    assert chosen == pytest.approx([FLOOR_SHARES[0], FLOOR_SHARES[-1]])


@pytest.mark.slow
def test_a_spread_that_says_nothing_still_holds_nine_of_ten() -> None:
    def blind(seed: int) -> Voxels:
        voxels = patient(seed, "normal")
        return Voxels(voxels.error, np.zeros_like(voxels.spread))

    scale = calibrate([blind(seed) for seed in range(5)])
    assert coverage(blind(9), scale) == pytest.approx(0.9, abs=0.01)
    knowing = calibrate([patient(seed, "normal") for seed in range(5)])
    assert interval_score(patient(9, "normal"), knowing) < interval_score(blind(9), scale)


def test_each_patient_weighs_the_same_however_many_voxels_there_are() -> None:
    small, large = patient(0, "normal", 1000), patient(1, "normal", N)
    twice = Voxels(2 * large.error, large.spread)
    scale = scale_with_floor([small, twice], 0.01)
    mean = (coverage(small, scale) + coverage(twice, scale)) / 2
    assert mean == pytest.approx(0.9, abs=0.002)
    assert coverage(small, scale) > 0.95


@pytest.mark.slow
@given(
    st.lists(
        st.lists(st.floats(0, 10), min_size=1, max_size=8).map(np.array), min_size=1, max_size=4
    ),
    st.floats(0.05, 0.95),
)
def test_the_balanced_quantile_is_the_least_that_reaches_the_level(groups, level: float) -> None:
    def reached(value: float) -> float:
        return float(np.mean([np.mean(group <= value) for group in groups]))

    found = balanced_quantile(groups, level)
    below = [value for group in groups for value in group if value < found]
    assert reached(found) >= level - 1e-9
    assert not below or reached(max(below)) < level + 1e-9


def test_of_one_group_it_is_the_plain_quantile() -> None:
    sample = np.random.default_rng(0).random(999)
    expected = np.quantile(sample, 0.9, method="inverted_cdf")
    assert balanced_quantile([sample], 0.9) == expected


def test_a_cohort_on_disk_gives_the_same_numbers_and_is_read_patient_by_patient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("petcast.uncertainty.calibrate.FLOOR_SHARES", (0.1, 1.0))
    drawn = {str(seed): patient(seed, "laplace", 3000) for seed in range(20)}
    known = {name: Voxels(*(v.astype(np.float32) for v in (one.error, one.spread)))
             for name, one in drawn.items()}  # fmt: skip
    held = HeldVoxels(tmp_path)
    for half in (slice(0, 1000), slice(1000, 3000)):  # two studies of each
        for name, one in known.items():
            held.add(name, Voxels(one.error[half], one.spread[half]))
    held.add("without a body", Voxels(np.zeros(0, np.float32), np.zeros(0, np.float32)))
    assert list(held) == list(known)
    tracemalloc.start()
    scale = calibrate(held.values())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * known["0"].error.nbytes * 2  # of one patient, not of twenty
    assert scale == calibrate(list(known.values()))
    scores = [one.error / (one.spread + scale.floor_suv) for one in known.values()]
    expected = np.quantile(np.concatenate(scores), 0.9, method="inverted_cdf")
    assert scale.factor == expected
    assert not list(tmp_path.iterdir())


def test_the_interval_score_by_hand() -> None:
    voxels = Voxels(np.array([0.5, 3.0]), np.array([1.0, 1.0]))
    assert interval_score(voxels, Scale(2.0, 0.0), 0.9) == pytest.approx((4 + (4 + 20 * 1)) / 2)


def test_the_interval_score_is_least_at_the_true_quantile() -> None:
    voxels = Voxels(np.abs(np.random.default_rng(0).standard_normal(N)), np.ones(N))
    scores = {f: interval_score(voxels, Scale(f, 0.0)) for f in (1.2, 1.4, 1.645, 1.9, 2.2)}
    assert min(scores, key=scores.__getitem__) == 1.645


def test_only_the_voxels_of_the_region_count() -> None:
    mask = np.array([[[True, False]]])
    pet, truth = np.array([[[1.0, 9.0]]]), np.array([[[3.0, 0.0]]])
    voxels = Voxels.inside(pet, truth, pet, mask)
    assert voxels.error.tolist() == [2.0]
    assert voxels.spread.tolist() == [1.0]
