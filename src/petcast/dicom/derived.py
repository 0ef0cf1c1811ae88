"""The header of a PET that was cast from a CT: what is copied, what is new, what is left empty.

docs/dicom-conformance.md lists every attribute with its reason. Nothing is invented: no dose, no
injection, no decay, no correction. Where the standard insists on a value that nothing measured
(CountsSource, FrameReferenceTime), the document says so.
"""

import re
import uuid
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

import petcast
from petcast.dicom import moments, tags
from petcast.dicom.compose import code, number
from petcast.dicom.petheader import HALF_WIDTH_MARK, SYNTHETIC_MARK
from petcast.dicom.source import Source, SourceSlice
from petcast.volume import Unit

PET_IMAGE = UID("1.2.840.10008.5.1.4.1.1.128")
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_OID, "petcast derived DICOM")
WRITER = UID(f"2.25.{NAMESPACE.int}"), "PETCAST"
MAKER = "petcast"


class Kind(NamedTuple):
    """What a derived series shows.

    Attributes:
        description: SeriesDescription, at most 64 characters.
        meaning: Of a value, for DerivationDescription.
        place: The last digit of its SeriesNumber.
        unit: Of its values.
    """

    description: str
    meaning: str
    place: int
    unit: Unit


SYNTHETIC_PET = Kind(
    f"{SYNTHETIC_MARK} (AI) - NOT FOR DIAGNOSIS",
    "Values are the SUV (body weight) that the model expects with such a CT.",
    1,
    Unit.SUV,
)
HALF_WIDTH = Kind(
    f"{SYNTHETIC_MARK} (AI) {HALF_WIDTH_MARK} - NOT FOR DIAGNOSIS",
    "Values are no uptake: they are half the width of the interval of the synthetic PET's SUV.",
    2,
    Unit.HALF_WIDTH,
)


@dataclass(frozen=True)
class Casting:
    """What made a derived series.

    Attributes:
        model: The generator's name, such as "Stage03".
        sha256: Of its weights.
        stage: Which stage's output it is, from 1.
        stages: How many the model has.
        window_suv: SUV from black to white for viewers.
        warnings: What a reader of the image must know, in sentences.
        kind: What is shown.
        calibration: What made the half-width; empty for a PET.
    """

    model: str
    sha256: str
    stage: int
    stages: int
    window_suv: tuple[float, float]
    warnings: tuple[str, ...] = ()
    kind: Kind = SYNTHETIC_PET
    calibration: str = ""

    @property
    def derivation(self) -> str:
        """How the image came about, for DerivationDescription."""
        stage = "" if self.stages == 1 else f", output of stage {self.stage} of {self.stages}"
        return (
            f"Cast from a CT by a neural network: no radiotracer was measured. {self.kind.meaning} "
            f"Model {self.model}{stage}, weights SHA-256 {self.sha256}, "
            f"{MAKER} {petcast.__version__}. {self.calibration} "
            "For research only, not for diagnosis."
        ).replace("  ", " ")


class Identifiers:
    """The UIDs of a derived series: the same for the same pixels, origin and words, else others.

    They are UUIDs of version 5 (PS3.5 B.2), so that the same call writes the same bytes, and no two
    different images ever share a UID.
    """

    def __init__(self, source: Source, casting: Casting, voxels: NDArray[np.float32]) -> None:
        pixels = sha256(np.ascontiguousarray(voxels, "<f4").data).hexdigest()
        said = (casting.kind.description, casting.derivation, *casting.warnings)
        parts = (source.shared.series_uid, *said, pixels)
        self._mark = sha256("\0".join(parts).encode()).hexdigest()
        self._series = source.shared.series_uid

    @property
    def series(self) -> UID:
        """SeriesInstanceUID."""
        return self._made(f"{self._mark}/series")

    def instance(self, of: SourceSlice) -> UID:
        """SOPInstanceUID of the image at a slice of the CT."""
        return self._made(f"{self._mark}/{of.sop_uid}/{of.frame or 0}")

    def frame_of_reference(self) -> UID:
        """Of a CT that names none: the same for all that is derived from it."""
        return self._made(f"{self._series}/frame of reference")

    @staticmethod
    def _made(name: str) -> UID:
        return UID(f"2.25.{uuid.uuid5(NAMESPACE, name).int}")


def series_header(source: Source, casting: Casting, uids: Identifiers) -> Dataset:
    """What all images of a derived series share.

    Args:
        source: The CT; its patient and study become the series' own.
        casting: What made it.
        uids: The new identifiers.

    Returns:
        The header, without place, slope and pixels.

    Raises:
        RefusedError: The CT's header is damaged.

    Reference:
        PS3.3 A.21, PET Image IOD.
    """
    header = source.patient_and_study()
    for keyword in TYPE_2:
        if keyword not in header:
            setattr(header, keyword, "")
    header.SOPClassUID, header.Modality = PET_IMAGE, "PT"
    header.FrameOfReferenceUID = source.shared.frame_uid or uids.frame_of_reference()
    header.SeriesInstanceUID = uids.series
    _add_series(header, source, casting)
    _add_pet(header, len(source.slices))
    _add_position(header, source.text("PatientPosition"))
    _add_equipment(header, casting)
    _add_image(header, source, casting)
    return header


TYPE_2 = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "ReferringPhysicianName", "StudyID", "AccessionNumber", "PositionReferenceIndicator",
)  # fmt: skip
"""Copied where the CT has them, else present and empty, as the standard wants."""

NO_MOMENT = "19000101", "000000"
"""SeriesDate and SeriesTime of a CT without any date: the standard allows no empty ones."""

BODY_PART = re.compile(r"[A-Z0-9 _]{1,16}")


def _add_series(header: Dataset, source: Source, casting: Casting) -> None:
    header.SeriesDate, header.SeriesTime = _moment(source)
    header.SeriesDescription = casting.kind.description
    header.SeriesNumber = 100 * _series_number(source) + 90 + casting.kind.place
    named = source.text("BodyPartExamined").upper()
    header.BodyPartExamined = named if BODY_PART.fullmatch(named) else "CHEST"


def _moment(source: Source) -> tuple[str, str]:
    """The CT's own; the time of writing would give the same call other bytes each time."""
    for event in ("Series", "Acquisition", "Study", "Content"):
        date, time = source.text(f"{event}Date"), source.text(f"{event}Time")
        moment = moments.parse_moment(date, time)
        if moment is not None:
            return _date(moment), _time(moment)
    return NO_MOMENT


def _series_number(source: Source) -> int:
    found = tags.whole(source.elements, "SeriesNumber")
    return found if found is not None and 0 <= found < 10**6 else 0


def _date(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y%m%d}"


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%H%M%S.%f}".removesuffix(".000000")


def _add_pet(header: Dataset, slices: int) -> None:
    """PET Series and PET Isotope: nothing was injected, nothing decayed, nothing was corrected."""
    header.SeriesType = ["STATIC", "IMAGE"]
    header.Units, header.SUVType = "GML", "BW"
    header.CountsSource = "EMISSION"  # the other term is TRANSMISSION; it may not be empty
    header.NumberOfSlices = slices
    header.DecayCorrection = "NONE"
    header.CorrectedImage = None
    header.CollimatorType = ""
    header.RadiopharmaceuticalInformationSequence = Sequence()
    header.FrameReferenceTime = "0"
    header.ActualFrameDuration = None


SUPINE, PRONE = ("40199007", "supine"), ("1240000", "prone")
RIGHT, LEFT = ("102535000", "right lateral decubitus"), ("102536004", "left lateral decubitus")
LYING = {"S": SUPINE, "P": PRONE, "DR": RIGHT, "DL": LEFT}
ENTERING = {"HF": ("102540008", "headfirst"), "FF": ("102541007", "feet-first")}
"""PS3.16 CID 19 to 21, in SNOMED CT."""


def _add_position(header: Dataset, position: str) -> None:
    """How the patient lay on the CT, in codes: a PET has these instead of PatientPosition."""
    header.PatientOrientationCodeSequence = Sequence()
    header.PatientGantryRelationshipCodeSequence = Sequence()
    entering, lying = ENTERING.get(position[:2]), LYING.get(position[2:])
    if entering is None or lying is None:
        return
    recumbent = code("102538003", "SCT", "recumbent")
    turned = code(lying[0], "SCT", lying[1])
    recumbent.PatientOrientationModifierCodeSequence = Sequence([turned])
    header.PatientOrientationCodeSequence = Sequence([recumbent])
    headed = code(entering[0], "SCT", entering[1])
    header.PatientGantryRelationshipCodeSequence = Sequence([headed])


def _add_equipment(header: Dataset, casting: Casting) -> None:
    """The program made the image, not the scanner: a reader must apply no vendor's rules to it."""
    header.Manufacturer = header.ManufacturerModelName = MAKER
    header.SoftwareVersions = petcast.__version__
    made = Dataset()
    made.PurposeOfReferenceCodeSequence = Sequence([code("109102", "DCM", "Processing Equipment")])
    made.Manufacturer = MAKER
    made.ManufacturerModelName = casting.model
    made.SoftwareVersions = petcast.__version__
    made.ContributionDescription = "Cast a synthetic PET from the CT"
    header.ContributingEquipmentSequence = Sequence([made])


def _add_image(header: Dataset, source: Source, casting: Casting) -> None:
    """What the pixels of all images have in common."""
    shared = source.shared
    header.ImageType = ["DERIVED", "PRIMARY"]
    header.DerivationDescription = casting.derivation
    if casting.warnings:
        told = " ".join(casting.warnings).replace("±", "+/-")  # the CT's letters may lack it
        header.ImageComments = told.encode("ascii", "replace").decode()
    header.BurnedInAnnotation = "NO"
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows, header.Columns = shared.layout.rows, shared.layout.columns
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    header.PixelRepresentation = 1
    header.PixelSpacing = [number(shared.spacing_mm[1]), number(shared.spacing_mm[0])]
    thickness = shared.thickness_mm
    header.SliceThickness = number(thickness) if thickness and thickness > 0 else None
    header.RescaleIntercept = "0"
    low, high = casting.window_suv
    header.WindowCenter, header.WindowWidth = number((low + high) / 2), number(high - low)


def set_slice(header: Dataset, source: Source, of: SourceSlice, uids: Identifiers) -> None:
    """Say which slice of the CT an image lies on, and comes from.

    Args:
        header: Of the series; changed.
        source: The CT.
        of: Its slice.
        uids: The new identifiers.
    """
    header.SOPInstanceUID = uids.instance(of)
    header.ImagePositionPatient = [number(mm) for mm in of.position_mm]
    header.ImageOrientationPatient = [number(cosine) for cosine in of.orientation]
    header.AcquisitionDate, header.AcquisitionTime = _date(of.acquired), _time(of.acquired)
    image = _reference(source, of)
    image.SpatialLocationsPreserved = "YES"
    image.PurposeOfReferenceCodeSequence = Sequence(
        [code("121322", "DCM", "Source image for image processing operation")]
    )
    header.SourceImageSequence = Sequence([image])
    series = Dataset()
    series.SeriesInstanceUID = source.shared.series_uid
    series.ReferencedInstanceSequence = Sequence([_reference(source, of)])
    header.ReferencedSeriesSequence = Sequence([series])


def _reference(source: Source, of: SourceSlice) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = source.text("SOPClassUID")
    item.ReferencedSOPInstanceUID = of.sop_uid
    if of.frame is not None:
        item.ReferencedFrameNumber = of.frame
    return item
