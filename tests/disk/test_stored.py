"""Voxels of NIfTI files, read in one pass, are what ITK reads; what it hides is refused."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from petcast.disk.stored import TYPES, read_voxels
from petcast.errors import FormatError
from petcast.volume import Unit, Volume

SHAPE = (5, 4, 3)


@pytest.fixture
def voxels() -> np.ndarray:
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def nifti(voxels: np.ndarray, *, order: str = "<", scale: tuple[float, float] = (0, 0)) -> bytes:
    """A file written field by field, after the standard and not after any library."""
    [code] = [code for code, name in TYPES.items() if name == voxels.dtype.str[1:]]
    types = code, 8 * voxels.dtype.itemsize
    header = bytearray(352)
    header[344:348] = b"n+1\0"
    fields = {
        (0, "i"): (348,), (40, "8h"): (3, *voxels.shape[::-1], 1, 1, 1, 1), (70, "hh"): types,
        (76, "8f"): (1.0, 2.0, 2.5, 3.0, 1, 1, 1, 1), (108, "f"): (352.0,), (112, "2f"): scale,
        (123, "b"): (2,), (252, "h"): (1,),
    }  # fmt: skip
    for (at, kind), values in fields.items():
        struct.pack_into(f"{order}{kind}", header, at, *values)
    return bytes(header) + voxels.astype(voxels.dtype.newbyteorder(order)).tobytes()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", TYPES.values())
@pytest.mark.parametrize("zipped", [False, True])
def test_they_are_what_itk_reads(
    tmp_path: Path, voxels: np.ndarray, order: str, dtype: str, zipped: bool
) -> None:
    stored = (np.abs(voxels) * 50).astype(dtype)
    raw = nifti(stored, order=order)
    path = tmp_path / ("v.nii.gz" if zipped else "v.nii")
    path.write_bytes(gzip.compress(raw) if zipped else raw)
    found = read_voxels(path)
    assert found is not None
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, stored)
    volume, by_itk = Volume.load(path, Unit.SUV), sitk.ReadImage(str(path))
    np.testing.assert_array_equal(volume.voxels, sitk.GetArrayFromImage(by_itk))
    np.testing.assert_array_equal(volume.affine, Volume.from_image(by_itk, Unit.SUV).affine)


@pytest.mark.parametrize("offset", [0.0, -352.0, float("nan")])
def test_an_offset_within_the_header_is_read_as_by_itk(
    tmp_path: Path, voxels: np.ndarray, offset: float
) -> None:
    raw = bytearray(nifti(voxels))
    struct.pack_into("<f", raw, 108, offset)
    path = tmp_path / "v.nii"
    path.write_bytes(raw)
    by_itk = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    np.testing.assert_array_equal(Volume.load(path, Unit.SUV).voxels, by_itk)


@pytest.mark.parametrize("dtype", ["f4", "i2"])
def test_a_scale_is_left_to_itk(tmp_path: Path, voxels: np.ndarray, dtype: str) -> None:
    path, stored = tmp_path / "scaled.nii", (voxels * 100).astype(dtype)
    path.write_bytes(nifti(stored, scale=(2.0, 0.5)))
    assert read_voxels(path) is None
    np.testing.assert_allclose(Volume.load(path, Unit.SUV).voxels, stored * 2.0 + 0.5, rtol=1e-6)


@pytest.mark.parametrize("scale", [(0.0, 0.0), (2.0, 0.0)])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(
    tmp_path: Path, voxels: np.ndarray, bad: float, scale: tuple[float, float]
) -> None:
    voxels[2, 1, 0] = bad
    path = tmp_path / "v.nii"
    path.write_bytes(nifti(voxels, scale=scale))
    with pytest.raises(FormatError, match="NaN or infinite"):
        Volume.load(path, Unit.SUV)


def test_a_scale_beyond_all_numbers_is_refused(tmp_path: Path, voxels: np.ndarray) -> None:
    path = tmp_path / "v.nii"
    path.write_bytes(nifti(voxels, scale=(3e38, 0.0)))
    with pytest.raises(FormatError, match="NaN or infinite"):
        Volume.load(path, Unit.SUV)


@pytest.mark.parametrize("scale", [(0.0, 0.0), (0.5, 0.0)])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
def test_damage_is_refused(tmp_path: Path, dtype: str, scale: tuple[float, float]) -> None:
    noise = np.random.default_rng(0).normal(60, 20, (20, 30, 40)).astype(dtype)
    raw = nifti(noise, scale=scale)
    whole = gzip.compress(raw)
    flipped = whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:]  # in the checksum
    endless = bytearray(raw)
    struct.pack_into("<8h", endless, 40, 3, 32767, 32767, 32767, 1, 1, 1, 1)
    damaged = {
        "short.nii": raw[:-1], "short.nii.gz": whole[:-100], "sum.nii.gz": flipped,
        "inner.nii.gz": gzip.compress(raw[:-1]), "endless.nii": bytes(endless),
    }  # fmt: skip
    for name, content in damaged.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(FormatError, match=name):
            Volume.load(path, Unit.SUV)
