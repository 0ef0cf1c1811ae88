"""Curves: gaps, single epochs, chosen epochs, ticks."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from petcast.report.curves import HEIGHT, WIDTH, draw_curves
from petcast.report.plot import nice_ticks

EpochRow = Callable[[int], dict[str, Any]]


def test_four_panels_with_the_chosen_epoch_marked(epoch_row: EpochRow) -> None:
    panels = draw_curves([epoch_row(k) for k in range(1, 6)], chosen=3)
    assert [panel.key for panel in panels] == ["ssim", "psnr", "mae", "loss"]
    assert all(panel.chosen == 3 for panel in panels)
    assert [curve.style for curve in panels[0].curves] == ["test", "validation"]
    assert all(curve.chosen is not None for panel in panels for curve in panel.curves)


@pytest.mark.parametrize("hole", [math.nan, math.inf, None, "broken"])
def test_a_value_that_is_no_number_leaves_a_gap(epoch_row: EpochRow, hole: object) -> None:
    rows = [epoch_row(k) for k in range(1, 6)]
    rows[2]["test"]["ssim"] = hole
    [test, validation] = draw_curves(rows, chosen=None)[0].curves
    assert test.path.count("M") == 2
    assert validation.path.count("M") == 1
    assert "nan" not in test.path


def test_a_curve_without_any_number_is_not_drawn(epoch_row: EpochRow) -> None:
    rows = [epoch_row(k) | {"validation": None} for k in (1, 2)]
    assert [curve.style for curve in draw_curves(rows, chosen=1)[0].curves] == ["test"]
    rows = [row | {"test": {"ssim": math.nan}} for row in rows]
    assert draw_curves(rows, chosen=1)[0].curves == ()


def test_one_epoch_is_a_dot(epoch_row: EpochRow) -> None:
    panel = draw_curves([epoch_row(1)], chosen=1)[0]
    assert len(panel.curves[0].dots) == 1
    assert [tick.label for tick in panel.x_ticks] == ["1"]


def test_an_epoch_that_was_not_drawn_is_not_marked(epoch_row: EpochRow) -> None:
    assert draw_curves([epoch_row(1), epoch_row(2)], chosen=9)[0].chosen_x is None


def test_a_loss_over_decades_is_logarithmic(epoch_row: EpochRow) -> None:
    panel = draw_curves([epoch_row(k) for k in range(1, 20)], chosen=None)[3]
    assert panel.logarithmic
    labels = [tick.label for tick in panel.y_ticks]
    assert (labels[0], labels[-1]) == ("1e−07", "0.05")
    heights = [tick.at for tick in panel.y_ticks]
    assert heights == sorted(heights, reverse=True)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda v: round(v, 6)),
        min_size=1,
        max_size=20,
    )
)
def test_every_point_lies_inside_the_drawing(values: list[float]) -> None:
    rows = [{"epoch": k, "test": {"ssim": v}} for k, v in enumerate(values, start=1)]
    panel = draw_curves(rows, chosen=1)[0]
    dots = panel.curves[0].dots
    assert len(dots) == len(values)
    for dot in dots:
        assert 0 <= dot.x <= WIDTH
        assert 0 <= dot.y <= HEIGHT


@settings(deadline=None, max_examples=200)
@given(st.floats(-1e5, 1e5), st.one_of(st.floats(0, 1e5), st.floats(0, 1e-6)))
@example(30.0, 5e-14)  # the PSNR of two epochs that differ in rounding alone
@example(0.0, 4.4e-16)
def test_ticks_enclose_their_range(low: float, span: float) -> None:
    high = low + span
    ticks = nice_ticks(low, high, 5)
    step = ticks[1] - ticks[0]
    least = max(step * 1e-6, 1e-9)
    assert all(a < b for a, b in pairwise(ticks))
    assert 2 <= len(ticks) <= 9
    assert ticks[0] <= low + least
    assert ticks[-1] >= high - least


def test_epochs_that_differ_in_rounding_alone_are_drawn() -> None:
    values = [30.0, math.nextafter(30.0, 31.0), 30.0]
    rows = [{"epoch": k, "test": {"psnr": v}} for k, v in enumerate(values, start=1)]
    heights = {dot.y for dot in draw_curves(rows, chosen=1)[1].curves[0].dots}
    assert len(heights) == 1
