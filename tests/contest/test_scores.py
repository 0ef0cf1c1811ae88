"""Known numbers in, known table out."""

import math
from itertools import pairwise
from typing import Any

import pytest
from scipy import stats

from petcast.contest.cost import summarise_costs
from petcast.contest.course import stages_of
from petcast.contest.entrants import Contest
from petcast.contest.figure import apart_by, points_of
from petcast.contest.results import quiet_epochs
from petcast.contest.scores import (
    BODY_ERROR,
    BODY_PSNR,
    COLUMNS,
    best_of,
    difference,
    final,
    over_patients,
    ratio,
    scores_of,
    student_interval,
)
from petcast.contest.tables import (
    against_base,
    against_published,
    quality_tables,
    rows_as_csv,
    stage_table,
)
from petcast.evaluate.result import Evaluation, PatientRow, Row

Records = list[dict[str, Any]]


def test_the_interval_is_scipys_one_sample_t() -> None:
    values = [3.0, 5.0, 4.0, 4.0, 7.5]
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert student_interval(values) == pytest.approx((low, high), rel=1e-12)
    assert student_interval([1.0]) is None


def test_differences_are_paired_by_seed_and_pairs(records: Records) -> None:
    scores = scores_of(records)
    found = difference(final(scores, "ours"), final(scores, "Stage01"), BODY_PSNR)
    assert found is not None
    reach = stats.t.ppf(0.975, 3) * math.sqrt(2 / 3) / 2  # of 3, 5, 4, 4
    assert (found.value, found.n) == (4.0, 4)
    assert (found.low, found.high) == pytest.approx((4 - reach, 4 + reach))
    assert found.decided
    half = final([s for s in scores if s.pairs == "a" and s.seed == 0], "ours")
    alone = difference(half, final(scores, "Stage01"), BODY_PSNR)
    assert alone is not None
    assert (alone.value, alone.low, alone.n) == (3.0, None, 1)


def test_costs_are_medians_and_their_ratios_are_taken_round_by_round() -> None:
    rounds = {"ours": [{"train_s": s} for s in (1.0, 8.0, 6.0)],
              "theirs": [{"train_s": s} for s in (2.0, 4.0, 2.0)]}  # fmt: skip
    counted = {name: {"gflop": 0.5, "parameters": 7} for name in rounds}
    ours, theirs = summarise_costs(rounds, ["theirs"], counted)
    assert ours == {"name": "ours", "train_s": 6.0, "gflop": 0.5, "parameters": 7,
                    "of": {"theirs": {"train_s": 2.0}}}  # fmt: skip
    assert theirs["of"] == {"theirs": {"train_s": 1.0}}


def test_an_error_ratio_is_a_geometric_mean(records: Records) -> None:
    for k, record in enumerate(r for r in records if r["entrant"] == "ours"):
        record["stages"][-1]["metrics"]["body/suv_mae"] = (0.1, 0.4)[k % 2]
    scores = scores_of(records)
    found = ratio(final(scores, "ours"), final(scores, "Stage01"), BODY_ERROR)
    assert found is not None
    assert found.value == pytest.approx(math.sqrt(0.1 * 0.4) / 0.4)


def test_the_best_is_the_nearest_to_0_where_the_real_pet_has_0(records: Records) -> None:
    for record in records:
        bias = {"Stage01": -0.3, "U-Net": 0.1}.get(record["entrant"], 0.0)
        record["stages"][-1]["metrics"]["body/suv_bias"] = bias
    scores, published = scores_of(records), ["Stage01", "U-Net"]
    column = next(one for one in COLUMNS if one.key == "suv_bias")
    assert best_of(published, scores, column) == "U-Net"
    assert best_of(published, scores, BODY_PSNR) == "Stage01"
    assert best_of(published, scores, BODY_ERROR) == "Stage01"
    assert best_of(["nobody"], scores, BODY_PSNR) is None


def test_a_table_gives_mean_and_deviation_over_seeds(contest: Contest, records: Records) -> None:
    first, second = quality_tables(contest, records)
    row = next(line for line in first.splitlines() if line.startswith("| ours |"))
    # 31 and 33 dB: mean 32, SD √2; lattice 9 dB of which the real PET has 4
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[:3] == ["ours", "2", "7"]
    assert cells[5] == "32.00 ± 1.41"
    assert cells[8:10] == ["5.0 ± 0.0", "0.40 ± 0.00"]
    assert "### b" in second
    assert "*zero*" in second
    real = next(line for line in first.splitlines() if line.startswith("| *real PET* |"))
    assert [c.strip() for c in real.split("|")[8:-1]] == ["0.000", "0.0", "0.20", "0.00", "0.00"]


def test_against_the_best_published_one(contest: Contest, records: Records) -> None:
    table = against_published(contest, records)
    row = next(line for line in table.splitlines() if line.startswith("| ours |"))
    assert "**+4.00** [+2.70, +5.30]" in row
    assert row.endswith("| 0.50 [0.50, 0.50] |")
    assert "body PSNR dB − Stage01" in table
    assert "| U-Net |" not in table
    assert "not that of patients" in table


def test_an_ablation_is_read_against_its_base(contest: Contest, records: Records) -> None:
    table = against_base(contest, records)
    row = next(line for line in table.splitlines() if line.startswith("| ours, less |"))
    assert "**−0.50** [−0.50, −0.50]" in row
    assert row.endswith("| 1.25 [1.25, 1.25] |")
    assert against_base(contest.model_copy(update={"base": None}), records) == ""


def with_patients(records: Records, gains: dict[str, float]) -> Records:
    """Three patients whose body PSNR lies so much above Stage01's; seed 1 sees 1 dB more of it."""
    for record in records:
        last = record["stages"][-1]
        ours = record["entrant"] == "ours"
        last["patients"] = {
            name: {"body/psnr": 20.0 + k + (gain + record["seed"] if ours else 0.0),
                   "body/suv_bias": -0.3 if ours else 0.1}
            for k, (name, gain) in enumerate(gains.items())
        }  # fmt: skip
    return records


def test_over_patients_each_patient_counts_once(records: Records) -> None:
    scores = scores_of(with_patients(records, {"x": 1.0, "y": 2.0, "z": 6.0}))
    ours, theirs = final(scores, "ours"), final(scores, "Stage01")
    found = over_patients(ours, theirs, BODY_PSNR)
    reach = stats.t.ppf(0.975, 2) * stats.tstd([1.5, 2.5, 6.5]) / math.sqrt(3)
    assert found is not None
    assert (found.value, found.n) == (pytest.approx(3.5), 3)  # not the twelve runs of patients
    assert (found.low, found.high) == (pytest.approx(3.5 - reach), pytest.approx(3.5 + reach))
    bias = next(column for column in COLUMNS if column.key == "suv_bias")
    distance = over_patients(ours, theirs, bias)
    assert distance is not None
    assert distance.value == pytest.approx(0.2)  # 0.3 from 0, not 0.4 below


def test_a_record_holds_each_patient_of_each_stage() -> None:
    values = {"Stage02 / stage 1": (20.0, 24.0), "Stage02": (30.0, 33.0), "zero": (9.0, 9.0)}
    evaluation = Evaluation(
        rows=tuple(Row(n, "body", "psnr", sum(v) / 2, None, None, 2) for n, v in values.items()),
        patients=tuple(
            PatientRow(name, patient, "body", "psnr", value, 4)
            for name, of_patients in values.items()
            for patient, value in zip("xy", of_patients, strict=True)
        ),
        warnings=(), suv_window=(0.0, 10.0), about={"model": "Stage02"},
    )  # fmt: skip
    first, last = stages_of(evaluation)
    assert (first["stage"], first["last"], last["stage"], last["last"]) == (1, False, 2, True)
    assert first["patients"] == {"x": {"body/psnr": 20.0}, "y": {"body/psnr": 24.0}}
    assert last["patients"] == {"x": {"body/psnr": 30.0}, "y": {"body/psnr": 33.0}}
    assert last["metrics"] == {"body/psnr": 31.5}


def test_two_patients_are_too_few_for_their_spread(contest: Contest, records: Records) -> None:
    with_patients(records, {"x": 1.0, "y": 2.0})
    scores = scores_of(records)
    assert over_patients(final(scores, "ours"), final(scores, "Stage01"), BODY_PSNR) is None
    assert "over patients" not in against_base(contest, records)


def test_tables_give_the_spread_of_patients_beside_that_of_seeds(
    contest: Contest, records: Records
) -> None:
    assert "over patients" not in against_published(contest, records)  # records made before
    with_patients(records, {"x": 1.0, "y": 2.0, "z": 6.0})
    _, after = against_published(contest, records).split("over patients\n\n")
    bias = "distance of body SUV bias from 0 − Stage01"
    assert after.splitlines()[0] == f"|  | n | body PSNR dB − Stage01 | {bias} |"
    assert after.splitlines()[2].startswith("| ours | 3 | +3.50 [−3.07, +10.07] |")
    _, after = against_base(contest, records).split("### Each minus ours, over patients\n\n")
    assert "| ours, less | 3 | −3.50 [−10.07, +3.07] |" in after
    assert "spread of patients, not that of seeds" in after


def test_what_a_stage_adds_to_the_one_before(contest: Contest, records: Records) -> None:
    table = stage_table(contest, records)
    assert "| ours | 1 | 27.00 ± 0.00 | 27.00 ± 0.00 |  |" in table
    assert "| ours | 2 | 32.00 ± 1.41 | 32.00 ± 0.00 | **+5.00** [" in table
    assert "Stage01" not in table  # one stage adds to none


def test_a_diverged_run_is_counted_and_not_averaged(contest: Contest, records: Records) -> None:
    gone = {"entrant": "U-Net", "pairs": "a", "seed": 1, "epochs": 7, "diverged": "NaN"}
    mixed = [gone if (r["entrant"], r["pairs"], r["seed"]) == ("U-Net", "a", 1) else r
             for r in records]  # fmt: skip
    first = next(quality_tables(contest, mixed))
    assert "| U-Net | 1, 1 diverged |" in first
    assert rows_as_csv(mixed).count("NaN") == 1
    # 16 runs, eight of them with two stages; the diverged one has a line, too
    assert len(rows_as_csv(mixed).splitlines()) == 1 + 16 + 8


def test_points_hold_cost_quality_and_spread(contest: Contest, records: Records) -> None:
    points = {point.name: point for point in points_of(contest, records, "a", "gflop")}
    assert points["ours"].value == 32.0
    assert points["ours"].sd == pytest.approx(math.sqrt(2))
    assert points["ours"].cost == pytest.approx(0.555)
    assert points["U-Net"].published
    assert not points["ours"].published


def test_quiet_times_take_the_place_of_the_runs_own(records: Records) -> None:
    quiet = quiet_epochs(records, [{"name": "ours", "train_s": 0.2}], {"a": 70, "b": 126})
    assert {r["entrant"] for r in quiet} == {"ours"}
    assert {r["pairs"]: round(r["seconds_per_epoch"], 9) for r in quiet} == {"a": 14.0, "b": 25.2}
    assert records[0]["seconds_per_epoch"] == 10.0


def test_labels_are_pushed_apart_and_keep_their_order() -> None:
    placed = apart_by([0.9, 0.1, 0.12, 0.11, 0.5], 0.06)
    heights = sorted(placed)
    assert all(b - a >= 0.06 - 1e-9 for a, b in pairwise(heights))
    assert placed[0] == 0.9
    assert placed[1] < placed[3] < placed[2] < placed[4]
