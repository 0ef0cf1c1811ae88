"""The patient's size as SUV needs it: weight, height, and the masses that formulas make of them."""

from collections.abc import Callable

from petcast.dicom.petheader import PetHeader
from petcast.refusal import Reason, RefusedError

GRAMS_ABOVE = 1000.0
"""No patient weighs so many kilograms: the weight was written in grams (QIBA)."""
CENTIMETRES_ABOVE = 3.0
"""No patient is so many metres tall: the height was written in centimetres."""

MassFormula = Callable[[str, float, float], float]
"""Sex ("M" or "F"), weight in kg and height in cm → a mass in kg."""


def weight_kg(pet: PetHeader, notes: list[str]) -> float:
    """Read the body weight of a PET; above 1000 it was written in grams (QIBA).

    Args:
        pet: The header.
        notes: Receives a sentence where the unit was repaired.

    Returns:
        The weight in kg.

    Raises:
        RefusedError: NO-WEIGHT.
    """
    kg = in_kg(pet.weight)
    if kg is None:
        raise RefusedError(Reason.NO_WEIGHT, describe("PatientWeight", pet.weight))
    if kg != pet.weight:
        notes.append("The weight is above 1000 and was read as grams.")
    return kg


def in_kg(weight: float | None) -> float | None:
    """Read any weight as `weight_kg` does.

    Args:
        weight: PatientWeight as written.

    Returns:
        The weight in kg; None where there is none.

    Example:
        >>> in_kg(70_000.0)
        70.0
    """
    if weight is None or weight <= 0:
        return None
    return weight if weight <= GRAMS_ABOVE else weight / 1000


def height_cm(pet: PetHeader, notes: list[str]) -> float:
    """Read the height; above 3 it was written in centimetres.

    Args:
        pet: The header.
        notes: Receives a sentence where the unit was repaired.

    Returns:
        The height in cm.

    Raises:
        RefusedError: NO-HEIGHT.
    """
    if pet.height_m is None or pet.height_m <= 0:
        raise RefusedError(Reason.NO_HEIGHT, describe("PatientSize", pet.height_m))
    if pet.height_m <= CENTIMETRES_ABOVE:
        return pet.height_m * 100
    notes.append("The height is above 3 and was read as centimetres.")
    return pet.height_m


def mass_kg(formula: MassFormula, pet: PetHeader, notes: list[str]) -> float:
    """Apply a formula to the patient; sex "O" takes the mean of both sexes (QIBA; IBSI, DRO_2_2).

    Args:
        formula: One of this module's.
        pet: The header.
        notes: Receives a sentence where a unit was repaired or a mean taken.

    Returns:
        The mass in kg.

    Raises:
        RefusedError: NO-WEIGHT, NO-HEIGHT or NO-SEX.
    """
    weight, height = weight_kg(pet, notes), height_cm(pet, notes)
    if pet.sex in ("M", "F"):
        mass = formula(pet.sex, weight, height)
    elif pet.sex == "O":
        notes.append("The sex is O; the mean of the formulas for both sexes was taken.")
        mass = (formula("M", weight, height) + formula("F", weight, height)) / 2
    else:
        raise RefusedError(Reason.NO_SEX, "PatientSex is missing; expected M, F or O.")
    if mass <= 0:
        raise RefusedError(
            Reason.NO_HEIGHT, "Weight and height cannot both be right: the lean mass is negative."
        )
    return mass


def describe(keyword: str, value: float | None) -> str:
    """Say what was found where a number above zero was expected.

    Args:
        keyword: The DICOM attribute.
        value: Its value.

    Returns:
        A sentence.

    Example:
        >>> describe("PatientWeight", None)
        'PatientWeight is missing or no number; expected a number above zero.'
    """
    shown = "missing or no number" if value is None else f"{value:g}"
    return f"{keyword} is {shown}; expected a number above zero."


def lean_mass_james_120_kg(sex: str, weight_kg: float, height_cm: float) -> float:
    """Lean body mass by James' formula in its misprinted form with 120, as SUVType LBM means.

    Args:
        sex: "M" or "F".
        weight_kg: Body weight.
        height_cm: Height.

    Returns:
        The mass in kg.

    Reference:
        PS3.16 CID 85, SUVlbm; Sugawara et al., Radiology 213 (1999).

    Example:
        >>> round(lean_mass_james_120_kg("M", 70, 175), 1)
        57.8
    """
    ratio = (weight_kg / height_cm) ** 2
    if sex == "F":
        return 1.07 * weight_kg - 148 * ratio
    return 1.10 * weight_kg - 120 * ratio


def lean_mass_james_128_kg(sex: str, weight_kg: float, height_cm: float) -> float:
    """Lean body mass by James' formula as published, with 128.

    Args:
        sex: "M" or "F".
        weight_kg: Body weight.
        height_cm: Height.

    Returns:
        The mass in kg.

    Reference:
        PS3.16 CID 85, SUVlbm(James128); IBSI, DRO_2_1.

    Example:
        >>> round(lean_mass_james_128_kg("M", 70, 175), 1)
        56.5
    """
    ratio = (weight_kg / height_cm) ** 2
    if sex == "F":
        return 1.07 * weight_kg - 148 * ratio
    return 1.10 * weight_kg - 128 * ratio


def lean_mass_janmahasatian_kg(sex: str, weight_kg: float, height_cm: float) -> float:
    """Lean body mass by Janmahasatian's formula.

    Args:
        sex: "M" or "F".
        weight_kg: Body weight.
        height_cm: Height.

    Returns:
        The mass in kg.

    Reference:
        Janmahasatian et al., Clin. Pharmacokinet. 44 (2005); PS3.16 CID 85, SUVlbm(Janma).

    Example:
        >>> round(lean_mass_janmahasatian_kg("M", 70, 175), 1)
        55.9
    """
    body_mass_index = weight_kg / (height_cm / 100) ** 2
    if sex == "F":
        return 9270 * weight_kg / (8780 + 244 * body_mass_index)
    return 9270 * weight_kg / (6680 + 216 * body_mass_index)


def ideal_mass_kg(sex: str, weight_kg: float, height_cm: float) -> float:  # noqa: ARG001
    """Ideal body weight.

    Args:
        sex: "M" or "F".
        weight_kg: Body weight; it plays no part.
        height_cm: Height.

    Returns:
        The mass in kg.

    Reference:
        PS3.16 CID 85, SUVibw; Sugawara et al., Radiology 213 (1999).

    Example:
        >>> round(ideal_mass_kg("M", 70, 175), 1)
        72.4
    """
    if sex == "F":
        return 45.5 + 0.91 * (height_cm - 152)
    return 48.0 + 1.06 * (height_cm - 152)


def body_surface_m2(weight_kg: float, height_cm: float) -> float:
    """Body surface by Du Bois and Du Bois.

    Args:
        weight_kg: Body weight.
        height_cm: Height.

    Returns:
        The surface in m².

    Reference:
        Du Bois and Du Bois, Arch. Intern. Med. 17 (1916); IBSI, DRO_2_3.

    Example:
        >>> round(body_surface_m2(70, 175), 2)
        1.85
    """
    return float(0.007184 * weight_kg**0.425 * height_cm**0.725)
