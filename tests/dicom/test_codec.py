"""Codecs work in a process of their own: what crashes or hangs there is refused."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

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


@pytest.mark.slow
def test_it_decodes_one_file_after_another(codec: Codec, content: bytes) -> None:
    first = codec.decode(content, LAYOUT)
    assert (first.shape, first.max()) == ((16, 16), 1054)
    assert np.array_equal(codec.decode(content, LAYOUT), first)


@pytest.mark.slow
def test_a_file_that_cannot_be_decoded_is_refused(codec: Codec, content: bytes) -> None:
    with refused():
        codec.decode(content[:-80], LAYOUT)
    assert codec.decode(content, LAYOUT).max() == 1054


def crash(process_id: int, end: int) -> None:
    os.kill(process_id, end)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSEGV])
def test_after_a_crash_the_next_file_gets_a_new_process(codec, content: bytes, end: int) -> None:
    codec.decode(content, LAYOUT)
    os.kill(codec._process.pid, signal.SIGSTOP)  # so that it dies over this file
    threading.Timer(0.1, crash, (codec._process.pid, end)).start()
    with refused():
        codec.decode(content, LAYOUT)
    assert codec.decode(content, LAYOUT).max() == 1054


@pytest.mark.slow
def test_no_file_is_blamed_for_a_process_that_was_killed_before(codec, content: bytes) -> None:
    codec.decode(content, LAYOUT)
    os.kill(codec._process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, codec._process.pid, os.WEXITED | os.WNOWAIT)
    assert codec.decode(content, LAYOUT).max() == 1054


@pytest.mark.slow
def test_after_an_interruption_no_file_gets_the_pixels_of_another(
    codec, content: bytes, monkeypatch
) -> None:
    other = content.replace((1054).to_bytes(2, "little"), (7).to_bytes(2, "little"))
    codec.decode(content, LAYOUT)
    with monkeypatch.context() as patch:
        patch.setattr(room, "_read", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            codec.decode(other, LAYOUT)
    assert codec.decode(content, LAYOUT).max() == 1054


@pytest.mark.slow
def test_threads_get_each_their_own_pixels(codec, export) -> None:
    for slice_ in export.ct:
        slice_.compress(RLELossless, generate_instance_uid=False)
    export.write()
    files = [export.path(number).read_bytes() for number in range(12)] * 2
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda whole: int(codec.decode(whole, LAYOUT).max()), files))
    assert found == [1024 + 10 * number for number in range(12)] * 2


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_gets_a_codec_of_its_own_and_leaves_the_parent_s_alone(content: bytes) -> None:
    code = (
        "import os, sys; from petcast.dicom.codec import Codec, shared_codec\n"
        "mine = shared_codec(); mine._started()\n"
        "if not os.fork(): sys.exit(7 if shared_codec() is mine else 0)\n"
        "assert os.wait()[1] == 0 and mine._process.poll() is None"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


@pytest.mark.slow
def test_it_ends_by_itself_where_nobody_is_left_to_kill_it(codec, content: bytes) -> None:
    pytest.importorskip("resource")
    code = (
        "import time; from petcast.dicom.codec import _alarm\nwith _alarm(0.05): time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=30)
    assert done.returncode == -signal.SIGALRM


@pytest.mark.slow
def test_what_a_codec_prints_is_no_answer() -> None:
    code = (
        "import os; from petcast.dicom.codec import _own_output\n"
        "sink = _own_output(); os.write(1, b'noise'); sink.write(b'answer'); sink.flush()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"answer", b"noise")


@pytest.mark.slow
def test_an_answer_larger_than_the_pixels_is_refused(codec, content: bytes) -> None:
    small = dataclasses.replace(LAYOUT, rows=1, columns=1)
    codec.decode(content, small)  # 512 bytes fit beside numpy's head
    with refused(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "ARRAY_HEAD_BYTES", 100)
        codec.decode(content, small)
    assert codec._process is None


@pytest.mark.slow
def test_a_codec_that_hangs_is_given_up(codec, content: bytes, monkeypatch) -> None:
    codec.decode(content, LAYOUT)
    monkeypatch.setattr(room, "PATIENCE_S", 0.1)
    os.kill(codec._process.pid, signal.SIGSTOP)
    with refused():
        codec.decode(content, LAYOUT)
    assert codec._process is None


@pytest.mark.slow
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
