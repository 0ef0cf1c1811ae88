"""Calibrating a run on pairs, keeping it on disk, and casting with it: whole, and refused cases."""

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from typer.testing import CliRunner

from petcast.checkpoint import MODEL_FILE, Card
from petcast.cli import app
from petcast.dicom.read import read_pet
from petcast.dicom.scan import scan
from petcast.disk.durable import write_json
from petcast.errors import DataError, FormatError, GeometryError, UnitError, UsageError
from petcast.evaluate.cases import find_cases
from petcast.models import Synthesizer
from petcast.models.cascade import Cascade
from petcast.pairs import Pairs
from petcast.predict import predict_slices
from petcast.recipe import LossRecipe, ModelRecipe, Recipe
from petcast.refusal import RefusedError
from petcast.uncertainty import calibrate_run, casting, method_of, predict_either, runs, store
from petcast.uncertainty.calibrate import Scale, Voxels, coverage
from petcast.uncertainty.spread import Method, cast_with_spread
from petcast.uncertainty.store import Calibration, Member, load_calibration, save_calibration
from petcast.volume import Unit, Volume


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.drop, self.factor = nn.Dropout(0.5), factor

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(x) * self.factor


class Runs:
    """Runs on disk without weights: a factor a stage stands for the network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.size, self.spacing_mm = 256, 2.0
        self.sha256 = "ab" * 32

    def make(self, name: str = "run", trained_on: tuple[str, ...] = ()) -> Path:
        run = self.folder / name
        run.mkdir()
        parts = {"train": list(trained_on), "validation": [], "test": []}
        write_json(run / "data.json", {"parts": parts})
        (run / "recipe.toml").touch()
        return run

    def load(self, run: Path, which: str = "best") -> tuple[Synthesizer, Card]:
        with torch.device("meta"):
            model = Synthesizer(ModelRecipe(name="Stage02"))
        factors = (0.1, 0.3) if run.name == "run" else (0.2, 0.4)
        model.generator = Cascade([Times(factor) for factor in factors])
        return model.eval(), self.card(run / which)

    def card(self, checkpoint: Path) -> Card:
        recipe = Recipe(model=ModelRecipe(name="Stage02"), loss=LossRecipe(stages="all"))
        grid = {"size": self.size, "spacing_mm": self.spacing_mm}
        sha256 = "ee" * 32 if checkpoint.name == "last" else self.sha256
        if checkpoint.parent.name == "other":
            sha256 = sha256[::-1]
        return Card(recipe, 3, grid, "", 1, sha256={MODEL_FILE: sha256})


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runs:
    made = Runs(tmp_path)
    for room in (runs, casting):
        monkeypatch.setattr(room, "load_synthesizer", made.load)
    for room in (runs, store):
        monkeypatch.setattr(room, "load_card", made.card)
    return made


def of_part(pairs: Path, part: str) -> list[str]:
    index: dict[str, Any] = json.loads((pairs / "pairs.json").read_text())
    parts: list[str] = index["parts"][part]
    return parts


def test_a_run_is_calibrated_on_its_validation_patients(made: Runs, tiny_pairs: Path) -> None:
    run = made.make(trained_on=tuple(of_part(tiny_pairs, "train")))
    found = calibrate_run(run, tiny_pairs, Method("stages"), device="cpu")
    assert (found.part, found.patients) == ("validation", 1)
    assert found.coverage == pytest.approx((0.9,), abs=1e-3)
    assert load_calibration(run) == found
    [told] = found.warnings
    assert "on 1 patient:" in told
    document = json.loads((run / "uncertainty.json").read_text())
    assert str(made.folder) not in json.dumps(document)
    assert not set(of_part(tiny_pairs, "validation")) & set(json.dumps(document).split('"'))


def test_the_factor_is_that_of_the_voxels_by_hand(made: Runs, tiny_pairs: Path) -> None:
    found = calibrate_run(made.make(), tiny_pairs, Method("uptake"), device="cpu")
    [study] = Pairs.open(tiny_pairs).studies("validation")
    pet = predict_slices(made.load(Path("run"))[0], study.ct, last_only=True)[0]
    body = study.regions > 0
    spread = gaussian_filter(pet, (0, 6, 6), mode="nearest")
    scores = np.abs(pet - study.pet)[body] / (spread[body] + found.scale.floor_suv)
    assert found.scale.factor == pytest.approx(np.quantile(scores, 0.9), rel=1e-3)


def test_without_validation_patients_it_warns(made: Runs, two_patient_pairs: Path) -> None:
    found = calibrate_run(made.make(), two_patient_pairs, Method("stages"), device="cpu")
    assert found.part == "train"
    assert "trained on" in found.warnings[0]


def test_validation_patients_of_other_pairs_may_have_been_trained_on(
    made: Runs, tiny_pairs: Path
) -> None:
    run = made.make(trained_on=tuple(of_part(tiny_pairs, "validation")))
    found = calibrate_run(run, tiny_pairs, Method("stages"), device="cpu")
    assert "trained on" in found.warnings[0]


def test_training_patients_of_other_pairs_were_not_trained_on(
    made: Runs, two_patient_pairs: Path
) -> None:
    run = made.make(trained_on=("somebody else",))
    found = calibrate_run(run, two_patient_pairs, Method("stages"), device="cpu")
    assert found.part == "train"
    assert not any("trained on" in one for one in found.warnings)


def test_some_that_were_trained_on_are_counted(made: Runs) -> None:
    studies: Any = [SimpleNamespace(patient=patient, hash=patient) for patient in "ab"]
    said, _ = runs._warnings("validation", studies, made.make(trained_on=("b", "c")), [])
    assert said.startswith("Calibrated on 2 patients, 1 of them trained on")


def test_pairs_with_nobody_to_calibrate_on_are_refused(made: Runs, test_only_pairs: Path) -> None:
    with pytest.raises(DataError, match="neither validation nor training"):
        calibrate_run(made.make(), test_only_pairs, Method("stages"), device="cpu")


def test_a_stored_pet_with_nan_is_named(made: Runs, tiny_pairs: Path, tmp_path: Path) -> None:
    pairs = Path(shutil.copytree(tiny_pairs, tmp_path / "spoilt"))
    [study] = Pairs.open(pairs).studies("validation")
    np.load(study.folder / "pet.npy", mmap_mode="r+")[1, 2, 3] = np.nan
    with pytest.raises(FormatError, match=r"pet\.npy holds NaN"):
        calibrate_run(made.make(), pairs, Method("stages"), device="cpu")


def test_a_model_that_gives_no_numbers_is_not_calibrated(
    made: Runs, tiny_pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its calibration could not be written as JSON, and ended in a traceback."""
    broken = made.load(Path("run"))[0]
    broken.generator = Cascade([Times(float("nan"))] * 2)
    monkeypatch.setattr(runs, "load_synthesizer", lambda run: (broken, made.card(run / "best")))
    with pytest.raises(RefusedError, match=r"NOT-FINITE: The model's PET"):
        calibrate_run(made.make(), tiny_pairs, Method("uptake"), device="cpu")


def test_pairs_on_another_grid_are_refused(made: Runs, tiny_pairs: Path) -> None:
    made.spacing_mm = 4.0
    with pytest.raises(GeometryError, match=r"4\.0"):
        calibrate_run(made.make(), tiny_pairs, Method("stages"), device="cpu")


def test_the_runs_of_an_ensemble_are_found_again(made: Runs, tiny_pairs: Path) -> None:
    run, other = made.make(), made.make("other")
    (other / "best").mkdir()
    found = calibrate_run(run, tiny_pairs, Method("ensemble"), others=[other], device="cpu")
    assert found.members == (Member("../other", made.sha256[::-1]),)
    assert store.runs_of(run, found.members) == [other.resolve()]
    made.sha256 = "cd" * 32
    with pytest.raises(UsageError, match=r"\.\./other"):
        store.runs_of(run, found.members)


def test_an_ensemble_of_a_run_and_itself_is_refused(made: Runs, tiny_pairs: Path) -> None:
    """Its spread would be 0 everywhere, and nothing in the table of coverage would say so."""
    run, copied = made.make(), made.make("copy")
    for twin in (run, copied):
        with pytest.raises(UsageError, match="weights are the same"):
            calibrate_run(run, tiny_pairs, Method("ensemble"), others=[twin], device="cpu")
    assert not (run / "uncertainty.json").exists()


CALIBRATION = Calibration(
    Method("dropout", passes=4, seed=3), Scale(2.5, 0.125), "validation", 2, (0.88, 0.92), 0.7,
    "ab" * 32, "ef" * 32, (Member("../b", "cd" * 32),), ("Mind this.",),
)  # fmt: skip


def test_a_calibration_reads_back_as_it_was_written(tmp_path: Path) -> None:
    save_calibration(tmp_path, CALIBRATION)
    assert load_calibration(tmp_path) == CALIBRATION
    assert load_calibration(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [("format", 99, "update petcast"), ("way", "guess", "calibrate"), ("factor", "x", "calibrate"),
     ("calibrated_on", None, "calibrate"), ("weights", ..., "calibrate")],
)  # fmt: skip
def test_a_damaged_calibration_is_refused(tmp_path: Path, key: str, value: Any, told: str) -> None:
    document = CALIBRATION.to_json() | {key: value}
    kept = {name: held for name, held in document.items() if held is not ...}
    write_json(tmp_path / "uncertainty.json", kept)
    with pytest.raises(FormatError, match=told):
        load_calibration(tmp_path)


def cylinder() -> Volume:
    y, x = np.mgrid[:96, :96]
    disc = (x - 40) ** 2 + (y - 50) ** 2 < 30**2
    voxels = np.where(np.broadcast_to(disc, (12, 96, 96)), 0, -1000).astype(np.int16)
    affine = np.diag([4.0, 4.0, 5.0, 1.0])
    affine[:3, 3] = (-170, -230, 60)
    return Volume(voxels, affine, Unit.HU)


@pytest.fixture
def calibrated(made: Runs) -> Path:
    run = made.make()
    alone = replace(CALIBRATION, members=(), method=Method("stages"))
    save_calibration(run, alone)
    return run


def test_the_half_width_lies_where_the_ct_lies(made: Runs, calibrated: Path) -> None:
    """Stages give 0.5 and 0.15 SUV in water (HU 0 is 0.5 of 10 SUV): a spread of 0.175 SUV."""
    made.size, made.spacing_mm = 64, 5.0
    ct = calibrated.parent / "ct.nii.gz"
    cylinder().save(ct)
    out, half = calibrated.parent / "pet.nii.gz", calibrated.parent / "half.nii.gz"
    found = predict_either(ct, calibrated, out, half, device="cpu")
    pet, width = Volume.load(out, Unit.SUV), Volume.load(half, Unit.HALF_WIDTH)
    with ExitStack() as stack:
        [case] = find_cases(half, "prediction", stack)
        with pytest.raises(UnitError, match="half-widths of SUV intervals, expected SUV"):
            case.load()
    assert width.grid.matches(cylinder().grid)
    assert width.grid.matches(pet.grid)
    middle = (6, 50, 40)
    first, last = 10 * 0.5 * 0.1, 10 * 0.5 * 0.1 * 0.3
    assert pet.voxels[middle] == pytest.approx(last, abs=1e-3)
    expected = 2.5 * (abs(first - last) / 2 + 0.125)
    assert width.voxels[middle] == pytest.approx(expected, abs=1e-3)
    summary = found.to_json()
    assert summary["uncertainty"]["way"] == "stages"
    assert any("90 %" in one for one in summary["warnings"])
    assert "Mind this." in summary["warnings"]


@pytest.mark.slow
def test_of_a_dicom_ct_both_are_series_in_its_study(
    made: Runs, calibrated: Path, tiny_cohort: Path
) -> None:
    ct, folder = min(tiny_cohort.iterdir()) / "CT", calibrated.parent
    out, half = folder / "pet", folder / "half"
    found = predict_either(ct, calibrated, out, half, device="cpu")
    assert isinstance(found, casting.UncertainPrediction)
    series = scan([ct, out, half], salt="tests").series
    assert [one.synthetic for one in series].count(True) == 2
    assert len({one.study_id for one in series}) == 1
    for place, volume in ((out, found.prediction.pet), (half, found.half_width)):
        [one] = scan([place], salt="tests").series
        assert np.abs(read_pet(one).suv.voxels - volume.voxels).max() < 2e-4
        assert not list(place.parent.glob(".*"))
    with pytest.raises(UsageError, match="is named twice"):
        predict_either(ct, calibrated, out, out, device="cpu")


@pytest.mark.slow
def test_the_pet_is_the_same_with_and_without_its_half_width(
    made: Runs, calibrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from petcast.predict import cast

    monkeypatch.setattr(cast, "load_synthesizer", made.load)
    ct, folder = calibrated.parent / "ct.nii.gz", calibrated.parent
    cylinder().save(ct)
    predict_either(ct, calibrated, folder / "a.nii", device="cpu")
    predict_either(ct, calibrated, folder / "b.nii", folder / "half.nii", device="cpu")
    one, other = (Volume.load(folder / f"{name}.nii", Unit.SUV) for name in "ab")
    assert np.array_equal(one.voxels, other.voxels)


def refusals() -> list[Any]:
    def none(run: Path) -> dict[str, Any]:
        (run / "uncertainty.json").unlink()
        return {}

    return [
        pytest.param(none, r"petcast calibrate .*run --data PAIRS", id="not calibrated"),
        pytest.param(lambda _: {"last": True}, "other weights", id="other weights"),
        pytest.param(lambda _: {"stages": 1}, "--stages", id="an early stage"),
        pytest.param(lambda _: {"half_width_out": Path("u.png")}, "--uncertainty", id="no NIfTI"),
        pytest.param(lambda run: {"half_width_out": run / "../pet.nii.gz"}, "twice", id="the PET"),
        pytest.param(
            lambda run: {"half_width_out": run / "../ct.nii.gz"}, "is the CT", id="the CT"
        ),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("spoil", "told"), refusals())
def test_what_cannot_be_had_is_refused_with_a_remedy(
    calibrated: Path, spoil: Callable[[Path], dict[str, Any]], told: str
) -> None:
    ct, folder = calibrated.parent / "ct.nii.gz", calibrated.parent
    cylinder().save(ct)
    wanted = {"half_width_out": folder / "half.nii.gz", **spoil(calibrated)}
    with pytest.raises(UsageError, match=told):
        predict_either(ct, calibrated, folder / "pet.nii.gz", device="cpu", **wanted)
    assert not (folder / "pet.nii.gz").exists()


@pytest.mark.slow
def test_dropout_covers_like_it_was_calibrated(made: Runs, tiny_pairs: Path) -> None:
    """The same seed on the same patients gives the very coverage that is written down."""
    found = calibrate_run(made.make(), tiny_pairs, Method("dropout", seed=4), device="cpu")
    [study] = Pairs.open(tiny_pairs).studies("validation")
    pet, spread = cast_with_spread([made.load(Path("run"))[0]], study.ct, found.method)
    voxels = Voxels.inside(pet, study.pet, spread, study.regions > 0)
    assert coverage(voxels, found.scale) == pytest.approx(found.coverage[0])


def test_pairs_given_for_a_run_are_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a run"):
        method_of(None, tmp_path)


def test_the_way_is_chosen_by_the_model_or_named(made: Runs) -> None:
    run = made.make()
    assert method_of(None, run).way == runs.BEST
    assert method_of("stages", run) == Method("stages")
    with pytest.raises(UsageError, match="--way guess: there are stages, dropout"):
        method_of("guess", run)


@pytest.mark.slow
def test_the_command_prints_what_it_wrote(made: Runs, tiny_pairs: Path) -> None:
    run = made.make()
    asked = ["calibrate", str(run), "--data", str(tiny_pairs), "--way", "stages", "--json"]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((run / "uncertainty.json").read_text())
    shown = CliRunner().invoke(app, asked[:-1])
    assert "validation" in shown.stdout
    assert "warning:" in shown.stderr
