"""Boxes in patient coordinates, against the plain arithmetic of DICOM's image plane."""

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from petcast.archive import SlicePlace, TumourBox, lesion_boxes
from petcast.volume import Grid

SHAPE = (5, 40, 60)


def a_grid(angle: float = 0.0, spacing_mm: tuple[float, float, float] = (0.8, 0.8, 3.0)) -> Grid:
    """A grid turned around z, with a feet-first origin far from zero."""
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array(spacing_mm)
    affine[:3, 3] = (-200.0, -150.0, -700.0)
    return Grid(SHAPE, affine)


def a_box(
    pixels: tuple[float, float, float, float] = (10.0, 20.0, 30.0, 25.0),
    uid: str = "1.2",
    size: tuple[int, int] | None = (60, 40),
) -> TumourBox:
    return TumourBox(uid, "A", pixels, size)


def corners_of(grid: Grid, box: TumourBox, z: int) -> NDArray[np.float64]:
    left, top, right, bottom = box.pixels
    return np.array(
        [
            grid.affine[:3, 3]
            + grid.affine[:3, 0] * (x - 0.5)
            + grid.affine[:3, 1] * (y - 0.5)
            + grid.affine[:3, 2] * (z + dz)
            for x in (left, right)
            for y in (top, bottom)
            for dz in (-0.5, 0.5)
        ]
    )


@given(
    angle=st.floats(-np.pi, np.pi),
    z=st.integers(0, SHAPE[0] - 1),
    x=st.tuples(st.integers(0, 29), st.integers(30, 60)),
    y=st.tuples(st.integers(0, 19), st.integers(20, 40)),
)
@settings(deadline=None, max_examples=40)
def test_a_box_holds_exactly_its_corners(
    angle: float, z: int, x: tuple[int, int], y: tuple[int, int]
) -> None:
    grid = a_grid(angle)
    box = a_box((float(x[0]), float(y[0]), float(x[1]), float(y[1])))
    [lesion] = lesion_boxes([box], {"1.2": SlicePlace(grid, z)}).lesions
    corners = corners_of(grid, box, z)
    np.testing.assert_allclose(lesion.low_mm, corners.min(axis=0), atol=1e-9)
    np.testing.assert_allclose(lesion.high_mm, corners.max(axis=0), atol=1e-9)


def test_a_box_over_the_whole_image_is_as_large_as_the_slice() -> None:
    box = a_box((0.0, 0.0, 60.0, 40.0))
    [lesion] = lesion_boxes([box], {"1.2": SlicePlace(a_grid(), 2)}).lesions
    size_mm = np.subtract(lesion.high_mm, lesion.low_mm)
    np.testing.assert_allclose(size_mm, (60 * 0.8, 40 * 0.8, 3.0))


def test_a_box_on_an_image_that_nobody_has_is_counted() -> None:
    matches = lesion_boxes([a_box(uid="9.9")], {"1.2": SlicePlace(a_grid(), 0)})
    assert (matches.unmatched, matches.lesions) == (1, ())


def test_a_box_outside_its_image_is_counted() -> None:
    places = {"1.2": SlicePlace(a_grid(), 0)}
    matches = lesion_boxes([a_box((70.0, 5.0, 80.0, 10.0)), a_box((5.0, -9.0, 8.0, 0.0))], places)
    assert (matches.outside, matches.lesions) == (2, ())


def test_a_box_over_the_edge_is_cut_there() -> None:
    places = {"1.2": SlicePlace(a_grid(), 0)}
    matches = lesion_boxes([a_box((50.0, -5.0, 99.0, 10.0))], places)
    whole = lesion_boxes([a_box((50.0, 0.0, 60.0, 10.0))], places)
    assert matches.clipped == 1
    assert matches.lesions == whole.lesions


def test_a_box_of_an_image_of_another_size_is_left_out() -> None:
    matches = lesion_boxes([a_box(size=(512, 512))], {"1.2": SlicePlace(a_grid(), 0)})
    assert (matches.resized, matches.lesions) == (1, ())


def test_every_box_is_mapped_or_counted() -> None:
    boxes = [
        a_box(),
        a_box(uid="9.9"),
        a_box((70.0, 5.0, 80.0, 10.0)),
        a_box((50.0, -5.0, 99.0, 10.0)),
        a_box(size=(1, 1)),
    ]
    matches = lesion_boxes(boxes, {"1.2": SlicePlace(a_grid(), 0)})
    assert len(matches.lesions) + matches.unmatched + matches.outside + matches.resized == 5


def test_the_document_carries_no_uid() -> None:
    matches = lesion_boxes([a_box(uid="1.2.840.77")], {"1.2.840.77": SlicePlace(a_grid(), 0)})
    text = json.dumps(matches.to_json())
    assert "1.2.840.77" not in text
    assert json.loads(text)["lesions"][0]["label"] == "A"
