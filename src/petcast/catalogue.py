"""What is measured, of what and where: how files spell it, and how people read it.

Whoever measures, compares or shows a metric asks here what it is called, how many decimals it has
and where its better values lie. A table keeps what is its own: which columns it has, and in what
order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Place = tuple[str, str]
"""A region and a metric, as files spell them."""


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        key: Its name in the files.
        label: Its name for people.
        unit: Of its values; empty where they have none.
        better: Where better values lie: up, down, towards zero or towards one.
        digits: Decimals.
        meaning: What it measures, in one line.
    """

    key: str
    label: str
    unit: str
    better: Literal["up", "down", "zero", "one"]
    digits: int
    meaning: str

    @property
    def heading(self) -> str:
        """Its label above a column: with dB, which is the one unit that labels leave out."""
        return f"{self.label} dB" if self.unit == "dB" else self.label

    @property
    def sign(self) -> int:
        """1 where more is better, −1 where less is, 0 where a certain value is."""
        return {"up": 1, "down": -1}.get(self.better, 0)

    @property
    def arrow(self) -> str:
        """A sign for the better direction."""
        return {"up": "↑", "down": "↓", "zero": "→ 0", "one": "→ 1"}[self.better]

    @property
    def arrow_words(self) -> str:
        """The same for those who hear the page."""
        return {
            "up": "higher is better",
            "down": "lower is better",
            "zero": "zero is best",
            "one": "one is best",
        }[self.better]

    def penalty(self, value: float) -> float:
        """A number that is smaller the better the value is.

        Args:
            value: In the metric's own unit.

        Returns:
            What to sort by.

        Example:
            >>> METRICS["psnr"].penalty(30.0), METRICS["suv_bias"].penalty(-0.5)
            (-30.0, 0.5)
        """
        return {"up": -value, "down": value, "zero": abs(value), "one": abs(value - 1)}[self.better]


_METRICS = (
    Metric(
        "ssim", "SSIM", "", "up", 3,
        "Structural similarity of the image to the real PET, on the [0, 1] scale; 1 is equality.",
    ),
    Metric(
        "ms_ssim", "MS-SSIM", "", "up", 3,
        "SSIM over several scales, so that coarse structure counts too; 1 is equality.",
    ),
    Metric(
        "psnr", "PSNR", "dB", "up", 1,
        "Peak signal-to-noise ratio: ten times the logarithm of the squared range of the SUV "
        "window over the mean squared error; 3 dB more is half the squared error.",
    ),
    Metric(
        "mae", "MAE", "", "down", 4,
        "Mean absolute error on the paper's [0, 1] scale (the SUV window mapped to 0 and 1).",
    ),
    Metric(
        "ssim_3d", "SSIM 3-D", "", "up", 3,
        "SSIM with a window in all three axes, as long along z in millimetres as in the slice.",
    ),
    Metric(
        "nrmse", "NRMSE", "", "down", 3,
        "Root mean squared error over the real PET's root mean square; an all-zero image has 1.",
    ),
    Metric("mse", "MSE", "", "down", 5, "Mean squared error on the paper's [0, 1] scale."),
    Metric(
        "lpips", "LPIPS", "", "down", 4,
        "Distance of a photograph-trained network's features, on the [0, 1] scale; 0 is equality.",
    ),
    Metric(
        "suv_mae", "SUV error", "SUV", "down", 3,
        "Mean absolute error of the SUV (body weight, g/mL), not clipped to any window.",
    ),
    Metric(
        "suv_bias", "SUV bias", "SUV", "zero", 3,
        "Mean of predicted minus real SUV: above zero, the model adds uptake.",
    ),
    Metric(
        "lattice", "Lattice", "dB", "down", 1,
        "Energy at the strongest frequency of a checkerboard against its neighbours; clean images "
        "have about 5 dB, from 15 dB on there is one.",
    ),
    Metric(
        "lattice_strength", "Strength", "", "down", 4,
        "Root mean square of the pattern as a share of the uptake; without a lattice, of texture.",
    ),
    Metric(
        "blur_mm", "Blur", "mm", "zero", 1,
        "Width (FWHM) of the Gaussian that separates the image from the real PET; below 0, it is "
        "sharper or noisier.",
    ),
    Metric(
        "detail_mm", "Detail", "mm", "down", 1,
        "Width (FWHM) of the Gaussian through which the real PET's detail reaches the image; what "
        "the image adds, noise or a lattice, has no part in it.",
    ),
    Metric(
        "noise_texture", "Texture", "", "down", 2,
        "Share of the noise power at other frequencies than the real PET's: 0 is its grain, 1 has "
        "nothing of it.",
    ),
    Metric(
        "noise_ratio", "Noise", "", "one", 2,
        "Standard deviation of the noise over the real PET's; 1 is as noisy.",
    ),
    Metric(
        "clipped", "Clipped", "", "down", 5,
        "Share of the real PET's voxels outside the SUV window, unseen by image metrics.",
    ),
)  # fmt: skip

METRICS: Mapping[str, Metric] = {metric.key: metric for metric in _METRICS}
"""By key, in the order in which tables show them."""


@dataclass(frozen=True)
class Column:
    """A metric in a region, as a table shows it.

    Attributes:
        region: Where it is measured.
        metric: What is measured.
        heading: What stands above it.
        digits: Decimals.
    """

    region: str
    metric: Metric
    heading: str
    digits: int

    @property
    def key(self) -> str:
        """The metric's name in the files."""
        return self.metric.key

    @property
    def at(self) -> Place:
        """Its place in an evaluation."""
        return self.region, self.metric.key

    @classmethod
    def of(
        cls, region: str, key: str, *, heading: str | None = None, digits: int | None = None
    ) -> "Column":
        """Make a column of a metric that is known.

        Args:
            region: Where it is measured.
            key: The metric's.
            heading: Where it is another than region and metric.
            digits: Where they are others than the metric's.

        Returns:
            The column.

        Raises:
            KeyError: The metric is not known.

        Example:
            >>> Column.of("body", "psnr").heading
            'body PSNR dB'
        """
        metric = METRICS[key]
        own = metric.heading if region == "whole" else f"{region} {metric.heading}"
        return cls(region, metric, heading or own, metric.digits if digits is None else digits)


PAPER = (
    Column.of("whole", "ssim", digits=4),
    Column.of("whole", "psnr", digits=2),
    Column.of("whole", "mae"),
)
"""The paper's metrics, as its Table 4 and Figures 2 to 4 have them; of PSNR the paper prints two
decimals more, which stand in the CSV."""

REGIONS = {
    "whole": "Whole slice",
    "body": "Inside the body",
    "lungs": "Inside the lungs",
    "mediastinum": "Inside the mediastinum",
    "lesions": "Inside lesions",
}

TRIVIAL = {
    "zero": "all-zero",
    "train-mean": "train-mean",
    "body-constant": "body-constant",
}
"""Images made without looking at the CT's content."""

BLURRED_TRUTH = "blurred-truth"
"""The real PET behind a Gaussian. It knows the truth, so no model is measured by beating it."""

ARTEFACTS = ("lattice", "lattice_strength", "blur_mm", "detail_mm", "noise_texture", "noise_ratio")
"""What pixel metrics do not see: a panel of their own."""

TRIVIAL_MEANING = {
    "zero": "no uptake anywhere",
    "train-mean": "the mean PET of the training slices",
    "body-constant": "one SUV everywhere inside the body",
    BLURRED_TRUTH: "the real PET behind 8 mm; no rival",
}


def metric_of(name: str) -> Metric:
    """What is known of a metric; an unknown one is shown under its own name.

    Args:
        name: As a file spells it.

    Returns:
        Its entry in the catalogue.
    """
    return METRICS.get(name) or Metric(name, name, "", "up", 3, "Not described here.")


def metric_order(key: str) -> tuple[int, str]:
    """Where a metric stands among others.

    Args:
        key: Of a `Metric`.

    Returns:
        A sorting key: the catalogue's order, unknown ones after it.
    """
    keys = list(METRICS)
    return (keys.index(key) if key in METRICS else len(keys), key)


def is_known(key: str) -> bool:
    """Whether the better direction of a metric is known.

    Args:
        key: Of a `Metric`.

    Returns:
        True where the catalogue describes it.
    """
    return key in METRICS


def region_label(key: str) -> str:
    """A region's name on the page.

    Args:
        key: As a file spells it.

    Returns:
        Its label.
    """
    return REGIONS.get(key, key)


def region_order(key: str) -> tuple[int, str]:
    """Where a region stands among others.

    Args:
        key: As a file spells it.

    Returns:
        A sorting key: from the whole slice inwards, unknown ones last.
    """
    keys = list(REGIONS)
    return (keys.index(key) if key in REGIONS else len(keys), key)
