"""One CT and one PET a study, by rules that do not depend on the order of files."""

from dataclasses import replace
from pathlib import Path

import pytest

from petcast.dicom.kernel import kernel_class
from petcast.dicom.pairing import pair
from petcast.dicom.series import Geometry, Series
from petcast.refusal import Reason, Refusal

WIDE = (-250.0, 250.0)


def series(id_: str, modality: str, z_mm=(0.0, 300.0), step_mm: float = 3.0, **values) -> Series:
    slices = round((z_mm[1] - z_mm[0]) / step_mm)
    lying = Geometry(slices, (1.0, 1.0, step_mm), WIDE, WIDE, z_mm)
    one = Series(
        id_,
        modality,
        (Path(id_),),
        None,
        "study",
        "patient",
        "frame",
        geometry=lying,
        original=True,
    )
    return replace(one, **values)


PET = series("pet", "PT")


def chosen(*others: Series) -> str:
    """The id of the CT that is taken, the same for both orders."""
    ids = set()
    for order in (others, others[::-1]):
        [study] = pair([PET, *order])
        assert study.ct is not None
        ids.add(study.ct.id)
    [id_] = ids
    return id_


def test_the_ct_that_covers_more_of_the_pet() -> None:
    assert chosen(series("a", "CT", (100, 300), 1.0), series("b", "CT", (0, 300), 5.0)) == "b"


def test_the_wider_field_of_view() -> None:
    narrow = series("a", "CT")
    lying = replace(narrow.geometry, x_mm=(-100.0, 100.0), y_mm=(-100.0, 100.0))
    assert chosen(replace(narrow, geometry=lying), series("b", "CT", step_mm=5.0)) == "b"


def test_the_softer_kernel_before_thinner_slices() -> None:
    sharp = series("a", "CT", step_mm=1.0, kernel="sharp")
    soft = series("b", "CT", step_mm=5.0, kernel="soft")
    assert chosen(sharp, soft) == "b"
    assert chosen(sharp, replace(soft, kernel="")) == "b"


def test_the_ct_of_the_attenuation_correction_before_thinner_slices() -> None:
    """A thin diagnostic CT was taken, in a held breath that is not the PET's."""
    held = series("a", "CT", step_mm=1.0, kernel="soft")
    own = series("b", "CT", step_mm=5.0, attenuation=True)
    assert chosen(held, own) == "b"
    assert chosen(held, replace(own, original=False)) == "a"  # a fusion may be described alike


@pytest.mark.parametrize(
    ("ct_kg", "said"), [(93.0, False), (100.0, False), (39.0, True), (205.0, True), (None, False)]
)
def test_a_weight_that_the_ct_contradicts_is_doubted(ct_kg: float | None, said: bool) -> None:
    pet = replace(PET, weight_kg=93.0)
    [study] = pair([pet, series("a", "CT", weight_kg=ct_kg)])
    notes = [note for note in study.notes if "PatientWeight" in note]
    assert len(notes) == said
    assert not any("93" in note for note in notes)  # a share, not the patient's own figures


def test_the_thinner_slices() -> None:
    assert chosen(series("a", "CT", step_mm=5.0), series("b", "CT", step_mm=2.0)) == "b"


def test_an_original_before_its_equal_that_was_derived() -> None:
    """A grey fusion on the CT's slices would show the PET to the network."""
    derived = series("a", "CT", original=False, begun_s=1.0)
    assert chosen(derived, series("b", "CT", begun_s=2.0)) == "b"


def test_the_ct_of_the_pet_s_day_before_a_better_one_of_another_visit() -> None:
    """An export may put all visits of a patient into one study and one frame of reference."""
    day_s = 24 * 3600.0
    first = series("pet 1", "PT", begun_s=day_s)
    old = series("a", "CT", begun_s=400 * day_s, step_mm=1.0)
    own = series("b", "CT", begun_s=day_s - 600, step_mm=5.0)
    for cts, id_, said in (([old, own], "b", ""), ([old], "a", "acquired 399 days apart")):
        [study] = pair([first, *cts])
        assert study.ct is not None
        assert study.ct.id == id_
        assert [note for note in study.notes if "apart" in note] == [
            note for note in study.notes if said and said in note
        ]


def test_what_is_left_equal_is_decided_by_the_number_then_the_uid_then_the_acquisition() -> None:
    """Of a TOF and a PSF reconstruction a user can foresee which one is taken."""
    third = series("a", "CT", number=3, uid="1.1", part=1)
    assert chosen(third, series("b", "CT", number=2, uid="1.2")) == "b"
    assert chosen(third, series("b", "CT", number=3, uid="1.0", part=2)) == "b"
    assert chosen(replace(third, part=2), replace(third, id="b")) == "b"
    assert chosen(replace(third, number=None), series("b", "CT", number=3, uid="1.2")) == "b"


def test_the_choice_is_said_and_what_is_left() -> None:
    [study] = pair([PET, series("a", "CT"), series("b", "CT", kernel="sharp")])
    assert study.notes == ("Series a was taken of 2 CT series, not b.",)


def test_it_is_said_where_no_rule_but_the_number_decides() -> None:
    first, second = (replace(PET, id=id_, number=number) for id_, number in (("a", 5), ("b", 4)))
    [study] = pair([first, second, series("c", "PT", (0, 150)), series("ct", "CT")])
    assert study.notes == (
        "Series b (number 4) was taken of 3 PET series, not a (number 5), c. No rule prefers it to "
        "1 of them: the lowest SeriesNumber was taken, then the lowest SeriesInstanceUID, "
        "then the first acquisition.",
    )


def test_a_pet_that_a_ct_fits_before_a_longer_one_without() -> None:
    """A delayed scan of the chest with its CT, in the study of a whole body whose CT is lost."""
    whole = series("a", "PT", (0, 900), frame_id="other")
    [study] = pair([whole, PET, series("ct", "CT")])
    assert study.refusal is None
    assert study.pet is PET
    assert study.notes[1] == (
        "No CT fits PET series a, which would have been taken: None of 1 CT series has the PET's "
        "FrameOfReferenceUID."
    )
    lost = replace(series("own", "CT", frame_id="other"), refusal=Refusal(Reason.GAP, "One gap."))
    [study] = pair([whole, lost, PET, series("ct", "CT")])
    assert study.notes[1].endswith("taken: The CT in the PET's frame of reference: One gap.")
    legs = series("legs", "PT", (-950, 0))  # in the CT's frame, of which it covers nothing
    [study] = pair([legs, PET, series("ct", "CT")])
    assert study.pet is PET
    [alone] = pair([whole, replace(PET, frame_id="third"), series("ct", "CT")])
    assert alone.refusal is not None
    assert alone.refusal.reason is Reason.OTHER_FRAME


def test_of_two_matrices_of_one_acquisition_the_finer_and_it_is_said() -> None:
    """The coarser one would come first by its number."""
    fine, coarse = (
        replace(PET, id=id_, number=number, geometry=replace(PET.geometry, spacing_mm=spacing_mm))
        for id_, number, spacing_mm in (("a", 5, (2.04, 2.04, 3.0)), ("b", 4, (4.07, 4.07, 3.0)))
    )
    for pets in ((fine, coarse), (coarse, fine)):
        [study] = pair([series("ct", "CT"), *pets])
        assert study.pet is fine
        assert study.notes == (
            "Series a (number 5) was taken of 2 PET series, not b (number 4).",
            "Its voxels are finer in the slice (2 mm) than those of b (number 4), from which no "
            "other rule tells it apart.",
        )
    earlier = replace(coarse, begun_s=0.0)
    denser = replace(coarse, geometry=replace(coarse.geometry, slices=101))
    for other in (earlier, denser):
        [study] = pair([series("ct", "CT"), fine, other])
        assert study.pet is other
        assert len(study.notes) == 1


def test_beds_that_were_saved_as_series_of_their_own_are_said() -> None:
    beds = [series("a", "PT", (0, 150)), series("b", "PT", (135, 280)), series("c", "PT", (0, 150))]
    [study] = pair([series("ct", "CT"), *beds])
    assert study.notes[0].startswith("Series a was taken of 3 PET series, not b, c.")
    assert study.notes[1].endswith("saved one by one: 1. Series are not joined.")
    for other in (beds[2], replace(beds[1], frame_id="other")):
        [study] = pair([series("ct", "CT"), beds[0], other])
        assert len(study.notes) == 1


def test_the_longer_and_the_original_pet() -> None:
    short = series("a", "PT", (0, 150))
    derived = series("b", "PT", original=False)
    [study] = pair([series("ct", "CT"), short, derived, series("c", "PT")])
    assert study.pet is not None
    assert study.pet.id == "c"


def test_an_original_pet_before_a_longer_derived_one() -> None:
    derived = series("a", "PT", (0, 900), original=False)
    [study] = pair([series("ct", "CT"), derived, series("b", "PT")])
    assert study.pet is not None
    assert study.pet.id == "b"


def test_of_two_time_points_the_earlier_and_of_equals_the_same_for_everyone() -> None:
    """Ids differ by the user's key; the choice must not."""
    for first, second in (("a", "b"), ("b", "a")):
        pets = (
            series(first, "PT", begun_s=10.0, uid="2"),
            series(second, "PT", begun_s=20.0, uid="1"),
        )
        [study] = pair([series("ct", "CT"), *pets])
        assert study.pet is not None
        assert study.pet.id == first
        equal = (series(first, "CT", uid="1"), series(second, "CT", uid="2"))
        assert chosen(*equal) == first


@pytest.mark.parametrize(("top_mm", "notes"), [(288.0, 0), (282.0, 1)])
def test_less_than_95_percent_of_the_pet_is_said(top_mm: float, notes: int) -> None:
    [study] = pair([PET, series("ct", "CT", (0, top_mm))])
    assert study.refusal is None
    assert len(study.notes) == notes


def test_a_chest_ct_under_a_whole_body_pet_is_used_where_both_are() -> None:
    [study] = pair([series("pet", "PT", (0, 1000)), series("ct", "CT", (600, 900))])
    assert study.refusal is None
    assert "30 %" in study.notes[0]


@pytest.mark.parametrize("z_mm", [(250.0, 550.0), (400.0, 700.0)])
def test_too_little_in_common(z_mm) -> None:
    [study] = pair([PET, series("ct", "CT", z_mm)])
    assert study.refusal is not None
    assert study.refusal.reason is Reason.COVERAGE


@pytest.mark.parametrize("axis", ["x_mm", "y_mm"])
def test_a_ct_that_lies_beside_the_pet_has_nothing_in_common_with_it(axis: str) -> None:
    ct = series("ct", "CT")
    beside = replace(ct.geometry, **{axis: (WIDE[1], WIDE[1] + 500.0)})
    [study] = pair([PET, replace(ct, geometry=beside)])
    assert study.refusal is not None
    assert study.refusal.reason is Reason.COVERAGE


@pytest.mark.parametrize(("shared_mm", "usable"), [(54.0, True), (51.0, False)])
def test_of_a_short_pet_nine_tenths_are_enough(shared_mm: float, usable: bool) -> None:
    [study] = pair([series("pet", "PT", (0, 60)), series("ct", "CT", (0, shared_mm))])
    assert (study.refusal is None) == usable


def test_a_ct_in_the_same_frame_is_preferred_to_a_finer_one_elsewhere() -> None:
    assert chosen(series("a", "CT", step_mm=1.0, frame_id="other"), series("b", "CT")) == "b"


def test_the_pet_s_own_ct_says_why_it_was_refused_where_the_others_lie_elsewhere() -> None:
    elsewhere = series("a", "CT", frame_id="other")
    own = series("b", "CT", refusal=Refusal(Reason.GAP, "A slice is missing."))
    scout = series("c", "CT", refusal=Refusal(Reason.SCOUT, "It is one."))
    [study] = pair([PET, elsewhere, own, scout])
    assert study.refusal is not None
    assert study.refusal.reason is Reason.GAP
    assert "A slice is missing." in study.refusal.detail
    [study] = pair([PET, elsewhere, scout])
    assert study.refusal is not None
    assert study.refusal.reason is Reason.OTHER_FRAME


@pytest.mark.parametrize(("id_", "files"), [("a", 1), ("z", 1), ("a", 9)])
def test_of_refused_pet_the_one_that_was_meant_gives_its_reason(id_: str, files: int) -> None:
    """Both reconstructions are exported; that the other is uncorrected is no news."""
    meant = series("m", "PT", refusal=Refusal(Reason.NO_WEIGHT, "It is 0."))
    uncorrected = Refusal(Reason.NOT_ATTENUATION_CORRECTED, "It is not.")
    beside = series(id_, "PT", refusal=uncorrected, files=(Path(id_),) * files)
    [study] = pair([series("ct", "CT"), meant, beside])
    assert study.refusal is not None
    assert study.refusal.reason is Reason.NO_WEIGHT


def test_a_pet_without_a_ct_says_in_how_many_other_studies_there_is_one() -> None:
    first, second = (series(id_, "CT", study_id=id_) for id_ in "ab")
    for cts, said in (([first], "in 1 other study of"), ([first, second], "in 2 other studies of")):
        study = pair([PET, *cts])[-1]
        assert study.refusal is not None
        assert study.refusal.reason is Reason.OTHER_STUDY
        assert said in study.refusal.detail


def test_a_refused_series_gives_its_reason_to_the_study() -> None:
    refused = replace(PET, refusal=Refusal(Reason.NO_WEIGHT, "PatientWeight is missing."))
    [study] = pair([refused, series("ct", "CT")])
    assert study.refusal is not None
    assert study.refusal.reason is Reason.NO_WEIGHT
    assert "PatientWeight" in study.refusal.detail


def test_a_measured_pet_is_preferred_to_a_synthetic_one() -> None:
    [study] = pair([replace(PET, id="a", synthetic=True), PET, series("ct", "CT")])
    assert study.pet == PET


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [("STANDARD", "soft"), ("LUNG", "sharp"), ("B30f", "soft"), ("B70f", "sharp"), ("L", "sharp"),
     ("B", "soft"), ("Br40d\\3", "soft"), ("Bl57f", "sharp"), ("FC13", "soft"), ("FC52", "sharp"),
     ("FC30", "sharp"), ("FC81", "sharp"), ("FC86", ""),
     ("I31s", "soft"), ("", ""), ("unheard of", "")],
)  # fmt: skip
def test_kernels_of_all_vendors(kernel: str, kind: str) -> None:
    assert kernel_class(kernel) == kind


@pytest.mark.parametrize(("plain", "said"), [("one", True), ("", False)])
def test_patients_without_numbers_are_not_called_spellings_of_one(plain: str, said: bool) -> None:
    pet = replace(PET, plain_id=plain)
    [study] = pair([pet, replace(series("a", "CT"), patient_id="other", plain_id=plain)])
    assert study.refusal is not None
    assert study.refusal.reason is Reason.MIXED_PATIENT
    assert ("leading zeros" in study.refusal.detail) is said
