"""Dates and times as DICOM writes them."""

from datetime import timedelta

import pytest

from petcast.dicom import moments


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10", 36000), ("1030", 37800), ("103059.5", 37859.5), ("10:30:59", 37859)],
)
def test_times_as_far_as_they_are_given(text: str, seconds: float) -> None:
    assert moments.parse_time(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1", "25", "1060", "ab", "103059.x", "10305"])
def test_what_is_no_time_is_absent(text: str) -> None:
    assert moments.parse_time(text) is None


@pytest.mark.parametrize("text", ["20200230", "2020", "00000000", "202001021"])
def test_what_is_no_date_is_absent(text: str) -> None:
    assert moments.parse_date(text) is None


def test_a_zone_counts_only_against_the_scanner_s_own() -> None:
    plain = moments.parse_datetime("20200102110000")
    assert moments.parse_datetime("20200102110000.0+0100") == plain
    assert moments.parse_datetime("20200102120000+0200", clock="+0100") == plain
