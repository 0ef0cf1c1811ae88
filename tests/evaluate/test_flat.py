"""PNG and `.npy`: nothing without a declared scale, and then the same numbers as NIfTI."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from petcast.errors import DataError, FormatError, GeometryError, UsageError
from petcast.evaluate import Declared, Evaluation, evaluate_files
from petcast.evaluate.flat import numbered, stacks_of
from petcast.volume import Unit, Volume

SPACING_MM = (4.0, 4.0, 3.0)


@pytest.fixture
def grey() -> np.ndarray:
    """Six slices of 0 to 255: a body, and an organ that wanders from slice to slice."""
    z, y, x = np.mgrid[:6, :32, :32]
    body = (abs(y - 16) < 9) & (abs(x - 15) < 10)
    organ = (abs(y - 12) < 3) & (abs(x - 9 - z) < 3)
    return np.where(organ, 150, np.where(body, 50 + z, 0)).astype(np.uint8)


def save_png(path: Path, image: np.ndarray, *, colours: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(image, isVector=colours), str(path))


def save_slices(folder: Path, name: str, volume: np.ndarray, ending: str = "") -> Path:
    for z, image in enumerate(volume):
        save_png(folder / f"{name}_{z + 10:03d}{ending}.png", image)
    return folder


def measured(truth: Path, predictions: Path, **declared: Any) -> Evaluation:
    declared = {"suv_window": (0, 10), "spacing_mm": SPACING_MM} | declared
    return evaluate_files(truth, predictions, declared=Declared(**declared), named=True)


def codes(evaluation: Evaluation) -> set[str]:
    return {warning.code for warning in evaluation.warnings}


@pytest.mark.parametrize(
    ("stem", "found"),
    [
        ("case_012", ("case", 12)), ("17", ("", 17)), ("a-slice3", ("a", 3)),
        ("sub-01_z_7", ("sub-01", 7)), ("p01", ("p01", None)), ("s01", ("s01", None)),
        ("slice_4", ("", 4)), ("a.b.003", ("a.b", 3)), ("case", ("case", None)),
    ],
)  # fmt: skip
def test_the_number_at_a_name_s_end_is_the_slice_s(
    stem: str, found: tuple[str, int | None]
) -> None:
    assert numbered(stem) == found


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "most"), [(np.uint8, 255), (np.uint16, 65535)])
def test_slices_are_stacked_and_mapped_by_the_declared_window(
    tmp_path: Path, grey: np.ndarray, kind: type, most: int
) -> None:
    real = grey.astype(np.float64) / 255
    pixels, lower = np.round(real * most).astype(kind), np.round(real * 0.9 * most).astype(kind)
    truth = save_slices(tmp_path / "t", "p", pixels)
    found = measured(truth, save_slices(tmp_path / "p", "p", lower))
    suv = pixels / most * 10
    inside = suv > 0
    error = (lower / most * 10 - suv)[inside].reshape(6, -1).mean(axis=1).mean()
    assert found.value("prediction", "body", "suv_bias") == pytest.approx(error, abs=1e-5)
    assert {row.slices for row in found.patients} == {6}
    assert "STACKED" in codes(found)
    assert "GAPS" not in codes(found)


@pytest.mark.slow
def test_png_npy_and_nifti_give_the_same_numbers(tmp_path: Path, grey: np.ndarray) -> None:
    lower = (grey * 0.9).astype(np.uint8)
    suv, guess = (np.asarray(v / 25.5, np.float32) for v in (grey, lower))
    png = measured(save_slices(tmp_path / "a", "p", grey), save_slices(tmp_path / "b", "p", lower))
    (tmp_path / "c").mkdir()
    (tmp_path / "d").mkdir()
    np.save(tmp_path / "c" / "p.npy", suv / 10)
    np.save(tmp_path / "d" / "p_pred.npy", guess / 10)
    npy = measured(tmp_path / "c", tmp_path / "d")
    affine = np.diag([*SPACING_MM, 1.0])
    Volume(suv, affine, Unit.SUV).save(tmp_path / "e" / "p.nii.gz")
    Volume(guess, affine, Unit.SUV).save(tmp_path / "f" / "p.nii.gz")
    nifti = evaluate_files(tmp_path / "e", tmp_path / "f", named=True)
    mixed = measured(tmp_path / "e", tmp_path / "b")
    for other in (npy, nifti, mixed):
        assert [row.value for row in other.rows] == pytest.approx(
            [row.value for row in png.rows], abs=1e-5
        )


def test_pix2pix_s_names_are_understood(tmp_path: Path, grey: np.ndarray) -> None:
    for ending, image in (
        ("_real_A", grey * 0 + 7), ("_real_B", grey), ("_fake_B", grey // 2), ("_rec_B", grey * 0),
    ):  # fmt: skip
        save_slices(tmp_path, "p01", image, ending)
    found = measured(tmp_path, tmp_path)
    assert {row.patient for row in found.patients} == {"p01"}
    assert (found.value("prediction", "body", "suv_bias") or 0) < -0.5


@pytest.mark.slow
def test_a_scale_is_as_good_as_a_window(tmp_path: Path, grey: np.ndarray) -> None:
    folders = save_slices(tmp_path / "a", "p", grey), save_slices(tmp_path / "b", "p", grey // 2)
    one = measured(*folders)
    other = measured(*folders, suv_window=None, suv_per_unit=10 / 255)
    assert [r.value for r in one.rows] == pytest.approx([r.value for r in other.rows], abs=1e-5)


def test_a_range_of_its_own_is_declared(tmp_path: Path, grey: np.ndarray) -> None:
    """Such as the −1 to 1 of a tanh."""
    for name in ("t", "p"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.npy", (grey / 127.5 - 1).astype(np.float32))
    found = measured(tmp_path / "t", tmp_path / "p", stored=(-1, 1))
    assert found.value("zero", "body", "suv_bias") == pytest.approx(-2.4, abs=0.5)
    with pytest.raises(DataError, match="leave the range 0 to 1"):
        measured(tmp_path / "t", tmp_path / "p")


def test_a_range_may_be_left_by_rounding_and_not_by_a_hundredth() -> None:
    window = Declared(suv_window=(0, 10))
    assert window.suv(np.array([-0.0005, 1.0005]), "it") == pytest.approx([-0.005, 10.005])
    for value in (-0.01, 1.01):
        with pytest.raises(DataError, match="leave the range 0 to 1"):
            window.suv(np.array([0.0, 1.0, value]), "it")


@pytest.mark.parametrize(
    ("missing", "words"),
    [("suv_window", "--suv-window LOW HIGH"), ("spacing_mm", "--spacing X Y Z")],
)
def test_what_was_not_declared_is_asked_for(
    tmp_path: Path, grey: np.ndarray, missing: str, words: str
) -> None:
    folder = save_slices(tmp_path / "Doe_Jane", "Doe_Jane", grey)
    with pytest.raises(UsageError, match=words):
        measured(folder, folder, **{missing: None})


@pytest.mark.parametrize(
    "declared",
    [
        {"suv_per_unit": 1.0, "suv_window": (0, 1)}, {"stored": (0, 1)}, {"suv_per_unit": -1.0},
        {"suv_window": (5, 5)}, {"suv_window": (0, float("nan"))}, {"spacing_mm": (1, 0, 1)},
    ],
)  # fmt: skip
def test_contradictions_are_refused(declared: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Declared(**declared)


def test_integers_without_a_range_of_their_own_need_one(tmp_path: Path, grey: np.ndarray) -> None:
    np.save(tmp_path / "x.npy", grey.astype(np.int32))
    with pytest.raises(UsageError, match="int32 has no range"):
        measured(tmp_path / "x.npy", tmp_path / "x.npy")


def test_other_slices_on_either_side_are_refused(tmp_path: Path, grey: np.ndarray) -> None:
    truth = save_slices(tmp_path / "t", "p", grey)
    with pytest.raises(GeometryError, match="6 real and 5 predicted slices, 5 of the same number"):
        measured(truth, save_slices(tmp_path / "p", "p", grey[:5]))


def test_missing_slices_are_said(tmp_path: Path, grey: np.ndarray) -> None:
    folders = [save_slices(tmp_path / name, "p", grey) for name in "tp"]
    for folder in folders:
        (folder / "p_012.png").unlink()
    assert {"STACKED", "GAPS"} <= codes(measured(*folders))


def test_images_side_by_side_are_known_as_such(tmp_path: Path, grey: np.ndarray) -> None:
    truth = save_slices(tmp_path / "t", "p", grey)
    both = save_slices(tmp_path / "p", "p", np.concatenate([grey, grey], axis=2))
    with pytest.raises(GeometryError, match="side by side have to be cut apart"):
        measured(truth, both)


def test_swapped_axes_are_named_where_no_header_tells(tmp_path: Path, grey: np.ndarray) -> None:
    for name, image in (("t", grey), ("p", grey.transpose(2, 1, 0))):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.npy", image)
    assert "SWAPPED-AXES" in codes(measured(tmp_path / "t", tmp_path / "p"))


@pytest.mark.slow
def test_a_png_may_lie_in_a_folder_whose_name_is_no_text(
    tmp_path: Path, latin_folder: Path, grey: np.ndarray
) -> None:
    save_slices(tmp_path / "t", "p", grey).rename(latin_folder / "t")
    found = measured(latin_folder / "t", latin_folder / "t")
    assert found.value("prediction", "body", "suv_mae") == 0


def test_grey_in_three_channels_is_grey_and_colour_is_refused(
    tmp_path: Path, grey: np.ndarray
) -> None:
    truth = save_slices(tmp_path / "t", "p", grey)
    for z, image in enumerate(grey):
        save_png(tmp_path / "p" / f"p_{z + 10}.png", np.stack([image] * 3, -1), colours=True)
    assert measured(truth, tmp_path / "p").value("prediction", "body", "suv_mae") == 0
    mixed = np.stack([grey[0], grey[0], grey[0] // 2], -1)
    save_png(tmp_path / "p" / "p_10.png", mixed, colours=True)
    with pytest.raises(FormatError, match="in colour"):
        measured(truth, tmp_path / "p")


@pytest.mark.parametrize(
    ("ending", "content"),
    [("png", b"\x89PNG nothing"), ("npy", b"\x89PNG nothing"), ("npy", b"PK\x03\x04 nothing")],
)
def test_damaged_files_are_said_without_their_names(
    tmp_path: Path, ending: str, content: bytes
) -> None:
    (tmp_path / f"Doe_Jane.{ending}").write_bytes(content)
    with pytest.raises(DataError) as error:
        evaluate_files(tmp_path, tmp_path, declared=Declared(1.0, None, None, SPACING_MM))
    assert "Jane" not in str(error.value)


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(FormatError, match=rf"{tmp_path}.*, case x is no array .* safely"):
        evaluate_files(tmp_path / "x.npy", tmp_path / "x.npy", declared=Declared(1.0), named=True)


def test_a_damaged_array_among_others_is_a_case_of_its_own(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4)))
    (tmp_path / "b.npy").write_bytes(b"nothing")
    stacks = stacks_of([(tmp_path / f"{name}.npy", name) for name in "ab"], tmp_path)
    assert [stack.name for stack in stacks] == ["a", "b"]


def test_a_png_is_no_ct(tmp_path: Path, grey: np.ndarray) -> None:
    folder = save_slices(tmp_path, "p", grey)
    with pytest.raises(UsageError, match="no HU"):
        evaluate_files(folder, folder, ct=folder, declared=Declared(1.0, None, None, SPACING_MM))
