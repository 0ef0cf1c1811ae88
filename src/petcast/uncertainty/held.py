"""Voxels of many patients in a file of its own: in memory is one patient at a time."""

import tempfile
import weakref
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from petcast.uncertainty.calibrate import Voxels


class HeldVoxels(Mapping[str, Voxels]):
    """Error and spread of each patient, read anew whenever they are asked for.

    Args:
        folder: Where the file lies, without a name: nothing remains of it, whatever happens.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._parts: dict[str, list[tuple[int, int]]] = defaultdict(list)

    def add(self, patient: str, voxels: Voxels) -> None:
        """Write the voxels of a study.

        Args:
            patient: Whose it is; several studies of a patient add up.
            voxels: Of the study, float32; none at all are no part.
        """
        if voxels.error.size:
            self._parts[patient].append((self._file.seek(0, 2), voxels.error.size))
            for values in (voxels.error, voxels.spread):
                self._file.write(np.ascontiguousarray(values, np.float32).data)

    def __getitem__(self, patient: str) -> Voxels:
        if patient not in self._parts:
            raise KeyError(patient)
        return Voxels.joined([self._read(*part) for part in self._parts[patient]])

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def _read(self, start: int, count: int) -> Voxels:
        self._file.seek(start)
        error, spread = (np.fromfile(self._file, np.float32, count) for _ in range(2))
        return Voxels(error, spread)
