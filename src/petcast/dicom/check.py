"""One series judged: usable, repaired, or refused for the first thing that is wrong with it.

The order of the tests is the order of this file; a series with several defects gets the code of
the first one.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf

import numpy as np

from petcast.dicom import encoding
from petcast.dicom.bodysize import in_kg
from petcast.dicom.facts import UNPLACED, Shared
from petcast.dicom.files import Files
from petcast.dicom.header import Header
from petcast.dicom.kernel import kernel_class
from petcast.dicom.petheader import PetHeader
from petcast.dicom.privacy import patient_identity, plain_number, pseudonym
from petcast.dicom.scale import suv_scale
from petcast.dicom.series import HALF_WIDTHS, SYNTHETIC, Geometry, Series, Span
from petcast.dicom.stack import ClashError, Stack, stack
from petcast.dicom.tracer import F18_HALF_LIFE_S, FDG, FDG_NUCLIDE, doubt_half_life
from petcast.refusal import Reason, Refusal, RefusedError
from petcast.words import count

MINIMUM_SLICES = 10
"""Fewer slices are no volume to learn from or to predict on."""

SMALLEST_PART = 3
"""An acquisition of fewer slices is rather a sign that the mark does not tell them apart."""

LOSSY = "The pixels were compressed with loss."

STATIC_SERIES = ("", "STATIC", "WHOLE BODY", "WHOLEBODY")
"""First values of SeriesType (0054,1000) that are one picture of the body."""

IN_THE_SUV = {
    "units": "Units",
    "suv_type": "SUVType",
    "decay_correction": "DecayCorrection",
    "weight": "PatientWeight",
    "height_m": "PatientSize",
    "sex": "PatientSex",
    "dose": "RadionuclideTotalDose",
    "half_life_s": "RadionuclideHalfLife",
    "injected": "RadiopharmaceuticalStartDateTime",
    "injected_time": "RadiopharmaceuticalStartTime",
    "series_start": "SeriesDate or SeriesTime",
    "corrected_to": "DecayCorrectionDateTime",
    "ge_scan_start": "(0009,100D)",
    "siemens_scan_start": "(0071,1022)",
    "philips_suv_factor": "(7053,1000)",
    "philips_activity_factor": "(7053,1009)",
    "several_injections": "RadiopharmaceuticalInformationSequence",
    "coded_nuclide": "RadionuclideCodeSequence",
    "zone_unknown": "TimezoneOffsetFromUTC",
}
"""Facts of a PET header that have a part in the SUV, and what DICOM calls them: slices may differ
in the others alone."""


def judge(headers: Sequence[Header], salt: str) -> list[Series]:
    """Judge the files of one series.

    Args:
        headers: Files with one SeriesInstanceUID, one SOP class family and one role.
        salt: The user's key for pseudonyms.

    Returns:
        One series; several where one UID held several acquisitions that could be told apart.
    """
    headers = sorted(headers, key=lambda header: (header.sop_uid, str(header.path)))
    placed = [header for header in headers if not _unplaced(header)]
    if 0 < len(placed) < len(headers):
        found = _judge(placed, [header for header in headers if _unplaced(header)], salt)
        if all(series.refusal is None for series in found):  # without them nothing is missing
            return found
    return _judge(headers, (), salt)


def _unplaced(header: Header) -> bool:
    """Whether it may be a rendering of a PET, such as a MIP, among its slices."""
    return header.refusal == UNPLACED and _shared([header]).kind == "PT"


def _judge(headers: Sequence[Header], unplaced: Sequence[Header], salt: str) -> list[Series]:
    try:
        sound, copies = _without_damaged(headers)
        damaged = count(len(copies), "damaged copy", "damaged copies")
        notes = [f"Left out: {damaged} of whole files."] if copies else []
        if unplaced:
            notes.append(
                f"Left out, as they have no position and no slice is missing: {len(unplaced)} of "
                f"{count(len(headers) + len(unplaced), 'image')}."
            )
        return _judge_sound(sound, [*copies, *unplaced], notes, salt)
    except RefusedError as error:
        return [_refused(headers, error.refusal, salt)]


def _judge_sound(
    sound: Sequence[Header],
    copies: Sequence[Header],
    notes: Sequence[str],
    salt: str,
) -> list[Series]:
    _require_one_visit(sound)
    _require_content(sound)
    try:
        lying = stack(sound)
        return [_usable(sound, lying, copies, [*notes, *_missing(lying, len(copies))], salt)]
    except ClashError as clash:
        parts = _acquisitions(sound)
        if not parts:
            raise
        return _split(parts, copies, notes, clash, salt)


def _split(
    parts: Sequence[Sequence[Header]],
    copies: Sequence[Header],
    notes: Sequence[str],
    clash: ClashError,
    salt: str,
) -> list[Series]:
    """Judge each acquisition as a series of its own, if slices then lie free."""
    found = []
    for number, part in enumerate(parts, start=1):
        remark = f"Acquisition {number} of {len(parts)} in one series, told apart by the header."
        left = copies if number == 1 else ()
        try:
            series = _usable(part, stack(part), left, [*notes, remark], salt)
        except ClashError:
            raise clash from None
        except RefusedError as error:
            series = replace(_refused(part, error.refusal, salt), left_out=_paths(left))
        marked = pseudonym("series", f"{_shared(part).series_uid}/{number}", salt)
        found.append(replace(series, id=marked, part=number))
    return found


def _without_damaged(headers: Sequence[Header]) -> tuple[list[Header], list[Header]]:
    """Set aside damaged copies of files that are there whole; any other damage refuses all."""
    sound = [header for header in headers if header.refusal is None]
    whole = {header.sop_uid for header in sound}
    copies = [h for h in headers if h.refusal is not None and h.sop_uid in whole]
    lost = [h.refusal for h in headers if h.refusal is not None and h.sop_uid not in whole]
    if lost:
        [(first, most)] = Counter(lost).most_common(1)
        where = "" if most == len(headers) else f"In {most} of {count(len(headers), 'file')}: "
        raise RefusedError(first.reason, where + first.detail)
    return sound, copies


# What the slices must agree on, and what they must show


def _require_one_visit(headers: Sequence[Header]) -> None:
    visits = {(s.study_uid, s.patient_id, s.issuer) for s in map(_known, headers)}
    if len(visits) > 1:
        raise RefusedError(
            Reason.MIXED_PATIENT, "Its slices name several patients or several studies."
        )


def _require_content(headers: Sequence[Header]) -> None:
    shared = _shared(headers)
    if shared.role == "scout":
        raise RefusedError(
            Reason.SCOUT, f"ImageType says LOCALIZER ({count(len(headers), 'image')})."
        )
    if shared.role == "projection":
        raise RefusedError(Reason.PROJECTION, "ImageType names a projection or a rendering.")
    if shared.kind == "CT":
        _require_hounsfield(shared)
    elif shared.pet is not None:
        _require_static_fdg(shared.pet)
        _require_one_scan(headers)
        suv_scale(shared.pet, [place for header in headers for place in header.slices])


def _require_hounsfield(shared: Shared) -> None:
    if shared.rescale_type not in ("", "HU", "US"):  # US: unspecified, as most scanners mean HU
        raise RefusedError(Reason.NOT_HU, "Expected RescaleType HU, found another.")


def _require_static_fdg(pet: PetHeader) -> None:
    if pet.synthetic:
        return
    if pet.tracer not in (FDG, ""):
        raise RefusedError(Reason.TRACER, f"Expected FDG, the header speaks of {pet.tracer}.")
    if pet.tracer == "" and pet.nuclide == "other":
        raise RefusedError(Reason.TRACER, "Expected FDG, the radionuclide is not fluorine-18.")
    _require_one_injection(pet)
    if pet.series_type not in STATIC_SERIES:
        raise RefusedError(Reason.DYNAMIC, "Expected SeriesType STATIC or WHOLE BODY.")


def _require_one_injection(pet: PetHeader) -> None:
    if pet.several_injections:
        raise RefusedError(
            Reason.MIXED_PET, "It names several injections of other doses, times or half-lives."
        )
    half_life_s = pet.half_life_s or F18_HALF_LIFE_S  # a missing one is told where it is needed
    if wrong := doubt_half_life(half_life_s, FDG_NUCLIDE):
        raise RefusedError(Reason.NO_HALF_LIFE, wrong)


def _require_one_scan(headers: Sequence[Header]) -> None:
    facts = [
        {called: getattr(shared.pet, name) for name, called in IN_THE_SUV.items()}
        for shared in map(_known, headers)
    ]
    for first, second in pairwise(facts):
        differing = [called for called, fact in first.items() if fact != second[called]]
        if differing:
            raise RefusedError(Reason.MIXED_PET, f"Slices differ in: {', '.join(differing)}.")


# Several acquisitions under one UID

Mark = Callable[[Header], object]

ACQUISITION_MARKS: tuple[Mark, ...] = (
    lambda header: header.slices[0].acquisition,
    lambda header: header.slices[0].acquired,
    lambda header: (header.slices[0].acquisition, header.slices[0].acquired),
)
"""What may tell acquisitions apart, tried in this order."""


def _acquisitions(headers: Sequence[Header]) -> list[list[Header]]:
    """Split by the first mark under which no two slices of a part share a place."""
    for mark in ACQUISITION_MARKS:
        parts: dict[object, list[Header]] = defaultdict(list)
        for header in headers:
            parts[mark(header)].append(header)
        longest = max(map(len, parts.values()))
        if len(parts) > 1 and longest >= MINIMUM_SLICES and all(map(_free, parts.values())):
            return sorted(parts.values(), key=lambda part: str(mark(part[0])))
    return []


def _free(part: Sequence[Header]) -> bool:
    """Whether as many places are taken as there are images; copies of one image count once."""
    places = {place.position_mm for header in part for place in header.slices}
    return len(places) == len({header.sop_uid for header in part}) >= SMALLEST_PART


# The verdict


def _usable(
    headers: Sequence[Header],
    lying: Stack,
    copies: Sequence[Header],
    notes: Sequence[str],
    salt: str,
) -> Series:
    shared = lying.shared
    if len(lying.places) < MINIMUM_SLICES:
        raise RefusedError(
            Reason.TOO_FEW_SLICES,
            f"{count(len(lying.places), 'slice')} found, at least {MINIMUM_SLICES} expected.",
        )
    unneeded = {id(header) for header in lying.left_out}
    files = [header for header in headers if id(header) not in unneeded]
    verdict = _base(files, salt)
    return replace(
        verdict,
        notes=(*verdict.notes, *notes, *lying.notes, *_remarks(shared, lying)),
        doubts=(LOSSY,) if shared.lossy else (),
        left_out=_paths([*copies, *lying.left_out]),
        geometry=_geometry(lying),
        begun_s=_begun_s(lying),
    )


def _begun_s(lying: Stack) -> float:
    moments = (place.slice.acquired for place in lying.places)
    return min((moment.timestamp() for moment in moments if moment is not None), default=inf)


def _refused(headers: Sequence[Header], refusal: Refusal, salt: str) -> Series:
    return replace(_base(headers, salt), refusal=refusal)


def _base(headers: Sequence[Header], salt: str) -> Series:
    shared = _shared(headers)
    patient = patient_identity(shared.patient_id, shared.issuer)
    notes: tuple[str, ...] = ()
    if not patient:
        patient = shared.study_uid
        notes = ("The patient has no number; the study was taken for the patient.",)
    return Series(
        id=pseudonym("series", shared.series_uid, salt),
        modality=shared.kind or shared.modality,
        files=_paths(headers),
        refusal=None,
        study_id=pseudonym("study", shared.study_uid, salt),
        patient_id=pseudonym("patient", patient, salt),
        frame_id=pseudonym("frame", shared.frame_uid, salt) if shared.frame_uid else "",
        notes=notes,
        kernel=kernel_class(shared.kernel),
        original=shared.original,
        attenuation=shared.attenuation,
        synthetic=shared.pet is not None and shared.pet.synthetic,
        half_width=shared.pet is not None and shared.pet.half_width,
        number_id=pseudonym("patient", shared.patient_id, salt) if shared.patient_id else "",
        number=shared.series_number,
        uid=shared.series_uid,
        persons=frozenset(one.person for one in map(_known, headers)),
        plain_id=_plain_id(shared, salt),
        weight_kg=in_kg(shared.weight),
    )


def _plain_id(shared: Shared, salt: str) -> str:
    plain = plain_number(shared.patient_id)
    return pseudonym("patient", patient_identity(plain, shared.issuer), salt) if plain else ""


def _remarks(shared: Shared, lying: Stack) -> list[str]:
    """What was repaired or assumed."""
    remarks = []
    if shared.pet is not None and shared.pet.synthetic:
        remarks.append(SYNTHETIC)
    if shared.pet is not None and shared.pet.half_width:
        remarks.append(HALF_WIDTHS)
    if shared.syntax == encoding.BIG_ENDIAN:
        remarks.append("Big-endian files were read.")
    elif shared.syntax not in encoding.NATIVE:
        remarks.append("Compressed pixels are decoded on reading.")
    if shared.lossy:
        remarks.append(LOSSY)
    if shared.layout.frames > 1:
        remarks.append("Frames of a multi-frame file were laid out as slices.")
    if shared.pet is not None and not shared.pet.synthetic:
        if shared.pet.tracer != FDG:
            remarks.append("The header names no tracer; FDG was assumed.")
        remarks += suv_scale(shared.pet, lying.slices).notes
    return remarks


def _missing(lying: Stack, left_out: int) -> list[str]:
    """Say it where NumberOfSlices counts more than is here, renderings that were left out included.

    Not of one acquisition of several in a series: it may count them all.
    """
    pet = lying.shared.pet
    spoken, here = (pet.slices if pet is not None else None) or 0, len(lying.places)
    if spoken <= here + left_out:
        return []
    return [
        f"Its header speaks of {count(spoken, 'slice')}, and {here} are here; "
        "was it copied to its end?"
    ]


def _geometry(lying: Stack) -> Geometry:
    z, y, x = lying.shape
    corners = (
        lying.affine
        @ np.array([[-0.5, -0.5, -0.5, 1], [x - 0.5, y - 0.5, z - 0.5, 1]], dtype=np.float64).T
    )
    low, high = corners[:3].min(axis=1), corners[:3].max(axis=1)
    spans: list[Span] = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
    steps = np.linalg.norm(lying.affine[:3, :3], axis=0)
    spacing = (float(steps[0]), float(steps[1]), float(steps[2]))
    return Geometry(len(lying.places), spacing, *spans)


def _paths(headers: Sequence[Header]) -> Files:
    return Files(header.path for header in headers)


def _shared(headers: Sequence[Header]) -> Shared:
    return _known(headers[0])


def _known(header: Header) -> Shared:
    assert header.shared is not None  # noqa: S101  grouping went by it
    return header.shared
