"""Units, times and body sizes: each rule of the SUV, and each trap."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petcast.dicom import bodysize
from petcast.dicom.decay import TimeRule, average_count_rate_s, decay_times_s
from petcast.dicom.facts import Slice
from petcast.dicom.petheader import PetHeader
from petcast.dicom.scale import FactorRule, philips_routes, suv_scale
from petcast.refusal import Reason, RefusedError

HALF_LIFE_S = 6586.2
SCAN = datetime(2020, 1, 2, 11, 0, tzinfo=UTC)
INJECTED = SCAN - timedelta(hours=1)
PER_BQ = 70_000 / 350e6
"""SUV of 1 Bq/mL where nothing has decayed: 70 kg, 350 MBq."""
DECAYED = 2 ** (3600 / HALF_LIFE_S)

HEADER = PetHeader(
    units="BQML", suv_type="", decay_correction="START", corrected=("ATTN", "DECY"),
    series_type="STATIC", weight=70.0, height_m=1.75, sex="F", dose=350e6,
    half_life_s=HALF_LIFE_S, tracer="FDG", nuclide="F18", injected=INJECTED,
    injected_time=timedelta(hours=10), series_start=SCAN, corrected_to=None, ge_scan_start=None,
    siemens_scan_start=None, philips_suv_factor=None, philips_activity_factor=None, synthetic=False,
)  # fmt: skip


def slice_at(acquired: datetime | None = SCAN, reference_s=60.0, duration_s=120.0) -> Slice:
    return Slice((0, 0, 0), 1, 0, "1", acquired, reference_s, duration_s)


def refusal(header: PetHeader, *slices: Slice) -> Reason:
    with pytest.raises(RefusedError) as error:
        suv_scale(header, slices or (slice_at(),))
    return error.value.refusal.reason


# Factors


def test_activity_times_weight_over_the_decayed_dose() -> None:
    scale = suv_scale(HEADER, [slice_at()])
    assert scale.factors[0] == pytest.approx(PER_BQ * DECAYED)
    assert (scale.activity, scale.factor_rule) == (1.0, FactorRule.BQML)
    assert scale.uptake_minutes == 60


def test_a_weight_in_grams_and_a_dose_in_megabecquerel_are_repaired_and_said() -> None:
    scale = suv_scale(replace(HEADER, weight=70_000.0, dose=350.0), [slice_at()])
    assert scale.factors[0] == pytest.approx(PER_BQ * DECAYED)
    assert len(scale.notes) == 2


@pytest.mark.parametrize("weight", [None, 0.0, -70.0])
def test_no_weight_is_refused(weight) -> None:
    assert refusal(replace(HEADER, weight=weight)) is Reason.NO_WEIGHT


def test_suv_of_the_scanner_needs_no_dose_and_no_time() -> None:
    bare = replace(HEADER, units="GML", dose=None, injected=None, injected_time=None, weight=None)
    scale = suv_scale(bare, [slice_at()])
    assert scale.factors == (1.0,)
    assert scale.activity is None
    assert (scale.factor_rule, scale.time_rule) == (FactorRule.GML_BW, TimeRule.NOT_NEEDED)


@pytest.mark.parametrize(
    ("suv_type", "sex", "mass_kg"),
    [
        ("LBM", "M", 1.10 * 70 - 120 * (70 / 175) ** 2),
        ("LBM", "F", 1.07 * 70 - 148 * (70 / 175) ** 2),
        ("LBMJAMES128", "M", 1.10 * 70 - 128 * (70 / 175) ** 2),
        ("LBMJAMES128", "F", 1.07 * 70 - 148 * (70 / 175) ** 2),
        ("LBMJANMA", "M", 9270 * 70 / (6680 + 216 * 70 / 1.75**2)),
        ("LBMJANMA", "F", 9270 * 70 / (8780 + 244 * 70 / 1.75**2)),
        ("IBW", "M", 48.0 + 1.06 * 23),
        ("IBW", "F", 45.5 + 0.91 * 23),
    ],
)
def test_other_masses_are_brought_to_body_weight(suv_type, sex, mass_kg) -> None:
    header = replace(HEADER, units="GML", suv_type=suv_type, sex=sex)
    assert suv_scale(header, [slice_at()]).factors[0] == pytest.approx(70 / mass_kg)


@pytest.mark.parametrize("suv_type", ["LBM", "LBMJAMES128", "LBMJANMA", "IBW"])
def test_sex_other_takes_the_mean_of_both_formulas(suv_type: str) -> None:
    header = replace(HEADER, units="GML", suv_type=suv_type)
    masses = [
        70 / suv_scale(replace(header, sex=sex), [slice_at()]).factors[0] for sex in ("M", "F", "O")
    ]
    assert masses[2] == pytest.approx((masses[0] + masses[1]) / 2)


def test_body_surface_is_brought_to_body_weight() -> None:
    scale = suv_scale(replace(HEADER, units="CM2ML"), [slice_at()])
    surface_cm2 = 0.007184 * 70**0.425 * 175**0.725 * 1e4
    assert scale.factors[0] == pytest.approx(70_000 / surface_cm2)


def test_a_height_in_centimetres_is_repaired_and_said() -> None:
    header = replace(HEADER, units="CM2ML")
    plain = suv_scale(header, [slice_at()])
    scale = suv_scale(replace(header, height_m=175.0), [slice_at()])
    assert scale.factors == plain.factors
    assert "centimetres" in scale.notes[0]


def test_an_impossible_height_gives_no_negative_mass() -> None:
    header = replace(HEADER, units="GML", suv_type="LBM", height_m=0.5)
    assert refusal(header) is Reason.NO_HEIGHT


def test_philips_counts_take_the_suv_factor_first() -> None:
    header = replace(HEADER, units="CNTS", philips_suv_factor=5e-4, philips_activity_factor=2.0)
    scale = suv_scale(header, [slice_at()])
    assert (scale.factors, scale.factor_rule) == ((5e-4,), FactorRule.PHILIPS_SUV)
    direct, by_activity = philips_routes(header, [slice_at()])
    assert direct == 5e-4
    assert by_activity == pytest.approx(2 * PER_BQ * DECAYED)


@pytest.mark.parametrize(("share", "said"), [(1.0, 0), (1.02, 0), (1.2, 1)])
def test_philips_two_ways_are_held_against_each_other(share: float, said: int) -> None:
    """A weight that was corrected after the scan is not in the scanner's factor."""
    direct = 2 * PER_BQ * DECAYED / share
    header = replace(HEADER, units="CNTS", philips_suv_factor=direct, philips_activity_factor=2.0)
    scale = suv_scale(header, [slice_at()])
    assert scale.factors == (direct,)
    assert ["1.20 times as high" in note for note in scale.notes] == [True] * said


def test_philips_counts_without_suv_factor_take_the_activity() -> None:
    header = replace(HEADER, units="CNTS", philips_activity_factor=2.0)
    scale = suv_scale(header, [slice_at()])
    assert scale.factors[0] == pytest.approx(2 * PER_BQ * DECAYED)
    assert (scale.activity, scale.factor_rule) == (2.0, FactorRule.PHILIPS_ACTIVITY)


def test_an_unknown_unit_is_never_quoted() -> None:
    with pytest.raises(RefusedError) as error:
        suv_scale(replace(HEADER, units="DOE^JANE"), [slice_at()])
    assert "DOE" not in str(error.value)


# Times


def test_series_time_counts_where_it_is_not_after_the_acquisition() -> None:
    later = [slice_at(SCAN + timedelta(minutes=n)) for n in (11, 5, 8)]
    rule, spans = decay_times_s(HEADER, later, HALF_LIFE_S, [])
    assert rule is TimeRule.SERIES_TIME
    assert spans == (3600.0,) * 3


def test_a_dropped_fraction_of_a_second_changes_no_rule() -> None:
    header = replace(HEADER, series_start=SCAN + timedelta(seconds=0.6))
    rule, _ = decay_times_s(header, [slice_at()], HALF_LIFE_S, [])
    assert rule is TimeRule.SERIES_TIME


@pytest.mark.parametrize(
    ("vendor", "rule"),
    [
        ("ge_scan_start", TimeRule.GE_SCAN_TIME),
        ("siemens_scan_start", TimeRule.SIEMENS_SCAN_TIME),
    ],
)
def test_a_series_stamped_later_takes_the_vendor_s_time(vendor: str, rule: TimeRule) -> None:
    stamped = replace(HEADER, series_start=SCAN + timedelta(minutes=30))
    found, [span] = decay_times_s(replace(stamped, **{vendor: SCAN}), [slice_at()], HALF_LIFE_S, [])
    assert (found, span) == (rule, 3600.0)


def test_a_series_stamped_between_its_beds_does_not_begin_there() -> None:
    """The first bed counts, wherever it stands among the files."""
    between = SCAN + timedelta(minutes=5)
    header = replace(HEADER, series_start=between, ge_scan_start=SCAN)
    beds = [slice_at(SCAN + timedelta(minutes=10)), slice_at(SCAN)]
    for slices in (beds, beds[::-1], [slice_at(None), *beds]):
        assert suv_scale(header, slices).time_rule is TimeRule.GE_SCAN_TIME


def test_without_vendor_s_time_the_frames_tell_the_start() -> None:
    stamped = replace(HEADER, series_start=SCAN + timedelta(minutes=30))
    average_s = average_count_rate_s(120, HALF_LIFE_S)
    frame = slice_at(SCAN + timedelta(seconds=300 - average_s), reference_s=300, duration_s=120)
    rule, [span] = decay_times_s(stamped, [frame], HALF_LIFE_S, [])
    assert rule is TimeRule.FRAME_REFERENCE
    assert span == pytest.approx(3600, abs=1e-3)


@pytest.mark.parametrize("reverse", [False, True])
def test_frames_that_name_several_starts_name_none(reverse: bool) -> None:
    """GE stamps all beds with one time: by a real scan's first bed, the SUV was 3.5 % off."""
    stamped = replace(HEADER, series_start=SCAN + timedelta(hours=1))
    beds = [slice_at(reference_s=reference_s) for reference_s in (0.0, 243.0, 1215.0)]
    assert refusal(stamped, *(beds[::-1] if reverse else beds)) is Reason.NO_TIME


def test_frames_that_were_dated_a_day_apart_agree() -> None:
    """Only the frames' times of day count: one date for all is wrong past midnight."""
    stamped = replace(HEADER, series_start=SCAN + timedelta(minutes=30))
    frame = slice_at(SCAN, reference_s=60.0)
    rule, _ = decay_times_s(
        stamped, [frame, frame._replace(acquired=SCAN + timedelta(days=1))], HALF_LIFE_S, []
    )
    assert rule is TimeRule.FRAME_REFERENCE


@pytest.mark.parametrize(
    ("minutes", "change", "said"),
    [
        (20, {}, "20 minutes after SeriesTime, which was taken; by them the SUV would be 1.13"),
        (-20, {}, "20 minutes before SeriesTime, which was taken; by them the SUV would be 0.88"),
        (2.5, {}, ""),  # FrameReferenceTime was counted to the frame's start
        (20, {"ge_scan_start": SCAN}, ""),
    ],
)
def test_frames_that_agree_on_another_start_are_said(minutes: float, change, said: str) -> None:
    """Such as a StudyTime that was written into SeriesTime."""
    frame = slice_at(SCAN + timedelta(minutes=25), reference_s=(25 - minutes) * 60 + 60)
    _, spans = decay_times_s(
        replace(HEADER, **change), [frame, frame], HALF_LIFE_S, notes := list[str]()
    )
    assert spans == (3600.0, 3600.0)
    assert [said in note for note in notes] == ([True] if said else [])


def test_administration_means_no_decay() -> None:
    header = replace(HEADER, decay_correction="ADMIN")
    scale = suv_scale(header, [slice_at()])
    assert scale.factors[0] == pytest.approx(PER_BQ)
    assert scale.time_rule is TimeRule.ADMINISTRATION


def test_uncorrected_slices_are_corrected_each_at_its_own_time() -> None:
    header = replace(HEADER, decay_correction="NONE", corrected=("ATTN",))
    beds = [slice_at(SCAN), slice_at(SCAN + timedelta(minutes=10))]
    scale = suv_scale(header, beds)
    assert scale.time_rule is TimeRule.FRAME_AVERAGE
    assert scale.factors[1] / scale.factors[0] == pytest.approx(2 ** (600 / HALF_LIFE_S))


def test_a_pet_that_is_corrected_for_decay_and_is_not_is_refused() -> None:
    """Corrected once more, its later beds would read too much."""
    assert refusal(replace(HEADER, decay_correction="NONE")) is Reason.DECAY_RULE


def test_uncorrected_slices_past_midnight_without_a_date_of_their_own_are_refused() -> None:
    """All on one date, the last beds of the evening lie a day behind the first after midnight."""
    header = replace(HEADER, decay_correction="NONE", corrected=("ATTN",), injected=None)
    header = replace(header, injected_time=timedelta(hours=22, minutes=50))
    midnight = SCAN.replace(hour=0)
    beds = [slice_at(midnight + timedelta(minutes=minutes)) for minutes in (5, 23 * 60 + 55)]
    with pytest.raises(RefusedError, match="AcquisitionDate") as error:
        suv_scale(header, beds)
    assert error.value.refusal.reason is Reason.UPTAKE_TIME


def test_a_scan_past_midnight_belongs_to_the_injection_of_the_evening() -> None:
    scan = datetime(2020, 1, 3, 0, 30, tzinfo=UTC)
    header = replace(HEADER, injected=None, injected_time=timedelta(hours=23.5), series_start=scan)
    _, [span] = decay_times_s(header, [slice_at(scan)], HALF_LIFE_S, [])
    assert span == 3600.0


def test_the_injection_s_date_and_time_come_before_its_time_alone() -> None:
    header = replace(HEADER, injected_time=timedelta(hours=9))
    _, [span] = decay_times_s(header, [slice_at()], HALF_LIFE_S, [])
    assert span == 3600.0


def test_a_date_that_was_not_shifted_along_gives_way_to_the_time() -> None:
    notes: list[str] = []
    header = replace(HEADER, injected=INJECTED.replace(year=1960))
    _, [span] = decay_times_s(header, [slice_at()], HALF_LIFE_S, notes)
    assert span == 3600.0
    assert "date" in notes[0]


@pytest.mark.parametrize(
    ("scan_hour", "injection_hour"), [(0, 0), (11, 0), (0, 9)], ids=["both", "injection", "scan"]
)
def test_times_that_were_set_to_midnight_are_missing(scan_hour: int, injection_hour: int) -> None:
    scan = SCAN.replace(hour=scan_hour)
    header = replace(
        HEADER, series_start=scan, injected=None, injected_time=timedelta(hours=injection_hour)
    )
    assert refusal(header, slice_at(scan)) is Reason.NO_TIME


@pytest.mark.parametrize(
    "correction",
    [{}, {"decay_correction": "NONE", "corrected": ("ATTN",)}],
    ids=["start", "none"],
)
def test_frames_that_were_set_to_midnight_are_missing(correction: dict) -> None:
    """Their average is a minute later: it made of an hour's uptake 14, and the SUV 138-fold."""
    frame = slice_at(SCAN.replace(hour=0))
    assert refusal(replace(HEADER, **correction), frame) is Reason.NO_TIME


def test_midnight_is_believed_where_the_uptake_is_usual() -> None:
    scan = SCAN.replace(hour=1)
    header = replace(HEADER, series_start=scan, injected=scan.replace(hour=0), injected_time=None)
    assert suv_scale(header, [slice_at(scan)]).uptake_minutes == 60


def test_two_times_of_the_injection_that_contradict_each_other_are_said() -> None:
    scale = suv_scale(replace(HEADER, injected_time=timedelta(hours=9)), [slice_at()])
    assert ["60 minutes apart" in note for note in scale.notes] == [True]
    midnight = replace(
        HEADER, injected=SCAN.replace(hour=0, minute=0, second=20),
        injected_time=timedelta(hours=23, minutes=59, seconds=40),
    )  # fmt: skip
    assert not any("apart" in note for note in suv_scale(midnight, [slice_at()]).notes)


@pytest.mark.parametrize("lead", [timedelta(hours=11), timedelta(days=3, hours=11)])
def test_a_series_time_hours_before_the_first_frame_is_no_start(lead: timedelta) -> None:
    """Midnight stands where a de-identification removed the time."""
    removed = replace(HEADER, series_start=SCAN - lead)
    average_s = average_count_rate_s(120, HALF_LIFE_S)
    rule, [span] = decay_times_s(removed, [slice_at(reference_s=average_s)], HALF_LIFE_S, [])
    assert (rule, span) == (TimeRule.FRAME_REFERENCE, 3600.0)
    assert refusal(removed, slice_at(reference_s=None)) is Reason.NO_TIME


def test_a_series_whose_date_alone_was_shifted_keeps_its_time() -> None:
    shifted = replace(HEADER, series_start=SCAN - timedelta(days=400), injected=None)
    rule, [span] = decay_times_s(shifted, [slice_at()], HALF_LIFE_S, [])
    assert (rule, span) == (TimeRule.SERIES_TIME, 3600.0)


@pytest.mark.parametrize(
    ("minutes", "said"), [(0, 1), (29, 1), (30, 0), (60, 0), (150, 0), (151, 1), (480, 1)]
)
def test_an_unusual_time_between_injection_and_scan_is_said(minutes: int, said: int) -> None:
    header = replace(HEADER, injected=SCAN - timedelta(minutes=minutes), injected_time=None)
    notes = suv_scale(header, [slice_at()]).notes
    assert [f"{minutes} minutes after the injection" in note for note in notes] == [True] * said


@pytest.mark.parametrize(
    ("minutes", "half_life_s", "said"),
    [(90, HALF_LIFE_S, ["46 %"]), (30, HALF_LIFE_S, ["21 %"]), (90, 1223.4, ["669 %"]),
     (90, 282_276.0, [])],
    ids=["F-18", "half an hour before the scan", "C-11", "Zr-89"],
)  # fmt: skip
def test_by_how_much_an_injection_to_the_hour_may_mislead_is_said(
    minutes: int, half_life_s: float, said: list[str]
) -> None:
    injected = SCAN - timedelta(minutes=minutes)
    header = replace(HEADER, injected=injected, injected_time=None, to_the_hour=True)
    notes: list[str] = []
    decay_times_s(header, [slice_at()], half_life_s, notes)
    assert [note.partition("up to ")[2].partition(" too")[0] for note in notes] == said


def test_an_injection_to_the_hour_that_no_suv_rests_on_is_not_said() -> None:
    header = replace(HEADER, decay_correction="ADMIN", to_the_hour=True)
    assert suv_scale(header, [slice_at()]).notes == ()


@pytest.mark.parametrize(
    ("dose", "weight", "said"),
    [(350e6, 70, 0), (30e6, 4, 0), (50e6, 70, 0), (9.5, 70, 1), (350e6, 700, 1), (350e6, 7, 1)],
)
def test_dose_and_weight_that_fit_no_person_are_said(dose: float, weight: float, said: int) -> None:
    notes = suv_scale(replace(HEADER, dose=dose, weight=weight), [slice_at()]).notes
    assert [f"MBq for {weight} kg" in note for note in notes if "are unusual" in note] == [
        True
    ] * said


@pytest.mark.parametrize(("dose", "weight"), [(4e6, 6.0), (2.5e9, 120.0)])
def test_a_dose_that_nobody_is_given_is_said_though_the_weight_fits(dose, weight) -> None:
    notes = suv_scale(replace(HEADER, dose=dose, weight=weight), [slice_at()]).notes
    assert notes == (f"The dose is {dose / 1e6:g} MBq, which is unusual; is its unit Bq?",)


def test_an_injection_after_the_scan_is_refused() -> None:
    late = replace(HEADER, injected=SCAN + timedelta(hours=1), injected_time=None)
    assert refusal(late) is Reason.UPTAKE_TIME


@pytest.mark.parametrize(
    ("correction", "corrected", "reason"),
    [
        ("START", ("ATTN",), Reason.NOT_DECAY_CORRECTED),
        ("ADMIN", ("ATTN",), Reason.NOT_DECAY_CORRECTED),
        ("START", ("DECY",), Reason.NOT_ATTENUATION_CORRECTED),
        ("", ("ATTN", "DECY"), Reason.DECAY_RULE),
    ],
)
def test_what_was_not_corrected_is_refused(correction, corrected, reason) -> None:
    header = replace(HEADER, decay_correction=correction, corrected=corrected)
    assert refusal(header) is reason


def test_both_words_for_the_decay_are_known() -> None:
    scale = suv_scale(replace(HEADER, corrected=("ATTN", "DECAY")), [slice_at()])
    assert scale.factors == suv_scale(HEADER, [slice_at()]).factors


@pytest.mark.parametrize("duration_s", [None, -1.0])
def test_a_frame_without_a_duration_has_no_average_time(duration_s: float | None) -> None:
    header = replace(HEADER, decay_correction="NONE", corrected=("ATTN",))
    assert refusal(header, slice_at(duration_s=duration_s)) is Reason.NO_TIME


def test_a_late_series_without_any_other_time_is_refused() -> None:
    header = replace(HEADER, series_start=None)
    assert refusal(header, slice_at(reference_s=None)) is Reason.NO_TIME
    assert refusal(header, slice_at(acquired=None)) is Reason.NO_TIME


@settings(deadline=None, max_examples=50)
@given(duration_s=st.floats(1e-3, 1e5), half_life_s=st.floats(10, 1e7))
def test_the_average_count_rate_lies_in_the_first_half_of_a_frame(duration_s, half_life_s) -> None:
    moment = average_count_rate_s(duration_s, half_life_s)
    assert 0 < moment <= duration_s / 2 * (1 + 1e-6)


@settings(deadline=None, max_examples=50)
@given(minutes=st.floats(0, 800), dose=st.floats(2e4, 1e10), weight=st.floats(1, 400))
def test_suv_doubles_with_each_half_life(minutes: float, dose: float, weight: float) -> None:
    header = replace(HEADER, dose=dose, weight=weight, injected=SCAN - timedelta(minutes=minutes))
    earlier = replace(
        header, injected=SCAN - timedelta(minutes=minutes) - timedelta(seconds=HALF_LIFE_S)
    )
    ratio = suv_scale(earlier, [slice_at()]).factors[0] / suv_scale(header, [slice_at()]).factors[0]
    assert ratio == pytest.approx(2, rel=1e-5)


def test_the_body_s_formulas_are_held_at_known_points() -> None:
    assert bodysize.body_surface_m2(70, 175) == pytest.approx(1.8481, abs=1e-3)
    assert bodysize.ideal_mass_kg("F", 70, 152) == 45.5
