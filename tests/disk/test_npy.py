"""NumPy's files: what is whole is read, what is damaged is a ValueError, nothing is unpickled."""

from pathlib import Path

import numpy as np
import pytest

from petcast.disk.npy import map_array, read_arrays

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4)
NAMES = ("values", "name")


@pytest.fixture
def array(tmp_path: Path) -> Path:
    path = tmp_path / "array.npy"
    np.save(path, VALUES)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "archive.npz"
    np.savez_compressed(path, values=VALUES, name=np.array(["a", "b"]))
    return path


def spoilt(path: Path, place: int, sign: int) -> None:
    """Change one byte of a file."""
    whole = bytearray(path.read_bytes())
    whole[place] = sign
    path.write_bytes(whole)


def test_an_array_is_mapped_as_it_was_saved(array: Path) -> None:
    mapped = map_array(array)
    np.testing.assert_array_equal(mapped, VALUES)
    assert mapped.dtype == VALUES.dtype
    assert not mapped.flags.writeable


def test_arrays_of_an_archive_are_read(archive: Path) -> None:
    held = read_arrays(archive, ("values",), ("name", "absent"))
    assert list(held) == ["values", "name"]
    np.testing.assert_array_equal(held["values"], VALUES)


def test_an_array_that_must_be_there_is_missed(archive: Path) -> None:
    with pytest.raises(ValueError, match="absent"):
        read_arrays(archive, ("absent",))


@pytest.mark.parametrize(
    ("place", "sign"),
    [(8, 1), (21, ord(",")), (26, ord("B")), (0, 0)],
    ids=["the head's length", "its grammar", "the kind of a key", "magic"],
)
def test_a_damaged_head_of_an_array_is_a_value_error(array: Path, place: int, sign: int) -> None:
    spoilt(array, place, sign)
    with pytest.raises(ValueError, match=r"."):
        map_array(array)


@pytest.mark.parametrize(
    ("after", "sign"),
    [(6, 255), (8, 1), (10, 99), (16, 1)],
    ids=["zip's version", "encryption", "the codec", "the checksum"],
)
def test_a_damaged_list_of_an_archive_is_a_value_error(
    archive: Path, after: int, sign: int
) -> None:
    spoilt(archive, archive.read_bytes().index(b"PK\x01\x02") + after, sign)
    with pytest.raises(ValueError, match=r"."):
        read_arrays(archive, NAMES)


def test_damaged_values_of_an_archive_are_a_value_error(archive: Path) -> None:
    spoilt(archive, archive.read_bytes().index(b"values.npy") + len("values.npy") + 20, 255)
    with pytest.raises(ValueError, match="decompressing"):
        read_arrays(archive, NAMES)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + bytes(60), b"text"])
def test_another_file_is_neither(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.npy"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        map_array(path)
    with pytest.raises(ValueError, match=r"."):
        read_arrays(path, ())


def test_neither_is_taken_for_the_other(array: Path, archive: Path) -> None:
    with pytest.raises(ValueError, match="magic"):
        map_array(archive)
    with pytest.raises(ValueError, match="archive"):
        read_arrays(array, ())


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    objects = np.array([{}, 1], dtype=object)
    np.save(tmp_path / "array.npy", objects)
    np.savez(tmp_path / "archive.npz", values=objects)
    with pytest.raises(ValueError, match="objects"):
        map_array(tmp_path / "array.npy")
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_arrays(tmp_path / "archive.npz", ("values",))


def test_a_missing_file_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        map_array(tmp_path / "absent.npy")
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "absent.npz", ())
