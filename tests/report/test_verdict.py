"""The sentences on top: they follow the numbers, whatever these are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from petcast.report.inputs import Evaluation, read_run
from petcast.report.verdict import Verdict, judge

MakeRun = Callable[..., Path]
Evaluated = Callable[..., dict[str, Any]]
TRIVIAL = {"zero": 0.0, "body-constant": 0.5, "train-mean": 0.6}


@pytest.fixture
def verdict_of(make_run: MakeRun) -> Callable[[dict[str, Any]], Verdict]:
    def verdict(document: dict[str, Any]) -> Verdict:
        evaluation = read_run(make_run(evaluation=document)).evaluation
        assert isinstance(evaluation, Evaluation)
        return judge(evaluation, "Stage02")

    return verdict


VerdictOf = Callable[[dict[str, Any]], Verdict]


def test_a_model_better_everywhere_is_said_to_have_learned(
    verdict_of: VerdictOf, good: dict[str, Any]
) -> None:
    verdict = verdict_of(good)
    assert verdict.kind == "good"
    assert len(verdict.sentences) == 2  # nothing was looked for beside the scores
    assert "12 test patients (never seen in training)" in verdict.sentences[0]
    assert "better than every image made without the CT on all four" in verdict.sentences[0]
    assert "and so in each of 12 patients" in verdict.sentences[0]
    assert "learned something about uptake from the CT" in verdict.sentences[-1]


def test_patients_who_win_on_one_number_do_not_count_as_winning_on_both(
    verdict_of: VerdictOf, good: dict[str, Any]
) -> None:
    """Seven win by PSNR and seven by SUV error, but only two by both."""
    losses = {"psnr": (range(7, 12), 0.0), "suv_mae": (range(5), 9.0)}
    for row in good["patients"]:
        lost, value = losses.get(row["metric"], ((), 0.0))
        if (row["name"], row["region"]) == ("Stage02", "body") and row["patient"] in {
            f"patient{k}" for k in lost
        }:
            row["value"] = value
    assert "inside the body on both in 2 of 12 patients" in verdict_of(good).sentences[0]


def test_of_files_nobody_knows_what_was_learned_from(
    verdict_of: VerdictOf, good: dict[str, Any]
) -> None:
    del good["part"]
    verdict = verdict_of(good)
    assert verdict.kind == "good"
    assert "learned" not in " ".join(verdict.sentences)
    assert "files do not say what it was made from" in verdict.sentences[-1]


@pytest.mark.parametrize(("decided", "hint"), [("better", False), ("undecided", True)])
def test_what_may_be_chance_is_called_a_hint(
    verdict_of: VerdictOf, good: dict[str, Any], decided: str, hint: bool
) -> None:
    good["comparisons"] = [
        {
            "model": "Stage02", "reference": name, "region": "body", "metric": "suv_mae",
            "verdict": decided if name == "zero" else "better",
        }
        for name in TRIVIAL
    ]  # fmt: skip
    assert ("told from chance" in verdict_of(good).sentences[-1]) is hint


def test_few_patients_are_called_a_hint(verdict_of: VerdictOf, evaluated: Evaluated) -> None:
    verdict = verdict_of(evaluated("Stage02", {"Stage02": 0.9, **TRIVIAL}, n=2))
    assert "With 2 patients only" in verdict.sentences[-1]


def test_better_in_the_dark_only_is_called_flattery(
    verdict_of: VerdictOf, evaluated: Evaluated
) -> None:
    document = evaluated("Stage02", {"Stage02": 0.9, **TRIVIAL})
    worse = {"psnr": 10.0, "suv_mae": 2.0}
    for row in (*document["rows"], *document["patients"]):
        if row["name"] == "Stage02" and row["region"] == "body" and row["metric"] in worse:
            row["value"] = worse[row["metric"]]
    verdict = verdict_of(document)
    assert verdict.kind == "bad"
    assert "dark pixels flatter" in verdict.sentences[-1]


def test_a_zero_prediction_is_said_in_words(verdict_of: VerdictOf, evaluated: Evaluated) -> None:
    verdict = verdict_of(evaluated("Stage02", {"Stage02": 0.0, **TRIVIAL}))
    assert verdict.headline == "The prediction is zero everywhere"
    assert "how dark a PET slice is" in verdict.sentences[-1]


def test_zero_in_some_patients_is_said_too(verdict_of: VerdictOf, good: dict[str, Any]) -> None:
    good["warnings"] = [{"code": "ZERO-PREDICTION", "detail": "in 1 of 12 studies"}]
    verdict = verdict_of(good)
    assert verdict.kind == "bad"
    assert "For some patients" in verdict.sentences[-1]


def test_a_constant_prediction_is_said_in_words(
    verdict_of: VerdictOf, evaluated: Evaluated
) -> None:
    verdict = verdict_of(evaluated("Stage02", {"Stage02": 0.5, **TRIVIAL}))
    assert verdict.headline.startswith("The prediction is one and the same value")


def test_constants_in_all_patients_are_not_called_some(
    verdict_of: VerdictOf, good: dict[str, Any]
) -> None:
    detail = "one and the same value everywhere inside the body in 12 of 12 cases (a, b, c)."
    good["warnings"] = [{"code": "CONSTANT-PREDICTION", "detail": detail}]
    verdict = verdict_of(good)
    assert verdict.kind == "bad"
    assert verdict.headline == "The prediction is one and the same value inside the body"
    assert "some patients" not in verdict.sentences[-1]


def test_patients_of_the_training_make_the_numbers_worthless(
    verdict_of: VerdictOf, good: dict[str, Any]
) -> None:
    good["warnings"] = [{"code": "TRAINED-ON", "detail": "2 of these patients"}]
    assert verdict_of(good).kind == "bad"


def test_under_another_key_nobody_is_called_unseen(
    verdict_of: VerdictOf, good: dict[str, Any]
) -> None:
    good["warnings"] = [{"code": "OTHER-KEY", "detail": "another key"}]
    assert "never seen in training" not in verdict_of(good).sentences[0]


def test_what_is_no_suv_is_not_called_good(verdict_of: VerdictOf, good: dict[str, Any]) -> None:
    good["warnings"] = [{"code": "NOT-SUV", "detail": "truth of a: 1 at most"}]
    verdict = verdict_of(good)
    assert (verdict.kind, verdict.headline) == ("bad", "Measured on values that are no SUV")


def test_the_real_pet_is_no_good_prediction(verdict_of: VerdictOf, good: dict[str, Any]) -> None:
    good["warnings"] = [{"code": "EQUALS-TRUTH", "detail": "voxel by voxel: a"}]
    verdict = verdict_of(good)
    assert (verdict.kind, verdict.headline) == ("bad", "The real PET is among the predictions")


def test_cases_left_out_are_said_beside_those_that_count(
    verdict_of: VerdictOf, good: dict[str, Any]
) -> None:
    del good["part"]
    good["left_out"] = [{"case": "a", "mistakes": ["BQML-FOR-SUV"]}]
    assert "Over whole slices of 12 cases (1 left out)," in verdict_of(good).sentences[0]


def test_another_part_is_not_called_unseen(verdict_of: VerdictOf, good: dict[str, Any]) -> None:
    good["part"] = "validation"
    assert "12 validation patients (not kept for testing)" in verdict_of(good).sentences[0]


def test_a_rival_that_is_equal_is_not_beaten(verdict_of: VerdictOf, evaluated: Evaluated) -> None:
    verdict = verdict_of(evaluated("Stage02", {"Stage02": 0.6, "zero": 0.0, "train-mean": 0.6}))
    assert verdict.kind == "bad"
    assert "but no better than the train-mean image" in verdict.sentences[0]


def test_what_beats_no_image_is_not_only_denied_to_beat_every_one(
    verdict_of: VerdictOf, evaluated: Evaluated
) -> None:
    verdict = verdict_of(evaluated("Stage02", {"Stage02": -0.1, **TRIVIAL}))
    assert "no better than any image made without the CT on all four" in verdict.sentences[0]


def test_no_rivals_give_no_praise(verdict_of: VerdictOf, evaluated: Evaluated) -> None:
    verdict = verdict_of(evaluated("Stage02", {"Stage02": 0.9}))
    assert verdict.headline == "Only partly measured"


def test_nothing_is_said_of_a_run_that_was_not_evaluated() -> None:
    assert judge(None, "Stage02").kind == "unknown"


def test_patients_in_training_and_test_are_called_a_leak(
    make_run: MakeRun, good: dict[str, Any]
) -> None:
    evaluation = read_run(make_run(evaluation=good)).evaluation
    verdict = judge(evaluation, "Stage02", leaks=True)
    assert verdict.kind == "bad"
    assert "never seen in training" not in verdict.sentences[0]
    assert "same patients train and test" in verdict.sentences[-1]


def test_where_nobody_knows_who_was_trained_on_nobody_is_called_unseen(
    make_run: MakeRun, good: dict[str, Any]
) -> None:
    evaluation = read_run(make_run(evaluation=good)).evaluation
    assert "never seen" not in judge(evaluation, "Stage02", leaks=None).sentences[0]


def test_the_training_part_is_no_test(verdict_of: VerdictOf, good: dict[str, Any]) -> None:
    good["part"], good["warnings"] = "train", [{"code": "NOT-TEST", "detail": "train patients"}]
    assert verdict_of(good).headline == "Measured on patients it was trained on"


def test_who_trains_in_other_pairs_was_not_trained_on(
    verdict_of: VerdictOf, good: dict[str, Any]
) -> None:
    good["part"], good["warnings"] = "train", [{"code": "OTHER-PAIRS", "detail": "others"}]
    assert verdict_of(good).kind == "good"


# What pixel metrics do not see


def _look(document: dict[str, Any], lattice: float, blur: float, factor: float) -> dict[str, Any]:
    """Add what was seen, and two lesions of SUVmax 10 and 6 that come out `factor` as hot."""
    seen = {"lattice": lattice, "lattice_strength": 0.049, "blur_mm": blur, "detail_mm": 21.04}
    document["rows"] += [
        {"name": "Stage02", "region": "body", "metric": key, "value": value, "n": 12}
        for key, value in seen.items()
    ]
    document["lesions"] = [
        {
            "name": "Stage02", "patient": "p", "lesion": k, "source": "mask", "hot": True,
            "found": k == 1, "truth_suv_max": suv, "prediction_suv_max": factor * suv,
        }
        for k, suv in ((1, 10.0), (2, 6.0))
    ]  # fmt: skip
    document["detection"] = [{"name": "Stage02", "false_positives": 3}]
    warned = {
        "LATTICE": (lattice >= 15.0, "Stage02 bears a checkerboard that the real PET does not: …"),
        "BLURRED": (blur >= 6.4, "Stage02 is as blunt as the real PET would be behind …"),
    }
    document["warnings"] = document["warnings"] + [
        {"code": code, "detail": detail} for code, (found, detail) in warned.items() if found
    ]
    return document


RESAMPLED = {"code": "RESAMPLED", "detail": "The prediction lies on another grid than the truth"}


def test_lattice_blur_and_lesions_stand_in_the_second_of_three_sentences(
    verdict_of: VerdictOf, good: dict[str, Any]
) -> None:
    verdict = verdict_of(_look(good, 5.0, 7.25, 0.4))
    assert len(verdict.sentences) == 3
    closer = verdict.sentences[1]
    assert "bears no lattice and is 7.2 mm (FWHM) blunter than the real PET; " in closer
    assert "; the real PET's detail reaches it as through a Gaussian of 21.0 mm; " in closer
    assert "the uptake of 2 lesions is underestimated by 60 %" in closer
    assert "mean SUVmax 3.2 where the real PET has 8.0" in closer
    assert "1 of 2 hot ones is shown and 3 invented" in closer


@pytest.mark.parametrize(("found", "said"), [(True, "is shown"), (False, "is not shown")])
def test_of_one_hot_lesion_it_is_said_whether_it_is_shown(
    verdict_of: VerdictOf, good: dict[str, Any], found: bool, said: str
) -> None:
    document = _look(good, 5.0, 7.25, 0.4)
    document["lesions"] = [{**document["lesions"][0], "found": found}]
    assert f"), the hot one {said} and 3 invented" in verdict_of(document).sentences[1]


def test_what_looks_good_but_is_blurred_and_faint_is_not_called_good(
    verdict_of: VerdictOf, good: dict[str, Any]
) -> None:
    verdict = verdict_of(_look(good, 5.0, 7.2, 0.4))
    assert verdict.kind == "mixed"
    assert verdict.headline.endswith("but it is blurred and lesions come out too faint")


def test_blur_of_interpolation_is_not_held_against_the_image(
    verdict_of: VerdictOf, good: dict[str, Any]
) -> None:
    document = _look(good, 5.0, 5.5, 1.0)
    document["warnings"].append(RESAMPLED)
    verdict = verdict_of(document)
    assert verdict.kind == "good"
    said = "5.5 mm (FWHM) blunter than the real PET, interpolation to its grid included"
    assert said in verdict.sentences[1]


def test_blur_beyond_interpolation_is(verdict_of: VerdictOf, good: dict[str, Any]) -> None:
    document = _look(good, 5.0, 7.0, 1.0)
    document["warnings"].append(RESAMPLED)
    assert verdict_of(document).headline.endswith("but it is blurred")


def test_what_the_evaluation_calls_blurred_the_verdict_does_too(
    verdict_of: VerdictOf, good: dict[str, Any]
) -> None:
    """The interpolated case was saved wrongly and left out: the blur is that of the others."""
    document = _look(good, 5.0, 5.5, 1.0)
    document["warnings"] += [RESAMPLED, {"code": "BLURRED", "detail": "Stage02 is as blunt …"}]
    assert verdict_of(document).headline.endswith("but it is blurred")


def test_hot_spots_invented_where_there_is_no_lesion_are_said(
    verdict_of: VerdictOf, good: dict[str, Any]
) -> None:
    document = _look(good, 5.0, 0.5, 1.0)
    document["lesions"] = []
    closer = verdict_of(document).sentences[1]
    assert closer.endswith("; 3 hot spots of it are invented.")


def test_a_lattice_hides_blur_and_is_named(verdict_of: VerdictOf, good: dict[str, Any]) -> None:
    verdict = verdict_of(_look(good, 25.9, -8.7, 1.02))
    assert "bears a lattice of 4.9 % of the uptake" in verdict.sentences[1]
    assert "sharper" not in verdict.sentences[1]
    assert "kept on average (+2 %)" in verdict.sentences[1]
    assert verdict.headline.endswith("but it bears a lattice")


def test_an_image_that_is_blurred_beneath_a_lattice_is_said_to_be(
    verdict_of: VerdictOf, good: dict[str, Any]
) -> None:
    """The headline called it blurred, and the sentence below said that its blur cannot be read."""
    document = _look(good, 34.0, 9.4, 1.02)
    document["warnings"] += [{"code": "BLURRED", "detail": "Stage02 is as blunt …"}]
    verdict = verdict_of(document)
    assert verdict.headline.endswith("but it bears a lattice and it is blurred")
    assert "cannot be read" not in verdict.sentences[1]
    assert "more blur may hide and is 9.4 mm (FWHM) blunter than" in verdict.sentences[1]


def test_a_lattice_in_one_of_five_patients_is_not_averaged_away(
    verdict_of: VerdictOf, good: dict[str, Any]
) -> None:
    """The mean of the five lies below the evaluation's threshold, and one image is spoilt."""
    document = _look(good, 13.4, 0.4, 1.02)
    detail = "Stage02 bears a checkerboard that the real PET does not: … in 1 of 5 (p2)."
    document["warnings"] = [{"code": "LATTICE", "detail": detail}]
    shares = {"p1": 0.001, "p2": 0.052, "p3": 0.001}
    document["patients"] += [
        {"name": "Stage02", "patient": patient, "region": "body", "metric": "lattice_strength",
         "value": share, "slices": 5}
        for patient, share in shares.items()
    ]  # fmt: skip
    verdict = verdict_of(document)
    assert "bears a lattice of up to 5.2 % of the uptake" in verdict.sentences[1]
    assert verdict.headline.endswith("but it bears a lattice")


def test_an_earlier_stages_lattice_is_not_the_images(
    verdict_of: VerdictOf, good: dict[str, Any]
) -> None:
    document = _look(good, 5.0, 0.4, 1.02)
    earlier = next(row for row in document["rows"] if row["name"] == "Stage02")
    document["rows"].append(earlier | {"name": "Stage02 / stage 1"})
    detail = "Stage02 / stage 1 bears a checkerboard that the real PET does not: …"
    document["warnings"] = [{"code": "LATTICE", "detail": detail}]
    verdict = verdict_of(document)
    assert "bears no lattice (though 1 earlier stage did)" in verdict.sentences[1]
    assert "lattice" not in verdict.headline


def test_a_sharp_image_with_faithful_lesions_stays_good(
    verdict_of: VerdictOf, good: dict[str, Any]
) -> None:
    verdict = verdict_of(_look(good, 5.0, 0.4, 1.15))
    assert verdict.kind == "good"
    assert "as sharp (within 1 mm) as the real PET" in verdict.sentences[1]
    assert "overestimated by 15 %" in verdict.sentences[1]


@pytest.mark.parametrize(("cases", "which"), [(1, "The only case"), (2, "Every one of 2 cases")])
def test_files_that_were_all_saved_wrongly_are_said_to_be(
    verdict_of: VerdictOf, evaluated: Evaluated, cases: int, which: str
) -> None:
    document = evaluated("prediction", {"zero": 0.0})
    document["left_out"] = [{"case": "c", "mistakes": ["FLIPPED"]}] * cases
    verdict = verdict_of(document)
    assert verdict.kind == "bad"
    assert verdict.sentences[0] == f"{which} was saved wrongly: FLIPPED."
