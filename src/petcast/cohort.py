"""The studies that some folders hold, whatever they come as, ready to be read one by one."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from petcast.align import Reading
from petcast.diagnosis import diagnosis_of
from petcast.dicom.header import read_header
from petcast.dicom.read import read_ct, read_pet
from petcast.dicom.scan import Study, scan
from petcast.nifti.case import NiftiCase
from petcast.nifti.layout import Cohort, find_cases
from petcast.pairs import Document
from petcast.refusal import Reason, Refusal, RefusedError


class Case(Protocol):
    """One study of any cohort: where it comes from and how it is read."""

    @property
    def id(self) -> str:
        """Pseudonym of the study."""

    @property
    def patient(self) -> str:
        """Pseudonym of its patient."""

    @property
    def diagnosis(self) -> str:
        """The letter that the collection's naming gives to the diagnosis; empty where unknown."""

    @property
    def files(self) -> Sequence[Path]:
        """All files that decide its content."""

    def read(self) -> Reading:
        """Read CT and PET.

        Raises:
            RefusedError: They cannot be used, and why.
        """


@dataclass(frozen=True)
class DicomCase:
    """A study of a DICOM scan.

    Attributes:
        study: A usable one.
    """

    study: Study

    @property
    def id(self) -> str:
        """Pseudonym of the study."""
        return self.study.id

    @property
    def patient(self) -> str:
        """Pseudonym of its patient."""
        return self.study.patient_id

    @property
    def diagnosis(self) -> str:
        """The letter of the diagnosis in Lung-PET-CT-Dx's PatientID; empty elsewhere."""
        shared = read_header(self.files[0]).shared if self.files else None
        return diagnosis_of(shared.patient_id) if shared is not None else ""

    @property
    def files(self) -> tuple[Path, ...]:
        """The slices of CT and PET."""
        return tuple(
            path
            for series in (self.study.ct, self.study.pet)
            if series is not None
            for path in series.files
        )

    def read(self) -> Reading:
        """Read CT and PET.

        Returns:
            HU and SUV.

        Raises:
            RefusedError: They cannot be used, and why.
        """
        ct, pet = self.study.ct, self.study.pet
        if ct is None or pet is None:
            raise RefusedError(Reason.NO_CT if ct is None else Reason.NO_PET, "It was refused.")
        found = read_pet(pet)
        notes = dict.fromkeys([*self.study.notes, *ct.notes, *pet.notes, *found.notes])
        return Reading(
            read_ct(ct),
            found.suv,
            str(found.factor_rule),
            str(found.time_rule),
            found.uptake_minutes,
            tuple(notes),
        )


@dataclass(frozen=True)
class Found:
    """What some folders hold.

    Attributes:
        cases: Usable so far.
        refused: Rows of `level`, `id`, `modality`, `files`, `reason`, `detail`.
        patient_of: The patient of each study, refused ones included.
        keep: Whatever must live as long as the cases are read, such as unpacked archives.
    """

    cases: tuple[Case, ...]
    refused: tuple[Document, ...]
    patient_of: dict[str, str]
    keep: object = None


def find(
    folders: Sequence[Path],
    salt: str,
    workers: int | None = None,
    executor: Executor | None = None,
    scratch: Path | None = None,
) -> Found:
    """Look for studies in folders, DICOM and NIfTI alike.

    Args:
        folders: Folders, zips or files.
        salt: The key for pseudonyms.
        workers: Processes that read headers.
        executor: Reads them instead, in so many processes that see the same files.
        scratch: Where archives are unpacked; the system's folder for temporary files where None.

    Returns:
        What was found, usable or not.
    """
    folders = [folder.absolute() for folder in folders]
    scanned = scan(folders, salt=salt, workers=workers, executor=executor, scratch=scratch)
    cohort = find_cases(folders, salt)
    dicom = [DicomCase(study) for study in scanned.studies if study.refusal is None]
    cases: tuple[Case, ...] = (*dicom, *map(NiftiCase, cohort.cases))
    patient_of = {study.id: study.patient_id for study in scanned.studies}
    patient_of |= {study: patient for study, patient, _ in cohort.refused}
    patient_of |= {case.id: case.patient for case in cohort.cases}
    others = tuple(file for file in scanned.files if file.path not in cohort.files)
    refused = [*replace(scanned, files=others).refusals(), *_refused_nifti(cohort)]
    return Found(cases, tuple(refused), patient_of, scanned.unpacked)


def _refused_nifti(cohort: Cohort) -> list[Document]:
    rows = [refused_row("study", study, refusal) for study, _, refusal in cohort.refused]
    if cohort.strays:
        stray = Refusal(Reason.NIFTI_NAME, "The name ends in none of ct, ctres, pet, suv or seg.")
        rows.append(refused_row("file", "", stray, len(cohort.strays)))
    return rows


def refused_row(level: str, id_: str, refusal: Refusal, files: int = 0) -> Document:
    """Lay a refusal out for pairs.json.

    Args:
        level: "study" or "file".
        id_: Pseudonym of the study, empty for files.
        refusal: Why.
        files: How many, of files.

    Returns:
        Its row.
    """
    return {
        "level": level,
        "id": id_,
        "modality": "",
        "files": files,
        "reason": str(refusal.reason),
        "detail": refusal.detail,
    }
