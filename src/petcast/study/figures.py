"""Figures 2 to 4: SSIM, PSNR and MAE on the test part after each epoch, both protocols."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from petcast.study.protocol import PROTOCOLS, Protocol
from petcast.study.scores import PAPER_METRICS, Metric, Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUMBERS = {"ssim": 2, "psnr": 3, "mae": 4}
"""The paper's number of each metric's figure."""

FEW_EPOCHS = 30
"""Up to so many, each epoch is marked."""

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


def draw_curves(scores: Scores, metric: Metric, theme: Theme, layout: Layout) -> "Figure":
    """Draw a metric's curves, a panel a protocol.

    Args:
        scores: Of the study.
        metric: One of the paper's.
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
        _draw_panel(axes, scores, metric, protocol, theme)
    _add_legend(figure, list(panels), theme, layout)
    return figure


def describe_curves(scores: Scores, metric: Metric) -> str:
    """Say in words what a figure shows.

    Args:
        scores: Of the study.
        metric: One of the paper's.

    Returns:
        Sentences for those who do not see it.
    """
    sentences = [f"{metric.label} on the test part after each epoch."]
    for protocol in PROTOCOLS:
        lasts = []
        for name in scores.generators:
            points = list(scores.outcomes[protocol, name].curve("test", metric.key))
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
    depth = (int(name.removeprefix("Stage")) - 1) / 9
    shade = mpl.colormaps["viridis"](start + depth * (end - start))
    return {"color": shade, "linestyle": "-", "linewidth": 1.5}


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
    axes: "Axes", scores: Scores, metric: Metric, protocol: Protocol, theme: Theme
) -> None:
    for name in scores.generators:
        outcome = scores.outcomes[protocol, name]
        points = list(outcome.curve("test", metric.key))
        if not points:
            continue
        marker = "o" if len(points) <= FEW_EPOCHS else ""
        style = style_of(name, theme)
        epochs, values = zip(*points, strict=True)
        axes.plot(epochs, values, label=name, marker=marker, markersize=3.5, **style)
        _mark_chosen(axes, points, outcome.chosen, style["color"], theme)
    zero = scores.trivial[protocol].get("zero", {}).get(metric.at)
    if zero is not None:
        axes.axhline(zero.value, label="all-zero image", color=theme.ink, linestyle=":", lw=1.2)
    _dress(axes, metric, protocol, theme)


def _mark_chosen(
    axes: "Axes", points: Sequence[tuple[int, float]], chosen: int | None, colour: Any, theme: Theme
) -> None:
    value = dict(points).get(chosen) if chosen is not None else None
    if value is not None:
        axes.plot(
            [chosen or 0], [value], marker="D", markersize=6, color=colour,
            markeredgecolor=theme.paper, linestyle="none", zorder=5,
        )  # fmt: skip


def _dress(axes: "Axes", metric: Metric, protocol: Protocol, theme: Theme) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_facecolor(theme.paper)
    axes.set_title(TITLES[protocol], color=theme.ink, fontsize=11, loc="left")
    axes.set_xlabel("epoch", color=theme.ink, fontsize=10)
    axes.set_ylabel(f"test {metric.label}", color=theme.ink, fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=theme.soft, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.ink, labelsize=9, labelleft=True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.ink)
    if not axes.lines:
        axes.text(0.5, 0.5, "nothing measured yet", color=theme.ink, ha="center", va="center",
                  transform=axes.transAxes)  # fmt: skip


def figure_name(metric: Metric) -> str:
    """What a metric's figure is called.

    Args:
        metric: One of the paper's.

    Returns:
        Such as "figure-2".
    """
    return f"figure-{NUMBERS[metric.key]}"


FIGURES = {figure_name(metric): metric for metric in PAPER_METRICS}
