"""Libraries that take text alone open the file that was meant."""

import os
from pathlib import Path

import pytest

from petcast.disk.names import text_name


def test_a_name_in_utf_8_is_given_as_it_is(tmp_path: Path) -> None:
    with text_name(tmp_path / "Jürgen 胸.nii.gz") as named:
        assert named == str(tmp_path / "Jürgen 胸.nii.gz")


@pytest.mark.parametrize(
    ("name", "ending"), [(b"a.png", "a.png"), (b"\xfc.nii.gz", ".nii.gz"), (b"\xfc.png", ".png")]
)
def test_another_name_is_given_as_a_link_that_goes(
    latin_folder: Path, name: bytes, ending: str
) -> None:
    path = latin_folder / os.fsdecode(name)
    path.touch()
    with text_name(path) as named:
        assert named.encode()
        assert named.endswith(ending)
        Path(named).write_bytes(b"1")
    assert path.read_bytes() == b"1"
    assert not Path(named).exists()


def test_a_file_in_such_a_folder_may_be_replaced(latin_folder: Path) -> None:
    with text_name(latin_folder / "a") as named:
        Path(named).with_name("b").write_bytes(b"1")
        Path(named).with_name("b").replace(named)
    assert [path.name for path in latin_folder.iterdir()] == ["a"]


def test_a_name_that_the_system_writes_in_other_bytes_is_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under a locale in Latin-1, where Python reads such names as text."""
    path = tmp_path / "ü"
    path.touch()
    monkeypatch.setattr(os, "fsencode", lambda name: name.encode("latin-1"))
    with text_name(path) as named:
        assert Path(named).resolve() == path
