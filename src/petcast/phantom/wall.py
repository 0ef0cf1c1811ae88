"""The table, and the body without its organs: skin, fat, muscle, breasts, arms."""

from dataclasses import dataclass

import numpy as np

from petcast.phantom.frame import Frame
from petcast.phantom.person import Person
from petcast.phantom.shapes import Bounds, Field, Point, Slab, Tissue, capsule, coverage, ellipsoid
from petcast.phantom.tissues import CARBON, CORTICAL_BONE, FOAM, MATTRESS, Tissues

SKIN_MM = 2.0


@dataclass(frozen=True)
class Limb:
    """A tapered tube from the shoulder outwards, with a bone in it."""

    start: Point
    end: Point
    radii_mm: tuple[float, float]

    @property
    def bounds(self) -> Bounds:
        """The box around it, with room for its fat."""
        return Bounds.around([self.start, self.end], max(self.radii_mm) + 45)


def limbs(person: Person) -> list[Limb]:
    """The parts of both arms that the scan may meet.

    Args:
        person: Who lies there.

    Returns:
        Shoulder and upper arm, right and left, in the reference body.
    """
    found = []
    for side in (-1, 1):
        joint = Point(side * 150, 14, 104 if person.arms_up else 84)
        if person.arms_up:
            elbow, chest = Point(side * 176, 6, 300), Point(side * 118, 20, 62)
        else:
            elbow, chest = Point(side * 196, 26, -260), Point(side * 110, 8, 84)
        found += [Limb(chest, joint, (36, 40)), Limb(joint, elbow, (40, 34))]
    return found


def paint_table(slab: Slab, back_mm: float) -> None:
    """Paint the patient table.

    Args:
        slab: The voxels.
        back_mm: Where the table's top lies in the reference body, along y.
    """
    bounds = Bounds(Point(-260, back_mm - 60, -1e4), Point(260, back_mm + 60, 1e4))
    if (table := slab.window(bounds)) is None:
        return
    x, y = table.x_axis[None, None, :], table.y_axis[None, :, None]
    depth = y - (back_mm - 14 * (x / 200) ** 2)
    side = np.abs(x) - 205
    for top, bottom, tissue in ((0, 14, MATTRESS), (14, 42, CARBON), (16.5, 39.5, FOAM)):
        layer = np.maximum(np.maximum(top - depth, depth - bottom), side + 0.1 * top)
        table.paint(np.broadcast_to(layer, table.values.shape), tissue)


def paint_wall(slab: Slab, frame: Frame, person: Person, tissues: Tissues) -> Field:
    """Paint skin, fat and muscle.

    Args:
        slab: The voxels, on air.
        frame: The patient's shape.
        person: Sex and arms.
        tissues: What each looks like.

    Returns:
        Distance to the rib cage's inner surface in mm, (z, y, x).
    """
    cavity = frame.cavity.distance(slab.x, slab.y, slab.z)
    muscle = np.minimum(frame.torso.distance(slab.x, slab.y, slab.z), cavity - 16)
    fat = muscle - frame.fat_mm * _fatness(slab)
    for limb in limbs(person):
        _join(slab, limb, muscle, fat, frame.fat_mm)
    if person.sex == "F":
        _join_breasts(slab, fat, frame.fat_mm)
    np.maximum(fat, slab.y - frame.back_mm, out=fat)
    slab.paint(fat, tissues.skin)
    slab.paint(fat + SKIN_MM, tissues.fat)
    slab.paint(muscle, tissues.muscle)
    _paint_fat_planes(slab, frame, cavity, muscle, tissues)
    if person.sex == "F":
        _paint_glands(slab, frame.fat_mm, tissues.gland)
    for limb in limbs(person):
        _paint_bone(slab, limb, tissues)
    return cavity


def _fatness(slab: Slab) -> Field:
    """Thickness of the fat relative to the flank's: more at the belly, less at neck and back."""
    level = np.interp(slab.z, (-220, -60, 60, 120), (1.3, 1.0, 0.75, 0.45)).astype(np.float32)
    around = np.interp(slab.y_axis, (-130, 0, 60, 130), (0.8, 1.1, 1.1, 0.6)).astype(np.float32)
    thickness: Field = level * around[None, :, None]
    return thickness


def _join(slab: Slab, limb: Limb, muscle: Field, fat: Field, fat_mm: float) -> None:
    """Add a limb to the distances of muscle and fat, in place."""
    part = slab.window(limb.bounds)
    if part is None:
        return
    box = part.box
    own = capsule(part, limb.start, limb.end, limb.radii_mm)
    muscle[box] = _merge(muscle[box], own, 10)
    fat[box] = _merge(fat[box], own - 0.5 * fat_mm - 3, 10)


def _merge(a: Field, b: Field, round_mm: float) -> Field:
    """Union of two shapes whose seam is rounded."""
    blend = np.clip(round_mm - np.abs(a - b), 0, None)
    union: Field = np.minimum(a, b) - blend * blend / (4 * round_mm)
    return union


def _breasts(fat_mm: float) -> list[tuple[Point, tuple[float, float, float]]]:
    size = 0.8 + fat_mm / 60
    return [
        (Point(side * 88, -82 - 0.5 * fat_mm, -36), (62 * size, 40 * size, 64 * size))
        for side in (-1, 1)
    ]


def _join_breasts(slab: Slab, fat: Field, fat_mm: float) -> None:
    for centre, axes in _breasts(fat_mm):
        part = slab.window(Bounds.around([centre], max(axes) + 12))
        if part is not None:
            fat[part.box] = _merge(fat[part.box], ellipsoid(part, centre, axes), 14)


def _paint_glands(slab: Slab, fat_mm: float, gland: Tissue) -> None:
    for (x, y, z), (a, b, c) in _breasts(fat_mm):
        centre = Point(x, y - 12, z)
        part = slab.window(Bounds.around([centre], c))
        if part is not None:
            distance = ellipsoid(part, centre, (0.5 * a, 0.45 * b, 0.45 * c))
            ripple = np.cos(part.x / 3.1) * np.cos(part.y / 2.7 + part.z / 4)
            part.paint(distance + 4 * ripple, gland, edge_mm=5)


def _paint_fat_planes(
    slab: Slab, frame: Frame, cavity: Field, muscle: Field, tissues: Tissues
) -> None:
    """The armpits, and the sheets of fat between the muscles."""
    sheets = np.abs(frame.marble(slab.x_axis, slab.y_axis, slab.z[:, 0, 0]))
    share = np.clip(1 - sheets * np.float32(7 / max(1.0, 0.4 * slab.edge_mm)), 0, 1)
    share *= coverage(muscle + 6, 3.0)
    share *= coverage(15 - cavity, 2.0)
    slab.blend(share * np.float32(0.75), slab.value(tissues.fat))
    for side in (-1, 1):
        centre, axes = Point(side * 128, 2, 52), (20.0, 30.0, 42.0)
        part = slab.window(Bounds.around([centre], 60))
        if part is not None:
            box = part.box
            pit = np.maximum(ellipsoid(part, centre, axes), 14 - cavity[box])
            part.paint(np.maximum(pit, muscle[box] + 8), tissues.fat, edge_mm=6)


def _paint_bone(slab: Slab, limb: Limb, tissues: Tissues) -> None:
    """The humerus: cortical outside, fatty marrow inside."""
    if abs(limb.start.x) < 140:  # the shoulder's soft tissue; its bones are the skeleton's
        return
    part = slab.window(limb.bounds)
    if part is None:
        return
    head = ellipsoid(part, limb.start, (24, 24, 24))
    shaft = capsule(part, limb.start, limb.end, (12, 10.5))
    bone = _merge(head, shaft, 10)
    part.paint(bone, CORTICAL_BONE)
    part.paint(head + 2.5, tissues.rib_marrow)
    part.paint(shaft + 5, Tissue(-40, 0.5))
