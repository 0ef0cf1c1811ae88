"""Folders and zips alike: a zip is unpacked into a temporary place that is removed afterwards.

Nothing in an archive is believed: members are counted, their real bytes are, and none may lead
outside the place. Where a process is killed before it can remove its place, the next one that
opens an archive does: the lock of a dead process is free.
"""

import errno
import io
import os
import shutil
import stat
import tempfile
import weakref
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from petcast.refusal import Reason, RefusedError
from petcast.words import count

CHUNK_BYTES = 1 << 20
ENCRYPTED = 0x1
PREFIX, LOCK, FILES = "petcast-", "lock", "files"
ZIP_NAME_AT = 30
"""Where a zip says the name of its first member."""
DOCUMENTS = (b"[Content_Types].xml", b"_rels/", b"docProps/", b"META-INF/", b"mimetype")
"""How the first member's name begins in .docx, .xlsx, .jar and .odt, which lie beside exports."""
MOST_DIRECTORY_BYTES = 64 << 20
"""Of half a million members some 100 bytes each; zipfile makes an object of each before they can
be counted."""


@dataclass(frozen=True)
class Caps:
    """How large an archive may be.

    Attributes:
        members: Files in it.
        total_bytes: Of all files, unpacked.
        ratio: Unpacked bytes for each packed one, of the whole archive …
        ratio_from_bytes: … counted once so much was unpacked; slices of air pack very well.
    """

    members: int = 500_000
    total_bytes: int = 200 << 30
    ratio: float = 100.0
    ratio_from_bytes: int = 256 << 20


class Unpacked:
    """An archive's files on disk, removed when this object is let go.

    Attributes:
        folder: Where they are.
        archive: What they came from.
    """

    def __init__(
        self, archive: Path, caps: Caps | None = None, scratch: Path | None = None
    ) -> None:
        """Unpack an archive into a new temporary folder.

        Args:
            archive: A zip file.
            caps: How large it may be.
            scratch: Where the folder is made; the system's place for temporary files where None.

        Raises:
            RefusedError: UNSAFE-ARCHIVE; nothing stays on disk then.
        """
        self.archive = archive
        _sweep()
        place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=scratch))
        lock = _locked(place)
        self._finalizer = weakref.finalize(self, _remove, place, lock, os.getpid())
        self.folder = place / FILES
        try:
            self.folder.mkdir()
            _unpack(archive, self.folder, caps or Caps())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the files now."""
        self._finalizer()


def origin_of(path: Path, unpacked: Iterable[object]) -> Path:
    """Say where a file comes from, as its user knows it.

    Args:
        path: A file.
        unpacked: The archives that a scan opened.

    Returns:
        The path itself, or the archive that it was unpacked from.
    """
    for one in unpacked:
        if isinstance(one, Unpacked) and path.is_relative_to(one.folder):
            return one.archive
    return path


@contextmanager
def open_folder(path: Path) -> Iterator[Path]:
    """Give a folder's files, whether it is packed or not.

    Args:
        path: A folder, a zip of one, or a single DICOM file.

    Yields:
        The path itself, or a temporary folder with the zip's content, removed at the end.

    Raises:
        RefusedError: UNSAFE-ARCHIVE.
    """
    if not is_archive(path):
        yield path
        return
    unpacked = Unpacked(path)
    try:
        yield unpacked.folder
    finally:
        unpacked.close()


def is_archive(path: Path) -> bool:
    """Say whether a file is a zip of files, by its name or by its first bytes.

    Documents and programs that are zips inside hold no images.

    Args:
        path: Anything.

    Returns:
        True for a zip, also for a damaged one that is named so.
    """
    if not path.is_file():
        return False
    if path.suffix.lower() == ".zip":
        return True
    with path.open("rb") as stream:
        head = stream.read(ZIP_NAME_AT + 32)
    return head.startswith(b"PK\x03\x04") and not head[ZIP_NAME_AT:].startswith(DOCUMENTS)


def _locked(place: Path) -> BinaryIO | None:
    """Hold a lock on a new place as long as this process lives; it is born locked."""
    try:
        import fcntl
    except ImportError:  # Windows; there a killed process's place stays
        return None
    lock = (place / f"{LOCK}.new").open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    Path(lock.name).rename(place / LOCK)
    return lock


def _remove(place: Path, lock: BinaryIO | None, owner: int) -> None:
    if os.getpid() != owner:  # a fork must not take its parent's files away
        return
    shutil.rmtree(place, ignore_errors=True)
    if lock is not None:
        lock.close()


def _sweep() -> None:
    """Remove what killed processes left behind: places of ours whose lock nobody holds."""
    try:
        import fcntl
    except ImportError:
        return
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        with suppress(OSError):  # another user's, held, or just being removed
            if lock.parent.is_symlink() or lock.parent.stat().st_uid != os.getuid():
                continue
            with lock.open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)


def _unpack(archive: Path, folder: Path, caps: Caps) -> None:
    try:
        with _Bounded(archive) as stream, zipfile.ZipFile(stream) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            _require_sane(members, caps)
            _require_room(members, folder)
            allowed = _allowed_bytes(archive, caps)
            for number, member in enumerate(members):
                # Numbered names: members may differ by case alone, or be longer than a disk allows
                target = folder / f"{number:06d}"
                allowed -= _extract(opened, member, target, allowed)
    except RefusedError:
        raise
    except OSError as error:
        if error.errno != errno.EINVAL:  # a damaged directory points to before the file's start
            raise
        raise _unsafe("It is damaged.") from None
    except Exception as error:  # noqa: BLE001  zipfile raises nearly anything on damaged bytes
        raise _unsafe(f"It is damaged or encrypted ({type(error).__name__}).") from None


class _Bounded(io.FileIO):
    """An archive of which no large piece is read at once, so that no huge directory is believed."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MOST_DIRECTORY_BYTES:
            raise _unsafe("Its directory is larger than that of any export.")
        return super().read(size)


def _require_sane(members: list[zipfile.ZipInfo], caps: Caps) -> None:
    if len(members) > caps.members:
        raise _unsafe(f"It holds {count(len(members), 'file')}, more than {caps.members:,}.")
    for member in members:
        _require_safe(member)
    total = _bytes_of(members)
    if total > caps.total_bytes:
        raise _unsafe(f"Unpacked it would take {total / 1e9:.3g} GB, more than is allowed.")


def _require_room(members: list[zipfile.ZipInfo], folder: Path) -> None:
    total, free = _bytes_of(members), shutil.disk_usage(folder).free
    if total > free:
        where, how = "there", ""
        if folder.is_relative_to(tempfile.gettempdir()):
            where, how = "in the folder for temporary files", "; TMPDIR can name another"
        raise _unsafe(
            f"Unpacked it would take {total / 1e9:.3g} GB; {free / 1e9:.3g} GB are free "
            f"{where}{how}."
        )


def _bytes_of(members: list[zipfile.ZipInfo]) -> int:
    return sum(member.file_size for member in members)


def _require_safe(member: zipfile.ZipInfo) -> None:
    name = PurePosixPath(member.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or (name.parts and ":" in name.parts[0]):
        raise _unsafe("A member would be written outside its folder.")
    mode = member.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise _unsafe("A member is a link or another special file.")
    if member.flag_bits & ENCRYPTED:
        raise _unsafe("It is encrypted.")


def _allowed_bytes(archive: Path, caps: Caps) -> int:
    by_ratio = int(archive.stat().st_size * caps.ratio)
    return min(caps.total_bytes, max(by_ratio, caps.ratio_from_bytes))


def _extract(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, allowed: int) -> int:
    """Write one member; what counts are the bytes that come out, not those that are declared."""
    written = 0
    with opened.open(member) as source, target.open("wb") as sink:
        while chunk := source.read(CHUNK_BYTES):
            written += len(chunk)
            if written > allowed:
                raise _unsafe("It inflates far beyond its size, like a bomb.")
            sink.write(chunk)
    return written


def _unsafe(detail: str) -> RefusedError:
    return RefusedError(Reason.UNSAFE_ARCHIVE, detail)
