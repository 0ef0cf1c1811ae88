"""Folders → files → series → studies, from headers alone, and why each refusal.

Files are known by their UIDs and SOP class, never by their names, their folders or their Modality.
Every file found is accounted for exactly once: in a series, or as refused by itself.
"""

import multiprocessing
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from petcast.dicom.check import judge
from petcast.dicom.facts import Shared
from petcast.dicom.header import Header, read_header
from petcast.dicom.pairing import pair
from petcast.dicom.privacy import pseudonym, user_salt
from petcast.dicom.series import RefusedFile, Scan, Series, Study
from petcast.dicom.unpack import Unpacked, is_archive
from petcast.progress import track
from petcast.refusal import Reason, Refusal, RefusedError

__all__ = ["RefusedFile", "Scan", "Series", "Study", "scan"]

POOL_FROM_FILES = 1000
"""Starting processes takes a second; fewer headers than this are read sooner without."""
CHUNK_FILES = 64

NESTED_ARCHIVE = Refusal(Reason.UNSAFE_ARCHIVE, "It is an archive inside an archive.")
"""Archives in archives are how a small file becomes an endless one; none is opened."""


def scan(folders: Sequence[Path], *, salt: str | None = None, workers: int | None = None) -> Scan:
    """Find every series and study, and judge each.

    Args:
        folders: Folders, searched to any depth, zips, or single files. Zips inside folders are
            opened too; what they hold stays on disk as long as the returned scan is referred to.
        salt: The key for pseudonyms; the user's own where None.
        workers: Processes that read headers; one a core where None. 1 reads them here.

    Returns:
        Studies, series and refused files; the same for the same files in any order.
    """
    salt = user_salt() if salt is None else salt
    files, unpacked, refused = _files(folders)
    headers = _headers(files, workers)
    groups, alone = _grouped([*headers, *refused])
    series = [one for members in groups for one in judge(members, salt)]
    series = sorted(_with_neighbours(series, alone), key=lambda one: (one.study_id, one.id))
    orphans = tuple(
        RefusedFile(pseudonym("file", str(header.path), salt), header.path, refusal)
        for header, refusal in alone
    )
    return Scan(tuple(pair(series)), tuple(series), orphans, tuple(unpacked))


# Files


def _files(folders: Sequence[Path]) -> tuple[list[Path], list[Unpacked], list[Header]]:
    """Every file once, archives opened; what cannot be opened comes as a refused header."""
    files: list[Path] = []
    unpacked: list[Unpacked] = []
    refused: list[Header] = []
    for path in dict.fromkeys(_walk(folders)):
        try:
            if is_archive(path):
                unpacked.append(Unpacked(path))
                inner = {one: is_archive(one) for one in _walk([unpacked[-1].folder])}
                files += [one for one, packed in inner.items() if not packed]
                refused += [Header(one, NESTED_ARCHIVE) for one, packed in inner.items() if packed]
            else:
                files.append(path)
        except RefusedError as error:
            refused.append(Header(path, error.refusal))
        except OSError as error:
            detail = f"{error.strerror or 'It cannot be read'}."
            refused.append(Header(path, Refusal(Reason.UNREADABLE, detail)))
    return files, unpacked, refused


def _walk(folders: Iterable[Path]) -> Iterator[Path]:
    """Every file below some folders, each once, links followed but never in a circle."""
    seen: set[tuple[int, int]] = set()
    for folder in folders:
        if not folder.is_dir():
            yield folder
            continue
        for place, inner, names in os.walk(folder, followlinks=True):
            status = Path(place).stat()
            mark = (status.st_dev, status.st_ino)
            if mark in seen:
                inner.clear()
                continue
            seen.add(mark)
            inner.sort()
            yield from (Path(place) / name for name in sorted(names))


# Headers


def _headers(files: Sequence[Path], workers: int | None) -> list[Header]:
    workers = workers or _cores()
    shared: dict[Shared, Shared] = {}
    read = _read_in_pool if workers > 1 and len(files) >= POOL_FROM_FILES else _read_here
    headers = track(read(files, workers), "Reading headers", total=len(files))
    return [_interned(header, shared) for header in headers]


def _interned(header: Header, known: dict[Shared, Shared]) -> Header:
    """Keep what a whole series shares once, not once a file."""
    if header.shared is None:
        return header
    return replace(header, shared=known.setdefault(header.shared, header.shared))


def _read_here(files: Sequence[Path], workers: int) -> Iterator[Header]:  # noqa: ARG001
    return map(read_header, files)


def _read_in_pool(files: Sequence[Path], workers: int) -> Iterator[Header]:
    """Read in processes that start clean; where they cannot live, read here."""
    done = 0
    try:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            for header in pool.map(read_header, files, chunksize=CHUNK_FILES):
                yield header
                done += 1
    except BrokenExecutor:  # a killed worker, or a script without a __main__ guard
        yield from map(read_header, files[done:])


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Series

Group = tuple[str, str, str]


def _grouped(
    headers: Iterable[Header],
) -> tuple[list[list[Header]], list[tuple[Header, Refusal]]]:
    """Gather files by series, SOP class family and role; the rest stands alone."""
    groups: dict[Group, list[Header]] = defaultdict(list)
    alone = []
    for header in headers:
        shared = header.shared
        if shared is not None and shared.series_uid and shared.study_uid:
            groups[shared.series_uid, shared.kind, shared.role].append(header)
        elif header.refusal is not None:
            alone.append((header, header.refusal))
    return list(groups.values()), alone


def _with_neighbours(
    series: Sequence[Series], alone: Sequence[tuple[Header, Refusal]]
) -> list[Series]:
    """Note damaged DICOM files in the folder of a series: they may be slices that it lacks."""
    damaged = Counter(
        header.path.parent
        for header, refusal in alone
        if refusal.reason not in (Reason.NOT_DICOM, Reason.UNSAFE_ARCHIVE, Reason.SOP_CLASS)
    )
    return [_noted(one, damaged) if damaged else one for one in series]


def _noted(series: Series, damaged: Counter[Path]) -> Series:
    count = sum(damaged[folder] for folder in {path.parent for path in series.files})
    if not count or series.refusal is not None:
        return series
    remark = f"{count} damaged files lie beside its files; slices may be missing at its ends."
    return replace(series, notes=(*series.notes, remark))
