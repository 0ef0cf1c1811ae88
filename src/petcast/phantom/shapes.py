"""Shapes given by their distance, painted with soft edges on any rectilinear grid.

A shape is a function that gives, for each voxel, the distance to the shape's surface in
millimetres: negative inside. Distances need only be right near the surface.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]
Quantity = Literal["hu", "suv"]

WARP_MM = 14.0
"""No voxel's place in the reference body is further than this from its unwarped place."""


class Point(NamedTuple):
    """A place in the reference body: x to the left, y to the back, z to the head, in mm."""

    x: float
    y: float
    z: float


class Tissue(NamedTuple):
    """What a tissue looks like: its CT number and its tracer uptake."""

    hu: float
    suv: float


class Bounds(NamedTuple):
    """A box in the reference body, from its lowest to its highest corner, in mm."""

    low: Point
    high: Point

    @classmethod
    def around(cls, points: list[Point], margin_mm: float) -> "Bounds":
        """The smallest box that holds all points, and a margin."""
        corners = np.array(points)
        low, high = corners.min(axis=0) - margin_mm, corners.max(axis=0) + margin_mm
        return cls(Point(*map(float, low)), Point(*map(float, high)))


@dataclass(frozen=True)
class Slab:
    """A few slices that are being painted, with each voxel's place in the reference body.

    Attributes:
        x_axis: Place along x without the warp, ascending, (x,).
        y_axis: Place along y without the warp, ascending, (y,).
        x: Place to the left, (z, y, x).
        y: Place to the back, (z, y, x).
        z: Place to the head, ascending, (z, 1, 1).
        organ_z: The same for what moves with the diaphragm, (z, 1, 1).
        values: What is painted on, (z, y, x); a view of the whole image.
        quantity: Which property of a tissue is painted.
        edge_mm: Width over which an edge fades: about a voxel.
        thickness_mm: How much of the body along z one slice averages.
        box: Where a window lies in the slab that it was cut from.
    """

    x_axis: Field
    y_axis: Field
    x: Field
    y: Field
    z: Field
    organ_z: Field
    values: Field
    quantity: Quantity
    edge_mm: float
    thickness_mm: float
    box: tuple[slice, slice, slice] = (slice(None), slice(None), slice(None))

    def breathing(self) -> "Slab":
        """The same voxels, for shapes that move with the diaphragm."""
        return replace(self, z=self.organ_z)

    def window(self, bounds: Bounds) -> "Slab | None":
        """The part that may meet a box, as views; None where there is none.

        Args:
            bounds: The box.

        Returns:
            A slab that paints into this one.
        """
        side = WARP_MM + self.edge_mm
        zs = _span(self.z[:, 0, 0], bounds.low.z, bounds.high.z, self.thickness_mm)
        ys = _span(self.y_axis, bounds.low.y, bounds.high.y, side)
        xs = _span(self.x_axis, bounds.low.x, bounds.high.x, side)
        if zs is None or ys is None or xs is None:
            return None
        box = (zs, ys, xs)
        return replace(
            self,
            x_axis=self.x_axis[xs],
            y_axis=self.y_axis[ys],
            x=self.x[box],
            y=self.y[box],
            z=self.z[zs],
            organ_z=self.organ_z[zs],
            values=self.values[box],
            box=box,
        )

    def value(self, tissue: Tissue) -> float:
        """The property of a tissue that is painted here."""
        return tissue.hu if self.quantity == "hu" else tissue.suv

    def paint(self, distance: Field, tissue: Tissue, edge_mm: float | None = None) -> None:
        """Paint a tissue where a distance is negative.

        Args:
            distance: To the shape's surface in mm, broadcast to (z, y, x).
            tissue: What to paint.
            edge_mm: Width of the edge; the slab's own where None.
        """
        self.blend(coverage(distance, edge_mm or self.edge_mm), self.value(tissue))

    def blend(self, share: Field, value: float | Field) -> None:
        """Replace a share of each voxel.

        Args:
            share: 0 leaves a voxel as it is, 1 replaces it; broadcast to (z, y, x).
            value: What it becomes.
        """
        change = value - self.values
        change *= share
        self.values[...] += change


def coverage(distance: Field, edge_mm: float) -> Field:
    """Share of a voxel inside a shape, from the distance of its centre.

    Args:
        distance: To the surface in mm, negative inside.
        edge_mm: Width over which the share goes from 1 to 0.

    Returns:
        Shares from 0 to 1, of the same shape.

    Example:
        >>> coverage(np.array([-2.0, 0.0, 2.0], dtype=np.float32), 1.0).tolist()
        [1.0, 0.5, 0.0]
    """
    share = distance * np.float32(-1 / edge_mm)
    share += np.float32(0.5)
    return np.clip(share, 0, 1, out=share)


def ellipsoid(slab: Slab, centre: Point, axes: tuple[float, float, float]) -> Field:
    """Distance to an ellipsoid along the body's axes.

    Args:
        slab: The voxels.
        centre: Its centre.
        axes: Its half axes along x, y, z in mm.

    Returns:
        Distance in mm, (z, y, x); exact on the surface and to first order near it.
    """
    return ellipsoid_at(slab.x, slab.y, slab.z, centre, axes)


def ellipsoid_at(
    x: Field, y: Field, z: Field, centre: Point, axes: tuple[float, float, float]
) -> Field:
    """Distance of points to an ellipsoid; see `ellipsoid`.

    Args:
        x: Places to the left in mm.
        y: Places to the back in mm.
        z: Places to the head in mm.
        centre: Its centre.
        axes: Its half axes along x, y, z in mm.

    Returns:
        Distance in mm, broadcast.
    """
    a, b, c = axes
    u, v, w = (x - centre.x) ** 2, (y - centre.y) ** 2, (z - centre.z) ** 2
    u += np.float32(1e-4)  # the centre itself has no direction
    level = np.sqrt(u / a**2 + v / b**2 + w / c**2)
    slope = np.sqrt(u / a**4 + v / b**4 + w / c**4)
    distance: Field = level * (level - 1) / slope
    return distance


def turned_ellipsoid(
    slab: Slab, centre: Point, directions: NDArray[np.float64], axes: tuple[float, float, float]
) -> Field:
    """Distance to an ellipsoid along axes of its own.

    Args:
        slab: The voxels.
        centre: Its centre.
        directions: 3×3, a unit row for each axis.
        axes: Its half axes in mm.

    Returns:
        Distance in mm, (z, y, x).
    """
    x, y, z = slab.x - centre.x, slab.y - centre.y, slab.z - centre.z
    own = [float(d[0]) * x + float(d[1]) * y + float(d[2]) * z for d in directions]
    return ellipsoid_at(own[0], own[1], own[2], Point(0, 0, 0), axes)


def capsule(slab: Slab, start: Point, end: Point, radii_mm: tuple[float, float]) -> Field:
    """Distance to a straight tube with round ends.

    Args:
        slab: The voxels.
        start: Centre of one end.
        end: Centre of the other.
        radii_mm: Radius at the start and at the end.

    Returns:
        Distance in mm, (z, y, x).
    """
    dx, dy, dz = (float(b - a) for a, b in zip(start, end, strict=True))
    x, y, z = slab.x - start.x, slab.y - start.y, slab.z - start.z
    along: Field = x * dx + y * dy + z * dz
    along /= max(dx * dx + dy * dy + dz * dz, 1e-6)
    np.clip(along, 0, 1, out=along)
    squared: Field = (x - along * dx) ** 2 + (y - along * dy) ** 2 + (z - along * dz) ** 2
    np.sqrt(squared, out=squared)
    squared -= radii_mm[0]
    squared -= along * (radii_mm[1] - radii_mm[0])
    return squared


def _span(axis: Field, low: float, high: float, margin: float) -> slice | None:
    """Indices of an ascending axis inside an interval and a margin."""
    start, stop = np.searchsorted(axis, [low - margin, high + margin])
    return slice(int(start), int(stop)) if stop > start else None
