"""Voxels as they are written, and pairs divided anew without copying one: an index and a pointer.

    DIVISION/pairs.json     an index of its own: who trains, validates, tests
    DIVISION/voxels.json    where the studies that it names lie

The pointer is a file of its own, so that the index, which runs copy, holds no path.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petcast.disk.durable import read_json, write_json
from petcast.errors import FormatError

VOXELS_FILE = "voxels.json"


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write the same bytes as `np.save`, which of a full disk tells neither reason nor file.

    Args:
        path: An `.npy` file.
        array: In C's order.

    Raises:
        OSError: The disk is full, or cannot be written to; with the system's own number.
    """
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(
            stream, np.lib.format.header_data_from_array_1_0(array)
        )
        stream.write(array.data)


def point_to(folder: Path, pairs: Path) -> None:
    """Let a folder's index speak of the studies in another folder.

    Args:
        folder: Holds the index.
        pairs: The folder that `petcast prepare` wrote.
    """
    target, here = voxels_of(pairs).resolve(), folder.resolve()
    try:  # relative, so that both can move together and no name of a folder above them is told
        named = os.path.relpath(target, here)
    except ValueError:  # another drive of Windows
        named = str(target)
    write_json(folder / VOXELS_FILE, {"pairs": named})


def voxels_of(folder: Path) -> Path:
    """Say where the voxels of some pairs lie.

    Args:
        folder: Pairs, or a division of some.

    Returns:
        The folder itself, or the one that its pointer names.

    Raises:
        FormatError: The pointer is damaged, or what it names has gone.
    """
    pointer = folder / VOXELS_FILE
    if not pointer.exists():
        return folder
    document = read_json(pointer)
    named = document.get("pairs") if isinstance(document, dict) else None
    if not isinstance(named, str) or not (folder.resolve() / named).is_dir():
        raise FormatError(
            f"{pointer} names pairs that are not there; give the command that wrote it again, with "
            "the pairs where they lie now"
        )
    return folder.resolve() / named
