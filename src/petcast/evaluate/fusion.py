"""The slices in which CT and PET agree least: kept for the report, whatever part they are of."""

from pathlib import Path
from typing import Any

import numpy as np

from petcast.disk.durable import open_whole
from petcast.pairs import Pairs

PICTURES = 3
ARRAYS = {"ct": np.int16, "pet": np.float32, "regions": np.uint8}

Document = dict[str, Any]


def worst_studies(rows: list[Document]) -> list[tuple[str, int]]:
    """Choose the studies that the report shows, by the registration check's own figures.

    Args:
        rows: The studies of a pairs' index.

    Returns:
        Id and worst slice: first those with most warnings, then with the largest shift.
    """
    measured = [row for row in rows if row.get("registration")]
    ordered = sorted(measured, key=lambda row: (*_badness(row["registration"]), row["id"]))
    return [(row["id"], int(row["registration"]["worst_slice"])) for row in ordered[:PICTURES]]


def save_fusion(pairs: Pairs, path: Path) -> None:
    """Write registration.npz (docs/files.md).

    Args:
        pairs: All the pairs, not the evaluated part alone.
        path: The file.
    """
    studies = {study.id: study for study in pairs.studies()}
    worst = worst_studies(pairs.index["studies"])
    chosen = [(one, z) for one, z in worst if z < studies[one].slices]
    held: dict[str, Any] = {
        name: np.array([getattr(studies[one], name)[z] for one, z in chosen], kind)
        for name, kind in ARRAYS.items()
    }
    held["study"] = np.array([one for one, _ in chosen], np.str_)
    held["slice"] = np.array([z for _, z in chosen], np.int64)
    with open_whole(path) as stream:
        np.savez_compressed(stream, **held)


def _badness(found: Document) -> tuple[int, float]:
    parts = [found["body"], *found["lungs"].values()]
    shifts = [mm for part in parts for mm in part["shift_mm"] or () if mm is not None]
    shifts.append(found["dome_mm"] or 0.0)
    return -len(found["warnings"]), -max(map(abs, shifts))
