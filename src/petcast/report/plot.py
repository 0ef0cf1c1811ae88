"""Axes, lines and marks of a drawing, laid out for SVG drawn by the template `marks.html.j2`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from petcast.report.numbers import number

WIDTH, HEIGHT = 440, 300
LEFT, RIGHT, TOP, BOTTOM = 66, 22, 20, 44
ABOUT_TICKS = 5
FINEST = 1e-9
"""Values nearer than this, of 1 or of their size, are drawn as one: what parts them is rounding."""


@dataclass(frozen=True)
class Tick:
    """A mark on an axis.

    Attributes:
        at: Its place in the drawing.
        label: Its text.
    """

    at: float
    label: str


@dataclass(frozen=True)
class Stroke:
    """A line of a drawing.

    Attributes:
        style: Its CSS class.
        path: SVG path data.
        title: What it stands for.
    """

    style: str
    path: str
    title: str


@dataclass(frozen=True)
class Band:
    """A filled rectangle.

    Attributes:
        style: Its CSS class.
        x: Left edge.
        y: Upper edge.
        width: Its width.
        height: Its height.
        title: What it stands for.
    """

    style: str
    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Spot:
    """A mark in a drawing.

    Attributes:
        kind: "dot", "found", "missed" or "cold".
        x: Its place.
        y: Its place.
        title: What it stands for.
    """

    kind: str
    x: float
    y: float
    title: str


@dataclass(frozen=True)
class Note:
    """A word in a drawing.

    Attributes:
        x: Its place.
        y: Its base line.
        text: The word.
        anchor: "start", "middle" or "end".
    """

    x: float
    y: float
    text: str
    anchor: str = "start"


@dataclass(frozen=True)
class Plane:
    """From values to places in the drawing.

    Attributes:
        x_ticks: Values along x, ascending; the first and the last are the ends.
        y_ticks: Along y.
        width: Of the drawing.
        height: Of the drawing.
    """

    x_ticks: tuple[float, ...]
    y_ticks: tuple[float, ...]
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def right(self) -> int:
        """Where the x axis ends."""
        return self.width - RIGHT

    @property
    def bottom(self) -> int:
        """Where the x axis lies."""
        return self.height - BOTTOM

    def x(self, value: float) -> float:
        """Place a value along x.

        Args:
            value: Any; what lies outside is put on the edge.

        Returns:
            Its place.
        """
        low, high = self.x_ticks[0], self.x_ticks[-1]
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return round(LEFT + share * (self.right - LEFT), 1)

    def y(self, value: float) -> float:
        """Place a value along y.

        Args:
            value: Any; what lies outside is put on the edge.

        Returns:
            Its place.
        """
        low, high = self.y_ticks[0], self.y_ticks[-1]
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return round(self.bottom - share * (self.bottom - TOP), 1)

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        """Join points.

        Args:
            points: Values along x and y.

        Returns:
            SVG path data.
        """
        if not points:
            return ""
        return "M" + "L".join(f"{self.x(x):g} {self.y(y):g}" for x, y in points)

    def level(self, value: float) -> str:
        """A line across the whole drawing.

        Args:
            value: Along y.

        Returns:
            SVG path data.
        """
        return f"M{LEFT} {self.y(value):g}H{self.right}"

    def upright(self, value: float) -> str:
        """A line from the bottom to the top.

        Args:
            value: Along x.

        Returns:
            SVG path data.
        """
        return f"M{self.x(value):g} {TOP}V{self.bottom}"

    def belt(self, low: float, high: float, style: str, title: str) -> Band:
        """A band across the whole drawing.

        Args:
            low: Its lower value along y.
            high: Its upper value.
            style: CSS class.
            title: What it stands for.

        Returns:
            The band.
        """
        top, bottom = self.y(high), self.y(low)
        height = round(max(bottom - top, 0.5), 1)
        return Band(style, LEFT, top, self.right - LEFT, height, title)


@dataclass(frozen=True)
class Chart:
    """A drawing, ready for the template.

    Attributes:
        key: Short name, unique on the page.
        title: What is drawn.
        summary: The same in words, for those who do not see it.
        plane: Its axes.
        x_label: What lies along x.
        y_label: What lies along y.
        bands: Drawn first.
        strokes: Lines.
        spots: Marks.
        notes: Words.
        x_texts: Labels of the x ticks where they are no plain numbers.
        y_texts: The same along y.
        numbers: What it comes to: marks may lie over the words in the drawing.
    """

    key: str
    title: str
    summary: str
    plane: Plane
    x_label: str
    y_label: str
    bands: tuple[Band, ...] = ()
    strokes: tuple[Stroke, ...] = ()
    spots: tuple[Spot, ...] = ()
    notes: tuple[Note, ...] = ()
    x_texts: tuple[str, ...] = ()
    y_texts: tuple[str, ...] = ()
    numbers: str = ""

    @property
    def width(self) -> int:
        """Of the drawing."""
        return self.plane.width

    @property
    def height(self) -> int:
        """Of the drawing."""
        return self.plane.height

    @property
    def frame(self) -> dict[str, int]:
        """Where the axes lie: left, right, top and bottom."""
        plane = self.plane
        return {"left": LEFT, "right": plane.right, "top": TOP, "bottom": plane.bottom}

    @property
    def x_marks(self) -> tuple[Tick, ...]:
        """Ticks along x."""
        texts = self.x_texts or tick_texts(self.plane.x_ticks)
        places = (self.plane.x(value) for value in self.plane.x_ticks)
        return tuple(Tick(at, text) for at, text in zip(places, texts, strict=True))

    @property
    def y_marks(self) -> tuple[Tick, ...]:
        """Ticks along y."""
        texts = self.y_texts or tick_texts(self.plane.y_ticks)
        places = (self.plane.y(value) for value in self.plane.y_ticks)
        return tuple(Tick(at, text) for at, text in zip(places, texts, strict=True))


def nice_ticks(low: float, high: float, about: int) -> list[float]:
    """Round values that enclose a range.

    Args:
        low: The smallest value.
        high: The largest.
        about: How many are wanted.

    Returns:
        At least two ascending values, the first at most `low`, the last at least `high`, up to
        `FINEST`.

    Example:
        >>> nice_ticks(0.12, 0.88, 4)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = high - low
    if span <= FINEST * max(abs(low), abs(high), 1.0):
        span = abs(high) if abs(high) > FINEST else 1.0
    raw = span / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s for s in (power, 2 * power, 2.5 * power, 5 * power, 10 * power) if s >= raw)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 12) for n in range(first, max(last, first + 1) + 1)]


def ticks_around(values: Sequence[float]) -> tuple[float, ...]:
    """Round values that enclose others.

    Args:
        values: At least one.

    Returns:
        Ascending ticks.

    Example:
        >>> ticks_around([0.2, 3.8])
        (0.0, 1.0, 2.0, 3.0, 4.0)
    """
    return tuple(nice_ticks(min(values), max(values), ABOUT_TICKS))


def tick_texts(ticks: Sequence[float]) -> tuple[str, ...]:
    """Write ticks with as many decimals as their distance needs.

    Args:
        ticks: Evenly spaced.

    Returns:
        A text each.

    Example:
        >>> tick_texts((-0.5, 0.0, 0.5))
        ('−0.5', '0.0', '0.5')
    """
    step = ticks[1] - ticks[0]
    digits = next((d for d in range(13) if abs(round(step, d) - step) < abs(step) * 1e-6), 13)
    return tuple(number(value, digits) for value in ticks)
