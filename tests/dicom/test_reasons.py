"""Each reason has an export that is damaged in exactly one way, and gets its own code."""

import copy
import re
import struct
import zipfile
from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, HTJ2KLossless, generate_uid

from petcast.dicom.check import IN_THE_SUV
from petcast.dicom.petheader import PetHeader
from petcast.dicom.scan import scan
from petcast.refusal import Reason

SALT = "tests"
MR_CLASS = "1.2.840.10008.5.1.4.1.1.4"
CAPTURE_CLASS = "1.2.840.10008.5.1.4.1.1.7"

Damage = Callable[..., object]
BEFORE: dict[Reason, Damage] = {}
"""Damages done to the slices before they are written."""
AFTER: dict[Reason, Damage] = {}
"""Damages done to the files."""


def before(reason: Reason) -> Callable[[Damage], Damage]:
    def register(damage: Damage) -> Damage:
        BEFORE[reason] = damage
        return damage

    return register


def after(reason: Reason) -> Callable[[Damage], Damage]:
    def register(damage: Damage) -> Damage:
        AFTER[reason] = damage
        return damage

    return register


def put(slices, **values) -> None:
    """Give elements of some slices other values; None deletes them."""
    for slice_ in slices:
        for keyword, value in values.items():
            if value is None:
                delattr(slice_, keyword)
            else:
                setattr(slice_, keyword, value)


# Files


@after(Reason.UNREADABLE)
def _a_link_that_leads_nowhere(export) -> None:
    (export.folder / "link").symlink_to(export.folder / "gone")


@after(Reason.NOT_DICOM)
def _a_text_file(export) -> None:
    (export.folder / "readme.txt").write_text("The images are in this folder.\n" * 20)


@after(Reason.DAMAGED)
def _nothing_behind_the_mark(export) -> None:
    (export.folder / "noise").write_bytes(b"\0" * 128 + b"DICM" + b"\x11" * 4000)


@after(Reason.NESTED)
def _sixty_kilobytes_of_sequences(export) -> None:
    whole = export.path(0).read_bytes()
    head = whole[: whole.index(struct.pack("<HH", 0x0008, 0x0008))]
    opening = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    opening += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    (export.folder / "nested").write_bytes(head + opening * 3000)


@before(Reason.DEFLATED)
def _a_deflated_slice(export) -> None:
    export.twin(export.ct[3]).file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian


@after(Reason.UNSAFE_ARCHIVE)
def _a_zip_that_climbs_out(export) -> None:
    with zipfile.ZipFile(export.folder / "more.zip", "w") as archive:
        archive.writestr("../../evil", "evil")


@before(Reason.NO_UID)
def _no_series_uid(export) -> None:
    put([export.twin(export.ct[3])], SeriesInstanceUID="")


@before(Reason.SOP_CLASS)
def _an_mr_labelled_ct(export) -> None:
    put(export.ct, SOPClassUID=MR_CLASS)


@before(Reason.RGB_CAPTURE)
def _a_colour_capture_labelled_ct(export) -> None:
    put(export.ct, SOPClassUID=CAPTURE_CLASS, SamplesPerPixel=3, PhotometricInterpretation="RGB")
    put(export.ct, BitsAllocated=8, PlanarConfiguration=0, PixelData=bytes(16 * 16 * 3))


@before(Reason.NO_PIXELS)
def _no_pixels(export) -> None:
    put(export.ct, PixelData=None)


@after(Reason.TRUNCATED)
def _half_a_file(export) -> None:
    whole = export.path(3).read_bytes()
    export.path(3).write_bytes(whole[:-200])


@before(Reason.PIXEL_LENGTH)
def _fewer_pixels_than_declared(export) -> None:
    put(export.ct[3:4], PixelData=bytes(100))
    export.ct[3].DataSetTrailingPadding = bytes(2000)


@before(Reason.DIMENSIONS)
def _rows_beyond_any_scanner(export) -> None:
    put(export.ct[3:4], Rows=65535, Columns=65535)


@before(Reason.PIXEL_FORMAT)
def _white_is_low(export) -> None:
    put(export.ct, PhotometricInterpretation="MONOCHROME1")


@before(Reason.CODEC)
def _a_codec_that_nobody_has(export) -> None:
    for slice_ in export.ct:
        slice_.PixelData = encapsulate([bytes(64)])
        slice_["PixelData"].is_undefined_length = True
        slice_.file_meta.TransferSyntaxUID = HTJ2KLossless


@before(Reason.NO_POSITION)
def _no_position(export) -> None:
    put(export.ct[3:4], ImagePositionPatient=None)


@after(Reason.SPACING)
def _spacing_that_is_no_number(export) -> None:
    whole = export.path(3).read_bytes()
    assert whole.count(b"30.0\\30.0") == 1
    export.path(3).write_bytes(whole.replace(b"30.0\\30.0", b"NaN \\NaN "))


@before(Reason.RESCALE)
def _a_pet_with_an_intercept(export) -> None:
    put(export.pet, RescaleIntercept=5)


# Series


@before(Reason.SCOUT)
def _a_scout(export) -> None:
    put(export.ct, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])


@before(Reason.PROJECTION)
def _a_maximum_projection(export) -> None:
    put(export.ct, ImageType=["DERIVED", "SECONDARY", "MIP"])


@before(Reason.NOT_HU)
def _optical_density(export) -> None:
    put(export.ct, RescaleType="OD")


@before(Reason.MIXED_PATIENT)
def _another_patient_s_slice(export) -> None:
    put(export.ct[3:4], PatientID="4712")


@before(Reason.MIXED_FRAME)
def _two_frames_in_one_series(export) -> None:
    put(export.ct[6:], FrameOfReferenceUID=generate_uid())


@before(Reason.NO_FRAME)
def _no_frame(export) -> None:
    put(export.all, FrameOfReferenceUID=None)


@before(Reason.MIXED_SIZE)
def _two_spacings(export) -> None:
    put(export.ct[6:], PixelSpacing=[20, 20])


@before(Reason.MIXED_ORIENTATION)
def _one_sagittal_slice(export) -> None:
    put(export.ct[6:7], ImageOrientationPatient=[0, 1, 0, 0, 0, -1])


@before(Reason.NOT_AXIAL)
def _a_coronal_reformat(export) -> None:
    put(export.ct, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])


@before(Reason.TILT)
def _a_tilted_gantry(export) -> None:
    put(export.ct, GantryDetectorTilt=15)


@before(Reason.DUPLICATE)
def _the_same_place_with_other_pixels(export) -> None:
    twin = export.twin(export.ct[3])
    twin.SOPInstanceUID = generate_uid()
    twin.PixelData = np.full((16, 16), 7, np.int16).tobytes()


@before(Reason.ACQUISITIONS)
def _two_slices_of_another_acquisition(export) -> None:
    for slice_ in export.ct[3:5]:
        twin = export.twin(slice_)
        twin.SOPInstanceUID, twin.AcquisitionNumber = generate_uid(), 2
        twin.PixelData = np.full((16, 16), 7, np.int16).tobytes()


@before(Reason.GAP)
def _a_slice_lost(export) -> None:
    del export.ct[5]


@before(Reason.UNEVEN)
def _a_slice_out_of_step(export) -> None:
    x, y, z = export.ct[5].ImagePositionPatient
    put(export.ct[5:6], ImagePositionPatient=[x, y, z + 1.2])


@before(Reason.TOO_FEW_SLICES)
def _five_slices(export) -> None:
    del export.ct[5:]


@before(Reason.MULTI_FRAME)
def _two_frames_where_one_is_meant(export) -> None:
    put(export.ct[3:4], NumberOfFrames=2, PixelData=export.ct[3].PixelData * 2)


# PET


@before(Reason.NOT_ATTENUATION_CORRECTED)
def _not_attenuation_corrected(export) -> None:
    put(export.pet, CorrectedImage=["NORM", "DECY"])


@before(Reason.NOT_DECAY_CORRECTED)
def _not_decay_corrected(export) -> None:
    put(export.pet, CorrectedImage=["NORM", "ATTN"])


@before(Reason.DECAY_RULE)
def _no_decay_rule(export) -> None:
    put(export.pet, DecayCorrection="")


@before(Reason.UNITS)
def _proportional_counts(export) -> None:
    put(export.pet, Units="PROPCPS")


@before(Reason.SUV_TYPE)
def _an_unknown_suv(export) -> None:
    put(export.pet, Units="GML", SUVType="XYZ")


@before(Reason.NO_SUV_FACTOR)
def _counts_without_factor(export) -> None:
    put(export.pet, Units="CNTS")


@before(Reason.NO_WEIGHT)
def _no_weight(export) -> None:
    put(export.pet, PatientWeight=None)


@before(Reason.NO_HEIGHT)
def _lean_mass_without_height(export) -> None:
    put(export.pet, Units="GML", SUVType="LBM", PatientSize=None)


@before(Reason.NO_SEX)
def _lean_mass_without_sex(export) -> None:
    put(export.pet, Units="GML", SUVType="LBM", PatientSex="")


@before(Reason.NO_DOSE)
def _no_dose(export) -> None:
    put(export.injections, RadionuclideTotalDose=0)


@before(Reason.NO_HALF_LIFE)
def _no_half_life(export) -> None:
    put(export.injections, RadionuclideHalfLife=None)


@before(Reason.NO_TIME)
def _no_injection_time(export) -> None:
    put(
        export.injections,
        RadiopharmaceuticalStartTime=None,
        RadiopharmaceuticalStartDateTime=None,
    )


@before(Reason.UPTAKE_TIME)
def _dates_shifted_apart(export) -> None:
    put(
        export.injections,
        RadiopharmaceuticalStartTime=None,
        RadiopharmaceuticalStartDateTime="20190102100000",
    )


@before(Reason.MIXED_PET)
def _two_doses_in_one_series(export) -> None:
    put(list(export.injections)[6:], RadionuclideTotalDose=200e6)


@before(Reason.TRACER)
def _another_tracer(export) -> None:
    put(export.injections, Radiopharmaceutical="FLT")


@before(Reason.DYNAMIC)
def _a_dynamic_pet(export) -> None:
    put(export.pet, SeriesType=["DYNAMIC", "IMAGE"])


@before(Reason.SYNTHETIC_PET)
def _a_pet_of_our_own(export) -> None:
    put(export.pet, SeriesDescription="SYNTHETIC PET (AI) - NOT FOR DIAGNOSIS")


# Studies


@before(Reason.NO_PET)
def _no_pet(export) -> None:
    export.pet.clear()


@before(Reason.NO_CT)
def _no_ct(export) -> None:
    export.ct.clear()


@before(Reason.OTHER_STUDY)
def _the_ct_of_another_day(export) -> None:
    put(export.ct, StudyInstanceUID=generate_uid())


@before(Reason.OTHER_FRAME)
def _a_ct_in_another_frame(export) -> None:
    put(export.ct, FrameOfReferenceUID=generate_uid())


@before(Reason.COVERAGE)
def _a_ct_of_another_region(export) -> None:
    for slice_ in export.ct:
        x, y, z = slice_.ImagePositionPatient
        slice_.ImagePositionPatient = [x, y, z + 500]


def test_each_reason_has_a_fixture_here_or_among_the_voxels(seen_in_voxels) -> None:
    assert set(BEFORE).isdisjoint(AFTER)
    # tests/prepare/test_course.py has the one that is for what nobody has foreseen
    assert {*BEFORE, *AFTER} == set(Reason) - seen_in_voxels - {Reason.NOT_PREPARED}


@pytest.mark.slow
@pytest.mark.parametrize("reason", [*BEFORE, *AFTER], ids=str)
def test_each_damage_gets_its_own_code(reason: Reason, export, codes, accounted) -> None:
    BEFORE.get(reason, lambda export: None)(export)
    folder = export.write()
    AFTER.get(reason, lambda export: None)(export)
    found = scan([folder], salt=SALT)
    assert reason in codes(found)
    assert codes(found) <= {reason, Reason.NO_PET}  # a CT that was moved away has no PET
    assert accounted(found) == sorted(folder.rglob("*"))
    assert_tells_a_technician(found.to_json())


def _second_injection(export, **values) -> None:
    for slice_ in export.pet:
        [first] = slice_.RadiopharmaceuticalInformationSequence
        second = copy.deepcopy(first)
        put([second], **values)
        slice_.RadiopharmaceuticalInformationSequence = [first, second]


OTHERS: list[tuple[Reason, Damage]] = [
    (Reason.SPACING, lambda export: put(export.ct, PixelSpacing=[1e-6, 1e-6])),
    (Reason.SPACING, lambda export: put(export.pet, PixelSpacing=[1e6, 1e6])),
    (Reason.SPACING, lambda export: stretched(export.ct, 30)),
    (Reason.RESCALE, lambda export: put(export.pet[5:6], RescaleSlope="1e300")),
    (Reason.RESCALE, lambda export: put(export.ct[5:6], RescaleIntercept="-1e300")),
    (Reason.NO_HALF_LIFE, lambda export: put(export.injections, RadionuclideHalfLife=1223.4)),
    (Reason.NO_HALF_LIFE, lambda export: put(export.injections, RadionuclideHalfLife=109.8)),
    (Reason.MIXED_PET, lambda export: _second_injection(export, RadionuclideTotalDose=100e6)),
    (
        Reason.MIXED_PET,
        lambda export: _second_injection(export, RadiopharmaceuticalStartTime="103000"),
    ),
    (
        Reason.MIXED_PET,
        lambda export: put(list(export.injections)[6:], RadionuclideHalfLife=6590.0),
    ),
    (Reason.TRACER, lambda export: put(export.injections, Radiopharmaceutical="Pylarify")),
]
"""Other ways to the same codes."""


def stretched(slices, factor: float) -> None:
    for slice_ in slices:
        x, y, z = slice_.ImagePositionPatient
        slice_.ImagePositionPatient = [x, y, z * factor]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(OTHERS)))
def test_other_damages_get_the_code_too(number: int, export, codes) -> None:
    reason, damage = OTHERS[number]
    damage(export)
    found = scan([export.write()], salt=SALT)
    assert reason in codes(found)
    assert_tells_a_technician(found.to_json())


def test_slices_of_one_pet_may_differ_in_what_has_no_part_in_the_suv() -> None:
    named = {field.name for field in fields(PetHeader)}
    assert named - set(IN_THE_SUV) == {
        "tracer", "nuclide", "corrected", "series_type", "synthetic", "half_width", "slices",
        "to_the_hour",
    }  # fmt: skip
    assert named >= set(IN_THE_SUV)


@pytest.mark.slow
@pytest.mark.parametrize("values", [{}, {"RadionuclideTotalDose": None}])
def test_an_injection_that_is_named_twice_alike_is_one(values, export, codes) -> None:
    _second_injection(export, **values)
    assert not codes(scan([export.write()], salt=SALT))


def assert_tells_a_technician(document) -> None:
    """Each refusal has sentences, and none of them an identity or a variable's name."""
    refused = [row for level in document.values() for row in level if row["status"] == "refused"]
    assert refused
    for row in refused:
        assert row["detail"].endswith(".")
        assert not re.search("[a-z]_[a-z]", row["detail"])
        assert row["remedy"].endswith(".")
    for secret in ("4711", "4712", "Doe", "Jane", "2020"):
        assert secret not in str(document)


def test_the_undamaged_twin_is_accepted(export, codes) -> None:
    found = scan([export.write()], salt=SALT)
    assert codes(found) == set()
    assert [study.refusal for study in found.studies] == [None]
