"""The organs between and below the lungs: heart, great vessels, airways, upper abdomen."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from petcast.phantom.frame import Frame
from petcast.phantom.shapes import (
    Bounds,
    Field,
    Point,
    Slab,
    Tissue,
    capsule,
    ellipsoid,
    turned_ellipsoid,
)
from petcast.phantom.tissues import GAS, TRACHEAL_AIR, Tissues

Path = tuple[tuple[float, float, float, float], ...]  # x, y, z and radius in mm

AORTA: Path = (
    (6, -30, -50, 15), (-9, -38, -22, 16), (-14, -32, 8, 15), (-6, -13, 29, 14), (9, 10, 35, 13),
    (22, 30, 25, 12.5), (28, 40, 2, 12), (28, 44, -50, 12), (19, 40, -110, 11.5),
    (8, 26, -160, 11), (3, 16, -240, 10),
)  # fmt: skip
BRANCHES: tuple[Path, ...] = (
    ((-8, -14, 34, 7), (-20, -12, 66, 7), (-27, -12, 92, 5), (-27, -14, 180, 4)),
    ((-23, -10, 78, 5.5), (-58, 6, 98, 5), (-112, 8, 84, 4)),
    ((6, 2, 40, 5), (16, 0, 78, 4.5), (26, -12, 180, 4)),
    ((17, 18, 36, 6), (28, 20, 78, 5.5), (60, 10, 98, 5), (112, 10, 84, 4)),
)
VEINS: tuple[Path, ...] = (
    ((-26, -28, 56, 9), (-30, -20, 0, 9.5), (-31, -18, -45, 10)),
    ((-26, -30, 52, 7), (12, -38, 60, 7), (48, -18, 84, 7), (108, 2, 78, 5)),
    ((-26, -28, 56, 7), (-48, -16, 84, 7), (-108, 2, 78, 5)),
    ((46, -16, 84, 6), (43, -10, 180, 6)),
    ((-46, -16, 84, 6.5), (-43, -10, 180, 6.5)),
    ((-24, -2, -92, 11), (-24, 18, -150, 11), (-22, 22, -240, 11)),
)
PULMONARY: tuple[Path, ...] = (
    ((14, -50, -46, 13), (18, -38, -20, 13.5), (17, -15, -8, 12)),
    ((17, -15, -8, 10), (-14, 2, -12, 10), (-44, 10, -16, 8)),
    ((17, -15, -6, 10), (40, 10, -4, 10), (52, 18, -12, 8)),
    ((8, 8, -48, 9), (-40, 16, -50, 6)),
    ((8, 8, -48, 9), (46, 18, -50, 6)),
)
AIRWAYS: tuple[Path, ...] = (
    ((0, -22, 180, 8.5), (0, -8, 110, 8.5), (1, 8, 66, 8.5), (2, 18, 36, 8.5), (0, 24, 4, 9)),
    ((0, 24, 4, 7), (-34, 24, -20, 6.5), (-46, 28, -46, 5)),
    ((0, 24, 4, 6.5), (30, 26, -20, 6), (50, 28, -36, 5)),
)
LIVER_VESSELS: tuple[Path, ...] = (
    ((-24, 6, -116, 5), (-52, 4, -122, 4), (-88, 2, -142, 2)),
    ((-24, 6, -116, 5), (-44, -26, -126, 4), (-62, -58, -146, 2)),
    ((-24, 6, -116, 4.5), (-14, -30, -128, 3), (6, -64, -146, 2)),
    ((-10, 4, -176, 7), (-42, 2, -160, 5.5), (-64, 22, -156, 4), (-92, 30, -164, 2)),
    ((-42, 2, -160, 5), (-62, -24, -160, 4), (-88, -40, -170, 2)),
)
GULLET: Path = (
    (2, -10, 180, 5), (4, 4, 110, 6), (6, 22, 60, 7), (7, 36, 0, 6.5), (9, 34, -60, 7.5),
    (22, 14, -118, 8), (34, 4, -136, 9),
)  # fmt: skip


@dataclass(frozen=True)
class Heart:
    """One patient's heart.

    Attributes:
        centre: Of the left ventricle.
        axes: 3×3, unit rows: along the left ventricle to its apex, and two across.
        size: 1 is the reference's.
        wall_mm: Thickness of the left ventricle's wall.
    """

    centre: Point
    axes: NDArray[np.float64]
    size: float
    wall_mm: float


def draw_heart(rng: np.random.Generator) -> Heart:
    """Draw one patient's heart.

    Args:
        rng: The patient's stream.

    Returns:
        Its place, axis, size and wall, in the reference body.
    """
    apex = np.array([0.66, -0.55, -0.51]) + rng.normal(0, 0.08, 3)
    apex /= np.linalg.norm(apex)
    across = np.cross(apex, [0.0, 0.0, 1.0])
    across /= np.linalg.norm(across)
    return Heart(
        centre=Point(36 + rng.normal(0, 3), -29 + rng.normal(0, 3), -74 + rng.normal(0, 4)),
        axes=np.array([apex, across, np.cross(apex, across)]),
        size=float(np.clip(rng.normal(1.0, 0.08), 0.85, 1.2)),
        wall_mm=float(rng.uniform(8.5, 12)),
    )


def paint_abdomen(slab: Slab, frame: Frame, cavity: Field, tissues: Tissues) -> None:
    """Fill the inside of the rib cage with fat, and the abdomen with its organs.

    Args:
        slab: The voxels, with breathing.
        frame: The patient's shape.
        cavity: Distance to the rib cage's inner surface, (z, y, x).
        tissues: What the organs look like.
    """
    slab.paint(cavity, tissues.fat)
    part = slab.window(Bounds(Point(-150, -140, -400), Point(150, 130, -70)))
    if part is None:
        return
    inside = np.maximum(
        frame.above_diaphragm(part.x, part.y, part.z) * np.float32(0.8), cavity[part.box]
    )
    edge = max(part.edge_mm, 0.6 * part.thickness_mm)
    part.paint(np.maximum(inside, -3.5 - inside), tissues.muscle, edge)
    _paint_stomach(part, inside + 4, tissues)
    liver = np.maximum(inside + 3, _liver_border(part))
    part.paint(liver, tissues.liver, edge)
    for path in LIVER_VESSELS:
        paint_tube(part, path, tissues.liver_blood)
    spleen = ellipsoid(part, Point(92, 44, -150), (34, 42, 46))
    part.paint(np.maximum(spleen, inside + 4), tissues.spleen, edge)
    for side, top in ((-1, -196), (1, -186)):
        kidney = ellipsoid(part, Point(side * 54, 50, top), (27, 24, 44))
        part.paint(kidney, tissues.kidney)
        part.paint(kidney + 13, tissues.fat)


def _liver_border(part: Slab) -> Field:
    """Distance to the liver's left and lower borders."""
    left = (part.x + 0.55 * part.y + 0.28 * (part.z + 150) - 18) * np.float32(0.82)
    back = (part.y * 0.8 - part.x * 0.6 - 92) * np.float32(0.9)
    hollow = 30 - np.sqrt((part.x - 15) ** 2 + (part.y - 62) ** 2)
    border: Field = np.maximum(np.maximum(left, hollow), back)
    return border


def _paint_stomach(part: Slab, inside: Field, tissues: Tissues) -> None:
    stomach = ellipsoid(part, Point(58, -14, -158), (46, 52, 52))
    stomach = np.maximum(stomach, inside)
    part.paint(stomach, tissues.stomach)
    bubble = np.maximum(stomach + 4, part.y + 34)  # gas rises to the front of one who lies
    part.paint(bubble, GAS)


def paint_heart(slab: Slab, frame: Frame, heart: Heart, tissues: Tissues) -> None:
    """Paint the heart in its fat, on the diaphragm.

    Args:
        slab: The voxels, with breathing.
        frame: The patient's shape.
        heart: The patient's heart.
        tissues: Blood, heart muscle and fat.
    """
    centre, size = heart.centre, heart.size
    sac = Point(centre.x - 19, centre.y - 6, centre.z + 9)
    part = slab.window(Bounds.around([sac], 100 * size))
    if part is None:
        return
    floor = 2 - frame.above_diaphragm(part.x, part.y, part.z)
    outer = turned_ellipsoid(part, sac, heart.axes, (72 * size, 47 * size, 50 * size))
    part.paint(np.maximum(outer, floor), tissues.fat)
    for offset, axes in _CHAMBERS:
        place = Point(*(c + o * size for c, o in zip(centre, offset, strict=True)))
        chamber = ellipsoid(part, place, (axes[0] * size, axes[1] * size, axes[2] * size))
        part.paint(np.maximum(chamber, floor), tissues.right_wall)
        part.paint(np.maximum(chamber + 3, floor), tissues.blood)
    _paint_left_ventricle(part, heart, floor, tissues)


_CHAMBERS = (
    ((-38, -24, 2), (42, 26, 36)),  # right ventricle
    ((-62, 2, 8), (24, 27, 31)),  # right atrium
    ((-26, 36, 30), (37, 22, 23)),  # left atrium
)


def _paint_left_ventricle(part: Slab, heart: Heart, floor: Field, tissues: Tissues) -> None:
    size, wall = heart.size, heart.wall_mm
    outer = turned_ellipsoid(part, heart.centre, heart.axes, (47 * size, 32 * size, 33 * size))
    inner_axes = (47 * size - 0.85 * wall, 32 * size - wall, 33 * size - wall)
    inner = turned_ellipsoid(part, heart.centre, heart.axes, inner_axes)
    x, y, z = (part.x - heart.centre.x), (part.y - heart.centre.y), (part.z - heart.centre.z)
    a, b, c = (float(v) for v in heart.axes[0])
    base = -26 * size - (a * x + b * y + c * z)  # positive behind the valves
    part.paint(np.maximum(np.maximum(outer, floor), base), tissues.myocardium)
    part.paint(np.maximum(np.maximum(inner, floor), base - 3), tissues.blood)


def paint_vessels(slab: Slab, tissues: Tissues) -> None:
    """Paint the great vessels.

    Args:
        slab: The voxels, with breathing.
        tissues: Blood and vessel walls.
    """
    for path in (AORTA, *BRANCHES, *VEINS, *PULMONARY):
        paint_tube(slab, path, tissues.blood)


def paint_airways(slab: Slab, tissues: Tissues) -> None:
    """Paint gullet, thyroid, trachea and main bronchi.

    Args:
        slab: The voxels, with breathing.
        tissues: Walls and thyroid.
    """
    paint_tube(slab, GULLET, tissues.vessel_wall)
    for side in (-1, 1):
        centre = Point(side * 17, -20, 122)
        part = slab.window(Bounds.around([centre], 26))
        if part is not None:
            part.paint(ellipsoid(part, centre, (9, 11, 22)), tissues.thyroid)
    for path in AIRWAYS:
        paint_tube(slab, path, tissues.vessel_wall, 1.6)
    for path in AIRWAYS:
        paint_tube(slab, path, TRACHEAL_AIR)


def paint_tube(slab: Slab, path: Path, tissue: Tissue, wider_mm: float = 0.0) -> None:
    """Paint a tube through points, each with its radius.

    Args:
        slab: The voxels.
        path: The points.
        tissue: What it is made of.
        wider_mm: Added to each radius.
    """
    for (*start, r0), (*end, r1) in pairwise(path):
        a, b = Point(*start), Point(*end)
        part = slab.window(Bounds.around([a, b], max(r0, r1) + wider_mm))
        if part is not None:
            part.paint(capsule(part, a, b, (r0 + wider_mm, r1 + wider_mm)), tissue)
