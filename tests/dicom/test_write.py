"""A PET in SUV comes back from DICOM as it was, where it was; a folder is whole or is not there."""

import errno
import os
import signal
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.config import disable_value_validation
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from petcast.dicom.read import read_pet
from petcast.dicom.scan import scan
from petcast.dicom.suv import measure_suv
from petcast.dicom.write import require_room
from petcast.errors import GeometryError, UnitError, UsageError
from petcast.refusal import Reason, RefusedError
from petcast.volume import Unit, Volume

SALT = "tests"
EXACT_MM = 1e-9


def read_back(folder: Path) -> Volume:
    [series] = scan([folder], salt=SALT).series
    assert series.synthetic
    assert series.refusal is None
    return read_pet(series).suv


# Values


@pytest.mark.slow
def test_suv_comes_back_within_half_a_step_of_each_slices_own_slope(export, cast, tmp_path) -> None:
    made = cast(export.write())
    pet = made.pet()
    made.write(tmp_path / "pet", pet)
    found = read_back(tmp_path / "pet").voxels
    step = np.abs(pet.voxels).max(axis=(1, 2)) / 32767
    assert (np.abs(found - pet.voxels).max(axis=(1, 2)) <= 0.5001 * step + 1e-6).all()
    assert np.abs(found - pet.voxels).max() < 2e-4


@pytest.mark.slow
def test_slopes_are_short_texts_above_zero_also_where_a_slice_is_empty(
    export, cast, tmp_path
) -> None:
    made = cast(export.write())
    pet = made.pet()
    pet.voxels[3] = 1e-30
    images = made.write(tmp_path / "pet", pet)
    slopes = [str(image["RescaleSlope"].value) for image in images]
    assert slopes[0] == slopes[3] == slopes[-1] == "1"
    assert len(set(slopes)) == len(slopes) - 2
    assert all(float(slope) > 0 and len(slope) <= 16 for slope in slopes)
    assert read_back(tmp_path / "pet").voxels[0].max() == 0


@pytest.mark.slow
def test_values_below_zero_and_above_the_window_are_kept(export, cast, tmp_path) -> None:
    made = cast(export.write())
    pet = made.pet()
    pet.voxels[4, 5, 5], pet.voxels[4, 6, 6], pet.voxels[7, 5, 5] = -42.0, 40.0, 196.0
    made.write(tmp_path / "pet", pet)
    found = read_back(tmp_path / "pet").voxels
    assert found[4, 5, 5] == pytest.approx(-42, rel=1e-6)
    assert found[4, 6, 6] == pytest.approx(40, abs=42 / 65534 * 1.01)
    assert found[7, 5, 5] == pytest.approx(196, rel=1e-6)


def test_what_is_no_suv_on_the_cts_slices_is_refused(export, cast, tmp_path) -> None:
    made = cast(export.write())
    pet = made.pet()
    with pytest.raises(UnitError):
        made.write(tmp_path / "pet", pet.like(pet.voxels, Unit.HU))
    with pytest.raises(GeometryError, match="its CT"):
        made.write(tmp_path / "pet", Volume(pet.voxels[1:], pet.affine, Unit.SUV))
    pet.voxels[2, 2, 2] = np.nan
    with pytest.raises(RefusedError, match="NaN") as refused:
        made.write(tmp_path / "pet", pet)
    assert refused.value.refusal.reason == Reason.NOT_FINITE
    assert not (tmp_path / "pet").exists()


# Place


def places(images) -> dict[str, tuple[list[float], list[float], list[float]]]:
    """Place, orientation and spacing by the SOPInstanceUID of the CT's slice."""
    return {
        image.SOPInstanceUID: (
            list(map(float, image.ImagePositionPatient)),
            list(map(float, image.ImageOrientationPatient)),
            list(map(float, image.PixelSpacing)),
        )
        for image in images
    }


def require_same_place(images, cts) -> None:
    expected = places(cts)
    assert len(images) == len(cts)
    for image, place in zip(images, places(images).values(), strict=True):
        [source] = image.SourceImageSequence
        assert place == expected[source.ReferencedSOPInstanceUID]


def turned(export) -> None:
    """Prone: rows run to the right, columns to the front."""
    for slice_ in export.ct:
        slice_.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]


def nearly_axial(export) -> None:
    """As far from the axes as the reader lets pass."""
    for slice_ in export.ct:
        slice_.ImageOrientationPatient = [0.99999988, 0.0005, 0, -0.0005, 0.99999988, 0]


def uneven(export) -> None:
    for number, slice_ in enumerate(export.ct):
        slice_.ImagePositionPatient[2] = 4.0 * number + (number % 3) * 0.1 - 439.81


def descending(export) -> None:
    for number, slice_ in enumerate(export.ct):
        slice_.InstanceNumber = 40 - number


@pytest.mark.slow
@pytest.mark.parametrize("laid", [lambda _: None, turned, nearly_axial, uneven, descending])
def test_every_image_lies_exactly_on_its_slice_of_the_ct(export, cast, tmp_path, laid) -> None:
    laid(export)
    made = cast(export.write())
    pet = made.pet()
    images = made.write(tmp_path / "pet", pet)
    require_same_place(images, export.ct)
    found = read_back(tmp_path / "pet")
    np.testing.assert_allclose(found.affine, made.ct.affine, atol=EXACT_MM)
    np.testing.assert_allclose(found.voxels, pet.voxels, atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("laid", [lambda _: None, descending])
def test_images_are_numbered_in_the_cts_own_direction(export, cast, tmp_path, laid) -> None:
    laid(export)
    images = cast(export.write()).write(tmp_path / "pet")
    of_ct = {one.SOPInstanceUID: one.InstanceNumber for one in export.ct}
    ranks = [of_ct[image.SourceImageSequence[0].ReferencedSOPInstanceUID] for image in images]
    assert ranks == sorted(ranks)
    assert [image.InstanceNumber for image in images] == list(range(1, 13))
    assert [image.ImageIndex for image in images] == list(range(1, 13))


@pytest.mark.slow
def test_frames_of_one_file_become_images_of_their_own(export, cast, frames, tmp_path) -> None:
    slices = export.ct
    export.ct = [
        frames.enhanced(
            list(reversed(slices)),
            "1.2.840.10008.5.1.4.1.1.2.1",
            lambda one: frames.plane(one) | frames.values_of(one),
        )
    ]
    made = cast(export.write())
    pet = made.pet()
    images = made.write(tmp_path / "pet", pet)
    assert [i.SourceImageSequence[0].ReferencedFrameNumber for i in images] == list(range(1, 13))
    assert len({image.SOPInstanceUID for image in images}) == 12
    found = read_back(tmp_path / "pet")
    np.testing.assert_allclose(found.affine, made.ct.affine, atol=EXACT_MM)
    np.testing.assert_allclose(found.voxels, pet.voxels, atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_ct_in_another_encoding_gives_the_same_series(export, cast, tmp_path, syntax) -> None:
    plain = cast(export.write()).write(tmp_path / "plain")
    for slice_ in export.all:
        little, implicit = syntax.is_little_endian, syntax.is_implicit_VR
        slice_.file_meta.TransferSyntaxUID = syntax
        slice_.set_original_encoding(is_implicit_vr=implicit, is_little_endian=little)
        if not little:
            slice_.PixelData = np.frombuffer(slice_.PixelData, "<i2").astype(">i2").tobytes()
    export.folder = tmp_path / "other"
    assert cast(export.write()).write(tmp_path / "pet") == plain


@pytest.mark.slow
def test_a_zip_gives_the_same_bytes(export, cast, tmp_path) -> None:
    folder = export.write()
    cast(folder).write(tmp_path / "pet")
    with zipfile.ZipFile(tmp_path / "ct.zip", "w") as opened:
        for path in folder.iterdir():
            opened.write(path, path.name)
    cast(tmp_path / "ct.zip").write(tmp_path / "zipped")
    assert contents(tmp_path / "pet") == contents(tmp_path / "zipped")


# What other commands make of it


@pytest.mark.slow
def test_it_is_never_taken_for_the_measured_pet(export, cast, tmp_path) -> None:
    folder = export.write()
    cast(folder).write(folder / "synthetic")
    [study] = scan([folder], salt=SALT).studies
    assert study.pet is not None
    assert not study.pet.synthetic
    for slice_ in export.pet:
        export.path(len(export.ct) + export.pet.index(slice_)).unlink()
    [study] = scan([folder], salt=SALT).studies
    assert study.refusal is not None
    assert study.refusal.reason == Reason.SYNTHETIC_PET


@pytest.mark.slow
def test_petcast_suv_measures_it_by_its_own_units(export, cast, tmp_path) -> None:
    made = cast(export.write())
    pet = made.pet()
    made.write(tmp_path / "pet", pet)
    [row] = measure_suv(tmp_path / "pet")["series"]
    assert row["factor_rule"] == "gml-bw"
    assert row["reason"] is None
    assert row["max"] == pytest.approx(float(pet.voxels.max()), abs=2e-4)


# Whole or not at all


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.slow
def test_the_same_call_writes_the_same_bytes_into_an_old_or_a_new_folder(
    export, cast, tmp_path
) -> None:
    export.write()
    cast(export.folder).write(tmp_path / "a" / "pet")
    (tmp_path / "b").mkdir()
    cast(export.folder).write(tmp_path / "b", stage=1)
    cast(export.folder).write(tmp_path / "b")
    assert contents(tmp_path / "a" / "pet") == contents(tmp_path / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Doe^Jane", "a", "b"]


@pytest.mark.slow
def test_names_beside_the_folder_that_are_the_users_stay(export, cast, tmp_path) -> None:
    made = cast(export.write())
    for name in ("pet.partial", "pet.next", "pet.previous"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").write_text("mine")
    for stage in (1, 2):
        made.write(tmp_path / "pet", stage=stage)
    for name in ("pet.partial", "pet.next", "pet.previous"):
        assert (tmp_path / name / "mine").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.parametrize("foreign", ["notes.txt", "PT0001.dcm", "PT0001.dcm.bak"])
def test_a_folder_of_something_else_is_not_touched(export, cast, tmp_path, foreign) -> None:
    made = cast(export.write())
    made.write(tmp_path / "pet")
    (tmp_path / "pet" / foreign).write_bytes(export.path(0).read_bytes())
    before = contents(tmp_path / "pet")
    with pytest.raises(UsageError, match="they are not touched: give a new folder"):
        made.write(tmp_path / "pet", stage=1)
    assert contents(tmp_path / "pet") == before


def test_the_cts_own_folder_is_not_touched(export, cast) -> None:
    made = cast(export.write())
    before = contents(export.folder)
    with pytest.raises(UsageError, match="give a new folder"):
        made.write(export.folder)
    assert contents(export.folder) == before


def test_the_current_folder_is_told_from_the_root_of_a_disk(tmp_path, monkeypatch) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="holds files other"):
        require_room(Path())


@pytest.mark.parametrize("name", ["pet.dcm", "pet.zip", "PET.DCM", "pet.mha"])
def test_a_name_of_a_file_is_no_folder(tmp_path, name) -> None:
    with pytest.raises(UsageError, match=r"\.nii\.gz or \.nii file, or the name of a folder"):
        require_room(tmp_path / name)


def test_a_file_in_the_way_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "pet"):
        with pytest.raises(UsageError, match="a file is in its place"):
            require_room(place)


DIES = """
import os, signal, sys
from pathlib import Path
import numpy as np
from petcast.dicom.derived import Casting
from petcast.dicom.read import load_ct_and_source
from petcast.dicom.write import write_series
from petcast.volume import Unit

folder, target = map(Path, sys.argv[1:3])
ct, source = load_ct_and_source(folder)
pet = ct.like((ct.voxels / 100 + 11).astype(np.float32), Unit.SUV)
casting = Casting("Stage03", "ab" * 32, 3, 3, (0.0, 10.0))

def write(*arguments, **options):
    write_series(target, pet, source, casting)

{cause}
"""
KILL = """
write_bytes = Path.write_bytes
def killed(path, content):
    if path.name == "PT0007.dcm":
        write_bytes(path, content[:500])
        os.kill(os.getpid(), signal.SIGKILL)
    return write_bytes(path, content)
Path.write_bytes = killed
write()
"""
KILL_AT_SWAP = """
rename = Path.rename
def killed(path, target):
    done = rename(path, target)
    if path.name == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
Path.rename = killed
write()
"""
FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY))
from types import SimpleNamespace
from petcast.cli import main
sys.modules["petcast.uncertainty"] = SimpleNamespace(predict_either=write)  # without a model
sys.argv = ["petcast", "predict", str(folder), "--model", str(folder), "--out", str(target)]
main()
"""
WHOLE = "write()"


Run = Callable[..., Any]


@pytest.fixture
def run(begin: Callable[..., Any]) -> Run:
    """Writes in a process of its own, until something happens to it."""
    return lambda cause, *arguments: begin(*arguments, code=DIES.replace("{cause}", cause))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_killed_in_the_middle_nothing_stands_under_the_name_and_the_next_call_is_whole(
    run, export, tmp_path
) -> None:
    folder, target = export.write(), tmp_path / "out" / "pet"
    assert run(WHOLE, folder, tmp_path / "expected").wait() == 0
    assert run(KILL, folder, target).wait() == -signal.SIGKILL
    assert not target.exists()
    assert run(WHOLE, folder, target).wait() == 0
    assert contents(target) == contents(tmp_path / "expected")
    assert [path.name for path in target.parent.iterdir()] == ["pet"]
    assert run(KILL, folder, target).wait() == -signal.SIGKILL  # the old one stands
    assert contents(target) == contents(tmp_path / "expected")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.parametrize("renamed", [".pet.partial", "pet", ".pet.next"])
def test_killed_between_two_names_the_next_call_is_whole(run, export, tmp_path, renamed) -> None:
    folder, target = export.write(), tmp_path / "out" / "pet"
    assert run(WHOLE, folder, target).wait() == 0
    expected = contents(target)
    assert run(KILL_AT_SWAP, folder, target, renamed).wait() == -signal.SIGKILL
    assert not target.exists() or contents(target) == expected
    assert run(WHOLE, folder, target).wait() == 0
    assert contents(target) == expected
    assert [path.name for path in target.parent.iterdir()] == ["pet"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="files have no limit there")
def test_a_full_disk_is_one_sentence_and_leaves_nothing(run, export, tmp_path) -> None:
    done = run(FULL, export.write(), tmp_path / "out" / "pet")
    stdout, stderr = done.said()
    assert done.poll() == 3, stderr
    assert stdout == ""
    assert stderr.startswith(f"petcast: {os.strerror(errno.EFBIG)}")
    assert len(stderr.strip().splitlines()) == 1
    assert "Doe" not in stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_nothing_is_said_of_a_damaged_header(export, cast, tmp_path, capfd) -> None:
    for slice_ in export.ct:
        with disable_value_validation():
            slice_.add_new(0x00100030, "DA", "Doe^Jane's birthday")  # no date
    images = cast(export.write()).write(tmp_path / "pet")
    assert len(images) == 12
    assert capfd.readouterr() == ("", "")
