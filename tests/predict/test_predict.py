"""A CT in, a PET in SUV on the same geometry out."""

import gzip
import os
import re
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from pydicom import FileDataset, dcmread

from petcast.checkpoint import MODEL_FILE, Card
from petcast.dicom.derived import HALF_WIDTH
from petcast.dicom.read import load_ct_and_source, read_pet
from petcast.dicom.scan import scan
from petcast.dicom.suv import measure_suv
from petcast.errors import DataError, UnitError, UsageError
from petcast.evaluate.cases import find_cases, match
from petcast.models import Synthesizer
from petcast.predict import (
    load_any_ct,
    predict,
    predict_slices,
    predict_volume,
    require_apart,
    require_output,
)
from petcast.prepare.cohort import DicomCase
from petcast.recipe import LossRecipe, ModelRecipe, Recipe, TrainingRecipe
from petcast.refusal import RefusedError
from petcast.volume import Unit, Volume

SIDE = 256


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> Synthesizer:
    """A synthesizer that gives the CT back as SUV: (HU + 1024) / 1024, in two stages."""
    with torch.device("meta"):
        synthesizer = Synthesizer(ModelRecipe(name="Stage02"))
    monkeypatch.setattr(synthesizer, "to", lambda device: synthesizer)

    def forward(hu: torch.Tensor) -> list[torch.Tensor]:
        suv = (hu[:, hu.shape[1] // 2] + 1024) / 1024
        return [suv / 2, suv][: synthesizer.generator.limit]

    monkeypatch.setattr(synthesizer, "forward", forward)
    return synthesizer


@pytest.fixture
def card() -> Card:
    return Card(Recipe(), 1, {"size": SIDE, "spacing_mm": 2.0}, "", 0)


def cylinder(spacing_mm: tuple[float, float, float] = (4.0, 4.0, 5.0)) -> Volume:
    """Water in air, feet first, with its centre away from the origin."""
    y, x = np.mgrid[:96, :96]
    disc = (x - 40) ** 2 + (y - 50) ** 2 < 30**2
    voxels = np.where(np.broadcast_to(disc, (12, 96, 96)), 0, -1000).astype(np.int16)
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = (-170, -230, 60)
    return Volume(voxels, affine, Unit.HU)


def test_every_stage_or_the_last_alone(echo: Synthesizer) -> None:
    ct = np.zeros((5, 8, 8), np.int16)
    every = predict_slices(echo, ct, batch_size=2)
    assert every.shape == (2, 5, 8, 8)
    assert np.array_equal(predict_slices(echo, ct, last_only=True)[0], every[1])


@pytest.mark.slow
def test_the_first_stages_alone(echo: Synthesizer, card: Card) -> None:
    ct = np.zeros((5, 8, 8), np.int16)
    assert np.array_equal(predict_slices(echo, ct, stages=1)[0], predict_slices(echo, ct)[0])
    assert echo.generator.limit is None
    half, whole = (predict_volume(echo, cylinder(), card, stages=k).pet.voxels for k in (1, 2))
    assert np.allclose(2 * half, whole, atol=1e-5)


@pytest.mark.parametrize("stages", [0, 3])
def test_a_model_without_so_many_stages_says_how_many_it_has(
    echo: Synthesizer, stages: int
) -> None:
    with pytest.raises(UsageError, match=f"--stages {stages}: Stage02 has 2 stages; give 1 to 2"):
        predict_slices(echo, np.zeros((1, 8, 8), np.int16), stages=stages)


@pytest.mark.slow
def test_a_stage_that_was_never_compared_with_a_pet_is_named(echo: Synthesizer, card: Card) -> None:
    told = predict_volume(echo, cylinder(), card, stages=1).warnings
    assert any("Only stage 2 was compared" in one for one in told)
    greedy = Recipe(
        model=ModelRecipe(name="Stage02", residual=True), training=TrainingRecipe(order="greedy")
    )
    for recipe in (Recipe(loss=LossRecipe(stages="all")), greedy):
        every = Card(recipe, 1, card.grid, "", 0)
        told = predict_volume(echo, cylinder(), every, stages=1).warnings
        assert not any("compared" in one for one in told)


@pytest.mark.slow
@pytest.mark.parametrize("axes", ["", "z", "xy", "xyz"])
def test_the_pet_lies_where_the_ct_lies_whatever_the_order_of_storage(
    echo: Synthesizer, card: Card, axes: str
) -> None:
    ct = cylinder()
    for axis in axes:
        ct = ct.flipped(axis)
    pet = predict_volume(echo, ct, card).pet
    assert pet.unit == Unit.SUV
    assert pet.grid.matches(ct.grid)
    expected = (ct.voxels.astype(np.float32) + 1024) / 1024
    assert np.abs(pet.voxels - expected).mean() < 0.02


@pytest.mark.slow
def test_thin_slices_come_back_on_all_their_positions(echo: Synthesizer, card: Card) -> None:
    ct = cylinder((4.0, 4.0, 1.0))
    assert predict_volume(echo, ct, card).pet.grid.matches(ct.grid)


def test_a_ct_without_lungs_is_said_to_have_none(echo: Synthesizer, card: Card) -> None:
    [warning] = predict_volume(echo, cylinder(), card).warnings
    assert "No lungs" in warning


@pytest.mark.parametrize(
    ("size", "said"), [(96, []), (80, ["the 160 × 160 mm that the model sees; the PET is 0 there"])]
)
def test_a_body_wider_than_the_model_grid_is_said_to_have_no_pet_there(
    echo: Synthesizer, card: Card, size: int, said: list[str]
) -> None:
    smaller = Card(card.recipe, 1, {"size": size, "spacing_mm": 2.0}, "", 0)
    ct = cylinder((3.0, 3.0, 5.0))
    made = predict_volume(echo, ct, smaller)
    assert bool((made.pet.voxels[ct.voxels == 0] == 0).any()) == bool(said)
    _, *told = made.warnings
    assert [words in one for words, one in zip(said, told, strict=True)] == [True] * len(said)


@pytest.mark.parametrize(
    ("columns", "slices", "said"),
    [
        (slice(None), 12, False),
        (slice(25, 55), 12, True),  # 30 voxels of 60
        (slice(11, None), 12, False),  # a few voxels at one side: an elbow
        (slice(25, 55), 1, False),  # one slice of twelve: shoulders
    ],
)
def test_a_body_that_the_ct_does_not_hold_whole_is_said(
    echo: Synthesizer, card: Card, columns: slice, slices: int, said: bool
) -> None:
    ct = cylinder()
    whole = np.array(ct.voxels)
    whole[slices:, :, columns.start or 0] = -1000  # air beside the others
    whole[slices:, :, (columns.stop or 96) - 1] = -1000
    made = predict_volume(echo, replace(ct, voxels=np.ascontiguousarray(whole[..., columns])), card)
    assert any("cuts the body off" in one for one in made.warnings) == said


def test_a_folder_of_nifti_asks_for_the_file_and_names_none(tmp_path: Path) -> None:
    """`prepare` takes such folders; here it was said to export the CT of the same visit."""
    (tmp_path / "Doe_Jane_ct.nii.gz").touch()
    with pytest.raises(UsageError, match="give the CT's file itself") as caught:
        load_any_ct(tmp_path)
    assert "Doe" not in str(caught.value)


def test_a_pet_of_no_numbers_is_refused_before_it_is_written(
    echo: Synthesizer, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As NIfTI it was written, with exit status 0, and --json ended in a traceback."""
    monkeypatch.setattr(echo, "forward", lambda hu: [hu[:, 0] * np.nan])
    with pytest.raises(RefusedError, match=r"NOT-FINITE: .*weights are damaged"):
        predict_volume(echo, cylinder(), card)


@pytest.mark.parametrize("name", ["new/pet.nii.gz", "new/pet"])
def test_a_place_that_cannot_be_written_to_is_refused_before_the_long_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    require_output("--out", tmp_path / name, tmp_path / "ct")
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)  # root may write anywhere
    with pytest.raises(UsageError, match=f"--out .*: {re.escape(str(tmp_path))} cannot be written"):
        require_output("--out", tmp_path / name, tmp_path / "ct")


@pytest.mark.parametrize(
    ("given", "slices", "warned"),
    [("neighbours", 1, True), ("neighbours", 2, False), ("replicate", 1, False)],
)
def test_a_slice_without_the_neighbours_that_its_model_wants_is_told_of(
    echo: Synthesizer, given: Literal["replicate", "neighbours"], slices: int, warned: bool
) -> None:
    whole = cylinder()
    few = Volume(whole.voxels[:slices], whole.grid.affine, Unit.HU)
    known = Card(
        Recipe(model=ModelRecipe(input=given)), 1, {"size": SIDE, "spacing_mm": 2.0}, "", 0
    )
    warnings = predict_volume(echo, few, known).warnings
    assert any("is one slice" in one for one in warnings) == warned


def test_a_tilted_ct_is_refused(echo: Synthesizer, card: Card) -> None:
    ct = cylinder()
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    with pytest.raises(DataError, match="NOT-AXIAL"):
        predict_volume(echo, Volume(ct.voxels, turn @ ct.affine, Unit.HU), card)


def test_a_pet_is_not_taken_for_a_ct(echo: Synthesizer, card: Card) -> None:
    ct = cylinder()
    with pytest.raises(UnitError, match="HU"):
        predict_volume(echo, ct.like(ct.voxels, Unit.SUV), card)


def test_the_name_of_the_output_must_be_nifti(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.nii\.gz"):
        predict(tmp_path, tmp_path, tmp_path / "pet.dcm")


def test_endings_in_large_letters_are_read_and_not_written(tmp_path: Path) -> None:
    cylinder().save(tmp_path / "small.nii.gz")
    ct = (tmp_path / "small.nii.gz").rename(tmp_path / "CT.NII.GZ")
    assert load_any_ct(ct)[1] is None
    for name in ("PET.NII", "pet.Nii.gz"):  # else a folder of DICOM would be called so
        with pytest.raises(UsageError, match="small letters"):
            require_output("--out", tmp_path / name, tmp_path / "CT")


def narrow(ct: Volume) -> Volume:
    return Volume(ct.voxels[:, 40:60, 30:50], ct.affine, Unit.HU)


def windowed(ct: Volume) -> Volume:
    return ct.like(np.clip((ct.voxels + 1000) / 8, 0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda ct: ct.like(ct.voxels + 1024), "NOT-HU"),
        (windowed, "NOT-HU"),
        (narrow, "FIELD-OF-VIEW"),
        (lambda ct: ct.like(ct.voxels, Unit.SUV), "NOT-HU"),
    ],
)
def test_a_nifti_ct_that_is_none_is_refused_as_prepare_refuses_it(
    tmp_path: Path, spoil: Callable[[Volume], Volume], reason: str
) -> None:
    spoil(cylinder()).save(tmp_path / "ct.nii.gz")
    with pytest.raises(DataError, match=reason):
        load_any_ct(tmp_path / "ct.nii.gz")


def test_a_nifti_ct_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    """Of integers: a reader fills what is missing with zeros."""
    cylinder().save(tmp_path / "whole.nii.gz")
    whole = (tmp_path / "whole.nii.gz").read_bytes()
    (tmp_path / "ct.nii.gz").write_bytes(whole[: len(whole) // 2])
    plain = gzip.decompress(whole)
    (tmp_path / "ct.nii").write_bytes(plain[: len(plain) // 2])
    for name in ("ct.nii.gz", "ct.nii"):
        with pytest.raises(DataError, match="NIFTI-DAMAGED"):
            load_any_ct(tmp_path / name)


def test_a_nifti_ct_that_lies_nowhere_is_refused(tmp_path: Path) -> None:
    cylinder().save(tmp_path / "ct.nii")
    raw = bytearray((tmp_path / "ct.nii").read_bytes())
    raw[252:256] = bytes(4)  # neither qform nor sform
    (tmp_path / "ct.nii").write_bytes(raw)
    with pytest.raises(DataError, match="NIFTI-PLACE"):
        load_any_ct(tmp_path / "ct.nii")


def test_a_sound_nifti_ct_is_taken_as_it_is(tmp_path: Path) -> None:
    cylinder().save(tmp_path / "ct.nii.gz")
    found, source = load_any_ct(tmp_path / "ct.nii.gz")
    assert source is None
    assert np.array_equal(found.voxels, cylinder().voxels)
    assert found.grid.matches(cylinder().grid)


def test_a_nifti_ct_has_the_values_that_it_would_have_as_dicom(tmp_path: Path) -> None:
    """Extended scales reach 30000 HU at metal; smoothed as they are, they would bloom around it."""
    ct = cylinder((1.6, 1.6, 5.0))
    ct.voxels[:, :8] = -3024  # outside the scanner's circle
    ct.voxels[:, 48:52, 38:42] = 30000
    ct.like(ct.voxels).save(tmp_path / "ct.nii.gz")
    found, _ = load_any_ct(tmp_path / "ct.nii.gz")
    assert np.array_equal(found.voxels, np.clip(ct.voxels, -1024, 3071))


def test_the_pet_is_not_written_over_the_ct(tmp_path: Path) -> None:
    ct, link = tmp_path / "ct.nii.gz", tmp_path / "link.nii.gz"
    cylinder().save(ct)
    link.symlink_to(ct)
    before = ct.read_bytes()
    for out in (ct, tmp_path / "." / "x" / ".." / "ct.nii.gz", link):
        with pytest.raises(UsageError, match="is the CT, or is named twice"):
            predict(ct, tmp_path, out)
    assert ct.read_bytes() == before


def test_no_output_lies_inside_another(tmp_path: Path) -> None:
    ct = tmp_path / "ct"
    for outs in (("pet", "pet/half"), ("half/pet.nii.gz", "half"), ("x/../pet/a/b", "pet")):
        with pytest.raises(UsageError, match="inside another output"):
            require_apart(ct, *(tmp_path / out for out in outs))
    require_apart(ct, tmp_path / "pet", tmp_path / "half", ct / "pet")


def test_what_stands_in_the_way_is_told_before_the_long_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.nii").mkdir()
    require_output("--out", tmp_path / "new" / "pet.nii.gz", tmp_path / "CT")
    require_output("--out", tmp_path / "pet.nii", tmp_path / "CT")
    for out in ("file/pet.nii.gz", "file/deeper/pet.nii", "folder.nii"):
        with pytest.raises(UsageError, match="in the way"):
            require_output("--out", tmp_path / out, tmp_path / "CT")


# As DICOM


@pytest.fixture
def loaded(echo: Synthesizer, card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any run's folder holds the echo."""
    known = Card(card.recipe, 1, card.grid, "", 0, sha256={MODEL_FILE: "ab" * 32})
    monkeypatch.setattr("petcast.predict.cast.load_synthesizer", lambda run, which: (echo, known))


@pytest.fixture
def ct(tiny_cohort: Path) -> Path:
    """A phantom's CT as DICOM."""
    return min(tiny_cohort.iterdir()) / "CT"


@pytest.mark.slow
def test_a_dicom_ct_gives_a_dicom_pet_on_its_own_slices(
    loaded: None, ct: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pet"
    cast = predict(ct, tmp_path, out, device="cpu").pet
    [series] = scan([out], salt="tests").series
    assert series.synthetic
    found = read_pet(series).suv
    assert np.abs(found.voxels - cast.voxels).max() < 2e-4
    assert np.abs(found.affine - load_ct_and_source(ct)[0].affine).max() < 1e-9
    assert len(list(out.iterdir())) == len(list(ct.iterdir()))
    said = "".join(capfd.readouterr())
    assert "PHANTOM" not in said
    assert dcmread(ct / "CT001.dcm").PatientID not in said


def without_intercept(slice_: FileDataset) -> None:
    """As an export leaves it that drops the rescale: 0 to 4095, and 1024 for water."""
    slice_.PixelData = (slice_.pixel_array - slice_.pixel_array.min()).astype("<u2").tobytes()
    slice_.PixelRepresentation, slice_.RescaleIntercept = 0, 0
    slice_.pop("PixelPaddingValue", None)


def cut_out(slice_: FileDataset) -> None:
    """The heart alone."""
    side = int(140 / slice_.PixelSpacing[0])
    middle = slice(slice_.Rows // 2 - side // 2, slice_.Rows // 2 - side // 2 + side)
    slice_.PixelData = slice_.pixel_array[middle, middle].tobytes()
    slice_.Rows = slice_.Columns = side


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "reason"), [(without_intercept, "NOT-HU"), (cut_out, "FIELD-OF-VIEW")]
)
def test_a_dicom_ct_that_is_none_is_refused_as_a_nifti_one_is(
    tiny_cohort: Path, tmp_path: Path, spoil: Callable[[FileDataset], None], reason: str
) -> None:
    patient = shutil.copytree(min(tiny_cohort.iterdir()), tmp_path / "patient")
    for path in (patient / "CT").iterdir():
        spoil(slice_ := dcmread(path))
        slice_.save_as(path)
    with pytest.raises(DataError, match=reason):
        load_any_ct(patient / "CT")
    [study] = scan([patient], salt="tests").studies
    with pytest.raises(DataError, match=reason):
        DicomCase(study).read()


@pytest.mark.slow
def test_the_stage_stands_in_the_series(loaded: None, ct: Path, tmp_path: Path) -> None:
    images = []
    for stages in (None, 2, 1):
        out = tmp_path / str(stages)
        predict(ct, tmp_path, out, device="cpu", stages=stages)
        images.append(dcmread(min(out.iterdir())))
    assert images[0] == images[1]
    assert images[0].SeriesInstanceUID != images[2].SeriesInstanceUID
    assert ", output of stage 1 of 2, weights" in images[2].DerivationDescription
    assert "Only stage 2 was compared" in images[2].ImageComments


@pytest.mark.slow
def test_its_study_is_the_measured_pets(loaded: None, ct: Path, tmp_path: Path) -> None:
    pet = predict(ct, tmp_path, tmp_path / "all" / "any name", device="cpu").pet
    with ExitStack() as stack:
        truths = find_cases(ct.parent.parent, "truth", stack)  # four patients
        predictions = find_cases(tmp_path / "all", "prediction", stack)
        [(truth, prediction)], alone = match(truths, predictions)
        assert truth.keys[0] == prediction.keys[0]
        assert len(alone) == 3
        assert np.abs(prediction.load().voxels - pet.voxels).max() < 2e-4


@pytest.mark.slow
def test_half_widths_are_never_taken_for_a_pet(loaded: None, ct: Path, tmp_path: Path) -> None:
    predict(ct, tmp_path, tmp_path / "out" / "pet", device="cpu")
    half = tmp_path / "out" / "half"
    shutil.copytree(tmp_path / "out" / "pet", half)
    for number, path in enumerate(sorted(half.iterdir())):
        image = dcmread(path)
        image.SeriesDescription, image.SeriesInstanceUID = HALF_WIDTH.description, "2.25.1"
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"2.25.2.{number}"
        image.save_as(path)
    with ExitStack() as stack:
        [prediction] = find_cases(tmp_path / "out", "prediction", stack)
        assert prediction.keys[-1] == "pet"
        with pytest.raises(DataError, match="half-widths of intervals alone"):
            find_cases(half, "prediction", stack)
    notes = {
        Path(row["path"]).name: row["notes"] for row in measure_suv(tmp_path / "out")["series"]
    }
    assert any("no uptake" in note for note in notes["half"])
    assert not any("no uptake" in note for note in notes["pet"])


def test_a_nifti_ct_gives_no_dicom(loaded: None, tmp_path: Path) -> None:
    ct = tmp_path / "ct.nii.gz"
    cylinder().save(ct)
    with pytest.raises(UsageError, match="came as DICOM"):
        predict(ct, tmp_path, tmp_path / "pet")
    assert not (tmp_path / "pet").exists()


def test_a_folder_of_something_else_is_refused_before_anything_is_read(
    loaded: None, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="give a new folder"):
        predict(tmp_path / "nowhere", tmp_path, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
