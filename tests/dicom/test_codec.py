"""Codecs work in a process of their own: what crashes or hangs there is refused."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from pydicom.uid import RLELossless

from petcast.dicom import codec as room
from petcast.dicom.codec import Codec
from petcast.dicom.encoding import Layout
from petcast.refusal import Reason, RefusedError

LAYOUT = Layout(16, 16, 1, 1, 16, "MONOCHROME2", signed=True)


@pytest.fixture
def codec() -> Iterator[Codec]:
    one = Codec()
    yield one
    one.close()


@pytest.fixture
def content(export) -> bytes:
    export.ct[3].compress(RLELossless, generate_instance_uid=False)
    export.write()
    return export.path(3).read_bytes()


@contextlib.contextmanager
def refused() -> Iterator[None]:
    with pytest.raises(RefusedError) as error:
        yield
    assert error.value.refusal.reason is Reason.CODEC


def test_it_decodes_one_file_after_another(codec: Codec, content: bytes) -> None:
    first = codec.decode(content, LAYOUT)
    assert (first.shape, first.max()) == ((16, 16), 1054)
    assert np.array_equal(codec.decode(content, LAYOUT), first)


def test_a_file_that_cannot_be_decoded_is_refused(codec: Codec, content: bytes) -> None:
    with refused():
        codec.decode(content[:-80], LAYOUT)
    assert codec.decode(content, LAYOUT).max() == 1054


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSEGV])
def test_after_a_crash_the_next_file_gets_a_new_process(codec, content: bytes, end: int) -> None:
    codec.decode(content, LAYOUT)
    os.kill(codec._process.pid, end)
    with refused():
        codec.decode(content, LAYOUT)
    assert codec.decode(content, LAYOUT).max() == 1054


def test_a_codec_that_hangs_is_given_up(codec, content: bytes, monkeypatch) -> None:
    codec.decode(content, LAYOUT)
    monkeypatch.setattr(room, "PATIENCE_S", 0.1)
    os.kill(codec._process.pid, signal.SIGSTOP)
    with refused():
        codec.decode(content, LAYOUT)
    assert codec._process is None


def test_a_codec_that_wants_all_the_memory_is_refused() -> None:
    pytest.importorskip("resource")
    code = (
        "import numpy as np; from petcast.dicom.codec import _limit_memory;"
        "_limit_memory(1 << 30); np.ones(1 << 28)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert b"MemoryError" in done.stderr


def test_an_interpreter_that_does_not_start_is_refused(codec, content, monkeypatch) -> None:
    monkeypatch.setattr(room.sys, "executable", "/bin/false")
    with refused():
        codec.decode(content, LAYOUT)
