"""The studies that some folders hold, whatever they come as, ready to be read one by one."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from petcast.align import Reading
from petcast.archive import BoxTable
from petcast.archive.collection import diagnosis_of
from petcast.dicom.header import read_header
from petcast.dicom.read import read_ct, read_pet
from petcast.dicom.scan import Scan, Series, Study, scan
from petcast.dicom.series import refused_row
from petcast.nifti.case import NiftiCase
from petcast.nifti.layout import STRAY, Cohort, find_cases
from petcast.pairs import Document
from petcast.plausible import require_ct
from petcast.prepare.tumours import BoxSource, boxes_of, open_boxes
from petcast.refusal import Reason, RefusedError

NOTHING_FOUND = "nothing was found; give folders or zips of DICOM, or a NIfTI cohort"


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

    @property
    def annotations(self) -> str | None:
        """Names the tumour boxes that decide its content too."""

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
        cts: All usable CT of the study in the PET's frame of reference.
        boxes: Where tumour boxes come from.
    """

    study: Study
    cts: tuple[Series, ...] = ()
    boxes: BoxSource | None = None

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

    @property
    def annotations(self) -> str | None:
        """Names the tumour boxes; None where none were asked for."""
        return self.boxes.digest if self.boxes else None

    def read(self) -> Reading:
        """Read CT and PET.

        Returns:
            HU, SUV and tumour boxes.

        Raises:
            RefusedError: They cannot be used, and why.
        """
        ct, pet = self.study.ct, self.study.pet
        if ct is None or pet is None:
            raise RefusedError(Reason.NO_CT if ct is None else Reason.NO_PET, "It was refused.")
        hu, found = read_ct(ct), read_pet(pet)
        require_ct(hu)
        # The two may say the same of themselves, such as that they were compressed
        own = {"CT": ct.notes, "PET": (*pet.notes, *found.notes)}
        told = (f"{name}: {note}" for name, notes in own.items() for note in notes)
        notes = dict.fromkeys([*self.study.notes, *told])
        return Reading(
            hu,
            found.suv,
            str(found.factor_rule),
            str(found.time_rule),
            found.uptake_minutes,
            tuple(notes),
            boxes=boxes_of(self.boxes, self.cts).to_json() if self.boxes else None,
        )


@dataclass(frozen=True)
class Found:
    """What some folders hold.

    Attributes:
        cases: Usable so far.
        refused: Rows as in pairs.json.
        patient_of: The patient of each study, refused ones included.
        patients_by_number: Patients by the pseudonym of their number alone; several where several
            hospitals gave it.
        keep: Whatever must live as long as the cases are read, such as unpacked archives.
        boxes: Tumour boxes, where they were asked for.
    """

    cases: tuple[Case, ...]
    refused: tuple[Document, ...]
    patient_of: dict[str, str]
    patients_by_number: Mapping[str, Collection[str]] = field(default_factory=dict)
    keep: object = None
    boxes: BoxTable | None = None


def find(
    folders: Sequence[Path],
    salt: str,
    workers: int | None = None,
    executor: Executor | None = None,
    scratch: Path | None = None,
    boxes: Path | None = None,
    skip: Path | None = None,
) -> Found:
    """Look for studies in folders, DICOM and NIfTI alike.

    Args:
        folders: Folders, zips or files.
        salt: The key for pseudonyms.
        workers: Processes that read headers.
        executor: Reads them instead, in so many processes that see the same files.
        scratch: Where archives are unpacked; the system's folder for temporary files where None.
        boxes: A folder or zip of tumour boxes.
        skip: A folder that is left alone, such as that of the pairs.

    Returns:
        What was found, usable or not.

    Raises:
        UsageError: `boxes` holds none.
    """
    source, table = open_boxes(boxes, salt) if boxes is not None else (None, None)
    folders = [folder.absolute() for folder in folders]
    scanned = scan(
        folders, salt=salt, workers=workers, executor=executor, scratch=scratch, skip=skip
    )
    cohort = find_cases(folders, salt, skip)
    dicom = [
        DicomCase(study, _cts_of(study, scanned), source)
        for study in scanned.studies
        if study.refusal is None
    ]
    cases: tuple[Case, ...] = (*dicom, *map(NiftiCase, cohort.cases))
    patient_of = {study.id: study.patient_id for study in scanned.studies}
    patient_of |= {study: patient for study, patient, _ in cohort.refused}
    patient_of |= {case.id: case.patient for case in cohort.cases}
    others = tuple(file for file in scanned.files if file.path not in cohort.files)
    refused = [*replace(scanned, files=others).refusals(), *_refused_nifti(cohort)]
    numbers = _patients_by_number(scanned)
    return Found(cases, tuple(refused), patient_of, numbers, scanned.unpacked, table)


def _patients_by_number(scanned: Scan) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for one in scanned.series:
        if one.number_id and one.modality in ("CT", "PT"):
            found[one.number_id].add(one.patient_id)
    return dict(found)


def _cts_of(study: Study, scanned: Scan) -> tuple[Series, ...]:
    """The CT that tumour boxes of the study may be drawn on."""
    frame = study.pet.frame_id if study.pet else ""
    return tuple(
        one
        for one in scanned.series
        if one.study_id == study.id
        and one.modality == "CT"
        and one.refusal is None
        and one.frame_id == frame
    )


def _refused_nifti(cohort: Cohort) -> list[Document]:
    rows = [refused_row("study", study, refusal) for study, _, refusal in cohort.refused]
    if cohort.strays:
        rows.append(refused_row("file", "", STRAY, files=len(cohort.strays)))
    return rows


def nothing_usable(folders: Sequence[Path], refused: Sequence[Document]) -> str:
    """Say why there is nothing to prepare: each reason once, with its remedy.

    What was found is said where all that share a reason say the same, as one study does.

    Args:
        folders: What was searched.
        refused: Rows of refusals.

    Returns:
        Some lines.
    """
    where = ", ".join(map(str, folders))
    if not refused:
        return f"{where}: {NOTHING_FOUND}"
    counted: Counter[tuple[str, str]] = Counter()
    details: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in refused:
        files = row["files"] if row["level"] == "file" else 1
        counted[row["reason"], row["level"]] += max(1, files)
        details[row["reason"], row["level"]].add(row["detail"])
    lines = [f"{where}: nothing can be used"]
    for (reason, level), count in sorted(counted.items()):
        known = {str(one): one for one in Reason}[reason]
        found = details[reason, level] if len(details[reason, level]) == 1 else ()
        words = " ".join([known.meaning, *found, known.remedy])
        lines.append(f"  {reason}, {level} × {count}: {words}")
    return "\n".join(lines)
