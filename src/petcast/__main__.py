"""Where every command starts: `petcast`, `python -m petcast`, `torchrun … -m petcast train …`.

Imports take most of a command's first second, and Ctrl-C ends them as quietly as the work itself.
So nothing that is slow to import may stand above `main`.
"""

import os
import signal
import sys
from collections.abc import Callable

STATUS = 128 + signal.SIGINT
"""What a shell calls the status of whom Ctrl-C ended."""


class _Interruption:
    """Tells a command of Ctrl-C, and remembers it."""

    told = False

    def tell(self, *_: object) -> None:
        self.told = True
        raise KeyboardInterrupt


def main() -> None:
    """Run the command line; Ctrl-C ends it with status 130 and without a traceback, at any time."""
    _at_ctrl_c(_leave)
    interruption = _Interruption()
    try:
        _run(interruption)
    except BaseException as error:
        # A library whose import was interrupted may say so in an error of its own
        if isinstance(error, SystemExit) or not interruption.told:
            raise
        sys.exit(STATUS)


def _run(interruption: _Interruption) -> None:
    """Import, and work: what works may have something to put in order before it ends."""
    from petcast import cli

    try:
        _at_ctrl_c(interruption.tell)
        cli.main()
    finally:
        _at_ctrl_c(_leave)


def _at_ctrl_c(do: Callable[..., None]) -> None:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # by nohup, or in a background
        signal.signal(signal.SIGINT, do)


def _leave(*_: object) -> None:
    os._exit(STATUS)


if __name__ == "__main__":
    main()
