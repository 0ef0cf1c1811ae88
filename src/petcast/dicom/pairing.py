"""One CT and one PET of each study.

A PET is paired only inside its own study and its own frame of reference, never by slice number.
Where several would do, the rules below decide, in this order; the study's notes say so.

- PET: one that some CT fits before one without; original before derived; the longer one; the one
  with more slices; the earlier one, since of two time points the first is the usual hour after the
  injection; of one acquisition the matrix with the finer voxels in the slice (to 0.1 mm), which
  loses less.
- CT: the one of the PET's day; the one that covers more of the PET's length (to 5 %); the wider
  field of view (to 50 mm, up to 500 mm), because a narrow one cuts the body off; an original that
  is described as made for the attenuation correction, because it was taken at the PET's breath and
  a diagnostic one, thin and with contrast, in a held deep one; soft kernel before
  unknown before sharp; thinner slices, down to 1 mm; original before derived, which may be a grey
  fusion or a map of iodine; the earlier one.

What is left equal, such as two reconstructions of one PET, is decided by the lower SeriesNumber,
then by the SeriesInstanceUID that sorts first as text, of two acquisitions in one series by the
first, and that is said: the choice depends neither on the order of files nor on the user's key, and
everyone who has the study takes the same.
Where a CT is wanted alone, the longest one takes the place of the one that covers more of the PET.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from petcast.dicom.persons import several_numbers, several_people, several_spellings
from petcast.dicom.privacy import Person
from petcast.dicom.series import Geometry, Series, Span, Study
from petcast.refusal import Reason, Refusal, RefusedError
from petcast.words import count

SHARED_MM = 100.0
"""CT and PET must share this length of the body, or nine tenths of the PET where it is shorter."""
SHARED_OF_PET = 0.9
BESIDE = 0.5
"""Of a PET less than this share of which another covers, the most lies beyond that one."""
WEIGHTS_AGREE = 1.1
"""A CT's and a PET's weight of one visit, as a factor; each 10 % is 10 % of every SUV."""
NEVER_MEANT = {
    Reason.SCOUT, Reason.PROJECTION, Reason.RGB_CAPTURE, Reason.SOP_CLASS,
    Reason.NOT_ATTENUATION_CORRECTED, Reason.DYNAMIC,
}  # fmt: skip
"""What series are refused for that come beside those that could have been paired."""
WIDEST_MM = 500.0
"""A field of view beyond this is no better: it covers any body."""
THINNEST_MM = 1.0
DAY_S = 24 * 3600.0
KERNEL_ORDER = {"soft": 0, "": 1, "sharp": 2}

Rank = Callable[[Series], tuple[object, ...]]
"""By how good a series is; the lowest is taken."""


def pair(series: Sequence[Series]) -> list[Study]:
    """Choose CT and PET of each study, or say why there is no pair.

    Args:
        series: Of any number of studies.

    Returns:
        Every study, in the order of its id.
    """
    studies: dict[str, list[Series]] = defaultdict(list)
    for one in series:
        studies[one.study_id].append(one)
    elsewhere, doubts = _cts_of_patients(series), _doubts(series)
    found = []
    for study_id, members in sorted(studies.items()):
        images = [one for one in members if one.modality in ("CT", "PT") and one.refusal is None]
        patient_id = (images or members)[0].patient_id
        try:
            _require_one_patient(images)
            ct, pet, notes = _choose(members, len(elsewhere.get(patient_id, set()) - {study_id}))
            notes = (*notes, *doubts[patient_id])
            found.append(Study(study_id, patient_id, ct, pet, None, notes))
        except RefusedError as error:
            found.append(Study(study_id, patient_id, None, None, error.refusal))
    return found


def choose_ct(cts: Sequence[Series]) -> Series:
    """Choose among CT series where there is no PET that one of them has to cover.

    Args:
        cts: Usable ones, of one study.

    Returns:
        The one that `pair` would take beside a PET as long as the longest of them.
    """
    longest = max(_length(_lying(ct).z_mm) for ct in cts)
    return min(
        cts,
        key=lambda one: (_ct_rank(one, _length(_lying(one).z_mm) / (longest or 1.0)), _order(one)),
    )


def _doubts(series: Sequence[Series]) -> dict[str, tuple[str, ...]]:
    """Whether each patient of an image is one person, and no other is, as far as images tell."""
    persons: dict[str, set[Person]] = defaultdict(set)
    plain: dict[str, set[str]] = defaultdict(set)
    for one in series:
        if one.modality in ("CT", "PT"):
            persons[one.patient_id] |= one.persons
            plain[one.plain_id or one.patient_id].add(one.patient_id)
    shared, spelled = several_numbers(persons), several_spellings(plain)
    return {
        patient: (
            *several_people(patient, own),
            *shared.get(patient, ()),
            *spelled.get(patient, ()),
        )
        for patient, own in persons.items()
    }


def _cts_of_patients(series: Sequence[Series]) -> dict[str, set[str]]:
    """In which studies each patient has a usable CT."""
    found: dict[str, set[str]] = defaultdict(set)
    for one in series:
        if one.modality == "CT" and one.refusal is None:
            found[one.patient_id].add(one.study_id)
    return found


def _require_one_patient(images: Sequence[Series]) -> None:
    """Judge what may be paired alone: other systems write reports and captures as they like."""
    if len({one.patient_id for one in images}) > 1:
        plain = {one.plain_id for one in images}
        alike = len(plain) == 1 and plain != {""}  # without numbers nothing is alike
        how = "; their PatientIDs differ in case, blanks or leading zeros alone" if alike else ""
        raise RefusedError(Reason.MIXED_PATIENT, f"The study's series name several patients{how}.")


def _choose(
    members: Sequence[Series], cts_elsewhere: int
) -> tuple[Series, Series, tuple[str, ...]]:
    pets = _usable(members, "PT", Reason.NO_PET, "The study has no PET series.")
    measured = [pet for pet in pets if not pet.synthetic]
    if not measured:
        raise RefusedError(Reason.SYNTHETIC_PET, "It is the only PET of the study.")
    if cts_elsewhere and not any(one.modality == "CT" for one in members):
        raise RefusedError(
            Reason.OTHER_STUDY,
            "This study has a PET and no CT; there is CT in "
            f"{count(cts_elsewhere, 'other study', 'other studies')} of the patient.",
        )
    cts = _usable(members, "CT", Reason.NO_CT, "The study has no CT series.")
    fitted = [pet for pet in measured if _misfit(members, cts, pet) is None]
    pet, chosen = _best(fitted or measured, measured, _pet_rank, "PET")
    preferred, _ = _best(measured, measured, _pet_rank, "PET")
    if pet is not preferred and (misfit := _misfit(members, cts, preferred)):
        chosen.append(
            f"No CT fits PET series {_named(preferred)}, which would have been taken: "
            f"{misfit.detail}"
        )
    ct, taken = _best(_matching(members, cts, pet), cts, lambda one: _rank_beside(one, pet), "CT")
    notes = (*chosen, *_coarser(pet, measured), *_beds(pet, measured), *taken)
    return ct, pet, (*notes, *_remarks(ct, pet))


def _best(
    among: Sequence[Series], known: Sequence[Series], rank: Rank, name: str
) -> tuple[Series, list[str]]:
    """The best of some series, and what is said of the choice among all that are known."""
    best = min(among, key=lambda one: (rank(one), _order(one)))
    if len(known) == 1:
        return best, []
    others = ", ".join(_named(one) for one in sorted(known, key=_order) if one is not best)
    said = f"Series {_named(best)} was taken of {len(known)} {name} series, not {others}."
    equal = sum(rank(one) == rank(best) for one in among) - 1
    if equal:
        said += (
            f" No rule prefers it to {equal} of them: the lowest SeriesNumber was taken, then the "
            "lowest SeriesInstanceUID, then the first acquisition."
        )
    return best, [said]


def _named(series: Series) -> str:
    return series.id if series.number is None else f"{series.id} (number {series.number})"


def _usable(members: Sequence[Series], modality: str, absent: Reason, text: str) -> list[Series]:
    """The usable series of a modality; where all were refused, the one that was meant says why."""
    labelled = [one for one in members if one.modality == modality]
    usable = [one for one in labelled if one.refusal is None]
    if usable:
        return usable
    if not labelled:
        raise RefusedError(absent, text)
    meant = max(labelled, key=meant_rank)
    refusal = meant.refusal or Refusal(absent, text)
    name = "PET" if modality == "PT" else modality
    raise RefusedError(refusal.reason, f"The study's {name}: {refusal.detail}")


def meant_rank(refused: Series) -> tuple[object, ...]:
    """Rank refused series of a modality by whether they were meant to be used.

    Args:
        refused: One of them.

    Returns:
        Highest for the largest; lower for scouts, uncorrected PET and the like, however large.
    """
    refusal = refused.refusal
    return refusal is not None and refusal.reason not in NEVER_MEANT, len(refused.files), refused.id


def _matching(members: Sequence[Series], cts: Sequence[Series], pet: Series) -> list[Series]:
    """CTs in the PET's own frame of reference that cover enough of it."""
    if not pet.frame_id or not any(ct.frame_id for ct in cts):
        raise RefusedError(Reason.NO_FRAME, "FrameOfReferenceUID is missing in the CT or the PET.")
    framed = [ct for ct in cts if ct.frame_id == pet.frame_id]
    if not framed:
        _require_sound_own(members, pet)
        raise RefusedError(
            Reason.OTHER_FRAME, f"None of {len(cts)} CT series has the PET's FrameOfReferenceUID."
        )
    covering = [ct for ct in framed if _covers(_lying(ct), _lying(pet))]
    if not covering:
        longest = max(_overlap_mm(_lying(ct).z_mm, _lying(pet).z_mm) for ct in framed)
        raise RefusedError(
            Reason.COVERAGE,
            f"They share {longest:.0f} mm of the PET's {_length(_lying(pet).z_mm):.0f} mm; "
            f"at least {_needed_mm(_lying(pet)):.0f} mm are needed.",
        )
    return covering


def _require_sound_own(members: Sequence[Series], pet: Series) -> None:
    """Where the PET's own CT was refused, say why, not that others lie elsewhere."""
    own = [one for one in members if one.modality == "CT" and one.frame_id == pet.frame_id]
    refusal = max(own, key=meant_rank).refusal if own else None
    if refusal is not None and refusal.reason not in NEVER_MEANT:
        raise RefusedError(
            refusal.reason, f"The CT in the PET's frame of reference: {refusal.detail}"
        )


def _misfit(members: Sequence[Series], cts: Sequence[Series], pet: Series) -> Refusal | None:
    """Why no CT fits a PET; None where one does."""
    try:
        _matching(members, cts, pet)
    except RefusedError as error:
        return error.refusal
    return None


def _covers(ct: Geometry, pet: Geometry) -> bool:
    sideways = min(_overlap_mm(ct.x_mm, pet.x_mm), _overlap_mm(ct.y_mm, pet.y_mm))
    return _overlap_mm(ct.z_mm, pet.z_mm) >= _needed_mm(pet) and sideways > 0


def _needed_mm(pet: Geometry) -> float:
    return min(SHARED_MM, SHARED_OF_PET * _length(pet.z_mm))


def _pet_rank(pet: Series) -> tuple[object, ...]:
    lying = _lying(pet)
    fineness = -round(_length(lying.z_mm)), -lying.slices
    return not pet.original, *fineness, pet.begun_s, _voxel_mm(pet)


def _voxel_mm(pet: Series) -> float:
    return round(max(_lying(pet).spacing_mm[:2]), 1)


def _rank_beside(ct: Series, pet: Series) -> tuple[object, ...]:
    return _days(ct, pet), *_ct_rank(ct, _share(_lying(ct), _lying(pet)))


def _ct_rank(ct: Series, share: float) -> tuple[object, ...]:
    lying = _lying(ct)
    width = min(WIDEST_MM, _length(lying.x_mm), _length(lying.y_mm))
    return (
        -round(share * 20),
        -round(width / 50),
        not (ct.attenuation and ct.original),
        KERNEL_ORDER[ct.kernel],
        max(THINNEST_MM, round(lying.spacing_mm[2], 1)),
        not ct.original,
        ct.begun_s,
    )


def _days(ct: Series, pet: Series) -> int:
    """How many days lie between them: an export may have put several visits into one study."""
    apart_s = abs(ct.begun_s - pet.begun_s)
    return round(apart_s / DAY_S) if math.isfinite(apart_s) else 0


def _order(series: Series) -> tuple[object, ...]:
    """Of what is equally good."""
    number = math.inf if series.number is None else series.number
    return number, series.uid, series.part, series.id


def _coarser(pet: Series, pets: Sequence[Series]) -> list[str]:
    rank, voxel_mm = _pet_rank(pet)[:-1], _voxel_mm(pet)
    equal = [one for one in sorted(pets, key=_order) if _pet_rank(one)[:-1] == rank]
    coarser = [_named(one) for one in equal if _voxel_mm(one) > voxel_mm]
    if not coarser:
        return []
    return [
        f"Its voxels are finer in the slice ({voxel_mm:g} mm) than those of {', '.join(coarser)}, "
        "from which no other rule tells it apart."
    ]


def _beds(pet: Series, pets: Sequence[Series]) -> list[str]:
    framed = [other for other in pets if other.frame_id == pet.frame_id]
    beyond = sum(_share(_lying(pet), _lying(other)) < BESIDE for other in framed)
    if not beyond:
        return []
    return [
        "PET series mostly above or below it, as beds are that were saved one by one: "
        f"{beyond}. Series are not joined."
    ]


def _remarks(ct: Series, pet: Series) -> list[str]:
    remarks = []
    if days := _days(ct, pet):
        remarks.append(
            f"CT and PET were acquired {count(days, 'day')} apart; are they of one visit?"
        )
    share = _share(_lying(ct), _lying(pet))
    if share < 0.95:
        remarks.append(
            f"The CT covers {100 * share:.0f} % of the PET's length; only that can be used."
        )
    if ct.weight_kg and pet.weight_kg:
        ratio = ct.weight_kg / pet.weight_kg
        if max(ratio, 1 / ratio) > WEIGHTS_AGREE:
            remarks.append(
                f"PatientWeight of the CT is {ratio:.2f} times the PET's, which SUV goes by: one "
                "is wrong (pounds are 2.2 times kilograms), and with it perhaps every SUV."
            )
    return remarks


def _share(ct: Geometry, pet: Geometry) -> float:
    return _overlap_mm(ct.z_mm, pet.z_mm) / _length(pet.z_mm)


def _overlap_mm(first: Span, second: Span) -> float:
    return max(0.0, min(first[1], second[1]) - max(first[0], second[0]))


def _length(span: Span) -> float:
    return span[1] - span[0]


def _lying(series: Series) -> Geometry:
    assert series.geometry is not None  # noqa: S101  every usable series has one
    return series.geometry
