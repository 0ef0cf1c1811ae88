"""Lesions in patient coordinates: the published boxes, mapped through the CT's affine.

A box is drawn on one image; where that image lies, the CT volume's affine knows. What matches no
image of the volume is counted, never guessed.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petcast.archive.boxes import BoxTable, TumourBox
from petcast.volume import Grid


@dataclass(frozen=True)
class SlicePlace:
    """Where an image lies: a slice of a volume.

    Attributes:
        grid: The volume's grid; its affine maps (x, y, z) indices to LPS in mm.
        slice_index: The slice's z index.
    """

    grid: Grid
    slice_index: int


@dataclass(frozen=True)
class LesionBox:
    """A box in patient coordinates.

    Attributes:
        label: Diagnosis letter.
        low_mm: Least (x, y, z) in LPS, in mm.
        high_mm: Greatest (x, y, z) in LPS, in mm.
    """

    label: str
    low_mm: tuple[float, float, float]
    high_mm: tuple[float, float, float]

    def to_json(self) -> dict[str, Any]:
        """Turn it into a JSON document.

        Returns:
            Label and corners in LPS, in mm.
        """
        return {"label": self.label, "low_mm": list(self.low_mm), "high_mm": list(self.high_mm)}


@dataclass(frozen=True)
class BoxMatches:
    """Boxes that found their slice, and how many did not.

    Attributes:
        lesions: Boxes in patient coordinates, one for each box on a slice.
        unmatched: Boxes on images that are not in the volume.
        outside: Boxes wholly outside their image.
        clipped: Boxes partly outside; they are among `lesions`, cut at the image's edge.
        resized: Boxes drawn on an image of another size than the slice; left out.
    """

    lesions: tuple[LesionBox, ...]
    unmatched: int
    outside: int
    clipped: int
    resized: int

    def to_json(self) -> dict[str, Any]:
        """Turn it into a JSON document.

        Returns:
            Boxes in mm, and the counts.
        """
        return {
            "lesions": [lesion.to_json() for lesion in self.lesions],
            "unmatched": self.unmatched,
            "outside": self.outside,
            "clipped": self.clipped,
            "resized": self.resized,
        }


def lesion_boxes(
    boxes: BoxTable | Sequence[TumourBox], ct_slices: Mapping[str, SlicePlace]
) -> BoxMatches:
    """Bring boxes from pixels of their images into patient coordinates.

    A box spans its slice's thickness: half a step of the volume to either side of its centre.

    Args:
        boxes: What `read_boxes` found.
        ct_slices: Where each image lies, by SOPInstanceUID.

    Returns:
        Boxes in LPS mm, and counts of those that match nothing.

    Example:
        >>> place = SlicePlace(Grid((4, 10, 10), np.diag([2.0, 2.0, 3.0, 1.0])), 1)
        >>> box = TumourBox("1.2", "A", (2.0, 3.0, 4.0, 5.0))
        >>> lesion_boxes([box], {"1.2": place}).lesions[0].low_mm
        (3.0, 5.0, 1.5)
    """
    rows = boxes.boxes if isinstance(boxes, BoxTable) else boxes
    lesions: list[LesionBox] = []
    counts: Counter[str] = Counter()
    for box in rows:
        place = ct_slices.get(box.image_uid)
        if place is None:
            counts["unmatched"] += 1
            continue
        rectangle, problem = _clip(box, place.grid)
        counts[problem] += 1
        if rectangle is not None:
            lesions.append(_to_patient(box.label, rectangle, place))
    return BoxMatches(
        tuple(lesions),
        unmatched=counts["unmatched"],
        outside=counts["outside"],
        clipped=counts["clipped"],
        resized=counts["resized"],
    )


def _clip(box: TumourBox, grid: Grid) -> tuple[tuple[float, float, float, float] | None, str]:
    """Cut a box at its image's edges; say whether that changed anything."""
    _, rows, columns = grid.shape
    if box.image_size is not None and box.image_size != (columns, rows):
        return None, "resized"
    left, top, right, bottom = box.pixels
    inside = max(left, 0.0), max(top, 0.0), min(right, float(columns)), min(bottom, float(rows))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        return None, "outside"
    return inside, "whole" if inside == box.pixels else "clipped"


def _to_patient(
    label: str, rectangle: tuple[float, float, float, float], place: SlicePlace
) -> LesionBox:
    left, top, right, bottom = rectangle
    # An edge at pixel 2 lies half a pixel before the centre of pixel 2.
    xs, ys = (left - 0.5, right - 0.5), (top - 0.5, bottom - 0.5)
    zs = (place.slice_index - 0.5, place.slice_index + 0.5)
    corners: NDArray[np.float64] = np.array([(x, y, z, 1.0) for x in xs for y in ys for z in zs])
    places_mm = (place.grid.affine @ corners.T)[:3]
    return LesionBox(label, _triple(places_mm.min(axis=1)), _triple(places_mm.max(axis=1)))


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
