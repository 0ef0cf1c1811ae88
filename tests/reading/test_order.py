"""Slices chosen evenly, and an order that tells nothing."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petcast.reading.order import Place, choose_places, put_in_order


def of_one_patient(number: int) -> list[Place]:
    return [Place("p", "s", z) for z in range(number)]


def test_each_patient_gives_as_many_whatever_their_slices() -> None:
    held = {("a", "a1"): 90, ("a", "a2"): 10, ("b", "b1"): 5, ("c", "c1"): 40}
    places = choose_places(held, 12)
    assert Counter(place.patient for place in places) == {"a": 4, "b": 4, "c": 4}
    assert [(p.study, p.slice) for p in places if p.patient == "a"] == [
        ("a1", 12), ("a1", 37), ("a1", 62), ("a1", 87),
    ]  # fmt: skip


def test_who_has_too_few_leaves_the_rest_to_the_others() -> None:
    places = choose_places({("a", "s"): 2, ("b", "t"): 30}, 10)
    assert Counter(place.patient for place in places) == {"a": 2, "b": 8}
    assert len(set(places)) == 10
    assert len(choose_places({("a", "s"): 2, ("b", "t"): 3}, 10)) == 5


def test_the_seed_says_who_gives_one_more() -> None:
    held = {(name, "s"): 9 for name in "abcdef"}
    chosen = {tuple(p.patient for p in choose_places(held, 2, seed=seed)) for seed in range(20)}
    assert len(chosen) > 3
    assert choose_places(held, 2, seed=7) == choose_places(held, 2, seed=7)


@given(places=st.integers(3, 40), sources=st.integers(2, 6), seed=st.integers(0, 99))
def test_each_picture_comes_once_and_no_slice_beside_itself(
    places: int, sources: int, seed: int
) -> None:
    order = put_in_order(of_one_patient(places), sources, seed=seed)
    new = [(one.place, one.source) for one in order if one.repeats is None]
    assert sorted(new) == [(k, s) for k in range(places) for s in range(sources)]
    for number, one in enumerate(order):
        if one.repeats is not None:
            first = order[one.repeats]
            assert (first.place, first.source, first.repeats) == (one.place, one.source, None)
            assert one.repeats < places <= number
    if places > 5:
        assert all(one.place != other.place for one, other in pairwise(order))


@given(places=st.integers(4, 40), sources=st.integers(2, 6), seed=st.integers(0, 99))
def test_in_a_round_all_sources_are_as_frequent(places: int, sources: int, seed: int) -> None:
    order = put_in_order(of_one_patient(places), sources, seed=seed)
    counts = Counter(one.source for one in order[:places])
    assert max(counts.values()) - min(counts.get(s, 0) for s in range(sources)) <= 1
    assert len({one.place for one in order[:places]}) == places


def test_one_in_ten_comes_twice() -> None:
    order = put_in_order(of_one_patient(24), 2)
    assert len(order) == 48 + 5
    assert put_in_order(of_one_patient(24), 2, seed=1) != order


@pytest.mark.parametrize("places", [1, 2])
def test_very_few_slices_are_shown_all_the_same(places: int) -> None:
    assert len(put_in_order(of_one_patient(places), 2)) == 2 * places
