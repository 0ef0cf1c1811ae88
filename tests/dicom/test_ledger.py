"""Headers written down and read back are the same."""

import os
from dataclasses import replace
from pathlib import Path

from petcast.dicom.files import Files
from petcast.dicom.header import Header, read_header
from petcast.dicom.ledger import Ledger
from petcast.refusal import Reason, Refusal


def test_headers_come_back_by_series_as_they_went(export) -> None:
    headers = [read_header(path) for path in sorted(export.write().iterdir())]
    headers[3] = replace(headers[3], refusal=Refusal(Reason.GAP, "NaN, – and \ud800"), slices=())
    with Ledger() as ledger:
        assert all(map(ledger.add, headers))
        found = list(ledger.series())
    assert sorted(map(len, found)) == [12, 12]
    assert {header for members in found for header in members} == set(headers)
    assert all(len({one.shared for one in members}) == 1 for members in found)


def test_a_file_without_series_is_not_kept() -> None:
    with Ledger() as ledger:
        assert not ledger.add(Header(Path("a"), Refusal(Reason.NOT_DICOM, "")))
        assert list(ledger.series()) == []


def test_packed_paths_are_the_paths() -> None:
    paths = (Path("/a/ä b"), Path("/a/1.dcm"), Path(os.fsdecode(b"/a/\xff")))
    files = Files(paths)
    assert tuple(files) == paths
    assert (files, files[1], files[1:], len(files)) == (paths, paths[1], paths[1:], 3)
    assert Files() == ()
    assert hash(files) == hash(Files(paths))
    assert "dcm" not in repr(files)
