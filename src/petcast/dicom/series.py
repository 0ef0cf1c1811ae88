"""What a scan found: series, studies, files, and why each refusal. No identity is written."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from petcast.dicom.files import Files
from petcast.dicom.privacy import Person
from petcast.refusal import Reason, Refusal, RefusedError
from petcast.words import count

Span = tuple[float, float]

SYNTHETIC = "A program made it: it measures no tracer, and no CT is paired with it."
HALF_WIDTHS = "Its values are no uptake: they are half the width of a synthetic PET's interval."

NO_IMAGES = {Reason.NOT_DICOM, Reason.SOP_CLASS}
"""What was never meant to be read; any other file might have been a slice."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where a sound series lies.

    Attributes:
        slices: How many.
        spacing_mm: Along (x, y, z).
        x_mm: From edge to edge in LPS.
        y_mm: Likewise.
        z_mm: Likewise.
    """

    slices: int
    spacing_mm: tuple[float, float, float]
    x_mm: Span
    y_mm: Span
    z_mm: Span


@dataclass(frozen=True, slots=True)
class Series:
    """Files that belong together, usable or refused.

    Attributes:
        id: Pseudonym.
        modality: "CT" or "PT" by SOP class; what the label says for everything else.
        files: The files; of a usable series, those that hold its slices.
        refusal: Why it cannot be used; None where it can.
        study_id: Pseudonym of its study.
        patient_id: Pseudonym of its patient.
        frame_id: Pseudonym of its frame of reference; empty where it names none.
        notes: What was repaired or assumed, in sentences.
        left_out: Files that were not needed, such as equal duplicates.
        geometry: Where it lies; None where it is refused.
        kernel: "soft", "sharp" or empty: the CT's reconstruction kernel.
        original: ImageType begins with ORIGINAL.
        doubts: Those of the notes that whoever sees an image made from it must know, too.
        attenuation: Its description says that it was made for the attenuation correction.
        synthetic: A PET that a program made.
        number_id: Pseudonym of the patient's number alone, whoever issued it; empty without one.
        half_width: A synthetic one whose values are half-widths of intervals, no uptake.
        begun_s: When its first slice was acquired, in seconds since 1970 by the scanner's clock;
            later than all others where unknown. Never written.
        number: SeriesNumber; None where it has none.
        uid: SeriesInstanceUID, which decides between equals. Never written.
        part: Which acquisition of several under that UID; 0 where there is one.
        persons: Hashes that tell people of one PatientID apart, of all its files. Never written.
        plain_id: Pseudonym of the patient's number and issuer without case, blanks and leading
            zeros; empty without a number. Never written.
        weight_kg: PatientWeight; None where it is missing. Never written.
    """

    id: str
    modality: str
    files: Files
    refusal: Refusal | None
    study_id: str
    patient_id: str
    frame_id: str = ""
    notes: tuple[str, ...] = ()
    left_out: Files = field(default_factory=Files)
    geometry: Geometry | None = None
    kernel: str = ""
    original: bool = False
    synthetic: bool = False
    number_id: str = ""
    half_width: bool = False
    begun_s: float = math.inf
    number: int | None = None
    uid: str = field(default="", repr=False)
    part: int = 0
    persons: frozenset[Person] = field(default=frozenset(), repr=False)
    plain_id: str = field(default="", repr=False)
    weight_kg: float | None = field(default=None, repr=False)
    attenuation: bool = False
    doubts: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Lay the series out for `petcast scan --json`.

        Returns:
            Its row.
        """
        return {
            "id": self.id,
            "study": self.study_id,
            "patient": self.patient_id,
            "modality": self.modality,
            "files": len(self.files),
            "left_out": len(self.left_out),
            **status_of(self.refusal),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Study:
    """One visit: its CT and PET, or why it cannot be used.

    Attributes:
        id: Pseudonym.
        patient_id: Pseudonym of its patient.
        ct: The CT to be used, where the study is usable.
        pet: The PET to be used, where the study is usable.
        refusal: Why it cannot be used; None where it can.
        notes: Which series were preferred to which, and other remarks.
    """

    id: str
    patient_id: str
    ct: Series | None
    pet: Series | None
    refusal: Refusal | None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Lay the study out for `petcast scan --json`.

        Returns:
            Its row.
        """
        return {
            "id": self.id,
            "patient": self.patient_id,
            "ct": self.ct.id if self.ct else None,
            "pet": self.pet.id if self.pet else None,
            **status_of(self.refusal),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class RefusedFile:
    """A file that belongs to no series.

    Attributes:
        id: Pseudonym of its path; the path itself may name a patient.
        path: Where it lies.
        refusal: Why it cannot be used.
    """

    id: str
    path: Path
    refusal: Refusal


@dataclass(frozen=True)
class Scan:
    """Everything that was found in some folders.

    Each file stands exactly once in a series' `files` or `left_out`, or in `files` here.

    Attributes:
        studies: Usable and refused ones.
        series: Likewise.
        files: Refused files that belong to no series.
        unpacked: What keeps unpacked archives on disk as long as the scan is in use.
    """

    studies: tuple[Study, ...]
    series: tuple[Series, ...]
    files: tuple[RefusedFile, ...] = ()
    unpacked: tuple[object, ...] = field(default=(), repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Lay everything out for `petcast scan --json`; free of paths and identities.

        Returns:
            `studies`, `series`, and `files`: refused files without a series, counted by reason.
        """
        return {
            "studies": [study.to_json() for study in self.studies],
            "series": [series.to_json() for series in self.series],
            "files": [
                {"files": count, **status_of(refusal)}
                for refusal, count in _counted([file.refusal for file in self.files])
            ],
        }

    def none_of(self, name: str, place: Path, otherwise: Reason) -> RefusedError:
        """Say why there is not one series of a modality.

        Args:
            name: The modality.
            place: Where it was looked for.
            otherwise: The reason where every file that could be an image was read.

        Returns:
            To be raised; of files that could not be read, with the most common reason.
        """
        text = f"{place} holds no DICOM {name}."
        lost = [file.refusal for file in self.files if file.refusal.reason not in NO_IMAGES]
        if not lost:
            return RefusedError(otherwise, text)
        [(first, most)] = Counter(lost).most_common(1)
        where = f"In {most} of {count(len(lost), 'file')}"
        return RefusedError(first.reason, f"{text} {where}: {first.detail}")

    def refusals(self) -> list[dict[str, Any]]:
        """List every refusal as pairs.json does.

        Returns:
            Its rows; see `refused_row`.
        """
        rows = [
            refused_row("study", study.id, study.refusal)
            for study in self.studies
            if study.refusal is not None
        ]
        rows += [
            refused_row("series", one.id, one.refusal, modality=one.modality, files=len(one.files))
            for one in self.series
            if one.refusal is not None
        ]
        counted = _counted([file.refusal for file in self.files])
        return rows + [refused_row("file", "", refusal, files=n) for refusal, n in counted]


def _counted(refusals: Sequence[Refusal]) -> list[tuple[Refusal, int]]:
    return sorted(Counter(refusals).items(), key=lambda pair: (pair[0].reason, pair[0].detail))


def status_of(refusal: Refusal | None) -> dict[str, Any]:
    """Lay out whether something can be used.

    Args:
        refusal: Why not; None where it can.

    Returns:
        `status`, `reason`, `detail` and `remedy`.
    """
    if refusal is None:
        return {"status": "usable", "reason": None, "detail": None, "remedy": None}
    return {
        "status": "refused",
        "reason": str(refusal.reason),
        "detail": f"{refusal.reason.meaning} {refusal.detail}",
        "remedy": refusal.reason.remedy,
    }


def refused_row(
    level: str, id_: str, refusal: Refusal, *, modality: str = "", files: int = 0
) -> dict[str, Any]:
    """Lay a refusal out for pairs.json.

    Args:
        level: "study", "series" or "file".
        id_: Pseudonym of the study or series, empty for files.
        refusal: Why.
        modality: Of a series.
        files: How many, of files and of a series.

    Returns:
        Its row.
    """
    return {
        "level": level,
        "id": id_,
        "modality": modality,
        "files": files,
        "reason": str(refusal.reason),
        "detail": refusal.detail,
        "remedy": refusal.reason.remedy,
    }
