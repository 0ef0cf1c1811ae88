"""The lungs: where they are, their parenchyma, and the trees that branch through them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from petcast.phantom.frame import Frame
from petcast.phantom.shapes import Bounds, Field, Point, Slab, Tissue, capsule, coverage
from petcast.phantom.tissues import TRACHEAL_AIR, Tissues

LEAVES = 230
"""Ends of each tree in a lung."""

HILA = {-1: Point(-40, 10, -18), 1: Point(46, 16, -16)}
THINNEST_BRONCHUS_MM = 1.7
THINNEST_SEEN = 0.4
"""Thinner vessels, as a share of the voxel, are the parenchyma's density, not vessels."""

MURRAY = 2.7
"""Where a vessel divides, its radius to this power is the sum of its branches'."""


@dataclass(frozen=True)
class Tree:
    """A branching tree as straight tapered pieces.

    Attributes:
        starts: Where each begins, (n, 3).
        ends: Where each ends, (n, 3).
        radii_mm: Radius of each at both ends, (n, 2).
    """

    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    radii_mm: NDArray[np.float64]


def lung_distance(frame: Frame, cavity: Field, x: Field, y: Field, z: Field) -> Field:
    """Distance to the lungs' surface.

    Args:
        frame: The patient's shape.
        cavity: Distance to the rib cage's inner surface.
        x: Places to the left.
        y: Places to the back.
        z: Places to the head, with breathing.

    Returns:
        Distance in mm, negative in the lungs.
    """
    front, back = np.clip((y + 72) / 55, 0, 1), np.clip((y - 22) / 30, 0, 1)
    upper = np.clip((z - 15) / 40, 0, 1)
    width = 7 + 3 * upper + (20 + 3 * upper) * front * front * (3 - 2 * front)
    width = width - 7 * back * back * (3 - 2 * back)
    medial = width + 3 * np.cos(y / 19 + 1.3) * np.cos(z / 23) - np.abs(x)
    floor = frame.above_diaphragm(x, y, z) * np.float32(-0.8)
    distance: Field = np.maximum(np.maximum(cavity + np.float32(1.5), medial), floor)
    return distance


def paint_parenchyma(slab: Slab, frame: Frame, cavity: Field, tissues: Tissues) -> None:
    """Paint lung tissue, denser towards the back, and its fissures.

    Args:
        slab: The voxels, with breathing.
        frame: The patient's shape.
        cavity: Distance to the rib cage's inner surface, (z, y, x).
        tissues: What lung looks like.
    """
    part = slab.window(Bounds(Point(-150, -120, -230), Point(150, 110, 120)))
    if part is None:
        return
    lung = lung_distance(frame, cavity[part.box], part.x, part.y, part.z)
    backwards = part.y / np.float32(160)
    if part.quantity == "hu":
        value = tissues.lung.hu + tissues.lung_gradient_hu * backwards
    else:
        value = tissues.lung.suv * (1 + np.float32(0.5) * backwards)
    share = coverage(lung, part.edge_mm)
    part.blend(share, value)
    if part.quantity == "hu":
        _paint_fissures(part, share, value)


def _paint_fissures(part: Slab, lung: Field, value: Field) -> None:
    """The oblique fissures and the right lung's horizontal one, as thin sheets."""
    ripple = 3 * np.cos(part.x / 31) + 2 * np.cos(part.y / 23)
    oblique = (part.z + 12 - 0.95 * (part.y - 10) - ripple) * np.float32(0.72)
    level = np.where((part.x < -20) & (oblique > 0), part.z + 24 + ripple, np.float32(99))
    near = np.minimum(np.abs(oblique), np.abs(level))
    sheet = np.clip(1 - near / np.float32(1.6), 0, 1)
    sheet *= lung
    part.blend(sheet, value + np.float32(110))


def grow_trees(rng: np.random.Generator, frame: Frame) -> dict[str, list[Tree]]:
    """Grow arteries, veins and bronchi through both lungs.

    Args:
        rng: The patient's stream.
        frame: The patient's shape.

    Returns:
        Trees by kind: "vessels" and "bronchi".
    """
    vessels, bronchi = [], []
    for side, hilum in HILA.items():
        ends = _places_in_lung(rng, frame, side, 2 * LEAVES + 50)
        vein = Point(hilum.x * 0.95, hilum.y, -46)
        vessels.append(_grow(rng, hilum, ends[:LEAVES], 0.8))
        vessels.append(_grow(rng, vein, ends[LEAVES : 2 * LEAVES], 0.8))
        airway = Point(side * 48, 28, -40)
        bronchi.append(_grow(rng, airway, ends[2 * LEAVES :], 0.9))
    return {"vessels": vessels, "bronchi": bronchi}


def _places_in_lung(
    rng: np.random.Generator, frame: Frame, side: int, count: int
) -> NDArray[np.float64]:
    """Evenly random places inside one lung, at least 6 mm from its surface, (count, 3)."""
    tried = rng.uniform((8, -110, -200), (130, 105, 112), size=(count * 12, 3))
    tried[:, 0] *= side
    inside = tried[in_lung(frame, tried, 6)]
    return inside[:count]


def in_lung(frame: Frame, places: NDArray[np.float64], margin_mm: float) -> NDArray[np.bool_]:
    """Which places lie in the lungs, at least a margin from their surface.

    Args:
        frame: The patient's shape.
        places: Places in the reference body at expiration, (n, 3).
        margin_mm: The margin.

    Returns:
        A truth value for each, (n,).
    """
    x, y, z = places.astype(np.float32).T
    cavity = frame.cavity.distance(x, y, z)
    return np.asarray(lung_distance(frame, cavity, x, y, z) < -margin_mm)


def _grow(
    rng: np.random.Generator, root: Point, leaves: NDArray[np.float64], leaf_radius_mm: float
) -> Tree:
    """Attach each leaf where it lengthens the tree and its own way to the root least.

    Reference:
        Cuntz et al., One rule to grow them all, PLoS Comput Biol 6(8), 2010.
    """
    order = np.argsort(np.linalg.norm(leaves - root, axis=1))
    nodes, parents, paths = [np.array(root, dtype=float)], [-1], [0.0]
    for leaf in leaves[order]:
        known = np.array(nodes)
        reach = np.linalg.norm(known - leaf, axis=1)
        parent = int(np.argmin(reach + 0.55 * np.array(paths)))
        pieces = max(1, round(float(reach[parent]) / 13))
        for piece in range(1, pieces + 1):
            place = known[parent] + (leaf - known[parent]) * piece / pieces
            place = place + (rng.normal(0, 1.3, 3) if piece < pieces else 0)
            before = parent if piece == 1 else len(nodes) - 1
            paths.append(paths[before] + float(np.linalg.norm(place - nodes[before])))
            parents.append(before)
            nodes.append(place)
    return _with_radii(np.array(nodes), np.array(parents), leaf_radius_mm)


def _with_radii(
    nodes: NDArray[np.float64], parents: NDArray[np.int64], leaf_radius_mm: float
) -> Tree:
    """Give each piece its radius by Murray's law, from the leaves to the root."""
    flow = np.zeros(len(nodes))
    flow[np.setdiff1d(np.arange(len(nodes)), parents)] = leaf_radius_mm**MURRAY
    for node in range(len(nodes) - 1, 0, -1):
        flow[parents[node]] += flow[node]
    radius = flow ** (1 / MURRAY)
    before = parents[1:]
    radii = np.stack([np.minimum(radius[before], 1.25 * radius[1:]), radius[1:]], axis=1)
    return Tree(nodes[before], nodes[1:], radii)


def paint_trees(slab: Slab, trees: dict[str, list[Tree]], tissues: Tissues) -> None:
    """Paint vessels and bronchi.

    Args:
        slab: The voxels, without breathing.
        trees: By kind, brought to the axes without the warp by `unbend_trees`.
        tissues: Blood and walls.
    """
    for tree in trees["bronchi"]:
        wide = tree.radii_mm[:, 1] >= THINNEST_BRONCHUS_MM
        _paint_tree(slab, tree, wide, tissues.vessel_wall, wider_mm=0.9)
        _paint_tree(slab, tree, wide, TRACHEAL_AIR)
    for tree in trees["vessels"]:
        _paint_tree(slab, tree, np.ones(len(tree.ends), dtype=bool), tissues.lung_blood)


def unbend_trees(trees: dict[str, list[Tree]], frame: Frame, phase: float) -> dict[str, list[Tree]]:
    """Bring trees to where they lie on the axes without the warp.

    Args:
        trees: From `grow_trees`.
        frame: The patient's shape.
        phase: Of the breath.

    Returns:
        The trees for `paint_trees`.
    """
    return {
        kind: [
            replace(t, starts=ends[0], ends=ends[1])
            for t in some
            for ends in [np.split(frame.unbent(np.vstack([t.starts, t.ends]), phase), 2)]
        ]
        for kind, some in trees.items()
    }


def _paint_tree(
    slab: Slab, tree: Tree, chosen: NDArray[np.bool_], tissue: Tissue, wider_mm: float = 0.0
) -> None:
    """Paint pieces of a tree, each inside its own small box."""
    reach = (tree.radii_mm.max(axis=1) + wider_mm + slab.edge_mm)[:, None]
    low = np.minimum(tree.starts, tree.ends) - reach
    high = np.maximum(tree.starts, tree.ends) + reach
    axes = (slab.x_axis, slab.y_axis, slab.z[:, 0, 0])
    first, last = (
        np.stack([np.searchsorted(a, side[:, i]) for i, a in enumerate(axes)], axis=1)
        for side in (low, high)
    )
    chosen = chosen & (tree.radii_mm[:, 0] > THINNEST_SEEN * slab.edge_mm)
    for index in np.flatnonzero((last > first).all(axis=1) & chosen):
        x, y, z = (slice(a, b) for a, b in zip(first[index], last[index], strict=True))
        part = replace(
            slab,
            x=slab.x_axis[None, None, x],
            y=slab.y_axis[None, y, None],
            z=slab.z[z],
            values=slab.values[z, y, x],
        )
        start, end = Point(*tree.starts[index].tolist()), Point(*tree.ends[index].tolist())
        r0, r1 = (tree.radii_mm[index] + wider_mm).tolist()
        part.paint(capsule(part, start, end, (r0, r1)), tissue)
