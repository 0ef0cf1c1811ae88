"""One study: read, aligned and written, or reused where it is there and whole.

Each is one task for an executor: hash the source, reuse what is already there and whole, else
read, align and write beside, then rename.
"""

import hashlib
import hmac
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import petcast
from petcast.align import Aligned, Reading, align, require_suv_of_a_body
from petcast.disk.durable import LOCK_FILE, exclusive, settle
from petcast.errors import DataError, FormatError, GeometryError, UsageError
from petcast.pairs import Document, store
from petcast.pairs.content import slice_hashes
from petcast.prepare.cohort import Case
from petcast.recipe import STUDY_KNOBS, PreparationRecipe
from petcast.refusal import Reason, Refusal, RefusedError
from petcast.registration import measure_registration

LOCKS_FOLDER = ".locks"

ROW_KEYS = (
    "id", "patient", "part", "ranges", "diagnosis", "slices", "ct_spacing_mm", "pet_spacing_mm",
    "factor_rule", "time_rule", "uptake_minutes", "suv_max", "notes", "registration", "hash",
)  # fmt: skip
"""What the index says of a study; the rest of its card stays with it."""


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
    return Outcome(task.case.id, {key: card[key] for key in (*ROW_KEYS, "boxes") if key in card})


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
