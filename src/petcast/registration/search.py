"""The translation of the PET at which the CT's tissues explain it best.

The uptake is fitted by the tissues' shares with least squares; R² is the part of its variance
that they explain. Needed is neither a threshold on the PET nor an idea of how bright a tissue is.
Neighbouring translations are compared over the same voxels of the CT: otherwise one would win by
pushing voxels that fit badly out of the images.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petcast.registration.scene import Mask, Scene, Triple

REACH_MM = 40.0
"""The largest translation looked for."""
LEAST_VOXELS = 500
"""With fewer, nothing is measured."""
RIDGE = 1e-6
"""Keeps the fit solvable where a tissue is missing."""

Steps = tuple[int, int, int]
Millimetres = tuple[float | None, float | None, float | None]

HERE: Steps = (0, 0, 0)
FORWARD: tuple[Steps, ...] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


@dataclass(frozen=True)
class Shift:
    """Where the PET lies, relative to the CT.

    Attributes:
        mm: To the patient's left, back and head (LPS); None for a direction that is not measured.
        correlation: Of the PET, moved back, with what the CT's tissues make expect; 0 to 1.
    """

    mm: Millimetres
    correlation: float


@dataclass(frozen=True)
class Found:
    """The best translation in a part of the scene.

    Attributes:
        steps: In whole voxels along (z, y, x).
        mm: The same between voxels, along (x, y, z).
        explained: R² at `steps`.
    """

    steps: Steps
    mm: Triple
    explained: float

    @property
    def correlation(self) -> float:
        """Of the PET, moved back, with what the CT's tissues make expect; 0 to 1.

        To three digits, as it is given away: no limit may judge it otherwise than a reader would.
        """
        return round(float(max(0.0, self.explained) ** 0.5), 3)


def search(scene: Scene, mask: Mask, start: Steps = HERE, stride: int = 1) -> Found | None:
    """Climb to the translation with the largest R².

    Args:
        scene: CT and PET.
        mask: The voxels of the CT to compare, (z, y, x).
        start: Where to begin, in voxels along (z, y, x).
        stride: Step in voxels; only every so many voxels are compared.

    Returns:
        The translation; None where too little is compared.
    """
    steps, seen = start, set[Steps]()
    while explained := _explained(scene, mask, steps, stride):
        seen.add(steps)
        best = max(explained, key=lambda step: explained[step])  # the first of equals: HERE
        following = _moved(steps, best)
        if following in seen or _distance_mm(following, scene) > REACH_MM:
            break
        steps = following
    if not explained:
        return None
    return Found(steps, _between(explained, steps, stride, scene), explained[HERE])


def _explained(scene: Scene, mask: Mask, steps: Steps, stride: int) -> dict[Steps, float]:
    """R² at a translation and its six neighbours, over the same voxels; empty with too few."""
    places = _comparable(scene, mask, steps, stride)
    if places.shape[1] < LEAST_VOXELS:
        return {}
    shares = scene.tissues[:, *places]
    among = np.einsum("an,bn->ab", shares, shares)  # never BLAS: its sums depend on threads
    among += RIDGE * np.trace(among) * np.eye(len(among))
    explained = {}
    for move in (HERE, *_neighbours(stride)):
        uptake = scene.uptake[*(places + np.array(_moved(steps, move))[:, None])]
        shared = np.einsum("an,n->a", shares, uptake)
        unexplained = (uptake**2).sum() - shared @ np.linalg.solve(among, shared)
        spread = ((uptake - uptake.mean()) ** 2).sum()
        explained[move] = float(1 - unexplained / spread) if spread > 0 else 0.0
    return explained


def _comparable(scene: Scene, mask: Mask, steps: Steps, stride: int) -> NDArray[np.intp]:
    """Voxels of the mask that lie on the PET, off its arms, at `steps` and at its neighbours."""
    thin = (slice(None, None, stride),) * 3
    places = np.stack(np.nonzero(mask[thin])) * stride
    there = places + np.array(steps)[:, None]
    last = np.array(scene.uptake.shape)[:, None] - 1
    inside = ((there >= stride) & (there <= last - stride)).all(axis=0)
    places, there = places[:, inside], there[:, inside]
    clear = scene.clear[*there]
    for move in _neighbours(stride):
        clear &= scene.clear[*(there + np.array(move)[:, None])]
    return np.asarray(places[:, clear])


def _neighbours(stride: int) -> list[Steps]:
    return [
        (sign * z * stride, sign * y * stride, sign * x * stride)
        for z, y, x in FORWARD
        for sign in (1, -1)
    ]


def _moved(steps: Steps, move: Steps) -> Steps:
    return steps[0] + move[0], steps[1] + move[1], steps[2] + move[2]


def _distance_mm(steps: Steps, scene: Scene) -> float:
    return max(abs(n) * mm for n, mm in zip(steps, scene.spacing_mm, strict=True))


def _between(explained: dict[Steps, float], steps: Steps, stride: int, scene: Scene) -> Triple:
    """The top of a parabola through the neighbours of each axis, in mm along (x, y, z)."""
    neighbours = _neighbours(stride)
    found = []
    for axis in range(3):
        after, before = (explained[move] for move in neighbours[2 * axis : 2 * axis + 2])
        bend = before - 2 * explained[HERE] + after
        offset = (before - after) / (2 * bend) if bend < 0 else 0.0
        offset = min(1.0, max(-1.0, offset)) * stride
        place_mm = (steps[axis] + offset) * scene.spacing_mm[axis]
        found.append(min(REACH_MM, max(-REACH_MM, place_mm)))
    z_mm, y_mm, x_mm = found
    return x_mm, y_mm, z_mm
