"""Shapes: distances and edges."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from petcast.phantom.shapes import (
    Bounds,
    Point,
    Slab,
    Tissue,
    capsule,
    coverage,
    ellipsoid,
    turned_ellipsoid,
)

places = st.builds(Point, *[st.floats(-8, 8, width=32)] * 3)
radii = st.floats(1, 5, width=32)


def _slab(step: float = 2.0) -> Slab:
    axis = np.arange(-20, 20.1, step, dtype=np.float32)
    _, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    up = axis[:, None, None]
    return Slab(axis, axis, x, y, up, up + 5, np.zeros_like(x), "suv", step, step)


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(places, places, radii)
def test_capsule_distance_is_that_to_the_nearest_point_of_its_axis(a, b, radius) -> None:
    slab = _slab(4.0)
    voxels = np.stack([slab.x, slab.y, np.broadcast_to(slab.z, slab.x.shape)], axis=-1)
    axis = np.linspace(a, b, 400)
    nearest = np.min([np.linalg.norm(voxels - point, axis=-1) for point in axis], axis=0)
    np.testing.assert_allclose(capsule(slab, a, b, (radius, radius)), nearest - radius, atol=0.05)


@settings(deadline=None, max_examples=20)
@given(places, radii)
@example(Point(0.0, 0.0, 0.0), 2.09375)  # a voxel lies on the very centre
def test_ellipsoid_of_equal_axes_is_a_sphere(centre, radius) -> None:
    slab = _slab()
    along = np.sqrt((slab.x - centre.x) ** 2 + (slab.y - centre.y) ** 2 + (slab.z - centre.z) ** 2)
    distance = ellipsoid(slab, centre, (radius, radius, radius))
    np.testing.assert_allclose(distance, along - radius, atol=0.01 + 1e-6)  # and float32


def test_turned_ellipsoid_turns() -> None:
    slab = _slab()
    swapped = np.eye(3)[[1, 0, 2]]
    turned = turned_ellipsoid(slab, Point(1, 2, 3), swapped, (9, 4, 6))
    straight = ellipsoid(slab, Point(1, 2, 3), (4, 9, 6))
    np.testing.assert_allclose(turned, straight, atol=1e-4)


def test_painted_volume_is_the_shapes_although_voxels_are_coarse() -> None:
    slab = _slab(2.0)
    slab.paint(ellipsoid(slab, Point(0.3, -0.4, 0.7), (9, 9, 9)), Tissue(40, 1.0))
    assert slab.values.sum() * 8 == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.02)


def test_edges_fade_over_a_voxel() -> None:
    distance = np.linspace(-2, 2, 41, dtype=np.float32)
    share = coverage(distance, 1.0)
    assert share[0] == 1
    assert share[-1] == 0
    assert share[20] == pytest.approx(0.5)
    assert np.all(np.diff(share) <= 0)


def test_window_paints_into_the_whole_and_leaves_the_rest() -> None:
    slab = _slab()
    part = slab.window(Bounds(Point(15, 15, 15), Point(21, 21, 21)))
    assert part is not None
    part.values[...] = 1
    assert slab.values[-1, -1, -1] == 1
    assert slab.values[part.box].shape == part.values.shape
    assert slab.values[0].sum() == 0
    assert slab.window(Bounds(Point(90, 0, 0), Point(99, 1, 1))) is None


def test_breathing_slab_sees_organs_elsewhere() -> None:
    slab = _slab()
    still = ellipsoid(slab, Point(0, 0, 5), (4, 4, 4))
    moved = ellipsoid(slab.breathing(), Point(0, 0, 5), (4, 4, 4))
    assert still.argmin() != moved.argmin()
