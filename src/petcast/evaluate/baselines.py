"""Images that know nothing of the CT's content: what any model must beat."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Shaped

from petcast.dataset import require_finite
from petcast.errors import DataError
from petcast.evaluate.threads import in_threads
from petcast.volume import FWHM_PER_SIGMA

if TYPE_CHECKING:
    from petcast.pairs import PairedStudy

ZERO = "zero"
BODY_CONSTANT = "body-constant"
TRAIN_MEAN = "train-mean"
TRIVIAL = (ZERO, BODY_CONSTANT, TRAIN_MEAN)
"""Rows that know nothing of the CT."""

BLURRED_TRUTH_FWHM_MM = 8.0
"""Of the Gaussian that takes the detail off: about what a scanner of 6 mm shows of one of 10 mm."""

CUT_OFF = 3
"""That Gaussian ends at so many σ."""

SLICES_AT_ONCE = 32
"""Are blurred at once, along z with those that the Gaussian reaches to either side."""


@dataclass(frozen=True)
class Baselines:
    """What the trivial images are made of.

    Attributes:
        body_suv: The SUV that "body-constant" has everywhere inside the body.
        train_mean: The mean slice of the training patients in SUV, or None without any.
    """

    body_suv: float
    train_mean: Float[np.ndarray, "y x"] | None = None

    def images(self, body: Bool[np.ndarray, "z y x"]) -> dict[str, Float[np.ndarray, "z y x"]]:
        """Make the trivial images of a study.

        Args:
            body: True inside the body.

        Returns:
            SUV by name.
        """
        images = {
            ZERO: np.broadcast_to(np.float32(0), body.shape),  # which takes no memory
            BODY_CONSTANT: np.where(body, np.float32(self.body_suv), np.float32(0)),
        }
        if self.train_mean is not None:
            images[TRAIN_MEAN] = np.broadcast_to(self.train_mean, body.shape)
        return images


def baselines_of(studies: "Sequence[PairedStudy]") -> Baselines | None:
    """Learn the trivial images from the training patients.

    Args:
        studies: Of the training part.

    Returns:
        The mean over patients of their mean body SUV, and the mean of all slices; None without
        any slice or body.

    Raises:
        FormatError: A stored PET holds NaN or infinite values.
    """
    sums: dict[str, list[float]] = {}
    total, slices = np.zeros(()), 0
    for study in studies:
        suv = np.asarray(study.pet)
        inside = suv[np.asarray(study.regions) > 0]
        patient = sums.setdefault(study.patient, [0.0, 0.0])
        patient[0] += float(inside.sum(dtype=np.float64))
        patient[1] += inside.size
        total = total + suv.sum(axis=0, dtype=np.float64)
        slices += len(suv)
    if not np.isfinite(total).all():
        require_finite(studies)
    means = [suv / voxels for suv, voxels in sums.values() if voxels]
    if not means:
        return None
    return Baselines(float(np.mean(means)), (total / slices).astype(np.float32))


def baselines_of_truth(
    truth: Shaped[np.ndarray, "z y x"], body: Bool[np.ndarray, "z y x"], whose: str
) -> Baselines:
    """Take the body's mean SUV from the truth itself, where there are no training patients.

    Args:
        truth: In SUV.
        body: True inside the body.
        whose: For the error message.

    Returns:
        A body constant that knows more than any model could: the hardest of its kind.

    Raises:
        DataError: No body was found, or no uptake in it: every number would be of nothing.
    """
    if not body.any():
        raise DataError(f"{whose}: no body was found in the compared slices; is the PET in SUV?")
    inside = truth[body]
    if not inside.max() > 0:
        raise DataError(f"{whose}: the real PET shows no uptake inside the body; is it in SUV?")
    return Baselines(float(inside.mean(dtype=np.float64)))


def blurred_truth(
    truth: Shaped[np.ndarray, "z y x"], spacing_mm: tuple[float, float, float]
) -> Float[np.ndarray, "z y x"]:
    """Take the detail off the real PET: what a model would score that knows all else.

    Args:
        truth: In SUV.
        spacing_mm: Of the voxels along z, y and x.

    Returns:
        The truth behind a Gaussian of 8 mm FWHM in three axes.
    """
    from scipy.ndimage import gaussian_filter, gaussian_filter1d

    suv = np.asarray(truth, np.float32)
    z, y, x = (BLURRED_TRUTH_FWHM_MM / FWHM_PER_SIGMA / step for step in spacing_mm)
    reach, last = int(CUT_OFF * z + 0.5), len(suv)  # as SciPy rounds
    blurred = np.empty(suv.shape, np.float32)

    def blur(start: int) -> None:
        stop = min(start + SLICES_AT_ONCE, last)
        low = max(start - reach, 0)
        around = suv[low : min(stop + reach, last)]
        along_z = gaussian_filter1d(around, z, axis=0, mode="nearest", truncate=CUT_OFF)
        here = along_z[start - low : stop - low]
        gaussian_filter(
            here, (0, y, x), output=blurred[start:stop], mode="nearest", truncate=CUT_OFF
        )

    in_threads(blur, range(0, last, SLICES_AT_ONCE))
    return blurred
