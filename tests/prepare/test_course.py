"""Preparation: the same bytes however it went, nothing half-written, each refusal with its code."""

import errno
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner

from petcast import cli
from petcast.align import Reading
from petcast.claim import DATA_FILE, RECIPE_FILE, STUDY_FILE
from petcast.dicom.series import refused_row
from petcast.disk import durable
from petcast.errors import DataError, FormatError, GeometryError, UsageError
from petcast.pairs import Pairs, read_card
from petcast.prepare import course as room
from petcast.prepare import prepare
from petcast.prepare import study as one
from petcast.prepare.cohort import Found, nothing_usable
from petcast.recipe import PreparationRecipe
from petcast.refusal import Reason, Refusal, RefusedError
from petcast.volume import Unit, Volume

SALT = "tests"
COARSE = PreparationRecipe(size=32, spacing_mm=16.0, slices="all")
OTHER = PreparationRecipe(size=32, spacing_mm=15.0, slices="all")
KILLS = int(os.environ.get("PETCAST_KILLS", "5"))
"""Moments at which preparation is killed; the seeds are 0, 1, 2 …"""

Damage = Callable[[Path], object]


@pytest.fixture
def dicom(tiny_cohort: Path, tmp_path: Path) -> Path:
    """Two patients of one's own, to be damaged."""
    for name in ("phantom-000", "phantom-001"):
        shutil.copytree(tiny_cohort / name, tmp_path / "dicom" / name)
    return tmp_path / "dicom"


@dataclass(frozen=True)
class DrawnCase:
    """A study whose only file holds the SUV of its PET."""

    path: Path
    ct: Volume
    diagnosis: str = ""

    @property
    def id(self) -> str:
        return f"study-{self.path.name}"

    @property
    def patient(self) -> str:
        return f"patient-{self.path.name}"

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    @property
    def annotations(self) -> None:
        return None

    def read(self) -> Reading:
        suv = np.full_like(self.ct.voxels, float(self.path.read_text()), np.float32)
        return Reading(self.ct, self.ct.like(suv, Unit.SUV), "dose", "start")


@pytest.fixture
def drawn(chest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two studies that are prepared in no time."""
    ct = chest((20.0, 20.0, 20.0))

    def find(folders, salt, *crew, skip=None) -> Found:
        cases = tuple(DrawnCase(path, ct) for path in sorted(folders[0].iterdir()))
        return Found(cases, (), {case.id: case.patient for case in cases})

    monkeypatch.setattr(room, "find", find)
    (tmp_path / "source").mkdir()
    for name, suv in (("a", "1.5"), ("b", "2.5")):
        (tmp_path / "source" / name).write_text(suv)
    return tmp_path / "source"


def prepared(source: Path, out: Path, recipe: PreparationRecipe = COARSE, **options) -> Pairs:
    return prepare([source], out, recipe, **({"workers": 1, "salt": SALT} | options))


def hashes(out: Path) -> dict[str, str]:
    """Every file of some pairs; the lock holds nothing."""
    return {
        str(path.relative_to(out)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != durable.LOCK_FILE
    }


def written_at(out: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in out.rglob("card.json")}


def test_pairs_do_not_go_into_what_is_read(dicom: Path) -> None:
    before = sorted(dicom.rglob("*"))
    out = dicom / "phantom-000" / ".."
    with pytest.raises(UsageError, match="is the folder that is read"):
        prepare([dicom], out, COARSE, salt=SALT, workers=1)
    assert sorted(dicom.rglob("*")) == before


def test_usable_studies_become_pairs_and_nothing_else_lies_there(whole_pairs: Path) -> None:
    pairs = Pairs.open(whole_pairs)
    pairs.verify()
    assert len(pairs.studies()) == 4
    assert {part: len(members) for part, members in pairs.index["parts"].items()} == {
        "train": 2,
        "validation": 1,
        "test": 1,
    }
    assert pairs.index["refused"] == []
    names = {path.name for path in whole_pairs.rglob("*") if path.is_file()}
    arrays = {"ct.npy", "pet.npy", "regions.npy"}
    assert names == arrays | {"card.json", "pairs.json", durable.LOCK_FILE}


def test_what_the_index_says_of_a_study_is_true(whole_pairs: Path) -> None:
    pairs = Pairs.open(whole_pairs)
    for study, row in zip(pairs.studies(), pairs.index["studies"], strict=True):
        assert row["slices"] == len(study.ct) == len(study.pet)
        assert row["suv_max"] == pytest.approx(float(study.pet.max()), abs=1e-4)
        assert row["ct_spacing_mm"][2] == pytest.approx(12, abs=0.1)
        assert 30 < row["uptake_minutes"] < 120
        lungs = study.regions[:] == 2
        assert 1000 < lungs.sum() * 2 * 2 * study.grid.spacing_mm[2] / 1000 < 8000  # mL
        assert study.ct[:][lungs].mean() < -600


def test_how_ct_and_pet_lie_on_each_other_is_kept(whole_pairs: Path) -> None:
    pairs = Pairs.open(whole_pairs)
    for study, row in zip(pairs.studies(), pairs.index["studies"], strict=True):
        found = row["registration"]
        assert found == read_card(study.folder)["registration"]
        assert found["body"]["trunk_dice"] > 0.9
        assert 0 <= found["worst_slice"] < study.slices


def test_what_lies_beyond_tolerance_is_named_twice(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "user_salt", lambda: SALT)
    knobs = [f"--set=preparation.{knob}" for knob in ("size=32", "spacing_mm=16", "slices=all")]
    arguments = ["prepare", str(drawn), "--out", str(tmp_path / "pairs"), "--workers=1", *knobs]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0
    for row in Pairs.open(tmp_path / "pairs").index["studies"]:
        warnings = row["registration"]["warnings"]
        [line] = [line for line in result.stdout.splitlines() if row["id"] in line]
        assert warnings[0]["code"] in line
        for warning in warnings:
            assert f"study {row['id']}: {warning['code']}: {warning['detail']}" in result.stderr


def test_another_call_reuses_what_is_whole(drawn: Path, tmp_path: Path) -> None:
    prepared(drawn, tmp_path / "pairs")
    before, when = hashes(tmp_path / "pairs"), written_at(tmp_path / "pairs")
    prepared(drawn, tmp_path / "pairs")
    assert hashes(tmp_path / "pairs") == before
    assert written_at(tmp_path / "pairs") == when


def flipped_bit(folder: Path) -> None:
    content = bytearray((folder / "pet.npy").read_bytes())
    content[-1] ^= 1
    (folder / "pet.npy").write_bytes(content)


def cut_off_array(folder: Path) -> None:
    os.truncate(folder / "ct.npy", 1000)


def torn_card(folder: Path) -> None:
    (folder / "card.json").write_text('{"format": 1')


def newer_card(folder: Path) -> None:
    text = (folder / "card.json").read_text()
    (folder / "card.json").write_text(text.replace('"format": 1', '"format": 99'))


def of_before_the_registration_check(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    del card["registration"]
    (folder / "card.json").write_text(json.dumps(card))


def moved_aside(folder: Path) -> None:
    folder.rename(folder.with_name(f"{folder.name}.previous"))


def half_written_beside(folder: Path) -> None:
    (folder.with_name(f"{folder.name}.partial")).mkdir()


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        shutil.rmtree,
        flipped_bit,
        cut_off_array,
        torn_card,
        newer_card,
        of_before_the_registration_check,
        moved_aside,
        half_written_beside,
    ],
)
def test_a_damaged_study_is_made_anew_and_the_others_stay(
    drawn: Path, tmp_path: Path, damage: Damage
) -> None:
    out = tmp_path / "pairs"
    first, second = prepared(drawn, out).studies()
    before, when = hashes(out), written_at(out)
    damage(first.folder)
    prepared(drawn, out)
    assert hashes(out) == before
    assert written_at(out)[second.id] == when[second.id]


@pytest.mark.slow
def test_a_source_that_changed_is_prepared_again(drawn: Path, tmp_path: Path) -> None:
    prepared(drawn, tmp_path / "pairs")
    when = written_at(tmp_path / "pairs")
    (drawn / "b").write_text("2.25")
    prepared(drawn, tmp_path / "pairs")
    fresh = prepared(drawn, tmp_path / "fresh")
    assert hashes(tmp_path / "pairs") == hashes(tmp_path / "fresh")
    assert len(set(when.items()) & set(written_at(tmp_path / "pairs").items())) == 1
    assert len(fresh.studies()) == 2


@pytest.mark.slow
def test_other_knobs_of_the_grid_make_all_anew(drawn: Path, tmp_path: Path) -> None:
    prepared(drawn, tmp_path / "pairs")
    prepared(drawn, tmp_path / "pairs", OTHER)
    prepared(drawn, tmp_path / "fresh", OTHER)
    assert hashes(tmp_path / "pairs") == hashes(tmp_path / "fresh")


def test_another_split_leaves_the_arrays(drawn: Path, tmp_path: Path) -> None:
    prepared(drawn, tmp_path / "pairs")
    when = written_at(tmp_path / "pairs")
    pairs = prepared(drawn, tmp_path / "pairs", COARSE.model_copy(update={"test": 0.0}))
    assert pairs.index["parts"]["test"] == []
    assert written_at(tmp_path / "pairs") == when


def test_others_studies_are_not_swept_away(tmp_path: Path) -> None:
    theirs = tmp_path / "studies" / "Anna" / "CT" / "1.dcm"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("the only copy")
    with pytest.raises(UsageError, match="give a new --out") as error:
        prepared(tmp_path / "studies", tmp_path)
    assert "Anna" not in str(error.value)
    assert theirs.exists()


@pytest.mark.parametrize("mark", [DATA_FILE, STUDY_FILE])
def test_the_folder_of_a_run_or_a_study_is_not_taken_over(tmp_path: Path, mark: str) -> None:
    held = {mark, RECIPE_FILE}
    for name in held:
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match="holds a run or a study, and no pairs; give another"):
        prepared(tmp_path / "source", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == held


@pytest.mark.slow
def test_a_recipe_alone_and_pairs_in_which_was_trained_are_no_run(
    drawn: Path, tmp_path: Path
) -> None:
    (tmp_path / "pairs").mkdir()
    for name in (RECIPE_FILE, DATA_FILE):
        (tmp_path / "pairs" / name).touch()
        assert prepared(drawn, tmp_path / "pairs").studies()


@pytest.mark.slow
def test_a_file_that_a_file_manager_leaves_is_let_be(drawn: Path, tmp_path: Path) -> None:
    prepared(drawn, tmp_path / "pairs")
    left = [tmp_path / "pairs" / place / ".DS_Store" for place in ("studies", "studies/study-a")]
    for path in left:
        path.touch()
    prepared(drawn, tmp_path / "pairs")
    assert all(path.exists() for path in left)


@pytest.mark.slow
def test_a_patient_taken_away_leaves_nothing_behind(drawn: Path, tmp_path: Path) -> None:
    prepared(drawn, tmp_path / "pairs")
    (drawn / "a").unlink()
    prepared(drawn, tmp_path / "pairs")
    prepared(drawn, tmp_path / "fresh")
    assert hashes(tmp_path / "pairs") == hashes(tmp_path / "fresh")


@pytest.mark.slow
def test_another_key_gives_other_names_and_the_same_images(dicom: Path, tmp_path: Path) -> None:
    shutil.rmtree(dicom / "phantom-001")
    pairs = prepared(dicom, tmp_path / "a"), prepared(dicom, tmp_path / "b", salt="other")
    [one], [other] = (each.studies() for each in pairs)
    assert not {one.id, one.patient} & {other.id, other.patient}
    assert np.array_equal(one.pet, other.pet)
    assert one.hash == other.hash  # by which `evaluate` knows a study again
    assert len({each.index["key_mark"] for each in pairs}) == 2


@pytest.mark.slow
def test_processes_change_nothing(dicom: Path, tmp_path: Path) -> None:
    prepared(dicom, tmp_path / "one")
    prepared(dicom, tmp_path / "two", workers=2)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")


def test_a_split_file_is_checked_before_the_long_work(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "prepare_study", lambda task: pytest.fail("worked in vain"))
    (tmp_path / "split.csv").write_text("patient,part\nnobody,train\n")
    with pytest.raises(UsageError, match="line 2"):
        prepared(drawn, tmp_path / "pairs", split_file=tmp_path / "split.csv")


@pytest.mark.slow
def test_a_split_file_in_the_hospitals_numbers_decides(dicom: Path, tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("patient,part\nPHANTOM-000,test\nPHANTOM-001,train\n")
    pairs = prepared(dicom, tmp_path / "pairs", split_file=tmp_path / "split.csv")
    assert [len(members) for members in pairs.index["parts"].values()] == [1, 0, 1]
    assert "PHANTOM" not in (tmp_path / "pairs" / "pairs.json").read_text()


@pytest.mark.slow
def test_a_split_file_needs_no_issuer(dicom: Path, tmp_path: Path) -> None:
    for path in (dicom / "phantom-000").rglob("*"):
        if path.is_file() and pydicom.misc.is_dicom(path):
            slice_ = pydicom.dcmread(path)
            slice_.IssuerOfPatientID = "St Mary"
            slice_.save_as(path)
    (tmp_path / "split.csv").write_text("patient,part\nPHANTOM-000,test\nPHANTOM-001,train\n")
    pairs = prepared(dicom, tmp_path / "pairs", split_file=tmp_path / "split.csv")
    assert [len(members) for members in pairs.index["parts"].values()] == [1, 0, 1]


def test_two_calls_do_not_work_in_one_folder(drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    with (
        durable.exclusive(tmp_path / "pairs" / durable.LOCK_FILE),
        pytest.raises(UsageError, match="another process"),
    ):
        prepared(drawn, tmp_path / "pairs")


# Refusals seen in the voxels


def without_lungs(path: Path) -> None:
    slice_ = pydicom.dcmread(path)
    pixels = slice_.pixel_array.copy()
    hu = pixels * float(slice_.RescaleSlope) + float(slice_.RescaleIntercept)
    pixels[hu > -950] = (40 - float(slice_.RescaleIntercept)) / float(slice_.RescaleSlope)
    slice_.PixelData = pixels.tobytes()
    slice_.save_as(path)


@pytest.mark.slow
def test_a_study_without_lungs_is_refused_by_its_code(dicom: Path, tmp_path: Path) -> None:
    for path in (dicom / "phantom-000" / "CT").iterdir():
        without_lungs(path)
    pairs = prepared(dicom, tmp_path / "pairs", COARSE.model_copy(update={"slices": "lungs"}))
    assert len(pairs.studies()) == 1
    [row] = pairs.index["refused"]
    assert (row["level"], row["reason"]) == ("study", "NO-LUNGS")


@pytest.mark.slow
def test_pixels_lost_after_the_scan_are_a_refusal(
    dicom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = room.find

    def losing(*arguments, **options):
        found = find(*arguments, **options)
        os.truncate(next((dicom / "phantom-000" / "PT").iterdir()), 3000)
        return found

    monkeypatch.setattr(room, "find", losing)
    pairs = prepared(dicom, tmp_path / "pairs")
    assert [row["reason"] for row in pairs.index["refused"]] == ["TRUNCATED"]
    assert len(pairs.studies()) == 1


@pytest.mark.slow
def test_a_disk_that_cannot_be_read_is_a_refusal_without_a_path(
    dicom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprint = one._fingerprint

    def broken(files, salt):
        if "phantom-000" in str(files[0]):
            raise OSError(errno.EIO, "Input/output error", str(files[0]))
        return fingerprint(files, salt)

    monkeypatch.setattr(one, "_fingerprint", broken)
    [row] = prepared(dicom, tmp_path / "pairs").index["refused"]
    assert row["reason"] == "UNREADABLE"
    assert "phantom" not in str(row)


def test_an_implausible_suv_is_a_refusal_and_the_others_go_on(drawn: Path, tmp_path: Path) -> None:
    (drawn / "a").write_text("1500")
    (drawn / "c").write_text("0.0015")
    pairs = prepared(drawn, tmp_path / "pairs")
    assert [study.id for study in pairs.studies()] == ["study-b"]
    rows = pairs.index["refused"]
    assert [(row["id"], row["reason"]) for row in rows] == [
        ("study-a", "NOT-SUV"), ("study-c", "NOT-SUV"),
    ]  # fmt: skip
    assert "mean is 1.5e+03" in rows[0]["detail"]


@pytest.mark.parametrize(
    ("error", "said"),
    [(GeometryError("the affine is singular"), "singular"), (FormatError("/a/Doe"), "FormatError")],
)
def test_what_nobody_foresaw_is_that_study_s_refusal_alone(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error, said: str
) -> None:
    align = one.align

    def failing(reading, recipe):
        if reading.pet.voxels.max() > 2:
            raise error
        return align(reading, recipe)

    monkeypatch.setattr(one, "align", failing)
    pairs = prepared(drawn, tmp_path / "pairs")
    assert [study.id for study in pairs.studies()] == ["study-a"]
    [row] = pairs.index["refused"]
    assert (row["id"], row["reason"]) == ("study-b", "NOT-PREPARED")
    assert said in row["detail"]
    assert "Doe" not in row["detail"]


def test_nothing_usable_says_each_reason_with_its_remedy(dicom: Path, tmp_path: Path) -> None:
    for path in dicom.rglob("PT/*"):
        path.unlink()
    with pytest.raises(DataError, match=r"NO-PET, study × 2: .*Export the PET"):
        prepared(dicom, tmp_path / "pairs")
    with pytest.raises(UsageError, match="no folder of pairs"):
        Pairs.open(tmp_path / "pairs")


def test_nothing_usable_says_what_was_found_where_all_say_the_same() -> None:
    high, higher = (Refusal(Reason.NOT_SUV, f"The mean is {mean}.") for mean in (37, 52))
    rows = [refused_row("study", "a", high), refused_row("study", "b", high)]
    assert "NOT-SUV, study × 2" in nothing_usable([Path("x")], rows)
    assert "The mean is 37." in nothing_usable([Path("x")], rows)
    rows.append(refused_row("study", "c", higher))
    assert "The mean is" not in nothing_usable([Path("x")], rows)


# Interruptions


class Death(BaseException):
    """What kill -9 looks like from inside."""


@pytest.mark.slow
@pytest.mark.parametrize("step", range(17))
def test_death_at_any_rename_is_mended_by_the_next_call(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    out = tmp_path / "pairs"
    prepared(drawn, out)
    steps = iter(range(1000))

    def dying(real):
        def call(self: Path, *arguments, **options):
            if tmp_path in self.parents and next(steps) == step:
                raise Death
            return real(self, *arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("rename", "replace", "mkdir", "unlink"):
            patch.setattr(Path, name, dying(getattr(Path, name)))
        with pytest.raises(Death):
            prepared(drawn, out, OTHER)
    assert_old_new_or_none(out)
    prepared(drawn, out, OTHER)
    prepared(drawn, tmp_path / "fresh", OTHER)
    assert hashes(out) == hashes(tmp_path / "fresh")


def assert_old_new_or_none(out: Path) -> None:
    """Whoever opens the pairs now gets whole ones, or is told that there are none."""
    if (out / "pairs.json").exists():
        Pairs.open(out).verify()
    else:
        with pytest.raises((FormatError, UsageError), match="petcast prepare"):
            Pairs.open(out)


@pytest.mark.slow
@pytest.mark.parametrize("writes", [0, 1, 3, 4])
def test_a_full_disk_leaves_nothing_half_written(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    out, left = tmp_path / "pairs", iter(range(1000))
    real = os.fsync

    def full(handle) -> None:
        if next(left) == writes:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(durable.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            prepared(drawn, out)
    assert list(out.rglob("*.partial")) == []
    with pytest.raises((FormatError, UsageError)):
        Pairs.open(out)
    prepared(drawn, out)
    prepared(drawn, tmp_path / "fresh")
    assert hashes(out) == hashes(tmp_path / "fresh")


@pytest.mark.slow
def test_the_command_line_says_that_the_disk_is_full(
    dicom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def full(handle) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", full)
    monkeypatch.setenv("PETCAST_SALT", SALT)
    arguments = ["prepare", str(dicom), "--out", str(tmp_path / "pairs"), "--workers", "1"]
    monkeypatch.setattr(sys, "argv", ["petcast", *arguments])
    with pytest.raises(SystemExit) as status:
        cli.main()
    assert status.value.code == 3
    assert "No space left" in capsys.readouterr().err


SCRIPT = """
import sys
from pathlib import Path
from petcast.prepare import prepare
from petcast.recipe import PreparationRecipe
if __name__ == "__main__":
    recipe = PreparationRecipe(size=64, spacing_mm=8.0, margin_mm=0)
    prepare([Path(sys.argv[1])], Path(sys.argv[2]), recipe, salt="tests", workers=int(sys.argv[3]))
"""


@pytest.mark.slow
@pytest.mark.timeout(120 * KILLS)
def test_killed_at_seeded_moments_it_ends_in_the_same_bytes(
    tiny_cohort: Path, tmp_path: Path, begin: Callable[..., Any]
) -> None:
    def started(out: Path, workers: int) -> Any:
        return begin(tiny_cohort, out, workers, code=SCRIPT)

    begun = time.monotonic()
    assert started(tmp_path / "straight", 1).wait() == 0
    whole_s = time.monotonic() - begun
    expected = hashes(tmp_path / "straight")
    killed = 0
    for seed in range(KILLS):
        dice = random.Random(seed)
        out = tmp_path / f"killed-{seed}"
        for _ in range(dice.choice((1, 2))):
            child = started(out, dice.choice((1, 2)))
            if child.wait(dice.uniform(0.0, 1.0) * whole_s) is None:
                killed += child.kill() == -signal.SIGKILL
            assert_old_new_or_none(out)
        assert started(out, 1).wait() == 0, seed
        assert hashes(out) == expected, seed
        shutil.rmtree(out)
    assert killed >= KILLS / 2


class Dying:
    """An executor that loses its worker after the first study."""

    def __init__(self) -> None:
        self.calls = 0

    def submit(self, work: Callable, task: one.Task) -> Future:
        future: Future = Future()
        self.calls += 1
        if self.calls > 1:
            future.set_exception(BrokenExecutor("killed"))
        else:
            future.set_result(work(task))
        return future


@pytest.mark.slow
def test_what_was_done_before_an_executor_broke_is_reused(drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    with pytest.raises(BrokenExecutor):
        prepared(drawn, out, executor=Dying())
    when = written_at(out)
    assert len(when) == 1
    prepared(drawn, out)
    assert when.items() <= written_at(out).items()
    prepared(drawn, tmp_path / "fresh")
    assert hashes(out) == hashes(tmp_path / "fresh")


@pytest.mark.slow
def test_a_worker_left_by_an_earlier_call_stops(drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    prepared(drawn, out)
    before = hashes(out)
    case = room.find([drawn], SALT).cases[0]
    (out / one.LOCKS_FOLDER).mkdir()
    with pytest.raises(UsageError, match="has ended"):
        one.prepare_study(one.Task(case, out, OTHER, SALT, "an earlier call"))
    shutil.rmtree(out / one.LOCKS_FOLDER)
    assert hashes(out) == before


@pytest.mark.slow
def test_a_study_waits_for_whoever_writes_it(drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    prepared(drawn, out)
    case = room.find([drawn], SALT).cases[0]
    (out / one.LOCKS_FOLDER).mkdir()
    task = one.Task(case, out, OTHER, SALT, (out / durable.LOCK_FILE).read_text())
    with ThreadPoolExecutor(1) as pool:
        with durable.exclusive(out / one.LOCKS_FOLDER / case.id):
            waiting = pool.submit(one.prepare_study, task)
            with pytest.raises(TimeoutError):
                waiting.result(0.2)
        assert waiting.result(60).row is not None


def test_what_is_no_regular_file_is_refused_before_it_is_read() -> None:
    """A pipe called CT.nii.gz, which scan refuses, let prepare wait for ever."""
    with pytest.raises(RefusedError, match=r"UNREADABLE.*no regular file"):
        one._fingerprint([Path(os.devnull)], SALT)
