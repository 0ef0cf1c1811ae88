"""The figures of the registration check, their tolerances and the warnings.

What each figure is read from, since not all of a chest says something about all directions:

- x and y of the body: the trunk with its skin and its lungs.
- z of the body: the upper third of the lungs. The trunk is nearly a cylinder and says little about
  z; the bases move with the breath, the tops hardly do.
- thirds of the lungs: what lies within 20 mm of them. z is left open in the middle third, where
  lungs are nearly cylinders, too.
- the dome: the step from lung to liver (`petcast.registration.dome`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petcast.registration.dome import dome_mm, worst_slice
from petcast.registration.scene import SURROUNDINGS_MM, Mask, Scene, around, build_scene
from petcast.registration.search import HERE, REACH_MM, Found, Millimetres, Shift, search
from petcast.volume import Grid

BODY_TOLERANCE_MM = 8.0
"""The body's shift along x, y or z beyond which a warning is given."""
LUNG_TOLERANCE_MM = 12.0
"""The same for a third of the lungs, which breathing moves and bends."""
DOME_TOLERANCE_MM = 15.0
"""The same for the right dome: CT shows one moment of a breath, PET the mean of many."""
LEAST_DICE = 0.85
"""Overlap of the trunks below which a warning is given."""
LEAST_CORRELATION = 0.75
"""Below it, the CT's tissues explain so little of the PET that no shift is given."""
LEAST_LUNG_CORRELATION = 0.45
"""The same for a third of the lungs, where there is less contrast."""
ARMS_FAR_MM = 8.0
"""How far from the other image's body an arm lies elsewhere."""
MOST_ASTRAY = 0.02
"""Share of the body that may be arm lying elsewhere; an arm is 0.02 to 0.04 of a chest."""


class Code(StrEnum):
    """What is warned of; docs/how-to/registration.md says what to do."""

    NOT_MEASURED = "NOT-MEASURED"
    LITTLE_IN_COMMON = "LITTLE-IN-COMMON"
    BODY_OVERLAP = "BODY-OVERLAP"
    ARMS = "ARMS"
    BODY_SHIFT = "BODY-SHIFT"
    LUNG_SHIFT_UPPER = "LUNG-SHIFT-UPPER"
    LUNG_SHIFT_MIDDLE = "LUNG-SHIFT-MIDDLE"
    LUNG_SHIFT_LOWER = "LUNG-SHIFT-LOWER"
    DOME = "DOME"


THIRDS = ("upper", "middle", "lower")
COARSE_STRIDE = 2

Document = dict[str, Any]
Warned = tuple[Code, str]


@dataclass(frozen=True)
class Registration:
    """How well CT and PET lie on each other.

    Attributes:
        body_dice: Overlap of the body on CT and on PET, arms included; 0 to 1.
        trunk_dice: The same without arms.
        arms_astray: Arms on one that are no body on the other, as a share of the CT's body.
        body: The body's shift; None where it could not be measured.
        lungs: The shift of the lungs' thirds, by "upper", "middle", "lower".
        dome_mm: How much higher the right dome is on PET; negative: lower.
        worst_slice: The slice where the two disagree most.
        warnings: (code, detail) for each tolerance that is exceeded.
    """

    body_dice: float | None
    trunk_dice: float | None
    arms_astray: float | None
    body: Shift | None
    lungs: dict[str, Shift | None]
    dome_mm: float | None
    worst_slice: int
    warnings: tuple[Warned, ...] = ()

    def to_json(self) -> Document:
        """Write it as docs/files.md describes it.

        Returns:
            JSON values only.
        """
        outlines = {
            "dice": self.body_dice,
            "trunk_dice": self.trunk_dice,
            "arms_astray": self.arms_astray,
        }
        return {
            "body": {**outlines, **_shift_json(self.body)},
            "lungs": {third: _shift_json(self.lungs[third]) for third in THIRDS},
            "dome_mm": self.dome_mm,
            "worst_slice": self.worst_slice,
            "warnings": [{"code": str(code), "detail": detail} for code, detail in self.warnings],
        }


def measure_registration(
    ct: NDArray[np.int16], pet: NDArray[np.float32], regions: NDArray[np.uint8], grid: Grid
) -> Registration:
    """Measure how well a prepared study's CT and PET lie on each other.

    Args:
        ct: HU, (z, y, x).
        pet: SUV, (z, y, x).
        regions: 0 outside, 1 body, 2 lungs, (z, y, x).
        grid: Where they lie; its axes run to L, P and S, as the model grid's do.

    Returns:
        The figures, rounded to what they are good for, and the warnings.

    Reference:
        Roche et al., The correlation ratio as a new similarity measure for multimodal image
        registration, MICCAI 1998; here with shares of tissues instead of classes.
    """
    scene = build_scene(ct, pet, regions, grid)
    nothing: dict[str, Shift | None] = dict.fromkeys(THIRDS)
    if scene is None:
        found = Registration(None, None, None, None, nothing, None, len(ct) // 2)
    else:
        found = _measured(scene)
    return replace(found, warnings=tuple(_warnings(found)))


def _measured(scene: Scene) -> Registration:
    roughly = search(scene, scene.compared, stride=COARSE_STRIDE)
    whole = search(scene, scene.compared, roughly.steps if roughly else HERE)
    thirds: dict[str, Found | None] = {}
    if whole is not None and whole.correlation >= LEAST_CORRELATION:
        thirds = {name: search(scene, mask, whole.steps) for name, mask in _thirds(scene)}
    lungs = {name: _lung_shift(name, thirds.get(name)) for name in THIRDS}
    height = dome_mm(scene, whole.mm[:2]) if whole and _is_given(lungs["lower"]) else None
    return Registration(
        body_dice=_dice(scene.body, scene.pet_body),
        trunk_dice=_dice(scene.trunk, scene.pet_trunk),
        arms_astray=_arms_astray(scene),
        body=_body_shift(whole, lungs["upper"]),
        lungs=lungs,
        dome_mm=None if height is None else round(height, 1),
        worst_slice=worst_slice(scene),
    )


def _thirds(scene: Scene) -> Iterator[tuple[str, Mask]]:
    """The surroundings of the lungs' thirds, cut at two heights between their ends."""
    heights = np.flatnonzero(scene.lung.any(axis=(1, 2)))
    if not heights.size:
        return
    first, second = (heights[0] + (heights[-1] + 1 - heights[0]) * n / 3 for n in (1, 2))
    near = scene.compared & around(scene.lung, SURROUNDINGS_MM, scene.spacing_mm)
    z = np.arange(len(near))
    for name, kept in zip(
        THIRDS, (z >= second, (z >= first) & (z < second), z < first), strict=True
    ):
        yield name, near & kept[:, None, None]


def _body_shift(whole: Found | None, upper: Shift | None) -> Shift | None:
    if whole is None:
        return None
    x_mm, y_mm, _ = whole.mm
    z_mm = None if upper is None else upper.mm[2]
    return _shift((x_mm, y_mm, z_mm), whole.correlation, LEAST_CORRELATION)


def _lung_shift(name: str, found: Found | None) -> Shift | None:
    if found is None:
        return None
    x_mm, y_mm, z_mm = found.mm
    mm = (x_mm, y_mm, None if name == "middle" else z_mm)
    return _shift(mm, found.correlation, LEAST_LUNG_CORRELATION)


def _shift(mm: Millimetres, correlation: float, least: float) -> Shift:
    """The figures as they are given away: rounded, and withheld where they would mean nothing."""
    if correlation < least:
        return Shift((None, None, None), correlation)
    x_mm, y_mm, z_mm = (None if value is None else round(value, 1) for value in mm)
    return Shift((x_mm, y_mm, z_mm), correlation)


def _is_given(shift: Shift | None) -> bool:
    return shift is not None and shift.mm[0] is not None


def _dice(one: Mask, other: Mask) -> float:
    return round(float(2 * (one & other).sum() / max(1, one.sum() + other.sum())), 3)


def _arms_astray(scene: Scene) -> float:
    near_ct, near_pet = (
        around(body, ARMS_FAR_MM, scene.spacing_mm) for body in (scene.body, scene.pet_body)
    )
    only_ct = scene.body & ~scene.trunk & ~near_pet
    only_pet = scene.pet_body & ~scene.pet_trunk & ~near_ct
    return round(float((only_ct.sum() + only_pet.sum()) / scene.body.sum()), 3)


def _shift_json(shift: Shift | None) -> Document:
    if shift is None:
        return {"shift_mm": None, "correlation": None}
    return {"shift_mm": list(shift.mm), "correlation": shift.correlation}


def _warnings(found: Registration) -> Iterator[Warned]:
    if found.body is None:
        yield Code.NOT_MEASURED, "CT and PET show too little of a trunk together to be compared."
        return
    yield from _little_in_common(found.body, found.lungs)
    yield from _overlap_warnings(found.trunk_dice or 0.0, found.arms_astray or 0.0)
    yield from _shift_warnings(Code.BODY_SHIFT, "body", found.body, BODY_TOLERANCE_MM)
    for third in THIRDS:
        code = Code(f"LUNG-SHIFT-{third.upper()}")
        yield from _shift_warnings(code, f"{third} lung", found.lungs[third], LUNG_TOLERANCE_MM)
    if found.dome_mm is not None and abs(found.dome_mm) > DOME_TOLERANCE_MM:
        where = "higher" if found.dome_mm > 0 else "lower"
        yield (
            Code.DOME,
            f"The right dome lies {abs(found.dome_mm):.0f} mm {where} on PET than on CT; up to "
            f"{DOME_TOLERANCE_MM:.0f} mm are ordinary breathing.",
        )


def _little_in_common(body: Shift, lungs: dict[str, Shift | None]) -> Iterator[Warned]:
    parts = [("body", body, LEAST_CORRELATION)]
    parts += [(f"{name} lung", s, LEAST_LUNG_CORRELATION) for name, s in lungs.items() if s]
    low = [
        f"{part} {shift.correlation:.3f}, at least {least:.2f} expected"
        for part, shift, least in parts
        if shift.correlation < least
    ]
    if low:
        places = "; ".join(low)
        yield Code.LITTLE_IN_COMMON, f"The CT's tissues explain little of the PET ({places})."


def _overlap_warnings(trunk: float, astray: float) -> Iterator[Warned]:
    if trunk < LEAST_DICE:
        yield (
            Code.BODY_OVERLAP,
            f"The trunks overlap with a Dice of {trunk:.2f}; expected at least {LEAST_DICE:.2f}.",
        )
    elif astray > MOST_ASTRAY:
        yield (
            Code.ARMS,
            f"Arms lie elsewhere on PET than on CT: {100 * astray:.0f} % of the body's volume; "
            f"tolerance {100 * MOST_ASTRAY:.0f} %.",
        )


def _shift_warnings(
    code: Code, what: str, shift: Shift | None, tolerance_mm: float
) -> Iterator[Warned]:
    if shift is None:
        return
    beyond = [
        f"{axis} {_said(value)}"
        for axis, value in zip("xyz", shift.mm, strict=True)
        if value is not None and abs(value) > tolerance_mm
    ]
    if beyond:
        places = ", ".join(beyond)
        yield code, f"On PET, the {what} lies off by {places}; tolerance {tolerance_mm:.0f} mm."


def _said(value_mm: float) -> str:
    return f"{value_mm:+.1f} mm" + (" or more" if abs(value_mm) >= REACH_MM else "")
