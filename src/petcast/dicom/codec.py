"""Compressed pixels, decoded in a process of their own.

Codecs are C libraries, and some damaged files crash them, hang them or make them ask for all the
memory there is. Such a file shall be refused, not end the work: the process is given up instead,
and the next file gets a new one.
"""

import atexit
import io
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from petcast.dicom.encoding import Layout
from petcast.refusal import Reason, RefusedError

PATIENCE_S = 3.0
PATIENCE_FRAME_S = 0.5
"""How long a codec may take, and how much more for each frame: a hundred times of what it needs."""

MEMORY_BYTES = 1 << 30
"""Address space of the process, beside a few times of what the pixels take."""
COPIES = 4

QUESTION = struct.Struct("<QQd")
"""Bytes of the file, how much memory its pixels take, and how many seconds they may."""
ANSWER = struct.Struct("<Q")
"""Bytes of the array that follows; 0 where the file could not be decoded."""
READY = b"r"
ARRAY_HEAD_BYTES = 4096
"""More than numpy writes before an array's values."""


class Codec:
    """A process that decodes one file after another; threads wait for each other."""

    def __init__(self) -> None:
        """Prepare it; the process starts with the first file, and that takes a second."""
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def decode(self, content: bytes, layout: Layout) -> NDArray[Any]:
        """Decode a file's pixels.

        Args:
            content: The whole DICOM file.
            layout: As its header declares it.

        Returns:
            Stored values, in whatever shape the codec gives them.

        Raises:
            RefusedError: CODEC.
        """
        with self._lock:
            answer = self._asked(content, layout)
        if not answer:
            raise _failed("The codec gave up")
        return np.asarray(np.load(io.BytesIO(answer), allow_pickle=False))

    def _asked(self, content: bytes, layout: Layout) -> bytes:
        """Ask, and give the process up unless its answer was taken whole."""
        process, patience_s = self._started(), PATIENCE_S + PATIENCE_FRAME_S * layout.frames
        killer = threading.Timer(patience_s, process.kill)
        killer.start()
        try:
            return _ask(process, content, layout.length, patience_s)
        except (OSError, EOFError):
            self.close()
            raise _failed("The codec crashed or hung") from None
        except BaseException:  # else the next file would get the rest of this one's answer
            self.close()
            raise
        finally:
            killer.cancel()

    def close(self) -> None:
        """End the process; the next file would start another one."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        with process:  # closes its pipes and waits for it
            pass

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self.close()  # it was killed while it waited; no file is to blame
        if self._process is None:
            environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            self._process = subprocess.Popen(  # noqa: S603  our own module
                [sys.executable, "-P", "-m", __name__],  # -P: never from the current folder
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # codecs print what they find, and it may be a name
                env=environment,
            )
            if _pipe(self._process.stdout).read(1) != READY:
                self.close()
                raise _failed("The codec could not be started")
        return self._process


def shared_codec() -> Codec:
    """Give the codec that this process uses.

    Returns:
        Always the same; it ends with the process. A fork gets one of its own: two processes on
        the same pipes would take each other's pixels.
    """
    return _codec_of(os.getpid())


@cache
def _codec_of(process_id: int) -> Codec:
    codec = Codec()
    atexit.register(_close_own, codec, process_id)
    return codec


def _close_own(codec: Codec, process_id: int) -> None:
    if os.getpid() == process_id:  # a fork inherits the handler, not the codec
        codec.close()


def _ask(process: subprocess.Popen[bytes], content: bytes, length: int, patience_s: float) -> bytes:
    sink, source = _pipe(process.stdin), _pipe(process.stdout)
    sink.write(QUESTION.pack(len(content), length, patience_s))
    sink.write(content)
    sink.flush()
    [size] = ANSWER.unpack(_read(source, ANSWER.size))
    if size > length + ARRAY_HEAD_BYTES:  # nothing from a process that met such bytes is believed
        raise EOFError
    return _read(source, size)


def _read(stream: BinaryIO, size: int) -> bytes:
    found = stream.read(size)
    if len(found) < size:
        raise EOFError
    return found


def _pipe(stream: Any) -> BinaryIO:
    pipe: BinaryIO = stream
    return pipe


def _failed(what: str) -> RefusedError:
    return RefusedError(Reason.CODEC, f"{what}; most likely the compressed pixels are damaged.")


# Inside the process


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer questions until there are no more.

    Args:
        source: Where files come from.
        sink: Where arrays go to.
    """
    from pydicom import dcmread

    dcmread(io.BytesIO(), force=True)  # everything slow is imported before the clock runs
    sink.write(READY)
    sink.flush()
    while len(head := source.read(QUESTION.size)) == QUESTION.size:
        size, length, patience_s = QUESTION.unpack(head)
        with _alarm(patience_s):
            answer = _answer(source.read(size), length)
        sink.write(ANSWER.pack(len(answer)) + answer)
        sink.flush()


def _answer(content: bytes, length: int) -> bytes:
    from pydicom import dcmread

    _limit_memory(MEMORY_BYTES + COPIES * (length + len(content)))
    stream = io.BytesIO()
    try:
        np.save(stream, dcmread(io.BytesIO(content)).pixel_array, allow_pickle=False)
    except Exception:  # noqa: BLE001  libraries raise nearly anything on damaged bytes
        return b""
    return stream.getvalue()


def _limit_memory(size: int) -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource  # Windows has none

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        soft = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def _alarm(patience_s: float) -> Iterator[None]:
    """Die of a hang even when the parent, which would kill, is dead itself."""
    if not hasattr(signal, "setitimer"):  # Windows
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, 2 * patience_s)  # its default action ends any C code too
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _own_output() -> BinaryIO:
    """Keep standard output for answers; what a codec prints there goes where its errors go."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return output


if __name__ == "__main__":
    serve(sys.stdin.buffer, _own_output())
