"""Where the body and the lungs are, on a CT.

Thresholds and morphology alone: nothing is learned, nothing is downloaded, and every step can be
checked on a picture. Made for CT of PET/CT: adults, free breathing or inspiration, low dose or
diagnostic, arms up or down, any field of view that shows whole cross-sections of the chest.

Limits, which the callers say where they matter:

- A cross-section that the field of view cuts through the lung itself has no lung there.
- Lung that is consolidated, or replaced by effusion or a mass, is not air and not found.
- Skin folds and hands thinner than 16 mm may be lost; a hand in the lap joins the body.
- A chest wall may be as thin as it likes while it is closed within its slice.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from petcast.volume import Unit, Volume

OUTSIDE, BODY, LUNGS = 0, 1, 2
"""Labels of `regions`."""

SKIN_HU = -300
"""Between air and skin, well above the foam of tables and mattresses."""
AERATED_HU = -400
"""Lung lies below: its vessels and walls do not."""
GAS_HU = -930
"""Free gas lies below, also where noise blurs it; parenchyma in disease comes near."""
PURE_GAS_HU = -965
"""No parenchyma has a median below, whatever its size."""
TABLE_RADIUS_MM = 8.0
"""What a ball of this radius does not fit into is table, blanket or tube, not body."""
SKIN_MM = 4.0
"""How far the body goes on beyond what the ball of `TABLE_RADIUS_MM` reaches."""
LEAST_HOLE_MM2 = 400.0
"""Smaller air in a slice is no lung that a wall was lost from."""
OWN_WALL = 0.5
"""Air is the body's own if more than this share of what borders on it is body."""
CORE_RADIUS_MM = 4.0
"""Balls of this radius fit into lung, and not through the walls that part it from bowel."""
GAS_BLUR_MM = 2.0
LARGEST_AIRWAY_ML = 150.0
"""Trachea and main bronchi hold less gas."""
SMALLEST_LUNG_ML = 20.0
"""A smaller core is noise, or the last slice of a lung."""
REACH_MM = 15.0
"""How far beyond its core a lung is followed: into recesses, not up the trachea."""
GAP_RADIUS_MM = 5.0
"""Air between arm and chest wider than twice this opens outwards."""

IN_PLANE = np.array([np.zeros((3, 3)), [[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.zeros((3, 3))])
"""Voxels are neighbours within a slice only."""

Mask = NDArray[np.bool_]


def body_mask(ct: Volume) -> Volume:
    """Find the body: everything inside the skin, arms and legs included, the table not.

    What is denser than air is opened with a ball, which takes tables, blankets and tubes away;
    the largest pieces are the body. Lungs and bowel gas are filled slice by slice; air that an
    arm encloses is taken out again, since it reaches the outside above or below.

    Args:
        ct: In HU, on any grid whose slices are nearly axial.

    Returns:
        uint8 labels on the CT's grid, 1 inside; all 0 where there is no body.

    Raises:
        UnitError: `ct` is not in HU.
    """
    standing = ct.require(Unit.HU).canonical()
    return _back(_body(standing), standing, ct)


def lung_mask(ct: Volume) -> Volume:
    """Find both lungs, their vessels included, without trachea and without gas in the bowel.

    Dark voxels inside the body are lung or gas. Gas is homogeneously near -1000 HU and walled by
    tissue on most sides; it is taken out. What then holds a ball of 4 mm radius is a core; lungs
    are the large cores and the dark voxels around them.

    Args:
        ct: In HU, on any grid whose slices are nearly axial.

    Returns:
        uint8 labels on the CT's grid, 1 inside; all 0 where there are no lungs.

    Raises:
        UnitError: `ct` is not in HU.
    """
    standing = ct.require(Unit.HU).canonical()
    return _back(_lungs(standing, _body(standing)), standing, ct)


def regions(ct: Volume) -> Volume:
    """Label body and lungs at once.

    Args:
        ct: In HU, on any grid whose slices are nearly axial.

    Returns:
        uint8 labels: 0 outside, 1 body, 2 lungs.

    Raises:
        UnitError: `ct` is not in HU.
    """
    standing = ct.require(Unit.HU).canonical()
    body = _body(standing)
    labels = body.astype(np.uint8) * np.uint8(BODY)
    labels[_lungs(standing, body)] = LUNGS
    return _back(labels, standing, ct)


def _back(labels: NDArray[Any], standing: Volume, ct: Volume) -> Volume:
    """Labels of the canonical volume, stored as the CT is."""
    found = standing.like(labels.astype(np.uint8, copy=False), Unit.LABEL)
    if found.grid.matches(ct.grid):
        return found
    return found.resampled(ct.grid, outside=OUTSIDE, interpolation="nearest")


# Body


def _body(ct: Volume) -> Mask:
    tissue = ct.voxels > SKIN_HU
    spacing_mm = ct.spacing_mm
    solid = _dilated(_eroded(tissue, TABLE_RADIUS_MM, spacing_mm), TABLE_RADIUS_MM, spacing_mm)
    body = tissue & _dilated(_large_pieces(solid, share=0.02), SKIN_MM, spacing_mm)
    filled = _filled_slices(_with_thin_walls(tissue, body, spacing_mm))
    return filled & ~_air_from_outside(ct, filled)


def _with_thin_walls(tissue: Mask, body: Mask, spacing_mm: tuple[float, float, float]) -> Mask:
    """Give the body back the walls, too thin for the ball, that close it around air of its own.

    A slim patient's chest wall is such a wall. A hollow table is closed, too, but by itself.
    """
    from scipy.ndimage import find_objects, label

    wall_mm = 2 * (TABLE_RADIUS_MM + max(spacing_mm[:2]))  # the ball fits into thicker ones
    lost = _filled_slices(tissue) & ~_filled_slices(body) & ~tissue
    holes, _ = label(lost, structure=IN_PLANE)
    least = LEAST_HOLE_MM2 / (spacing_mm[0] * spacing_mm[1])
    large = np.bincount(holes.ravel()) >= least
    mended = body.copy()
    for number, box in enumerate(find_objects(holes), start=1):
        if not large[number]:
            continue
        around = _grown(box, body.shape, wall_mm, spacing_mm)
        hole = holes[around] == number
        rim = _dilated(hole, max(SKIN_MM, *spacing_mm[:2]), spacing_mm) & tissue[around]
        if (body[around] & rim).sum() > OWN_WALL * rim.sum():
            mended[around] |= hole | (_dilated(hole, wall_mm, spacing_mm) & tissue[around])
    return mended


def _filled_slices(mask: Mask) -> Mask:
    """Fill what is enclosed within a slice."""
    from scipy.ndimage import label

    air, count = label(~mask, structure=IN_PLANE)
    outside = np.zeros(count + 1, dtype=bool)
    for edge in (air[:, 0], air[:, -1], air[:, :, 0], air[:, :, -1]):
        outside[edge] = True
    outside[0] = False
    return np.asarray(~outside[air])


def _air_from_outside(ct: Volume, filled: Mask) -> Mask:
    """Enclosed air that reaches the outside through neighbouring slices, not through the mouth."""
    from scipy.ndimage import binary_propagation

    enclosed = filled & (ct.voxels < GAS_HU)
    if not enclosed.any():
        return enclosed
    open_air = ~filled | enclosed
    wide = _eroded(open_air, GAP_RADIUS_MM, ct.spacing_mm)
    reached = np.asarray(binary_propagation(wide & ~filled, mask=wide))
    return enclosed & _dilated(reached & filled, GAP_RADIUS_MM, ct.spacing_mm)


# Lungs


def _lungs(ct: Volume, body: Mask) -> Mask:
    lungs = np.zeros_like(body)
    box = _bounding_box(body)
    if box is None:
        return lungs
    hu, body = ct.voxels[box], body[box]
    lungs[box] = _lungs_inside(hu, body, ct.spacing_mm)
    return lungs


def _lungs_inside(hu: NDArray[Any], body: Mask, spacing_mm: tuple[float, float, float]) -> Mask:
    from scipy.ndimage import binary_fill_holes, binary_propagation

    dark = body & (hu < AERATED_HU)
    gas = _free_gas(hu, dark, spacing_mm)
    aerated = dark & ~_dilated(gas, CORE_RADIUS_MM, spacing_mm)
    cores = _large_pieces(
        _eroded(aerated, CORE_RADIUS_MM, spacing_mm),
        share=0.05,
        voxels=SMALLEST_LUNG_ML * 1000 / float(np.prod(spacing_mm)),
    )
    near = aerated & _dilated(cores, REACH_MM, spacing_mm)
    lungs = np.asarray(binary_propagation(cores, mask=near))
    closed = _eroded(_dilated(lungs, CORE_RADIUS_MM, spacing_mm), CORE_RADIUS_MM, spacing_mm)
    return np.asarray(binary_fill_holes(closed & body)) & ~gas


def _free_gas(hu: NDArray[Any], dark: Mask, spacing_mm: tuple[float, float, float]) -> Mask:
    """Gas in trachea, bowel and stomach: pure, and walled by tissue; bullae lie in lung."""
    from scipy.ndimage import find_objects, gaussian_filter, label

    sigma = [GAS_BLUR_MM / step for step in reversed(spacing_mm)]
    pure = dark & (gaussian_filter(hu.astype(np.float32), sigma) < GAS_HU)
    pieces, _ = label(pure)
    gas = np.zeros_like(dark)
    ml = float(np.prod(spacing_mm)) / 1000
    for number, box in enumerate(find_objects(pieces), start=1):
        around = _grown(box, dark.shape, CORE_RADIUS_MM, spacing_mm)
        piece = pieces[around] == number
        if piece.sum() * ml < 0.5:
            continue
        if piece.sum() * ml > LARGEST_AIRWAY_ML:
            walled = np.median(hu[around][piece]) < PURE_GAS_HU
        else:
            shell = _dilated(piece, max(CORE_RADIUS_MM, *spacing_mm[:2]), spacing_mm) & ~piece
            walled = shell.any() and (hu[around][shell] > AERATED_HU).mean() > 0.4
        gas[around] |= piece & walled
    return gas


# Morphology in millimetres


def _dilated(mask: Mask, radius_mm: float, spacing_mm: tuple[float, float, float]) -> Mask:
    return _morphed("BinaryDilate", mask, radius_mm, spacing_mm)


def _eroded(mask: Mask, radius_mm: float, spacing_mm: tuple[float, float, float]) -> Mask:
    """Erode; the volume's faces are no edge, since the body goes on there."""
    return _morphed("BinaryErode", mask, radius_mm, spacing_mm)


def _morphed(
    operation: str, mask: Mask, radius_mm: float, spacing_mm: tuple[float, float, float]
) -> Mask:
    import SimpleITK as sitk

    if not mask.any():
        return mask.copy()
    radius = [round(radius_mm / step) for step in spacing_mm]
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    morphed = getattr(sitk, operation)(image, radius, sitk.sitkBall)
    return np.asarray(sitk.GetArrayViewFromImage(morphed) > 0)


def _large_pieces(mask: Mask, *, share: float, voxels: float = 1) -> Mask:
    """The connected pieces that have a share of the largest one's voxels, and a number of them."""
    from scipy.ndimage import label

    pieces, _ = label(mask)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    kept = (sizes >= share * sizes.max()) & (sizes >= voxels)
    return np.asarray(kept[pieces])


def _bounding_box(mask: Mask) -> tuple[slice, ...] | None:
    from scipy.ndimage import find_objects

    found = find_objects(mask.astype(np.uint8))
    return found[0] if found else None


def _grown(
    box: tuple[slice, ...],
    shape: tuple[int, ...],
    margin_mm: float,
    spacing_mm: tuple[float, float, float],
) -> tuple[slice, ...]:
    margins = [round(margin_mm / step) + 1 for step in reversed(spacing_mm)]
    return tuple(
        slice(max(0, side.start - margin), min(size, side.stop + margin))
        for side, size, margin in zip(box, shape, margins, strict=True)
    )


# Between the lungs

LUNG_SHARE = 0.5
"""Slices count where each lung has this share of its largest area: below lies the liver."""
REAR_SHARE = 0.35
"""So much of the lungs' depth in a slice lies beside the spine and the muscles of the back."""
LIVER_SHARE = 0.6
"""A row whose gap fills more of the right half than this shows the dome of the liver."""
SOFT_HU = (-200, 200)
"""Soft tissue: without gas in windpipe and gullet, without bone."""


def mediastinum(labels: NDArray[np.uint8], hu: NDArray[Any] | None = None) -> Mask:
    """Find the soft tissue between the lungs: heart, great vessels, nodes, and what is around them.

    A voxel counts that is not lung, from which the lungs' middle plane can be reached along x
    without crossing lung, and that has lung on both sides of that plane in its row. It lies in
    slices where both lungs are large, in front of the spine, and in no row that runs into the
    liver. Labels that are stored with every study suffice for it.

    Args:
        labels: 0 outside, 1 body, 2 lungs, (z, y, x); y grows to the back, x to the left.
        hu: The CT on the same voxels: bone and gas are then left out.

    Returns:
        True in the mediastinum; nowhere without two lungs.

    Example:
        >>> labels = np.array([[[1, 2, 1, 2, 1]] * 3], dtype=np.uint8)
        >>> mediastinum(labels)[0].astype(int).tolist()
        [[0, 0, 1, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]
    """
    lungs = labels == LUNGS
    found = np.zeros(lungs.shape, dtype=bool)
    columns = np.flatnonzero(lungs.any(axis=(0, 1)))
    if not columns.size:
        return found
    middle = (int(columns[0]) + int(columns[-1]) + 1) // 2
    right, left = lungs[:, :, :middle], lungs[:, :, middle:]
    found[:, :, :middle] = ~np.logical_or.accumulate(right[:, :, ::-1], axis=2)[:, :, ::-1]
    found[:, :, middle:] = ~np.logical_or.accumulate(left, axis=2)
    found &= (right.any(axis=2) & left.any(axis=2))[:, :, None] & (labels == BODY)
    liver = found[:, :, :middle].sum(axis=2) > LIVER_SHARE * (middle - columns[0])
    found &= ~liver[:, :, None]
    found &= (_beside_large_lungs(right, left)[:, None] & _in_front_of_spine(lungs))[:, :, None]
    if hu is not None:
        found &= (hu >= SOFT_HU[0]) & (hu <= SOFT_HU[1])
    return found


def _beside_large_lungs(right: Mask, left: Mask) -> NDArray[np.bool_]:
    """Slices in which both lungs have a share of their largest area, (z,)."""
    areas = [half.sum(axis=(1, 2)) for half in (right, left)]
    large = [(area > 0) & (area >= LUNG_SHARE * area.max()) for area in areas]
    return np.asarray(large[0] & large[1])


def _in_front_of_spine(lungs: Mask) -> NDArray[np.bool_]:
    """Rows of each slice, (z, y), but those beside the spine."""
    rows = np.asarray(lungs.any(axis=2))
    count = rows.shape[1]
    front = np.argmax(rows, axis=1)
    back = count - 1 - np.argmax(rows[:, ::-1], axis=1)
    last = back - np.ceil(REAR_SHARE * (back - front))
    return np.asarray(np.arange(count) <= np.expand_dims(last, 1))
