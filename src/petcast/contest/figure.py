"""Quality against cost: every entrant a labelled point with its seeds' spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from petcast.contest.entrants import Contest
from petcast.contest.scores import BODY_PSNR, final, scores_of, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PUBLISHED, OWN = "#8a5a00", "#0b5fa5"
"""Told apart by shape, too."""

INK, SOFT = "#1b1f24", "#d5dae1"
LINE = 0.062
"""Least distance of two labels, as a share of the height of a panel."""


@dataclass(frozen=True)
class Point:
    """An entrant on some pairs.

    Attributes:
        name: Its name.
        published: Whether it is the paper's.
        cost: Along x.
        value: Body PSNR in dB, mean over seeds.
        sd: Standard deviation over seeds; 0 of one.
    """

    name: str
    published: bool
    cost: float
    value: float
    sd: float


def points_of(
    contest: Contest, records: Sequence[Mapping[str, Any]], pairs: str, cost: str
) -> list[Point]:
    """Gather the points of a panel.

    Args:
        contest: Who takes part.
        records: Of finished runs.
        pairs: On which.
        cost: A key of the records.

    Returns:
        A point an entrant that was measured.
    """
    scores, points = scores_of(records), []
    for entrant in contest.entrants:
        own = final(scores, entrant.name)
        values = [v for (p, _), s in own.items() if p == pairs and (v := s.of(BODY_PSNR))]
        runs = [r for r in records if (r["entrant"], r["pairs"]) == (entrant.name, pairs)]
        costs = [run[cost] for run in runs if run.get(cost)]
        found = spread(values)
        if found and costs:
            there = (fmean(costs), found.value, found.sd or 0.0)
            points.append(Point(entrant.name, entrant.is_published, *there))
    return points


def draw_quality(contest: Contest, records: Sequence[Mapping[str, Any]], times: str) -> "Figure":
    """Draw body PSNR against operations and against time, a row of panels for each pairs.

    Args:
        contest: Who takes part.
        records: Of finished runs.
        times: What `seconds_per_epoch` holds, in words for the axis.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    folders = list(dict.fromkeys(record["pairs"] for record in records))
    rows = max(len(folders), 1)
    figure = Figure(figsize=(11.5, 0.7 + 4.1 * rows), facecolor="white", layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False)
    labels = {"gflop": "GFLOP of a slice's forward pass", "seconds_per_epoch": times}
    for line, pairs in zip(panels, folders, strict=False):
        for axes, (cost, label) in zip(line, labels.items(), strict=True):
            _draw_panel(axes, points_of(contest, records, pairs, cost), label)
            axes.set_title(pairs, loc="left", fontsize=11, color=INK)
    handles, names = panels[0, 0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False)
    return figure


def describe_quality(contest: Contest, records: Sequence[Mapping[str, Any]]) -> str:
    """Say in words what the figure shows.

    Args:
        contest: Who takes part.
        records: Of finished runs.

    Returns:
        A sentence for each pairs.
    """
    sentences = []
    for pairs in dict.fromkeys(record["pairs"] for record in records):
        points = points_of(contest, records, pairs, "gflop")
        ordered = sorted(points, key=lambda point: -point.value)
        said = ", ".join(f"{p.name} {p.value:.2f} dB at {p.cost:.2f} GFLOP" for p in ordered)
        sentences.append(f"{pairs}: {said}.")
    return " ".join(sentences)


def _draw_panel(axes: "Axes", points: Sequence[Point], label: str) -> None:
    for published, colour, marker in ((True, PUBLISHED, "s"), (False, OWN, "o")):
        own = [point for point in points if point.published is published]
        if own:
            axes.errorbar(
                [p.cost for p in own], [p.value for p in own], yerr=[p.sd for p in own],
                fmt=marker, color=colour, markersize=6, capsize=3, elinewidth=1.2, linestyle="none",
                label="published" if published else "petcast's own",
            )  # fmt: skip
    _dress(axes, points, label)
    _label(axes, points)


def _dress(axes: "Axes", points: Sequence[Point], label: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.set_xlabel(label, color=INK)
    axes.set_ylabel(f"test {BODY_PSNR.heading} (± SD over seeds)", color=INK)
    axes.grid(color=SOFT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
    if not points:
        axes.text(0.5, 0.5, "nothing measured yet", ha="center", transform=axes.transAxes)
        return
    costs = [point.cost for point in points]
    axes.set_xlim(min(costs) / 1.5, max(costs) * (max(costs) / min(costs)) ** 0.5 * 2.5)
    low = min(point.value - point.sd for point in points)
    high = max(point.value + point.sd for point in points)
    room = max(high - low, 0.5) * 0.15
    axes.set_ylim(low - room, high + room)


def _label(axes: "Axes", points: Sequence[Point]) -> None:
    """Names stand to the right, pushed apart, with a thin line to their point."""
    low, high = axes.get_ylim()
    heights = apart_by([(p.value - low) / (high - low) for p in points], LINE)
    right = 0.70
    for point, height in zip(points, heights, strict=True):
        axes.annotate(
            point.name, (point.cost, point.value), xytext=(right, height),
            textcoords="axes fraction", fontsize=9, va="center",
            color=PUBLISHED if point.published else OWN,
            arrowprops={"arrowstyle": "-", "color": SOFT, "linewidth": 0.9, "shrinkB": 5},
        )  # fmt: skip


def apart_by(places: Sequence[float], least: float) -> list[float]:
    """Push places apart, in order, and no further than they must.

    Args:
        places: Such as heights of labels.
        least: Distance that neighbours shall have.

    Returns:
        New places in the order of the old ones; groups stay around their mean.

    Example:
        >>> [round(place, 2) for place in apart_by([0.5, 0.1, 0.5], 0.2)]
        [0.4, 0.1, 0.6]
    """
    order = sorted(range(len(places)), key=lambda k: places[k])
    groups: list[list[float]] = []  # middle, members
    for k in order:
        groups.append([places[k], 1])
        while len(groups) > 1 and _too_close(groups[-2], groups[-1], least):
            (b, m), (a, n) = groups.pop(), groups.pop()
            groups.append([(a * n + b * m) / (n + m), n + m])
    heights = [middle + (i - (size - 1) / 2) * least
               for middle, size in groups for i in range(int(size))]  # fmt: skip
    placed = dict(zip(order, heights, strict=True))
    return [placed[k] for k in range(len(places))]


def _too_close(lower: Sequence[float], upper: Sequence[float], least: float) -> bool:
    reach = (lower[1] + upper[1]) / 2 * least
    return upper[0] - lower[0] < reach - 1e-12
