"""Lesions of known truth: whose piece of a mask is whose, and what entrants make of them."""

from typing import Any

import numpy as np
import pytest

from petcast.contest.lesions import (
    Known,
    Shown,
    lesion_table,
    mean_over,
    name_pieces,
    shown_lesions,
)
from petcast.evaluate.statistics import bootstrap_interval
from petcast.volume import Grid

SPACING_MM = (2.0, 3.0, 5.0)


def row(patient: str, lesion: int, predicted: float, *, found: bool, hot: bool = True) -> Any:
    return {
        "patient": patient, "lesion": lesion, "volume_ml": 2.0 * lesion, "hot": hot,
        "found": found if hot else None, "truth_suv_max": 8.0, "prediction_suv_max": predicted,
        "truth_suv_mean": 5.0, "prediction_suv_mean": predicted - 2,
    }  # fmt: skip


def test_pieces_are_named_by_the_lesion_that_lies_there() -> None:
    affine = np.diag([*SPACING_MM, 1.0])
    affine[:3, 3] = (-40.0, 30.0, 100.0)
    grid, mask = Grid((20, 30, 40), affine), np.zeros((20, 30, 40), np.uint8)
    mask[2:5, 3:6, 4:7] = mask[12:14, 20:23, 30:33] = mask[18, 28, 2] = 1
    truth = [
        {"kind": "node", "visible_on_ct": False, "diameter_mm": 9.0,
         "pet_position_mm": (-40 + 2 * 31 + 3, 30 + 3 * 21, 100 + 5 * 12.5)},
        {"kind": "nodule", "visible_on_ct": True, "diameter_mm": 9.0,
         "pet_position_mm": (-40 + 2 * 5, 30 + 3 * 4 - 2, 100 + 5 * 3)},
    ]  # fmt: skip
    named = name_pieces(mask, grid, truth)
    assert named == {
        1: Known("nodule", True),
        2: Known("node", False),
    }  # the third is far from both
    assert name_pieces(mask, grid, []) == {}
    beside_mm = (-40 + 2 * 2, 30 + 3 * 28, 100 + 5 * 18 + 20)  # 20 mm from the third's middle
    for diameter_mm, names in ((19.0, set()), (21.0, {3})):
        large = {**truth[0], "diameter_mm": diameter_mm, "pet_position_mm": beside_mm}
        assert set(name_pieces(mask, grid, [large])) == names


def test_seeds_are_averaged_before_lesions() -> None:
    known = {("a", 1): Known("nodule", True), ("b", 1): Known("node", False)}
    runs = [
        [row("a", 1, 4.0, found=False), row("b", 1, 2.0, found=False), row("a", 2, 9, found=True)],
        [row("a", 1, 7.0, found=True), row("b", 1, 2.0, found=False)],
    ]
    first, second = shown_lesions(runs, known)  # a's second lesion is not known
    assert (first.found, first.suv_max, first.suv_mean) == (0.5, -2.5, -1.5)
    assert (second.patient, second.visible_on_ct, second.suv_max) == ("b", False, -6.0)


def test_with_a_lesion_a_patient_the_interval_is_the_evaluations() -> None:
    errors = [-1.0, -3.0, 0.5, -2.0, -4.0, 1.0]
    lesions = [Shown(f"p{k}", 2.0, True, True, 1.0, error, 0.0) for k, error in enumerate(errors)]
    mean = mean_over(lesions, lambda one: one.suv_max)
    assert mean is not None
    assert mean.value == pytest.approx(np.mean(errors))
    assert (mean.low, mean.high) == pytest.approx(bootstrap_interval(errors, seed=0))


def test_a_patients_lesions_are_drawn_together() -> None:
    """Ten equal lesions of each patient tell no more than one of each."""
    errors = [-1.0, -3.0, 0.5, -2.0]
    one = [Shown(f"p{k}", 2.0, True, True, 1.0, error, 0.0) for k, error in enumerate(errors)]
    single, tenfold = (mean_over(one * times, lambda lesion: lesion.suv_max) for times in (1, 10))
    assert single is not None
    assert tenfold is not None
    assert (tenfold.low, tenfold.high) == pytest.approx((single.low, single.high))
    assert (tenfold.lesions, tenfold.patients) == (40, 4)
    assert mean_over([], lambda lesion: lesion.suv_max) is None


def test_lesions_with_and_without_a_sign_stand_apart() -> None:
    lesions = [
        Shown("a", 2.0, True, True, 1.0, -1.0, -0.5),
        Shown("b", 20.0, True, True, 0.0, -3.0, -1.5),
        Shown("a", 2.0, True, False, 0.0, -6.0, -4.0),
        Shown("b", 2.0, False, True, 0.0, 2.0, 1.0),
    ]
    table = lesion_table({"ours": lesions})
    rows = {line.split(" | ")[1]: line for line in table.splitlines() if line.startswith("| ours")}
    assert rows["hot, CT shows it"].startswith(
        "| ours | hot, CT shows it | 2, 2 | 50 [0–100] | −2.00"
    )
    assert "| 1, 1 | 100 | −1.00 | 1.00 | −0.50 | 0.50 |" in rows["– 1 to 4 mL"]
    assert "| 1, 1 | 0 | −3.00 | 3.00 |" in rows["– 16 mL and more"]
    assert "| 1, 1 | 0 | −6.00 | 6.00 |" in rows["hot, no sign in CT"]
    assert "| 1, 1 |  | +2.00 | 2.00 |" in rows["not hot, CT shows it"]
    assert "No function of the CT can know" in table
