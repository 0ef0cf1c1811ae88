"""Bq/mL → SUV: every rule a small function that cites its clause.

References, cited by short name:

- QIBA: Vendor-neutral pseudo-code for SUV calculation (QIBA FDG-PET/CT, 2018).
- IBSI: The IBSI SUV manual with its digital reference objects.
- PS3.3: DICOM part 3, C.8.9.1 (PET Series) and C.8.9.4 (PET Image).

All SUVs leave here normalised to body weight (g/mL), whatever the scanner wrote.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from petcast.dicom import bodysize, decay
from petcast.dicom.decay import TimeRule
from petcast.dicom.facts import Slice
from petcast.dicom.petheader import PetHeader
from petcast.dicom.tracer import FDG, FDG_NUCLIDE, doubt_half_life
from petcast.refusal import Reason, RefusedError

MEGABECQUEREL_BELOW = 1e4
"""No FDG dose is so few becquerels: it was written in MBq (IBSI, DRO_3_0)."""


USUAL_DOSE_BQ = (5e6, 2e9)
"""From the least that a small child is given to more than any adult."""
USUAL_MBQ_PER_KG = (0.5, 25.0)
"""From what a total-body scanner needs to the least dose of a newborn; a dose in mCi, or a weight
that lost its decimal point, lies beyond it."""
ROUTES_SHARE = 0.03
"""Philips' two ways to SUV agree within half a percent on a real scanner."""
HEAVIEST_KG = 350.0
"""Tables carry no more."""


class FactorRule(StrEnum):
    """How a stored value became an SUV of body weight."""

    BQML = "bqml-weight-over-dose"
    GML_BW = "gml-bw"
    GML_LBM = "gml-lbm"
    GML_LBM_JAMES_128 = "gml-lbmjames128"
    GML_LBM_JANMA = "gml-lbmjanma"
    GML_IBW = "gml-ibw"
    CM2ML_BSA = "cm2ml-bsa"
    PHILIPS_SUV = "cnts-philips-suv-factor"
    PHILIPS_ACTIVITY = "cnts-philips-activity-factor"


@dataclass(frozen=True)
class SuvScale:
    """How to turn stored values into SUV, slice by slice.

    Attributes:
        factors: SUV for each unit of (stored value × that slice's RescaleSlope).
        activity: Bq/mL for each such unit; None where the scanner wrote SUV itself.
        factor_rule: Which rule gave the factor.
        time_rule: Which rule gave the time.
        uptake_minutes: From injection to the scan's beginning, where known.
        notes: What was repaired or assumed, in sentences.
    """

    factors: tuple[float, ...]
    activity: float | None
    factor_rule: FactorRule
    time_rule: TimeRule
    uptake_minutes: float | None
    notes: tuple[str, ...]


def suv_scale(pet: PetHeader, slices: Sequence[Slice]) -> SuvScale:
    """Find a PET series' way to SUV, or say why there is none.

    Args:
        pet: The series' header.
        slices: Its slices, in any order; factors come back in the same order.

    Returns:
        The scale.

    Raises:
        RefusedError: With the code of whatever is missing or contradictory.

    Reference:
        QIBA, whole; PS3.3 C.8.9.1.1.3 (Units).
    """
    _require_attenuation_correction(pet)
    notes: list[str] = []
    if pet.units == "GML":
        rule, factor = _from_scanner_suv(pet, notes)
    elif pet.units == "CM2ML":
        rule, factor = _from_body_surface(pet, notes)
    elif pet.units == "CNTS" and pet.philips_suv_factor is not None:
        rule, factor = FactorRule.PHILIPS_SUV, pet.philips_suv_factor
        notes += _routes_doubt(pet, slices)
    else:
        return _from_activity(pet, slices, notes)
    minutes = decay.uptake_minutes(pet, slices)
    factors = (factor,) * len(slices)
    return SuvScale(factors, None, rule, TimeRule.NOT_NEEDED, minutes, tuple(notes))


def _from_activity(pet: PetHeader, slices: Sequence[Slice], notes: list[str]) -> SuvScale:
    """BQML and Philips' counts: × weight / (dose left at the reference time) (QIBA)."""
    rule, activity = _activity_factor(pet)
    _require_decay_correction(pet)
    weight_kg, dose = bodysize.weight_kg(pet, notes), dose_bq(pet, notes)
    notes += _doubt(dose / 1e6, weight_kg)
    grams_per_bq = weight_kg * 1000 / dose
    half_life_s = _half_life_s(pet)
    time_rule, decays_s = decay.decay_times_s(pet, slices, half_life_s, notes)
    factors = tuple(activity * grams_per_bq * 2 ** (s / half_life_s) for s in decays_s)
    minutes = decay.uptake_minutes(pet, slices)
    notes += decay.doubt(minutes)
    return SuvScale(factors, activity, rule, time_rule, minutes, tuple(notes))


def philips_routes(pet: PetHeader, slices: Sequence[Slice]) -> tuple[float, float]:
    """Philips' two private ways from counts to SUV, for holding one against the other.

    Args:
        pet: A header with both private factors.
        slices: Its slices.

    Returns:
        SUV for each count by (7053,1000), and by (7053,1009) with weight, dose and decay.

    Raises:
        RefusedError: A factor is missing.
    """
    direct = pet.philips_suv_factor
    if direct is None or pet.philips_activity_factor is None:
        raise RefusedError(Reason.NO_SUV_FACTOR, "Both private factors are needed to compare.")
    by_activity = _from_activity(pet, slices, [])
    return direct, by_activity.factors[0]


def _routes_doubt(pet: PetHeader, slices: Sequence[Slice]) -> list[str]:
    """Say it where Philips' two ways part: after the scan a weight or a dose was corrected."""
    try:
        direct, by_activity = philips_routes(pet, slices)
    except RefusedError:  # the other way is closed
        return []
    if abs(by_activity / direct - 1) <= ROUTES_SHARE:
        return []
    return [
        "The SUV is by (7053,1000), in which weight and dose are the scanner's; by (7053,1009) and "
        f"the header's weight, dose and times it would be {by_activity / direct:.2f} times as high."
    ]


# What must have been corrected


def _require_attenuation_correction(pet: PetHeader) -> None:
    """QIBA: CorrectedImage must contain ATTN. PS3.3 C.8.9.1 lists its values."""
    if pet.synthetic:
        return
    if "ATTN" not in pet.corrected:
        raise RefusedError(
            Reason.NOT_ATTENUATION_CORRECTED, "CorrectedImage does not contain ATTN."
        )


def _require_decay_correction(pet: PetHeader) -> None:
    """QIBA: CorrectedImage must contain DECY; where DecayCorrection is NONE, not (IBSI 3.4)."""
    corrected = {"DECY", "DECAY"} & set(pet.corrected)
    if pet.decay_correction == "NONE":
        if corrected:
            raise RefusedError(
                Reason.DECAY_RULE, "DecayCorrection is NONE, but CorrectedImage contains DECY."
            )
        return
    if pet.decay_correction not in ("START", "ADMIN"):
        raise RefusedError(
            Reason.DECAY_RULE, "Expected DecayCorrection START, ADMIN or NONE, found another."
        )
    if not corrected:
        raise RefusedError(
            Reason.NOT_DECAY_CORRECTED,
            f"DecayCorrection is {pet.decay_correction}, but CorrectedImage does not contain DECY.",
        )


# Dose and half-life


def dose_bq(pet: PetHeader, notes: list[str]) -> float:
    """Read the injected dose; below 10⁴ it was written in MBq (IBSI, DRO_3_0).

    Args:
        pet: The header.
        notes: Receives a sentence where the unit was repaired.

    Returns:
        The dose in Bq.

    Raises:
        RefusedError: NO-DOSE.
    """
    if pet.dose is None or pet.dose <= 0:
        raise RefusedError(Reason.NO_DOSE, bodysize.describe("RadionuclideTotalDose", pet.dose))
    if pet.dose >= MEGABECQUEREL_BELOW:
        if not USUAL_DOSE_BQ[0] <= pet.dose <= USUAL_DOSE_BQ[1]:
            notes.append(f"The dose is {pet.dose / 1e6:g} MBq, which is unusual; is its unit Bq?")
        return pet.dose
    notes.append("The dose is below 10000 and was read as MBq.")
    return pet.dose * 1e6


def _doubt(dose_mbq: float, weight_kg: float) -> list[str]:
    """Say it where dose and weight, each possible by itself, do not belong to one person."""
    low, high = USUAL_MBQ_PER_KG
    if low <= dose_mbq / weight_kg <= high and weight_kg <= HEAVIEST_KG:
        return []
    return [f"{dose_mbq:g} MBq for {weight_kg:g} kg are unusual; are both units right?"]


def _half_life_s(pet: PetHeader) -> float:
    if pet.half_life_s is None or pet.half_life_s <= 0:
        raise RefusedError(
            Reason.NO_HALF_LIFE, bodysize.describe("RadionuclideHalfLife", pet.half_life_s)
        )
    # A code outweighs the tracer's name: FDG is always made with fluorine-18
    nuclide = pet.coded_nuclide or (FDG_NUCLIDE if pet.tracer == FDG else "")
    if wrong := doubt_half_life(pet.half_life_s, nuclide):
        raise RefusedError(Reason.NO_HALF_LIFE, wrong)
    return pet.half_life_s


# The factor


def _activity_factor(pet: PetHeader) -> tuple[FactorRule, float]:
    """Bq/mL for each stored unit: 1 for BQML, (7053,1009) for Philips' counts (QIBA)."""
    if pet.units == "BQML":
        return FactorRule.BQML, 1.0
    if pet.units == "CNTS" and pet.philips_activity_factor is not None:
        return FactorRule.PHILIPS_ACTIVITY, pet.philips_activity_factor
    if pet.units == "CNTS":
        raise RefusedError(
            Reason.NO_SUV_FACTOR, "Units is CNTS, and neither (7053,1000) nor (7053,1009) is there."
        )
    raise RefusedError(
        Reason.UNITS, f"Expected BQML, GML, CM2ML or CNTS, found {_known_unit(pet.units)}."
    )


KNOWN_UNITS = {"PROPCPS", "PROPCNTS", "PCNT", "NONE", "CPS", "UMOLML", "MLMINML", "CM2", "MLG"}
"""Other terms of PS3.3 C.8.9.1.1.3, safe to be repeated."""


def _known_unit(units: str) -> str:
    return units if units in KNOWN_UNITS else ("another" if units else "none")


MASSES: dict[str, tuple[FactorRule, bodysize.MassFormula]] = {
    "LBM": (FactorRule.GML_LBM, bodysize.lean_mass_james_120_kg),
    "LBMJAMES128": (FactorRule.GML_LBM_JAMES_128, bodysize.lean_mass_james_128_kg),
    "LBMJANMA": (FactorRule.GML_LBM_JANMA, bodysize.lean_mass_janmahasatian_kg),
    "IBW": (FactorRule.GML_IBW, bodysize.ideal_mass_kg),
}
"""What SUVType (0054,1006) divides by."""


def _from_scanner_suv(pet: PetHeader, notes: list[str]) -> tuple[FactorRule, float]:
    """GML: the scanner wrote an SUV; SUVType says of what mass (PS3.3 C.8.9.1.1.3; BW if absent).

    SUV by body weight = SUV by another mass × weight / that mass (IBSI, DRO_2_1 and DRO_2_2).
    """
    if pet.suv_type in ("", "BW"):
        return FactorRule.GML_BW, 1.0
    if pet.suv_type not in MASSES:
        raise RefusedError(
            Reason.SUV_TYPE, "Expected BW, LBM, LBMJAMES128, LBMJANMA or IBW, found another."
        )
    rule, formula = MASSES[pet.suv_type]
    return rule, bodysize.weight_kg(pet, notes) / bodysize.mass_kg(formula, pet, notes)


def _from_body_surface(pet: PetHeader, notes: list[str]) -> tuple[FactorRule, float]:
    """CM2ML: SUV of body surface; × weight in g / surface in cm² (IBSI, DRO_2_3)."""
    weight, height = bodysize.weight_kg(pet, notes), bodysize.height_cm(pet, notes)
    return FactorRule.CM2ML_BSA, weight * 1000 / (bodysize.body_surface_m2(weight, height) * 1e4)
