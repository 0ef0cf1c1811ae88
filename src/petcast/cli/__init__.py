"""The command line: parse, call, print. No logic lives here.

    data      from an export to pairs
    learning  from pairs to a report
    reading   experts who judge it
    common    what all commands share
    tables    documents as a terminal shows them

Libraries that are slow to import are imported by the command that needs them, so that
`petcast --help` answers at once. Results go to standard output, everything else to standard
error; `--json` prints one document on standard output and nothing else.
"""

import codecs
import errno
import io
import logging
import sys
from typing import Annotated

import typer

import petcast
from petcast.cli import data, learning, reading
from petcast.cli.common import say
from petcast.errors import PetcastError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
IN_THE_WAY = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)
"""A file where a folder was to be made, or the reverse, or a name that no disk takes."""
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
GONE = (
    errno.EIO, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT, errno.ENOTCONN, errno.ESTALE,
    errno.EHOSTDOWN, errno.EHOSTUNREACH,
)  # fmt: skip
"""A disk that fails, or a share that is not there any more."""
UNSTEADY = (errno.ENOENT, errno.ESRCH, errno.EINVAL, errno.EOPNOTSUPP)
"""Where a file is named: it vanished after it was listed, or lies where names are no real files, as
below /proc. Without a name it would be a mistake of the program's own."""
REMEDIES = {
    **dict.fromkeys(NO_ROOM, "make room and give the command again"),
    **dict.fromkeys(CLOSED, "have this place opened to you, or give another"),
    **dict.fromkeys(GONE, "look after the disk or the share, and give the command again"),
    **dict.fromkeys(UNSTEADY, "look whether it is still there, or give another place"),
}
NO_PLACE = "No usable temporary directory"
"""How `tempfile` begins to say that its folders are full or read-only; it names no file."""
PRINTABLE = "petcast-printable"
LOOP = "Symlink loop"
"""How `Path.resolve` begins to say it before Python 3.13."""

app = typer.Typer(
    name="petcast",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its traceback would print local variables: identities
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Cast a PET from a CT: HU in, SUV out. Research only; a PET made from a CT measures "
    "no tracer.",
)

for command in (
    learning.demo,
    learning.models,
    data.scan,
    data.suv,
    data.prepare,
    data.audit,
    learning.train,
    learning.predict,
    learning.calibrate,
    learning.evaluate,
    learning.study,
    learning.report,
    reading.reading,
    data.archive,
    data.phantom,
):
    app.command()(command)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options that stand before a command."""
    if version:
        typer.echo(petcast.__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; the exit status is that of the contract in its documentation."""
    logging.basicConfig(format="%(levelname)s: %(message)s", stream=sys.stderr)
    if isinstance(sys.stdout, io.TextIOWrapper):  # tables hold signs that not every locale has
        codecs.register_error(PRINTABLE, _printable)
        sys.stdout.reconfigure(errors=PRINTABLE)
    try:
        app()
    except PetcastError as error:
        _fail(str(error), error.exit_status)
    except OSError as error:
        if (told := _told_of(error)) is None:
            raise
        _fail(*told)
    except MemoryError as error:
        said = str(error) or "no more is said"
        remedy = "free what others take of it, and give the command again"
        _fail(f"this needs more memory than there is ({said}); nothing was damaged: {remedy}", 2)
    except RuntimeError as error:
        if not str(error).startswith(LOOP):
            raise
        _fail(f"{error}; give another place", 2)


def _printable(error: UnicodeError) -> tuple[bytes | str, int]:
    """Print a path's bytes as they came, so that it can be copied, and ? for what is no byte."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    first = ord(error.object[error.start])
    escaped = 0xDC80 <= first <= 0xDCFF
    return bytes([first - 0xDC00]) if escaped else "?", error.start + 1


def _told_of(error: OSError) -> tuple[str, int] | None:
    """What the system refused, and the status; None of a mistake of the program's own."""
    said = error.strerror or ""
    if error.errno in IN_THE_WAY:
        where = error.filename2 or error.filename or "the way"
        return f"{where}: {said}; give another place", 2
    if said.startswith(NO_PLACE):
        remedy = "make room there, or set TMPDIR to a folder that can be written"
        return f"{said}; nothing was damaged; {remedy}", 3
    remedy = REMEDIES.get(error.errno or 0, "")
    if not remedy or (error.errno in UNSTEADY and error.filename is None):
        return None
    where = error.filename or "while writing"
    return f"{said}: {where}; nothing was damaged; {remedy}", 3


def _fail(text: str, status: int) -> None:
    say(f"petcast: {text}")
    raise SystemExit(status)
