"""Figures 2 to 4: SSIM, PSNR and MAE on the test part after each epoch, both protocols."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from petcast.catalogue import PAPER, Column
from petcast.study.protocol import PROTOCOLS, Protocol
from petcast.study.scores import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURES = {f"figure-{number}": column for number, column in enumerate(PAPER, start=2)}
"""The paper's Figures 2 to 4."""

FEW_EPOCHS = 40
"""Up to so many, lines are drawn as they are."""

MARKS = 8
"""About so many marks stand on a line; with fewer epochs, one on each."""

STAGE_MARKERS = "os^v<>PX*h"
"""A shape a stage: neighbouring stages have neighbouring colours."""

TITLES: Mapping[Protocol, str] = {
    "published": "published: slices shuffled",
    "sound": "sound: patients apart",
}

Layout = Literal["wide", "narrow"]
LAYOUTS: Mapping[Layout, tuple[int, int, float, float]] = {
    "wide": (1, 2, 11.0, 4.6),
    "narrow": (2, 1, 4.4, 8.0),
}
"""Rows and columns of panels, width and height in inches."""


@dataclass(frozen=True)
class Theme:
    """The colours of a page.

    Attributes:
        name: Light or dark.
        paper: Background.
        ink: Text and axes.
        soft: Grid.
        shades: Where the stages begin and end on the colour map.
    """

    name: Literal["light", "dark"]
    paper: str
    ink: str
    soft: str
    shades: tuple[float, float]


THEMES = (
    Theme("light", "#ffffff", "#1b1f24", "#d5dae1", (0.85, 0.0)),
    Theme("dark", "#14171b", "#e6e9ed", "#363d46", (0.25, 1.0)),
)

# Okabe and Ito's colours for the three baselines, told apart by their dashes too; the stages take
# their colours from viridis in order, so that a curve's depth can be seen without a legend.
BASELINES: Mapping[str, tuple[str, Any]] = {
    "U-Net": ("#d55e00", (0, (6, 2))),
    "Cas-UNet": ("#cc79a7", (0, (6, 2, 1, 2))),
    "DSGGAN": ("#e69f00", (0, (2, 1.4))),
}


def draw_curves(scores: Scores, column: Column, theme: Theme, layout: Layout) -> "Figure":
    """Draw a column's curves, a panel a protocol.

    Args:
        scores: Of the study.
        column: One of the paper's.
        theme: Colours.
        layout: Panels side by side or one above the other.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    rows, columns, width, height = LAYOUTS[layout]
    figure = Figure(figsize=(width, height), facecolor=theme.paper, layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, protocol in zip(panels, PROTOCOLS, strict=True):
        _draw_panel(axes, scores, column, protocol, theme)
    _add_legend(figure, list(panels), theme, layout)
    return figure


def describe_curves(scores: Scores, column: Column) -> str:
    """Say in words what a figure shows.

    Args:
        scores: Of the study.
        column: One of the paper's.

    Returns:
        Sentences for those who do not see it.
    """
    sentences = [f"{column.heading} on the test part after each epoch, mean over slices."]
    for protocol in PROTOCOLS:
        lasts = []
        for name in scores.generators:
            points = list(scores.outcomes[protocol, name].curve("test", column.key))
            if points:
                lasts.append(f"{name} {points[-1][1]:.4g}")
        said = ", ".join(lasts) or "nothing was measured"
        sentences.append(f"{TITLES[protocol].capitalize()}; last epoch: {said}.")
    return " ".join(sentences)


def to_svg(figure: "Figure") -> bytes:
    """Write a figure as SVG; the same figure gives the same bytes.

    Args:
        figure: Drawn.

    Returns:
        The file.
    """
    import matplotlib as mpl

    stream = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "petcast", "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def to_png(figure: "Figure", dpi: int = 200) -> bytes:
    """Write a figure as PNG; the same figure gives the same bytes.

    Args:
        figure: Drawn.
        dpi: Pixels an inch.

    Returns:
        The file.
    """
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi, metadata={"Software": None})
    return stream.getvalue()


def style_of(name: str, theme: Theme) -> dict[str, Any]:
    """A generator's line.

    Args:
        name: Its name.
        theme: Colours.

    Returns:
        What matplotlib's `plot` takes.
    """
    if name in BASELINES:
        colour, dashes = BASELINES[name]
        return {"color": colour, "linestyle": dashes, "linewidth": 2.0}
    import matplotlib as mpl

    start, end = theme.shades
    stage = int(name.removeprefix("Stage")) - 1
    shade = mpl.colormaps["viridis"](start + stage / 9 * (end - start))
    marker = STAGE_MARKERS[stage]
    return {"color": shade, "linestyle": "-", "linewidth": 1.5, "marker": marker}


def _add_legend(figure: "Figure", panels: Sequence["Axes"], theme: Theme, layout: Layout) -> None:
    """One legend for both panels, outside of them."""
    drawn: dict[str, Any] = {}
    for axes in panels:
        drawn |= {str(line.get_label()): line for line in axes.get_legend_handles_labels()[0]}
    if drawn:
        wide = layout == "wide"
        figure.legend(
            list(drawn.values()), list(drawn),
            loc="outside right center" if wide else "outside lower center",
            frameon=False, fontsize=9, labelcolor=theme.ink, ncols=1 if wide else 3,
            handlelength=2.8,
        )  # fmt: skip


def _draw_panel(
    axes: "Axes", scores: Scores, column: Column, protocol: Protocol, theme: Theme
) -> None:
    for name in scores.generators:
        outcome = scores.outcomes[protocol, name]
        points = list(outcome.curve("test", column.key))
        if not points:
            continue
        _draw_line(axes, name, points, theme)
        _mark_chosen(axes, points, outcome.chosen, theme)
    zero = scores.over_slices[protocol].get("zero", {}).get(column.at)
    if zero is not None:
        axes.axhline(zero.value, label="all-zero image", color=theme.ink, linestyle=":", lw=1.2)
    _dress(axes, column, protocol, theme)


def _draw_line(axes: "Axes", name: str, points: Sequence[tuple[int, float]], theme: Theme) -> None:
    """A curve; of many epochs each one pale, and over them a running mean."""
    style, width = style_of(name, theme), smoothing(len(points))
    epochs, values = zip(*points, strict=True)
    if width > 1:
        axes.plot(epochs, values, color=style["color"], linewidth=0.6, alpha=0.3)
    every = max(1, len(points) // MARKS)
    mean = running_mean(values, width)
    axes.plot(epochs, mean, label=name, markersize=4.5, markevery=every, **style)


def smoothing(epochs: int) -> int:
    """Over how many epochs the bold line averages.

    Args:
        epochs: That there are.

    Returns:
        An odd number; 1 up to 40 epochs.
    """
    return 1 if epochs <= FEW_EPOCHS else epochs // 20 // 2 * 2 + 1


def running_mean(values: Sequence[float], width: int) -> list[float]:
    """Average each value with its neighbours, fewer of them at the ends.

    Args:
        values: In order.
        width: How many are averaged, an odd number.

    Returns:
        As many values.

    Example:
        >>> running_mean([1.0, 2.0, 6.0], 3)
        [1.5, 3.0, 4.0]
    """
    reach = width // 2
    windows = (values[max(k - reach, 0) : k + reach + 1] for k in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def _mark_chosen(
    axes: "Axes", points: Sequence[tuple[int, float]], chosen: int | None, theme: Theme
) -> None:
    value = dict(points).get(chosen) if chosen is not None else None
    if value is not None:
        axes.plot(
            [chosen or 0], [value], marker="o", markersize=9, markerfacecolor="none",
            markeredgecolor=theme.ink, markeredgewidth=1.2, linestyle="none", zorder=5,
        )  # fmt: skip


def _dress(axes: "Axes", column: Column, protocol: Protocol, theme: Theme) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_facecolor(theme.paper)
    axes.set_title(TITLES[protocol], color=theme.ink, fontsize=11, loc="left")
    axes.set_xlabel("epoch", color=theme.ink, fontsize=10)
    axes.set_ylabel(f"{column.heading}, mean over test slices", color=theme.ink, fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))  # of 1 epoch, too
    axes.grid(color=theme.soft, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.ink, labelsize=9, labelleft=True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.ink)
    if not axes.lines:
        axes.text(0.5, 0.5, "nothing measured yet", color=theme.ink, ha="center", va="center",
                  transform=axes.transAxes)  # fmt: skip
