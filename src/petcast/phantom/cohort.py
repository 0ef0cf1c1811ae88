"""A cohort on disk: whole patients only, the same bytes for the same seed."""

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from petcast.disk.durable import (
    LOCK_FILE,
    exclusive,
    read_json,
    sync_directory,
    write_directory,
    write_json,
)
from petcast.errors import FormatError, UsageError
from petcast.phantom.anatomy import Anatomy, draw_anatomy
from petcast.phantom.headers import Visit
from petcast.phantom.scanner import PetScan, mean_phase, take_ct, take_pet
from petcast.phantom.series import write_ct, write_pet
from petcast.phantom.streams import Streams
from petcast.phantom.styles import Protocol, draw_protocol
from petcast.progress import track
from petcast.volume import Unit, Volume
from petcast.words import count
from petcast.workers import cores, work_through

FORMAT = 1
"""Rises with every change of what the same seed gives; older patients are then written again."""


@dataclass(frozen=True)
class LesionTruth:
    """What is known of one planted lesion.

    Attributes:
        label: Its number in lesions.nii.gz, from 1.
        kind: What it is.
        position_mm: Where the CT was taken with it, LPS.
        pet_position_mm: Its mean place over the breath, LPS; where lesions.nii.gz has it.
        diameter_mm: Of the sphere of its volume.
        suv: Planted, before blur and noise.
        core_suv: Of its core, lower where it is necrotic.
        visible_on_ct: Whether CT shows it.
    """

    label: int
    kind: str
    position_mm: tuple[float, float, float]
    pet_position_mm: tuple[float, float, float]
    diameter_mm: float
    suv: float
    core_suv: float
    visible_on_ct: bool


@dataclass(frozen=True)
class PhantomTruth:
    """What is known of one phantom patient.

    Attributes:
        name: "phantom-000"; the names of its folders.
        dicom: Folder with CT/ and PT/.
        truth: Folder with truth.json, lesions.json, lesions.nii.gz and suv.nii.gz.
        style: Header style of its scanner.
        sex: "F" or "M".
        height_m: Body height.
        weight_kg: Body weight.
        arms_up: How they lie.
        fwhm_mm: Resolution of the PET.
        lesions: What was planted.
    """

    name: str
    dicom: Path
    truth: Path
    style: str
    sex: str
    height_m: float
    weight_kg: float
    arms_up: bool
    fwhm_mm: float
    lesions: tuple[LesionTruth, ...]


@dataclass(frozen=True)
class Knobs:
    """What decides a patient's bytes, beside the patient's number.

    Attributes:
        seed: Of the cohort.
        ct_size: Pixels across a CT slice of 500 mm.
        pet_size: Pixels across a PET slice; the scanner's own where None.
        slice_step_mm: Distance of the slices of CT and PET; the scanner's own where None.
    """

    seed: int
    ct_size: int
    pet_size: int | None
    slice_step_mm: float | None


def write_cohort(
    out: Path,
    patients: int,
    seed: int = 0,
    *,
    ct_size: int = 512,
    pet_size: int | None = None,
    slice_step_mm: float | None = None,
    workers: int | None = None,
) -> list[PhantomTruth]:
    """Write phantom patients as DICOM, with the truth beside them.

    The same call gives the same bytes, however many workers write, and patient 3 of a seed is
    the same in every cohort. A call that was interrupted is given again: whole patients stay.

    Args:
        out: Gets dicom/phantom-000/{CT,PT} and truth/phantom-000.
        patients: How many.
        seed: Not negative.
        ct_size: Pixels across a CT slice of 500 mm.
        pet_size: Pixels across a PET slice of the scanner's field; its own number where None.
        slice_step_mm: Distance of the slices of CT and PET; the scanner's own where None.
            With ct_size=128 and slice_step_mm=8 a patient takes well under a second.
        workers: Processes; as many as processors where None.

    Returns:
        What is known of each patient.

    Raises:
        UsageError: A number is out of range, or `out` holds patients of a larger cohort, or what
            petcast did not write.
        DataError: The processes that write a patient are killed again and again.
    """
    knobs = Knobs(seed, ct_size, pet_size, slice_step_mm)
    _check(out, patients, knobs)
    out.mkdir(parents=True, exist_ok=True)
    with exclusive(out / LOCK_FILE):
        return _write_all(out, patients, knobs, min(workers or cores(), patients))


def _write_all(out: Path, patients: int, knobs: Knobs, workers: int) -> list[PhantomTruth]:
    write = partial(write_patient, out, knobs=knobs)
    done = work_through(write, range(patients), workers=workers)
    written = {truth.name: truth for truth in track(done, "Writing phantoms", patients)}
    return [written[_name(patient)] for patient in range(patients)]


def _name(patient: int) -> str:
    return f"phantom-{patient:03d}"


def write_patient(out: Path, patient: int, *, knobs: Knobs) -> PhantomTruth:
    """Write one patient, unless it is there whole.

    Args:
        out: The cohort's folder.
        patient: The patient's number, from 0.
        knobs: What decides the bytes.

    Returns:
        What is known of the patient.
    """
    name = _name(patient)
    dicom, truth = out / "dicom" / name, out / "truth" / name
    if (known := _whole(dicom, truth, patient, knobs)) is not None:
        return known
    unfinished = out / "unfinished" / name
    write_directory(unfinished, partial(_fill, patient=patient, knobs=knobs))
    for place in (dicom, truth):
        _discard(place, unfinished)
    for place in (truth, dicom):  # DICOM last: where it is, the truth is there and fits
        place.parent.mkdir(parents=True, exist_ok=True)
        (unfinished / place.parent.name).rename(place)
        sync_directory(place.parent)
    shutil.rmtree(unfinished)
    _remove_empty(unfinished.parent)
    return read_truth(out, patient)


def read_truth(out: Path, patient: int) -> PhantomTruth:
    """Read what is known of a patient.

    Args:
        out: The cohort's folder.
        patient: The patient's number, from 0.

    Returns:
        The record.

    Raises:
        FormatError: The patient is not there.
    """
    name = _name(patient)
    document = read_json(out / "truth" / name / "truth.json")
    lesions = read_json(out / "truth" / name / "lesions.json")["lesions"]
    known = {key: document[key] for key in _RECORD}
    return PhantomTruth(
        name=name,
        dicom=out / "dicom" / name,
        truth=out / "truth" / name,
        lesions=tuple(_lesion(lesion) for lesion in lesions),
        **known,
    )


_RECORD = ("style", "sex", "height_m", "weight_kg", "arms_up", "fwhm_mm")


def _lesion(document: dict[str, Any]) -> LesionTruth:
    places = {key: tuple(document[key]) for key in ("position_mm", "pet_position_mm")}
    return LesionTruth(**{**document, **places})


def _check(out: Path, patients: int, knobs: Knobs) -> None:
    """Refuse what makes no cohort."""
    if patients < 1 or knobs.seed < 0:
        many = count(patients, "patient")
        raise UsageError(f"{many}, seed {knobs.seed}: give at least 1, and a seed from 0 on")
    sizes = [size for size in (knobs.ct_size, knobs.pet_size) if size is not None]
    if not all(16 <= size <= 1024 for size in sizes):
        raise UsageError(f"slices of {sizes} pixels across: give 16 to 1024")
    if knobs.slice_step_mm is not None and not 1 <= knobs.slice_step_mm <= 20:
        raise UsageError(f"slices {knobs.slice_step_mm} mm apart: give 1 to 20 mm")
    wanted = {_name(patient) for patient in range(patients)}
    extra = sorted(p.name for p in (out / "dicom").glob("phantom-*") if p.name not in wanted)
    if extra:
        raise UsageError(
            f"{out} holds {extra[0]}, which a cohort of {patients} does not have; "
            "give an empty folder, or remove the patients that are too many"
        )
    for name in sorted(wanted):  # ours come and go with their truth: others' would be discarded
        if (out / "dicom" / name).exists() and not (out / "truth" / name).exists():
            raise UsageError(f"{out} holds a {name} without its truth; give an empty folder")


def _whole(dicom: Path, truth: Path, patient: int, knobs: Knobs) -> PhantomTruth | None:
    """The record of a patient that is there whole and was made with the same knobs."""
    if not dicom.is_dir():
        return None
    try:
        document = read_json(truth / "truth.json")
    except FormatError:
        return None
    if document.get("format") != FORMAT or document.get("knobs") != asdict(knobs):
        return None
    return read_truth(dicom.parent.parent, patient)


def _discard(place: Path, unfinished: Path) -> None:
    """Take an older patient out of the cohort in one step, then delete it."""
    if place.exists():
        doomed = unfinished / f"old-{place.parent.name}"
        place.rename(doomed)
        shutil.rmtree(doomed)


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # another worker's patient is in it
        return


def _fill(folder: Path, *, patient: int, knobs: Knobs) -> None:
    """Make a patient and write everything of it into an empty folder."""
    streams = Streams(knobs.seed, patient)
    anatomy = draw_anatomy(streams)
    person = anatomy.person
    protocol = draw_protocol(
        streams,
        person.weight_kg,
        ct_size=knobs.ct_size,
        pet_size=knobs.pet_size,
        slice_step_mm=knobs.slice_step_mm,
    )
    visit = Visit(f"PHANTOM-{patient:03d}", person, protocol, streams)
    write_ct(folder / "dicom" / "CT", visit, *take_ct(anatomy, protocol, streams.rng("CT noise")))
    pet = take_pet(anatomy, protocol, streams.rng("PET noise"))
    write_pet(folder / "dicom" / "PT", visit, pet.axes, pet.suv)
    _write_truth(folder / "truth", anatomy, protocol, pet, knobs)


def _write_truth(
    folder: Path, anatomy: Anatomy, protocol: Protocol, pet: PetScan, knobs: Knobs
) -> None:
    Volume(pet.noise_free, pet.axes.affine, Unit.SUV).save(folder / "suv.nii.gz")
    Volume(pet.lesions, pet.axes.affine, Unit.LABEL).save(folder / "lesions.nii.gz")
    write_json(folder / "lesions.json", {"lesions": list(_lesion_records(anatomy))})
    person = anatomy.person
    record = {
        "format": FORMAT,
        "knobs": asdict(knobs),
        "style": protocol.style.name,
        "sex": person.sex,
        "age_years": person.age_years,
        "height_m": person.height_m,
        "weight_kg": person.weight_kg,
        "arms_up": person.arms_up,
        "fwhm_mm": round(protocol.fwhm_mm, 3),
        "pet_noise": round(protocol.pet_noise, 4),
        "ct_noise_hu": round(protocol.ct_noise_hu, 2),
        "breath_mm": round(person.breath_mm, 2),
        "suv": {
            name: round(t[1], 4)
            for name, t in asdict(anatomy.tissues).items()
            if isinstance(t, tuple)
        },
    }
    write_json(folder / "truth.json", record)


def _lesion_records(anatomy: Anatomy) -> Iterator[dict[str, Any]]:
    frame, ct_phase = anatomy.frame, anatomy.person.ct_phase
    for label, lesion in enumerate(anatomy.lesions, start=1):
        truth = LesionTruth(
            label=label,
            kind=lesion.kind,
            position_mm=_rounded(lesion.at(frame, ct_phase).centre_mm),
            pet_position_mm=_rounded(lesion.at(frame, mean_phase()).centre_mm),
            diameter_mm=round(lesion.diameter_mm, 3),
            suv=round(lesion.suv, 4),
            core_suv=round(lesion.core_suv, 4),
            visible_on_ct=lesion.visible_on_ct,
        )
        yield asdict(truth)


def _rounded(place: tuple[float, float, float]) -> tuple[float, float, float]:
    x, y, z = (round(value, 3) for value in place)
    return x, y, z
