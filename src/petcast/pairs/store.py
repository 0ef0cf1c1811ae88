"""Pairs on disk: aligned CT and PET slices, memory-mapped, without identities.

    PAIRS/pairs.json                  the index; written last
    PAIRS/studies/<id>/ct.npy         int16 HU (z, y, x)
    PAIRS/studies/<id>/pet.npy        float32 SUV
    PAIRS/studies/<id>/regions.npy    uint8: 0 outside, 1 body, 2 lungs
    PAIRS/studies/<id>/lesions.npy    uint8, only where the cohort came with lesion masks
    PAIRS/studies/<id>/card.json      grid, rules, hashes

docs/files.md describes each key. `petcast.prepare` writes it, everything after reads it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petcast.disk.durable import (
    read_json,
    require_known_format,
    sha256_of,
    write_directory,
    write_json,
)
from petcast.disk.npy import map_array
from petcast.errors import FormatError, UsageError
from petcast.grid import part_of
from petcast.pairs.content import slice_hashes
from petcast.pairs.split import MIXED, PARTS, Range
from petcast.pairs.voxels import save_array, voxels_of
from petcast.volume import Grid

FORMAT = 1
"""Version of the layout; a reader refuses a newer one."""

INDEX_FILE = "pairs.json"
CARD_FILE = "card.json"
STUDIES_FOLDER = "studies"

ARRAYS: Mapping[str, np.dtype[Any]] = {
    "ct": np.dtype("<i2"),
    "pet": np.dtype("<f4"),
    "regions": np.dtype("u1"),
    "lesions": np.dtype("u1"),
}
"""The arrays of a study and their types; `lesions` may be missing."""

OPEN_MAPS = 200
"""Memory maps kept open at once: each holds a file handle, and systems allow about 1000."""

Document = dict[str, Any]


@dataclass(frozen=True)
class PairedStudy:
    """One study's slices; the arrays are read from disk as they are indexed.

    Attributes:
        id: Pseudonym of the study.
        patient: Pseudonym of its patient.
        part: "train", "validation" or "test"; "mixed" where its slices are in several.
        slices: How many.
        grid: Where the voxels lie.
        folder: Where the arrays lie.
        hash: SHA-256 of the content.
        first: The number of its first slice in the stored arrays.
        ranges: Of a mixed study, the runs of slices of each part.
    """

    id: str
    patient: str
    part: str
    slices: int
    grid: Grid
    folder: Path
    hash: str
    first: int = 0
    ranges: Mapping[str, Sequence[Range]] = field(default_factory=dict)

    def runs(self, part: str) -> list["PairedStudy"]:
        """Its slices of a part.

        Args:
            part: "train", "validation" or "test".

        Returns:
            The study itself or nothing; of a mixed one, each run of neighbouring slices, with the
            study's id, a colon and the number of the run's first slice for an id.
        """
        if self.part != MIXED:
            return [self] if self.part == part else []
        return [self._run(part, *run) for run in self.ranges.get(part, ())]

    def _run(self, part: str, start: int, stop: int) -> "PairedStudy":
        return replace(
            self,
            id=f"{self.id}:{start}",
            part=part,
            slices=stop - start,
            grid=part_of(self.grid, slice(start, stop)),
            first=start,
            ranges={},
        )

    def _array(self, name: str) -> NDArray[Any]:
        whole = _mapped(self.folder / f"{name}.npy", self.hash)
        return whole[self.first : self.first + self.slices]

    @property
    def ct(self) -> NDArray[np.int16]:
        """HU, (z, y, x), read only."""
        return self._array("ct")

    @property
    def pet(self) -> NDArray[np.float32]:
        """SUV of body weight in g/mL, (z, y, x), read only."""
        return self._array("pet")

    @property
    def regions(self) -> NDArray[np.uint8]:
        """0 outside, 1 body, 2 lungs, (z, y, x), read only."""
        return self._array("regions")

    @property
    def lesions(self) -> NDArray[np.uint8] | None:
        """1 in lesions, (z, y, x), read only; None where the cohort came without masks."""
        return self._array("lesions") if (self.folder / "lesions.npy").exists() else None


class Pairs:
    """A folder of pairs.

    Attributes:
        path: The folder.
        index: What pairs.json holds.
    """

    def __init__(self, path: Path, index: Document, studies: Sequence[PairedStudy]) -> None:
        self.path = path
        self.index = index
        self._studies = tuple(studies)

    @classmethod
    def open(cls, path: Path) -> "Pairs":
        """Open a folder of pairs; the arrays' types and sizes are checked, not their content.

        Args:
            path: The folder that `petcast prepare` wrote.

        Returns:
            The pairs.

        Raises:
            FormatError: It is not whole, damaged, or of a newer petcast.
            UsageError: It is no folder of pairs.
        """
        index = _read_index(path)
        studies = [_open_study(path, row) for row in _rows(path, index)]
        return cls(path, index, studies)

    def studies(self, part: str | None = None) -> list[PairedStudy]:
        """List the studies of a part.

        Args:
            part: "train", "validation" or "test"; all where None.

        Returns:
            The studies, in the order of their ids; of mixed ones the runs of their slices, where
            a part is asked for (see `PairedStudy.runs`).

        Raises:
            UsageError: There is no such part.
        """
        if part is not None and part not in PARTS:
            raise UsageError(f"there is no part {part!r}; choose one of {', '.join(PARTS)}")
        if part is None:
            return list(self._studies)
        return [run for study in self._studies for run in study.runs(part)]

    def verify(self) -> None:
        """Compare every array with its hash; reads all of them.

        Raises:
            FormatError: An array has changed since it was written.
        """
        for study in self._studies:
            verify_study(study.folder)


# Writing


def study_folder(pairs: Path, study_id: str) -> Path:
    """Where a study lies.

    Args:
        pairs: A folder of pairs.
        study_id: The study's pseudonym.

    Returns:
        Its folder, existing or not.
    """
    return voxels_of(pairs) / STUDIES_FOLDER / study_id


def write_study(
    folder: Path, arrays: Mapping[str, NDArray[Any]], grid: Grid, facts: Document
) -> Document:
    """Write a study's folder, whole or not at all.

    Args:
        folder: Its final name.
        arrays: "ct", "pet", "regions" and perhaps "lesions", each on `grid`.
        grid: Where the voxels lie.
        facts: What else the card shall hold, JSON values only.

    Returns:
        The card.
    """
    card: Document = {}
    content = {name: slice_hashes(arrays[name], ARRAYS[name]) for name in ("ct", "pet")}

    def fill(partial: Path) -> None:
        hashes = {}
        for name in sorted(arrays):
            path = partial / f"{name}.npy"
            save_array(path, np.ascontiguousarray(arrays[name], ARRAYS[name]))
            hashes[name] = sha256_of(path)
        place = {"shape": list(grid.shape), "affine": grid.affine.tolist()}
        card.update({"format": FORMAT, **facts, "grid": place, "arrays": hashes})
        card["slice_hashes"] = content
        card["hash"] = _sha256_of_json({"grid": place, "arrays": hashes})
        write_json(partial / CARD_FILE, card)

    write_directory(folder, fill)
    return card


def write_index(pairs: Path, index: Document) -> Document:
    """Write pairs.json, its hash included.

    Args:
        pairs: The folder of pairs.
        index: Everything else that it shall hold; `studies` in the order of their ids.

    Returns:
        What was written.
    """
    named = [[row["id"], row.get("ranges", row["part"]), row["hash"]] for row in index["studies"]]
    whole = {"format": FORMAT, **index, "hash": _sha256_of_json(named)}
    write_json(pairs / INDEX_FILE, whole)
    return whole


# Reading


def read_card(folder: Path) -> Document:
    """Read a study's card.

    Args:
        folder: The study's folder.

    Returns:
        What it holds.

    Raises:
        FormatError: It is missing, damaged, or of a newer petcast.
    """
    return _read_document(folder / CARD_FILE)


def verify_study(folder: Path) -> Document:
    """Compare a study's arrays with the hashes on its card.

    Args:
        folder: The study's folder.

    Returns:
        The card.

    Raises:
        FormatError: Something is missing or has changed.
    """
    card = read_card(folder)
    for name, expected in _table(card, "arrays", folder).items():
        path = folder / f"{name}.npy"
        if not path.is_file() or sha256_of(path) != expected:
            raise FormatError(f"{path} is missing or has changed; {_AGAIN}")
    return card


_AGAIN = "give the same `petcast prepare` again, it makes anew what is missing"


def _read_index(pairs: Path) -> Document:
    path = pairs / INDEX_FILE
    if path.is_file():
        return _read_document(path)
    if (pairs / STUDIES_FOLDER).is_dir():
        raise FormatError(f"{path} is missing: preparation has not ended; {_AGAIN}")
    raise UsageError(f"{pairs} is no folder of pairs; `petcast prepare … --out {pairs}` makes one")


def _read_document(path: Path) -> Document:
    document = read_json(path)
    written = document.get("format") if isinstance(document, dict) else None
    if not isinstance(written, int):
        raise FormatError(f"{path} names no format; {_AGAIN}")
    require_known_format(written, FORMAT, path)
    return dict(document)


def _rows(pairs: Path, index: Document) -> list[Document]:
    rows = index.get("studies")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise FormatError(f"{pairs / INDEX_FILE} lists no studies; {_AGAIN}")
    return rows


def _table(card: Document, key: str, folder: Path) -> Document:
    table = card.get(key)
    if not isinstance(table, dict):
        raise FormatError(f"{folder / CARD_FILE} has no {key!r}; {_AGAIN}")
    return table


def _open_study(pairs: Path, row: Document) -> PairedStudy:
    try:
        study_id, patient, part = (str(row[key]) for key in ("id", "patient", "part"))
        expected = str(row["hash"])
    except KeyError as error:
        raise FormatError(f"{pairs / INDEX_FILE}: a study has no {error}; {_AGAIN}") from None
    folder = study_folder(pairs, study_id)
    if Path(study_id).name != study_id or part not in (*PARTS, MIXED):
        raise FormatError(f"{pairs / INDEX_FILE}: a study has an impossible id or part; {_AGAIN}")
    card = read_card(folder)
    if card.get("hash") != expected:
        raise FormatError(f"{folder} is not the study that the index names; {_AGAIN}")
    grid = _grid(card, folder)
    for name in _table(card, "arrays", folder):
        _require_whole(folder / f"{name}.npy", name, grid.shape)
    ranges = _ranges(pairs, row, grid.shape[0]) if part == MIXED else {}
    slices = grid.shape[0]
    return PairedStudy(study_id, patient, part, slices, grid, folder, expected, ranges=ranges)


def _ranges(pairs: Path, row: Document, slices: int) -> dict[str, list[Range]]:
    try:
        ranges = {
            part: [(int(start), int(stop)) for start, stop in row["ranges"][part]] for part in PARTS
        }
    except (KeyError, TypeError, ValueError):
        ranges = {}
    runs = [run for part in ranges.values() for run in part]
    if not runs or not all(0 <= start < stop <= slices for start, stop in runs):
        raise FormatError(f"{pairs / INDEX_FILE}: a study's slices have impossible parts; {_AGAIN}")
    return ranges


def _grid(card: Document, folder: Path) -> Grid:
    place = _table(card, "grid", folder)
    try:
        z, y, x = (int(n) for n in place["shape"])
        affine = np.array(place["affine"], dtype=np.float64).reshape(4, 4)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{folder / CARD_FILE}: its grid is damaged; {_AGAIN}") from error
    return Grid((z, y, x), affine)


def _require_whole(path: Path, name: str, shape: tuple[int, int, int]) -> None:
    """Check an array's head and its length on disk, without reading its values."""
    try:
        array = map_array(path)
    except FileNotFoundError:
        raise FormatError(f"{path} is missing; {_AGAIN}") from None
    except (ValueError, OSError) as error:
        raise FormatError(f"{path} is damaged or cut off; {_AGAIN}") from error
    expected = ARRAYS.get(name)
    if array.dtype != expected or array.shape != shape:
        raise FormatError(
            f"{path} holds {array.dtype} {array.shape}, expected {expected} {shape}; {_AGAIN}"
        )


@lru_cache(maxsize=OPEN_MAPS)
def _mapped(path: Path, content: str) -> NDArray[Any]:  # noqa: ARG001  other content, another map
    return map_array(path)


def _sha256_of_json(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
