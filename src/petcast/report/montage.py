"""Slices side by side as the paper's Figure 5: CT, each stage, real PET, difference, magnified."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from petcast.framing import (
    BODY_HU,
    CT_WINDOW_HU,
    Box,
    Image,
    crop_to,
    hot_region,
    pet_window,
    smallest_window,
)
from petcast.report.arrays import HalfWidths, Slices
from petcast.report.numbers import number
from petcast.report.png import (
    Palette,
    bar_uri,
    diverging,
    glow,
    grey,
    png_uri,
    to_levels,
    with_box,
)

DIFFERENCE_WINDOWS_SUV = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0)

MOST_PICTURES = 78
"""Keeps the page below 3 MB: of cascades with many stages fewer slices are shown."""

MOST_OF_UNCERTAINTY = 24
"""The same for the error beside the half-width."""

UPTAKE_SUV = 0.1
"""Where there is no CT, the pictures are cropped to what takes up more."""


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        uri: The picture itself.
        alt: What it shows, in words.
        caption: A number beneath it, such as its largest SUV.
        width: In pixels.
        height: In pixels.
    """

    uri: str
    alt: str
    caption: str
    width: int
    height: int


@dataclass(frozen=True)
class ShownSlice:
    """A slice: its pictures, and the magnified region of each.

    Attributes:
        label: Study and number.
        whole: A picture a column.
        magnified: The region around the hottest spot, a picture a column.
    """

    label: str
    whole: tuple[Picture, ...]
    magnified: tuple[Picture, ...]


@dataclass(frozen=True)
class ColourBar:
    """What the shades mean.

    Attributes:
        label: What is drawn, and its unit.
        uri: The bar.
        ticks: Texts at its left end, middle and right end.
    """

    label: str
    uri: str
    ticks: tuple[str, ...]


@dataclass(frozen=True)
class Montage:
    """Figure 5 of a run.

    Attributes:
        columns: Headings.
        slices: What is shown.
        bars: Colour bars: CT, PET, difference.
        kept: Slices that the evaluation kept, of which the shown ones are some.
    """

    columns: tuple[str, ...]
    slices: tuple[ShownSlice, ...]
    bars: tuple[ColourBar, ...]
    kept: int


@dataclass(frozen=True)
class _Style:
    name: str
    low: float
    high: float
    palette: Palette
    unit: str

    def bar(self) -> ColourBar:
        ends = (self.low, (self.low + self.high) / 2, self.high)
        ticks = tuple(_plain(value, signed=self.low == -self.high) for value in ends)
        return ColourBar(f"{self.name} ({self.unit})", bar_uri(self.palette), ticks)


@dataclass(frozen=True)
class _Column:
    heading: str
    style: _Style
    images: Image
    caption: str = ""
    boxed: bool = False


def draw_montage(slices: Slices | None) -> Montage | None:
    """Draw the slices that the evaluation kept.

    Args:
        slices: From montage.npz; None where there are none.

    Returns:
        The pictures; all windows are the same for all slices.
    """
    if slices is None or not slices.stages.shape[1]:
        return None
    return _drawn(slices, _columns(slices), MOST_PICTURES)


def draw_uncertainty(slices: Slices | None, half_widths: HalfWidths | None) -> Montage | None:
    """Draw the error beside the half-width of its interval, both in one window.

    Args:
        slices: That the evaluation kept; None where there are none.
        half_widths: Of the same slices, in any order.

    Returns:
        The pictures; None where slices and half-widths are not of the same evaluation.
    """
    if slices is None or half_widths is None or not slices.stages.shape[1]:
        return None
    places = {
        key: k for k, key in enumerate(zip(half_widths.study, half_widths.index, strict=True))
    }
    wanted = [places.get(key) for key in zip(slices.study, slices.index, strict=True)]
    held = [place for place in wanted if place is not None]
    images = half_widths.images[held].astype(np.float64)
    if images.shape != slices.truth.shape:
        return None
    error = np.abs(slices.stages[:, -1].astype(np.float64) - slices.truth)
    predicted, real = (c for c in _columns(last_stage(slices) or slices) if c.caption == "max")
    both = np.concatenate([error, images])
    top = smallest_window(both, 99.5, DIFFERENCE_WINDOWS_SUV)
    style = _Style("Error and half-width", 0.0, top, glow(), "SUV")
    columns = [
        replace(predicted, boxed=False),
        real,
        _Column("|Predicted − real|", style, error, "mean"),
        _Column("Half-width", style, images, "mean"),
    ]
    return _drawn(slices, columns, MOST_OF_UNCERTAINTY)


def _drawn(slices: Slices, columns: Sequence[_Column], most: int) -> Montage:
    """Draw columns of the slices that are shown, the worst first."""
    spread = _spread(len(slices.ct), max(2, most // (2 * len(columns))))
    shown = sorted(spread, key=lambda place: (-_error(slices, place), place))
    dense = np.asarray(slices.ct[shown]) > BODY_HU
    seen = dense if dense.any() else np.asarray(slices.truth[shown]) > UPTAKE_SUV
    crop = crop_to(np.any(seen, axis=0))
    styles = {column.style.name: column.style for column in columns}
    return Montage(
        columns=tuple(column.heading for column in columns),
        slices=tuple(_shown(slices, columns, place, crop) for place in shown),
        bars=tuple(style.bar() for style in styles.values()),
        kept=len(slices.ct),
    )


def last_stage(slices: Slices | None) -> Slices | None:
    """Leave the earlier stages out, for a shorter row of pictures.

    Args:
        slices: Kept by an evaluation, or None.

    Returns:
        The same with one stage.
    """
    if slices is None or not slices.stages.shape[1]:
        return None
    return replace(slices, stages=slices.stages[:, -1:])


def _error(slices: Slices, place: int) -> float:
    """Mean absolute difference of a slice, by which the worst come first."""
    difference = np.asarray(slices.stages[place, -1], np.float64) - slices.truth[place]
    return float(np.abs(np.nan_to_num(difference)).mean())


def _has_ct(slices: Slices) -> bool:
    """Files may come without a CT; air is kept for it."""
    return bool(np.ptp(slices.ct) > 0) if slices.ct.size else False


def _columns(slices: Slices) -> list[_Column]:
    truth = slices.truth.astype(np.float64)
    stages = slices.stages.astype(np.float64)
    difference = stages[:, -1] - truth
    ct = _Style("CT", *CT_WINDOW_HU, grey(), "HU")
    pet_top = pet_window(truth)
    pet = _Style("PET", 0.0, pet_top, grey(inverted=True), "SUV")
    reach = smallest_window(np.abs(difference), 99.5, DIFFERENCE_WINDOWS_SUV)
    change = _Style("Predicted − real", -reach, reach, diverging(), "SUV")
    return [
        *([_Column("CT", ct, slices.ct, boxed=True)] if _has_ct(slices) else []),
        *(
            _Column(_stage_heading(k, stages.shape[1]), pet, stages[:, k], "max")
            for k in range(stages.shape[1])
        ),
        _Column("Real PET", pet, truth, "max", boxed=True),
        _Column("Predicted − real", change, difference, "mean |Δ|"),
    ]


def _stage_heading(k: int, stages: int) -> str:
    if stages == 1:
        return "Predicted"
    return f"Stage {k + 1}" + (" (output)" if k == stages - 1 else "")


def _spread(n: int, most: int) -> list[int]:
    """At most so many of n places, evenly spread."""
    k = min(n, most)
    return sorted({int((i + 0.5) / k * n) for i in range(k)})


def _shown(slices: Slices, columns: Sequence[_Column], place: int, crop: Box) -> ShownSlice:
    label = f"Study {slices.study[place]}, slice {slices.index[place] + 1}"
    region = hot_region(slices.truth[place], crop)
    inner = tuple(
        slice(r.start - c.start, r.stop - c.start) for r, c in zip(region, crop, strict=True)
    )
    box = (inner[0], inner[1])
    return ShownSlice(
        label,
        tuple(_picture(column, place, crop, box, label) for column in columns),
        tuple(_picture(column, place, region, None, f"{label}, magnified") for column in columns),
    )


def _picture(column: _Column, place: int, part: Box, box: Box | None, label: str) -> Picture:
    image = column.images[place][part]
    levels = to_levels(image, column.style.low, column.style.high)
    if box is not None and column.boxed:
        levels = with_box(levels, box)
    height, width = levels.shape
    caption = _caption(column, image)
    alt = f"{column.heading}: {label}" + (f"; {caption}" if caption else "")
    return Picture(png_uri(levels, column.style.palette), alt, caption, width, height)


def _caption(column: _Column, image: Image) -> str:
    if column.caption == "max":
        return f"max {number(_finite_max(image), 1)}"
    if column.caption:
        return f"{column.caption} {number(float(np.abs(np.nan_to_num(image)).mean()), 2)}"
    return ""


def _finite_max(image: Image) -> float:
    held = image[np.isfinite(image)]
    return float(held.max()) if held.size else 0.0


def _plain(value: float, *, signed: bool) -> str:
    digits = 0 if value == int(value) else 2 if value * 10 != int(value * 10) else 1
    text = number(value, digits)
    return f"+{text}" if signed and value > 0 else text
