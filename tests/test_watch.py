"""What measures the cost of mutated files does see it: those tests can fail."""

import mmap
import os
import time
from pathlib import Path

import pytest

from petcast.dicom.codec import shared_codec


def test_the_watch_sees_memory_here_and_in_the_codec(watch, monkeypatch) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("this system tells no peak")
    with watch.step():
        shared_codec()._started()
    alone = watch.most_bytes
    assert alone > 20 << 20  # an interpreter with pydicom and numpy
    with watch.step():
        shared_codec()._started()
        with mmap.mmap(-1, 64 << 20) as fresh:  # never memory that was kept from an earlier test
            fresh.write(os.urandom(1 << 20) * 64)
    assert watch.most_bytes > alone + (50 << 20)
    monkeypatch.setattr(type(watch), "MOST_BYTES", alone)
    with pytest.raises(AssertionError, match="MiB"):
        watch.judge("a hungry step")


def test_the_watch_sees_a_hang(watch, monkeypatch: pytest.MonkeyPatch) -> None:
    with watch.step():
        time.sleep(0.02)
    monkeypatch.setattr(type(watch), "LONGEST_S", 0.01)
    with pytest.raises(AssertionError, match="longest"):
        watch.judge("a slow step")
