"""The reference body and how one patient differs from it.

Every organ is described once, for a man of 1.76 m whose carina lies at the origin, in mm, x to
the left, y to the back, z to the head. A patient is that body scaled along its axes and bent
by a smooth warp, so that no two patients' organs coincide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from petcast.phantom.person import Person
from petcast.phantom.shapes import Field

TOP_MM, BOTTOM_MM = 128.0, -168.0
"""What is scanned of the reference body: from the neck to the upper abdomen."""

Coordinate = TypeVar("Coordinate", float, Field)
Table = Mapping[str, tuple[int, ...]]

_LEVELS = np.arange(-300.0, 301.0)

_CAVITY: Table = {
    "z": (-220, -150, -80, -30, 20, 50, 75, 95, 112),
    "half_width": (122, 130, 132, 126, 112, 96, 76, 54, 20),
    "front": (-92, -98, -100, -92, -72, -52, -30, -8, 14),
    "back": (70, 80, 85, 87, 85, 78, 68, 55, 38),
}
_TORSO: Table = {
    "z": (-220, -150, -80, -30, 20, 50, 75, 95, 112, 125, 140, 200),
    "half_width": (148, 152, 154, 157, 163, 168, 164, 142, 104, 76, 60, 58),
    "front": (-106, -112, -116, -110, -94, -82, -69, -58, -50, -46, -46, -48),
    "back": (112, 115, 118, 120, 119, 115, 109, 101, 91, 81, 72, 67),
}
_SPINE = {
    "z": (-220, -150, -80, -30, 20, 50, 80, 110, 140, 200),
    "y": (40, 44, 50, 56, 56, 51, 40, 25, 12, 4),
}
_WARP_MODES = 4
_MARBLE_MODES = 6


def _profile(table: Table, name: str) -> NDArray[np.float64]:
    """A smooth curve through a table, sampled on _LEVELS, flat beyond its ends."""
    z = np.array(table["z"], dtype=float)
    return np.asarray(PchipInterpolator(z, table[name])(np.clip(_LEVELS, z[0], z[-1])))


@dataclass(frozen=True)
class Outline:
    """A stack of rounded cross-sections.

    Attributes:
        half_width: Along x at each of _LEVELS, in mm.
        middle: Of front and back, along y.
        half_depth: Along y.
        squareness: 0 makes an ellipse, 1 nearly a rectangle.
    """

    half_width: NDArray[np.float64]
    middle: NDArray[np.float64]
    half_depth: NDArray[np.float64]
    squareness: float

    @classmethod
    def of(cls, table: Table, squareness: float) -> "Outline":
        """From a table of widths, fronts and backs."""
        front, back = _profile(table, "front"), _profile(table, "back")
        return cls(
            _profile(table, "half_width"), (front + back) / 2, (back - front) / 2, squareness
        )

    def distance(self, x: Field, y: Field, z: Field) -> Field:
        """Distance along the ray from the axis, negative inside, in mm."""
        width, middle, depth = (
            np.interp(z, _LEVELS, curve).astype(np.float32)
            for curve in (self.half_width, self.middle, self.half_depth)
        )
        y = y - middle
        u, v = (x / width) ** 2, (y / depth) ** 2
        level = np.sqrt(u * u + v * v + np.float32(2 - 2 * self.squareness) * (u * v))
        np.maximum(level, np.float32(1e-6), out=level)
        radius = np.sqrt(x * x + y * y)
        distance: Field = radius * (1 - 1 / np.sqrt(level))
        return distance


@dataclass(frozen=True)
class Frame:
    """How one patient's body differs from the reference, and where it lies in the scanner.

    Attributes:
        scale: Of x, y, z: patient by reference.
        offset_mm: Where the carina lies in the scanner, (x, y, z) in LPS.
        fat_mm: Thickness of the fat under the skin of the flank.
        wave_numbers: Of the warp's modes, (2 directions, modes, 3 axes), in 1/mm.
        phases: Of the warp's modes, (2, modes, 3).
        amplitudes_mm: Of the warp's modes, (2, modes).
        marbling: Wave numbers and phases of the fat between muscles, (2, modes, 3).
        breath_mm: How far the right dome moves between the ends of a breath.
        dome_mm: Tops of the right and of the left dome at expiration, along z.
        cavity: The inside of the rib cage.
        torso: The muscles' outer surface.
    """

    scale: tuple[float, float, float]
    offset_mm: tuple[float, float, float]
    fat_mm: float
    wave_numbers: NDArray[np.float64]
    phases: NDArray[np.float64]
    amplitudes_mm: NDArray[np.float64]
    marbling: NDArray[np.float64]
    breath_mm: float
    dome_mm: tuple[float, float]
    cavity: Outline
    torso: Outline

    @property
    def back_mm(self) -> float:
        """Where the back lies flat on the table, along y in the reference body."""
        return 117.5 + 0.58 * self.fat_mm

    def reference_axis(self, axis: int, place_mm: NDArray[np.float64]) -> Field:
        """Scanner coordinates along one axis, as reference coordinates without the warp."""
        return ((place_mm - self.offset_mm[axis]) / self.scale[axis]).astype(np.float32)

    def scanner_axis(self, axis: int, place: Coordinate) -> Coordinate:
        """Reference coordinates without the warp, as scanner coordinates in mm."""
        return place * self.scale[axis] + self.offset_mm[axis]

    def warp(self, direction: int, x: Field, y: Field, z: Field) -> Field:
        """How far the warp moves each voxel of a grid along x (0) or y (1), (z, y, x) in mm."""
        waves = _waves(self.wave_numbers[direction], self.phases[direction], x, y, z)
        return _summed(waves, self.amplitudes_mm[direction])

    def marble(self, x: Field, y: Field, z: Field) -> Field:
        """A field on a grid whose zeros are the sheets of fat between muscles, (z, y, x)."""
        return _summed(_waves(self.marbling[0], self.marbling[1], x, y, z), np.ones(_MARBLE_MODES))

    def unbent(self, places: NDArray[np.float64], phase: float) -> NDArray[np.float64]:
        """Where places of the reference body lie on the axes without the warp.

        Args:
            places: In the reference body at expiration, (n, 3).
            phase: Of the breath; 0 for what does not breathe.

        Returns:
            Places in reference coordinates without the warp, (n, 3).
        """
        unbent = places.copy()
        for _ in range(5):  # both the breath and the warp shrink distances: this converges
            unbent[:, 2] = places[:, 2] - self.breath_mm * phase * _share_of_breath(unbent[:, 2])
            moved = np.stack([self._warp_at(axis, unbent) for axis in (0, 1)], axis=1)
            unbent[:, :2] = places[:, :2] - moved
        return unbent

    def _warp_at(self, direction: int, places: NDArray[np.float64]) -> NDArray[np.float64]:
        waves = np.cos(places[:, None] * self.wave_numbers[direction] + self.phases[direction])
        return np.asarray((waves.prod(axis=2) * self.amplitudes_mm[direction]).sum(axis=1))

    def organ_z(self, z: Field, phase: float) -> Field:
        """Where what is now at z lies at expiration, for organs that move with the diaphragm."""
        return (z + self.breath_mm * phase * _share_of_breath(z)).astype(np.float32)

    def spine_y(self, z: Field) -> Field:
        """Where the middle of the vertebral bodies lies."""
        return np.interp(z, _SPINE["z"], _SPINE["y"]).astype(np.float32)

    def above_diaphragm(self, x: Field, y: Field, z: Field) -> Field:
        """Height above the diaphragm at expiration, in mm; negative in the abdomen."""
        tilt = np.float32(-0.2) * y
        right = self.dome_mm[0] - _fall(x + 62, y) + tilt
        left = self.dome_mm[1] - _fall(x - 70, y - 10) + tilt
        middle = self.dome_mm[1] - 14 - (x / np.float32(13)) ** 2 - (y / np.float32(20)) ** 2
        height: Field = z - np.maximum(np.maximum(right, left), middle)
        return height


def _waves(
    numbers: NDArray[np.float64], phases: NDArray[np.float64], x: Field, y: Field, z: Field
) -> list[Field]:
    """Cosines along each axis, (modes, places)."""
    return [
        np.cos(np.outer(numbers[:, axis], place) + phases[:, axis : axis + 1]).astype(np.float32)
        for axis, place in enumerate((x, y, z))
    ]


def _summed(waves: list[Field], amplitudes: NDArray[np.float64]) -> Field:
    """Sum of the modes' products on the grid, (z, y, x); never by BLAS, whose order varies."""
    planes = np.einsum("m,mz,my->mzy", amplitudes.astype(np.float32), waves[2], waves[1])
    return np.asarray(np.einsum("mzy,mx->zyx", planes, waves[0]))


def _fall(x: Field, y: Field) -> Field:
    """How far the diaphragm has fallen at a distance from a dome's top."""
    steep = (x / np.float32(85)) ** 2 + (y / np.float32(105)) ** 2
    fall: Field = 22 * steep + 72 * steep * steep
    return fall


def _share_of_breath(z: Field) -> Field:
    """0 at the top of the chest, 1 at the diaphragm and below."""
    t = np.clip((70 - z) / 170, 0, 1)
    share: Field = t * t * (3 - 2 * t)
    return share


def draw_frame(rng: np.random.Generator, person: Person) -> Frame:
    """Draw one patient's shape.

    Args:
        rng: The patient's stream.
        person: Whose height and weight it must fit.

    Returns:
        The shape.
    """
    size = person.height_m / 1.76
    stout = (person.body_mass_index - 25) / 25
    sex = 0.95 if person.sex == "F" else 1.0
    wavelengths = rng.uniform(220, 520, size=(2, _WARP_MODES, 3))
    lengths = rng.uniform(34, 80, size=(_MARBLE_MODES, 3))
    turns = rng.uniform(0, 2 * np.pi, size=(_MARBLE_MODES, 3))
    fat_mm = (2.5 + 1.15 * (person.body_mass_index - 16)) * (1.2 if person.sex == "F" else 0.95)
    right_dome = rng.uniform(-104, -88)
    return Frame(
        scale=(
            size**0.7 * sex * (1 + 0.22 * stout) * rng.uniform(0.97, 1.03),
            size**0.7 * sex * (1 + 0.38 * stout) * rng.uniform(0.96, 1.05),
            size * rng.uniform(0.96, 1.04),
        ),
        offset_mm=(rng.uniform(-8, 8), rng.uniform(-5, 15), rng.uniform(-900, -300)),
        fat_mm=fat_mm,
        wave_numbers=2 * np.pi / wavelengths,
        phases=rng.uniform(0, 2 * np.pi, size=(2, _WARP_MODES, 3)),
        amplitudes_mm=rng.uniform(0.8, 3.2, size=(2, _WARP_MODES)),
        marbling=np.stack([2 * np.pi / lengths, turns]),
        breath_mm=person.breath_mm,
        dome_mm=(right_dome, right_dome - rng.uniform(4, 16)),
        cavity=Outline.of(_CAVITY, rng.uniform(0.25, 0.45)),
        torso=Outline.of(_TORSO, rng.uniform(0.2, 0.4)),
    )
