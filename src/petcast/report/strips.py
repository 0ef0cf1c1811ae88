"""One metric as dots on a line: the model with its interval, beside the trivial images."""

from dataclasses import dataclass

from petcast.catalogue import TRIVIAL, region_label
from petcast.report.claims import Claim
from petcast.report.numbers import number, with_unit
from petcast.words import interval

WIDTH, PADDING = 240, 12
"""Of the drawing, whose height the template knows."""


@dataclass(frozen=True)
class Mark:
    """An image's place on the line.

    Attributes:
        kind: "model" or the trivial image's name.
        x: Its place.
        title: What it stands for.
    """

    kind: str
    x: float
    title: str


@dataclass(frozen=True)
class Strip:
    """A tile of the verdict.

    Attributes:
        region: Where it was measured.
        metric: Which, with its unit.
        arrow: Which way is better.
        direction: The same in words.
        value: The model's number.
        interval: Its interval, empty where there is none.
        won: Whether the model is better than every trivial image; None without any.
        rival: The best trivial image and its number.
        marks: The dots.
        low_x: Left end of the interval, or None.
        high_x: Right end.
        summary: All of it in words.
    """

    region: str
    metric: str
    arrow: str
    direction: str
    value: str
    interval: str
    won: bool | None
    rival: str
    marks: tuple[Mark, ...]
    low_x: float | None
    high_x: float | None
    summary: str


def draw_strip(claim: Claim) -> Strip:
    """Lay out a tile.

    Args:
        claim: The metric beside its rivals.

    Returns:
        Everything that the template draws.
    """
    metric, score = claim.metric, claim.score
    ends = [score.low, score.high] if None not in (score.low, score.high) else []
    shown = [one.value for one in (*claim.rivals, score)] + ends
    values = [value for value in shown if value is not None]
    low, span = min(values), (max(values) - min(values)) or 1.0

    def x(value: float) -> float:
        return round(PADDING + (value - low) / span * (WIDTH - 2 * PADDING), 1)

    marks = [
        Mark(one.name, x(one.value), f"{TRIVIAL[one.name]}: {with_unit(one.value, metric)}")
        for one in claim.rivals
        if one.value is not None
    ]
    if score.value is not None:
        own = f"{score.name}: {with_unit(score.value, metric)}"
        marks.append(Mark("model", x(score.value), own))
    best = claim.best_rival
    return Strip(
        region=region_label(claim.region),
        metric=f"{metric.label} ({metric.unit})" if metric.unit == "dB" else metric.label,
        arrow=metric.arrow,
        direction=metric.arrow_words,
        value=number(score.value, metric.digits),
        interval=interval(score.low, score.high, metric.digits),
        won=claim.won if claim.rivals else None,
        rival=f"{TRIVIAL[best.name]} {number(best.value, metric.digits)}" if best else "",
        marks=tuple(marks),
        low_x=x(ends[0]) if ends and ends[0] is not None else None,
        high_x=x(ends[1]) if ends and ends[1] is not None else None,
        summary="; ".join(mark.title for mark in marks),
    )
