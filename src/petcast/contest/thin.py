"""Fewer slices of some pairs: for a sweep in an hour, and for timing a few steps."""

from collections.abc import Callable
from pathlib import Path

from petcast.pairs import Document, PairedStudy, Pairs, study_folder, write_index, write_study
from petcast.pairs.voxels import point_to
from petcast.volume import Grid

TEST_STEP = 4

Choose = Callable[[PairedStudy], slice | None]


def thinned(data: Path, out: Path, every: int) -> Path:
    """Take every so many slices to train on, a quarter of that to test on.

    Args:
        data: A folder of pairs.
        out: The new one; where it exists, it is taken as it is.
        every: So many slices to train on.

    Returns:
        `out`.
    """

    def choose(study: PairedStudy) -> slice:
        return slice(0, None, every if study.part == "train" else every * TEST_STEP)

    return cut(data, out, choose)


def portion(data: Path, out: Path, slices: int) -> Path:
    """Take some slices to train on, evenly spread over a study, and nothing else.

    Args:
        data: A folder of pairs.
        out: The new one; where it exists, it is taken as it is.
        slices: How many; fewer where the first training study has no more.

    Returns:
        `out`.
    """
    first = Pairs.open(data).studies("train")[0]
    step = max(1, first.slices // slices)

    def choose(study: PairedStudy) -> slice | None:
        return slice(0, step * slices, step) if study.id == first.id else None

    return cut(data, out, choose)


def unscored(data: Path, out: Path) -> Path:
    """Leave the test patients out, so that no epoch of a training is spent on scoring them.

    Args:
        data: A folder of pairs.
        out: Gets an index that points to the same voxels; it is written anew.

    Returns:
        `out`.
    """
    index = Pairs.open(data).index
    rows = [row for row in index["studies"] if row["part"] != "test"]
    out.mkdir(parents=True, exist_ok=True)
    point_to(out, data)
    write_index(out, index | {"studies": rows, "parts": index["parts"] | {"test": []}})
    return out


def cut(data: Path, out: Path, choose: Choose) -> Path:
    """Write pairs that hold only some slices of others.

    Args:
        data: A folder of pairs.
        out: The new one; where it exists, it is taken as it is.
        choose: Says which slices of a study stay; None for none.

    Returns:
        `out`.
    """
    if (out / "pairs.json").is_file():
        return out
    pairs, rows = Pairs.open(data), []
    for study, row in zip(pairs.studies(), pairs.index["studies"], strict=True):
        kept = choose(study)
        if kept is not None:
            rows.append(_write_part(study, row, kept, out))
    write_index(out, pairs.index | {"studies": rows})
    return out


def _write_part(study: PairedStudy, row: Document, kept: slice, out: Path) -> Document:
    names = ("ct", "pet", "regions", "lesions")
    arrays = {n: a[kept] for n in names if (a := getattr(study, n)) is not None}
    affine = study.grid.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (kept.start or 0)
    affine[:3, 2] *= kept.step or 1
    grid = Grid(arrays["ct"].shape, affine)
    card = write_study(study_folder(out, study.id), arrays, grid, dict(row))
    return row | {"slices": len(arrays["ct"]), "hash": card["hash"]}


def label_of(data: Path) -> str:
    """What some pairs are called in tables and folders.

    Args:
        data: A folder of pairs.

    Returns:
        Its name; of a folder that is just called "pairs", its parent's.

    Example:
        >>> label_of(Path("ge-to-siemens/pairs")), label_of(Path("phantoms"))
        ('ge-to-siemens', 'phantoms')
    """
    path = data.resolve()
    return path.parent.name if path.name == "pairs" else path.name
