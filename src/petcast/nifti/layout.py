"""Which NIfTI files make a case, by their names, and whose case it is.

Two layouts, which may be mixed (docs/how-to/nifti.md):

- a folder a case, as autoPET has it: `CT` or `CTres`, `SUV`, `SEG`; its `PET`, in Bq/mL, is no SUV;
- files side by side: `<case>_ct`, `<case>_pet` or `<case>_suv`, `<case>_seg`.

Each ends in `.nii.gz` or `.nii`, in any case of letters. A case is its own patient, unless its
folder lies in one of its own (DIR/patient/study/CT.nii.gz), or its name begins with `sub-…_`.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from petcast.dicom.privacy import pseudonym
from petcast.dicom.scan import left_alone, mark_of
from petcast.disk.durable import is_unfinished
from petcast.refusal import Reason, Refusal, RefusedError

NIFTI = re.compile(r"(?P<stem>(?!\._).+)\.nii(\.gz)?", re.IGNORECASE)
"""Not `._CT.nii.gz`: so macOS calls what it knows of CT.nii.gz on a disk of another system."""

ROLE = re.compile(r"(?:(?P<case>.+)[_\-.])?(?P<word>ctres|ct|suv|pet|pt|seg)", re.IGNORECASE)
SUBJECT = re.compile(r"(?P<patient>sub-[^_]+)_.*")
"""The names that BIDS gives to files of one patient's sessions."""


@dataclass(frozen=True)
class Found:
    """A case whose files are complete by their names.

    Attributes:
        id: Pseudonym of the study.
        patient: Pseudonym of its patient.
        patient_name: What folders or names call the patient; it stays on this machine.
        ct: In HU.
        pet: In SUV.
        lesions: A mask, or None.
    """

    id: str
    patient: str
    patient_name: str
    ct: Path
    pet: Path
    lesions: Path | None


@dataclass(frozen=True)
class Cohort:
    """What the NIfTI files of some folders make.

    Attributes:
        cases: Complete ones, in the order of their ids.
        refused: Pseudonyms of study and patient of each incomplete case, and why.
        strays: Files whose names do not say what they hold.
        files: All NIfTI files, strays included.
        places: The files of each case, complete or not, by the study's pseudonym.
    """

    cases: tuple[Found, ...]
    refused: tuple[tuple[str, str, Refusal], ...]
    strays: tuple[Path, ...]
    files: frozenset[Path]
    places: Mapping[str, tuple[Path, ...]]


STRAY = Refusal(Reason.NIFTI_NAME, "The name ends in none of ct, ctres, pet, suv or seg.")


@dataclass
class _Group:
    """The files of one case, by the word that ends their names."""

    place: str
    patient: str
    bare: bool
    files: dict[str, list[Path]]


def find_cases(folders: Sequence[Path], salt: str, skip: Path | None = None) -> Cohort:
    """Look for NIfTI cases, by names alone.

    Args:
        folders: Folders, searched to any depth, or single files.
        salt: The key for pseudonyms.
        skip: A folder that is left alone.

    Returns:
        The cases, complete or not.
    """
    groups: dict[tuple[Path, str], _Group] = {}
    places: set[Path] = set()
    files: set[Path] = set()
    strays = []
    for root, path in _walk(folders, skip):
        files.add(path)
        place = path.parent.resolve() / path.name  # equal files may be links to one: both count
        if place in places:
            continue  # given twice
        places.add(place)
        if not _sort(root, path, groups):
            strays.append(path)
    cases: list[Found] = []
    refused, placed = [], {}
    for (study, patient), group in _named(groups.values(), salt):
        placed[study] = tuple(path for named in group.files.values() for path in named)
        try:
            ct, pet, lesions = _chosen(group)
            cases.append(Found(study, patient, group.patient, ct, pet, lesions))
        except RefusedError as error:
            refused.append((study, patient, error.refusal))
    cases.sort(key=lambda case: case.id)
    return Cohort(tuple(cases), tuple(sorted(refused)), tuple(strays), frozenset(files), placed)


def _walk(folders: Sequence[Path], skip: Path | None) -> Iterable[tuple[Path, Path]]:
    """Every NIfTI file, with the folder that was given."""
    for folder in folders:
        if not folder.is_dir():
            if NIFTI.fullmatch(folder.name):
                yield folder.parent, folder
            continue
        seen = left_alone(skip, folders)
        for place, inner, names in os.walk(folder, followlinks=True):
            try:
                mark = mark_of(Path(place))
            except OSError:  # gone since it was listed; the scan for DICOM says so
                inner.clear()
                continue
            if mark in seen:  # a link that leads back
                inner.clear()
                continue
            seen.add(mark)
            inner.sort()
            found = (name for name in sorted(names) if not is_unfinished(name))
            yield from ((folder, Path(place) / name) for name in found if NIFTI.fullmatch(name))


def _sort(root: Path, path: Path, groups: dict[tuple[Path, str], _Group]) -> bool:
    """Put a file to its case; False where its name does not say what it holds."""
    role = ROLE.fullmatch(_stem(path))
    if role is None:
        return False
    case, folder = role["case"] or "", path.parent
    group = groups.get((folder, case))
    if group is None:
        place = "/".join((*folder.relative_to(root).parts, case))
        patient = _patient(root, folder, case)
        group = groups[folder, case] = _Group(place, patient, not case, defaultdict(list))
    word = role["word"].lower()
    group.files["pet" if word == "pt" else word].append(path)
    return True


def _stem(path: Path) -> str:
    found = NIFTI.fullmatch(path.name)
    return found["stem"] if found else path.stem


def _patient(root: Path, folder: Path, case: str) -> str:
    """What the layout calls the patient."""
    if case:
        subject = SUBJECT.fullmatch(case)
        return subject["patient"] if subject else case
    inner = folder.relative_to(root).parts
    if not inner:
        return folder.resolve().name
    return inner[-2] if len(inner) > 1 else inner[-1]


def _named(groups: Iterable[_Group], salt: str) -> Iterable[tuple[tuple[str, str], _Group]]:
    """Give each case its pseudonyms; equal names in several given folders stay several cases."""
    taken: set[str] = set()
    for group in groups:
        patient = pseudonym("patient", group.patient, salt)
        name, number = f"nifti {group.patient} {group.place}", 1
        study = pseudonym("study", name, salt)
        while study in taken:
            number += 1
            study = pseudonym("study", f"{name} {number}", salt)
        taken.add(study)
        yield (study, patient), group


def _chosen(group: _Group) -> tuple[Path, Path, Path | None]:
    ct = _one(group, "ct", "ctres")
    pet = _one(group, "suv") if group.bare else _one(group, "suv", "pet")
    if pet is None and "pet" in group.files:
        raise RefusedError(
            Reason.NOT_SUV, "A file called PET alone holds Bq/mL in autoPET; its SUV is missing."
        )
    if ct is None and pet is None:
        raise RefusedError(Reason.NO_CT, "A lesion mask stands alone, without CT and PET.")
    if ct is None:
        raise RefusedError(Reason.NO_CT, "The case has a PET and no CT.")
    if pet is None:
        raise RefusedError(Reason.NO_PET, "The case has a CT and no PET.")
    return ct, pet, _one(group, "seg")


def _one(group: _Group, *words: str) -> Path | None:
    """The case's file of the first word that there is."""
    for word in words:
        files = group.files.get(word, [])
        if len(files) > 1:
            raise RefusedError(
                Reason.NIFTI_NAME, f"{len(files)} files claim to be the case's {word.upper()}."
            )
        if files:
            return files[0]
    return None
