"""Which slices of foreign cases the report shows."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from petcast.evaluate.montage import FileMontage

UPTAKE = (0.4, 0.2, 0.0, 0.5, 0.1, 0.3)
"""Of the slices of a case, beyond its number: not in their order."""

LOWEST_MIDDLE_HIGHEST = {1: [5], 2: [3, 4], 3: [3, 4, 5]}
"""Slices at the quantiles 1/2; 1/6 and 5/6; all three."""


def shown(
    tmp_path: Path,
    names: Iterable[str],
    passing: Iterable[str],
    odd: Iterable[str] = (),
    mistaken: Iterable[str] = (),
) -> dict[str, list[int]]:
    """The slices by case when some pass, of which the odd ones have another size."""
    montage, other = FileMontage(list(names)), set(odd)
    for name in passing:
        side = 8 + (name in other)
        suv = np.broadcast_to((float(name) + np.array(UPTAKE))[:, None, None], (6, side, side))
        montage.add(name, None, suv, suv, np.ones(suv.shape, dtype=bool))
    montage.drop(set(mistaken))
    pictures, found = montage.chosen(), dict[str, list[int]]()
    if not pictures.empty:
        pictures.save(tmp_path / "montage.npz")
        with np.load(tmp_path / "montage.npz") as held:
            keys = zip(held["study"].tolist(), held["slice"].tolist(), strict=True)
            for (name, z), truth, stages in zip(keys, held["truth"], held["stages"], strict=True):
                assert truth.max() == stages[0].max() == np.float32(float(name) + UPTAKE[z])
                found.setdefault(name, []).append(z)
    return found


def named(n: int) -> list[str]:
    return [f"{k:03}" for k in range(n)]


@pytest.mark.parametrize(("n", "each"), [(1, 3), (2, 3), (3, 2), (4, 1), (6, 1)])
def test_few_cases_are_all_shown(tmp_path: Path, n: int, each: int) -> None:
    expected = dict.fromkeys(named(n), LOWEST_MIDDLE_HIGHEST[each])
    assert shown(tmp_path, named(n), named(n)) == expected


@pytest.mark.parametrize("n", [7, 12, 40, 500])
def test_of_many_cases_six_are_spread_over_the_names(tmp_path: Path, n: int) -> None:
    found = [int(name) for name in shown(tmp_path, named(n), named(n))]
    assert len(found) == 6
    steps = np.diff([-found[0], *found, 2 * n - found[-1]])
    assert 0.5 * n / 6 - 2 < steps.min() <= steps.max() < 2 * n / 6 + 2


def test_cases_that_cannot_be_shown_leave_their_place_to_others(tmp_path: Path) -> None:
    assert len(shown(tmp_path, named(9), named(9)[3:])) == 6
    assert len(shown(tmp_path, named(9), named(9), mistaken=["001", "004", "007"])) == 6
    only = shown(tmp_path, named(9), named(9)[::-1], mistaken=named(9)[1:])
    assert only == {"000": LOWEST_MIDDLE_HIGHEST[3]}
    assert not shown(tmp_path, named(9), named(9), mistaken=named(9))


def test_the_order_in_which_cases_pass_changes_nothing(tmp_path: Path) -> None:
    names = named(31)
    assert shown(tmp_path, names, names[5:]) == shown(tmp_path, names, names[:4:-1])


def test_the_first_case_is_shown_where_every_other_has_another_size(tmp_path: Path) -> None:
    found = shown(tmp_path, named(20), named(20), odd=named(20)[1:])
    assert list(found) == ["000"]
