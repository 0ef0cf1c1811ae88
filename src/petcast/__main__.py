"""Where every command starts: `petcast`, `python -m petcast`, `torchrun … -m petcast train …`.

Imports take most of a command's first seconds, and Ctrl-C ends them as quietly as the work itself.
So nothing that is slow to import may stand above `main`.
"""

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

STATUS = 128 + signal.SIGINT
"""What a shell calls the status of whom Ctrl-C ended."""

PAUSE_S = 0.02


def main() -> None:
    """Run the command line; Ctrl-C ends it with status 130 and without a traceback, at any time."""
    _at_ctrl_c(_leave)
    try:
        _run()
    except KeyboardInterrupt:  # outside of what typer guards
        sys.exit(STATUS)


def _run() -> None:
    """Import, and work: what works may have something to put in order before it ends."""
    from petcast import cli

    try:
        _at_ctrl_c(_Interruption().tell)
        cli.main()
    finally:
        _at_ctrl_c(_leave)


class _Interruption:
    """Interrupts a command, but not its imports: torch's would abort or end in other errors."""

    waits = False

    def tell(self, _: int, frame: FrameType | None) -> None:
        if not _imports(frame):
            raise KeyboardInterrupt
        if self.waits:  # Ctrl-C once more
            _leave()
        self.waits = True
        again = threading.Timer(PAUSE_S, self._try_again)
        again.daemon = True
        again.start()

    def _try_again(self) -> None:
        self.waits = False
        if hasattr(signal, "pthread_kill"):  # wakes it where it sleeps
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        else:  # Windows
            _thread.interrupt_main()


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False


def _at_ctrl_c(do: Callable[..., None]) -> None:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # by nohup, or in a background
        signal.signal(signal.SIGINT, do)


def _leave(*_: object) -> None:
    os._exit(STATUS)


if __name__ == "__main__":
    main()
