"""Downloads against a bucket that misbehaves in the ways in which buckets do."""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from petcast import cli
from petcast.archive import Patience, download
from petcast.archive.bucket import Bucket
from petcast.disk.durable import exclusive
from petcast.errors import DataError, FormatError, UsageError

QUICK = Patience(timeout_s=5.0, attempts=3, pause_s=0.001)


def fetch(cohort: Any, out: Path, subjects: list[str] | None = None, **options: Any) -> Any:
    options = {"workers": 3, "patience": QUICK, **options}
    return download(
        "lung-pet-ct-dx",
        out,
        subjects,
        index=cohort.index,
        endpoint=cohort.bucket.endpoint,
        **options,
    )


def files_in(out: Path) -> dict[str, bytes]:
    """Every file below a subject's folder, by the name that it has in the bucket."""
    return {
        f"{path.parent.name.split('-', 1)[1]}/{path.name}": path.read_bytes()
        for path in out.glob("*/*/*")
    }


@pytest.mark.slow
def test_every_usable_series_comes_whole(cohort: Any, tmp_path: Path) -> None:
    report = fetch(cohort, tmp_path / "out")
    assert files_in(tmp_path / "out") == cohort.bucket.objects
    assert (report.subjects, report.series, report.images, report.fetched) == (2, 4, 14, 14)
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {
        "A0001",
        "G0002",
    }


def test_collection_json_says_what_it_is_and_names_no_series(cohort: Any, tmp_path: Path) -> None:
    fetch(cohort, tmp_path, ["A0001"])
    text = (tmp_path / "collection.json").read_text()
    card = json.loads(text)
    assert (card["collection"], card["licence"], card["images"]) == (
        "lung-pet-ct-dx",
        "CC BY 4.0",
        7,
    )
    assert "1.2.3" not in text
    assert not any(key.split("/")[0] in text for key in cohort.bucket.objects)


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["G0002", "lung_dx-g0002", "G"])
def test_subjects_are_chosen_by_name_or_letter(asked: str, cohort: Any, tmp_path: Path) -> None:
    fetch(cohort, tmp_path, [asked])
    assert sorted(files_in(tmp_path)) == sorted(cohort.keys("G0002"))


def test_an_unusable_subject_is_refused_before_anything_is_fetched(
    cohort: Any, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"'B0001'.*A0001"):
        fetch(cohort, tmp_path / "out", ["A0001", "B0001"])
    assert not (tmp_path / "out").exists()
    assert not cohort.bucket.asked


@pytest.mark.slow
def test_the_same_call_again_fetches_nothing(cohort: Any, tmp_path: Path) -> None:
    fetch(cohort, tmp_path)
    before = dict(cohort.bucket.asked)
    assert fetch(cohort, tmp_path).fetched == 0
    assert all(cohort.bucket.asked[key] == before[key] for key in cohort.bucket.objects)


@pytest.mark.slow
def test_a_file_that_was_cut_or_lost_is_fetched_again(cohort: Any, tmp_path: Path) -> None:
    fetch(cohort, tmp_path)
    cut, lost = sorted(tmp_path.glob("*/*/*.dcm"))[:2]
    cut.write_bytes(b"half")
    lost.unlink()
    assert fetch(cohort, tmp_path).fetched == 2
    assert files_in(tmp_path) == cohort.bucket.objects


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["500", "503", "429", "hang-up", "truncate", "shorter", "longer"])
def test_a_fault_that_passes_is_outlived(fault: str, cohort: Any, tmp_path: Path) -> None:
    for key in cohort.bucket.objects:
        cohort.bucket.faults[key] = [fault, fault]
    fetch(cohort, tmp_path)
    assert files_in(tmp_path) == cohort.bucket.objects


def test_bytes_that_changed_on_the_way_are_fetched_again(cohort: Any, tmp_path: Path) -> None:
    key = cohort.keys()[0]
    cohort.bucket.faults[key] = ["corrupt"]
    fetch(cohort, tmp_path)
    assert cohort.bucket.asked[key] == 2
    assert files_in(tmp_path) == cohort.bucket.objects


@pytest.mark.slow
def test_a_silent_server_is_given_up_after_the_timeout(cohort: Any, tmp_path: Path) -> None:
    key = cohort.keys()[0]
    cohort.bucket.faults[key] = ["hang"]
    started = time.monotonic()
    fetch(cohort, tmp_path, patience=Patience(timeout_s=0.2, attempts=2, pause_s=0.0))
    assert time.monotonic() - started < 30.0
    assert files_in(tmp_path) == cohort.bucket.objects


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["500!", "truncate!", "corrupt!", "longer!"])
def test_a_file_that_never_comes_right_never_appears(
    fault: str, cohort: Any, tmp_path: Path
) -> None:
    key = cohort.keys()[0]
    cohort.bucket.faults[key] = [fault]
    with pytest.raises(DataError, match=r"1 of 14 files.*the same command again"):
        fetch(cohort, tmp_path)
    assert files_in(tmp_path).keys() == cohort.bucket.objects.keys() - {key}
    assert not (tmp_path / "collection.json").exists()
    assert cohort.bucket.asked[key] == QUICK.attempts
    cohort.bucket.faults.clear()
    assert fetch(cohort, tmp_path).fetched == 1
    assert files_in(tmp_path) == cohort.bucket.objects


def test_a_wrong_etag_is_a_failure_not_a_file(cohort: Any, tmp_path: Path) -> None:
    key = cohort.keys()[0]
    cohort.bucket.etags[key] = hashlib.md5(b"something else").hexdigest()
    with pytest.raises(DataError, match="checksum"):
        fetch(cohort, tmp_path)
    assert key not in files_in(tmp_path)


def test_an_etag_of_an_upload_in_parts_is_no_checksum(cohort: Any, tmp_path: Path) -> None:
    for key in cohort.bucket.objects:
        cohort.bucket.etags[key] = f"{hashlib.md5(key.encode()).hexdigest()}-2"
    fetch(cohort, tmp_path)
    assert files_in(tmp_path) == cohort.bucket.objects


def test_a_refusal_of_the_server_is_not_asked_again(cohort: Any, tmp_path: Path) -> None:
    key = cohort.keys()[0]
    cohort.bucket.faults[key] = ["403!"]
    with pytest.raises(DataError, match="answered 403"):
        fetch(cohort, tmp_path)
    assert cohort.bucket.asked[key] == 1


def test_a_bucket_out_of_reach_is_given_up_early(cohort: Any, tmp_path: Path) -> None:
    for key in cohort.bucket.objects:
        cohort.bucket.faults[key] = ["403!"]
    with pytest.raises(DataError, match="10 of 14 files"):
        fetch(cohort, tmp_path, workers=1)


def test_nobody_listening_is_said_without_a_traceback(cohort: Any, tmp_path: Path) -> None:
    cohort.bucket.endpoint = "http://127.0.0.1:9/{bucket}"
    with pytest.raises(DataError, match=r"^1 of 14 files.*no connection"):  # not each in turn
        fetch(cohort, tmp_path)


def test_a_listing_comes_in_pages(cohort: Any, tmp_path: Path) -> None:
    cohort.bucket.page_size = 2
    fetch(cohort, tmp_path)
    assert files_in(tmp_path) == cohort.bucket.objects


def test_a_listing_that_breaks_off_is_asked_again(cohort: Any, tmp_path: Path) -> None:
    folder = cohort.keys()[0].split("/")[0]
    cohort.bucket.faults[f"list:{folder}/"] = ["truncate", "500"]
    fetch(cohort, tmp_path)
    assert files_in(tmp_path) == cohort.bucket.objects


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (b"/0000", b"/../../0000", "not directly in its folder"),
        (b"/0000", b"/.0000", "not directly in its folder"),
        (b"<Size>", b"<Size>-", "a size of"),
        (b"<Size>", b"<Size>99999999999", "a size of"),
        (b"<Size>", b"<Size>" + b"9" * 5000, "a size of"),
        (b"<ListBucketResult", b"<!DOCTYPE x [<!ENTITY a 'b'>]><ListBucketResult", "document type"),
        (b"<IsTruncated>false", b"<IsTruncated>true", "not where"),
        (b"<Contents>", b"<Contents", "not XML"),
        (b"Contents>", b"Content>", "lists 0 files"),
    ],
)
def test_a_hostile_or_damaged_listing_is_refused(
    old: bytes, new: bytes, complaint: str, cohort: Any, tmp_path: Path
) -> None:
    cohort.bucket.listing = lambda page: page.replace(old, new)
    with pytest.raises(DataError, match=complaint):
        fetch(cohort, tmp_path)
    assert not files_in(tmp_path)


def test_a_listing_that_runs_in_a_circle_is_refused(cohort: Any, tmp_path: Path) -> None:
    token = b"<NextContinuationToken>1</NextContinuationToken>"
    cohort.bucket.listing = lambda page: page.replace(
        b"<IsTruncated>false", token + b"<IsTruncated>true"
    )
    with pytest.raises(DataError, match="circle"):
        fetch(cohort, tmp_path)


@pytest.mark.slow
def test_a_bucket_with_fewer_files_than_the_index_is_refused(cohort: Any, tmp_path: Path) -> None:
    del cohort.bucket.objects[cohort.keys("A0001")[0]]
    with pytest.raises(DataError, match="lists 3 files for a series that has 4"):
        fetch(cohort, tmp_path)
    assert len(files_in(tmp_path)) == 10  # the other three series are kept


def test_a_full_disk_is_said_before_anything_is_fetched(
    cohort: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 10**9))
    with pytest.raises(UsageError, match="free"):
        fetch(cohort, tmp_path)
    assert not cohort.bucket.asked


@pytest.mark.slow
def test_what_is_there_needs_no_room(
    cohort: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(cohort, tmp_path)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 0))
    assert fetch(cohort, tmp_path).fetched == 0


def test_a_disk_that_fills_up_leaves_no_file(
    cohort: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        fetch(cohort, tmp_path)
    assert not files_in(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
@pytest.mark.parametrize("death", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_download_leaves_only_whole_files_and_the_next_call_goes_on(
    cohort: Any, tmp_path: Path, death: signal.Signals
) -> None:
    cohort.bucket.delay_s = 0.2
    killed, before = threading.Event(), threading.Semaphore(4)

    def hold(_: str) -> None:  # however slow this process is, the other one does not end first
        if not before.acquire(blocking=False):
            killed.wait(60)

    cohort.bucket.on_get = hold
    script = (
        # A suite that runs in the background of a shell inherits that SIGINT is ignored.
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pathlib import Path; from petcast.archive import download\n"
        "download('lung-pet-ct-dx', Path(sys.argv[1]), endpoint=sys.argv[2],"
        " index=Path(sys.argv[3]), workers=2)"
    )
    arguments = [str(tmp_path / "out"), cohort.bucket.endpoint, str(cohort.index)]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 30
    while not list((tmp_path / "out").glob("*/*/*.dcm")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(death)
    killed.set()
    assert process.wait() == -death
    assert death == signal.SIGKILL or not list((tmp_path / "out").rglob("*.partial"))
    partial = next((tmp_path / "out").glob("*/*")) / ".some.dcm.1.partial"
    partial.write_bytes(b"half")  # whatever the moment of the kill, one is there
    whole = {key: body for key, body in files_in(tmp_path / "out").items() if "partial" not in key}
    assert 0 < len(whole) < 14
    assert whole.items() <= cohort.bucket.objects.items()
    fetch(cohort, tmp_path / "out")
    assert files_in(tmp_path / "out") == cohort.bucket.objects


def test_two_calls_never_work_in_one_folder(cohort: Any, tmp_path: Path) -> None:
    with exclusive(tmp_path / ".lock"), pytest.raises(UsageError, match="another process"):
        fetch(cohort, tmp_path)


@pytest.mark.slow
def test_no_more_files_come_at_a_time_than_there_are_workers(cohort: Any, tmp_path: Path) -> None:
    cohort.bucket.delay_s = 0.05
    fetch(cohort, tmp_path, workers=3)
    assert 2 <= cohort.bucket.most_in_flight <= 3


def test_names_from_the_index_never_leave_the_folder(
    cohort: Any, tmp_path: Path, write_index: Any, sop_classes: dict[str, str]
) -> None:
    rows = [
        {
            "collection_id": "lung_pet_ct_dx",
            "PatientID": "../elsewhere",
            "StudyInstanceUID": "1.2",
            "Modality": label,
            "SOPClassUID": sop_classes[label],
            "PhotometricInterpretation": "MONOCHROME2",
            "instanceCount": 4,
            "series_size_MB": 0.1,
            "aws_bucket": "stand-in",
            "crdc_series_uuid": cohort.keys()[0].split("/")[0],
        }
        for label in ("CT", "PT")
    ]
    cohort.index = write_index(rows, name="hostile.parquet")
    with pytest.raises(FormatError, match="no folder"):
        fetch(cohort, tmp_path / "out")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("name", "endpoint", "error"),
    [
        ("stand-in", "file:///etc/{bucket}", UsageError),
        ("stand-in", "nonsense", UsageError),
        ("Up/../per", "https://{bucket}.example", FormatError),
    ],
)
def test_only_web_addresses_and_plain_buckets_are_asked(
    name: str, endpoint: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Bucket(name, endpoint, QUICK, stop=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"attempts": 0}, {"timeout_s": 0.0}, {"pause_s": -1.0}])
def test_an_impossible_patience_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Patience(**options)


def test_a_download_needs_a_worker(cohort: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="worker"):
        fetch(cohort, tmp_path, workers=0)


def test_the_command_fetches_from_a_mirror(
    cohort: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("petcast.archive.collection.find_index", lambda: cohort.index)
    monkeypatch.setattr("petcast.archive.collection.index_version", lambda: "made up")
    out, mirror = tmp_path / "dx", cohort.bucket.endpoint
    call = ["archive", "lung-pet-ct-dx", "--download", str(out), "--mirror", mirror, "--json"]
    done = CliRunner().invoke(cli.app, [*call, "--subjects", "G0002"])
    assert done.exit_code == 0, done.output
    assert len(list((out / "G0002").rglob("*.dcm"))) == 7
    assert not (out / "A0001").exists()


@pytest.mark.parametrize("option", [("--subjects", "G0002"), ("--mirror", "https://host/{bucket}")])
def test_what_a_download_alone_heeds_is_not_ignored_without_one(option: tuple[str, str]) -> None:
    done = CliRunner().invoke(cli.app, ["archive", "lung-pet-ct-dx", *option])
    assert isinstance(done.exception, UsageError)
    assert "what --download DIR fetches" in str(done.exception)
