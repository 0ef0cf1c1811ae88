"""Fetch the usable series of a public collection.

`OUT/<subject>/<CT|PT>-<folder in the bucket>/<file>.dcm`, and beside them `collection.json`: what
was asked for, from which index, under which licence. The folders carry the collection's own
public names of subjects (`A0164`), as everyone who works with it knows them; nothing of them
goes further than `petcast scan`, which hashes identities.

A file appears under its name only when it is whole and its size and checksum are right. The same
call again therefore fetches only what is missing, whatever ended the call before.
"""

import os
import re
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from petcast.archive.bucket import ENDPOINT, Bucket, Patience, RemoteObject, UnreachableError
from petcast.archive.collection import Collection, CollectionSummary, summarise
from petcast.archive.index import IndexedSeries
from petcast.disk.durable import LOCK_FILE, exclusive, write_json
from petcast.errors import DataError, FormatError, PetcastError, UsageError
from petcast.progress import track
from petcast.words import count

FORMAT = 1
"""Version of collection.json."""

RESERVE_BYTES = 10**9
"""What a download leaves free on the disk."""

MOST_FAILURES = 10
"""After so many files that could not be had, the bucket is taken to be out of reach."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class DownloadReport:
    """What a download did.

    Attributes:
        out: Its folder.
        subjects: How many subjects are whole now.
        series: How many series are whole now.
        images: How many files they have.
        fetched: How many of those this call fetched.
        gigabytes: Size of all of them, in 10⁹ bytes.
    """

    out: Path
    subjects: int
    series: int
    images: int
    fetched: int
    gigabytes: float

    def to_json(self) -> dict[str, Any]:
        """Turn it into a JSON document.

        Returns:
            The counts, without the folder.
        """
        return {
            "subjects": self.subjects,
            "series": self.series,
            "images": self.images,
            "fetched": self.fetched,
            "gigabytes": round(self.gigabytes, 3),
        }


@dataclass(frozen=True)
class _Task:
    """One file that has to be there at the end."""

    bucket: Bucket
    remote: RemoteObject
    path: Path

    def done(self) -> bool:
        return self.path.is_file() and self.path.stat().st_size == self.remote.size_bytes


def download(
    collection: str,
    out: Path,
    subjects: Sequence[str] | None = None,
    *,
    workers: int = 8,
    endpoint: str = ENDPOINT,
    patience: Patience | None = None,
    index: Path | None = None,
) -> DownloadReport:
    """Fetch the usable series of a public collection into a folder; call again to go on.

    Args:
        collection: Its name; `lung-pet-ct-dx` is known.
        out: Where the files go.
        subjects: Short or full names (`A0164`), or a diagnosis letter for all of its subjects;
            everyone usable where it is missing.
        workers: How many files are fetched at a time.
        endpoint: Address of the buckets; `{bucket}` stands for the name.
        patience: How long to wait and how often to try.
        index: Another index than the installed one.

    Returns:
        What is there now.

    Raises:
        UsageError: A subject is not usable, the disk has no room, or another call works here.
        DataError: Files could not be had; those that were stay, and the same call goes on.
    """
    if workers < 1:
        raise UsageError(f"a download needs at least one worker, found {workers}")
    summary = summarise(collection, index=index)
    wanted = choose_series(summary, subjects)
    out.mkdir(parents=True, exist_ok=True)
    with exclusive(out / LOCK_FILE):
        _sweep(out)
        _require_room(out, wanted, summary.collection)
        fetched = _Fetching(out, endpoint, patience or Patience(), workers).run(
            wanted, summary.collection
        )
        write_json(out / "collection.json", _describe(summary, wanted))
    return DownloadReport(
        out,
        subjects=len({series.subject for series in wanted}),
        series=len(wanted),
        images=sum(series.instances for series in wanted),
        fetched=fetched,
        gigabytes=sum(series.size_mb for series in wanted) / 1000,
    )


def choose_series(
    summary: CollectionSummary, subjects: Sequence[str] | None
) -> list[IndexedSeries]:
    """Pick the usable series of some subjects.

    Args:
        summary: The collection.
        subjects: Names (`A0164`) or diagnosis letters (`B`); everyone where it is missing.

    Returns:
        Their usable series, in the order of the index.

    Raises:
        UsageError: A name fits no usable subject.
    """
    if subjects is None:
        return list(summary.usable)
    chosen: set[str] = set()
    for asked in subjects:
        fitting = {s.subject for s in summary.usable if _fits(asked, s, summary.collection)}
        if not fitting:
            some = sorted({summary.collection.short_name(s.subject) for s in summary.usable})
            raise UsageError(
                f"no usable subject of {summary.collection.name} is called {asked!r}; "
                f"usable are {', '.join(some[:4])} … ({len(some)} in all), or a diagnosis letter"
            )
        chosen |= fitting
    return [series for series in summary.usable if series.subject in chosen]


def _fits(asked: str, series: IndexedSeries, collection: Collection) -> bool:
    names = (
        series.subject,
        collection.short_name(series.subject),
        collection.diagnosis(series.subject),
    )
    return asked.strip().upper() in {name.upper() for name in names}


@dataclass(frozen=True)
class _Fetching:
    """One call's work: list a series, queue its missing files, keep the workers busy."""

    out: Path
    endpoint: str
    patience: Patience
    workers: int

    def run(self, wanted: Sequence[IndexedSeries], collection: Collection) -> int:
        """Fetch what is missing; return how many files that were."""
        stop = threading.Event()
        total = sum(series.instances for series in wanted)
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="download")
        try:
            outcomes = self._outcomes(pool, self._tasks(wanted, collection, stop))
            return _count(track(outcomes, "Downloading", total), total)
        finally:
            # Also on Ctrl-C: what runs ends at its next piece, and leaves no half file.
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _tasks(
        self, wanted: Sequence[IndexedSeries], collection: Collection, stop: threading.Event
    ) -> Iterator[_Task | PetcastError]:
        """The files that have to be there, or why a series could not even be listed."""
        reached = False
        for series in wanted:
            bucket = Bucket(series.bucket, self.endpoint, self.patience, stop)
            folder = _folder(self.out, series, collection)
            try:
                objects = _list_series(bucket, series)
            except DataError as error:
                yield error
                if isinstance(error, UnreachableError) and not reached:
                    return  # each other series would be waited for as long
                continue
            reached = True
            for remote in objects:
                yield _Task(bucket, remote, folder / remote.name)

    def _outcomes(
        self, pool: ThreadPoolExecutor, tasks: Iterable[_Task | PetcastError]
    ) -> Iterator[PetcastError | bool]:
        """For each file: True if it was fetched, False if it was there, or why it is missing.

        Only a few futures wait at a time: memory does not grow with the collection.
        """
        running: set[Future[None]] = set()
        for task in tasks:
            if isinstance(task, PetcastError):
                yield task
            elif task.done():
                yield False
            else:
                running.add(pool.submit(task.bucket.fetch, task.remote, task.path))
            if len(running) >= 4 * self.workers:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                yield from map(_outcome, finished)
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            yield from map(_outcome, finished)


def _outcome(future: Future[None]) -> PetcastError | bool:
    """A full disk and the like end the download: only the bucket's failures are collected."""
    try:
        future.result()
    except PetcastError as error:
        return error
    return True


def _count(outcomes: Iterable[PetcastError | bool], total: int) -> int:
    fetched = 0
    failures: list[PetcastError] = []
    for outcome in outcomes:
        if isinstance(outcome, PetcastError):
            failures.append(outcome)
            if len(failures) >= MOST_FAILURES:
                break
        else:
            fetched += outcome
    if failures:
        raise DataError(
            f"{len(failures)} of {count(total, 'file')}, or whole series, could not be had; the "
            f"first: {failures[0]}. What came is kept; the same command again fetches the rest"
        )
    return fetched


def _list_series(bucket: Bucket, series: IndexedSeries) -> list[RemoteObject]:
    """The files of a series: as many as the index says, or the two do not belong together."""
    objects = bucket.list_folder(series.uuid)
    if len({remote.name for remote in objects}) != series.instances:
        raise FormatError(
            f"the bucket {bucket.name} lists {count(len(objects), 'file')} for a series that has "
            f"{series.instances} in the index; install the newest idc-index-data"
        )
    return objects


def _folder(out: Path, series: IndexedSeries, collection: Collection) -> Path:
    """Where a series goes. Names from the index become folders only if they are plain."""
    subject = collection.short_name(series.subject)
    if not _UUID.fullmatch(series.uuid) or not re.fullmatch(r"[A-Za-z0-9][\w-]{0,63}", subject):
        raise FormatError("the index names a series in a way that makes no folder; is it whole?")
    return out / subject / f"{series.modality}-{series.uuid}"


def _sweep(out: Path) -> None:
    """Remove what an earlier call left half-written when it was killed."""
    for partial in out.glob("*/*/.*.partial"):
        partial.unlink()


def _require_room(out: Path, wanted: Sequence[IndexedSeries], collection: Collection) -> None:
    needed_bytes = sum(_missing_bytes(_folder(out, s, collection), s) for s in wanted)
    if not needed_bytes:
        return
    free_bytes = shutil.disk_usage(out).free
    if needed_bytes + RESERVE_BYTES > free_bytes:
        raise UsageError(
            f"{needed_bytes / 1e9:.1f} GB are to come and {RESERVE_BYTES / 1e9:.0f} GB to stay "
            f"free, but {out} has {free_bytes / 1e9:.1f} GB; choose another folder or fewer "
            "--subjects"
        )


def _missing_bytes(folder: Path, series: IndexedSeries) -> int:
    there = sum(entry.stat().st_size for entry in os.scandir(folder)) if folder.is_dir() else 0
    return max(round(series.size_mb * 1e6) - there, 0)


def _describe(summary: CollectionSummary, wanted: Sequence[IndexedSeries]) -> dict[str, Any]:
    """What collection.json holds: provenance and counts, no identifier of a study or series."""
    collection = summary.collection
    return {
        "format": FORMAT,
        "collection": collection.name,
        "doi": collection.doi,
        "licence": collection.licence,
        "index": summary.index,
        "subjects": sorted({collection.short_name(series.subject) for series in wanted}),
        "series": len(wanted),
        "images": sum(series.instances for series in wanted),
    }
