"""Predictions of any origin: matched, resampled, and called what they are."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from petcast.errors import DataError, GeometryError, UsageError
from petcast.evaluate import Declared, Evaluation, evaluate, evaluate_files
from petcast.evaluate.cases import Case
from petcast.evaluate.notes import Notes
from petcast.evaluate.store import require_free
from petcast.volume import Grid, Unit, Volume

SHAPE = (6, 32, 32)


def affine(spacing_mm: float = 4.0, z_mm: float = 3.0, origin_mm: float = 0.0) -> np.ndarray:
    matrix = np.diag([spacing_mm, spacing_mm, z_mm, 1.0])
    matrix[:3, 3] = origin_mm
    return matrix


def body(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    inside = np.zeros(shape, dtype=bool)
    inside[:, 8:24, 8:24] = True
    return inside


def save(path: Path, suv: Any, unit: Unit = Unit.SUV, **place: float) -> Path:
    Volume(np.asarray(suv, dtype=np.float32), affine(**place), unit).save(path)
    return path


def codes(evaluation: Evaluation) -> list[str]:
    return [warning.code for warning in evaluation.warnings]


@pytest.fixture
def suv() -> np.ndarray:
    """SUV 2 in the body, an organ of SUV 6 in it, 0 around it."""
    image = np.where(body(), 2.0, 0.0)
    image[:, 12:16, 12:16] = 6.0
    return image


def _uneven(seed: int) -> np.ndarray:
    """A body whose uptake differs from voxel to voxel: its grey levels cannot be taken for SUV."""
    rng = np.random.default_rng(seed)
    return np.where(body((12, 48, 48)), rng.gamma(4.0, 0.5, (12, 48, 48)), 0.0)


@pytest.mark.parametrize("side", [1, 5])
def test_slices_too_small_for_ssim_are_refused_by_name(tmp_path: Path, side: int) -> None:
    image = np.ones((24, side, 24))
    for role in ("truth", "guess"):
        save(tmp_path / role / "coronal.nii.gz", image)
    with pytest.raises(GeometryError, match=rf"case coronal: .* found 24 × {side} × 24"):
        evaluate_files(tmp_path / "truth", tmp_path / "guess", named=True)


@pytest.mark.slow
def test_one_case_without_mistake_among_many_is_one_patient(tmp_path: Path) -> None:
    for k in range(11):
        image = _uneven(k)
        save(tmp_path / "truth" / f"p{k}.nii.gz", image)
        save(tmp_path / "guess" / f"p{k}.nii.gz", image * (0.9 if k == 0 else 25.0))
    found = evaluate_files(tmp_path / "truth", tmp_path / "guess")
    assert {row.n for row in found.rows if row.name == "prediction"} == {1}
    few = next(w.detail for w in found.warnings if w.code == "FEW-PATIENTS")
    assert few.startswith("One patient only")


@pytest.mark.slow
def test_a_mistaken_study_does_not_take_the_patients_other_one_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two studies of patient A, the second saved as grey levels, and one of B."""
    cases: dict[str, list[Case]] = {"truth": [], "prediction": []}
    for k, (name, patient) in enumerate((("a1", "A"), ("a2", "A"), ("B", "B"))):
        image = _uneven(k).astype(np.float32)
        for role, voxels in (("truth", image), ("prediction", image * (25 if k == 1 else 0.9))):
            volume = Volume(voxels.astype(np.float32), affine(), Unit.SUV)
            cases[role].append(Case(name, (f"study{k}",), lambda v=volume: v, patient=patient))

    def found(path: Path, role: str, **_: Any) -> list[Case]:
        return cases[role]

    monkeypatch.setattr("petcast.evaluate.files.find_cases", found)
    evaluation = evaluate_files(Path("truth"), Path("prediction"))
    assert [one["case"] for one in evaluation.about["left_out"]] == ["a2"]
    measured = [
        row.patient
        for row in evaluation.patients
        if (row.name, row.region, row.metric) == ("prediction", "body", "suv_mae")
    ]
    assert sorted(measured) == ["A", "B"]
    agreement = next(one for one in evaluation.agreement if one.region == "body")
    assert sorted(point["patient"] for point in agreement.points) == ["A", "B"]


def test_every_number_of_a_known_case_is_right(tmp_path: Path, suv: np.ndarray) -> None:
    truth = save(tmp_path / "truth.nii.gz", suv)
    prediction = save(tmp_path / "guess.nii.gz", np.where(body(), suv + 0.25, 0))
    found = evaluate_files(truth, prediction)
    inside = body().sum() / suv.size
    mean_suv = (2 * 240 + 6 * 16) / 256
    expected = {
        ("prediction", "body", "suv_mae"): 0.25,
        ("prediction", "body", "suv_bias"): 0.25,
        ("prediction", "body", "mae"): 0.025,
        ("prediction", "body", "psnr"): 32.0412,
        ("prediction", "whole", "mae"): 0.025 * inside,
        ("prediction", "whole", "clipped"): 0.0,
        ("zero", "body", "suv_mae"): mean_suv,
        ("zero", "body", "mse"): (240 * 0.2**2 + 16 * 0.6**2) / 256,
        ("body-constant", "body", "suv_bias"): 0.0,
        ("body-constant", "body", "suv_mae"): (240 * (mean_suv - 2) + 16 * (6 - mean_suv)) / 256,
    }
    for key, value in expected.items():
        assert found.value(*key) == pytest.approx(value, abs=1e-4), key
    assert codes(found) == [
        "FEW-PATIENTS", "LESIONS-FOUND", "BODY-FROM-TRUTH", "NO-MS-SSIM",
        "BODY-CONSTANT-FROM-TRUTH",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_document_keeps_its_contract(tmp_path: Path, suv: np.ndarray) -> None:
    for name in ("a", "b"):
        save(tmp_path / "t" / f"{name}_pet.nii.gz", suv)
        save(tmp_path / "p" / f"{name}_pred.nii.gz", suv * 0.9)
    document = evaluate(tmp_path / "t", tmp_path / "p").to_json()
    for row in document["rows"]:
        assert set(row) == {"name", "region", "metric", "value", "low", "high", "n"}
        assert row["low"] - 1e-9 <= row["value"] <= row["high"] + 1e-9
        assert row["n"] == 2
    names = {row["name"] for row in document["rows"]}
    assert names == {"prediction", "zero", "body-constant", "blurred-truth"}
    assert len({row["patient"] for row in document["patients"]} - {"a", "b"}) == 2  # pseudonyms
    assert all(set(warning) == {"code", "detail"} for warning in document["warnings"])


@pytest.mark.slow
def test_three_patients_are_told_that_they_are_few(
    tmp_path: Path,
    suv: np.ndarray,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from petcast.cli import main

    for number in range(3):
        save(tmp_path / "t" / f"{number}_pet.nii.gz", suv)
        save(tmp_path / "p" / f"{number}_pred.nii.gz", suv * (0.9 - 0.1 * number))
    command = ["evaluate", "--truth", str(tmp_path / "t"), "--predictions", str(tmp_path / "p")]
    monkeypatch.setattr(sys, "argv", ["petcast", *command])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    said = capsys.readouterr()
    assert "FEW-PATIENTS: 3 patients only" in said.err
    assert "LOW-POWER: With 3 patients" in said.err
    assert "hot ones found" in said.out  # the line about lesions


def test_lesion_masks_of_files_are_measured_one_by_one(tmp_path: Path, suv: np.ndarray) -> None:
    mask = np.zeros(SHAPE)
    mask[1:3, 12:14, 12:14] = mask[4:6, 20:22, 20:22] = 1
    truth, prediction = save(tmp_path / "t.nii.gz", suv), save(tmp_path / "p.nii.gz", suv / 2)
    lesions = save(tmp_path / "l.nii.gz", mask, Unit.LABEL)
    found = evaluate(truth, prediction, lesions=lesions)
    rows = [row for row in found.lesions if row.name == "prediction"]
    assert [(row.lesion, row.source) for row in rows] == [(1, "mask"), (2, "mask")]
    assert [row.volume_ml for row in rows] == pytest.approx([8 * 48 / 1000] * 2)
    assert [row.truth_suv_max for row in rows] == [6.0, 2.0]
    assert [row.prediction_suv_mean for row in rows] == [3.0, 1.0]
    assert [row.slice for row in rows] == [1, 4]
    assert "LESIONS-FOUND" not in codes(found)


@pytest.mark.slow
def test_without_lesions_all_else_is_the_same(tmp_path: Path, suv: np.ndarray) -> None:
    truth, prediction = save(tmp_path / "t.nii.gz", suv), save(tmp_path / "p.nii.gz", suv * 0.5)
    found = evaluate_files(truth, prediction)
    without = evaluate_files(truth, prediction, with_lesions=False)
    assert found.lesions
    assert found.detection
    assert not without.lesions
    assert not without.detection
    assert without.rows == found.rows
    regions = [row for row in found.agreement if row.region != "lesions"]
    assert [row for row in without.agreement if row.region != "lesions"] == regions
    assert "LESIONS-FOUND" in codes(found)
    assert "LESIONS-FOUND" not in codes(without)


def test_the_truth_given_twice_is_said(tmp_path: Path, suv: np.ndarray) -> None:
    """A slip of the hand had an SSIM of 1, and a report that was full of praise."""
    truth, other = save(tmp_path / "t.nii.gz", suv), save(tmp_path / "p.nii.gz", suv * 0.9)
    assert "EQUALS-TRUTH" in codes(evaluate_files(truth, truth))
    assert "EQUALS-TRUTH" not in codes(evaluate_files(truth, other))


@pytest.mark.parametrize(("patient", "said"), [("B", True), ("A", False), ("", False)])
def test_another_patient_s_prediction_is_said(
    suv: np.ndarray, monkeypatch: pytest.MonkeyPatch, patient: str, *, said: bool
) -> None:
    """One and one belong together whatever their names; the headers knew better."""
    real, guess = (Volume(image.astype("f4"), affine(), Unit.SUV) for image in (suv, suv * 0.9))
    cases = {
        "truth": [Case("A", ("study",), lambda: real, patient="A")],
        "prediction": [Case("p", ("other",), lambda: guess, patient=patient)],
    }
    monkeypatch.setattr("petcast.evaluate.files.find_cases", lambda _, role, **__: cases[role])
    found = evaluate_files(Path("truth"), Path("prediction"))
    assert ("OTHER-PATIENT" in codes(found)) == said


def test_an_all_zero_prediction_is_called_one(tmp_path: Path, suv: np.ndarray) -> None:
    truth, zero = save(tmp_path / "t.nii.gz", suv), save(tmp_path / "p.nii.gz", suv * 0)
    found = evaluate_files(truth, zero)
    assert codes(found)[:2] == ["ZERO-PREDICTION", "BEATEN-BY-TRIVIAL"]
    assert found.value("prediction", "whole", "ssim") == found.value("zero", "whole", "ssim")


@pytest.mark.slow
@pytest.mark.parametrize("around", [0.0, 1.5])
def test_a_constant_prediction_is_called_one(
    tmp_path: Path, suv: np.ndarray, around: float
) -> None:
    truth = save(tmp_path / "t.nii.gz", suv)
    constant = save(tmp_path / "p.nii.gz", np.where(body(), 1.5, around))
    assert "CONSTANT-PREDICTION" in codes(evaluate_files(truth, constant))


@pytest.mark.parametrize("name", ["p.nii.gz", "p.nii"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_refused_although_itk_reads_it_as_zero(
    tmp_path: Path, suv: np.ndarray, name: str, bad: float
) -> None:
    truth = save(tmp_path / "t.nii.gz", suv)
    suv[0, 0, 0] = bad
    with pytest.raises(DataError, match=f"{name} holds NaN"):
        evaluate_files(truth, save(tmp_path / name, suv))


def test_cases_that_cannot_be_measured_are_named_and_stop_no_other(
    tmp_path: Path, suv: np.ndarray
) -> None:
    """NaN in one, a CT without origin in the next, another place in the third; one is sound."""
    truth, guess, ct = (tmp_path / name for name in ("truth", "guess", "ct"))
    hu = np.where(body(), 40.0, -1000.0)
    for name in ("far", "lost", "nan", "sound"):
        save(truth / f"{name}.nii.gz", suv)
        save(ct / f"{name}.nii.gz", hu, Unit.HU, origin_mm=900.0 if name == "lost" else 0.0)
        values = np.where(suv > 5, np.nan, suv) if name == "nan" else 0.9 * suv
        save(guess / f"{name}.nii.gz", values, origin_mm=900.0 if name == "far" else 0.0)
    found = evaluate_files(truth, guess, ct=ct, named=True, with_lesions=False)
    assert {row.patient for row in found.patients} == {"sound"}
    left_out = {one["case"]: one["mistakes"] for one in found.about["left_out"]}
    assert left_out == {"far": ["LOST-PLACE"], "lost": ["UNUSABLE"], "nan": ["UNUSABLE"]}
    assert all(("reason" in one) is (one["case"] != "far") for one in found.about["left_out"])
    told = {warning.code: warning.detail for warning in found.warnings}
    assert "lost (the CT covers no voxel of the truth" in told["UNUSABLE"]
    assert "nan (prediction of nan holds NaN" in told["UNUSABLE"]
    assert str(tmp_path) not in told["UNUSABLE"]
    assert "1 of 4 cases" in told["LOST-PLACE"]
    (truth / "sound.nii.gz").unlink()
    (truth / "far.nii.gz").unlink()
    with pytest.raises(
        DataError, match="none of 2 cases can be measured; the first: case lost: the CT"
    ):
        evaluate_files(truth, guess, ct=ct, named=True, with_lesions=False)


def test_why_a_case_is_unusable_holds_no_path() -> None:
    """Of a folder, where truth and predictions may lie in one, and of a file in it."""
    folder, file = Path("c"), Path("c/Doe.nii")
    why = {"a": "c, case a ends early", "b": "c/Doe.nii ends early", "e": "case e: cut off"}
    notes = Notes(unusable=why)
    notes.name_no_path({"real PET": folder, "prediction": folder, "CT": file, "mask": None})
    assert notes.unusable == {
        "a": "real PET or prediction of a ends early",
        "b": "CT ends early",
        "e": "cut off",
    }


def test_another_grid_is_resampled_and_said(tmp_path: Path, suv: np.ndarray) -> None:
    truth = Volume(suv, affine(), Unit.SUV)
    finer = Grid((11, 64, 64), affine(2.0, 1.5))
    truth.save(tmp_path / "t.nii.gz")
    truth.resampled(finer, outside=0).save(tmp_path / "p.nii.gz")
    found = evaluate_files(tmp_path / "t.nii.gz", tmp_path / "p.nii.gz")
    assert "RESAMPLED" in codes(found)
    assert found.value("prediction", "body", "suv_mae") == pytest.approx(0, abs=1e-5)


def test_the_same_voxels_stored_upside_down_are_the_same_pet(
    tmp_path: Path, suv: np.ndarray
) -> None:
    suv = suv * np.linspace(1, 2, SHAPE[0])[:, None, None]
    truth = Volume(suv.astype(np.float32), affine(), Unit.SUV)
    truth.save(tmp_path / "t.nii.gz")
    truth.flipped("z").flipped("x").save(tmp_path / "p.nii.gz")
    found = evaluate_files(tmp_path / "t.nii.gz", tmp_path / "p.nii.gz")
    assert found.value("prediction", "whole", "suv_mae") == 0.0
    assert "RESAMPLED" not in codes(found)


def test_only_slices_that_both_cover_are_compared(tmp_path: Path, suv: np.ndarray) -> None:
    truth = save(tmp_path / "t.nii.gz", suv)
    half = Volume(suv[3:], affine(), Unit.SUV)
    half.affine[2, 3] = 9.0
    half.save(tmp_path / "p.nii.gz")
    found = evaluate_files(truth, tmp_path / "p.nii.gz")
    [said] = [warning.detail for warning in found.warnings if warning.code == "NOT-COVERED"]
    assert "3 of 6 slices left out" in said
    assert "RESAMPLED" not in codes(found)
    assert found.value("prediction", "whole", "suv_mae") == 0.0
    assert {row.slices for row in found.patients} == {3}


def test_slices_keep_the_numbers_that_they_have_in_the_real_pet(
    tmp_path: Path, suv: np.ndarray
) -> None:
    suv[4] *= 2
    truth, out = save(tmp_path / "t.nii.gz", suv), tmp_path / "out"
    upper = Volume(np.float32(0.8 * suv[3:]), affine(), Unit.SUV)
    upper.affine[2, 3] = 9.0
    upper.save(tmp_path / "p.nii.gz")
    found = evaluate_files(truth, tmp_path / "p.nii.gz", out=out)
    assert found.about["worst_slices"][0]["slice"] == 4
    assert {row.slice for row in found.lesions} == {4}
    for name, slices in (("montage.npz", [3, 4, 5]), ("worst.npz", [4, 3, 5])):
        with np.load(out / name) as kept:
            assert kept["slice"].tolist() == slices


def test_a_prediction_of_another_place_is_refused(tmp_path: Path, suv: np.ndarray) -> None:
    truth = save(tmp_path / "t.nii.gz", suv)
    elsewhere = save(tmp_path / "p.nii.gz", suv[1:], origin_mm=900.0)
    with pytest.raises(DataError, match="covers no slice"):
        evaluate_files(truth, elsewhere)


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [
        {"origin_mm": 900.0},
        {"origin_mm": 60.0},  # half of the body lies in the prediction's air
        {"origin_mm": 20.0},
        {"spacing_mm": 1.0, "z_mm": 1.0},  # as of an array without any header
    ],
)
def test_a_position_that_was_lost_is_named_and_not_averaged_in(
    tmp_path: Path, suv: np.ndarray, place: dict[str, float]
) -> None:
    suv = np.concatenate([suv] * 4) * np.linspace(1, 3, 24)[:, None, None]
    truth, lost = save(tmp_path / "t.nii.gz", suv), save(tmp_path / "p.nii.gz", suv * 0.9, **place)
    found = evaluate_files(truth, lost, named=True)
    assert codes(found)[0] == "LOST-PLACE"
    assert "ZERO-PREDICTION" not in codes(found)
    assert found.about["left_out"] == [{"case": "t", "mistakes": ["LOST-PLACE"]}]
    assert found.value("prediction", "whole", "ssim") is None


@pytest.mark.slow
def test_the_same_shape_in_another_place_may_be_honest(tmp_path: Path, suv: np.ndarray) -> None:
    longer = np.concatenate([suv] * 4) * np.linspace(1, 3, 24)[:, None, None]
    truth = save(tmp_path / "t.nii.gz", longer[:20])
    part = Volume((longer[4:] * 0.9).astype(np.float32), affine(), Unit.SUV)
    part.affine[2, 3] = 12.0
    part.save(tmp_path / "p.nii.gz")
    found = evaluate_files(truth, tmp_path / "p.nii.gz", named=True)
    assert "LOST-PLACE" not in codes(found)
    expected = 0.1 * longer[4:20].mean()
    assert found.value("prediction", "whole", "suv_mae") == pytest.approx(expected, rel=1e-4)


def test_a_mistaken_case_is_named_and_not_averaged_in(tmp_path: Path, suv: np.ndarray) -> None:
    for name, scale in (("a", 0.9), ("b", 5000)):
        save(tmp_path / "t" / f"{name}.nii.gz", suv)
        save(tmp_path / "p" / f"{name}.nii.gz", suv * scale)
    found = evaluate_files(tmp_path / "t", tmp_path / "p", named=True)
    assert codes(found)[0] == "BQML-FOR-SUV"
    assert found.about["left_out"] == [{"case": "b", "mistakes": ["BQML-FOR-SUV"]}]
    assert {row.patient for row in found.patients} == {"a"}
    assert {row.n for row in found.rows} == {1}
    expected = -0.1 * suv[body()].mean()
    assert found.value("prediction", "body", "suv_bias") == pytest.approx(expected, abs=1e-5)


def test_mistakes_alone_leave_only_the_trivial_rows(tmp_path: Path, suv: np.ndarray) -> None:
    truth = save(tmp_path / "t.nii.gz", suv)
    found = evaluate_files(truth, save(tmp_path / "p.nii.gz", suv * 5000))
    assert "BQML-FOR-SUV" in codes(found)
    assert "BEATEN-BY-TRIVIAL" not in codes(found)
    assert {row.name for row in found.rows} == {"zero", "body-constant", "blurred-truth"}


def test_a_truth_in_bq_per_ml_is_not_taken_for_suv_in_silence(
    tmp_path: Path, suv: np.ndarray
) -> None:
    truth = save(tmp_path / "t.nii.gz", suv * 5000)
    assert "NOT-SUV" in codes(evaluate_files(truth, save(tmp_path / "p.nii.gz", suv * 4000)))


@pytest.mark.slow
@pytest.mark.parametrize("largest", [1.0, 255.0])
def test_both_normalised_alike_are_not_taken_for_suv_in_silence(
    tmp_path: Path, suv: np.ndarray, largest: float
) -> None:
    truth = save(tmp_path / "t.nii.gz", suv / 10 * largest)
    found = evaluate_files(truth, save(tmp_path / "p.nii.gz", suv / 12 * largest))
    assert "NOT-SUV" in codes(found)
    plain = save(tmp_path / "s.nii.gz", suv)
    assert "NOT-SUV" not in codes(evaluate_files(plain, save(tmp_path / "q.nii.gz", suv / 2)))


@pytest.mark.parametrize(
    ("factor", "warned"), [(4.0, False), (5.0, True), (1 / 5, False), (1 / 6, True)]
)
def test_a_body_above_10_on_average_or_nowhere_above_1_is_not_suv(
    tmp_path: Path, suv: np.ndarray, factor: float, warned: bool
) -> None:
    truth = save(tmp_path / "t.nii.gz", factor * suv)
    assert ("NOT-SUV" in codes(evaluate_files(truth, truth, with_lesions=False))) is warned


def test_a_truth_without_uptake_is_refused(tmp_path: Path, suv: np.ndarray) -> None:
    empty = save(tmp_path / "t.nii.gz", suv * 0)
    with pytest.raises(DataError, match="no body was found"):
        evaluate_files(empty, empty)


def test_cases_without_partner_are_said(tmp_path: Path, suv: np.ndarray) -> None:
    for name in ("a", "b"):
        save(tmp_path / "t" / f"{name}.nii.gz", suv)
    save(tmp_path / "p" / "a.nii.gz", suv)
    found = evaluate_files(tmp_path / "t", tmp_path / "p", named=True)
    [said] = [warning.detail for warning in found.warnings if warning.code == "UNMATCHED"]
    assert said.endswith("left out: real b.")


def test_lesion_masks_are_a_region(tmp_path: Path, suv: np.ndarray) -> None:
    truth = save(tmp_path / "t.nii.gz", suv)
    prediction = save(tmp_path / "p.nii.gz", np.where(suv == 6, 4, suv))
    lesions = save(tmp_path / "l.nii.gz", suv == 6, Unit.LABEL)
    found = evaluate_files(truth, prediction, lesions=lesions)
    assert found.value("prediction", "lesions", "suv_bias") == -2.0


@pytest.mark.slow
def test_body_and_lungs_come_from_the_ct(tmp_path: Path) -> None:
    shape = (8, 128, 128)
    hu = np.full(shape, -1000.0)
    hu[:, 24:104, 14:114] = 40.0
    hu[:, 40:80, 24:54] = hu[:, 40:80, 74:104] = -800.0
    suv = np.where(hu > -900, 1.0, 0.0) + np.where(hu == 40, 1.0, 0.0)
    place = {"spacing_mm": 3.0, "z_mm": 5.0}
    ct = save(tmp_path / "c.nii.gz", hu, Unit.HU, **place)
    truth = save(tmp_path / "t.nii.gz", suv, **place)
    prediction = save(tmp_path / "p.nii.gz", suv * 0.5 + (hu == 40), **place)
    found = evaluate_files(truth, prediction, ct=ct)
    assert "BODY-FROM-TRUTH" not in codes(found)
    assert found.value("prediction", "lungs", "suv_bias") == pytest.approx(-0.5, abs=0.05)
    assert found.value("prediction", "body", "suv_bias") == pytest.approx(-0.15, abs=0.05)


def test_a_run_and_files_do_not_go_together(tmp_path: Path) -> None:
    (tmp_path / "pairs.json").touch()
    with pytest.raises(UsageError, match="no run"):
        evaluate(tmp_path, tmp_path)
    (tmp_path / "pairs.json").unlink()
    (tmp_path / "recipe.toml").touch()
    with pytest.raises(UsageError, match="is a run"):
        evaluate(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"named": True}, "--names belongs"),
        ({"declared": Declared(suv_window=(0, 7))}, "--suv-window, .* belong to PNG"),
        ({"with_lesions": False}, "--no-lesions belongs"),
    ],
)
def test_what_belongs_to_files_is_not_taken_for_a_run_in_silence(
    tmp_path: Path, given: dict[str, Any], words: str
) -> None:
    for file in ("pairs/pairs.json", "run/recipe.toml"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    with pytest.raises(UsageError, match=words):
        evaluate(tmp_path / "pairs", tmp_path / "run", **given)


def test_files_have_no_parts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--part belongs to pairs"):
        evaluate(tmp_path, tmp_path, part="validation")


def test_a_run_for_pairs_and_pairs_for_a_run_are_told_apart(tmp_path: Path) -> None:
    for file in ("run/recipe.toml", "pairs/pairs.json"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    with pytest.raises(UsageError, match="give them the other way round"):
        evaluate(tmp_path / "run", tmp_path / "pairs")


@pytest.mark.real
@pytest.mark.slow
def test_a_real_patient_s_zero_image_is_named_although_its_ssim_is_high(
    real_data: Path, tmp_path: Path
) -> None:
    volumes = real_data / "volumes"
    pet = Volume.load(volumes / "siemens_b_pet.nii.gz", Unit.SUV)
    pet.like(pet.voxels * 0).save(tmp_path / "zero.nii.gz")
    found = evaluate_files(
        volumes / "siemens_b_pet.nii.gz",
        tmp_path / "zero.nii.gz",
        ct=volumes / "siemens_b_ct.nii.gz",
    )
    assert "ZERO-PREDICTION" in codes(found)
    assert (found.value("prediction", "whole", "ssim") or 0) > 0.8
    assert (found.value("prediction", "body", "ssim") or 1) < 0.2


@pytest.mark.real
def test_a_real_dicom_pet_equals_its_own_nifti_with_more_slices(
    real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PETCAST_SALT", "test")
    truth = real_data / "dicom" / "siemens_biograph64_lungs" / "PT"
    found = evaluate_files(truth, real_data / "volumes" / "siemens_b_pet.nii.gz")
    assert "RESAMPLED" not in codes(found)  # 96 of the 408 slices, voxel on voxel
    assert found.value("prediction", "body", "suv_mae") == pytest.approx(0, abs=1e-3)
    assert len(found.patients[0].patient) == 12  # a pseudonym, not a name


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system tells no peak")
def test_300_slices_take_less_than_two_gigabytes(tmp_path: Path) -> None:
    z, y, x = np.mgrid[:300, :256, :256].astype(np.float32)
    suv = np.where((y - 128) ** 2 + (x - 128) ** 2 < 90**2, 2 + np.sin(z / 9) * np.cos(x / 7), 0)
    truth = save(tmp_path / "t.nii.gz", suv, spacing_mm=2.0)
    prediction = save(tmp_path / "p.nii.gz", suv * 0.9, spacing_mm=2.0)
    script = (
        "import sys; from pathlib import Path; from petcast.evaluate import evaluate_files;"
        "evaluate_files(Path(sys.argv[1]), Path(sys.argv[2]));"
        "print(Path('/proc/self/status').read_text())"
    )
    done = subprocess.run(  # alone: getrusage would begin with what this process takes
        [sys.executable, "-c", script, str(truth), str(prediction)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    [peak_kb] = re.findall(r"VmHWM:\s+(\d+) kB", done.stdout)
    assert int(peak_kb) / 1e6 < 2


@pytest.mark.slow
def test_an_evaluation_of_files_is_written_like_a_run_s(tmp_path: Path, suv: np.ndarray) -> None:
    for name in ("a", "b", "c"):
        save(tmp_path / "t" / f"{name}.nii.gz", suv)
        save(tmp_path / "p" / f"{name}.nii.gz", suv * (5000 if name == "c" else 0.9))
    out = tmp_path / "out"
    for _ in range(2):  # the second replaces the first
        found = evaluate(tmp_path / "t", tmp_path / "p", named=True, out=out)
    written = {path.name for path in out.iterdir()}
    assert written >= {"evaluation.json", "rows.csv", "montage.npz", "comparisons.csv"}
    assert json.loads((out / "evaluation.json").read_text()) == json.loads(
        json.dumps(found.to_json())
    )
    with np.load(out / "montage.npz") as held:
        assert held["study"].tolist() == ["a"] * 3 + ["b"] * 3
        for z, truth, stages in zip(held["slice"], held["truth"], held["stages"], strict=True):
            np.testing.assert_allclose(truth, suv[z])
            np.testing.assert_allclose(stages, 0.9 * suv[z][None], rtol=1e-6)
        assert (held["ct"] == -1024).all()


def test_what_is_no_evaluation_is_not_replaced(tmp_path: Path, suv: np.ndarray) -> None:
    truth = save(tmp_path / "t" / "a.nii.gz", suv)
    with pytest.raises(UsageError, match="holds something else"):
        evaluate(truth, truth, out=tmp_path / "t")
    assert truth.is_file()


def test_what_was_added_to_an_evaluation_is_not_lost(tmp_path: Path) -> None:
    for name in ("evaluation.json", "rows.csv", "lesions.csv", "worst.npz", ".DS_Store"):
        (tmp_path / name).touch()
    require_free(tmp_path)  # a file manager's own file is not theirs
    (tmp_path / "notes.md").write_text("by hand")
    with pytest.raises(UsageError, match="holds something else"):
        require_free(tmp_path)


def test_mistakes_alone_leave_no_pictures(tmp_path: Path, suv: np.ndarray) -> None:
    truth = save(tmp_path / "t.nii.gz", suv)
    evaluate(truth, save(tmp_path / "p.nii.gz", suv * 5000), out=tmp_path / "out")
    assert not (tmp_path / "out" / "montage.npz").exists()


def test_a_hot_spot_beside_an_empty_mask_is_counted_as_invented(
    tmp_path: Path, suv: np.ndarray
) -> None:
    truth = save(tmp_path / "t.nii.gz", np.minimum(suv, 3.0))
    lesions = save(tmp_path / "l.nii.gz", suv * 0, Unit.LABEL)
    found = evaluate_files(truth, save(tmp_path / "p.nii.gz", suv), lesions=lesions)
    assert found.lesion_line("prediction") == "Lesions: none; 1 hot spot invented"
    same = evaluate_files(truth, truth, lesions=lesions)
    assert not same.lesion_line("prediction")


def test_lesions_of_one_patient_are_his(tmp_path: Path, suv: np.ndarray) -> None:
    truth = save(tmp_path / "t.nii.gz", suv)
    found = evaluate_files(truth, save(tmp_path / "p.nii.gz", suv / 2))
    assert " in 1 patient, mean SUVmax 6.0, predicted 3.0; " in found.lesion_line("prediction")
