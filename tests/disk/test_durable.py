"""Writing survives death at any step."""

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from petcast.disk import durable
from petcast.errors import BusyError, FormatError, UsageError


class Death(BaseException):
    """What kill -9 looks like from inside: nothing after it runs."""


def write(target: Path, content: str) -> None:
    durable.write_directory(target, lambda d: durable.write_text(d / "file", content))


@pytest.mark.parametrize("step", range(3))
def test_a_directory_is_old_or_new_after_death_at_any_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    target = tmp_path / "last"
    write(target, "old")
    renames = iter(range(10))
    rename = Path.rename

    def dying(self: Path, to: Path) -> Path:
        if self.parent == tmp_path and next(renames) == step:
            raise Death
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", dying)
    with pytest.raises(Death):
        write(target, "new")
    monkeypatch.undo()
    durable.settle(target)
    assert (target / "file").read_text() == ("old" if step == 0 else "new")
    assert [p.name for p in tmp_path.iterdir()] == ["last"]


def test_files_are_flushed_as_windows_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It flushes no file that is open for reading alone (a directory is not tried there)."""
    fcntl = pytest.importorskip("fcntl")
    fsync = os.fsync

    def strict(handle: int) -> None:
        mode = fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE
        if mode == os.O_RDONLY and not stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EBADF, "Bad file descriptor")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", strict)
    write(tmp_path / "last", "new")
    assert (tmp_path / "last" / "file").read_text() == "new"


def test_a_partial_directory_is_swept_and_never_read(tmp_path: Path) -> None:
    (tmp_path / "last.partial").mkdir()
    durable.settle(tmp_path / "last")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_whole_or_gone_after_death_while_it_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "last"
    write(target, "old")

    def dying(folder: Path, **_: object) -> None:
        (Path(folder) / "file").unlink()
        raise Death

    monkeypatch.setattr("shutil.rmtree", dying)
    with pytest.raises(Death):
        durable.remove_directory(target)
    monkeypatch.undo()
    assert not durable.whole(target).exists()
    durable.settle(target)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    durable.write_text(path, "old")

    def fail_halfway() -> None:
        with durable.open_whole(path) as stream:
            stream.write(b"half")
            raise OSError(errno.ENOSPC, "disk full")

    with pytest.raises(OSError, match="full"):
        fail_halfway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_damaged_and_missing_json_are_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is missing"):
        durable.read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"half')
    with pytest.raises(FormatError, match="not whole JSON"):
        durable.read_json(tmp_path / "a.json")


@pytest.mark.parametrize("content", ["{}", "[]", "null", "5", '"hash"', "[" * 100_000])
def test_json_that_is_not_what_it_should_be_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(FormatError, match=r"a\.json is (not whole|damaged.* has no 'hash')"):
        durable.read_json(tmp_path / "a.json", "hash")


@pytest.mark.parametrize(
    ("written", "said"),
    [(2, "format 2, .* update petcast"), *((one, "no format") for one in (None, "one", 1.5, [1]))],
)
def test_a_document_of_another_format_is_refused(written: object, said: str) -> None:
    with pytest.raises(FormatError, match=rf"a\.json .*{said}"):
        durable.require_known_format(written, 1, "a.json")
    durable.require_known_format(1, 1, "a.json")


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        durable.exclusive(tmp_path / ".lock"),
        pytest.raises(UsageError, match="another process"),
        durable.exclusive(tmp_path / ".lock"),
    ):
        pass
    with durable.exclusive(tmp_path / ".lock"):
        pass


def test_a_passing_lock_leaves_no_file_and_keeps_out_who_opened_the_one_that_was_removed(
    tmp_path: Path,
) -> None:
    lock, holds, done = tmp_path / ".lock", threading.Event(), threading.Event()

    def second() -> None:
        with durable.exclusive(lock, wait=True, passing=True):
            holds.set()
            done.wait(20)

    waiting = threading.Thread(target=second)
    with durable.exclusive(lock, passing=True):
        waiting.start()
        assert not holds.wait(0.2)  # it has opened the first one's file
    assert holds.wait(20)
    with pytest.raises(BusyError), durable.exclusive(lock, passing=True):
        pass
    done.set()
    waiting.join()
    assert list(tmp_path.iterdir()) == []


def test_who_writes_into_a_folder_waits_for_whoever_does(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with durable.alone_beside(tmp_path / "b"):
            order.append("second")

    with durable.alone_beside(tmp_path / "a"):
        other = threading.Thread(target=second)
        other.start()
        other.join(0.2)
        order.append("first")
    other.join()
    assert order == ["first", "second"]
    assert list(tmp_path.iterdir()) == []
