"""Known tables in, known numbers out; other people's formulas beside ours."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from petcast.reading.statistics import Rated, telling_apart, weighted_kappa


def rated(real: dict[str, list[int]], synthetic: dict[str, list[int]]) -> list[Rated]:
    return [Rated(patient, kind, rating)
            for kind, given in ((False, real), (True, synthetic))
            for patient, ratings in given.items()
            for rating in ratings]  # fmt: skip


def test_the_area_is_mann_whitneys_share_of_pairs() -> None:
    draw = np.random.default_rng(3)
    real = {p: draw.integers(1, 7, 5).tolist() for p in "abc"}
    synthetic = {p: draw.integers(2, 7, 6).tolist() for p in "abc"}
    found = telling_apart([rated(real, synthetic)])
    above = mannwhitneyu(*([k for own in side.values() for k in own] for side in (synthetic, real)))
    assert found is not None
    assert found.value == pytest.approx(above.statistic / (15 * 18))
    assert found.readers == (pytest.approx(found.value),)


def test_without_a_mistake_it_is_1_and_without_any_sign_a_half() -> None:
    sure = telling_apart([rated({p: [1, 2] for p in "abc"}, {p: [5, 6] for p in "abc"})])
    blind = telling_apart([rated({p: [3] for p in "abc"}, {p: [3] for p in "abc"})])
    assert sure is not None
    assert (sure.value, sure.low, sure.high) == (1.0, None, None)
    assert blind is not None
    assert (blind.value, blind.low, blind.high) == (0.5, None, None)


def test_readers_count_alike_however_many_pictures_they_judged() -> None:
    good = rated({"a": [1] * 30}, {"a": [6] * 30})
    bad = rated({"a": [6]}, {"a": [1]})
    nothing = rated({"a": [1]}, {})
    found = telling_apart([good, bad, nothing])
    assert found is not None
    assert (found.value, found.readers) == (0.5, (1.0, 0.0, None))
    assert found.low is None  # one patient
    assert telling_apart([nothing]) is None


def test_the_interval_draws_patients_not_pictures() -> None:
    """Forty pictures of a patient say no more than one where they are all alike."""
    few = ({p: [k] for k, p in enumerate("abcdef", 1)}, {p: [6] for p in "abcdef"})
    many = tuple({p: r * 40 for p, r in side.items()} for side in few)
    narrow, wide = (telling_apart([rated(*sides)]) for sides in (many, few))
    assert narrow is not None
    assert wide is not None
    assert (narrow.low, narrow.high) == (pytest.approx(wide.low), pytest.approx(wide.high))


@pytest.mark.slow
def test_nine_in_ten_intervals_or_more_hold_the_true_area() -> None:
    """Patients' own levels move both kinds; 12 patients, normal ratings cut into six."""
    draw = np.random.default_rng(0)

    def drawn(patients: int) -> list[Rated]:
        own = draw.normal(0, 0.5, patients)
        found = []
        for kind, shift in ((False, 0.0), (True, 0.8)):
            values = own[:, None] + shift + draw.normal(0, 1, (patients, 4))
            grades = 1 + np.digitize(values, [-0.8, -0.2, 0.4, 1.0, 1.6])
            found += [Rated(f"{p:04}", kind, int(g)) for p in range(patients) for g in grades[p]]
        return found

    truth = np.mean([telling_apart([drawn(12)]).value for _ in range(400)])  # type: ignore[union-attr]
    areas = [telling_apart([drawn(12)]) for _ in range(200)]
    held = np.mean([a.low <= truth <= a.high for a in areas])  # type: ignore[operator,union-attr]
    assert 0.9 <= held <= 1.0


def test_two_grades_give_cohens_own_kappa() -> None:
    """20 and 15 agreements of 50, 5 and 10 the one and the other way: 0.4."""
    first = [1] * 25 + [2] * 25
    second = [1] * 20 + [2] * 5 + [1] * 10 + [2] * 15
    assert weighted_kappa(first, second, 2) == pytest.approx(0.4)


def test_far_apart_weighs_more_than_beside() -> None:
    base = [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]
    near = weighted_kappa(base, [2, 2, 3, 4, 5, 1, 2, 3, 4, 5], 5)
    far = weighted_kappa(base, [5, 2, 3, 4, 5, 1, 2, 3, 4, 5], 5)
    # 1 less 10 times a squared distance, over all squared distances that chance would give
    chance = sum((a - b) ** 2 for a in base for b in [2, 2, 3, 4, 5, 1, 2, 3, 4, 5])
    assert near == pytest.approx(1 - 10 / chance)
    assert far is not None
    assert near is not None
    assert far < near < 1


def test_what_chance_would_give_alone_has_no_kappa() -> None:
    assert weighted_kappa([3, 3], [3, 3], 5) is None
    assert weighted_kappa([], [], 5) is None
    assert weighted_kappa([1, 5], [5, 1], 5) == pytest.approx(-1)
