"""Folders and zips alike: a zip is unpacked into a temporary place that is removed afterwards.

Nothing in an archive is believed: members are counted, their real bytes are, and none may lead
outside the place.
"""

import shutil
import stat
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from petcast.refusal import Reason, RefusedError

CHUNK_BYTES = 1 << 20
ENCRYPTED = 0x1


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
    """

    def __init__(self, archive: Path, caps: Caps | None = None) -> None:
        """Unpack an archive into a new temporary folder.

        Args:
            archive: A zip file.
            caps: How large it may be.

        Raises:
            RefusedError: UNSAFE-ARCHIVE; nothing stays on disk then.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="petcast-"))
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        try:
            _unpack(archive, self.folder, caps or Caps())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the files now."""
        self._finalizer()


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
    """Say whether a file is a zip, by its name or by its first bytes.

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
        return stream.read(4) == b"PK\x03\x04"


def _unpack(archive: Path, folder: Path, caps: Caps) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            _require_sane(members, caps, shutil.disk_usage(folder).free)
            allowed = _allowed_bytes(archive, caps)
            for number, member in enumerate(members):
                # Numbered names: members may differ by case alone, or be longer than a disk allows
                target = folder / f"{number:06d}"
                allowed -= _extract(opened, member, target, allowed)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _unsafe(f"It is damaged or encrypted ({type(error).__name__}).") from None


def _require_sane(members: list[zipfile.ZipInfo], caps: Caps, free_bytes: int) -> None:
    if len(members) > caps.members:
        raise _unsafe(f"It holds {len(members)} files, more than {caps.members}.")
    for member in members:
        _require_safe(member)
    total = sum(member.file_size for member in members)
    if total > min(caps.total_bytes, free_bytes):
        raise _unsafe(f"Unpacked it would take {total} bytes, more than allowed or free.")


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
