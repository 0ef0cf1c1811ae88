"""Paired comparisons: known answers, laws, and power by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petcast.evaluate.comparison import (
    RANDOM_PATTERNS,
    compare,
    compare_rows,
    describe_power,
    holm,
    least_difference,
    least_p,
    sign_flip_p,
)
from petcast.evaluate.result import PatientRow

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


def test_p_of_random_patterns_is_never_zero() -> None:
    assert sign_flip_p(np.linspace(1, 2, 30)) == 1 / (RANDOM_PATTERNS + 1)


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


def patient_rows(name: str, values: list[float], metric: str = "suv_mae") -> list[PatientRow]:
    return [PatientRow(name, f"p{i}", "body", metric, v, 3) for i, v in enumerate(values)]


def test_the_model_is_compared_with_every_other_row_in_one_family() -> None:
    mine, close, far = [1.0, 2.0, 3.0, 2.5], [1.1, 1.9, 3.2, 2.4], [4.0, 5.5, 6.0, 5.0]
    rows = [
        *patient_rows("model", mine), *patient_rows("zero", far),
        *patient_rows("model / stage 1", close), *patient_rows("model", mine, "suv_bias"),
        *patient_rows("zero", far, "suv_bias"),
    ]  # fmt: skip
    found = compare_rows(rows, "model")
    assert [(row.reference, row.metric) for row in found] == [
        ("zero", "suv_mae"), ("model / stage 1", "suv_mae"),
    ]  # fmt: skip
    zero, stage = found
    assert zero.difference == pytest.approx(np.mean(mine) - np.mean(far))
    assert (zero.p, stage.p) == (
        0.125,
        1.0,
    )  # −0.1, 0.1, −0.2, 0.1: no pattern comes nearer to zero
    assert (zero.p_holm, stage.p_holm) == (0.25, 1.0)
    assert (zero.verdict, zero.n) == ("undecided", 4)  # p cannot fall below 0.125


@pytest.mark.parametrize(("metric", "verdict"), [("suv_mae", "better"), ("psnr", "worse")])
def test_more_is_better_for_some_and_worse_for_others(metric: str, verdict: str) -> None:
    mine, theirs = np.linspace(1, 2, 8), np.linspace(3, 5, 8)
    rows = [*patient_rows("m", [*mine], metric), *patient_rows("zero", [*theirs], metric)]
    [found] = compare_rows(rows, "m")
    assert (found.verdict, found.p_holm) == (verdict, 2 / 2**8)


def test_one_patient_decides_nothing() -> None:
    [row] = compare_rows([*patient_rows("model", [1.0]), *patient_rows("zero", [9.0])], "model")
    assert (row.low, row.p, row.least_difference, row.verdict) == (None, None, None, "undecided")
    assert describe_power([row]) == []


def test_the_least_difference_is_the_textbooks() -> None:
    """Cohen 1988: 34 pairs find half a standard deviation at 80 % power, two-sided 0.05."""
    values = np.random.default_rng(0).normal(size=34)
    assert least_difference(values) == pytest.approx(0.5 * values.std(ddof=1), rel=0.02)
    assert least_difference([1.0, 1.0]) is None


@pytest.mark.slow
@pytest.mark.parametrize("n", [8, 12])
def test_the_sign_flip_test_finds_that_difference_four_times_out_of_five(n: int) -> None:
    rng = np.random.default_rng(1)
    unit = rng.normal(size=n)
    unit /= unit.std(ddof=1)
    shift = least_difference(unit) or 0.0
    ps = [sign_flip_p(rng.normal(shift, 1, n)) or 1.0 for _ in range(1500)]
    assert 0.74 < np.mean(np.array(ps) < 0.05) < 0.86


def test_few_patients_are_told_what_they_cannot_show() -> None:
    mine, zero = [1.0, 2.0, 3.0], [1.5, 2.2, 4.4]
    found = compare_rows([*patient_rows("model", mine), *patient_rows("zero", zero)], "model")
    [note] = describe_power(found)
    assert note.code == "LOW-POWER"
    assert "3 patients no difference can be told" in note.detail
    assert "p = 0.25" in note.detail
    assert "differ by" not in note.detail  # nothing would be decided by it
    enough = [*patient_rows("model", mine * 2), *patient_rows("zero", zero * 2)]
    [note] = describe_power(compare_rows(enough, "model"))
    least = compare_rows(enough, "model")[0].least_difference
    assert "6 patients whose differences scatter as these do" in note.detail
    assert f"{least:.2g} SUV" in note.detail
    assert "cannot fall" not in note.detail
    many = [*patient_rows("model", mine * 4), *patient_rows("zero", zero * 4)]
    assert describe_power(compare_rows(many, "model")) == []
