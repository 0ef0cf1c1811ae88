"""What a CT series passes on to an image that is derived from it: identity, study, place.

Identities are carried as the bytes that the hospital wrote, in its own character set: nothing here
decodes, quotes or logs them. They are meant for one place alone, the derived DICOM series
(docs/decisions/0016-dicom-out.md).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

from petcast.dicom import tags
from petcast.dicom.facts import Position, Shared
from petcast.dicom.header import hostile, read_elements
from petcast.dicom.stack import Stack

PATIENT_GROUPS = (0x0010, 0x0012)
"""Patient, Patient Study, Clinical Trial Subject and Study: all of what these groups hold …"""
OF_SERIES = (0x00120071, 0x00120072)
"""… but what the Clinical Trial Series module says, which is the CT's own."""

STUDY_KEYWORDS = (
    "SpecificCharacterSet", "TimezoneOffsetFromUTC", "StudyInstanceUID", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "IssuerOfAccessionNumberSequence", "StudyDescription",
    "ReferringPhysicianName", "ReferringPhysicianIdentificationSequence",
    "ConsultingPhysicianName", "ConsultingPhysicianIdentificationSequence", "PhysiciansOfRecord",
    "PhysiciansOfRecordIdentificationSequence", "NameOfPhysiciansReadingStudy",
    "PhysiciansReadingStudyIdentificationSequence", "RequestingService", "ProcedureCodeSequence",
    "ReasonForPerformedProcedureCodeSequence", "ReferencedStudySequence",
    "ReferencedPatientSequence", "AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence",
    "AdmissionID", "IssuerOfAdmissionIDSequence", "ServiceEpisodeID", "ServiceEpisodeDescription",
    "PositionReferenceIndicator",
)  # fmt: skip
"""General Study, what of Patient and Patient Study lies in other groups, and the frame's mark."""

LOSSY_KEYWORDS = (
    "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
)  # fmt: skip
"""Once an image was compressed with loss, all that is derived from it says so (PS3.3 C.7.6.1)."""

BINARY = {"US", "SS", "UL", "SL", "FL", "FD", "AT", "UV", "SV"}
"""Representations whose bytes depend on the byte order."""


@dataclass(frozen=True)
class SourceSlice:
    """One slice of the CT.

    Attributes:
        sop_uid: SOPInstanceUID of its file.
        frame: Its number in a multi-frame file, from 1; None in a file of its own.
        position_mm: Centre of its first pixel, LPS.
        orientation: Direction of x, then of y.
        acquired: When its acquisition began.
    """

    sop_uid: str
    frame: int | None
    position_mm: Position
    orientation: tuple[float, ...]
    acquired: datetime | None


@dataclass(frozen=True)
class Source:
    """A CT series.

    Attributes:
        elements: The header of its first file; it names the patient.
        shared: What its slices have in common.
        slices: In the order of the volume that was read from it.
        descending: Whether the series itself numbers its slices the other way round.
        choice: Why this series, where its study has several CT; else empty.
        doubts: What else whoever sees an image of it must know, in sentences.
    """

    elements: tags.Elements = field(repr=False)
    shared: Shared = field(repr=False)
    slices: tuple[SourceSlice, ...] = field(repr=False)
    descending: bool
    choice: str = field(default="", repr=False)
    doubts: tuple[str, ...] = field(default=(), repr=False)

    def text(self, keyword: str) -> str:
        """Read a text that is no identity, such as BodyPartExamined.

        Args:
            keyword: As in the standard.

        Returns:
            The text, empty where absent.
        """
        return tags.text(self.elements, keyword)

    def patient_and_study(self) -> Dataset:
        """Copy the patient and the study, byte by byte.

        Returns:
            A new data set; attributes that the CT lacks are not in it.

        Raises:
            RefusedError: They are damaged.
        """
        wanted = set(map(tags.tag_of, STUDY_KEYWORDS))
        if self.shared.lossy:
            wanted |= set(map(tags.tag_of, LOSSY_KEYWORDS))
        whole = {tag for tag in self.elements if tag >> 16 in PATIENT_GROUPS} - set(OF_SERIES)
        with hostile():
            return _copied(self.elements, sorted(wanted | whole))


def source_of(lying: Stack) -> Source:
    """Take from a CT what derived images need; its files must still be there.

    Args:
        lying: Its slices.

    Returns:
        The source.

    Raises:
        RefusedError: A file has changed or cannot be read any more.
    """
    first, last = lying.places[0], lying.places[-1]
    elements = read_elements(first.header.path)
    if first.header is last.header:
        descending = first.frame > last.frame
    else:
        low, high = _instance(elements), _instance(read_elements(last.header.path))
        descending = low is not None and high is not None and low > high
    return Source(elements, lying.shared, tuple(_slices(lying)), descending)


def remarks_of(source: Source | None) -> tuple[str, ...]:
    """What is to be said of a CT.

    Args:
        source: Of the CT; None where it came as NIfTI.

    Returns:
        Why it was taken, where there was a choice, and what makes it doubtful, in sentences.
    """
    if source is None:
        return ()
    return ((source.choice,) if source.choice else ()) + source.doubts


def _instance(elements: tags.Elements) -> int | None:
    return tags.whole(elements, "InstanceNumber")


def _slices(lying: Stack) -> Iterator[SourceSlice]:
    for place in lying.places:
        own = place.slice
        shared = place.header.shared or lying.shared
        frame = place.frame + 1 if len(place.header.slices) > 1 else None
        yield SourceSlice(
            place.header.sop_uid, frame, own.position_mm, shared.orientation, own.acquired
        )


# Copying without decoding


def _copied(header: tags.Elements | Dataset, wanted: Iterable[int]) -> Dataset:
    """Copy elements to a data set that will be written as explicit little endian."""
    made = Dataset()
    for tag in wanted:
        element = _lifted(header, Tag(tag))
        if element is not None:
            made[tag] = element
    # Told that these are the bytes of a file in this very encoding, pydicom writes them as they are
    letters = made.get("SpecificCharacterSet")
    made.set_original_encoding(
        is_implicit_vr=False,
        is_little_endian=True,
        character_encoding=convert_encodings(letters) if letters else default_encoding,
    )
    return made


def _lifted(header: tags.Elements | Dataset, tag: BaseTag) -> DataElement | RawDataElement | None:
    """One element with its own bytes; None where it is absent, private or of no known kind."""
    element = tags.raw_element(header, tag)
    if element is None or element.value is None or tag.is_private or tag.element == 0:
        return None
    representation = element.VR if element.VR not in (None, "UN") else _known(tag)
    if representation == "SQ":
        items = tags.items_at(header, tag)
        return DataElement(tag, "SQ", Sequence(_copied(item, list(item.keys())) for item in items))
    if not isinstance(element, RawDataElement) or not representation:
        return None
    if representation in BINARY and not element.is_little_endian:
        return convert_raw_data_element(element._replace(VR=representation))
    value = element.value
    return RawDataElement(tag, representation, len(value), value, 0, False, True)


def _known(tag: BaseTag) -> str:
    """The standard's representation of an element that came without one."""
    try:
        found = dictionary_VR(tag)
    except KeyError:
        return ""
    return found if len(found) == 2 else ""
