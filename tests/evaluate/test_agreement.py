"""Bland–Altman by hand, against other computations, and by simulation."""

from collections.abc import Callable

import numpy as np
import pytest

from petcast.evaluate.agreement import (
    LIMIT,
    lesion_agreement,
    limits_of,
    region_agreement,
)
from petcast.evaluate.records import LesionRow


def test_limits_of_ten_known_differences() -> None:
    values = np.arange(10.0)  # mean 4.5, variance 55 / 6
    found = limits_of([[v] for v in values])
    sd = np.sqrt(55 / 6)
    assert (found.bias, found.sd) == pytest.approx((4.5, sd))
    assert found.bias_ends == pytest.approx(
        (4.5 - 2.262157 * sd / 10**0.5, 4.5 + 2.262157 * sd / 10**0.5)
    )
    half = 2.262157 * sd * np.sqrt(1 / 10 + 1.959964**2 / 18)
    upper = 4.5 + 1.959964 * sd
    assert found.upper_ends == pytest.approx((upper - half, upper + half))


def test_variance_within_and_between_patients_adds_up() -> None:
    """Searle's balanced layout by hand: MSB = 8, MSW = 0.5, two of each: (8 − 0.5) / 2 + 0.5."""
    found = limits_of([[-0.5, 0.5], [1.5, 2.5], [3.5, 4.5]])
    assert found.sd == pytest.approx(np.sqrt(3.75 + 0.5))
    assert found.bias == 2.0


def test_many_lesions_of_one_patient_do_not_make_the_limits_surer() -> None:
    rng = np.random.default_rng(1)
    patients = rng.normal(size=8)
    few = limits_of([[v] * 2 for v in patients])
    many = limits_of([[v] * 40 for v in patients])
    width = [limits.bias_ends[1] - limits.bias_ends[0] for limits in (few, many)]  # type: ignore[operator]
    assert width[0] == pytest.approx(width[1])


def test_one_patient_has_a_bias_and_no_interval() -> None:
    assert limits_of([[2.0]]).sd is None
    found = limits_of([[1.0, 3.0]])
    assert (found.bias, found.sd, found.bias_ends) == (2.0, pytest.approx(2**0.5), (None, None))


@pytest.mark.slow
def test_the_limits_hold_what_they_should() -> None:
    """True limits of patients with 1 to 4 lesions: 0.5 ± 1.96 sqrt(1 + 0.25)."""
    rng = np.random.default_rng(2)
    truth, hits = 0.5 + LIMIT * np.sqrt(1.25), 0
    independent = 0
    for _ in range(1000):
        groups = [
            (rng.normal(0.5, 1) + rng.normal(0, 0.5, rng.integers(1, 5))).tolist()
            for _ in range(30)
        ]
        low, high = limits_of(groups).upper_ends
        hits += low <= truth <= high  # type: ignore[operator]
        low, high = limits_of([[v] for v in rng.normal(0.5, np.sqrt(1.25), 30)]).upper_ends
        independent += low <= truth <= high  # type: ignore[operator]
    assert 0.92 <= hits / 1000 <= 0.98
    assert 0.92 <= independent / 1000 <= 0.98


def test_regions_give_a_value_a_patient() -> None:
    means = [("model", "lungs", "a", 1.0, 1.5), ("model", "lungs", "b", 2.0, 2.1),
             ("zero", "lungs", "a", 1.0, 0.0)]  # fmt: skip
    model, zero = region_agreement(means)
    assert (model.name, model.region, model.n, model.patients) == ("model", "lungs", 2, 2)
    assert model.bias == pytest.approx(0.3)
    assert model.upper == pytest.approx(0.3 + LIMIT * np.std([0.5, 0.1], ddof=1))
    assert model.points[0] == {"patient": "a", "lesion": None, "truth": 1.0, "prediction": 1.5}
    assert (zero.sd, zero.lower) == (None, None)


def test_lesions_give_three_metrics_by_name(lesion_row: Callable[..., LesionRow]) -> None:
    rows = [lesion_row(patient=p, lesion=n, truth=t, prediction=t - 1)
            for p, n, t in (("b", 1, 5.0), ("a", 1, 4.0), ("a", 2, 6.0))]  # fmt: skip
    found = lesion_agreement(rows)
    assert [row.metric for row in found] == ["suv_max", "suv_peak", "suv_mean"]
    assert (found[0].bias, found[0].n, found[0].patients) == (-1.0, 3, 2)
    assert [point["patient"] for point in found[0].points] == ["a", "a", "b"]
