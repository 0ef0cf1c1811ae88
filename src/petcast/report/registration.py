"""How CT and PET lie on each other: a row a study, and the worst slices as fused pictures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petcast.framing import CT_WINDOW_HU, PET_WINDOWS_SUV, crop_to, smallest_window
from petcast.registration.measure import (
    BODY_TOLERANCE_MM,
    DOME_TOLERANCE_MM,
    LUNG_TOLERANCE_MM,
)
from petcast.report.arrays import Fused
from petcast.report.inputs import Document, finite, records, table
from petcast.report.montage import ColourBar, Picture
from petcast.report.numbers import number
from petcast.report.png import bar_uri, glow, grey, rgb_uri, to_levels

MOST_ROWS = 40
"""Studies that are listed; of a large cohort, those with warnings come first."""
MOST_OPAQUE = 0.75
"""How much of the CT the brightest PET hides."""
PET_SHOWN = 0.2
"""Of its window; the pictures are cropped to the body and to PET above it."""
OUTLINE = np.array((0, 190, 220), dtype=np.uint8)
"""The CT's outlines on the PET: a blue that no shade of grey is taken for."""

HEADINGS = ("CT", "PET, outlines of CT", "PET over CT")
TOLERANCES = (
    f"body {BODY_TOLERANCE_MM:.0f} mm, lungs {LUNG_TOLERANCE_MM:.0f} mm, "
    f"dome {DOME_TOLERANCE_MM:.0f} mm"
)
AXES = ("x", "y", "z")


@dataclass(frozen=True)
class Distance:
    """A distance as text.

    Attributes:
        mm: In millimetres, with its sign.
        beyond: Whether a warning was given for it.
    """

    mm: str
    beyond: bool


@dataclass(frozen=True)
class StudyRow:
    """A study's figures as text.

    Attributes:
        id: Its pseudonym.
        part: Of the split.
        overlap: Dice of the trunks.
        shifts: Of the body and of the upper, middle and lower lungs, each along x, y and z.
        dome: How much higher the right dome is on PET.
        worst_slice: Counted from 1.
        warnings: Code and detail of each.
    """

    id: str
    part: str
    overlap: str
    shifts: tuple[tuple[Distance, ...], ...]
    dome: Distance
    worst_slice: int
    warnings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class FusedSlice:
    """A worst slice.

    Attributes:
        label: Study and number.
        codes: Of its study's warnings.
        pictures: One a heading.
    """

    label: str
    codes: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Agreement:
    """What the page says of CT and PET lying on each other.

    Attributes:
        rows: Studies, those with warnings first.
        more: How many are not listed.
        warned: How many have warnings.
        measured: How many were measured.
        tolerances: Beyond which warnings are given, in words.
        headings: Of the pictures.
        slices: The worst ones; empty where none were kept.
        bars: Colour bars: CT, PET.
    """

    rows: tuple[StudyRow, ...]
    more: int
    warned: int
    measured: int
    tolerances: str
    headings: tuple[str, ...]
    slices: tuple[FusedSlice, ...]
    bars: tuple[ColourBar, ...]


def agreement_of(index: Document, fused: Fused | None) -> Agreement:
    """Read the registration check's figures and draw its worst slices.

    Args:
        index: A copy of pairs.json; may be empty or older than the check.
        fused: From registration.npz; None where there is none.

    Returns:
        What it says, in the page's words.
    """
    rows = [_row(study) for study in records(index, "studies") if table(study, "registration")]
    rows.sort(key=lambda row: (-len(row.warnings), row.id))
    codes = {row.id: ", ".join(code for code, _ in row.warnings) for row in rows}
    top_suv = _top_suv(fused)
    return Agreement(
        rows=tuple(rows[:MOST_ROWS]),
        more=max(len(rows) - MOST_ROWS, 0),
        warned=sum(bool(row.warnings) for row in rows),
        measured=len(rows),
        tolerances=TOLERANCES,
        headings=HEADINGS,
        slices=tuple(_slices(fused, codes, top_suv)) if fused else (),
        bars=_bars(top_suv),
    )


# The table


def _row(study: Document) -> StudyRow:
    found = table(study, "registration")
    warnings = tuple(
        (str(item.get("code", "")), str(item.get("detail", "")))
        for item in records(found, "warnings")
    )
    codes = {code for code, _ in warnings}
    body, lungs = table(found, "body"), table(found, "lungs")
    shifts = [_shift(body, BODY_TOLERANCE_MM, warned="BODY-SHIFT" in codes)]
    shifts += [
        _shift(
            table(lungs, third.lower()), LUNG_TOLERANCE_MM, warned=f"LUNG-SHIFT-{third}" in codes
        )
        for third in ("UPPER", "MIDDLE", "LOWER")
    ]
    return StudyRow(
        id=str(study.get("id", "")),
        part=str(study.get("part", "")),
        overlap=number(finite(body.get("trunk_dice")), 2),
        shifts=tuple(shifts),
        dome=_distance(found.get("dome_mm"), DOME_TOLERANCE_MM, warned="DOME" in codes),
        worst_slice=int(finite(found.get("worst_slice")) or 0) + 1,
        warnings=warnings,
    )


def _shift(part: Document, tolerance_mm: float, *, warned: bool) -> tuple[Distance, ...]:
    mm = part.get("shift_mm")
    values = mm if isinstance(mm, list) and len(mm) == len(AXES) else [None] * len(AXES)
    return tuple(_distance(value, tolerance_mm, warned=warned) for value in values)


def _distance(value: Any, tolerance_mm: float, *, warned: bool) -> Distance:
    mm = finite(value)
    sign = "+" if mm is not None and round(mm) > 0 else ""
    beyond = warned and mm is not None and abs(mm) > tolerance_mm
    return Distance(sign + number(mm, 0), beyond)


# The pictures


def _top_suv(fused: Fused | None) -> float:
    inside = fused.pet[fused.regions > 0] if fused else np.zeros(0)
    return smallest_window(inside, 97.0, PET_WINDOWS_SUV)


def _bars(top_suv: float) -> tuple[ColourBar, ...]:
    low, high = CT_WINDOW_HU
    middle = (low + high) / 2
    hu = tuple(number(value, 0) for value in (low, middle, high))
    suv = tuple(number(value, 2 if top_suv < 5 else 1) for value in (0, top_suv / 2, top_suv))
    return (
        ColourBar("CT (HU)", bar_uri(grey()), hu),
        ColourBar("PET, outlines of CT (SUV)", bar_uri(grey(inverted=True)), suv),
        ColourBar("PET over CT (SUV)", bar_uri(glow()), suv),
    )


def _slices(fused: Fused, codes: dict[str, str], top_suv: float) -> Iterable[FusedSlice]:
    crop = crop_to(np.any((fused.regions > 0) | (fused.pet > PET_SHOWN * top_suv), axis=0))
    for place, (study, z) in enumerate(zip(fused.study, fused.index, strict=True)):
        label = f"Study {study}, slice {z + 1}"
        images = _images(fused, place, top_suv)
        pictures = (
            _picture(image[crop], f"{heading}: {label}")
            for heading, image in zip(HEADINGS, images, strict=True)
        )
        yield FusedSlice(label, codes.get(study, ""), tuple(pictures))


def _images(fused: Fused, place: int, top_suv: float) -> Sequence[NDArray[np.uint8]]:
    ct = grey()[to_levels(fused.ct[place], *CT_WINDOW_HU)]
    levels = to_levels(fused.pet[place], 0.0, top_suv)
    pet = grey(inverted=True)[levels]
    regions = fused.regions[place]
    pet[_edges(regions > 0) | _edges(regions > 1)] = OUTLINE
    opaque = MOST_OPAQUE * np.sqrt(levels[:, :, None] / 254.0)
    fused_colours = (1 - opaque) * ct + opaque * glow()[levels]
    return ct, pet, np.rint(fused_colours).astype(np.uint8)


def _edges(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask that have a neighbour outside it."""
    from scipy.ndimage import binary_erosion

    return np.asarray(mask & ~binary_erosion(mask))


def _picture(colours: NDArray[np.uint8], alt: str) -> Picture:
    height, width, _ = colours.shape
    return Picture(rgb_uri(colours), alt, "", width, height)
