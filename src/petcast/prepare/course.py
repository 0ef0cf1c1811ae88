"""`petcast prepare`: usable studies → aligned slice pairs, divided by patient.

Each study is one task for an executor: hash the source, reuse what is already there and whole,
else read, align and write beside, then rename. The index comes last. The same inputs give the
same bytes, however often the work was interrupted and however many processes did it.
"""

import hashlib
import hmac
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import petcast
from petcast.align import Aligned, Reading, align, require_suv_of_a_body
from petcast.archive import BoxTable
from petcast.dicom.privacy import key_mark, pseudonym, user_salt
from petcast.dicom.series import refused_row
from petcast.disk.durable import LOCK_FILE, exclusive, settle
from petcast.errors import DataError, FormatError, GeometryError, UsageError
from petcast.pairs import Document, Pairs, store
from petcast.pairs.content import slice_hashes
from petcast.pairs.leaks import contents_of, find_leaks, leak_rows
from petcast.pairs.shuffle import split_by_slice
from petcast.pairs.split import Split, SplitFile, read_split_file, split_by_file, split_by_seed
from petcast.pairs.voxels import VOXELS_FILE
from petcast.prepare.cohort import Case, Found, find, nothing_usable
from petcast.prepare.tumours import count_boxes
from petcast.progress import track
from petcast.recipe import STUDY_KNOBS, PreparationRecipe
from petcast.refusal import Reason, Refusal, RefusedError
from petcast.registration import measure_registration
from petcast.workers import cores, work_through

LOCKS_FOLDER = ".locks"
SCRATCH_FOLDER = ".unpacked"


@dataclass(frozen=True)
class Task:
    """What one process needs for one study.

    Attributes:
        case: The study.
        out: The folder of pairs.
        recipe: How to prepare it.
        salt: The key of the source's fingerprint.
        call: Marks the call that the task belongs to.
    """

    case: Case
    out: Path
    recipe: PreparationRecipe
    salt: str
    call: str

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"study {self.case.id}"


@dataclass(frozen=True)
class Outcome:
    """What became of a study.

    Attributes:
        id: Its pseudonym.
        row: What the index says of it but its part, where it was written or reused.
        refusal: Why it was not.
    """

    id: str
    row: Document | None = None
    refusal: Refusal | None = None


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
            holds others' studies, or another process works there.
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
    """Refuse a folder with studies of another kind: `_finish` would sweep them away."""
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


# One study


def prepare_study(task: Task) -> Outcome:
    """Read, align and write one study, or reuse what is there.

    Only one process writes a study at a time, whatever became of others that were given it.

    Args:
        task: Which, where to, and how.

    Returns:
        Its row of the index, or its refusal.
    """
    with exclusive(task.out / LOCKS_FOLDER / task.case.id, wait=True):
        _require_own(task)
        try:
            card = _prepared(task)
        except RefusedError as error:
            return Outcome(task.case.id, refusal=error.refusal)
    return Outcome(task.case.id, {key: card[key] for key in (*_ROW_KEYS, "boxes") if key in card})


def _require_own(task: Task) -> None:
    """Stop a worker that outlived its call; the folder may be another one's by now."""
    try:
        call = (task.out / LOCK_FILE).read_text(encoding="ascii")
    except OSError:
        call = ""
    if call != task.call:
        raise UsageError(f"{task.out}: the call that this work belonged to has ended")


def _prepared(task: Task) -> Document:
    """The study's card; its folder is whole then."""
    folder = store.study_folder(task.out, task.case.id)
    settle(folder)
    try:
        origin = _origin(task)
        reused = _reusable(folder, origin)
        if reused is not None:
            return reused
        reading = task.case.read()
        aligned = align(reading, task.recipe)
        require_suv_of_a_body(aligned)
    except RefusedError:
        raise
    except DataError as error:  # one study's misfortune must not end the others' preparation
        raise RefusedError(Reason.NOT_PREPARED, _said(error)) from None
    except OSError as error:  # the source's; its message would name a path
        detail = f"While the study was read: {error.strerror or type(error).__name__}."
        raise RefusedError(Reason.UNREADABLE, detail) from None
    if folder.exists():  # the index must not name a study that is about to change
        (task.out / store.INDEX_FILE).unlink(missing_ok=True)
    facts = {**origin, **_facts(task.case, reading, aligned), **_sources(reading, task.salt)}
    return store.write_study(folder, aligned.arrays, aligned.grid, facts)


def _said(error: DataError) -> str:
    """An error's own words where they hold numbers alone; others may name a file."""
    if isinstance(error, GeometryError):
        return f"{error}."
    return f"Its files were read in vain ({type(error).__name__})."


def _origin(task: Task) -> Document:
    """What decides a study's content: the source's bytes, the knobs and the program."""
    knobs = task.recipe.model_dump(mode="json", include=set(STUDY_KNOBS))
    return {
        "petcast": petcast.__version__,
        "source": _fingerprint(task.case.files, task.salt),
        "annotations": task.case.annotations,
        "preparation": {name: knobs[name] for name in STUDY_KNOBS},
    }


def _fingerprint(files: Sequence[Path], salt: str) -> str:
    """A keyed hash over the files' content; their names and their order do not matter."""
    total = hmac.new(salt.encode(), digestmod="sha256")
    digests = []
    for path in files:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait for ever
            raise RefusedError(Reason.UNREADABLE, "One of its files is no regular file.")
        with path.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").digest())
    for digest in sorted(digests):
        total.update(digest)
    return total.hexdigest()


def _reusable(folder: Path, origin: Document) -> Document | None:
    """The card of a whole study that was made of the same source in the same way."""
    try:
        card = store.read_card(folder)
        same = all(card.get(key) == value for key, value in origin.items())
        same = same and {"slice_hashes", "source_hashes", "registration"} <= card.keys()
        return store.verify_study(folder) if same else None
    except FormatError:
        return None


def _facts(case: Case, reading: Reading, aligned: Aligned) -> Document:
    return {
        "id": case.id,
        "patient": case.patient,
        **({"diagnosis": case.diagnosis} if case.diagnosis else {}),
        "slices": aligned.grid.shape[0],
        "ct_spacing_mm": [round(step, 4) for step in aligned.ct_spacing_mm],
        "pet_spacing_mm": [round(step, 4) for step in aligned.pet_spacing_mm],
        "factor_rule": reading.factor_rule,
        "time_rule": reading.time_rule,
        "uptake_minutes": _rounded(reading.uptake_minutes, 1),
        "suv_max": _rounded(float(aligned.arrays["pet"].max()), 4),
        "notes": [*reading.notes, *aligned.notes],
        "registration": _registration(aligned),
        **({"boxes": dict(reading.boxes)} if reading.boxes is not None else {}),
    }


def _registration(aligned: Aligned) -> Document:
    arrays = aligned.arrays
    found = measure_registration(arrays["ct"], arrays["pet"], arrays["regions"], aligned.grid)
    return found.to_json()


def _sources(reading: Reading, salt: str) -> Document:
    """Hashes of the slices as they came: they find one scan under two patients' numbers."""
    volumes = {"ct": reading.ct, "pet": reading.pet}
    return {
        "source_hashes": {
            name: slice_hashes(volume.canonical().voxels, store.ARRAYS[name], salt)
            for name, volume in volumes.items()
        }
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


# All studies


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
    studies = [{key: row[key] for key in _ROW_KEYS if key in row} for row in studies]
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


_ROW_KEYS = (
    "id", "patient", "part", "ranges", "diagnosis", "slices", "ct_spacing_mm", "pet_spacing_mm",
    "factor_rule", "time_rule", "uptake_minutes", "suv_max", "notes", "registration", "hash",
)  # fmt: skip
