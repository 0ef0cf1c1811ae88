"""Spine, ribs, sternum, collar bones and shoulder blades.

Ribs and vertebrae repeat along z, so that each kind is one shape, evaluated modulo its pitch.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from petcast.phantom.frame import Frame
from petcast.phantom.shapes import Bounds, Field, Point, Slab, Tissue, capsule, ellipsoid_at
from petcast.phantom.tissues import CARTILAGE, CORTICAL_BONE, Tissues


@dataclass(frozen=True)
class Skeleton:
    """What differs between patients' bones.

    Attributes:
        vertebra_mm: Pitch of the thoracic vertebrae.
        first_disc_mm: Where a disc lies, along z.
        rib_mm: Pitch of the ribs.
        first_rib_mm: Where a rib leaves the spine, along z.
        drop_mm: How far a rib falls from spine to flank.
        cortex_mm: Thickness of cortical bone.
    """

    vertebra_mm: float
    first_disc_mm: float
    rib_mm: float
    first_rib_mm: float
    drop_mm: float
    cortex_mm: float


def draw_skeleton(rng: np.random.Generator, *, old: bool) -> Skeleton:
    """Draw one patient's bones.

    Args:
        rng: The patient's stream.
        old: Whether the cortex has become thin.

    Returns:
        Their measures, in the reference body.
    """
    pitch = rng.uniform(22.5, 25)
    return Skeleton(
        vertebra_mm=pitch,
        first_disc_mm=rng.uniform(0, pitch),
        rib_mm=pitch * rng.uniform(1.0, 1.05),
        first_rib_mm=rng.uniform(0, pitch),
        drop_mm=rng.uniform(70, 95),
        cortex_mm=1.3 if old else 1.7,
    )


def paint_skeleton(
    slab: Slab, frame: Frame, skeleton: Skeleton, cavity: Field, tissues: Tissues, *, arms_up: bool
) -> None:
    """Paint all bones but the arms'.

    Args:
        slab: The voxels.
        frame: The patient's shape.
        skeleton: The bones' measures.
        cavity: Distance to the rib cage's inner surface, (z, y, x).
        tissues: What marrow, discs and cord look like.
        arms_up: Raised arms turn the shoulder blades and lift the collar bones.
    """
    _paint_ribs(slab, skeleton, cavity, tissues)
    _paint_spine(slab, frame, skeleton, tissues)
    _paint_sternum(slab, skeleton, cavity, tissues)
    for side in (-1, 1):
        _paint_collar_bone(slab, side, tissues, arms_up=arms_up)
        _paint_shoulder_blade(slab, side, cavity, tissues, arms_up=arms_up)


def _paint_ribs(slab: Slab, skeleton: Skeleton, cavity: Field, tissues: Tissues) -> None:
    part = slab.window(Bounds(Point(-170, -140, -400), Point(170, 130, 108)))
    if part is None:
        return
    depth = cavity[part.box] - 6.5
    near = np.flatnonzero((np.abs(depth) < 8).any(axis=(1, 2)))
    if not near.size:
        return
    around = _towards_back(part)
    drop = skeleton.drop_mm * _rib_course(around)
    level = (part.z + drop - skeleton.first_rib_mm) / skeleton.rib_mm
    nearest = np.round(level)
    height = (level - nearest) * (skeleton.rib_mm * 0.82)  # a rib is cut obliquely
    first = skeleton.first_rib_mm + nearest * skeleton.rib_mm
    rib = np.sqrt((depth / 4.6) ** 2 + (height / 6.6) ** 2)
    rib = (rib - 1) * np.float32(4.6)
    rib = np.maximum(rib, (first - 100) * 0.5)  # none above the first
    bony = np.maximum(rib, (-0.72 - around) * 60)
    gristle = np.maximum(np.maximum(rib, (around + 0.72) * 60), -40 - first)
    part.paint(gristle, CARTILAGE)
    part.paint(bony, CORTICAL_BONE)
    part.paint(bony + skeleton.cortex_mm, tissues.rib_marrow, edge_mm=max(part.edge_mm, 1.2))


def _towards_back(part: Slab) -> Field:
    """1 at the spine, 0 at the flank, -1 at the sternum."""
    y = part.y - np.float32(8)
    radius = np.sqrt(y * y + (part.x * np.float32(0.8)) ** 2) + np.float32(1)
    around: Field = y / radius
    return around


def _rib_course(around: Field) -> Field:
    """How far a rib has fallen, from 0 at the spine to 1 at its lowest, rising at the sternum."""
    forward = 1 - around
    course: Field = np.minimum(forward * 0.62, 1.95 - 0.7 * forward)
    return course


def _paint_spine(slab: Slab, frame: Frame, skeleton: Skeleton, tissues: Tissues) -> None:
    part = slab.window(Bounds(Point(-48, -30, -400), Point(48, 130, 400)))
    if part is None:
        return
    x, y = part.x, part.y - frame.spine_y(part.z)
    size = np.interp(part.z, (-200, 0, 100, 150), (1.18, 1.0, 0.82, 0.75)).astype(np.float32)
    x, y = x / size, y / size
    phase = (part.z - skeleton.first_disc_mm) / skeleton.vertebra_mm
    level = (phase - np.round(phase)) * skeleton.vertebra_mm  # 0 in the middle of a disc
    middle = skeleton.vertebra_mm / 2 - np.abs(level)  # 0 in the middle of a vertebra
    _paint_arches(part, x, y, middle, skeleton, tissues)
    waist = 1 - 0.09 * np.cos(2 * np.pi * level / skeleton.vertebra_mm - np.pi)
    radius = np.sqrt((x / 17.5) ** 2 + (np.maximum(y, -40) / 14.5) ** 2) / waist
    body = (radius - 1) * np.float32(14.5)
    disc = np.float32(2.4) - np.abs(level)
    part.paint(body, CORTICAL_BONE)
    part.paint(body + skeleton.cortex_mm, tissues.marrow, edge_mm=max(part.edge_mm, 1.5))
    plate = np.maximum(body, np.abs(np.abs(level) - 3.2) - 0.8)
    part.paint(plate, Tissue(480, tissues.marrow.suv), edge_mm=max(part.edge_mm, part.thickness_mm))
    part.paint(np.maximum(body, -disc), tissues.disc, edge_mm=max(part.edge_mm, part.thickness_mm))
    canal = ellipsoid_at(x, y, np.zeros_like(part.z), Point(0, 23, 0), (11.5, 9.5, 30))
    part.paint(canal, Tissue(5, 0.4))
    part.paint(canal + 3.5, tissues.cord)


def _paint_arches(
    part: Slab, x: Field, y: Field, middle: Field, skeleton: Skeleton, tissues: Tissues
) -> None:
    """Pedicles, laminae, transverse and spinous processes around the canal."""
    ring = np.abs(np.sqrt((x / 14) ** 2 + ((y - 22) / 13) ** 2) - 1) * 13 - 3.2
    ring = np.maximum(ring, np.abs(middle) - 8)
    side = np.abs(x)
    away = (side - 25) * np.float32(0.35) + (y - 26)  # the transverse process points backwards
    process = np.sqrt(away**2 + middle**2) - np.float32(4.6)
    process = np.maximum(process, np.maximum(12 - side, side - 35))
    lower = middle - 5 + 0.25 * (y - 36)  # the spinous process points downwards
    spinous = np.maximum(np.abs(x) - 3.0, np.abs(lower) - 7)
    spinous = np.maximum(spinous, np.maximum(33 - y, y - 60))
    bone = np.minimum(np.minimum(ring, process), spinous)
    part.paint(bone, CORTICAL_BONE)
    part.paint(bone + skeleton.cortex_mm + 0.5, tissues.marrow)


def _paint_sternum(slab: Slab, skeleton: Skeleton, cavity: Field, tissues: Tissues) -> None:
    part = slab.window(Bounds(Point(-40, -150, -105), Point(40, -20, 62)))
    if part is None:
        return
    width = np.interp(part.z, (-100, -80, -20, 15, 22, 45, 62), (5, 12, 17, 13, 22, 28, 16))
    across = (part.x / width.astype(np.float32)) ** 2
    depth = (cavity[part.box] - 9.5) / 6.5
    bone = (np.sqrt(across * across + depth * depth) - 1) * np.float32(6.5)
    bone = np.maximum(np.maximum(bone, part.y - 10), np.maximum(part.z - 60, -100 - part.z))
    part.paint(bone, CORTICAL_BONE)
    part.paint(bone + skeleton.cortex_mm, tissues.rib_marrow)


def _paint_collar_bone(slab: Slab, side: int, tissues: Tissues, *, arms_up: bool) -> None:
    rise = 22 if arms_up else 6
    path = [
        Point(side * 20, -62, 60),
        Point(side * 55, -66, 68 + rise * 0.3),
        Point(side * 95, -34, 80 + rise * 0.7),
        Point(side * 136, -8, 84 + rise),
    ]
    for start, end in pairwise(path):
        part = slab.window(Bounds.around([start, end], 12))
        if part is not None:
            bone = capsule(part, start, end, (7, 6.5))
            part.paint(bone, CORTICAL_BONE)
            part.paint(bone + 2.2, tissues.rib_marrow)


def _paint_shoulder_blade(
    slab: Slab, side: int, cavity: Field, tissues: Tissues, *, arms_up: bool
) -> None:
    """A thin curved plate on the rib cage, its spine, and the socket of the shoulder."""
    lift, outwards = (12, 22) if arms_up else (0, 0)
    part = slab.window(Bounds(Point(-190, -40, -75), Point(190, 130, 130)))
    if part is None:
        return
    x = part.x * side
    low = part.z - (-58 + lift)
    wide = 6 + 0.42 * low  # a triangle, its tip below
    plate = np.abs(cavity[part.box] - 25 - 0.05 * low) - np.float32(2.6)
    plate = np.maximum(plate, np.abs(x - 100 - outwards - 0.1 * low) - wide)
    plate = np.maximum(np.maximum(plate, -low), low - 138)
    plate = np.maximum(plate, 10 - part.y)
    part.paint(plate, CORTICAL_BONE)
    part.paint(plate + 1.6, tissues.rib_marrow)
    socket = Point(side * 128, 22, (100 if arms_up else 82))
    spine = [Point(side * 80, 96, 62 + lift), Point(side * 150, 42, 98 + lift)]
    for start, end, radius in ((spine[0], spine[1], 5.0), (socket, socket, 14.0)):
        knob = slab.window(Bounds.around([start, end], radius + 3))
        if knob is not None:
            bone = capsule(knob, start, end, (radius, radius))
            knob.paint(bone, CORTICAL_BONE)
            knob.paint(bone + 2, tissues.rib_marrow)
