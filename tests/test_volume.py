"""Laws of a volume: it keeps its place and its unit."""

import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petcast.errors import FormatError, GeometryError, UnitError
from petcast.volume import Grid, Unit, Volume

PIXDIM_X = 80


@st.composite
def volumes(draw: st.DrawFn) -> Volume:
    shape = draw(st.tuples(*[st.integers(1, 5)] * 3))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    affine = np.eye(4)
    affine[:3, :3] = (
        np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3) @ np.diag(rng.uniform(0.5, 5, 3))
    )
    affine[:3, 3] = rng.uniform(-300, 300, 3)
    return Volume(rng.normal(size=shape).astype(np.float32), affine, Unit.SUV)


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(volumes())
def test_written_and_read_it_is_the_same(tmp_path_factory: pytest.TempPathFactory, v: Volume):
    path = tmp_path_factory.mktemp("nifti") / "v.nii.gz"
    v.save(path)
    again = Volume.load(path, Unit.SUV)
    assert np.array_equal(again.voxels, v.voxels)
    assert again.grid.matches(v.grid)


@settings(deadline=None, max_examples=25)
@given(volumes(), st.sampled_from("xyz"))
def test_flipped_twice_it_is_itself(v: Volume, axis) -> None:
    twice = v.flipped(axis).flipped(axis)
    assert np.array_equal(twice.voxels, v.voxels)
    assert np.allclose(twice.affine, v.affine)


@settings(deadline=None, max_examples=25)
@given(volumes())
def test_canonical_keeps_every_voxel_where_it_is(v: Volume) -> None:
    standing = v.canonical()
    assert (np.diag(standing.affine)[:3] > 0).all()
    back = standing.resampled(v.grid, outside=-99, antialias=False)
    assert np.allclose(back.voxels, v.voxels, atol=1e-4)


def test_a_coarser_grid_does_not_alias_stripes() -> None:
    stripes = np.tile(np.array([0.0, 1.0], np.float32), (16, 64, 32))
    v = Volume(stripes, np.eye(4), Unit.SUV)
    coarse = Grid((16, 64, 16), np.diag([4.0, 1.0, 1.0, 1.0]))
    inner = v.resampled(coarse, outside=0).voxels[:, :, 1:-1]
    assert np.abs(inner - 0.5).max() < 0.02
    assert np.abs(v.resampled(coarse, outside=0, antialias=False).voxels - 0.5).max() > 0.4


def test_the_wrong_unit_is_refused(tmp_path: Path) -> None:
    v = Volume(np.zeros((2, 2, 2)), np.eye(4), Unit.BQ_PER_ML)
    with pytest.raises(UnitError, match="Bq/mL"):
        v.require(Unit.SUV)
    v.save(tmp_path / "v.nii.gz")
    with pytest.raises(UnitError, match="Bq/mL"):
        Volume.load(tmp_path / "v.nii.gz", Unit.SUV)
    with pytest.raises(UnitError, match="expected a mask of whole labels"):
        Volume.load(tmp_path / "v.nii.gz", Unit.LABEL)


def test_nan_damage_and_flat_affines_are_refused(tmp_path: Path) -> None:
    Volume(np.full((2, 2, 2), np.nan), np.eye(4), Unit.SUV).save(tmp_path / "nan.nii")
    with pytest.raises(FormatError, match="NaN"):
        Volume.load(tmp_path / "nan.nii", Unit.SUV)
    (tmp_path / "text.nii").write_text("no image")
    with pytest.raises(FormatError, match="whole"):
        Volume.load(tmp_path / "text.nii", Unit.SUV)
    with pytest.raises(GeometryError, match="singular"):
        Volume(np.zeros((2, 2, 2)), np.diag([1.0, 0.0, 1.0, 1.0]), Unit.SUV)


def test_a_negative_spacing_is_refused_because_itk_would_mirror_the_image(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    Volume(np.zeros((2, 3, 4), np.float32), np.diag([2.0, 2.0, 3.0, 1.0]), Unit.SUV).save(path)
    header = bytearray(path.read_bytes())
    header[PIXDIM_X : PIXDIM_X + 4] = struct.pack("<f", -2.0)
    path.write_bytes(header)
    with pytest.raises(FormatError, match="negative spacing"):
        Volume.load(path, Unit.SUV)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="files have no limit there")
@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
@pytest.mark.parametrize("room", [0, 300, 50_000, 200_000])
def test_a_full_disk_is_an_error_and_leaves_the_earlier_file(
    tmp_path: Path, name, room, files_up_to
) -> None:
    """ITK is told of neither: it writes less, and keeps silent."""
    rng = np.random.default_rng(0)
    earlier = Volume(np.ones((2, 3, 4), np.float32), np.eye(4), Unit.SUV)
    earlier.save(tmp_path / name)
    large = Volume(rng.random((10, 80, 80), np.float32), np.eye(4), Unit.SUV)
    with files_up_to(room), pytest.raises(OSError, match=name):
        large.save(tmp_path / name)
    assert np.array_equal(Volume.load(tmp_path / name, Unit.SUV).voxels, earlier.voxels)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    large.save(tmp_path / name)
    assert np.array_equal(Volume.load(tmp_path / name, Unit.SUV).voxels, large.voxels)


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch) -> None:
    flushed, target = [], tmp_path / "v.nii.gz"
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: (flushed.append(target.exists()), fsync(handle))
    )
    Volume(np.ones((2, 3, 4), np.float32), np.eye(4), Unit.SUV).save(target)
    assert flushed == [False, True]  # the file, then its folder


@pytest.mark.parametrize(
    "name", ["v.nii.gz", os.fsdecode(b"v\xfc.nii.gz"), os.fsdecode(b"v\xfc.nii")]
)
def test_names_may_be_no_text(latin_folder: Path, name: str) -> None:
    """SimpleITK ends the whole process when it is given one."""
    written = Volume(np.ones((2, 3, 4), np.float32), np.eye(4), Unit.SUV)
    written.save(latin_folder / name)
    assert np.array_equal(Volume.load(latin_folder / name, Unit.SUV).voxels, written.voxels)
    assert [path.name for path in latin_folder.iterdir()] == [name]
