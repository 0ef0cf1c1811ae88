"""Slices to patients to intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petcast.evaluate.statistics import Scores, bootstrap_interval, few_patients, summarise

KEY = ("body", "mae")


def scores_of(**patients: list[float]) -> Scores:
    scores = Scores()
    for patient, slices in patients.items():
        scores.add("model", patient, {KEY: np.array(slices)})
    return scores


def test_a_patient_with_many_slices_counts_as_much_as_one_with_few() -> None:
    rows = summarise(scores_of(a=[1.0] * 99, b=[3.0]).patients(), seed=0)
    assert (rows[0].value, rows[0].n) == (2.0, 2)


def test_slices_without_the_region_are_left_out_and_counted() -> None:
    [row] = scores_of(a=[1.0, np.nan, 3.0]).patients()
    assert (row.value, row.slices) == (2.0, 2)


def test_a_patient_without_the_region_has_no_row() -> None:
    rows = summarise(scores_of(a=[np.nan], b=[1.0]).patients(), seed=0)
    assert [row.n for row in rows] == [1]


def test_two_studies_of_a_patient_are_one_patient() -> None:
    scores = scores_of(a=[1.0])
    scores.add("model", "a", {KEY: np.array([2.0, 6.0])})
    [row] = summarise(scores.patients(), seed=0)
    assert (row.value, row.n) == (3.0, 1)


def test_one_patient_has_no_interval() -> None:
    [row] = summarise(scores_of(a=[1.0, 2.0]).patients(), seed=0)
    assert row.low is None
    assert row.high is None


def test_two_patients_have_at_most_their_own_range() -> None:
    assert bootstrap_interval([1.0, 3.0], seed=0) == (1.0, 3.0)


def test_the_seed_alone_decides_and_the_order_of_patients_does_not() -> None:
    one = summarise(scores_of(a=[1.0], b=[2.0], c=[4.0]).patients(), seed=3)
    other = summarise(scores_of(c=[4.0], a=[1.0], b=[2.0]).patients(), seed=3)
    assert one == other
    values = np.random.default_rng(0).normal(size=12)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=15), st.floats(-50, 50))
def test_an_interval_holds_the_mean_and_moves_with_the_values(
    values: list[float], shift: float
) -> None:
    low, high = bootstrap_interval(values, seed=0) or (np.nan, np.nan)
    assert low - 1e-9 <= np.mean(values) <= high + 1e-9
    moved = bootstrap_interval([value + shift for value in values], seed=0)
    assert moved == pytest.approx((low + shift, high + shift), abs=1e-6)


def test_a_note_says_when_patients_are_few() -> None:
    assert "no interval" in few_patients(1)[0].detail
    assert "3 patients" in few_patients(3)[0].detail
    assert "likely too narrow" in few_patients(5)[0].detail
    assert len(few_patients(9)) == 1
    assert few_patients(10) == []


@pytest.mark.parametrize(("n", "at_best"), [(2, 50), (3, 75), (4, 88)])
def test_few_patients_are_told_how_often_their_interval_holds(n: int, at_best: int) -> None:
    """What is called a 95 % interval over two patients holds the mean every second time."""
    assert f"{at_best} times out of 100 at best" in few_patients(n)[0].detail
    drawn = np.random.default_rng(5).normal(size=(300, n))
    ends = [bootstrap_interval(values, seed=0, draws=500) or (np.nan, np.nan) for values in drawn]
    held = np.mean([low <= 0 <= high for low, high in ends])
    assert held <= at_best / 100 + 0.06


DRAWN = {
    "normal": (lambda rng, n: rng.normal(size=n), 0.0),
    "lognormal": (lambda rng, n: rng.lognormal(0, 0.5, n), float(np.exp(0.125))),
    "exponential": (lambda rng, n: rng.exponential(size=n), 1.0),
    "left-skewed": (lambda rng, n: -rng.gamma(2, 1, n), -2.0),
}
"""How patients' values scatter, and their true mean; skewness 0, 1.75, 2 and −1.4."""


def coverage(n: int, draw: str, repetitions: int = 2000) -> float:
    """How often the interval holds the true mean."""
    rng, (drawn, mean) = np.random.default_rng(20), DRAWN[draw]
    hits = 0
    for _ in range(repetitions):
        low, high = bootstrap_interval(drawn(rng, n), seed=0, draws=2000) or (np.nan, np.nan)
        hits += low <= mean <= high
    return hits / repetitions


@pytest.mark.slow
@pytest.mark.parametrize(("n", "draw"), [*((30, draw) for draw in DRAWN), (10, "normal")])
def test_the_interval_covers_what_it_says(n: int, draw: str) -> None:
    assert 0.92 <= coverage(n, draw) <= 0.97
