"""What a metric, a region or a trivial image is called, and how its numbers are written."""

from dataclasses import dataclass
from typing import Literal

from petcast import words

MISSING = "n/a"


@dataclass(frozen=True)
class Metric:
    """How a metric is written.

    Attributes:
        key: Its name in the files.
        label: Its name on the page.
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

    def text(self, value: float | None) -> str:
        """A value as it stands in tables.

        Args:
            value: In the metric's own unit.

        Returns:
            The number without its unit.

        Example:
            >>> metric_of("psnr").text(31.26)
            '31.3'
        """
        return number(value, self.digits)

    def with_unit(self, value: float | None) -> str:
        """A value as it stands in sentences.

        Args:
            value: In the metric's own unit.

        Returns:
            The number and its unit.
        """
        text = self.text(value)
        return f"{text} {self.unit}" if self.unit == "dB" and value is not None else text

    def penalty(self, value: float) -> float:
        """A number that is smaller the better the value is.

        Args:
            value: In the metric's own unit.

        Returns:
            What to sort by.
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
        "lattice_strength", "Strength", "% of uptake", "down", 4,
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

_BY_KEY = {metric.key: metric for metric in _METRICS}

_REGIONS = {
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
"""The real PET behind a Gaussian: no rival, since it knows the truth."""

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
    return _BY_KEY.get(name) or Metric(name, name, "", "up", 3, "Not described here.")


def metric_order(key: str) -> tuple[int, str]:
    """Where a metric stands among others.

    Args:
        key: Of a `Metric`.

    Returns:
        A sorting key: the catalogue's order, unknown ones after it.
    """
    keys = list(_BY_KEY)
    return (keys.index(key) if key in _BY_KEY else len(keys), key)


def is_known(key: str) -> bool:
    """Whether the better direction of a metric is known.

    Args:
        key: Of a `Metric`.

    Returns:
        True where the catalogue describes it.
    """
    return key in _BY_KEY


def region_label(key: str) -> str:
    """A region's name on the page.

    Args:
        key: As a file spells it.

    Returns:
        Its label.
    """
    return _REGIONS.get(key, key)


def region_order(key: str) -> tuple[int, str]:
    """Where a region stands among others.

    Args:
        key: As a file spells it.

    Returns:
        A sorting key: from the whole slice inwards, unknown ones last.
    """
    keys = list(_REGIONS)
    return (keys.index(key) if key in _REGIONS else len(keys), key)


def number(value: float | None, digits: int, *, signed: bool = False) -> str:
    """A number as the page writes it.

    Args:
        value: Any number; None, NaN and infinity are not available.
        digits: Decimals.
        signed: Whether a plus sign stands before what is not negative.

    Returns:
        Its text, or "n/a".
    """
    return words.number(value, digits, signed=signed) or MISSING


def interval(low: float | None, high: float | None, digits: int) -> str:
    """An interval's two ends.

    Args:
        low: The lower end.
        high: The upper end.
        digits: Decimals.

    Returns:
        Its text, or "n/a" where an end is missing.
    """
    return words.interval(low, high, digits) or MISSING
