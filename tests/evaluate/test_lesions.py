"""Lesions of made-up studies: what is found where, and what is said of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from petcast.evaluate import evaluate_files
from petcast.evaluate.detection import (
    FalsePositive,
    detection_rows,
    sensitivity_interval,
    wilson,
)
from petcast.evaluate.hotspots import find_hot_spots, lesions_in_boxes
from petcast.evaluate.lesions import Lesions, Uptake, lesions_of
from petcast.evaluate.records import LesionRow
from petcast.phantom import write_cohort
from petcast.volume import Grid

SHAPE, SPACING = (40, 60, 60), (2.0, 2.0, 2.0)
GRID = Grid(SHAPE, np.diag([2.0, 2.0, 2.0, 1.0]))
BODY = np.ones(SHAPE, dtype=bool)
PLACES = ((10, 15, 15), (10, 15, 45), (30, 45, 15))
"""Centres of three lesions, in voxels."""


def ball(place: tuple[int, ...], radius_mm: float) -> np.ndarray:
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    squares = (z - place[0]) ** 2 + (y - place[1]) ** 2 + (x - place[2]) ** 2
    return np.asarray(4 * squares <= radius_mm**2)


def pet(*lesions: tuple[int, float, float]) -> np.ndarray:
    """SUV 1 with lesions: the place's number, radius in mm, SUV."""
    suv = np.ones(SHAPE, np.float32)
    for place, radius_mm, height in lesions:
        suv[ball(PLACES[place], radius_mm)] = height
    return suv


TRUTH = pet((0, 10, 8), (1, 7, 12), (2, 10, 0.5))


def measured(prediction: np.ndarray, truth: np.ndarray = TRUTH) -> Uptake:
    mask = np.logical_or.reduce(
        [ball(place, r) for place, r in zip(PLACES, (10, 7, 10), strict=True)]
    )
    uptake = Uptake((0.0, 10.0))
    lesions = lesions_of(truth, BODY, GRID, mask=mask)
    images = {"model": prediction, "zero": np.zeros_like(truth)}
    uptake.add("a", truth, images, {"body": BODY, "lesions": mask}, lesions, SPACING)
    return uptake


def of_model(uptake: Uptake) -> list[LesionRow]:
    return [row for row in uptake.rows if row.name == "model"]


def test_the_same_image_has_the_same_uptake_and_every_lesion() -> None:
    rows = of_model(measured(TRUTH))
    assert [row.lesion for row in rows] == [1, 2, 3]
    for row in rows:
        for metric in ("suv_max", "suv_peak", "suv_mean", "tbr", "mtv_ml", "tlg_g"):
            assert getattr(row, f"truth_{metric}") == getattr(row, f"prediction_{metric}")
    assert [row.found for row in rows] == [True, True, None]
    assert [row.hot for row in rows] == [True, True, False]
    assert [row.clipped for row in rows] == [False, True, False]
    assert [row.slice for row in rows][2] in range(25, 36)


def test_an_all_zero_image_finds_nothing_and_invents_nothing() -> None:
    found = {(row.name, row.low_ml, row.high_ml): row for row in measured(TRUTH).detection()}
    zero, model = found["zero", 0.0, None], found["model", 0.0, None]
    assert (zero.lesions, zero.found, zero.sensitivity, zero.false_positives) == (2, 0, 0.0, 0)
    assert (model.lesions, model.found, model.sensitivity) == (2, 2, 1.0)
    assert found["model", 4.0, 16.0].lesions == 1  # 10 mm: 4.2 mL
    assert found["model", 1.0, 4.0].lesions == 1  # 7 mm: 1.4 mL
    assert found["model", 0.0, 1.0].sensitivity is None


@pytest.mark.parametrize("height", [0.0, 1.0, 20.0])
def test_a_constant_image_finds_nothing_however_high(height: float) -> None:
    uptake = measured(np.full(SHAPE, height, np.float32))
    assert [row.found for row in of_model(uptake)] == [False, False, None]


@pytest.mark.parametrize(("height", "found"), [(4.4, False), (4.6, True)])
def test_half_of_the_contrast_is_found(height: float, found: bool) -> None:
    first, *_ = of_model(measured(pet((0, 10, height))))
    assert first.found is found


def test_a_lesion_without_background_is_measured_but_neither_found_nor_missed() -> None:
    """Of a crop that the lesion fills, a constant image would find it however high it is."""
    mask = ball(PLACES[0], 10)
    truth = np.where(mask, np.float32(8), np.float32(1))
    uptake = Uptake((0.0, 10.0))
    lesions = lesions_of(truth, mask, GRID, mask=mask)
    images = {"model": np.full(SHAPE, 5, np.float32)}
    uptake.add("a", truth, images, {"body": mask, "lesions": mask}, lesions, SPACING)
    row = of_model(uptake)[0]
    assert (row.hot, row.found, row.truth_background_suv) == (False, None, None)
    assert (row.truth_suv_max, row.prediction_suv_max) == (8.0, 5.0)
    assert uptake.detection()[0].lesions == 0
    warned = next(f for f in uptake.findings() if f.code == "LESIONS-ALONE")
    assert warned.detail.startswith("1 of 1 lesion without background")


def test_a_hot_spot_that_is_not_real_is_counted_by_its_size() -> None:
    prediction = pet((0, 10, 8), (2, 14, 9))  # where the real one is cold
    prediction[30:34, 5:9, 45:49] = 9.0  # 64 voxels: too small to count
    rows = {(r.name, r.low_ml, r.high_ml): r for r in measured(prediction).detection()}
    assert rows["model", 0.0, None].false_positives == 0  # it touches a lesion of the mask
    truth = pet((0, 10, 8))
    uptake = Uptake((0.0, 10.0))
    lesions = lesions_of(truth, BODY, GRID, mask=ball(PLACES[0], 10))
    uptake.add("a", truth, {"model": prediction}, {"body": BODY}, lesions, SPACING)
    rows = {(r.name, r.low_ml, r.high_ml): r for r in uptake.detection()}
    assert rows["model", 0.0, None].false_positives == 1
    assert rows["model", 4.0, 16.0].false_positives == 1


def test_a_rise_without_an_edge_is_no_false_positive() -> None:
    prediction = np.broadcast_to(np.linspace(3, 4.6, SHAPE[2], dtype=np.float32), SHAPE)
    truth = pet((0, 10, 8))
    uptake = Uptake((0.0, 10.0))
    uptake.add("a", truth, {"model": prediction}, {"body": BODY},
               lesions_of(truth, BODY, GRID, mask=ball(PLACES[0], 10)), SPACING)  # fmt: skip
    assert uptake.detection()[0].false_positives == 0


def test_without_mask_hot_spots_stand_for_lesions_and_it_is_said() -> None:
    lesions = lesions_of(TRUTH, BODY, GRID)
    assert (lesions.source, lesions.known, lesions.labels.max()) == ("threshold", False, 2)
    np.testing.assert_array_equal(lesions.labels == 1, ball(PLACES[0], 10))  # the larger first
    uptake = Uptake((0.0, 10.0))
    uptake.add("a", TRUTH, {"model": TRUTH}, {"body": BODY}, lesions, SPACING)
    found, clipped = uptake.findings()
    assert (found.code, clipped.code) == ("LESIONS-FOUND", "LESIONS-CLIPPED")
    assert "2 hot spots" in found.detail
    assert "bladder" in found.detail
    assert "1 of 2 lesions (50 %) exceeds SUV 10" in clipped.detail
    assert "cannot" not in clipped.detail  # outputs have no upper end (models/synthesizer.py)


def test_hot_spots_outside_the_body_or_below_1_ml_are_left_out() -> None:
    suv = pet((0, 10, 8), (1, 5, 12))  # the second has 0.5 mL
    assert find_hot_spots(suv, BODY, SPACING).max() == 1
    assert find_hot_spots(suv, BODY & ~ball(PLACES[0], 12), SPACING).max() == 0


def test_an_empty_mask_says_that_there_are_no_lesions() -> None:
    lesions = lesions_of(TRUTH, BODY, GRID, mask=np.zeros(SHAPE, np.uint8))
    assert (lesions.source, lesions.labels.max(), lesions.known) == ("mask", 0, False)


def test_boxes_enclose_a_lesion_of_41_percent_of_its_maximum() -> None:
    mm = np.array(PLACES[0][::-1]) * 2.0
    boxes = [
        {"label": "A", "low_mm": [*(mm[:2] - 15), z - 1], "high_mm": [*(mm[:2] + 15), z + 1]}
        for z in np.arange(mm[2] - 12, mm[2] + 13, 2.0)
    ]
    boxes += [{"label": "A", "low_mm": [900, 900, 900], "high_mm": [950, 950, 950]}]
    lesions = lesions_of(TRUTH, BODY, GRID, boxes=boxes)
    assert (lesions.source, lesions.known) == ("boxes", True)
    np.testing.assert_array_equal(lesions.labels > 0, ball(PLACES[0], 10))


def test_the_lesion_in_a_box_ends_at_41_percent_of_its_maximum() -> None:
    truth = np.where(ball(PLACES[0], 8), 8, np.where(ball(PLACES[0], 12), 8 * 0.42, 8 * 0.40))
    mm = np.array(PLACES[0][::-1]) * 2.0
    box = {"low_mm": mm - 16, "high_mm": mm + 16}
    np.testing.assert_array_equal(lesions_in_boxes([box], truth, GRID) > 0, ball(PLACES[0], 12))


def test_a_box_thinner_than_a_voxel_still_holds_one() -> None:
    box = {"low_mm": [20.2, 20.2, 20.2], "high_mm": [21.7, 21.7, 20.4]}
    assert (lesions_in_boxes([box], TRUTH, GRID) > 0).sum() == 1


def test_lesions_of_a_patients_second_study_are_numbered_on() -> None:
    uptake = measured(TRUTH)
    lesions = Lesions(ball(PLACES[0], 10).astype(np.int32), "mask")
    uptake.add("a", TRUTH, {"model": TRUTH}, {"body": BODY}, lesions, SPACING)
    assert [row.lesion for row in of_model(uptake)] == [1, 2, 3, 4]
    assert uptake.detection()[0].patients == 1


def test_regions_agree_by_their_voxels_over_all_studies_of_a_patient() -> None:
    uptake = measured(TRUTH + 0.5)
    uptake.add("a", TRUTH, {"model": TRUTH}, {"body": BODY},
               Lesions(np.zeros(SHAPE, np.int32), "mask"), SPACING)  # fmt: skip
    body = next(row for row in uptake.agreement() if (row.name, row.region) == ("model", "body"))
    assert (body.of, body.metric, body.n) == ("region", "suv_mean", 1)
    assert body.bias == pytest.approx(0.25, abs=1e-6)
    assert body.points[0]["truth"] == pytest.approx(float(TRUTH.mean()), rel=1e-6)


def test_wilsons_interval_of_all_and_none() -> None:
    low, high = wilson(0, 10) or (1.0, 0.0)
    assert (low, round(high, 4)) == (0.0, 0.2775)
    assert wilson(10, 10) == pytest.approx((1 - high, 1.0))
    assert wilson(0, 0) is None


@pytest.mark.parametrize(("found", "of"), [(0, 1), (1, 2), (0, 9), (9, 9), (20, 30)])
def test_sensitivity_of_one_lesion_a_patient_has_wilsons_own_interval(found: int, of: int) -> None:
    ends = sensitivity_interval([(1, 1)] * found + [(0, 1)] * (of - found))
    assert ends == pytest.approx(wilson(found, of))


def test_lesions_of_few_patients_count_for_fewer_than_there_are() -> None:
    assert sensitivity_interval([]) is None
    assert sensitivity_interval([(3, 4)]) == pytest.approx(wilson(0.75, 1))  # of one patient
    alike = sensitivity_interval([(4, 4)] * 5 + [(0, 4)] * 5)
    assert alike == pytest.approx(wilson(5, 10))  # as many as patients, and no fewer
    low, high = sensitivity_interval([(2, 4)] * 10) or (0.0, 1.0)
    naive = wilson(20, 40) or (0.0, 0.0)
    assert alike[0] < low < naive[0] < naive[1] < high < alike[1]


@pytest.mark.parametrize(("lesions", "honestly", "naively"), [(4, 962, 871), (10, 959, 663)])
def test_the_interval_of_sensitivity_holds_the_truth_though_lesions_are_alike(
    lesions: int, honestly: int, naively: int
) -> None:
    """These counts stand in docs/evaluate.md."""
    dice, share, rho, patients = np.random.default_rng(0), 0.6, 0.3, 10
    chances = dice.beta(share * (1 / rho - 1), (1 - share) * (1 / rho - 1), (1000, patients))
    held = [0, 0]
    for found in dice.binomial(lesions, chances):
        honest = sensitivity_interval([(int(one), lesions) for one in found])
        naive = wilson(int(found.sum()), patients * lesions)
        for which, ends in enumerate((honest, naive)):
            held[which] += ends is not None and ends[0] <= share <= ends[1]
    assert held == pytest.approx([honestly, naively], abs=3)


def test_patients_with_many_lesions_widen_the_rows_interval(
    lesion_row: Callable[..., LesionRow],
) -> None:
    def row(patients: int) -> tuple[float | None, float | None]:
        rows = [lesion_row(lesion=n, patient=f"p{n % patients}", found=n % patients < 2)
                for n in range(12)]  # fmt: skip
        return (every := detection_rows(["model"], rows, [], patients)[0]).low, every.high

    assert row(12) == pytest.approx(wilson(2, 12))
    assert row(4) == pytest.approx(wilson(2, 4))


def test_bins_do_not_overlap_and_add_up(lesion_row: Callable[..., LesionRow]) -> None:
    volumes = (0.2, 1.0, 3.9, 4.0, 15.9, 16.0, 300.0)
    rows = [lesion_row(lesion=n, volume_ml=v) for n, v in enumerate(volumes)]
    every, *bins = detection_rows(["model"], rows, [FalsePositive("model", 4.0)], 3)
    assert [row.lesions for row in bins] == [1, 2, 2, 2]
    assert (every.lesions, every.false_positives, bins[2].false_positives) == (7, 1, 1)


@pytest.mark.slow
def test_planted_lesions_of_a_phantom_are_found_with_their_uptake(tmp_path: Path) -> None:
    """Scanner and breath blur: only lesions of 16 mm and more keep most of their height."""
    patients = write_cohort(tmp_path, 2, ct_size=64, pet_size=168, slice_step_mm=4.0, workers=1)
    compared = 0
    for one in patients:
        suv = one.truth / "suv.nii.gz"
        found = evaluate_files(suv, suv, lesions=one.truth / "lesions.nii.gz")
        rows = {round(r.volume_ml, 3): r for r in found.lesions if r.name == "prediction"}
        assert len(rows) == len(one.lesions)
        for lesion in one.lesions:
            planted_ml = np.pi / 6 * lesion.diameter_mm**3 / 1000
            row = rows[min(rows, key=lambda ml: abs(ml - planted_ml))]
            assert row.volume_ml == pytest.approx(planted_ml, rel=0.35)
            if lesion.kind in {"nodule", "bone"} and lesion.diameter_mm > 16:
                assert row.truth_suv_max == pytest.approx(lesion.suv, rel=0.1)
                assert row.truth_mtv_ml == pytest.approx(planted_ml, rel=0.35)
                assert (row.hot, row.found) == (True, True)
                compared += 1
    assert compared == 2
