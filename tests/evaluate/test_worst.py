"""The worst slices: found where an error was planted, apart from each other, few in memory."""

from pathlib import Path

import numpy as np
import pytest

from petcast.evaluate.worst import LISTED, PER_STUDY, WorstSlices, worst_of

SHAPE = (40, 16, 16)


def images(errors: dict[int, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A body of SUV 2, and a prediction that is off by so much in some slices."""
    body = np.zeros(SHAPE, dtype=bool)
    body[:, 4:12, 4:12] = True
    truth = np.where(body, 2.0, 0.0).astype(np.float32)
    prediction = truth.copy()
    for z, error in errors.items():
        prediction[z] += error
    return truth, prediction, body


def test_the_planted_slices_come_worst_first() -> None:
    rows = worst_of("s", *images({30: -1.5, 5: 0.5, 20: 1.0}))
    assert [row.slice for row in rows] == [30, 20, 5]
    assert [row.suv_mae for row in rows] == pytest.approx([1.5, 1.0, 0.5])
    assert [row.suv_bias for row in rows] == pytest.approx([-1.5, 1.0, 0.5])
    assert rows[0].truth_suv == pytest.approx(2.0)


def test_neighbours_of_a_listed_slice_are_not_listed() -> None:
    rows = worst_of("s", *images({20: 2.0, 21: 1.9, 23: 1.8, 24: 1.7}))
    assert [row.slice for row in rows][:2] == [20, 24]  # a tenth of 40 slices away
    assert len(rows) == PER_STUDY


def test_error_outside_the_body_and_in_a_rim_does_not_count() -> None:
    truth, prediction, body = images({10: 0.2})
    prediction[15, :3] = 50.0
    body[39], prediction[39, 4, 4] = False, 9.0
    body[39, 4, 4] = True
    assert worst_of("s", truth, prediction, body)[0].slice == 10


def test_of_a_large_cohort_few_pictures_stay(tmp_path: Path) -> None:
    worst = WorstSlices()
    for study in range(20):
        truth, prediction, body = images({10: 0.1 * study})
        worst.add(f"s{study:02d}", None, truth, prediction[None], body)
    rows = worst.rows()
    assert len(rows) == LISTED
    assert [row["study"] for row in rows[:2]] == ["s19", "s18"]
    worst.drop({"s19"})
    worst.save(tmp_path / "worst.npz")
    with np.load(tmp_path / "worst.npz") as held:
        assert held["study"].tolist() == ["s18", "s17", "s16"]
        assert held["slice"].tolist() == [10, 10, 10]
        assert held["stages"].shape == (3, 1, 16, 16)
        assert held["stages"][0, 0].max() == pytest.approx(3.8, abs=1e-5)


def test_without_a_body_there_is_none(tmp_path: Path) -> None:
    worst = WorstSlices()
    empty = np.zeros(SHAPE, np.float32)
    worst.add("s", None, empty, empty[None], empty > 0)
    worst.save(tmp_path / "worst.npz")
    assert worst.rows() == []
    assert not (tmp_path / "worst.npz").exists()
