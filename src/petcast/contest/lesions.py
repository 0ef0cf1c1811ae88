"""Lesions whose truth is known: what each entrant makes of them, with intervals over patients.

A lesion's values are averaged over an entrant's seeds first; the bootstrap then draws patients with
all of their lesions, since lesions of one patient resemble each other.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from petcast.contest.tables import markdown
from petcast.evaluate.detection import BINS_ML
from petcast.evaluate.hotspots import connected
from petcast.evaluate.statistics import DRAWS, SEED, expanded_tail, resampled_patients
from petcast.volume import Grid
from petcast.words import interval, number

REACH_MM = 10.0
"""A piece of a mask belongs to the lesion that lies this near, beyond the lesion's own radius."""

Key = tuple[str, int]
"""A patient, and the number of a lesion in the evaluation."""


@dataclass(frozen=True)
class Known:
    """What the truth says of a lesion.

    Attributes:
        kind: As it was planted.
        visible_on_ct: Whether CT shows it.
    """

    kind: str
    visible_on_ct: bool


@dataclass(frozen=True)
class Shown:
    """A lesion as an entrant shows it, mean over seeds.

    Attributes:
        patient: Whose it is.
        volume_ml: Of its mask.
        hot: Whether the real PET shows it.
        visible_on_ct: Whether CT shows it.
        found: Share of the seeds that found it.
        suv_max: Predicted − real SUVmax.
        suv_mean: Predicted − real SUVmean.
    """

    patient: str
    volume_ml: float
    hot: bool
    visible_on_ct: bool
    found: float
    suv_max: float
    suv_mean: float


@dataclass(frozen=True)
class Mean:
    """A mean over lesions.

    Attributes:
        value: The mean.
        low: Lower end of its 95 % interval over patients; None with fewer than two.
        high: Upper end.
        lesions: How many.
        patients: How many have some.
    """

    value: float
    low: float | None
    high: float | None
    lesions: int
    patients: int


def name_pieces(
    mask: UInt8[np.ndarray, "z y x"], grid: Grid, truth: Sequence[Mapping[str, Any]]
) -> dict[int, Known]:
    """Find out which planted lesion each piece of a mask is.

    Args:
        mask: Not 0 in lesions.
        grid: Where its voxels lie.
        truth: Lesions with `pet_position_mm`, `diameter_mm`, `kind` and `visible_on_ct`.

    Returns:
        By the piece's number in an evaluation; pieces far from every planted lesion are left out.
    """
    labels, known = connected(np.asarray(mask) != 0), {}
    for piece in range(1, int(labels.max()) + 1):
        z, y, x = (float(axis.mean()) for axis in np.nonzero(labels == piece))
        middle = (grid.affine @ np.array([x, y, z, 1.0]))[:3]
        away = [
            float(np.linalg.norm(middle - np.array(one["pet_position_mm"])))
            - one["diameter_mm"] / 2
            for one in truth
        ]
        if away and min(away) < REACH_MM:
            nearest = truth[int(np.argmin(away))]
            known[piece] = Known(nearest["kind"], bool(nearest["visible_on_ct"]))
    return known


def shown_lesions(
    runs: Sequence[Sequence[Mapping[str, Any]]], known: Mapping[Key, Known]
) -> list[Shown]:
    """Average an entrant's seeds, lesion by lesion.

    Args:
        runs: Of each seed, rows of evaluation.json's `lesions` under the model's own name.
        known: What the truth says; lesions that it does not name are left out.

    Returns:
        A lesion each, by patient and number.
    """
    by_lesion: dict[Key, list[Mapping[str, Any]]] = {}
    for rows in runs:
        for row in rows:
            by_lesion.setdefault((row["patient"], row["lesion"]), []).append(row)
    return [_averaged(rows, known[key]) for key, rows in sorted(by_lesion.items()) if key in known]


def _averaged(rows: Sequence[Mapping[str, Any]], known: Known) -> Shown:
    def error(metric: str) -> float:
        return fmean(row[f"prediction_{metric}"] - row[f"truth_{metric}"] for row in rows)

    first = rows[0]
    return Shown(
        patient=first["patient"],
        volume_ml=first["volume_ml"],
        hot=first["hot"],
        visible_on_ct=known.visible_on_ct,
        found=fmean(bool(row["found"]) for row in rows),
        suv_max=error("suv_max"),
        suv_mean=error("suv_mean"),
    )


def mean_over(lesions: Iterable[Shown], value: Callable[[Shown], float]) -> Mean | None:
    """Average lesions, and draw patients for the interval.

    Args:
        lesions: Of any patients.
        value: Of a lesion.

    Returns:
        The mean over lesions; None of none.
    """
    groups: dict[str, list[float]] = {}
    for lesion in lesions:
        groups.setdefault(lesion.patient, []).append(value(lesion))
    if not groups:
        return None
    sums = np.array([sum(own) for own in groups.values()])
    counts = np.array([len(own) for own in groups.values()])
    low, high = _ends(sums, counts) or (None, None)
    return Mean(sums.sum() / counts.sum(), low, high, int(counts.sum()), len(counts))


def _ends(sums: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[float, float] | None:
    """Ends of the interval of a ratio of sums: a patient brings all of its lesions."""
    if len(counts) < 2:
        return None
    drawn = resampled_patients(len(counts), DRAWS, SEED)
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    tail = expanded_tail(len(counts))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


Choose = Callable[[Shown], bool]


def groups() -> Iterator[tuple[str, Choose]]:
    """The rows of the table.

    Yields:
        What a row is called, and which lesions belong to it.
    """
    yield "hot, CT shows it", lambda one: one.hot and one.visible_on_ct
    for low_ml, high_ml in BINS_ML[1:]:
        size = f"{low_ml:g} to {high_ml:g} mL" if high_ml else f"{low_ml:g} mL and more"
        yield f"– {size}", _sized(low_ml, high_ml)
    yield "hot, no sign in CT", lambda one: one.hot and not one.visible_on_ct
    yield "not hot, CT shows it", lambda one: not one.hot and one.visible_on_ct


def _sized(low_ml: float, high_ml: float | None) -> Choose:
    def within(one: Shown) -> bool:
        fits = low_ml <= one.volume_ml and (high_ml is None or one.volume_ml < high_ml)
        return fits and one.hot and one.visible_on_ct

    return within


def lesion_table(entrants: Mapping[str, Sequence[Shown]]) -> str:
    """Lay out what each entrant makes of the lesions.

    Args:
        entrants: By name, lesions as they show them.

    Returns:
        Markdown.
    """
    head = ["", "lesions", "of n, patients", "found %", "SUVmax error", "SUVmax error, size",
            "SUVmean error", "SUVmean error, size"]  # fmt: skip
    rows = []
    for name, lesions in entrants.items():
        for title, choose in groups():
            own = [lesion for lesion in lesions if choose(lesion)]
            rows.append([name, title, *_cells(own)])
    return f"{markdown(head, rows)}\n\n{_NOTE}"


def _cells(own: Sequence[Shown]) -> Iterator[str]:
    patients = len({lesion.patient for lesion in own})
    yield f"{len(own)}, {patients}"
    hot = [lesion for lesion in own if lesion.hot]
    yield _cell(mean_over(hot, lambda one: 100 * one.found), 0, signed=False)
    yield _cell(mean_over(own, lambda one: one.suv_max), 2, signed=True)
    yield _cell(mean_over(own, lambda one: abs(one.suv_max)), 2, signed=False)
    yield _cell(mean_over(own, lambda one: one.suv_mean), 2, signed=True)
    yield _cell(mean_over(own, lambda one: abs(one.suv_mean)), 2, signed=False)


def _cell(mean: Mean | None, digits: int, *, signed: bool) -> str:
    if mean is None:
        return ""
    ends = interval(mean.low, mean.high, digits, signed=signed)
    value = number(mean.value, digits, signed=signed)
    return f"{value} [{ends}]" if ends else value


_NOTE = (
    "Errors are predicted − real SUV inside the known mask, with their sign and without. A "
    "lesion's values are means over seeds; 95 % intervals draw test patients with all of their "
    "lesions. Found: at least half of the real contrast. No function of the CT can know a lesion "
    "without a sign in it: what is found there is chance, or uptake that lies around it anyway."
)
