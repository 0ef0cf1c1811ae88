"""Curves over epochs as the paper's Figures 2-4, laid out for SVG drawn by the template."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from petcast.catalogue import PAPER
from petcast.report.inputs import Document, finite, table
from petcast.report.plot import Tick, nice_ticks, tick_texts
from petcast.words import MINUS

WIDTH, HEIGHT = 440, 280
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 16, 40
FEW_POINTS = 40
"""Up to so many epochs, each is marked by a dot with its numbers."""

LOG_RATIO = 10
"""A loss that falls by more than this factor is drawn on a logarithmic scale."""

MOST_LOG_TICKS = 7

Point = tuple[float, float]


@dataclass(frozen=True)
class Dot:
    """An epoch on a line.

    Attributes:
        x: Of the drawing.
        y: Of the drawing.
        title: What it stands for.
    """

    x: float
    y: float
    title: str


@dataclass(frozen=True)
class Curve:
    """A line of a panel.

    Attributes:
        label: Its name in the legend.
        style: Its CSS class: "test", "validation" or "train".
        path: SVG path data, broken where a value is missing.
        dots: Epochs to mark.
        chosen: The chosen epoch's place, or None.
    """

    label: str
    style: str
    path: str
    dots: tuple[Dot, ...]
    chosen: Dot | None


@dataclass(frozen=True)
class Panel:
    """A drawing.

    Attributes:
        key: Short name, unique on the page.
        title: What is drawn.
        summary: The same in words, for those who do not see it.
        curves: Its lines; none where nothing was measured.
        x_ticks: Epochs.
        y_ticks: Values.
        chosen_x: Where the chosen epoch stands, or None.
        chosen: The chosen epoch's number.
        logarithmic: Whether the y axis is.
    """

    key: str
    title: str
    summary: str
    curves: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    chosen_x: float | None
    chosen: int | None
    logarithmic: bool


@dataclass(frozen=True)
class _Series:
    label: str
    style: str
    points: tuple[tuple[int, float | None], ...]

    def finite(self) -> list[tuple[int, float]]:
        return [(epoch, value) for epoch, value in self.points if value is not None]


@dataclass(frozen=True)
class _Axes:
    x: Callable[[float], float]
    y: Callable[[float], float]


def draw_curves(epochs: Sequence[Document], chosen: int | None) -> list[Panel]:
    """Draw SSIM, PSNR and MAE on test and validation patients, and the training loss.

    Args:
        epochs: Rows of metrics.jsonl.
        chosen: The epoch that is reported, or None.

    Returns:
        Four panels; one of which nothing is known holds no line.
    """
    parts = (("Test", "test"), ("Validation", "validation"))
    panels = []
    for metric in (column.metric for column in PAPER):
        series = [_series(epochs, label, part, metric.key) for label, part in parts]
        title = f"{metric.label} ({metric.unit})" if metric.unit else metric.label
        panels.append(_panel(metric.key, title, series, chosen))
    loss = _series(epochs, "Training", "train", "loss")
    return [*panels, _panel("loss", "Training loss", [loss], chosen)]


def _series(epochs: Sequence[Document], label: str, part: str, key: str) -> _Series:
    values = tuple((int(row["epoch"]), finite(table(row, part).get(key))) for row in epochs)
    return _Series(label, part, values)


def _panel(key: str, title: str, series: Sequence[_Series], chosen: int | None) -> Panel:
    drawn = [one for one in series if one.finite()]
    if not drawn:
        return Panel(key, title, f"{title}: not measured.", (), (), (), None, chosen, False)
    epochs = [epoch for one in drawn for epoch, _ in one.points]
    values = [value for one in drawn for _, value in one.finite()]
    logarithmic = key == "loss" and min(values) > 0 and max(values) > LOG_RATIO * min(values)
    ticks = _log_ticks(values) if logarithmic else nice_ticks(min(values), max(values), 5)
    texts = _tick_texts(ticks, logarithmic)
    axes = _axes(epochs, ticks, logarithmic)
    here = chosen if chosen is not None and min(epochs) <= chosen <= max(epochs) else None
    return Panel(
        key=key,
        title=title,
        summary=_summary(title, drawn, here),
        curves=tuple(_curve(one, axes, here) for one in drawn),
        x_ticks=tuple(Tick(axes.x(e), str(e)) for e in _epoch_ticks(min(epochs), max(epochs))),
        y_ticks=tuple(Tick(axes.y(v), text) for v, text in zip(ticks, texts, strict=True)),
        chosen_x=axes.x(here) if here is not None else None,
        chosen=here,
        logarithmic=logarithmic,
    )


def _axes(epochs: Sequence[int], ticks: Sequence[float], logarithmic: bool) -> _Axes:
    scale = math.log10 if logarithmic else float
    low, high = scale(ticks[0]), scale(ticks[-1])
    first, span = min(epochs), max(max(epochs) - min(epochs), 1)

    def x(epoch: float) -> float:
        return round(LEFT + (epoch - first) / span * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        share = (scale(value) - low) / (high - low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    return _Axes(x, y)


def _curve(series: _Series, axes: _Axes, chosen: int | None) -> Curve:
    strokes = [
        "M" + "L".join(f"{x:g} {y:g}" for x, y in stroke) for stroke in _strokes(series, axes)
    ]
    dots = [
        Dot(axes.x(e), axes.y(v), f"{series.label}, epoch {e}: {v:.4g}") for e, v in series.finite()
    ]
    at_chosen = (dot for dot, (e, _) in zip(dots, series.finite(), strict=True) if e == chosen)
    shown = tuple(dots) if len(dots) <= FEW_POINTS else ()
    return Curve(series.label, series.style, "".join(strokes), shown, next(at_chosen, None))


def _strokes(series: _Series, axes: _Axes) -> Iterator[list[Point]]:
    """Runs of neighbouring finite values."""
    stroke: list[Point] = []
    for epoch, value in series.points:
        if value is not None:
            stroke.append((axes.x(epoch), axes.y(value)))
        elif stroke:
            yield stroke
            stroke = []
    if stroke:
        yield stroke


def _summary(title: str, series: Sequence[_Series], chosen: int | None) -> str:
    sentences = []
    for one in series:
        (first, start), (last, end) = one.finite()[0], one.finite()[-1]
        way = f"from {start:.4g} at epoch {first} to {end:.4g} at epoch {last}"
        at = dict(one.finite()).get(chosen) if chosen is not None else None
        there = f", {at:.4g} at the chosen epoch {chosen}" if at is not None else ""
        sentences.append(f"{one.label} {way}{there}.")
    return f"{title} over epochs. {' '.join(sentences)}"


def _log_ticks(values: Sequence[float]) -> list[float]:
    """1, 2 and 5 times powers of ten around the values; of many, only the powers and the ends."""
    first, last = (math.floor(math.log10(end)) for end in (min(values), max(values)))
    around = [m * 10.0**n for n in range(first, last + 2) for m in (1, 2, 5)]
    low = max(tick for tick in around if tick <= min(values) * (1 + 1e-9))
    high = min(tick for tick in around if tick >= max(values) * (1 - 1e-9))
    ticks = [float(f"{tick:.1g}") for tick in around if low <= tick <= high]
    if len(ticks) <= MOST_LOG_TICKS:
        return ticks
    powers = [tick for tick in ticks[1:-1] if f"{tick:e}".startswith("1.0")]
    return [ticks[0], *powers, ticks[-1]]


def _epoch_ticks(first: int, last: int) -> list[int]:
    if last == first:
        return [first]
    inner = [int(e) for e in nice_ticks(first, last, 6) if e == int(e) and first < e < last]
    gap = (last - first) / 12
    return [first, *(e for e in inner if e - first > gap and last - e > gap), last]


def _tick_texts(ticks: Sequence[float], logarithmic: bool) -> Sequence[str]:
    if logarithmic:
        return [f"{value:g}".replace("-", MINUS) for value in ticks]
    return tick_texts(ticks)
