"""What can be repaired safely is: the study stays usable, and its notes say what was done."""

from collections.abc import Callable

import numpy as np
import pytest
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless, generate_uid

from petcast.dicom.scan import scan
from petcast.prepare.cohort import DicomCase

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
LEGACY_PET = "1.2.840.10008.5.1.4.1.1.128.1"


def _two_acquisitions(export, frames) -> None:
    for slice_ in export.ct:
        twin = export.twin(slice_)
        twin.SOPInstanceUID, twin.AcquisitionNumber = generate_uid(), 2
        twin.PixelData = (np.frombuffer(slice_.PixelData, "<i2") + np.int16(7)).tobytes()


def _a_slice_twice(export, frames) -> None:
    export.twin(export.ct[3]).SOPInstanceUID = generate_uid()


def _big_endian(export, frames) -> None:
    for slice_ in export.pet:
        slice_.PixelData = np.frombuffer(slice_.PixelData, "<i2").astype(">i2").tobytes()
        slice_.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        slice_.set_original_encoding(is_implicit_vr=False, is_little_endian=False)


def _run_lengths(export, frames) -> None:
    for slice_ in export.ct:
        slice_.compress(RLELossless, generate_instance_uid=False)


def _an_enhanced_ct(export, frames) -> None:
    export.ct = [
        frames.enhanced(
            export.ct, ENHANCED_CT, lambda one: frames.plane(one) | frames.values_of(one)
        )
    ]


def _an_enhanced_pet(export, frames) -> None:
    def groups(one):
        kept = frames.item(AcquisitionTime="110000", FrameReferenceTime=one.FrameReferenceTime)
        unassigned = {"UnassignedPerFrameConvertedAttributesSequence": kept}
        return frames.plane(one) | frames.values_of(one) | unassigned

    export.pet = [frames.enhanced(export.pet, LEGACY_PET, groups)]


def _grams(export, frames) -> None:
    for slice_ in export.pet:
        slice_.PatientWeight = 70_000


def _megabecquerels(export, frames) -> None:
    for injection in export.injections:
        injection.RadionuclideTotalDose = 350


def _an_injection_dated_elsewhere(export, frames) -> None:
    for injection in export.injections:
        injection.RadiopharmaceuticalStartDateTime = "20190102100000"


def _no_tracer_named(export, frames) -> None:
    for injection in export.injections:
        del injection.Radiopharmaceutical


REPAIRS: dict[str, Callable[..., None]] = {
    "of 2 in one series": _two_acquisitions,
    "slices that others hold too": _a_slice_twice,
    "Big-endian": _big_endian,
    "Compressed pixels": _run_lengths,
    "multi-frame file": _an_enhanced_ct,
    "multi-frame file ": _an_enhanced_pet,
    "read as grams": _grams,
    "read as MBq": _megabecquerels,
    "its time alone": _an_injection_dated_elsewhere,
    "FDG was assumed": _no_tracer_named,
}
"""What the notes say, and what was wrong."""


@pytest.mark.slow
@pytest.mark.parametrize("words", REPAIRS)
def test_what_is_repaired_is_usable_and_said(words: str, export, frames) -> None:
    sound = DicomCase(scan([export.write()], salt="tests").studies[0]).read()
    for path in export.folder.iterdir():
        path.unlink()
    REPAIRS[words](export, frames)
    [study] = scan([export.write()], salt="tests").studies
    assert study.refusal is None
    reading = DicomCase(study).read()  # whose notes travel into the pairs
    assert any(words.strip() in note for note in reading.notes), reading.notes
    np.testing.assert_allclose(reading.pet.voxels, sound.pet.voxels, rtol=1e-5)
    if words != "of 2 in one series":
        np.testing.assert_array_equal(reading.ct.voxels, sound.ct.voxels)


def test_implicit_files_that_count_their_one_frame_are_usable(export) -> None:
    for slice_ in export.all:
        slice_.NumberOfFrames = 1
        slice_.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        slice_.set_original_encoding(is_implicit_vr=True, is_little_endian=True)
    [study] = scan([export.write()], salt="tests").studies
    assert study.refusal is None


@pytest.mark.parametrize("packed", ["ct", "pet"])
def test_what_the_pairs_note_says_whether_the_ct_or_the_pet_is_meant(export, packed: str) -> None:
    for slice_ in getattr(export, packed):
        slice_.compress(RLELossless, generate_instance_uid=False)
    notes = DicomCase(scan([export.write()], salt="tests").studies[0]).read().notes
    said = [note for note in notes if note.endswith("Compressed pixels are decoded on reading.")]
    assert said == [f"{packed.upper()}: Compressed pixels are decoded on reading."]
