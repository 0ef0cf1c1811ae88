"""Lesions: hot or cold, with or without a sign in CT, so that PET is no function of CT."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petcast.phantom.frame import Frame
from petcast.phantom.lungs import in_lung
from petcast.phantom.shapes import Bounds, Field, Point, Slab, Tissue

GAP_MM = 10.0
"""Lesions lie at least this far apart, so that each has an uptake of its own."""


@dataclass(frozen=True)
class Lesion:
    """One planted lesion.

    Attributes:
        kind: "nodule", "mass", "cold nodule", "node", "liver", "bone" or "ground glass".
        place: Its centre in the reference body, at expiration.
        diameter_mm: Of the sphere of its volume, in the patient.
        stretch: Of its axes x, y, z; their product is 1.
        phases: Of its lobes.
        hu: Its CT number, or None where CT shows nothing.
        suv: Its uptake.
        core_suv: The uptake of its core; lower than `suv` where it is necrotic.
    """

    kind: str
    place: Point
    diameter_mm: float
    stretch: tuple[float, float, float]
    phases: tuple[float, float, float]
    hu: float | None
    suv: float
    core_suv: float

    @property
    def visible_on_ct(self) -> bool:
        """Whether CT shows it."""
        return self.hu is not None

    def at(self, frame: Frame, phase: float) -> "PlacedLesion":
        """The lesion where it lies in the scanner at a phase of the breath."""
        still = 0.0 if self.kind == "bone" else phase  # bones do not breathe
        x, y, z = frame.unbent(np.array([self.place]), still)[0].tolist()
        centre_mm = tuple(frame.scanner_axis(i, v) for i, v in enumerate((x, y, z)))
        return PlacedLesion(self, Point(x, y, z), Point(*centre_mm))


@dataclass(frozen=True)
class PlacedLesion:
    """A lesion in the scanner.

    Attributes:
        lesion: The lesion.
        place: Its centre on the reference axes without the warp.
        centre_mm: Its centre in the scanner, LPS.
    """

    lesion: Lesion
    place: Point
    centre_mm: Point

    def distance(self, x_mm: Field, y_mm: Field, z_mm: Field) -> Field:
        """Distance of places in the scanner to its surface, in mm, broadcast."""
        radius = self.lesion.diameter_mm / 2
        grid = zip((x_mm, y_mm, z_mm), self.centre_mm, self.lesion.stretch, strict=True)
        x, y, z = ((axis - centre) / (radius * stretch) for axis, centre, stretch in grid)
        a, b, c = self.lesion.phases
        lobes = np.cos(2.3 * x + a) * np.cos(2.1 * y + b) * np.cos(2.5 * z + c)
        distance: Field = (np.sqrt(x * x + y * y + z * z) - 1 - 0.1 * lobes) * radius
        return distance


def paint_lesion(slab: Slab, frame: Frame, placed: PlacedLesion) -> None:
    """Paint a lesion, if the slab's quantity shows it.

    Args:
        slab: The voxels, without breathing.
        frame: The patient's shape.
        placed: The lesion.
    """
    lesion = placed.lesion
    part = slab.window(Bounds.around([placed.place], 0.9 * lesion.diameter_mm))
    if part is None or (part.quantity == "hu" and lesion.hu is None):
        return
    grid = (part.x_axis[None, None, :], part.y_axis[None, :, None], part.z)
    x, y, z = (frame.scanner_axis(i, axis) for i, axis in enumerate(grid))
    distance = placed.distance(x, y, z)
    soft = 4.0 if lesion.kind == "ground glass" else None
    part.paint(distance, Tissue(lesion.hu or 0.0, lesion.suv), soft)
    if part.quantity == "suv" and lesion.core_suv != lesion.suv:
        core = Tissue(0.0, lesion.core_suv)
        part.paint(distance + 0.26 * lesion.diameter_mm, core, 3.0)


Place = Callable[[np.random.Generator, Frame], NDArray[np.float64]]


@dataclass(frozen=True)
class _Kind:
    """How lesions of one kind are drawn: where, how large, how hot."""

    place: Place
    diameter_mm: tuple[float, float]
    suv: tuple[float, float]
    hu: tuple[float, float] | None


def _lung(rng: np.random.Generator, frame: Frame) -> NDArray[np.float64]:
    tried = rng.uniform((-125, -95, -150), (125, 100, 85), size=(400, 3))
    return np.asarray(tried[in_lung(frame, tried, 7)][0])


def _near(*stations: tuple[float, float, float]) -> Place:
    def place(rng: np.random.Generator, _: Frame) -> NDArray[np.float64]:
        return np.array(stations[rng.integers(len(stations))]) + rng.normal(0, 2.5, 3)

    return place


def _liver(rng: np.random.Generator, frame: Frame) -> NDArray[np.float64]:
    x, y = rng.uniform(-95, -45), rng.uniform(-35, 45)
    return np.array([x, y, rng.uniform(-48, -26) + frame.dome_mm[0] - 0.3 * y])


def _vertebra(rng: np.random.Generator, frame: Frame) -> NDArray[np.float64]:
    z = rng.uniform(-140, 70)
    y = float(frame.spine_y(np.array([z]))[0])
    return np.array([rng.uniform(-6, 6), y + rng.uniform(-4, 4), z])


_STATIONS = (
    (-17, 4, 20), (22, 2, 16), (4, 14, -20), (-46, 2, -20), (52, 6, -22), (-3, -44, 22),
    (-40, 2, 94), (44, 4, 94),
)  # fmt: skip
_KINDS = {
    "nodule": _Kind(_lung, (8, 26), (2.5, 12), (15, 50)),
    "mass": _Kind(_lung, (28, 40), (5, 15), (25, 45)),
    "cold nodule": _Kind(_lung, (8, 24), (0.5, 1.0), (0, 60)),
    "ground glass": _Kind(_lung, (12, 30), (2, 2.8), (-620, -450)),
    "node": _Kind(_near(*_STATIONS), (8, 20), (3, 14), None),
    "liver": _Kind(_liver, (12, 40), (4.5, 12), None),
    "bone": _Kind(_vertebra, (9, 20), (4, 13), None),
}
_SILENT = ("node", "liver", "bone")


def draw_lesions(rng: np.random.Generator, frame: Frame, patient: int) -> list[Lesion]:
    """Draw one patient's lesions.

    Every patient has a hot one that CT shows, and one that CT misreads: in even patients hot
    without a sign in CT, in odd ones a nodule without uptake. Others follow by chance.

    Args:
        rng: The patient's stream.
        frame: The patient's shape.
        patient: The patient's number.

    Returns:
        One to six lesions, apart from each other.
    """
    first = "mass" if rng.random() < 0.3 else "nodule"
    second = _SILENT[rng.integers(3)] if patient % 2 == 0 else "cold nodule"
    others = rng.choice(list(_KINDS), size=min(int(rng.poisson(1.2)), 4))
    lesions: list[Lesion] = []
    for kind in (first, second, *map(str, others)):
        if (lesion := _draw(rng, frame, kind, lesions)) is not None:
            lesions.append(lesion)
    return lesions


def _draw(rng: np.random.Generator, frame: Frame, name: str, others: list[Lesion]) -> Lesion | None:
    """A lesion of one kind away from the others; None where no room was found."""
    kind = _KINDS[name]
    diameter_mm = float(np.exp(rng.uniform(*np.log(kind.diameter_mm))))
    stretch = np.exp(rng.normal(0, 0.12, 3))
    stretch /= stretch.prod() ** (1 / 3)
    suv = float(rng.uniform(*kind.suv))
    necrotic = name == "mass" and rng.random() < 0.5
    for _ in range(50):
        place = kind.place(rng, frame)
        reach = [np.linalg.norm(place - o.place) - o.diameter_mm / 2 for o in others]
        if min(reach, default=np.inf) > diameter_mm / 2 + GAP_MM:
            break
    else:
        return None
    return Lesion(
        kind=name,
        place=Point(*place.tolist()),
        diameter_mm=diameter_mm,
        stretch=(float(stretch[0]), float(stretch[1]), float(stretch[2])),
        phases=tuple(rng.uniform(0, 2 * np.pi, 3).tolist()),
        hu=float(rng.uniform(*kind.hu)) if kind.hu else None,
        suv=suv,
        core_suv=0.35 * suv if necrotic else suv,
    )
