"""Headers of all files, kept on disk until their series is complete and can be judged.

A series is complete only when every file has been seen, and a cohort's headers do not fit into
memory. What all slices of a series share is kept here once; what is a file's own goes as a line
into a temporary file that has no name and vanishes with the process.
"""

import json
import os
import tempfile
from array import array
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from petcast.dicom.facts import Shared, Slice
from petcast.dicom.header import Header
from petcast.dicom.persons import with_issuers
from petcast.refusal import Reason, Refusal

Group = tuple[str, str, str]
"""SeriesInstanceUID, SOP class family and role."""


class Ledger:
    """Headers by series."""

    def __init__(self) -> None:
        self._lines = tempfile.TemporaryFile(prefix="petcast-")  # noqa: SIM115  closed by exit
        self._places: dict[Group, array[int]] = defaultdict(lambda: array("Q"))
        self._shared: dict[Shared, int] = {}
        self._end = 0

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lines.close()

    def add(self, header: Header) -> bool:
        """Write a header down.

        Args:
            header: Of any file.

        Returns:
            False where it belongs to no series; it was not written then.
        """
        shared = header.shared
        if shared is None or not shared.series_uid or not shared.study_uid:
            return False
        number = self._shared.setdefault(shared, len(self._shared))
        line = json.dumps(_packed(header, number)).encode() + b"\n"
        self._places[shared.series_uid, shared.kind, shared.role].append(self._end)
        self._lines.write(line)
        self._end += len(line)
        return True

    def series(self) -> Iterator[list[Header]]:
        """Read the headers back.

        Yields:
            Those of one series after the other, in no order; a patient's number has its issuer
            where any of them names it.
        """
        known = with_issuers(self._shared)
        for places in self._places.values():
            yield [self._read(place, known) for place in sorted(places)]

    def _read(self, place: int, known: list[Shared]) -> Header:
        self._lines.seek(place)
        return _unpacked(json.loads(self._lines.readline()), known)


def _packed(header: Header, shared: int) -> list[Any]:
    refusal = header.refusal
    return [
        os.fspath(header.path),
        None if refusal is None else [refusal.reason.name, refusal.detail],
        header.sop_uid,
        shared,
        [[*one[:4], one.acquired and one.acquired.isoformat(), *one[5:]] for one in header.slices],
    ]


def _unpacked(line: list[Any], known: list[Shared]) -> Header:
    path, refusal, sop_uid, shared, slices = line
    return Header(
        Path(path),
        None if refusal is None else Refusal(Reason[refusal[0]], refusal[1]),
        sop_uid,
        known[shared],
        tuple(map(_slice, slices)),
    )


def _slice(line: list[Any]) -> Slice:
    position, slope, intercept, acquisition, acquired, reference_s, duration_s = line
    moment = None if acquired is None else datetime.fromisoformat(acquired)
    return Slice(tuple(position), slope, intercept, acquisition, moment, reference_s, duration_s)
