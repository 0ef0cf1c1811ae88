"""Figures 2 to 5: deterministic, told apart, and described in words."""

from dataclasses import replace
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petcast.catalogue import PAPER
from petcast.study.figures import (
    FIGURES,
    THEMES,
    describe_curves,
    draw_curves,
    running_mean,
    smoothing,
    style_of,
    to_png,
    to_svg,
)
from petcast.study.outcome import Mean, Outcome
from petcast.study.pictures import Pictures, describe_pictures, draw_pictures
from petcast.study.protocol import PROTOCOLS
from petcast.study.scores import Scores
from petcast.study.study import PAPER_ORDER

PSNR = PAPER[1]


@pytest.fixture(scope="module")
def scores() -> Scores:
    names = ("U-Net", "Stage01", "Stage07")
    rows = [
        {"epoch": e, "train": {}, "validation": None, "test": {"psnr": 20.0 + e}} for e in (1, 2, 3)
    ]
    outcomes = {
        (p, name): Outcome(name, p, "done", 3, rows=rows, chosen=2)
        for p in PROTOCOLS
        for name in names
    }
    zero = {"zero": {PSNR.at: Mean(19.0, None, None, 1)}}
    over_slices = {"zero": {PSNR.at: Mean(18.0, None, None, 1)}}
    return Scores(
        names, outcomes, dict.fromkeys(PROTOCOLS, zero), 3, dict.fromkeys(PROTOCOLS, over_slices)
    )


def test_the_papers_figures_have_the_papers_numbers() -> None:
    assert {name: metric.key for name, metric in FIGURES.items()} == {
        "figure-2": "ssim", "figure-3": "psnr", "figure-4": "mae",
    }  # fmt: skip


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_epochs_are_counted_in_whole_numbers(scores: Scores, epochs: int) -> None:
    short = {
        key: replace(outcome, rows=outcome.rows[:epochs])
        for key, outcome in scores.outcomes.items()
    }
    for axes in draw_curves(replace(scores, outcomes=short), PSNR, THEMES[0], "wide").axes:
        low, high = axes.get_xlim()
        assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [
            *range(1, epochs + 1)
        ]


@pytest.mark.slow
def test_the_same_curves_give_the_same_bytes(scores: Scores) -> None:
    drawn = [draw_curves(scores, PSNR, THEMES[0], "wide") for _ in range(2)]
    assert to_svg(drawn[0]) == to_svg(drawn[1])
    assert to_png(drawn[0], dpi=40) == to_png(drawn[1], dpi=40)


def test_both_protocols_are_drawn_with_every_generator(scores: Scores) -> None:
    left, right = draw_curves(scores, PSNR, THEMES[0], "narrow").axes
    for axes in (left, right):
        labels = axes.get_legend_handles_labels()[1]
        assert labels == ["U-Net", "Stage01", "Stage07", "all-zero image"]
        zero = next(line for line in axes.lines if line.get_label() == "all-zero image")
        assert set(zero.get_ydata()) == {18.0}  # over slices, as the curves are
    assert (left.get_title("left"), right.get_title("left")) == (
        "published: slices shuffled", "sound: patients apart",
    )  # fmt: skip


def test_nothing_measured_is_drawn_as_such(scores: Scores) -> None:
    ssim = PAPER[0]
    figure = draw_curves(scores, ssim, THEMES[1], "wide")
    assert all(axes.texts[0].get_text() == "nothing measured yet" for axes in figure.axes)
    assert "nothing was measured" in describe_curves(scores, ssim)


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=60), st.sampled_from([1, 3, 9]))
def test_a_running_mean_stays_within_its_values(values: list[float], width: int) -> None:
    mean = running_mean(values, width)
    assert len(mean) == len(values)
    assert min(values) - 1e-9 <= min(mean)
    assert max(mean) <= max(values) + 1e-9
    assert width > 1 or mean == values


def test_few_epochs_are_drawn_as_they_are_and_the_papers_two_hundred_smoothed() -> None:
    assert [smoothing(epochs) for epochs in (1, 40, 200)] == [1, 1, 11]


def test_words_give_the_last_epoch_of_each(scores: Scores) -> None:
    assert "Stage07 23" in describe_curves(scores, PSNR)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_every_line_stands_out_from_the_paper_and_no_two_are_alike(theme) -> None:
    styles = [style_of(name, theme) for name in PAPER_ORDER]
    looks = {(mpl.colors.to_hex(style["color"]), str(style["linestyle"])) for style in styles}
    assert len(looks) == len(PAPER_ORDER)
    for style in styles:
        assert _contrast(style["color"], theme.paper) > 1.6
    stages = [_luminance(style["color"]) for style in styles[3:]]
    assert stages == sorted(stages) or stages == sorted(stages, reverse=True)
    assert all(one != other for one, other in combinations(stages, 2))


def _luminance(colour) -> float:
    red, green, blue = (c / 12.92 if c <= 0.04 else ((c + 0.055) / 1.055) ** 2.4
                        for c in mpl.colors.to_rgb(colour))  # fmt: skip
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one, other) -> float:
    """WCAG's contrast of two colours."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_montage_has_a_whole_and_a_magnified_row_of_each_slice() -> None:
    ct = np.full((2, 64, 64), -1000, np.int16)
    ct[:, 16:48, 8:56] = 40
    truth = np.where(ct > 0, 1.0, 0.0)
    truth[:, 20, 50] = 6.0
    pictures = Pictures(ct, truth, {"U-Net": truth / 2, "Stage01": truth}, ["a", "b"])
    figure = draw_pictures(pictures, THEMES[0])
    grid = np.array(figure.axes).reshape(4, 4)
    assert [axes.get_title() for axes in grid[0]] == ["CT", "U-Net", "Stage01", "real PET"]
    whole, part = (grid[row][3].images[0].get_array() for row in (0, 1))
    assert whole.shape[0] >= 4 * part.shape[0] - 3
    assert part.max() == 6.0  # the magnified region holds the hottest voxel
    words = describe_pictures(pictures)
    assert "U-Net 3.0" in words
    assert "real PET 6.0" in words
