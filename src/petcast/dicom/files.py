"""Paths of a series, packed: those of a large cohort would fill the memory, so alike are they."""

import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

FAST = 1


class Files(Sequence[Path]):
    """Paths in an order, some bytes each.

    Example:
        >>> files = Files([Path("a/1"), Path("a/2")])
        >>> len(files), files[1].name, files == (Path("a/1"), Path("a/2"))
        (2, '2', True)
    """

    __slots__ = ("_count", "_packed")

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        names = [os.fsencode(path) for path in paths]
        self._count = len(names)
        self._packed = zlib.compress(b"\0".join(names), FAST) if names else b""

    def __iter__(self) -> Iterator[Path]:
        if not self._count:
            return iter(())
        names = zlib.decompress(self._packed).split(b"\0")
        return (Path(os.fsdecode(name)) for name in names)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Path: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Path, ...]: ...

    def __getitem__(self, index: int | slice) -> Path | tuple[Path, ...]:
        return tuple(self)[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Files):
            return self._packed == other._packed
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(self._packed)

    def __repr__(self) -> str:
        return f"Files({self._count})"  # the paths may name a patient
