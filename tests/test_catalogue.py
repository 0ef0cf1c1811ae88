"""What is known of each metric fits what is said of it elsewhere."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petcast.catalogue import METRICS, PAPER, REGIONS, Column, metric_of, metric_order
from petcast.evaluate.comparison import COMPARED

numbers = st.floats(-1e6, 1e6)


def test_what_is_compared_has_a_better_side() -> None:
    assert all(region in REGIONS and METRICS[key].sign for region, key in COMPARED)
    assert all(column.metric.sign for column in PAPER)


@given(numbers, numbers)
def test_a_penalty_is_smaller_on_the_better_side(one: float, other: float) -> None:
    for metric in METRICS.values():
        better = metric.penalty(one) < metric.penalty(other)
        if metric.sign:
            assert better == (metric.sign * (one - other) > 0)
        else:
            best = {"zero": 0.0, "one": 1.0}[metric.better]
            assert better == (math.fabs(one - best) < math.fabs(other - best))


def test_a_column_says_where_unless_it_is_the_whole_slice() -> None:
    assert Column.of("whole", "psnr").heading == "PSNR dB"
    assert Column.of("body", "suv_mae") == Column("body", METRICS["suv_mae"], "body SUV error", 3)
    assert Column.of("body", "psnr", heading="PSNR", digits=0).digits == 0
    with pytest.raises(KeyError):
        Column.of("body", "psrn")


def test_what_a_newer_petcast_measured_comes_last_under_its_own_name() -> None:
    assert metric_of("future").label == "future"
    assert max([*METRICS, "future"], key=metric_order) == "future"
