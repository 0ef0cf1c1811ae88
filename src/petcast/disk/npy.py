"""NumPy's files from disk: nothing is unpickled, and damage is a ValueError.

NumPy parses the head of an array as Python and an archive as a zip: what it raises of damaged ones
is anything from a syntax error to a missing codec.
"""

import tokenize
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

_OF_DAMAGE = (
    BadZipFile, EOFError, KeyError, NotImplementedError, RuntimeError, SyntaxError, TypeError,
    tokenize.TokenError, zlib.error,
)  # fmt: skip


def map_array(path: Path) -> NDArray[Any]:
    """Map an array into memory, to be read only.

    Args:
        path: A `.npy` file.

    Returns:
        The array; its values are read as they are asked for.

    Raises:
        OSError: The file is missing, or cannot be read.
        ValueError: It is damaged, another file, or holds Python's objects.
    """
    with _one_error():
        return np.lib.format.open_memmap(path, mode="r")


def read_arrays(
    path: Path, names: Sequence[str], perhaps: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    """Read arrays of an archive.

    Args:
        path: A `.npz` file.
        names: Of arrays that it must hold.
        perhaps: Of arrays that it may hold.

    Returns:
        The arrays by name.

    Raises:
        OSError: The file is missing, or cannot be read.
        ValueError: It is damaged, another file, lacks an array, or holds Python's objects.
    """
    with _one_error(), path.open("rb") as stream:
        archive = np.load(stream, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it is no archive of arrays")  # noqa: TRY004 - of the file, not a caller
        with archive:
            known = [*names, *(name for name in perhaps if name in archive)]
            return {name: archive[name] for name in known}


@contextmanager
def _one_error() -> Iterator[None]:
    try:
        yield
    except _OF_DAMAGE as error:
        raise ValueError(f"{error}") from error
