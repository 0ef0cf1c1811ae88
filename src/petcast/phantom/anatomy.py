"""One patient's body, and its picture on any grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petcast.phantom.frame import Frame, draw_frame
from petcast.phantom.lesions import Lesion, PlacedLesion, draw_lesions, paint_lesion
from petcast.phantom.lungs import Tree, grow_trees, paint_parenchyma, paint_trees, unbend_trees
from petcast.phantom.organs import (
    Heart,
    draw_heart,
    paint_abdomen,
    paint_airways,
    paint_heart,
    paint_vessels,
)
from petcast.phantom.person import Person, draw_person
from petcast.phantom.shapes import Field, Quantity, Slab
from petcast.phantom.skeleton import Skeleton, draw_skeleton, paint_skeleton
from petcast.phantom.streams import Streams
from petcast.phantom.tissues import AIR, Tissues, draw_tissues
from petcast.phantom.wall import paint_table, paint_wall

SLAB_VOXELS = 250_000
"""Painted at once: small enough to stay in the processor's cache."""

OLD_YEARS = 65
FRONT_MM = -150.0
"""No body reaches further to the front, its fat aside, in the reference body."""


@dataclass(frozen=True)
class Anatomy:
    """Everything that makes one patient."""

    person: Person
    frame: Frame
    tissues: Tissues
    skeleton: Skeleton
    heart: Heart
    trees: dict[str, list[Tree]]
    lesions: list[Lesion]


@dataclass(frozen=True)
class Axes:
    """A grid along the scanner's axes.

    Attributes:
        x_mm: Voxel centres to the left, ascending.
        y_mm: Voxel centres to the back, ascending.
        z_mm: Voxel centres to the head, ascending.
        thickness_mm: How much of the body along z one voxel averages.
    """

    x_mm: NDArray[np.float64]
    y_mm: NDArray[np.float64]
    z_mm: NDArray[np.float64]
    thickness_mm: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along (z, y, x)."""
        return len(self.z_mm), len(self.y_mm), len(self.x_mm)

    @property
    def affine(self) -> NDArray[np.float64]:
        """4×4, index (x, y, z, 1) → LPS in mm."""
        affine = np.eye(4)
        for axis, place in enumerate((self.x_mm, self.y_mm, self.z_mm)):
            affine[axis, axis] = (place[-1] - place[0]) / (len(place) - 1)
            affine[axis, 3] = place[0]
        return affine


def draw_anatomy(streams: Streams) -> Anatomy:
    """Draw one patient.

    Args:
        streams: The patient's random streams.

    Returns:
        The patient.
    """
    person = draw_person(streams.rng("person"))
    old = person.age_years >= OLD_YEARS
    frame = draw_frame(streams.rng("frame"), person)
    tissues = draw_tissues(streams.rng("tissues"), old=old)
    return Anatomy(
        person=person,
        frame=frame,
        tissues=tissues,
        skeleton=draw_skeleton(streams.rng("skeleton"), old=old),
        heart=draw_heart(streams.rng("heart")),
        trees=grow_trees(streams.rng("trees"), frame),
        lesions=draw_lesions(streams.rng("lesions"), frame, streams.patient),
    )


def render(anatomy: Anatomy, axes: Axes, quantity: Quantity, phase: float) -> Field:
    """Paint a patient on a grid.

    Args:
        anatomy: The patient.
        axes: The grid, in the scanner's coordinates.
        quantity: "hu" or "suv".
        phase: Of the breath: 0 expired, 1 inspired.

    Returns:
        The quantity without noise and blur, (z, y, x).
    """
    air = AIR.hu if quantity == "hu" else AIR.suv
    image = np.full(axes.shape, air, dtype=np.float32)
    step = max(1, SLAB_VOXELS // (image.shape[1] * image.shape[2]))
    trees = unbend_trees(anatomy.trees, anatomy.frame, phase)
    lesions = [lesion.at(anatomy.frame, phase) for lesion in anatomy.lesions]
    for first in range(0, len(image), step):
        zs = slice(first, first + step)
        slab = _slab(anatomy.frame, axes, image, zs, quantity, phase)
        _paint(slab, anatomy, trees, lesions)
    return image


def _slab(
    frame: Frame, axes: Axes, image: Field, zs: slice, quantity: Quantity, phase: float
) -> Slab:
    x = frame.reference_axis(0, axes.x_mm)
    y = frame.reference_axis(1, axes.y_mm)
    front, back = np.searchsorted(y, [FRONT_MM - 1.2 * frame.fat_mm, frame.back_mm + 50])
    y = y[front:back]
    z = frame.reference_axis(2, axes.z_mm[zs])
    scale_x, _, scale_z = frame.scale
    return Slab(
        x_axis=x,
        y_axis=y,
        x=x + frame.warp(0, x, y, z),
        y=y[:, None] + frame.warp(1, x, y, z),
        z=z[:, None, None],
        organ_z=frame.organ_z(z, phase)[:, None, None],
        values=image[zs, front:back],
        quantity=quantity,
        edge_mm=1.1 * float(axes.x_mm[1] - axes.x_mm[0]) / scale_x,
        thickness_mm=axes.thickness_mm / scale_z,
    )


def _paint(
    slab: Slab, anatomy: Anatomy, trees: dict[str, list[Tree]], lesions: list[PlacedLesion]
) -> None:
    """Paint from the outside in; what comes later lies over what came before."""
    frame, tissues, person = anatomy.frame, anatomy.tissues, anatomy.person
    paint_table(slab, frame.back_mm)
    cavity = paint_wall(slab, frame, person, tissues)
    organs = slab.breathing()
    paint_abdomen(organs, frame, cavity, tissues)
    paint_parenchyma(organs, frame, cavity, tissues)
    paint_trees(slab, trees, tissues)
    paint_heart(organs, frame, anatomy.heart, tissues)
    paint_vessels(organs, tissues)
    paint_airways(organs, tissues)
    paint_skeleton(slab, frame, anatomy.skeleton, cavity, tissues, arms_up=person.arms_up)
    for lesion in lesions:
        paint_lesion(slab, frame, lesion)
