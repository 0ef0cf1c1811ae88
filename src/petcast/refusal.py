"""Why data are refused: one code a reason, with its sentence and its remedy.

`scan` and `prepare` print these codes and write them into pairs.json; docs/how-to/refusals.md
lists them. A code never changes its meaning.
"""

from dataclasses import dataclass
from enum import StrEnum

from petcast.errors import DataError


class Reason(StrEnum):
    """The code of a refusal, upper case with hyphens, stable across versions.

    Attributes:
        meaning: What it means, in a sentence that a technician understands.
        remedy: What to do about it.
    """

    meaning: str
    remedy: str

    def __new__(cls, code: str, meaning: str, remedy: str) -> "Reason":
        """Make a member of its code; the texts travel as attributes."""
        member = str.__new__(cls, code)
        member._value_, member.meaning, member.remedy = code, meaning, remedy
        return member

    # A file, before anything is known of its series

    UNREADABLE = (
        "UNREADABLE",
        "The file cannot be opened.",
        "Check its permissions and the disk, or copy it again.",
    )
    NOT_DICOM = (
        "NOT-DICOM",
        "The file is not DICOM: the mark DICM is missing behind its preamble.",
        "Do nothing, if it is a text or a viewer; unpack an archive; else export the images again "
        "as DICOM files.",
    )
    DAMAGED = (
        "DAMAGED",
        "The DICOM header cannot be read to its end.",
        "Export or copy the file again.",
    )
    NESTED = (
        "NESTED",
        "Sequences are nested deeper than any scanner does.",
        "Do not trust the file; export it again from its source.",
    )
    DEFLATED = (
        "DEFLATED",
        "The whole data set is deflated; it could inflate to any size.",
        "Export it uncompressed, for example with dcmtk's `dcmconv +te`.",
    )
    UNSAFE_ARCHIVE = (
        "UNSAFE-ARCHIVE",
        "The archive is damaged, encrypted, too large, or wants to write outside its folder.",
        "Look at it with a tool you trust, unpack it yourself, and give the folder.",
    )
    NO_UID = (
        "NO-UID",
        "A unique identifier of the study, the series or the image is missing.",
        "Export the images again; a de-identification must replace UIDs, not empty them.",
    )
    SOP_CLASS = (
        "SOP-CLASS",
        "These objects are no CT or PET images, whatever their Modality says.",
        "Do nothing, if they are reports or captures; else export the original images.",
    )
    RGB_CAPTURE = (
        "RGB-CAPTURE",
        "A colour picture labelled CT or PT, such as fused CT and PET, is no measurement.",
        "Export the original CT and PET; a fused picture would show the PET to the network.",
    )
    NO_PIXELS = ("NO-PIXELS", "The image has no pixels.", "Export it again with pixel data.")
    TRUNCATED = (
        "TRUNCATED",
        "The file ends before its pixels do.",
        "Copy or export it again; check the free space.",
    )
    PIXEL_LENGTH = (
        "PIXEL-LENGTH",
        "The length that the pixels declare does not fit the image or the file.",
        "Export the file again.",
    )
    DIMENSIONS = (
        "DIMENSIONS",
        "Rows, columns or frames are missing, or larger than any scanner makes.",
        "Export the file again.",
    )
    PIXEL_FORMAT = (
        "PIXEL-FORMAT",
        "The pixels are not whole grey numbers of 8, 16 or 32 bits, or not in the lowest bits.",
        "Export the original images of the scanner.",
    )
    CODEC = (
        "CODEC",
        "The pixels are compressed in a way that this installation cannot decode.",
        "Run `pip install 'petcast[codecs]'`, or export the images uncompressed.",
    )
    NO_POSITION = (
        "NO-POSITION",
        "Where the slice lies in the patient is missing or no number.",
        "Export the original images with ImagePositionPatient and ImageOrientationPatient.",
    )
    SPACING = (
        "SPACING",
        "The pixel spacing is missing, not finite or not one of a scanner.",
        "Export the original images of the scanner.",
    )
    RESCALE = (
        "RESCALE",
        "The rescale slope or intercept cannot be right.",
        "Export the original images of the scanner.",
    )

    # A series

    SCOUT = (
        "SCOUT",
        "A scout (localizer) is a projection, not slices.",
        "Do nothing; the CT itself is another series.",
    )
    PROJECTION = (
        "PROJECTION",
        "The images are projections or renderings (MIP and the like), not slices.",
        "Export the original slices.",
    )
    NOT_HU = (
        "NOT-HU",
        "The CT's values are not in Hounsfield units.",
        "Export the reconstruction in HU.",
    )
    MIXED_PATIENT = (
        "MIXED-PATIENT",
        "One series or study names several patients or studies.",
        "Find out whose images they are; separate them before use.",
    )
    MIXED_FRAME = (
        "MIXED-FRAME",
        "The slices of one series lie in several frames of reference.",
        "Export the original series; merged series cannot be placed in one space.",
    )
    NO_FRAME = (
        "NO-FRAME",
        "The frame of reference is missing, so CT and PET cannot be laid on each other.",
        "Export again with FrameOfReferenceUID; a de-identification must keep or replace it.",
    )
    MIXED_SIZE = (
        "MIXED-SIZE",
        "The slices of one series differ in size or spacing.",
        "Export the original series.",
    )
    MIXED_ORIENTATION = (
        "MIXED-ORIENTATION",
        "The slices of one series look in several directions.",
        "Export the original axial series.",
    )
    NOT_AXIAL = (
        "NOT-AXIAL",
        "The slices are not axial.",
        "Export the original axial series, not a reformat.",
    )
    TILT = (
        "TILT",
        "The gantry was tilted: the slices are sheared against each other.",
        "Export a series without tilt, or a reformat that removes it.",
    )
    DUPLICATE = (
        "DUPLICATE",
        "Two slices claim the same place or the same UID with different pixels.",
        "Find out which one is right; export the series again.",
    )
    ACQUISITIONS = (
        "ACQUISITIONS",
        "One series holds several acquisitions that cannot be told apart.",
        "Export each acquisition as its own series.",
    )
    GAP = (
        "GAP",
        "Slices are missing inside the series.",
        "Export the whole series; check whether the copy was interrupted.",
    )
    UNEVEN = (
        "UNEVEN",
        "The distance between slices is not constant.",
        "Export a reconstruction with constant slice distance.",
    )
    TOO_FEW_SLICES = (
        "TOO-FEW-SLICES",
        "The series has too few slices to be a volume.",
        "Export the whole series.",
    )
    MULTI_FRAME = (
        "MULTI-FRAME",
        "A file with several frames does not say where each lies.",
        "Export it as one file a slice.",
    )

    # A PET series

    NOT_ATTENUATION_CORRECTED = (
        "NOT-ATTENUATION-CORRECTED",
        "The PET is not corrected for attenuation.",
        "Export the attenuation-corrected reconstruction (often named AC).",
    )
    NOT_DECAY_CORRECTED = (
        "NOT-DECAY-CORRECTED",
        "The PET does not say that it is corrected for decay, though a correction is named.",
        "Export the decay-corrected reconstruction.",
    )
    DECAY_RULE = (
        "DECAY-RULE",
        "To which time the decay is corrected is missing, unknown or contradictory.",
        "Export again with DecayCorrection START, ADMIN or NONE.",
    )
    UNITS = (
        "UNITS",
        "The PET's unit cannot be turned into SUV.",
        "Export in BQML (or GML, CM2ML, or Philips CNTS with its factors).",
    )
    SUV_TYPE = (
        "SUV-TYPE",
        "The kind of SUV that the scanner wrote is unknown.",
        "Export in BQML, or with SUVType BW.",
    )
    NO_SUV_FACTOR = (
        "NO-SUV-FACTOR",
        "The PET is in counts, and Philips' factors to SUV or Bq/mL are missing.",
        "Export again with private group 7053 kept.",
    )
    NO_WEIGHT = (
        "NO-WEIGHT",
        "The patient's weight is missing or not above zero.",
        "Export again with PatientWeight kept; SUV cannot be computed without.",
    )
    NO_HEIGHT = (
        "NO-HEIGHT",
        "The patient's height is missing, and this kind of SUV needs it.",
        "Export again with PatientSize kept, or in BQML.",
    )
    NO_SEX = (
        "NO-SEX",
        "The patient's sex is missing, and this kind of SUV needs it.",
        "Export again with PatientSex kept, or in BQML.",
    )
    NO_DOSE = (
        "NO-DOSE",
        "The injected dose is missing or not above zero.",
        "Export again with RadionuclideTotalDose kept.",
    )
    NO_HALF_LIFE = (
        "NO-HALF-LIFE",
        "The radionuclide's half-life is missing, not above zero, or not its nuclide's.",
        "Export again with RadionuclideHalfLife kept, in seconds.",
    )
    NO_TIME = (
        "NO-TIME",
        "The time of injection or of the scan is missing or unreadable.",
        "Export again with all times kept (dates may be shifted, all by the same amount).",
    )
    UPTAKE_TIME = (
        "UPTAKE-TIME",
        "The time between injection and scan cannot be right.",
        "Correct the times at the source; a de-identification must shift all dates alike.",
    )
    MIXED_PET = (
        "MIXED-PET",
        "The slices or the injections of one PET disagree on dose, times, unit or weight.",
        "Export the original series; two scans or two injections were mixed.",
    )
    TRACER = ("TRACER", "The tracer is not FDG.", "Leave it out: petcast learns one tracer.")
    DYNAMIC = (
        "DYNAMIC",
        "A dynamic or gated PET is no static image.",
        "Export the static (whole-body) reconstruction.",
    )
    SYNTHETIC_PET = (
        "SYNTHETIC-PET",
        "The PET was made by a program; it measures no tracer.",
        "Leave it out: a model must not learn from a model.",
    )

    # A study

    NO_PET = (
        "NO-PET",
        "The study holds no usable PET series.",
        "Export the PET of the same visit.",
    )
    NO_CT = (
        "NO-CT",
        "The study holds no usable CT series.",
        "Export the CT of the same visit.",
    )
    OTHER_STUDY = (
        "OTHER-STUDY",
        "CT and PET of this patient belong to different studies.",
        "Export the CT of the PET's own study; one of another day does not lie on it.",
    )
    OTHER_FRAME = (
        "OTHER-FRAME",
        "CT and PET lie in different frames of reference.",
        "Export the CT that was scanned with the PET, not one of another device or session.",
    )
    COVERAGE = (
        "COVERAGE",
        "The CT does not cover the PET.",
        "Export the CT that was scanned for this PET.",
    )
    NOT_PREPARED = (
        "NOT-PREPARED",
        "CT and PET cannot be brought onto one grid, for a reason that no other code names.",
        "Look at spacing and positions in the headers, and export the original series again.",
    )
    NO_LUNGS = (
        "NO-LUNGS",
        "No lungs are found on the CT.",
        'Give studies of the chest, or prepare with slices = "all".',
    )

    # A case of a NIfTI cohort

    NIFTI_NAME = (
        "NIFTI-NAME",
        "The NIfTI file's name does not say what it holds, or two files claim to be the same.",
        "Name files <case>_ct, <case>_pet and <case>_seg, or CT, SUV and SEG in a folder a case.",
    )
    NIFTI_DAMAGED = (
        "NIFTI-DAMAGED",
        "The NIfTI file is cut off, damaged, or not what its name says.",
        "Copy or convert the file again; check the free space.",
    )
    NIFTI_SHAPE = (
        "NIFTI-SHAPE",
        "The NIfTI file is not one 3-D image with one number a voxel.",
        "Convert the static volume alone, uncoloured, to a 3-D file.",
    )
    NIFTI_SIZE = (
        "NIFTI-SIZE",
        "The NIfTI file declares or holds more than a scan does, or than there is memory for.",
        "Look at it with a tool you trust; if it is sound, use a machine with more memory.",
    )
    NIFTI_PLACE = (
        "NIFTI-PLACE",
        "Where the NIfTI's voxels lie in the patient is missing, contradictory or distorted.",
        "Convert from DICOM again with a tool that writes one sform or qform, in millimetres.",
    )
    NOT_FINITE = (
        "NOT-FINITE",
        "The voxels hold NaN or infinite values.",
        "Mend it where it was made; a reader would take them for 0.",
    )
    NOT_SUV = (
        "NOT-SUV",
        "The PET's values are not in SUV of body weight.",
        "Give NIfTI in SUV (autoPET's SUV file); correct DICOM's dose and weight at the source.",
    )
    NOT_A_MASK = (
        "NOT-A-MASK",
        "The lesion mask does not hold whole labels from 0 up.",
        "Give a mask with 0 outside and 1 (or a lesion's number) inside, or take it away.",
    )
    FIELD_OF_VIEW = (
        "FIELD-OF-VIEW",
        "The images show a box cut out of the body, not whole cross-sections.",
        "Give the whole images; a crop shows neither body nor lungs.",
    )


@dataclass(frozen=True)
class Refusal:
    """One refusal.

    Attributes:
        reason: Its code.
        detail: What was found, where and what was expected; never an identity.
    """

    reason: Reason
    detail: str


class RefusedError(DataError):
    """Data were refused for one of the known reasons; `refusal` has it, with its detail."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail} {reason.remedy}")
        self.refusal = Refusal(reason, detail)

    def __reduce__(self) -> tuple[type["RefusedError"], tuple[Reason, str]]:
        """Travel between processes with both arguments."""
        return type(self), (self.refusal.reason, self.refusal.detail)
