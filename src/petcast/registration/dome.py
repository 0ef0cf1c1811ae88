"""The right dome on PET, and the slice where CT and PET disagree most."""

import numpy as np
from numpy.typing import NDArray

from petcast.registration.scene import FAT_HU, SURROUNDINGS_MM, Field, Mask, Scene, around

LUNG_ABOVE_MM, LIVER_BELOW_MM = 25.0, 20.0
"""A column counts for the dome where CT shows so much lung over so much tissue."""
NO_GAS_HU = -200.0
"""Above it lies tissue, also where a voxel is shared with lung."""
HIGHEST_SHARE = 0.7
"""Of the columns, those that belong to the dome, not to the recesses around it."""
LEAST_COLUMNS = 15
LEAST_STEP = 0.15
"""Of the squeezed uptake, between lung and liver; without it there is no edge to find."""
PROFILE_MM = 50.0
FARTHEST_MM = 40.0
"""A step that fits best at the end of what is looked through lies beyond it: it is not measured."""
EDGE_MM = 8.0
"""Width of the edge that PET and breath leave of the dome: its standard deviation is 5.7 mm."""


def dome_mm(scene: Scene, aside_mm: tuple[float, float]) -> float | None:
    """Measure how much higher the right dome lies on PET than on CT.

    PET shows it as a step from lung to liver. It is looked for in the mean profile over columns
    of voxels, each taken from its own height of the CT's dome. The left dome lies on stomach and
    gut, whose uptake may be anything: it is left out.

    Args:
        scene: CT and PET.
        aside_mm: How far off the PET lies along x and y; its columns are looked for there.

    Returns:
        Millimetres, negative where it is lower; None where it is not in the images, or no step.
    """
    columns = _columns(scene)
    if columns.shape[1] < LEAST_COLUMNS:
        return None
    _, y_mm, x_mm = scene.spacing_mm
    columns[1:] += np.array([[aside_mm[1] / y_mm], [aside_mm[0] / x_mm]])
    places_mm = np.arange(-PROFILE_MM, PROFILE_MM + 1, 2.0)
    profile = np.array([_mean_at(scene, columns, place) for place in places_mm])
    known = np.isfinite(profile)
    if known.sum() < len(known) / 2:
        return None
    return _step_mm(places_mm[known], profile[known])


def worst_slice(scene: Scene) -> int:
    """Find the slice where CT and PET disagree over the largest area.

    Args:
        scene: CT and PET.

    Returns:
        The index on the model grid.
    """
    area = _disagreeing(scene).sum(axis=(1, 2))
    return int(np.argmax(area)) * scene.slices + scene.slices // 2


def _columns(scene: Scene) -> NDArray[np.float64]:
    """Height of the right dome in voxels, and y and x of each of its columns, on CT."""
    lowest = np.where(_over_tissue(scene), np.arange(len(scene.lung))[:, None, None], -1).max(
        axis=0
    )
    y, x = np.nonzero(lowest >= 0)
    right = x < np.median(np.nonzero(scene.trunk)[2])  # x grows to the patient's left
    y, x = y[right], x[right]
    if not x.size:
        return np.zeros((3, 0))
    height = lowest[y, x] - 0.5
    top = height >= np.quantile(height, 1 - HIGHEST_SHARE)
    return np.stack([height[top], y[top], x[top]])


def _over_tissue(scene: Scene) -> Mask:
    """The lowest voxels of lung that lie on tissue and have lung above."""
    above, below = (round(mm / scene.spacing_mm[0]) for mm in (LUNG_ABOVE_MM, LIVER_BELOW_MM))
    solid = scene.body & ~scene.lung & (scene.hu > NO_GAS_HU)
    found = np.zeros_like(scene.lung)
    for z in range(below, len(found) - above):
        found[z] = scene.lung[z : z + above].all(axis=0) & solid[z - below : z].all(axis=0)
    return found


def _mean_at(scene: Scene, columns: NDArray[np.float64], place_mm: float) -> float:
    """Mean uptake so far above the dome; NaN beyond the images."""
    from scipy.ndimage import map_coordinates

    z = columns[0] + place_mm / scene.spacing_mm[0]
    inside = (z >= 0) & (z <= len(scene.uptake) - 1)
    if inside.sum() < LEAST_COLUMNS:
        return float("nan")
    at = np.stack([z[inside], columns[1, inside], columns[2, inside]])
    return float(np.mean(map_coordinates(scene.uptake, at, order=1)))


def _step_mm(places_mm: Field, profile: Field) -> float | None:
    """Where a blurred step fits a profile best, by least squares over its place and levels."""
    from scipy.special import erf

    best: tuple[float, float] | None = None
    for place in np.arange(-FARTHEST_MM, FARTHEST_MM + 0.1, 0.5):
        step = erf((places_mm - place) / EDGE_MM)
        step, level = step - step.mean(), profile - profile.mean()
        if (step**2).sum() < 1e-6:
            continue
        height = (step * level).sum() / (step**2).sum()
        left = ((level - height * step) ** 2).sum()
        if -2 * height >= LEAST_STEP and (best is None or left < best[0]):
            best = float(left), float(place)
    return None if best is None or abs(best[1]) >= FARTHEST_MM else best[1]


def _disagreeing(scene: Scene) -> Mask:
    """Body on one alone; around the lungs, lung as bright as tissue or tissue as dark as lung.

    Farther from the lungs, dark tissue is no sign of anything: resting muscle takes up little.
    """
    from scipy.ndimage import gaussian_filter

    near = around(scene.lung, SURROUNDINGS_MM, scene.spacing_mm)
    soft = scene.trunk & near & ~scene.lung & (scene.hu > FAT_HU)
    wrong = (scene.body ^ scene.pet_body) & scene.compared
    if scene.lung.any() and soft.any():
        smooth = gaussian_filter(scene.uptake, 1.0)
        middle = (np.median(smooth[scene.lung]) + np.median(smooth[soft])) / 2
        wrong |= (scene.lung & (smooth > middle)) | (soft & (smooth < middle))
    return np.asarray(wrong & scene.clear)
