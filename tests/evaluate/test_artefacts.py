"""Artefacts planted in a prediction reach the rows, the warnings and spectra.npz."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from petcast.catalogue import BLURRED_TRUTH
from petcast.evaluate import Evaluation, evaluate_files
from petcast.evaluate.artefacts import BLURRED_MM, Artefacts
from petcast.evaluate.baselines import BLURRED_TRUTH_FWHM_MM, blurred_truth
from petcast.evaluate.result import Row
from petcast.evaluate.statistics import Scores, summarise
from petcast.volume import Unit, Volume

SPACING_MM = (3.0, 2.0, 2.0)
SHAPE = (10, 96, 128)


@pytest.fixture(scope="module")
def suv() -> np.ndarray:
    """An ellipse of SUV 2 with organs and the noise of a PET."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    inside = ((x - 64) / 55) ** 2 + ((y - 48) / 40) ** 2 < 1
    organs = 3 * gaussian_filter((rng.random(SHAPE) > 0.998).astype(np.float32), 1.5) * 20
    noise = gaussian_filter(rng.standard_normal(SHAPE), (0, 1.2, 1.2))
    image = np.where(inside, 2 + organs + 0.2 * noise / noise.std(), 0)
    return np.asarray(np.clip(image, 0, None), dtype=np.float32)


def evaluated(folder: Path, truth: np.ndarray, prediction: np.ndarray) -> Evaluation:
    paths = []
    for name, image in (("truth", truth), ("prediction", prediction)):
        path = folder / f"{name}.nii.gz"
        affine = np.diag([*SPACING_MM[::-1], 1.0])
        Volume(np.asarray(image, np.float32), affine, Unit.SUV).save(path)
        paths.append(path)
    return evaluate_files(*paths)


def warnings(found: Evaluation) -> dict[str, str]:
    return {warning.code: warning.detail for warning in found.warnings}


def checkerboard() -> np.ndarray:
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    return (-1.0) ** (y + x)


@pytest.mark.slow
def test_a_planted_checkerboard_is_warned_of_with_period_and_strength(
    tmp_path: Path, suv: np.ndarray
) -> None:
    found = evaluated(tmp_path, suv, suv * (1 + 0.02 * checkerboard()))
    assert "a lattice of 2 voxels along both axes, 2." in warnings(found)["LATTICE"]
    lattice = found.value("prediction", "body", "lattice")
    strength = found.value("prediction", "body", "lattice_strength")
    assert lattice is not None
    assert lattice > 15
    assert strength == pytest.approx(0.02, rel=0.1)
    assert "BLURRED" not in warnings(found)


@pytest.mark.slow
def test_a_lattice_that_the_real_pet_bears_too_is_not_the_models(
    tmp_path: Path, suv: np.ndarray
) -> None:
    spoilt = suv * (1 + 0.02 * checkerboard())
    assert "LATTICE" not in warnings(evaluated(tmp_path, spoilt, spoilt))


@pytest.mark.slow
def test_blur_is_warned_of_and_the_same_image_of_nothing(tmp_path: Path, suv: np.ndarray) -> None:
    found = evaluated(tmp_path, suv, gaussian_filter(suv, (0, 1.5, 1.5)))
    assert found.value("prediction", "body", "blur_mm") == pytest.approx(7.06, abs=0.5)
    assert found.value("prediction", "body", "detail_mm") == pytest.approx(7.06, abs=0.5)
    assert "(FWHM)" in warnings(found)["BLURRED"]
    same = evaluated(tmp_path, suv, suv)
    assert not {"BLURRED", "LATTICE"} & set(warnings(same))
    for metric, value in (
        ("blur_mm", 0),
        ("detail_mm", 0),
        ("noise_texture", 0),
        ("noise_ratio", 1),
        ("nrmse", 0),
    ):
        assert same.value("prediction", "body", metric) == pytest.approx(value, abs=1e-5), metric


@pytest.mark.slow
def test_the_blurred_truth_is_blurred_as_it_says_and_beats_no_model(
    tmp_path: Path, suv: np.ndarray
) -> None:
    found = evaluated(tmp_path, suv, np.where(suv > 0, 2.0, 0))
    width = found.value(BLURRED_TRUTH, "body", "blur_mm")
    assert width == pytest.approx(BLURRED_TRUTH_FWHM_MM, abs=1.0)
    beaten = found.value(BLURRED_TRUTH, "body", "suv_mae")
    mine = found.value("prediction", "body", "suv_mae")
    assert beaten is not None
    assert mine is not None
    assert beaten < mine
    assert BLURRED_TRUTH not in warnings(found).get("BEATEN-BY-TRIVIAL", "")
    assert BLURRED_TRUTH not in {row.reference for row in found.comparisons}
    assert found.value(BLURRED_TRUTH, "body", "ssim_3d") is not None


@pytest.mark.slow
def test_spectra_hold_a_line_for_each_image(tmp_path: Path, suv: np.ndarray) -> None:
    artefacts, body = Artefacts(), suv > 0
    images = {"model": suv * 0.5, "blurred": blurred_truth(suv, SPACING_MM)}
    for case in ("a", "b"):
        artefacts.measure(images, suv, body, SPACING_MM, case)
    artefacts.save(tmp_path / "spectra.npz")
    with np.load(tmp_path / "spectra.npz", allow_pickle=False) as held:
        assert held["name"].tolist() == ["model", "blurred"]
        np.testing.assert_allclose(held["power"][0], held["power_real"] / 4, rtol=1e-3)
        assert (held["power"][1][-10:] < held["power_real"][-10:]).all()
        np.testing.assert_allclose(held["transfer"][0][held["power_real"] > 0], 0.5, rtol=1e-3)
        for line, axis in (("power", "frequency_per_mm"), ("noise", "noise_frequency_per_mm")):
            assert held[line].shape == (2, len(held[axis]))
        assert held["lattice_x"].shape == (2, len(held["lattice_frequency_per_px"]))


@pytest.mark.slow
def test_volumes_on_scales_of_their_own_have_no_spectra_and_no_lattice(
    tmp_path: Path, suv: np.ndarray
) -> None:
    """That they are is known only from all of them: their powers are in no common unit."""
    for k in range(5):
        truth = suv * (1 + k / 3)
        planted = 5 * truth / truth.max() * (1 + 0.02 * checkerboard())
        for role, image in (("t", truth), ("p", planted)):
            affine = np.diag([*SPACING_MM[::-1], 1.0])
            volume = Volume(np.asarray(image, np.float32), affine, Unit.SUV)
            volume.save(tmp_path / role / f"{k}.nii.gz")
    found = evaluate_files(tmp_path / "t", tmp_path / "p", out=tmp_path / "out", with_lesions=False)
    assert "RESCALED-VOLUMES" in warnings(found)
    assert "LATTICE" not in warnings(found)
    with np.load(tmp_path / "out" / "spectra.npz", allow_pickle=False) as held:
        assert held["name"].size == 0


def test_resampled_predictions_are_not_searched_for_a_lattice(suv: np.ndarray) -> None:
    values = Artefacts().measure({"model": suv}, suv, suv > 0, SPACING_MM, "a", resampled=True)
    assert ("body", "lattice") not in values["model"]
    assert ("body", "blur_mm") in values["model"]


@pytest.mark.slow
def test_the_edge_where_a_prediction_ends_is_not_called_a_lattice(
    tmp_path: Path, suv: np.ndarray
) -> None:
    """Straight and alike in all slices, it stood 18 dB above its band."""
    found = evaluated(tmp_path, suv, gaussian_filter(suv, (0, 2, 2))[:, :58])
    assert "NOT-COVERED" in warnings(found)
    assert not {"LATTICE", "RESAMPLED"} & warnings(found).keys()
    assert found.value("prediction", "body", "lattice") is None
    assert found.value("prediction", "body", "blur_mm") is None
    whole = evaluated(tmp_path, suv, suv[:, :, :122])  # cuts the air alone
    assert whole.value("prediction", "body", "lattice") is not None


def test_no_blur_is_read_beside_an_edge_nor_averaged_with_what_can_be(suv: np.ndarray) -> None:
    """Behind 9 mm, cut through the body, an image read as sharp: its edge is."""
    artefacts, part = Artefacts(), suv[:1, :64, :64]
    cut = artefacts.measure({"M": part}, part, part > 0, SPACING_MM, "a", cut=True)
    assert {metric for _, metric in cut["M"]} == {"noise_texture", "noise_ratio"}
    assert artefacts.spectra()["name"].size == 0
    assert artefacts.findings([], "M") == []
    artefacts.measure({"M": part}, part, part > 0, SPACING_MM, "b")
    assert list(artefacts.spectra()["name"]) == ["M"]
    row = Row("M", "body", "blur_mm", 4.4, None, None, 1)
    blurred, missing = artefacts.findings([row], "M")
    assert blurred.code == "BLURRED"
    assert "interpolation" not in blurred.detail
    assert "blur_mm and detail_mm" in missing.detail
    assert "in 1 of 2 (a)" in missing.detail


@pytest.mark.slow
def test_interpolation_alone_is_not_called_blur(tmp_path: Path, suv: np.ndarray) -> None:
    shifted = np.eye(4)
    shifted[:3, :3] *= SPACING_MM[::-1]
    place = shifted.copy()
    shifted[:2, 3] = np.array(SPACING_MM[:0:-1]) / 2  # half a voxel: where interpolation is worst
    Volume(suv, place, Unit.SUV).save(tmp_path / "t.nii.gz")
    guess = gaussian_filter(suv, (0, 0.8, 0.8))
    Volume(guess, shifted, Unit.SUV).save(tmp_path / "p.nii.gz")
    found = evaluate_files(tmp_path / "t.nii.gz", tmp_path / "p.nii.gz")
    width = found.value("prediction", "body", "blur_mm")
    assert width is not None
    assert width > BLURRED_MM
    assert "BLURRED" not in warnings(found)
    assert "blurs by up to 1.2 of its voxels" in warnings(found)["RESAMPLED"]
    Volume(gaussian_filter(suv, (0, 1.5, 1.5)), shifted, Unit.SUV).save(tmp_path / "p.nii.gz")
    blurred = evaluate_files(tmp_path / "t.nii.gz", tmp_path / "p.nii.gz")
    assert "of which the interpolation to its grid is a part" in warnings(blurred)["BLURRED"]


def test_without_a_body_there_is_nothing_to_see(suv: np.ndarray) -> None:
    artefacts = Artefacts()
    assert artefacts.measure({"model": suv}, suv, suv > 1e9, SPACING_MM, "a") == {}
    assert artefacts.spectra()["name"].size == 0


def test_a_case_from_another_grid_among_others_has_no_lattice_and_excuses_only_its_own_blur(
    suv: np.ndarray,
) -> None:
    artefacts, part = Artefacts(), suv[:1, :64, :64]
    for case, resampled in (("a", False), ("b", True)):
        artefacts.measure({"M": part}, part, part > 0, SPACING_MM, case, resampled=resampled)
    row = Row("M", "body", "blur_mm", 4.0, None, None, 2)
    for width, codes in ((3.6, set()), (4.8, set()), (5.6, {"BLURRED"})):
        found = artefacts.findings([replace(row, value=width)], "M")
        assert {one.code for one in found} == {"NOT-MEASURED"} | codes
    assert "lattice and lattice_strength of M in 1 of 2 (b)" in found[-1].detail


@pytest.mark.parametrize(("width_mm", "warned"), [(3.6, False), (4.4, True)])
def test_four_millimetres_are_blurred(width_mm: float, warned: bool) -> None:
    found = Artefacts().findings([Row("M", "body", "blur_mm", width_mm, None, None, 1)], "M")
    assert [one.code for one in found] == ["BLURRED"] * warned


@pytest.mark.slow
def test_a_mean_without_some_cases_says_whose_are_missing(suv: np.ndarray) -> None:
    artefacts, scores = Artefacts(), Scores()
    truth = suv[:2]
    body = truth > 0
    # Darker where the real PET is brighter: nothing of it follows, so there is no detail
    for case, image in (("a", truth), ("b", -truth), ("c", truth)):
        for name, values in artefacts.measure({"M": image}, truth, body, SPACING_MM, case).items():
            scores.add(name, case, values)
    rows = {row.metric: row for row in summarise(scores.patients(), seed=0)}
    assert (rows["detail_mm"].n, rows["blur_mm"].n) == (2, 3)
    told = {found.code: found.detail for found in artefacts.findings(rows.values(), "M")}
    assert "detail_mm of M in 1 of 3 (b)" in told["NOT-MEASURED"]
    assert "blur_mm" not in told["NOT-MEASURED"]
