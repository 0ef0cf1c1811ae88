"""Names of files for libraries that take no others than text.

On Linux a name is any bytes. Folders that came from other systems may have names in Latin-1, which
Python carries through and SimpleITK (which then aborts) and safetensors do not.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def text_name(path: Path) -> Iterator[str]:
    """Name a file so that libraries written in other languages open the same one.

    Args:
        path: A file. Where its own name is no UTF-8 it exists, if only empty, and is not replaced
            by another one inside the block.

    Yields:
        The path itself, or a link to it with the same ending that goes when the block ends.
    """
    if _is_utf8(str(path)):
        yield str(path)
        return
    with TemporaryDirectory(prefix="petcast-") as place:
        yield _linked(path.absolute(), Path(place))


def _linked(path: Path, place: Path) -> str:
    if _is_utf8(path.name):  # by its folder, so that the file may be replaced
        (place / "folder").symlink_to(path.parent)
        return str(place / "folder" / path.name)
    ending = ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix
    link = place / f"file{ending}"
    link.symlink_to(path)
    return str(link)


def _is_utf8(name: str) -> bool:
    """Whether the system knows the file by the bytes that others make of its name."""
    try:
        return name.encode() == os.fsencode(name)
    except UnicodeEncodeError:
        return False
