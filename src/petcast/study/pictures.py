"""Figure 5: CT, the PET of each generator, the real PET; beneath, a magnified region of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from petcast.disk.durable import whole
from petcast.disk.npy import read_arrays
from petcast.errors import FormatError
from petcast.framing import (
    BODY_HU,
    CT_WINDOW_HU,
    MAGNIFICATION,
    Box,
    Image,
    crop_to,
    hot_region,
    pet_window,
)
from petcast.study.figures import Theme
from petcast.study.protocol import run_folder
from petcast.words import count, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_SLICES = 3
INCHES = 1.25
"""Width of a picture."""

HEADING_INCHES = 0.3

FRAME = "#d55e00"


@dataclass(frozen=True)
class Pictures:
    """Slices of test patients, as the real PET and each generator show them.

    Attributes:
        ct: HU, shape (n, y, x).
        truth: SUV, shape (n, y, x).
        predicted: SUV by generator, shape (n, y, x) each.
        labels: Of each slice.
    """

    ct: NDArray[np.int16]
    truth: Image
    predicted: Mapping[str, Image]
    labels: Sequence[str]


def read_pictures(study: Path, generators: Sequence[str]) -> Pictures | None:
    """Gather the slices that the evaluations kept: the same ones of each generator.

    Args:
        study: The study's folder.
        generators: Those that are evaluated under the sound protocol.

    Returns:
        A few slices; None where nothing is kept.

    Raises:
        FormatError: A file that holds them is damaged.
    """
    held = {name: _montage(run_folder(study, "sound", name)) for name in generators}
    found = {name: arrays for name, arrays in held.items() if arrays is not None}
    if not found:
        return None
    first = next(iter(found.values()))
    n = len(first["ct"])
    places = sorted({int((i + 0.5) / min(n, MOST_SLICES) * n) for i in range(min(n, MOST_SLICES))})
    return Pictures(
        first["ct"][places],
        first["truth"][places].astype(np.float64),
        {name: arrays["stages"][places, -1].astype(np.float64) for name, arrays in found.items()},
        [f"test slice {place + 1} of {n}" for place in places],
    )


def draw_pictures(pictures: Pictures, theme: Theme) -> "Figure":
    """Draw the montage: odd rows whole slices, even rows a magnified region of each.

    Args:
        pictures: What is shown.
        theme: Colours.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    top = pet_window(pictures.truth)
    columns = [("CT", pictures.ct), *pictures.predicted.items(), ("real PET", pictures.truth)]
    crop = crop_to(np.any(pictures.ct > BODY_HU, axis=0))
    height, width = (side.stop - side.start for side in crop)
    rows = 2 * len(pictures.labels)
    tall = INCHES * height / width
    figure = Figure(
        figsize=(INCHES * len(columns), rows * tall + HEADING_INCHES), facecolor=theme.paper
    )
    grid = figure.subplots(rows, len(columns), squeeze=False)
    for place in range(len(pictures.labels)):
        region = hot_region(pictures.truth[place], crop)
        for column, (name, images) in enumerate(columns):
            window = CT_WINDOW_HU if name == "CT" else (0.0, top)
            shade = "gray" if name == "CT" else "gray_r"
            whole, part = grid[2 * place][column], grid[2 * place + 1][column]
            for axes, box in ((whole, crop), (part, region)):
                axes.imshow(images[place][box], cmap=shade, vmin=window[0], vmax=window[1],
                            aspect="auto", interpolation="nearest")  # fmt: skip
                _undress(axes, theme)
            if name in ("CT", "real PET"):
                _frame(whole, region, crop)
            if place == 0:
                whole.set_title(name, color=theme.ink, fontsize=8.5, pad=3)
    heading = HEADING_INCHES / figure.get_figheight()
    figure.subplots_adjust(0.001, 0.001, 0.999, 1 - heading, wspace=0.03, hspace=0.04)
    return figure


def describe_pictures(pictures: Pictures) -> str:
    """Say in words what the montage shows.

    Args:
        pictures: What is shown.

    Returns:
        Sentences.
    """
    top = pet_window(pictures.truth)
    low, high = (number(end, 0) for end in CT_WINDOW_HU)
    hottest = "; ".join(
        f"{name} {float(np.nanmax(image)):.1f}"
        for name, image in [*pictures.predicted.items(), ("real PET", pictures.truth)]
    )
    return (
        f"{count(len(pictures.labels), 'slice')} of test patients of the sound protocol. CT from "
        f"{low} to {high} HU; PET white at SUV 0 to black at SUV {top:g}. Even rows magnify the "
        f"framed region around the hottest voxel of the real PET {MAGNIFICATION} times. Largest "
        f"SUV shown: {hottest}."
    )


def _montage(run: Path) -> dict[str, NDArray[Any]] | None:
    path = whole(run / "evaluation") / "montage.npz"
    if not path.exists():
        return None
    try:
        return read_arrays(path, ("ct", "truth", "stages"))
    except (OSError, ValueError) as error:
        raise FormatError(
            f"{path} is damaged ({error}); put it back, or remove it to go without"
        ) from error


def _undress(axes: "Axes", theme: Theme) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(theme.soft)


def _frame(axes: "Axes", region: Box, crop: Box) -> None:
    from matplotlib.patches import Rectangle

    (rows, columns), (top, left) = region, crop
    corner = (columns.start - left.start - 0.5, rows.start - top.start - 0.5)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=FRAME, linewidth=1.2))
