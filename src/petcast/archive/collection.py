"""Which series of a public collection can become pairs, by rules that need only its index.

The rules, in this order. A series is looked at when it calls itself CT or PT; segmentations and
reports, and whatever others derived from the collection, are no images of it.

1. Its files are CT Image Storage or Positron Emission Tomography Image Storage, as its label
   says, and monochrome. A colour picture labelled CT (`RGB-CAPTURE`) is a screen capture of the
   fused CT and PET: as an input it shows the network the answer. Anything else with a foreign
   class is `SOP-CLASS`.
2. A CT is kept where its own study holds a PET that passed rule 1 (else `NO-PET`): a CT of
   another day shows another body.
3. A PET is kept where its study holds such a CT (else `NO-CT`).

The index knows no frame of reference, no gap and no missing weight: `petcast scan` looks at
those once the files are here, and may refuse more.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from petcast.archive.index import IndexedSeries, find_index, index_version, read_index
from petcast.errors import UsageError
from petcast.refusal import Reason

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
PET_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.128"
_CLASS_OF_LABEL = {"CT": CT_IMAGE_STORAGE, "PT": PET_IMAGE_STORAGE}
_MONOCHROME = {"MONOCHROME1", "MONOCHROME2"}
UNKNOWN_DIAGNOSIS = "?"


SEEN_IN_INDEX = (Reason.RGB_CAPTURE, Reason.SOP_CLASS, Reason.NO_PET, Reason.NO_CT)
"""What an index tells before any file is fetched, in the order in which it is listed."""


@dataclass(frozen=True)
class Collection:
    """What has to be known of a collection before its index can be read.

    Attributes:
        name: As the user writes it.
        index_id: As the index writes it.
        subject_pattern: A regular expression with the groups `name` (short name of a subject)
            and `diagnosis` (its first letter).
        diagnoses: Diagnosis of each letter.
        doi: What to cite.
        licence: Under which terms it is published.
    """

    name: str
    index_id: str
    subject_pattern: str
    diagnoses: Mapping[str, str]
    doi: str
    licence: str

    def short_name(self, subject: str) -> str:
        """Shorten a subject's public name: `Lung_Dx-A0164` is `A0164`.

        Args:
            subject: The collection's own name of a patient.

        Returns:
            The short name, or the name itself where it follows no rule.
        """
        match = re.fullmatch(self.subject_pattern, subject)
        return match["name"] if match else subject

    def diagnosis(self, subject: str) -> str:
        """Read the diagnosis letter from a subject's public name.

        Args:
            subject: The collection's own name of a patient.

        Returns:
            One of the letters of `diagnoses`, or "?".
        """
        match = re.fullmatch(self.subject_pattern, subject)
        return match["diagnosis"] if match else UNKNOWN_DIAGNOSIS


LUNG_PET_CT_DX = Collection(
    name="lung-pet-ct-dx",
    index_id="lung_pet_ct_dx",
    subject_pattern=r"Lung_Dx-(?P<name>(?P<diagnosis>[ABEG])\d{4})",
    diagnoses={
        "A": "adenocarcinoma",
        "B": "small cell carcinoma",
        "E": "large cell carcinoma",
        "G": "squamous cell carcinoma",
    },
    doi="10.7937/tcia.2020.nnc2-0461",
    licence="CC BY 4.0",
)
"""Li, Wang, Li, Lu, Huangfu, Wang: A large-scale CT and PET/CT dataset for lung cancer
diagnosis. The Cancer Imaging Archive, 2020."""


def diagnosis_of(patient_id: str) -> str:
    """Read the diagnosis letter off a patient's number, where a collection puts it there.

    Args:
        patient_id: PatientID, or what a NIfTI cohort calls the patient.

    Returns:
        A, B, E or G for a patient of Lung-PET-CT-Dx; empty for anybody else.

    Example:
        >>> diagnosis_of("Lung_Dx-A0164"), diagnosis_of("4711")
        ('A', '')
    """
    letter = LUNG_PET_CT_DX.diagnosis(patient_id)
    return "" if letter == UNKNOWN_DIAGNOSIS else letter


_COLLECTIONS = {LUNG_PET_CT_DX.name: LUNG_PET_CT_DX}


@dataclass(frozen=True)
class CollectionSummary:
    """What a collection's index promises, and what is refused in it already.

    Attributes:
        collection: Which collection.
        index: Version of the index.
        labelled: All series that call themselves CT or PT.
        usable: The series that can become pairs.
        refused: The others, each with its code.
    """

    collection: Collection
    index: str
    labelled: tuple[IndexedSeries, ...]
    usable: tuple[IndexedSeries, ...]
    refused: tuple[tuple[IndexedSeries, Reason], ...]

    @property
    def gigabytes(self) -> float:
        """Size of the usable series, in 10⁹ bytes."""
        return sum(series.size_mb for series in self.usable) / 1000

    def subjects(self) -> dict[str, int]:
        """Count the usable subjects by diagnosis.

        Returns:
            Number of subjects by diagnosis letter; each letter of the collection stands in it.
        """
        return _count_by_diagnosis(self.collection, self.usable)

    def to_json(self) -> dict[str, Any]:
        """Turn it into the document of `petcast archive --json`; it holds no identifier.

        Returns:
            Counts only; keys as in docs/files.md, sizes in gigabytes (10⁹ bytes).
        """
        with_pet = {s.subject for s in self.labelled if s.sop_class_uid == PET_IMAGE_STORAGE}
        return {
            "collection": self.collection.name,
            "index": self.index,
            "doi": self.collection.doi,
            "licence": self.collection.licence,
            "images": sum(series.instances for series in self.labelled),
            "subjects": len({series.subject for series in self.labelled}),
            "subjects_with_pet": len(with_pet),
            "refused": self._refused(),
            "usable": self._usable(),
        }

    def table(self) -> list[list[str]]:
        """Lay the usable cohort out by diagnosis, a head and a row a letter, then the sum.

        Returns:
            Rows of text; subjects, series, slices and gigabytes.
        """
        head = [
            "diagnosis",
            "all",
            "with PET",
            "usable",
            "CT series",
            "CT slices",
            "PET slices",
            "GB",
        ]
        letters = sorted(_letters(self.collection, self.labelled))
        return [head, *(self._row(letter) for letter in letters), self._row(None)]

    def refused_table(self) -> list[list[str]]:
        """Lay the refusals out, a head and a row a code.

        Returns:
            Rows of text: code, number of series and of images, meaning.
        """
        meanings = {str(reason): reason.meaning for reason in SEEN_IN_INDEX}
        rows = [
            [code, f"{count['series']:,}", f"{count['images']:,}", meanings[code]]
            for code, count in self._refused().items()
        ]
        return [["refused", "series", "images", "why"], *rows]

    def _refused(self) -> dict[str, dict[str, int]]:
        by_code: dict[str, dict[str, int]] = {}
        for series, code in sorted(self.refused, key=lambda pair: SEEN_IN_INDEX.index(pair[1])):
            count = by_code.setdefault(str(code), {"series": 0, "images": 0})
            count["series"] += 1
            count["images"] += series.instances
        return by_code

    def _usable(self) -> dict[str, Any]:
        ct, pet = _by_label(self.usable)
        return {
            "subjects": self.subjects(),
            "ct_series": len(ct),
            "ct_slices": sum(series.instances for series in ct),
            "pet_series": len(pet),
            "pet_slices": sum(series.instances for series in pet),
            "gigabytes": round(self.gigabytes, 1),
        }

    def _row(self, letter: str | None) -> list[str]:
        """One diagnosis, or all of them."""
        of_letter = [s for s in self.labelled if letter in (None, self._letter(s))]
        usable = [s for s in self.usable if letter in (None, self._letter(s))]
        ct, pet = _by_label(usable)
        name = self.collection.diagnoses.get(letter, "not named") if letter else ""
        counts = [
            len({s.subject for s in of_letter}),
            len({s.subject for s in of_letter if s.sop_class_uid == PET_IMAGE_STORAGE}),
            len({s.subject for s in usable}),
            len(ct),
            sum(s.instances for s in ct),
            sum(s.instances for s in pet),
        ]
        gigabytes = sum(s.size_mb for s in usable) / 1000
        title = f"{letter} {name}" if letter else "all"
        return [title, *(f"{count:,}" for count in counts), f"{gigabytes:.1f}"]

    def _letter(self, series: IndexedSeries) -> str:
        return self.collection.diagnosis(series.subject)


def summarise(
    collection: str = LUNG_PET_CT_DX.name, *, index: Path | None = None
) -> CollectionSummary:
    """Say what of a public collection can be used, from its offline index.

    Args:
        collection: Its name; `lung-pet-ct-dx` is known.
        index: Another index than the installed one, a Parquet file of the same layout.

    Returns:
        The usable series and the refused ones.

    Raises:
        UsageError: The collection is not known, or the extra `archive` is not installed.
        FormatError: The index is damaged or lacks the collection.
    """
    known = find_collection(collection)
    version = index_version() if index is None else index.name
    rows = read_index(index or find_index(), known.index_id)
    labelled = tuple(series for series in rows if series.modality in _CLASS_OF_LABEL)
    usable, refused = sort_out(labelled)
    return CollectionSummary(known, version, labelled, tuple(usable), tuple(refused))


def find_collection(name: str) -> Collection:
    """Find a collection by its name.

    Args:
        name: As the user writes it; case and underscores do not matter.

    Returns:
        The collection.

    Raises:
        UsageError: petcast does not know it.
    """
    try:
        return _COLLECTIONS[name.lower().replace("_", "-")]
    except KeyError:
        known = ", ".join(_COLLECTIONS)
        raise UsageError(f"no collection is called {name!r}; petcast knows {known}") from None


def sort_out(
    labelled: Sequence[IndexedSeries],
) -> tuple[list[IndexedSeries], list[tuple[IndexedSeries, Reason]]]:
    """Divide series into usable and refused ones by the three rules of this module.

    Args:
        labelled: Series that call themselves CT or PT, of whole studies.

    Returns:
        The usable series, and the refused ones with their codes; together all of `labelled`.
    """
    labels_of_study: dict[str, set[str]] = defaultdict(set)
    for series in labelled:
        if _refuse_by_class(series) is None:
            labels_of_study[series.study_uid].add(series.modality)
    usable: list[IndexedSeries] = []
    refused: list[tuple[IndexedSeries, Reason]] = []
    for series in labelled:
        code = _refuse_by_class(series)
        code = code or _refuse_by_study(series, labels_of_study[series.study_uid])
        if code is None:
            usable.append(series)
        else:
            refused.append((series, code))
    return usable, refused


def _refuse_by_class(series: IndexedSeries) -> Reason | None:
    """Rule 1. The label is never believed: 281 colour captures of this collection say CT."""
    values = set(series.photometric.split(","))
    if series.photometric and not values <= _MONOCHROME:
        return Reason.RGB_CAPTURE
    if series.sop_class_uid != _CLASS_OF_LABEL[series.modality] or not series.photometric:
        return Reason.SOP_CLASS
    return None


def _refuse_by_study(series: IndexedSeries, labels: set[str]) -> Reason | None:
    """Rules 2 and 3; `labels` are those of the study's series that passed rule 1."""
    if series.modality == "CT" and "PT" not in labels:
        return Reason.NO_PET
    if series.modality == "PT" and "CT" not in labels:
        return Reason.NO_CT
    return None


def _by_label(
    series: Iterable[IndexedSeries],
) -> tuple[list[IndexedSeries], list[IndexedSeries]]:
    """CT and PET apart."""
    rows = list(series)
    return [s for s in rows if s.modality == "CT"], [s for s in rows if s.modality == "PT"]


def _letters(collection: Collection, series: Iterable[IndexedSeries]) -> set[str]:
    return {*collection.diagnoses, *(collection.diagnosis(s.subject) for s in series)}


def _count_by_diagnosis(collection: Collection, series: Iterable[IndexedSeries]) -> dict[str, int]:
    found = Counter(collection.diagnosis(subject) for subject in {s.subject for s in series})
    return {letter: found[letter] for letter in sorted({*collection.diagnoses, *found})}
