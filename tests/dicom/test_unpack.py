"""A zip is believed nothing, writes nowhere else and leaves nothing behind."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petcast.dicom import unpack
from petcast.dicom.scan import scan
from petcast.dicom.unpack import Caps, Unpacked, is_archive, open_folder
from petcast.refusal import Reason, RefusedError


@pytest.fixture(autouse=True)
def temporary_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    return place


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def assert_refused(archive: Path, place: Path, caps: Caps | None = None) -> None:
    with pytest.raises(RefusedError) as error:
        Unpacked(archive, caps)
    assert error.value.refusal.reason is Reason.UNSAFE_ARCHIVE
    assert list(place.iterdir()) == []


def test_every_member_comes_out_and_is_removed_at_the_end(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", {"x/a": b"1", "y/a": b"2", "Y/A": b"3", "x/": b""})
    with open_folder(archive) as folder:
        assert sorted(path.read_bytes() for path in folder.iterdir()) == [b"1", b"2", b"3"]
    assert not folder.exists()


def test_it_is_removed_after_an_error_too(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", {"a": b"1"})
    with pytest.raises(ValueError, match="mine"), open_folder(archive) as folder:
        raise ValueError("mine")
    assert not folder.exists()


def test_a_folder_is_given_as_it_is(tmp_path: Path) -> None:
    with open_folder(tmp_path) as folder:
        assert folder == tmp_path


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "C:/evil", "..\\evil", "\\\\host\\evil"]
)
def test_a_member_that_leads_outside_refuses_all(name: str, tmp_path, temporary_place) -> None:
    assert_refused(zip_of(tmp_path / "a.zip", {"good": b"1", name: b"2"}), temporary_place)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFBLK])
def test_links_and_special_files_refuse_all(kind: int, tmp_path, temporary_place) -> None:
    member = zipfile.ZipInfo("link")
    member.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(member, "/etc/passwd")
    assert_refused(tmp_path / "a.zip", temporary_place)


def test_too_many_members(tmp_path: Path, temporary_place) -> None:
    archive = zip_of(tmp_path / "a.zip", {str(n): b"" for n in range(20)})
    assert_refused(archive, temporary_place, Caps(members=19))


def test_a_bomb_is_stopped_by_its_ratio(tmp_path: Path, temporary_place) -> None:
    archive = zip_of(tmp_path / "a.zip", {"zeros": bytes(2_000_000)})
    assert_refused(archive, temporary_place, Caps(ratio=10, ratio_from_bytes=100_000))


def test_slices_of_air_are_no_bomb(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", {"air": bytes(2_000_000)})
    Unpacked(archive).close()


def test_a_directory_that_would_take_all_the_memory(
    tmp_path: Path, temporary_place, monkeypatch
) -> None:
    monkeypatch.setattr(unpack, "MOST_DIRECTORY_BYTES", 100_000)
    archive = zip_of(tmp_path / "a.zip", {f"{n:040d}": b"" for n in range(2000)})
    assert_refused(archive, temporary_place)


def test_an_encrypted_member_refuses_all(tmp_path: Path, temporary_place) -> None:
    archive = zip_of(tmp_path / "a.zip", {"good": b"1", "secret": b"2"})
    whole = bytearray(archive.read_bytes())
    whole[whole.rindex(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(whole)
    assert_refused(archive, temporary_place)


@pytest.mark.parametrize("keep", [0, 3, 30, 300, -30, -1])
def test_a_truncated_zip_is_refused(keep: int, tmp_path: Path, temporary_place) -> None:
    archive = zip_of(tmp_path / "a.zip", {"a": os.urandom(1000), "b": b"2"})
    archive.write_bytes(archive.read_bytes()[:keep])
    assert_refused(archive, temporary_place)


def test_a_directory_that_points_before_the_file_is_damage_not_a_broken_disk(
    tmp_path: Path, temporary_place
) -> None:
    archive = zip_of(tmp_path / "a.zip", {"a": b"1" * 1000})
    whole = archive.read_bytes()
    archive.write_bytes(whole[10:])
    assert_refused(archive, temporary_place)


def test_a_zip_in_a_folder_is_opened_and_a_zip_in_a_zip_is_not(export, accounted, codes) -> None:
    folder = export.write()
    slices = {path.name: path.read_bytes() for path in folder.iterdir()}
    for path in folder.iterdir():
        path.unlink()
    inner = zip_of(folder / "inner.zip", {"a": b"1"}).read_bytes()
    (folder / "inner.zip").unlink()
    zip_of(folder / "export.zip", slices | {"more": inner})
    found = scan([folder], salt="tests")
    assert [study.refusal for study in found.studies] == [None]
    assert codes(found) == {"UNSAFE-ARCHIVE"}
    assert len(accounted(found)) == len(slices) + 1


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path, temporary_place) -> None:
    archive = zip_of(tmp_path / "a.zip", {"a": b"1"})
    code = (
        "import os, sys, tempfile; from pathlib import Path; from petcast.dicom.unpack import *\n"
        "tempfile.tempdir = sys.argv[2]; mine = Unpacked(Path(sys.argv[1]))\n"
        "print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, archive, temporary_place],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        Unpacked(archive).close()
        assert len(list(temporary_place.iterdir())) == 1  # it lives, and keeps its files
        process.send_signal(signal.SIGKILL)
    assert len(list(temporary_place.iterdir())) == 1
    Unpacked(archive).close()
    assert list(temporary_place.iterdir()) == []


def test_too_large_in_total(tmp_path: Path, temporary_place) -> None:
    archive = zip_of(tmp_path / "a.zip", {"a": bytes(600), "b": bytes(600)})
    assert_refused(archive, temporary_place, Caps(total_bytes=1000))


def test_too_little_room_is_said_and_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zip that only a full /tmp kept out passed for a suspicious one."""
    archive = zip_of(tmp_path / "a.zip", {"a": bytes(2_000_000)})
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(RefusedError, match=r"0\.002 GB; 0\.001 GB are free .*; TMPDIR"):
        Unpacked(archive)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with pytest.raises(RefusedError, match=r"0\.001 GB are free there\. Look"):
        Unpacked(archive, scratch=elsewhere)


def test_a_lie_about_the_size_does_not_help(tmp_path: Path, temporary_place) -> None:
    archive = zip_of(tmp_path / "a.zip", {"zeros": bytes(2_000_000)})
    honest = (2_000_000).to_bytes(4, "little")
    lying = archive.read_bytes().replace(honest, (10).to_bytes(4, "little"))
    archive.write_bytes(lying)
    assert_refused(archive, temporary_place, Caps(ratio=10, ratio_from_bytes=1000))


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_damaged_zip_is_opened_or_refused(data, tmp_path_factory) -> None:
    archive = tmp_path_factory.mktemp("zip") / "a.zip"
    whole = bytearray(zip_of(archive, {"a": b"1234" * 50, "b/c": b"5678" * 50}).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    archive.write_bytes(whole[: data.draw(st.integers(1, len(whole)))])
    with contextlib.suppress(RefusedError):
        Unpacked(archive).close()


def test_a_zip_is_known_by_name_or_by_content(tmp_path: Path) -> None:
    zip_of(tmp_path / "export", {"a": b"1"})
    (tmp_path / "broken.ZIP").write_bytes(b"no zip")
    (tmp_path / "text").write_bytes(b"PK?")
    assert is_archive(tmp_path / "export")
    assert is_archive(tmp_path / "broken.ZIP")
    assert not is_archive(tmp_path / "text")
    assert not is_archive(tmp_path)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("gzip", b"\x1f\x8b\x08"),
        ("bzip2", b"BZh9"),
        ("xz", b"\xfd7zXZ\0"),
        ("7z", b"7z\xbc\xaf\x27\x1c"),
        ("RAR", b"Rar!\x1a\x07"),
        ("tar", bytes(257) + b"ustar\x0000"),
        ("a CD's image", bytes(32769) + b"CD001"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_archives_are_named(export, name: str, head: bytes) -> None:
    """A whole export packed by tar or 7z was one file that is not DICOM."""
    folder = export.write()
    (folder / "more").write_bytes(head)
    [file] = scan([folder], salt="tests").files
    assert file.refusal.reason is Reason.NOT_DICOM
    assert f"({name})" in file.refusal.detail


@pytest.mark.parametrize("first", ["[Content_Types].xml", "META-INF/MANIFEST.MF", "mimetype"])
def test_documents_and_programs_beside_an_export_are_no_archives(export, codes, first: str) -> None:
    """Inside a zip each of a viewer's .jar files was an unsafe archive in an archive."""
    folder = export.write()
    zip_of(folder / "beside", {first: b"1", "word/document.xml": b"2"})
    archive = zip_of(
        folder.with_suffix(".zip"), {path.name: path.read_bytes() for path in folder.iterdir()}
    )
    for place in (folder, archive):
        found = scan([place], salt="tests")
        assert codes(found) == {Reason.NOT_DICOM}
        assert len(found.files) == 1
