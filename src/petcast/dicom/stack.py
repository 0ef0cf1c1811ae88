"""Slices laid on each other by their own positions: order, spacing, and what does not fit.

File names, instance numbers and slice locations play no part. PET beds join with steps of
3.19 to 3.29 mm on real scanners, so steps may vary a little; a missing slice may not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from petcast.dicom.facts import Shared, Slice
from petcast.dicom.header import Header
from petcast.dicom.pixels import same_pixels
from petcast.refusal import Reason, RefusedError
from petcast.volume import COARSEST_MM, FINEST_MM
from petcast.words import count

SAME_PLACE_MM = 0.05
"""Slices nearer than this along their normal claim the same place."""
GAP_STEPS = 1.5
"""A step longer than this many usual steps has lost a slice."""
UNEVEN_SHARE = 0.10
"""A step may differ from the usual one by this share of it …"""
UNEVEN_MM = 0.75
"""… and a slice may lie this far, or a quarter of the step where that is more, from where constant
steps would put it."""
SIDEWAYS_MM = 0.5
"""Slices may shift this far within their plane."""
TILT_DEG = 0.3
"""Slices sheared more than this were scanned with a tilted gantry."""
COSINE_TOLERANCE = 1e-3
"""Direction cosines that differ by less are the same direction (0.06 degrees)."""
SPACING_TOLERANCE_MM = 1e-3


class Place(NamedTuple):
    """One slice in its file.

    Attributes:
        header: The file.
        frame: Which of its frames.
    """

    header: Header
    frame: int

    @property
    def slice(self) -> Slice:
        """Position, scale and time."""
        return self.header.slices[self.frame]


class ClashError(RefusedError):
    """Slices with different pixels claim the same place."""


@dataclass(frozen=True)
class Stack:
    """Slices in order.

    Attributes:
        places: The slices along their normal, equal duplicates left out.
        shared: What they have in common, from the first.
        affine: 4×4, index (x, y, z, 1) → LPS in mm.
        left_out: Files whose every slice is the duplicate of another.
        notes: What was repaired.
    """

    places: tuple[Place, ...]
    shared: Shared
    affine: NDArray[np.float64]
    left_out: tuple[Header, ...]
    notes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x)."""
        return len(self.places), self.shared.layout.rows, self.shared.layout.columns

    @property
    def slices(self) -> list[Slice]:
        """Position, scale and time of each place."""
        return [place.slice for place in self.places]


def stack(headers: Sequence[Header]) -> Stack:
    """Order a series' slices and test that they form one volume.

    Args:
        headers: Files of one series, in any order, none refused.

    Returns:
        The ordered slices and their affine.

    Raises:
        ClashError: DUPLICATE or ACQUISITIONS; splitting the series may help.
        RefusedError: Another reason why they form no volume.
    """
    shared = _first_shared(headers)
    _require_alike(headers, shared)
    normal = _axial_normal(shared)
    places = _ordered(headers, normal)
    kept, left_out = _without_duplicates(places, normal)
    affine = _affine(kept, shared, normal)
    notes = []
    if left_out:
        notes.append(f"Left out: {count(len(left_out), 'file')} with slices that others hold too.")
    return Stack(tuple(kept), shared, affine, tuple(left_out), tuple(notes))


def _first_shared(headers: Sequence[Header]) -> Shared:
    for header in headers:
        if header.shared is not None and header.slices:
            return header.shared
    raise RefusedError(Reason.TOO_FEW_SLICES, "No slice of the series is readable.")


def _require_alike(headers: Sequence[Header], first: Shared) -> None:
    for shared in {header.shared for header in headers if header.shared is not None}:
        if shared.frame_uid != first.frame_uid:
            raise RefusedError(Reason.MIXED_FRAME, "Several FrameOfReferenceUIDs in one series.")
        size, own = (first.layout.rows, first.layout.columns), shared.layout
        if (own.rows, own.columns) != size or not _close(
            shared.spacing_mm, first.spacing_mm, SPACING_TOLERANCE_MM
        ):
            raise RefusedError(
                Reason.MIXED_SIZE,
                f"Some slices have {size} pixels, others {own.rows, own.columns}"
                f" (at {first.spacing_mm} and {shared.spacing_mm} mm).",
            )
        if not _close(shared.orientation, first.orientation, COSINE_TOLERANCE):
            raise RefusedError(Reason.MIXED_ORIENTATION, "Several orientations in one series.")


def _close(first: ArrayLike, second: ArrayLike, tolerance: float) -> bool:
    return bool(np.allclose(first, second, rtol=0, atol=tolerance))


def _axial_normal(shared: Shared) -> NDArray[np.float64]:
    """Unit normal of the slices; refuses directions that are not along the body."""
    x, y = (np.array(part, dtype=np.float64) for part in np.split(np.array(shared.orientation), 2))
    if not _close([x @ x, y @ y, x @ y], [1, 1, 0], 10 * COSINE_TOLERANCE):
        raise RefusedError(
            Reason.NO_POSITION, "ImageOrientationPatient does not hold two perpendicular units."
        )
    if abs(shared.tilt_deg) > TILT_DEG:
        raise RefusedError(Reason.TILT, f"GantryDetectorTilt is {shared.tilt_deg:g} degrees.")
    normal = np.cross(x, y)
    axes = np.abs(np.stack([x, y, normal]))
    if not _close(normal, (0, 0, np.sign(normal[2])), COSINE_TOLERANCE) or not _close(
        axes, np.round(axes), COSINE_TOLERANCE
    ):
        raise RefusedError(
            Reason.NOT_AXIAL,
            f"Rows run along {x.round(3).tolist()}, columns along {y.round(3).tolist()}; expected "
            "left-right and front-back.",
        )
    return np.asarray(normal)


def _ordered(headers: Sequence[Header], normal: NDArray[np.float64]) -> list[Place]:
    places = [Place(header, n) for header in headers for n in range(len(header.slices))]
    # The UID decides between duplicates, so that the files' order never matters
    return sorted(
        places,
        key=lambda p: (round(_height(p, normal) / SAME_PLACE_MM), p.header.sop_uid, p.frame),
    )


def _height(place: Place, normal: NDArray[np.float64]) -> float:
    return float(np.dot(place.slice.position_mm, normal))


def _without_duplicates(
    places: Sequence[Place], normal: NDArray[np.float64]
) -> tuple[list[Place], list[Header]]:
    """Keep one of equal slices; slices that differ in one place, or under one UID, clash."""
    kept: list[Place] = []
    for place in places:
        twin = kept[-1] if kept else None
        if twin is None or abs(_height(place, normal) - _height(twin, normal)) > SAME_PLACE_MM:
            kept.append(place)
        elif not _equal(twin, place):
            raise _clash(twin, place)
    _require_unique_uids(kept)
    used = {id(place.header) for place in kept}
    return kept, _unused(places, used)


def _unused(places: Iterable[Place], used: set[int]) -> list[Header]:
    unused = {id(p.header): p.header for p in places if id(p.header) not in used}
    return list(unused.values())


def _equal(first: Place, second: Place) -> bool:
    if len(first.header.slices) != 1 or len(second.header.slices) != 1:
        return first.header is not second.header and same_pixels(first.header, second.header)
    if not _close(first.slice.position_mm, second.slice.position_mm, SAME_PLACE_MM):
        return False
    return same_pixels(first.header, second.header)


def _clash(first: Place, second: Place) -> ClashError:
    if first.header is second.header:
        return ClashError(Reason.ACQUISITIONS, "Frames of one file lie in the same place.")
    marks = [(place.slice.acquisition, place.slice.acquired) for place in (first, second)]
    if marks[0] != marks[1] and first.header.sop_uid != second.header.sop_uid:
        return ClashError(
            Reason.ACQUISITIONS, "Slices of several acquisitions lie in the same place."
        )
    return ClashError(Reason.DUPLICATE, "Two slices in the same place hold different pixels.")


def _require_unique_uids(kept: Sequence[Place]) -> None:
    seen: dict[str, Header] = {}
    for place in kept:
        header = place.header
        if seen.setdefault(header.sop_uid, header) is not header:
            raise ClashError(
                Reason.DUPLICATE, "Two slices at different places carry the same SOPInstanceUID."
            )


def _affine(
    places: Sequence[Place], shared: Shared, normal: NDArray[np.float64]
) -> NDArray[np.float64]:
    positions = np.array([place.slice.position_mm for place in places])
    affine = np.eye(4)
    affine[:3, 0] = np.array(shared.orientation[:3]) * shared.spacing_mm[0]
    affine[:3, 1] = np.array(shared.orientation[3:]) * shared.spacing_mm[1]
    affine[:3, 2] = normal * _step_mm(positions, shared, normal)
    affine[:3, 3] = positions[0]
    return affine


def _step_mm(positions: NDArray[np.float64], shared: Shared, normal: NDArray[np.float64]) -> float:
    """The mean step, if the slices are one regular stack."""
    if len(positions) == 1:
        return shared.thickness_mm if shared.thickness_mm and shared.thickness_mm > 0 else 1.0
    heights = positions @ normal
    _require_no_gap(heights)
    _require_straight(positions - np.outer(heights, normal), heights)
    mean = float((heights[-1] - heights[0]) / (len(heights) - 1))
    if not FINEST_MM <= mean <= COARSEST_MM:
        raise RefusedError(
            Reason.SPACING,
            f"Slices lie {mean:g} mm apart; expected {FINEST_MM:g} to {COARSEST_MM:g} mm.",
        )
    off = np.abs(heights - heights[0] - mean * np.arange(len(heights))).max()
    if off > max(UNEVEN_MM, mean / 4):
        raise RefusedError(
            Reason.UNEVEN,
            f"With constant steps of {mean:.2f} mm, a slice lies {off:.2f} mm from its place.",
        )
    return mean


def _require_no_gap(heights: NDArray[np.float64]) -> None:
    steps = np.array([above - below for below, above in pairwise(heights)])
    usual = float(np.median(steps))
    longest = int(np.argmax(steps))
    if steps[longest] > GAP_STEPS * usual:
        lost = max(1, round(steps[longest] / usual) - 1)
        raise RefusedError(
            Reason.GAP,
            f"Between slices {longest + 1} and {longest + 2} of {len(heights)} lie "
            f"{steps[longest]:.2f} mm, elsewhere {usual:.2f} mm: about {lost} missing.",
        )
    if np.abs(steps - usual).max() > UNEVEN_SHARE * usual + SAME_PLACE_MM:
        raise RefusedError(
            Reason.UNEVEN,
            f"Steps between slices run from {steps.min():.2f} to {steps.max():.2f} mm.",
        )


def _require_straight(aside: NDArray[np.float64], heights: NDArray[np.float64]) -> None:
    """Refuse slices that shift within their plane: along with the height, or anyhow."""
    drift = aside[-1] - aside[0]
    shear_deg = np.degrees(np.arctan2(np.linalg.norm(drift), heights[-1] - heights[0]))
    shifted_mm = np.linalg.norm(aside - aside[0], axis=1).max()
    if shifted_mm <= SIDEWAYS_MM:
        return
    if shear_deg > TILT_DEG:
        raise RefusedError(Reason.TILT, f"The slices are sheared by {shear_deg:.1f} degrees.")
    raise RefusedError(Reason.UNEVEN, f"Slices are shifted sideways by up to {shifted_mm:.1f} mm.")
