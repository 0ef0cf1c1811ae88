"""Paired comparisons and the protocol's worth: known answers and laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petcast.study.compare import compare, holm, least_p, sign_flip_p, worth_of

differences = st.lists(st.floats(-5, 5, allow_subnormal=False), min_size=2, max_size=9)


@given(differences)
def test_p_lies_between_its_least_and_one_and_forgets_the_sign(values: list[float]) -> None:
    p = sign_flip_p(values)
    assert p is not None
    assert least_p(len(values)) <= p <= 1
    assert sign_flip_p([-value for value in values]) == p


@pytest.mark.parametrize("n", [2, 5, 6, 12])
def test_patients_that_all_agree_reach_the_least_p(n: int) -> None:
    assert sign_flip_p(np.linspace(1, 2, n)) == pytest.approx(least_p(n))


def test_differences_that_cancel_mean_nothing() -> None:
    assert sign_flip_p([1.0, -1.0, 2.0, -2.0]) == 1.0


def test_more_patients_than_can_be_tried_agree_with_the_exact_test() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, 15)
    exact = np.abs((_signs(15) * values).mean(axis=1)) >= abs(values.mean()) - 1e-12
    assert sign_flip_p(values) == pytest.approx(exact.mean(), abs=0.01)


def _signs(n: int) -> np.ndarray:
    return 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)


def test_holm_of_a_textbook_example() -> None:
    assert holm([0.01, 0.04, None, 0.03, 0.005]) == pytest.approx([0.03, 0.06, None, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_never_helps_and_keeps_the_order(ps: list[float]) -> None:
    corrected = holm(ps)
    assert all(c >= p for c, p in zip(corrected, ps, strict=True))
    assert [corrected[i] for i in np.argsort(ps)] == sorted(corrected)


def test_only_common_patients_are_compared() -> None:
    pair = compare({"a": 3.0, "b": 5.0, "c": 9.0}, {"a": 1.0, "b": 4.0, "d": 0.0})
    assert pair is not None
    assert (pair.value, pair.n, pair.p) == (1.5, 2, 0.5)
    assert compare({"a": 1.0}, {"b": 1.0}) is None


def test_one_patient_has_a_difference_and_nothing_else() -> None:
    pair = compare({"a": 3.0}, {"a": 1.0})
    assert pair is not None
    assert (pair.value, pair.low, pair.high, pair.p) == (2.0, None, None, None)


def test_the_worth_tells_picking_and_slices_from_the_rest() -> None:
    worth = worth_of(
        {"a": 33.0, "b": 34.0, "only here": 50.0}, {"a": 30.0, "b": 32.0},
        {"a": 32.5, "b": 33.0}, (29.0, 28.5),
    )  # fmt: skip
    assert worth is not None
    assert (worth.middle, worth.least, worth.most, worth.generators) == (2.5, 2.0, 3.0, 2)
    assert (worth.picking, worth.slices) == (0.75, 0.5)
    assert worth_of({"a": 1.0}, {}, {}, None) is None
