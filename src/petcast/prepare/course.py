"""`petcast prepare`: usable studies → aligned slice pairs, divided by patient.

What there is to prepare is found and divided, each study prepared by itself, and the index comes
last. The same inputs give the same bytes, however often the work was interrupted and however many
processes did it.
"""

import secrets
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path

import petcast
from petcast.archive import BoxTable
from petcast.dicom.privacy import key_mark, pseudonym, user_salt
from petcast.dicom.series import refused_row
from petcast.disk.durable import LOCK_FILE, exclusive
from petcast.errors import DataError, UsageError
from petcast.pairs import Document, Pairs, store
from petcast.pairs.leaks import contents_of, find_leaks, leak_rows
from petcast.pairs.shuffle import split_by_slice
from petcast.pairs.split import Split, SplitFile, read_split_file, split_by_file, split_by_seed
from petcast.pairs.voxels import VOXELS_FILE
from petcast.prepare.cohort import Case, Found, find, nothing_usable
from petcast.prepare.study import LOCKS_FOLDER, ROW_KEYS, Task, prepare_study
from petcast.prepare.tumours import count_boxes
from petcast.progress import track
from petcast.recipe import PreparationRecipe
from petcast.workers import cores, work_through

SCRATCH_FOLDER = ".unpacked"


def prepare(
    folders: Sequence[Path],
    out: Path,
    recipe: PreparationRecipe,
    *,
    split_file: Path | None = None,
    boxes: Path | None = None,
    salt: str | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
) -> Pairs:
    """Turn usable studies into aligned slice pairs; the same call again resumes.

    Args:
        folders: Folders, zips or files.
        out: The folder of pairs.
        recipe: The grid, the slices and the split.
        split_file: CSV `patient,part`; a seed decides where None.
        boxes: Published tumour boxes, a folder or zip of Pascal-VOC XML.
        salt: The key for pseudonyms; the user's own where None.
        workers: Processes; one a core where None. 1 works in this process.
        executor: Runs the work instead, in so many processes, such as a Dask cluster's; all of
            them must see the same file system.

    Returns:
        The pairs, opened.

    Raises:
        UsageError: The split file is wrong, `out` is one of the folders, divides other pairs or
            holds a run or others' studies, or another process works there.
        DataError: Nothing can be used, and why.
    """
    if (out / VOXELS_FILE).exists():
        raise UsageError(f"{out} divides the pairs of another folder; give another --out")
    if any(folder.is_dir() and out.resolve() == folder.resolve() for folder in folders):
        raise UsageError(f"{out} is the folder that is read; give --out another one for the pairs")
    salt = user_salt() if salt is None else salt
    rows = read_split_file(split_file) if split_file is not None else None
    _require_ours(out)
    out = out.absolute()  # others may stand in another folder
    out.mkdir(parents=True, exist_ok=True)
    with exclusive(out / LOCK_FILE), _scratch(out, executor) as scratch:
        found = find(folders, salt, workers, executor, scratch, boxes, skip=out)
        if found.cases:  # before the long work: a slip in the split shall cost no hours
            _divide(found, list(map(_expected, found.cases)), recipe, rows, salt)
        call = _called(out)
        tasks = (Task(case, out, recipe, salt, call) for case in found.cases)
        done = work_through(prepare_study, tasks, workers=workers or cores(), executor=executor)
        outcomes = list(track(done, "Preparing studies", total=len(found.cases)))
        outcomes.sort(key=lambda outcome: outcome.id)
        lost = [(one.id, one.refusal) for one in outcomes if one.refusal is not None]
        refused = [*found.refused, *(refused_row("study", *study) for study in lost)]
        cards = [outcome.row for outcome in outcomes if outcome.row is not None]
        if not cards:
            raise DataError(nothing_usable(folders, refused))
        split = _divide(found, cards, recipe, rows, salt)
        _finish(out, recipe, split, cards, refused, found.boxes, key_mark(salt))
    return Pairs.open(out)


def _require_ours(out: Path) -> None:
    """Refuse a run, and a folder with studies of another kind: `_finish` would sweep them away."""
    held = {path.name for path in out.glob("*.*")}  # names of petcast.claim, which lies above
    if "recipe.toml" in held and held & {"data.json", "study.json"} and "pairs.json" not in held:
        raise UsageError(f"{out} holds a run or a study, and no pairs; give another --out")
    ours = {store.CARD_FILE, *(f"{name}.npy" for name in store.ARRAYS)}
    for entry in (out / store.STUDIES_FOLDER).glob("*/*"):
        if entry.name not in ours and not entry.name.startswith("."):
            raise UsageError(f"{out} holds studies that are no pairs; give a new --out")


@contextmanager
def _scratch(out: Path, executor: Executor | None) -> Iterator[Path | None]:
    """Where archives are unpacked: a folder that all workers see, gone in the end."""
    folder = out / SCRATCH_FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    if executor is None:  # the system's own place for temporary files will do
        yield None
        return
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _called(out: Path) -> str:
    """Write down which call the folder belongs to now, for workers that an earlier one left."""
    call = secrets.token_hex(8)
    (out / LOCK_FILE).write_text(call, encoding="ascii")
    (out / LOCKS_FOLDER).mkdir(exist_ok=True)
    return call


def _expected(case: Case) -> Document:
    """What the split needs to know of a study that is not prepared yet."""
    return {"id": case.id, "patient": case.patient, "slices": 1}


def _divide(
    found: Found,
    cards: Sequence[Document],
    recipe: PreparationRecipe,
    rows: SplitFile | None,
    salt: str,
) -> Split:
    if rows is not None:
        return _divide_by_file(found, cards, recipe, rows, salt)
    if recipe.split == "published":
        slices_of = {card["id"]: card["slices"] for card in cards}
        return split_by_slice(slices_of, {c["id"]: c["patient"] for c in cards}, recipe.seed)
    diagnoses = {card["patient"]: card["diagnosis"] for card in cards if card.get("diagnosis")}
    return split_by_seed({card["patient"] for card in cards}, recipe, diagnoses)


def _divide_by_file(
    found: Found,
    cards: Sequence[Document],
    recipe: PreparationRecipe,
    rows: SplitFile,
    salt: str,
) -> Split:
    if recipe.folds or recipe.split != "patient":
        raise UsageError(
            f"{rows.name} names each patient's part, and the recipe asks for folds or the "
            "published split; leave one of them away"
        )
    return split_by_file(
        rows,
        {card["patient"] for card in cards},
        pseudonym=lambda number: pseudonym("patient", number, salt),
        studies=found.patient_of,
        refused=set(found.patient_of.values()),
        numbers=found.patients_by_number,
    )


def _finish(
    out: Path,
    recipe: PreparationRecipe,
    split: Split,
    cards: Sequence[Document],
    refused: Sequence[Document],
    boxes: BoxTable | None,
    mark: str,
) -> None:
    """Write the index, then sweep away what it does not name."""
    studies = [card | split.place(card["id"], card["patient"]) for card in cards]
    studies = [{key: row[key] for key in ROW_KEYS if key in row} for row in studies]
    leaks = find_leaks(contents_of(out, studies))
    index = {
        "petcast": petcast.__version__,
        "key_mark": mark,
        "preparation": recipe.model_dump(mode="json"),
        "split": split.to_json(),
        "parts": split.parts(),
        "audit": {"leaks": leak_rows(leaks), "clean": not leaks},
        "studies": studies,
        "refused": list(refused),
    }
    if boxes is not None:
        index["boxes"] = count_boxes(boxes, [card["boxes"] for card in cards if "boxes" in card])
    store.write_index(out, index)
    named = {card["id"] for card in cards}
    for folder in (out / store.STUDIES_FOLDER).iterdir():
        if folder.is_dir() and folder.name not in named:
            shutil.rmtree(folder)
    shutil.rmtree(out / LOCKS_FOLDER)
