"""Mistakes of whoever saved a prediction, not of the model: named, not averaged in.

Each is found by a statistic with a threshold that honest predictions, however bad, stay far from:
blurred, biased by half, noisy, weak or constant ones are measured, not accused. docs/evaluate.md
shows which mistake makes which warning fire, on phantoms and on real PET.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy.typing import NDArray

from petcast.evaluate.findings import Mistake
from petcast.evaluate.orientation import comparable, find_place, find_shift, find_swap, find_turn

BQML_RATIO = 100.0
"""Of the body's mean to the real PET's: 370 MBq in 70 kg are some 3000 Bq/mL to an SUV of 1."""

SCALE_RATIO = 5.0
"""0…255 for windows up to SUV 51; no honest model is five times too hot on average."""

GREY_LEVELS = (30.0, 255.5)
"""Between these lies the largest of 256 grey levels."""

UNIT_RATIO = 0.35
"""0…1 for windows from SUV 3 upwards."""

FOLLOWS = 0.5
"""Correlation inside the body from which a prediction that is far too low, or too high, shows the
real uptake on another scale, rather than little uptake, or what a failed training makes up."""

OFFSET_SUV = 0.25
"""Air in a PET is 0; three quarters of it are never on one side of this by noise or blur."""

LEAST_AIR, AIR_STEP = 0.3, 7
"""The least share of voxels outside the body, and which of them are looked at."""

HU_AIR, HU_SHARE = (-3100.0, -500.0), 0.1
"""Air and lungs in HU (scanners pad with −3024 at the lowest), and the least share of them."""

SAME = 1e-3
"""Maxima that differ by less, as a share, are the same."""

MOST_SLICES = 0.9
"""The share of slices that have to have the same maximum: empty ones have none."""

MOST_CUT, CUT_SPREAD = 0.05, 0.3
"""Slices that are cut off each at its own percentile have the same number of voxels there, and few:
the share of all at most, and their standard deviation over their mean. Of a whole scan that is cut
off at one SUV the latter is 0.8 and more; of a few slices it may be less."""

SLICE_JUMP = 0.15
"""Median change of the scale from a slice to the next, as a logarithm. Predictions of 2-D networks
change by some percent."""

PERCENTILES = (98.0, 99.0, 99.5, 99.9)
"""Of a whole slice, by which slices are often divided."""

STEADIER = 0.5
"""Times what is left of the prediction's medians where each slice is multiplied by its percentile:
a constant or weak prediction's scale falls, too, as uptake rises, but its medians are steady."""

LEAST_SLICES = 8
"""With fewer, nothing is said about how slices are scaled against each other."""

LEAST_VOXELS = 100
"""Of the body, for a slice's scale to be known."""

SLICE_VOXELS, VOLUME_VOXELS = 2**12, 2**18
"""So many of a slice, and of a volume, are enough for its medians."""

LEAST_CASES = 4
"""With fewer, nothing is said about how volumes are scaled against each other."""

SLOPE = (-1.25, -0.75)
"""Of log scale against log maximum of the truth: −1 where each image was divided by its own."""

INVERSE = -0.9
"""The correlation of the two has to be stronger than this."""

SPREAD = 0.15
"""Standard deviation of the log maxima without which nothing follows from them."""


@dataclass(frozen=True)
class Subject:
    """A prediction beside the truth, as the detectors see them.

    Attributes:
        truth: In SUV.
        prediction: On the truth's grid.
        body: True inside the body.
        covered: Where the prediction covers the truth's grid.
        stored: The prediction as its file has it, before any resampling.
    """

    truth: Shaped[np.ndarray, "z y x"]
    prediction: Shaped[np.ndarray, "z y x"]
    body: Bool[np.ndarray, "z y x"]
    covered: Bool[np.ndarray, "z y x"]
    stored: Shaped[np.ndarray, "a b c"]


@dataclass(frozen=True)
class Facts:
    """What was found about one case.

    Attributes:
        mistakes: With a figure in words each.
        log_scale: Logarithm of prediction over truth, of the medians inside the body; NaN where
            there is none.
        log_maximum: Logarithm of the truth's largest value.
    """

    mistakes: dict[Mistake, str] = field(default_factory=dict)
    log_scale: float = float("nan")
    log_maximum: float = float("nan")


def examine(subject: Subject) -> Facts:
    """Look for mistakes in one case.

    Args:
        subject: Prediction and truth; the prediction neither zero nor constant.

    Returns:
        At most one mistake of its values, and at most one of its geometry.
    """
    if elsewhere := misplaced(subject):
        return Facts(elsewhere)
    body = subject.body & subject.covered
    if body.sum() < LEAST_VOXELS:
        return Facts()
    air = _air(subject.prediction, subject)
    with ThreadPoolExecutor(1) as beside:
        scaling = beside.submit(_slice_scales, subject, body)
        geometry = _geometry(subject, body, air or 0.0)
    # In a turned prediction the truth's body and slices say nothing about scales.
    scaled = {} if geometry else scaling.result()
    values = _values(subject, body, air or 0.0, scaled)
    highest = float(subject.truth.max())
    log_maximum = math.log(highest) if highest > 0 else math.nan
    return Facts(values | geometry, _scale(subject, body), log_maximum)


def misplaced(subject: Subject) -> dict[Mistake, str]:
    """Look whether a prediction that was resampled fits better as its file has it.

    Args:
        subject: Prediction and truth; the prediction may be anything.

    Returns:
        Exchanged axes, where the stored shape is the truth's in another order, or a lost place,
        where it is the truth's; nothing for a prediction that lay on the truth's grid.
    """
    shape, stored = subject.truth.shape, subject.stored
    if stored is subject.prediction or sorted(stored.shape) != sorted(shape):
        return {}
    images = [
        np.clip(image / max(float(np.quantile(image, 0.995)), 1e-9), 0, 1).astype(np.float32)
        for image in (stored, subject.prediction, subject.truth)
    ]
    if stored.shape == shape:
        agreement = find_place(*images)
        return {Mistake.LOST_PLACE: f"correlation {agreement:.2f}"} if agreement else {}
    if found := find_swap(*images):
        return {Mistake.SWAPPED_AXES: f"{found[0]}, correlation {found[1]:.2f}"}
    return {}


def rescaled_volumes(facts: Sequence[Facts]) -> bool:
    """Say whether each volume was divided by its own maximum, seen over all cases.

    Args:
        facts: One of each case.

    Returns:
        True where the scale falls as the truth's maximum rises, one to one.
    """
    scales = np.array([one.log_scale for one in facts])
    maxima = np.array([one.log_maximum for one in facts])
    known = np.isfinite(scales)
    return bool(known.sum() >= LEAST_CASES) and _inverse(scales[known], maxima[known])


def _values(
    subject: Subject, body: Bool[np.ndarray, "z y x"], air: float, scaled: dict[Mistake, str]
) -> dict[Mistake, str]:
    """The first mistake of the values that fits, the one between slices among them."""
    inside, real = subject.prediction[body], subject.truth[body]
    mean, real_mean = float(inside.mean(dtype=np.float64)), float(real.mean(dtype=np.float64))
    ratio = mean / real_mean if real_mean > 0 else 1.0
    if _is_hu(subject.stored, mean):
        return {Mistake.HU: f"mean {mean:.0f} inside the body"}
    if rescaled := _own_maxima(subject, body):
        return rescaled
    if ratio > BQML_RATIO:
        return {Mistake.BQML: f"{ratio:.0f} times the real PET"}
    if ratio > SCALE_RATIO and _is_grey(subject.stored):
        return {Mistake.GREY_LEVELS: f"{ratio:.0f} times the real PET"}
    if abs(air) > OFFSET_SUV:
        return {Mistake.OFFSET: f"{air:+.2f} in air"}
    if scaled:
        return scaled
    not_suv = _is_unit_range(subject.truth)  # and the prediction may well be
    if ratio > SCALE_RATIO and not not_suv and _follow(inside, real) > FOLLOWS:
        return {Mistake.BQML: f"{ratio:.0f} times the real PET"}
    if ratio < UNIT_RATIO and _is_unit_range(subject.stored) and _follow(inside, real) > FOLLOWS:
        own = _own_maximum(subject, body)
        kind = Mistake.RESCALED_VOLUMES if own else Mistake.UNIT_RANGE
        return {kind: f"{ratio:.3f} times the real PET"}
    return {}


def _geometry(subject: Subject, body: Bool[np.ndarray, "z y x"], air: float) -> dict[Mistake, str]:
    box = _box(subject.covered)
    means = [float(v[body].mean(dtype=np.float64)) for v in (subject.prediction, subject.truth)]
    if not (means[0] > air and means[1] > 0):
        return {}
    prediction = comparable(subject.prediction[box], means[0], air)
    truth = comparable(subject.truth[box], means[1], 0.0)
    if turned := find_turn(prediction, truth):
        turn, evidence = turned
        kind = Mistake.SWAPPED_AXES if turn.swaps else Mistake.FLIPPED
        return {kind: f"{turn}, evidence {evidence:.2f}"}
    if shifted := find_shift(prediction, truth):
        return {Mistake.SHIFTED_SLICES: f"by {shifted[0]:+.1f} slices"}
    return {}


def _own_maxima(subject: Subject, body: Bool[np.ndarray, "z y x"]) -> dict[Mistake, str]:
    """Slices whose largest value is one and the same, though the truth's is not."""
    maxima = subject.stored.max(axis=(1, 2)).astype(np.float64)
    top = float(maxima.max())
    if len(maxima) < LEAST_SLICES or (maxima >= top * (1 - SAME)).mean() < MOST_SLICES or top <= 0:
        return {}
    at_top = (subject.stored >= top * (1 - SAME)).sum(axis=(1, 2))
    reached = subject.truth.max(axis=(1, 2)) >= top * 0.98
    clipped = at_top.mean() > 2 and reached.mean() > 0.5
    if clipped and not _own_percentiles(subject, body, at_top):
        return {}  # by a window
    means = subject.stored.mean(axis=(1, 2), dtype=np.float64)
    if means.std() < 0.02 * means.mean():
        return {}  # one slice again and again, such as a mean image
    return {Mistake.RESCALED_SLICES: f"each has the maximum {top:.4g}"}


def _own_percentiles(
    subject: Subject, body: Bool[np.ndarray, "z y x"], at_top: Shaped[np.ndarray, " z"]
) -> bool:
    """Whether slices were cut off each at a percentile of its own, rather than all at one value."""
    if subject.stored.shape != subject.truth.shape:
        return False
    known = np.flatnonzero((at_top > 0) & (body.sum(axis=(1, 2)) >= LEAST_VOXELS)).tolist()
    share = at_top[known] / body[0].size
    if len(known) < LEAST_SLICES or share.mean() > MOST_CUT:
        return False
    if share.std() > CUT_SPREAD * share.mean():
        return False
    tops = np.array([np.quantile(subject.truth[z], 1 - share.mean()) for z in known])
    scales = np.array([_slice_scale(subject, body[z], z) for z in known])
    return _inverse(scales, np.log(np.maximum(tops, 1e-6)))


def _own_maximum(subject: Subject, body: Bool[np.ndarray, "z y x"]) -> bool:
    """Whether a volume from 0 to 1 was divided by its own maximum rather than by a window."""
    top = float(subject.stored.max())
    if abs(top - 1) > 1e-6 or (subject.stored >= top).sum() > 1:
        return False
    width = np.exp(-_scale(subject, body))
    by_window = abs(width - np.round(width)) < 0.005 * width and subject.truth.max() > 1.005 * width
    return not by_window


def _slice_scales(subject: Subject, body: Bool[np.ndarray, "z y x"]) -> dict[Mistake, str]:
    """Slices whose scale jumps, or falls as the truth's maximum rises."""
    known = [z for z, area in enumerate(body.sum(axis=(1, 2))) if area >= LEAST_VOXELS]
    if len(known) < LEAST_SLICES:
        return {}
    scales = np.array([_slice_scale(subject, body[z], z) for z in known])
    if not np.isfinite(scales).all():
        return {}
    jump = float(np.median(np.abs(np.diff(scales))))
    if jump > SLICE_JUMP:
        return {Mistake.RESCALED_SLICES: f"the scale jumps by {100 * np.expm1(jump):.0f} % a slice"}
    if _inverse(scales, np.log(np.maximum(subject.truth[known].max(axis=(1, 2)), 1e-6))):
        return {Mistake.RESCALED_SLICES: "the scale falls as the real maximum rises"}
    if share := _percentile_divided_by(subject, body, known, scales):
        said = f"the scale falls as the real {share:g}th percentile rises"
        return {Mistake.RESCALED_SLICES: said}
    return {}


def _percentile_divided_by(
    subject: Subject,
    body: Bool[np.ndarray, "z y x"],
    known: Sequence[int],
    scales: Float[np.ndarray, " n"],
) -> float | None:
    """The percentile of the real slices to which their scales are inverse, if there is one."""
    truth = subject.truth
    medians = np.array([np.median(truth[z][body[z]]) for z in known])
    predicted = scales + np.log(np.maximum(medians, 1e-6))
    tops = np.log([np.maximum(np.percentile(truth[z], PERCENTILES), 1e-6) for z in known])
    left = [
        (float((scales + top).std()), share)
        for share, top in zip(PERCENTILES, tops.T, strict=True)
        if _inverse(scales, top)
    ]
    return min(left)[1] if left and min(left)[0] < STEADIER * predicted.std() else None


def _slice_scale(subject: Subject, body: Bool[np.ndarray, "y x"], z: int) -> float:
    inside = _some(body, SLICE_VOXELS)
    return _log_ratio(*(v[z].ravel()[inside] for v in (subject.prediction, subject.truth)))


def _scale(subject: Subject, body: Bool[np.ndarray, "z y x"]) -> float:
    """Of the volume: logarithm of prediction over truth."""
    inside = _some(body, VOLUME_VOXELS)
    return _log_ratio(*(v.ravel()[inside] for v in (subject.prediction, subject.truth)))


def _some(body: Bool[np.ndarray, "..."], most: int) -> Shaped[np.ndarray, " n"]:
    """Places inside the body, evenly, at most so many."""
    inside = np.flatnonzero(body)
    return inside[:: len(inside) // most + 1]


def _inverse(scales: Float[np.ndarray, " n"], maxima: Float[np.ndarray, " n"]) -> bool:
    """Whether scales are one over maxima, both as logarithms."""
    if not np.isfinite(scales).all() or maxima.std() < SPREAD or scales.std() == 0:
        return False
    correlation = float(np.corrcoef(scales, maxima)[0, 1])
    slope = correlation * float(scales.std() / maxima.std())
    return correlation < INVERSE and SLOPE[0] < slope < SLOPE[1]


def _log_ratio(prediction: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    medians = float(np.median(prediction)), float(np.median(truth))
    return float(np.log(medians[0] / medians[1])) if min(medians) > 0 else float("nan")


def _air(image: Shaped[np.ndarray, "z y x"], subject: Subject) -> float | None:
    """What three quarters of the air exceed, or stay below; None where there is little air."""
    outside = subject.covered & ~subject.body
    if outside.sum() < LEAST_AIR * subject.covered.sum():
        return None
    low, high = np.quantile(image.ravel()[np.flatnonzero(outside)[::AIR_STEP]], [0.25, 0.75])
    return float(max(low, 0.0) + min(high, 0.0))


def _is_hu(stored: Shaped[np.ndarray, "a b c"], mean: float) -> bool:
    share = float(((stored > HU_AIR[0]) & (stored < HU_AIR[1])).mean())
    return share > HU_SHARE and mean < 300


def _is_grey(stored: Shaped[np.ndarray, "a b c"]) -> bool:
    return float(stored.min()) >= 0 and GREY_LEVELS[0] < float(stored.max()) <= GREY_LEVELS[1]


def _is_unit_range(stored: Shaped[np.ndarray, "a b c"]) -> bool:
    return float(stored.min()) > -0.1 and float(stored.max()) <= 1.05


def _follow(prediction: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Correlation, uptake cut off so that a bladder does not decide alone."""
    images = [np.minimum(v, 4 * v.mean()) for v in (prediction, truth)]
    if min(float(image.std()) for image in images) == 0:
        return 0.0
    return float(np.corrcoef(*images)[0, 1])


def _box(covered: Bool[np.ndarray, "z y x"]) -> tuple[slice, ...]:
    """The smallest box around what is covered."""
    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        places = np.flatnonzero(covered.any(axis=others))
        box.append(slice(int(places[0]), int(places[-1]) + 1))
    return tuple(box)
