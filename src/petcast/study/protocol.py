"""The two protocols: how the same pairs are divided, and which epoch speaks for a generator.

*published*: slices are shuffled, 400 to train on and 64 to test on (of other numbers the same
share); of the test metrics after each epoch the best is reported, metric by metric. So petcast
reads the paper, which does not say how it divided its pairs (decision 3).

*sound*: whole patients are divided; the epoch is chosen on validation patients, or is the last one
where there are none; the mean over test patients is reported, with its interval.

Either division is an index that points to the same voxels (`petcast.pairs.voxels`).
"""

from pathlib import Path
from typing import Literal, get_args

from petcast.pairs import Document, Pairs, write_index
from petcast.pairs.leaks import contents_of, find_leaks, leak_rows
from petcast.pairs.shuffle import split_by_slice
from petcast.pairs.split import PARTS, Split, split_by_seed
from petcast.pairs.voxels import point_to
from petcast.recipe import PreparationRecipe

Protocol = Literal["published", "sound"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

PAIRS_FOLDER = "pairs"
RUNS_FOLDER = "runs"


def pairs_folder(study: Path, protocol: Protocol) -> Path:
    """Where a protocol's division lies.

    Args:
        study: The study's folder.
        protocol: Which.

    Returns:
        A folder of pairs, as `petcast train` and `evaluate` take it.
    """
    return study / protocol / PAIRS_FOLDER


def run_folder(study: Path, protocol: Protocol, generator: str) -> Path:
    """Where a generator's run lies.

    Args:
        study: The study's folder.
        protocol: Which.
        generator: Its name.

    Returns:
        The run's folder.
    """
    return study / protocol / RUNS_FOLDER / generator


def divide(pairs: Pairs, protocol: Protocol, out: Path) -> Pairs:
    """Write a protocol's division of some pairs; no voxel is read or copied.

    Pairs that are divided by patient already, by a seed, by folds or by a file, keep their division
    under the sound protocol.

    Args:
        pairs: Prepared, divided in any way.
        protocol: Which.
        out: The division's folder.

    Returns:
        The division, opened.
    """
    index = dict(pairs.index)
    published = index.get("split", {}).get("kind") == "published"
    if published != (protocol == "published"):
        index |= _divided(pairs, _split(pairs, protocol))
    out.mkdir(parents=True, exist_ok=True)
    point_to(out, pairs.path)
    write_index(out, index)
    return Pairs.open(out)


def empty_parts(division: Pairs) -> list[str]:
    """Say which parts hold nobody.

    Args:
        division: Of the pairs.

    Returns:
        Names of parts without a slice.
    """
    return [part for part in PARTS if not division.studies(part)]


def _split(pairs: Pairs, protocol: Protocol) -> Split:
    knobs = PreparationRecipe.model_validate(pairs.index["preparation"] | {"split": "patient"})
    patient_of = {study.id: study.patient for study in pairs.studies()}
    if protocol == "published":
        slices_of = {study.id: study.slices for study in pairs.studies()}
        return split_by_slice(slices_of, patient_of, knobs.seed)
    rows = pairs.index["studies"]
    diagnoses = {row["patient"]: row["diagnosis"] for row in rows if row.get("diagnosis")}
    return split_by_seed(set(patient_of.values()), knobs, diagnoses)


def _divided(pairs: Pairs, split: Split) -> Document:
    """What a division changes in the index."""
    rows = [_placed(row, split) for row in pairs.index["studies"]]
    leaks = find_leaks(contents_of(pairs.path, rows))
    kind = "published" if split.kind == "published" else "patient"
    whole = {"folds": 0, "fold": 0} if kind == "published" else {}  # slices know no folds
    return {
        "preparation": pairs.index["preparation"] | {"split": kind} | whole,
        "split": split.to_json(),
        "parts": split.parts(),
        "audit": {"leaks": leak_rows(leaks), "clean": not leaks},
        "studies": rows,
    }


def _placed(row: Document, split: Split) -> Document:
    kept = {key: value for key, value in row.items() if key not in ("part", "ranges")}
    return kept | split.place(row["id"], row["patient"])
