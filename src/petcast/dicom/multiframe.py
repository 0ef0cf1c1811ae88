"""Frames of an enhanced multi-frame file, each told in the words of a single-frame slice.

Enhanced and Legacy Converted Enhanced CT and PET keep in nested functional groups what classic
slices keep at the top (PS3.3 C.7.6.16). Laid flat, every rule for classic slices holds for them.
"""

from collections.abc import Iterator
from typing import NamedTuple

from pydicom.dataset import Dataset

from petcast.dicom import tags
from petcast.refusal import Reason, RefusedError
from petcast.words import count

GROUPS = (
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
    "FrameContentSequence",
    "CTReconstructionSequence",
    "RealWorldValueMappingSequence",
    "UnassignedSharedConvertedAttributesSequence",
    "UnassignedPerFrameConvertedAttributesSequence",
)
"""Functional groups that say something a slice needs."""

UNITS = {
    "Bq/ml": ("BQML", ""),
    "g/ml{SUVbw}": ("GML", "BW"),
    "g/ml{SUVlbm}": ("GML", "LBM"),
    "g/ml{SUVlbm(James128)}": ("GML", "LBMJAMES128"),
    "g/ml{SUVlbm(Janma)}": ("GML", "LBMJANMA"),
    "g/ml{SUVibw}": ("GML", "IBW"),
    "cm2/ml{SUVbsa}": ("CM2ML", "BSA"),
}
"""UCUM codes of PS3.16 CID 84 and 85 → Units and SUVType of the classic PET."""

FLAGS = {"AttenuationCorrected": "ATTN", "DecayCorrected": "DECY", "ScatterCorrected": "SCAT"}
"""Enhanced PET's YES/NO → the values of CorrectedImage."""


class Said(NamedTuple):
    """An element that stands in no file, but says in classic words what one means.

    Attributes:
        VR: Value representation.
        value: Text.
    """

    VR: str
    value: str


def frames_of(header: tags.Elements) -> list[tags.Elements]:
    """Lay each frame out like a slice's header.

    Args:
        header: Of an enhanced file.

    Returns:
        A header a frame, in stored order.

    Raises:
        RefusedError: MULTI-FRAME: frames are not described one by one, or differ in orientation
            or spacing.
    """
    per_frame = tags.items(header, "PerFrameFunctionalGroupsSequence")
    declared = tags.whole(header, "NumberOfFrames") or 1
    if len(per_frame) != declared:
        raise RefusedError(
            Reason.MULTI_FRAME, f"{count(declared, 'frame')} declared, {len(per_frame)} described."
        )
    shared = dict(header)
    for group in tags.items(header, "SharedFunctionalGroupsSequence"):
        shared |= _flat(group)
    frames = [_in_classic_words(shared | _flat(group)) for group in per_frame]
    looks = {tags.fingerprint(frame, LOOK) for frame in frames}
    if len(looks) > 1:
        raise RefusedError(Reason.MULTI_FRAME, "Its frames differ in orientation or spacing.")
    return frames


LOOK = tuple(map(tags.tag_of, ("PixelSpacing", "ImageOrientationPatient")))


def _flat(group: Dataset) -> tags.Elements:
    """The elements of a functional group's macros, one level up."""
    found: tags.Elements = {}
    for keyword in GROUPS:
        for item in tags.items(group, keyword):
            found |= dict(_elements(item))
    return found


def _elements(item: Dataset) -> Iterator[tuple[int, object]]:
    for tag in item.keys():  # noqa: SIM118  iterating a data set converts its values
        yield int(tag), item.get_item(tag, keep_deferred=True)


def _in_classic_words(frame: tags.Elements) -> tags.Elements:
    """Add what the classic slice says in other words; its own words win."""
    said = {**_units(frame), **_corrections(frame)}
    missing = {keyword: text for keyword, text in said.items() if not tags.text(frame, keyword)}
    return frame | {tags.tag_of(k): Said("LO", text) for k, text in missing.items()} | _real(frame)


def _units(frame: tags.Elements) -> dict[str, str]:
    codes = [
        tags.text(code, "CodeValue") for code in tags.items(frame, "MeasurementUnitsCodeSequence")
    ]
    units = [UNITS[code] for code in codes if code in UNITS]
    return {"Units": units[0][0], "SUVType": units[0][1]} if units else {}


def _corrections(frame: tags.Elements) -> dict[str, str]:
    done = [word for flag, word in FLAGS.items() if tags.text(frame, flag) == "YES"]
    if not done:
        return {}
    rule = "START" if tags.text(frame, "DecayCorrectionDateTime") else ""
    if tags.text(frame, "DecayCorrected") == "NO":
        rule = "NONE"
    return {"CorrectedImage": "\\".join(done), "DecayCorrection": rule}


def _real(frame: tags.Elements) -> tags.Elements:
    """The real-world mapping replaces the rescale slope where it names a PET's unit.

    Not where the frame's Units, to which its own slope belongs, are others.
    """
    slope, intercept = (
        tags.number(frame, keyword)
        for keyword in ("RealWorldValueSlope", "RealWorldValueIntercept")
    )
    mapped, own = _units(frame), tags.text(frame, "Units").upper()
    if slope is None or not mapped or own not in ("", mapped["Units"]):
        return {}
    scale = {"RescaleSlope": slope, "RescaleIntercept": intercept or 0.0}
    return {tags.tag_of(keyword): Said("DS", repr(value)) for keyword, value in scale.items()}
