"""Files that nobody vouches for: each damage gets its own code before anything is loaded."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from petcast.nifti import header as room
from petcast.nifti.header import require_sound
from petcast.refusal import Reason, RefusedError
from petcast.volume import Unit, Volume

DIM, TYPE, BITS, PIXDIM, OFFSET, SCALE, UNITS = 40, 70, 72, 76, 108, 112, 123
QFORM, SFORM, QUATERNION, ROWS, MAGIC, VOXELS = 252, 254, 256, 280, 344, 352
"""Where the fields stand in NIfTI-1."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A sound file of 4 × 5 × 6 voxels of 2 × 3 × 4 mm, turned about z."""
    turn = np.deg2rad(20)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    affine[:3, :3] *= (2, 3, 4)
    affine[:3, 3] = (10, -20, 30)
    voxels = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    path = tmp_path_factory.mktemp("whole") / "a.nii"
    Volume(voxels, affine, Unit.SUV).save(path)
    return path.read_bytes()


def put(whole: bytes, place: int, kind: str, *values: float) -> bytes:
    """The file with other values in one field."""
    data = bytearray(whole)
    struct.pack_into(f"<{kind}", data, place, *values)
    return bytes(data)


DAMAGES: dict[str, tuple[Reason, Callable[[bytes], bytes]]] = {
    "empty": (Reason.NIFTI_DAMAGED, lambda whole: b""),
    "text": (Reason.NIFTI_DAMAGED, lambda whole: b"no image here\n" * 100),
    "other magic": (Reason.NIFTI_DAMAGED, lambda whole: put(whole, MAGIC, "4s", b"ni1\0")),
    "cut in the header": (Reason.NIFTI_DAMAGED, lambda whole: whole[:200]),
    "cut in the voxels": (Reason.NIFTI_DAMAGED, lambda whole: whole[:-7]),
    "cut gzip": (Reason.NIFTI_DAMAGED, lambda whole: gzip.compress(whole)[:-300]),
    "gzip with another checksum": (
        Reason.NIFTI_DAMAGED,
        lambda whole: gzip.compress(whole)[:-8] + bytes(8),
    ),
    "no voxels along x": (Reason.NIFTI_DAMAGED, lambda whole: put(whole, DIM + 2, "h", 0)),
    "negative size": (Reason.NIFTI_DAMAGED, lambda whole: put(whole, DIM + 4, "h", -5)),
    "bits and type disagree": (Reason.NIFTI_DAMAGED, lambda whole: put(whole, BITS, "h", 8)),
    "an intercept without a slope": (
        Reason.NIFTI_DAMAGED,
        lambda whole: put(whole, SCALE, "2f", 0, 0.5),
    ),
    "offset into the header": (Reason.NIFTI_DAMAGED, lambda whole: put(whole, OFFSET, "f", 100)),
    "offset NaN": (Reason.NIFTI_DAMAGED, lambda whole: put(whole, OFFSET, "f", np.nan)),
    "offset far away": (Reason.NIFTI_DAMAGED, lambda whole: put(whole, OFFSET, "f", 1e30)),
    "offset between bytes": (Reason.NIFTI_DAMAGED, lambda whole: put(whole, OFFSET, "f", 352.5)),
    "slope NaN": (Reason.NIFTI_DAMAGED, lambda whole: put(whole, SCALE, "f", np.nan)),
    "two axes": (Reason.NIFTI_SHAPE, lambda whole: put(whole, DIM, "h", 2)),
    "a time series": (Reason.NIFTI_SHAPE, lambda whole: put(whole, DIM, "5h", 4, 4, 5, 3, 2)),
    "colours": (Reason.NIFTI_SHAPE, lambda whole: put(whole, TYPE, "2h", 128, 24)),
    "complex numbers": (Reason.NIFTI_SHAPE, lambda whole: put(whole, TYPE, "2h", 32, 64)),
    "a side of 32,000": (Reason.NIFTI_SIZE, lambda whole: put(whole, DIM + 2, "h", 32000)),
    "4096 a side": (Reason.NIFTI_SIZE, lambda whole: put(whole, DIM + 2, "3h", 4096, 4096, 4096)),
    "a bomb behind the voxels": (
        Reason.NIFTI_SIZE,
        lambda whole: gzip.compress(whole + bytes(1 << 26)),
    ),
    "inches": (Reason.SPACING, lambda whole: put(whole, UNITS, "b", 1)),
    "spacing NaN": (Reason.SPACING, lambda whole: put(whole, PIXDIM + 4, "f", np.nan)),
    "spacing 0": (Reason.SPACING, lambda whole: put(whole, PIXDIM + 4, "f", 0)),
    "spacing of a metre": (Reason.SPACING, lambda whole: put(whole, PIXDIM + 12, "f", 1000)),
    "a negative spacing": (Reason.NIFTI_PLACE, lambda whole: put(whole, PIXDIM + 4, "f", -2)),
    "no place": (Reason.NIFTI_PLACE, lambda whole: put(whole, QFORM, "2h", 0, 0)),
    "two places": (Reason.NIFTI_PLACE, lambda whole: put(whole, ROWS + 12, "f", 99)),
    "rows NaN": (Reason.NIFTI_PLACE, lambda whole: put(whole, ROWS, "f", np.nan)),
    "sheared": (Reason.NIFTI_PLACE, lambda whole: put(whole, ROWS, "3f", 2, 3, 0)),
    "sheared a little, and no quaternion": (
        Reason.NIFTI_PLACE,
        lambda whole: put(put(whole, QFORM, "h", 0), ROWS + 4, "f", 1.0270),
    ),
    "rows of another spacing": (Reason.NIFTI_PLACE, lambda whole: put(whole, ROWS + 40, "f", 9)),
    "no rotation": (Reason.NIFTI_PLACE, lambda whole: put(whole, QUATERNION, "2f", 1, 1)),
    "on the moon": (
        Reason.NIFTI_PLACE,
        lambda whole: put(put(whole, QFORM, "h", 0), ROWS + 12, "f", 4e8),
    ),
    "NaN": (Reason.NOT_FINITE, lambda whole: put(whole, VOXELS + 40, "f", np.nan)),
    "infinite": (Reason.NOT_FINITE, lambda whole: put(whole, VOXELS + 4, "f", -np.inf)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_gets_its_own_code(name: str, whole: bytes, tmp_path: Path) -> None:
    reason, damage = DAMAGES[name]
    path = tmp_path / "Doe_Jane.nii"
    path.write_bytes(damage(whole))
    with pytest.raises(RefusedError) as caught:
        require_sound(path)
    assert caught.value.refusal.reason is reason
    assert "doe" not in str(caught.value).lower()


@pytest.mark.parametrize("zipped", [False, True])
def test_the_undamaged_twin_is_sound_and_says_where_it_lies(
    whole: bytes, zipped: bool, tmp_path: Path
) -> None:
    path = tmp_path / ("a.nii.gz" if zipped else "a.nii")
    path.write_bytes(gzip.compress(whole) if zipped else whole)
    header = require_sound(path)
    assert header.shape == (4, 5, 6)
    assert header.spacing_mm == pytest.approx((2, 3, 4))
    loaded = Volume.load(path, Unit.SUV)
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    np.testing.assert_allclose(to_ras @ header.affine, loaded.affine, atol=1e-4)


def test_either_form_alone_says_where_it_lies(whole: bytes, tmp_path: Path) -> None:
    places = []
    for codes in ((1, 0), (0, 1)):
        (tmp_path / "a.nii").write_bytes(put(whole, QFORM, "2h", *codes))
        places.append(require_sound(tmp_path / "a.nii").affine)
    np.testing.assert_allclose(places[0], places[1], atol=1e-4)


def test_a_fourth_axis_of_one_is_none(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(put(whole, DIM, "5h", 4, 4, 5, 6, 1))
    assert require_sound(path).shape == (4, 5, 6)
    assert Volume.load(path, Unit.SUV).voxels.shape == (6, 5, 4)


def test_endings_are_all_small_or_all_large(whole: bytes, tmp_path: Path) -> None:
    """ITK reads no others, and a user whose file is sound must not be told that it is damaged."""
    for name in ("a.nii", "A.NII", "A.NII.GZ"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(whole) if name.endswith("GZ") else whole)
        assert require_sound(path).shape == Volume.load(path, Unit.SUV).voxels.shape[::-1]
    for name in ("b.nii.GZ", "b.Nii.gz", "b.Nii"):
        (tmp_path / name).write_bytes(whole)
        with pytest.raises(RefusedError, match="mixes") as caught:
            require_sound(tmp_path / name)
        assert caught.value.refusal.reason is Reason.NIFTI_NAME


def test_nifti_2_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(struct.pack("<i8s", 540, b"n+2\0\r\n\x1a\n") + bytes(600))
    with pytest.raises(RefusedError, match="NIfTI-2"):
        require_sound(tmp_path / "a.nii")


@pytest.mark.parametrize("order", "<>")
def test_either_byte_order_is_read(order: str, tmp_path: Path) -> None:
    data = bytearray(352)
    for place, kind, *values in (
        (0, "i", 348), (DIM, "4h", 3, 2, 2, 3), (TYPE, "2h", 4, 16), (PIXDIM, "4f", 1, 2, 2, 5),
        (OFFSET, "2f", 352, 1), (SFORM, "h", 1), (MAGIC, "4s", b"n+1\0"),
        (ROWS, "12f", -2, 0, 0, 7, 0, -2, 0, 8, 0, 0, 5, 9),
    ):  # fmt: skip
        struct.pack_into(f"{order}{kind}", data, place, *values)
    path = tmp_path / "a.nii"
    path.write_bytes(bytes(data) + np.arange(12).astype(f"{order}i2").tobytes())
    assert require_sound(path).shape == (2, 2, 3)
    loaded = Volume.load(path, Unit.HU)
    assert loaded.affine[:3, 3] == pytest.approx((-7, -8, 9))
    np.testing.assert_array_equal(loaded.voxels.ravel(), np.arange(12))


def test_more_than_there_is_memory_for_is_refused_unread(
    whole: bytes, tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(whole)
    monkeypatch.setattr(room, "available_memory_bytes", lambda: 1000)
    with pytest.raises(RefusedError, match="memory"):
        require_sound(path)


@pytest.mark.slow
def test_a_small_bomb_costs_no_memory(tmp_path: Path, whole: bytes) -> None:
    import tracemalloc

    path = tmp_path / "bomb.nii.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(whole)
        for _ in range(300):
            stream.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(RefusedError):
        require_sound(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.nii")
    with pytest.raises(RefusedError) as caught:
        require_sound(tmp_path / "pipe.nii")
    assert caught.value.refusal.reason is Reason.UNREADABLE


def test_others_files_are_sound(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.zeros((3, 4, 5), np.int16))
    image.SetDirection((1, 0, 0, 0, 0, 1, 0, -1, 0))
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    assert require_sound(tmp_path / "a.nii.gz").voxels == 60
