"""One case of anyone's files: from its images, laid on one grid, to its values."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool

from petcast.anatomy import regions
from petcast.catalogue import BLURRED_TRUTH
from petcast.errors import DataError, GeometryError
from petcast.evaluate.artefacts import Artefacts
from petcast.evaluate.baselines import baselines_of_truth, blurred_truth
from petcast.evaluate.body import body_on_truth
from petcast.evaluate.cases import Case
from petcast.evaluate.findings import flaw_of
from petcast.evaluate.lesions import Uptake, lesions_of
from petcast.evaluate.measure import (
    Masks,
    SliceValues,
    measure_clipping,
    measure_images,
    region_masks,
)
from petcast.evaluate.mistakes import Subject, examine, misplaced
from petcast.evaluate.montage import FileMontage
from petcast.evaluate.notes import Notes
from petcast.evaluate.perceptual import Perceptual
from petcast.evaluate.placed import (
    CUT,
    Placed,
    covered_slices,
    cut_share,
    place_ct,
    place_lesions,
    place_prediction,
)
from petcast.evaluate.worst import WorstSlices
from petcast.grid import part_of
from petcast.metrics.image import MS_SSIM_SIDE
from petcast.metrics.similarity import require_room
from petcast.metrics.volume_similarity import SpacingZYX
from petcast.volume import Grid, Unit, Volume

Images = dict[str, np.ndarray]
Values = list[tuple[str, SliceValues]]

PREDICTION = "prediction"
"""The name of foreign predictions in the rows."""

SUSPECT_SUV = 10.0
"""A body's mean SUV is near 1 by its definition; above this, something else than SUV was given."""

UNIT_RANGE = 1.001
"""Blood, liver and any organ that shows a tracer exceed SUV 1; a real PET that does not was scaled
to 0…1, and its prediction with it."""


@dataclass(frozen=True)
class Companions:
    """The CT and the lesion mask of a case, where there are any, and whether lesions count."""

    ct: Case | None
    lesions: Case | None
    with_lesions: bool


@dataclass
class Gathered:
    """What cases add to while they pass by."""

    notes: Notes
    uptake: Uptake
    artefacts: Artefacts
    perceptual: Perceptual
    worst: WorstSlices
    montage: FileMontage

    def leave_out_mistaken(self) -> None:
        """Forget the pictures and values of cases whose mistakes were found."""
        if self.notes.leave_out_rescaled():
            self.uptake = Uptake(self.uptake.suv_window)
        for one in (self.montage, self.perceptual, self.worst, self.artefacts):
            one.drop(self.notes.mistakes)


@dataclass(frozen=True)
class Measured:
    """A case's values, by the name of the row, and whose they are."""

    name: str
    patient: str
    values: Values


@dataclass(frozen=True)
class _Scan:
    """A real PET with CT and regions on its grid; of a part of it, `first` is its first slice."""

    case: Case
    suv: np.ndarray
    grid: Grid
    hu: np.ndarray | None
    masks: Masks
    first: int = 0

    @property
    def body(self) -> Bool[np.ndarray, "z y x"]:
        return self.masks["body"]

    @property
    def spacing_mm(self) -> SpacingZYX:
        return self.grid.spacing_mm[::-1]

    @cached_property
    def regions(self) -> Masks:
        """Those that are not empty, and the body in any case."""
        return {name: mask for name, mask in self.masks.items() if name == "body" or mask.any()}

    def part(self, kept: slice, covered: Bool[np.ndarray, "z y x"]) -> "_Scan":
        """Some slices, and of every region what the prediction covers.

        Whole slices count what it does not cover as 0.
        """
        masks = {name: mask[kept] & covered[kept] for name, mask in self.masks.items()}
        hu = None if self.hu is None else self.hu[kept]
        return _Scan(self.case, self.suv[kept], part_of(self.grid, kept), hu, masks, kept.start)


def measure_case(
    real: Case, predicted: Case, companions: Companions, gathered: Gathered, notes: Notes
) -> Measured:
    """Measure a case, and add to what is gathered of all.

    Args:
        real: The real PET.
        predicted: The predicted one.
        companions: What else there is of the case.
        gathered: Receives uptake, artefacts, pictures; nothing where an error is raised.
        notes: Receives what happened on the way, an error or not.

    Returns:
        The case's values; of a prediction that was saved wrongly none but the trivial images'.

    Raises:
        DataError: The case cannot be measured, and why.
    """
    notes.note_slices(real.name, real.numbers, predicted.numbers)
    _note_patients(real, {"prediction": predicted, "CT": companions.ct}, notes)
    scan, placed = _load(real, predicted, companions, notes)
    _note_truth(scan, notes)
    with ThreadPoolExecutor(1) as beside:
        blurring = beside.submit(blurred_truth, scan.suv, scan.spacing_mm)
        mistaken = _examine(scan, placed, notes)
        blurred = blurring.result()
    if mistaken:
        values = _compared(_references(scan, blurred), scan, gathered)
        return Measured(real.name, real.whose, values)
    kept = covered_slices(placed.covered, scan.body, real.name, notes)
    part, guess = scan.part(kept, placed.covered), placed.suv[kept]
    _note_units(guess[part.body], "prediction", real.name, notes)
    images = {PREDICTION: guess} | _references(part, blurred[kept])
    values = _compared(images, part, gathered)
    window = gathered.uptake.suv_window
    values.append((PREDICTION, measure_clipping(part.suv, part.regions, window)))
    cut = cut_share(placed.covered[kept], scan.body[kept]) > CUT
    values.extend(_look_closer(images, part, companions, gathered, notes, cut=cut))
    return Measured(real.name, real.whose, values)


def _load(
    real: Case, predicted: Case, companions: Companions, notes: Notes
) -> tuple[_Scan, Placed]:
    """Read both at once, and lay all on the real PET's grid."""
    with ThreadPoolExecutor(1) as beside:
        reading = beside.submit(predicted.load)
        truth = real.load().require(Unit.SUV).canonical()
        _require_slices(truth, real.name)
        ct = place_ct(companions.ct, truth.grid, real.name, notes)
        stored = reading.result().require(Unit.SUV)
        coming = beside.submit(
            place_prediction, truth.grid, stored, real.name, notes, has_place=predicted.placed
        )
        masks = _regions(truth, ct, companions.lesions, real.name, notes)
    hu = ct.voxels if ct else None
    return _Scan(real, truth.voxels, truth.grid, hu, masks), coming.result()


def _require_slices(truth: Volume, name: str) -> None:
    try:
        require_room(truth.voxels.shape)
    except GeometryError as error:
        shape = " × ".join(str(size) for size in truth.voxels.shape)
        raise GeometryError(
            f"case {name}: {error}; found {shape} along z, y, x. Give axial slices, or leave it out"
        ) from None


def _regions(
    truth: Volume, ct: Volume | None, lesions: Case | None, name: str, notes: Notes
) -> Masks:
    masks: dict[str, Bool[np.ndarray, "z y x"]] = {}
    if ct is None:
        notes.body_from_truth.append(name)
        masks["body"] = body_on_truth(truth.voxels)
    else:
        masks |= region_masks(regions(ct).voxels, ct.voxels)
        if not masks["body"].any():
            raise DataError(
                f"case {name}: the CT shows no body where the real PET lies; are both of the same "
                "scan, and is the position in both files?"
            )
    if lesions is not None:
        masks["lesions"] = place_lesions(lesions, truth.grid, name, notes)
    return masks


def _note_truth(scan: _Scan, notes: Notes) -> None:
    name = scan.case.name
    _note_units(scan.suv[scan.body], "truth", name, notes)
    if 0 < (highest := float(scan.suv.max())) <= UNIT_RANGE:
        notes.not_suv.append(f"truth of {name}: {highest:.3g} at most")
    if min(scan.suv.shape[1:]) < MS_SSIM_SIDE:
        notes.small.append(name)


def _note_patients(real: Case, others: dict[str, Case | None], notes: Notes) -> None:
    """Note what is another patient's: a case alone is measured whatever its names."""
    for what, other in others.items():
        if other is not None and real.patient and other.patient not in ("", real.patient):
            notes.strangers.append(f"{real.name} and the {what} of {other.patient}")


def _note_units(inside: np.ndarray, what: str, name: str, notes: Notes) -> None:
    mean = float(inside.mean(dtype=np.float64)) if inside.size else 0.0
    if abs(mean) > SUSPECT_SUV:
        notes.not_suv.append(f"{what} of {name}: {mean:.0f} on average")


def _examine(scan: _Scan, placed: Placed, notes: Notes) -> bool:
    """Note flaws and mistakes; say whether there is a mistake that keeps the case out."""
    name, inside = scan.case.name, scan.body & placed.covered
    subject = Subject(scan.suv, placed.suv, scan.body, placed.covered, placed.stored)
    flaw = flaw_of(placed.suv, inside) if inside.any() else None
    if flaw is not None and misplaced(subject):
        flaw = None  # what lies in the body is the prediction's air
    notes.flaws.append((name, flaw))
    if flaw is not None:
        return False
    if np.array_equal(placed.suv, scan.suv):
        notes.equal.append(name)
    facts = examine(subject)
    if facts.mistakes:
        notes.mistakes[name] = facts.mistakes
    else:
        notes.facts[name] = facts
    return bool(facts.mistakes)


def _references(scan: _Scan, blurred: np.ndarray) -> Images:
    """The images beside the prediction: trivial ones, and the truth without its detail."""
    trivial = baselines_of_truth(scan.suv, scan.body, f"case {scan.case.name}").images(scan.body)
    return trivial | {BLURRED_TRUTH: blurred}


def _compared(images: Images, scan: _Scan, gathered: Gathered) -> Values:
    """What images score beside the real PET."""
    window, spacing = gathered.uptake.suv_window, scan.spacing_mm
    measured = measure_images(images, scan.suv, scan.regions, window, spacing_mm=spacing)
    return [
        *measured.items(),
        *gathered.perceptual.measure(images, scan.suv, scan.case.name, scan.case.whose).items(),
    ]


def _look_closer(
    images: Images,
    part: _Scan,
    companions: Companions,
    gathered: Gathered,
    notes: Notes,
    *,
    cut: bool,
) -> Values:
    """Lesions, pictures and artefacts, at once."""
    name, suv, guess, body = part.case.name, part.suv, images[PREDICTION], part.body
    first = part.first
    lesions = None
    if companions.with_lesions:
        # A mask that is there and empty means that there are no lesions.
        lesions = lesions_of(suv, body, part.grid, mask=part.masks.get("lesions"))
    spacing = part.grid.spacing_mm
    looked_at = {row: images[row] for row in (PREDICTION, BLURRED_TRUTH)}
    with ThreadPoolExecutor(1) as beside:
        others = [
            beside.submit(
                gathered.uptake.add,
                part.case.whose,
                suv,
                images,
                part.regions,
                lesions,
                spacing,
                first=first,
            ),
            beside.submit(gathered.montage.add, name, part.hu, suv, guess, body, first=first),
            beside.submit(gathered.worst.add, name, part.hu, suv, guess[None], body, first=first),
        ]
        resampled = name in notes.resampled
        seen = gathered.artefacts.measure(
            looked_at, suv, body, part.spacing_mm, name, resampled=resampled, cut=cut
        )
    for other in others:
        other.result()
    return list(seen.items())
