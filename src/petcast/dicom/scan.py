"""Folders → files → series → studies, from headers alone, and why each refusal.

Files are known by their UIDs and SOP class, never by their names, their folders or their Modality.
Every file found is accounted for exactly once: in a series, or as refused by itself.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from petcast.dicom.check import judge
from petcast.dicom.encoding import EMPTY
from petcast.dicom.header import Header, read_header
from petcast.dicom.ledger import Ledger
from petcast.dicom.pairing import pair
from petcast.dicom.privacy import pseudonym, user_salt
from petcast.dicom.series import RefusedFile, Scan, Series, Study
from petcast.dicom.unpack import Unpacked, is_archive
from petcast.disk.durable import is_unfinished
from petcast.progress import track
from petcast.refusal import Reason, Refusal, RefusedError
from petcast.words import count
from petcast.workers import cores, in_chunks, work_through

__all__ = ["RefusedFile", "Scan", "Series", "Study", "scan"]

POOL_FROM_FILES = 1000
"""Starting processes takes a second; fewer headers than this are read sooner without."""
CHUNK_FILES = 64

NESTED_ARCHIVE = Refusal(Reason.UNSAFE_ARCHIVE, "It is an archive inside an archive.")
"""Archives in archives are how a small file becomes an endless one; none is opened."""

NO_SLICES = {Reason.NOT_DICOM, Reason.UNSAFE_ARCHIVE, Reason.SOP_CLASS}
"""What no slice is refused for, unless nothing of it is left but its name."""

Alone = tuple[Path, Refusal]
"""A file that belongs to no series."""


@dataclass(frozen=True)
class Crew:
    """Who reads the headers, where archives are unpacked, and what is left alone.

    Attributes:
        workers: Processes.
        executor: Runs them; processes of our own where None.
        scratch: A folder that all of them see; the system's own for temporary files where None.
        skip: A folder that is not searched.
    """

    workers: int
    executor: Executor | None = None
    scratch: Path | None = None
    skip: Path | None = None


def scan(
    folders: Sequence[Path],
    *,
    salt: str | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    scratch: Path | None = None,
    skip: Path | None = None,
) -> Scan:
    """Find every series and study, and judge each.

    Args:
        folders: Folders, searched to any depth, zips, or single files. Zips inside folders are
            opened too; what they hold stays on disk as long as the returned scan is referred to.
        salt: The key for pseudonyms; the user's own where None.
        workers: Processes that read headers; one a core where None. 1 reads them here.
        executor: Reads the headers instead, in so many processes that see the same files.
        scratch: Where archives are unpacked; the system's folder for temporary files where None.
        skip: A folder that is left alone, such as that of the pairs.

    Returns:
        Studies, series and refused files; the same for the same files in any order.
    """
    salt = user_salt() if salt is None else salt
    crew = Crew(workers or cores(), executor, scratch, skip)
    with Ledger() as ledger:
        alone, unpacked = _read(folders, crew, ledger)
        series = [one for members in ledger.series() for one in judge(members, salt)]
    series = _with_own_ids(_with_neighbours(series, alone), salt)
    series = sorted(series, key=lambda one: (one.study_id, one.id))
    orphans = [
        RefusedFile(pseudonym("file", str(path), salt), path, refusal) for path, refusal in alone
    ]
    orphans.sort(key=lambda file: file.id)
    return Scan(tuple(pair(series)), tuple(series), tuple(orphans), tuple(unpacked))


# Files


def _read(
    folders: Sequence[Path], crew: Crew, ledger: Ledger
) -> tuple[list[Alone], list[Unpacked]]:
    """Write every header into the ledger, archives opened; return what belongs to no series."""
    places = [folder.absolute() for folder in folders]  # others may stand in another folder
    alone = _without_series(_headers(places, crew), ledger)
    archives = [path for path, refusal in alone if _is_archive(path, refusal)]
    unpacked, refused = _opened(archives, crew.scratch)
    found = _without_series(_headers([one.folder for one in unpacked], crew), ledger)
    inside = [(path, NESTED_ARCHIVE if _is_archive(path, why) else why) for path, why in found]
    opened = set(archives)
    return [*(one for one in alone if one[0] not in opened), *refused, *inside], unpacked


def _without_series(headers: Iterable[Header], ledger: Ledger) -> list[Alone]:
    return [
        (header.path, header.refusal)
        for header in headers
        if not ledger.add(header) and header.refusal is not None
    ]


def _is_archive(path: Path, refusal: Refusal) -> bool:
    try:
        return refusal.reason == Reason.NOT_DICOM and is_archive(path)
    except OSError:
        return False


def _opened(archives: Iterable[Path], scratch: Path | None) -> tuple[list[Unpacked], list[Alone]]:
    unpacked: list[Unpacked] = []
    refused: list[Alone] = []
    for path in archives:
        try:
            unpacked.append(Unpacked(path, scratch=scratch))
        except RefusedError as error:
            refused.append((path, error.refusal))
        except OSError as error:
            detail = f"{error.strerror or 'It cannot be read'}."
            refused.append((path, Refusal(Reason.UNREADABLE, detail)))
    return unpacked, refused


def _walk(folders: Sequence[Path], skip: Path | None = None) -> Iterator[Path]:
    """Every file below some folders but one, each once, links followed but never in a circle.

    Not the series that a killed `predict` left half-written in a hidden folder.

    A folder that cannot be listed comes as itself, to be refused as unreadable.
    """
    given = dict.fromkeys(folder for folder in folders if not folder.is_dir())
    yield from given
    seen = left_alone(skip, folders)
    closed: list[OSError] = []
    for folder in (one for one in folders if one not in given):
        for place, inner, names in os.walk(folder, followlinks=True, onerror=closed.append):
            try:
                mark = mark_of(Path(place))
            except OSError as error:  # gone since it was listed, or never more than a name
                closed.append(OSError(error.errno, error.strerror, place))
                inner.clear()
                continue
            if mark in seen:
                inner.clear()
                continue
            seen.add(mark)
            inner[:] = sorted(name for name in inner if not is_unfinished(name))
            found = (Path(place) / name for name in sorted(names))
            yield from (path for path in found if path not in given)
    yield from (Path(error.filename) for error in closed if error.filename)


def mark_of(folder: Path) -> tuple[int, int]:
    """Tell folders apart, whatever links lead to them.

    Args:
        folder: One that is there.

    Returns:
        What no other folder has.
    """
    status = folder.stat()
    return status.st_dev, status.st_ino


def left_alone(skip: Path | None, folders: Sequence[Path]) -> set[tuple[int, int]]:
    """Mark a folder that is not to be searched, unless it was asked for by itself.

    Args:
        skip: The folder; it need not exist.
        folders: What is searched.

    Returns:
        Its mark, or nothing.
    """
    if skip is None or not skip.is_dir():
        return set()
    return {mark_of(skip)} - {mark_of(folder) for folder in folders if folder.is_dir()}


# Headers


def _headers(folders: Sequence[Path], crew: Crew) -> Iterator[Header]:
    """Read the header of every file, in any order."""
    files = _walk(folders, crew.skip)
    first = list(islice(files, POOL_FROM_FILES))
    workers = crew.workers if len(first) == POOL_FROM_FILES else 1
    executor = crew.executor if first else None
    chunks = in_chunks(chain(first, files), CHUNK_FILES)
    found = work_through(read_headers, chunks, workers=workers, executor=executor)
    # Counting takes a second walk: only where somebody watches
    total = sum(1 for _ in _walk(folders, crew.skip)) if sys.stderr.isatty() else len(first)
    yield from track(chain.from_iterable(found), "Reading headers", total)


def read_headers(files: Sequence[Path]) -> list[Header]:
    """Read the headers of some files, in whatever process.

    Args:
        files: Any files.

    Returns:
        A header each.
    """
    return [read_header(path) for path in files]


# Series


def _with_neighbours(series: Sequence[Series], alone: Sequence[Alone]) -> list[Series]:
    """Note damaged DICOM files in the folder of a series: they may be slices that it lacks."""
    damaged = Counter(
        path.parent
        for path, refusal in alone
        if refusal == EMPTY or refusal.reason not in NO_SLICES
    )
    return [_noted(one, damaged) if damaged else one for one in series]


def _with_own_ids(series: Sequence[Series], salt: str) -> list[Series]:
    """Tell apart what shares a SeriesInstanceUID: a scout, a projection, another modality."""
    counted = Counter(one.id for one in series)
    return [
        replace(one, id=pseudonym("series", f"{one.id}/{_look(one)}", salt))
        if counted[one.id] > 1
        else one
        for one in series
    ]


def _look(series: Series) -> str:
    """What the parts of one UID differ in, whatever the order of their files."""
    return f"{series.modality}/{series.refusal and series.refusal.reason}"


def _noted(series: Series, damaged: Counter[Path]) -> Series:
    found = sum(damaged[folder] for folder in {path.parent for path in series.files})
    if not found or series.refusal is not None:
        return series
    beside = count(found, "damaged file")
    remark = f"{beside} in the folder of its files; slices may be missing at its ends."
    return replace(series, notes=(*series.notes, remark), doubts=(*series.doubts, remark))
