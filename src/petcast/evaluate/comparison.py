"""Two models, or a model and a trivial image, on the same patients.

They are compared patient by patient: the mean of the differences with its bootstrap interval, and a
sign-flip test. Under the hypothesis that neither is better, each patient's difference could as well
have had the other sign; p is the share of all sign patterns whose mean is at least as far from 0.
With n patients p cannot fall below 2 / 2ⁿ: five or fewer can never show a difference at p < 0.05,
however clear it is. Over several comparisons p is corrected by Holm's step-down method.

How small a difference so many patients could have shown at all is that of the paired t-test: where
the differences scatter normally, the sign-flip test has very nearly its power.

References:
    Fisher, The Design of Experiments, 1935, section 21. Holm, A simple sequentially rejective
    multiple test procedure, Scand. J. Stat. 6(2), 1979. Cohen, Statistical Power Analysis for the
    Behavioral Sciences, 1988, chapter 2.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from petcast.catalogue import BLURRED_TRUTH, METRICS, Place
from petcast.evaluate.records import Comparison
from petcast.evaluate.result import Finding, PatientRow
from petcast.evaluate.statistics import FEW_PATIENTS, LEVEL, bootstrap_interval

EXACT_UP_TO = 14
"""Patients up to which every sign pattern is tried; above, so many at random."""

RANDOM_PATTERNS = 20_000

ROUNDING = 1e-9
"""Means closer than this, relative to the largest difference, count as equal."""

FEWEST = 6
"""So many patients are the fewest whose p can fall below 0.05: 2 / 2ⁿ."""

POWER = 0.8
"""How surely a difference is to be found that is called detectable."""

COMPARED: tuple[Place, ...] = (
    *(("whole", key) for key in ("ssim", "psnr", "mae", "lpips")),
    *(("body", key) for key in ("ssim", "psnr")),
    *((region, "suv_mae") for region in ("body", "lungs", "mediastinum", "lesions")),
)
"""What is compared: metrics of which more is better, or less."""

TOLD = ("body", "suv_mae")
"""What the note about power speaks of."""


@dataclass(frozen=True)
class Paired:
    """One model minus another.

    Attributes:
        value: Mean over patients of the differences.
        low: Lower end of its 95 % interval, None with fewer than two patients.
        high: Upper end.
        p: Of the sign-flip test, two-sided; None with fewer than two patients.
        n: Patients.
    """

    value: float
    low: float | None
    high: float | None
    p: float | None
    n: int


def compare(mine: Mapping[str, float], theirs: Mapping[str, float], seed: int = 0) -> Paired | None:
    """Compare two models on the patients that both were measured on.

    Args:
        mine: A value a patient.
        theirs: The other's.
        seed: Of the bootstrap, and of random sign patterns.

    Returns:
        Mine minus theirs; None without a common patient.

    Example:
        >>> compare({"a": 31.0, "b": 33.0}, {"a": 30.0, "b": 32.5}).value
        0.75
    """
    differences = _differences(mine, theirs)
    if not differences.size:
        return None
    low, high = bootstrap_interval(differences, seed=seed) or (None, None)
    p = sign_flip_p(differences, seed=seed)
    return Paired(float(differences.mean()), low, high, p, differences.size)


def sign_flip_p(
    differences: Sequence[float] | NDArray[np.float64], *, seed: int = 0
) -> float | None:
    """Test whether paired differences lean to one side.

    Args:
        differences: One of each patient.
        seed: Of the random patterns, where there are too many patients to try all.

    Returns:
        Two-sided p; None with fewer than two patients.

    Example:
        >>> sign_flip_p([1.0, 2.0, 3.0])
        0.25
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.size < 2:
        return None
    signs, observed_too = _patterns(values.size, seed)
    slack = ROUNDING * float(np.abs(values).max())
    means = np.abs((signs * values).mean(axis=1))
    as_far = int((means >= abs(values.mean()) - slack).sum())
    return (as_far + observed_too) / (len(signs) + observed_too)


def least_p(patients: int) -> float:
    """Say how small p can become at all.

    Args:
        patients: How many.

    Returns:
        2 / 2ⁿ.

    Example:
        >>> least_p(5)
        0.0625
    """
    return 2.0 / 2.0**patients


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Correct p for having tried several comparisons.

    Args:
        ps: One of each comparison; None where there is none.

    Returns:
        Corrected, in the same order.

    Example:
        >>> holm([0.01, None, 0.04])
        [0.02, None, 0.04]
    """
    order = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    corrected: list[float | None] = [None] * len(ps)
    largest = 0.0
    for rank, (p, place) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        corrected[place] = largest
    return corrected


def least_difference(differences: Sequence[float] | NDArray[np.float64]) -> float | None:
    """Say how small a mean difference so many patients could show, given how they scatter.

    It would be found with the probability `POWER`, at p < 0.05, two-sided.

    Args:
        differences: One of each patient.

    Returns:
        In the metric's unit; None with fewer than two patients, or where they do not scatter.

    Example:
        >>> round(least_difference([0.0, 1.0] * 17), 2)  # 34 patients, a scatter of 0.51
        0.25
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.size < 2 or np.ptp(values) == 0:
        return None
    # Here, for they take time to load; scipy.stats would take most of a second.
    from scipy.optimize import brentq
    from scipy.special import nctdtr, stdtrit

    free = values.size - 1
    limit = float(stdtrit(free, (1 + LEVEL) / 2))
    shift = brentq(lambda ncp: 1 - POWER - nctdtr(free, ncp, limit), 0.0, 10 * limit + 10)
    return float(shift * values.std(ddof=1) / math.sqrt(values.size))


def compare_rows(patients: Iterable[PatientRow], model: str, *, seed: int = 0) -> list[Comparison]:
    """Compare a model with every row that knows no truth: its earlier stages, trivial images.

    Args:
        patients: A value a patient, of all names.
        model: The one that is compared.
        seed: Of bootstrap and random sign patterns.

    Returns:
        A comparison for each of `COMPARED` and each other name; p corrected over the names that
        stand against the model in one region and metric.
    """
    values: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for row in patients:
        if (row.region, row.metric) in COMPARED and row.name != BLURRED_TRUTH:
            names = values.setdefault((row.region, row.metric), {})
            names.setdefault(row.name, {})[row.patient] = row.value
    found = []
    for region, metric in COMPARED:
        names = values.get((region, metric), {})
        mine = names.pop(model, {})
        pairs = {name: compare(mine, theirs, seed) for name, theirs in names.items()}
        measured = {name: pair for name, pair in pairs.items() if pair is not None}
        corrected = holm([pair.p for pair in measured.values()])
        for (name, pair), p_holm in zip(measured.items(), corrected, strict=True):
            least = least_difference(_differences(mine, names[name]))
            found.append(_row(model, name, (region, metric), pair, p_holm, least))
    return found


def describe_power(comparisons: Sequence[Comparison]) -> list[Finding]:
    """Say in plain words what so few patients could have shown at all.

    Args:
        comparisons: Of one model with its references.

    Returns:
        A warning where there are two patients to nine; of all references, the one that scatters
        most against the model speaks.
    """
    told = [
        row for row in comparisons
        if (row.region, row.metric) == TOLD and row.least_difference is not None
    ]  # fmt: skip
    if not told or told[0].n >= FEW_PATIENTS:
        return []
    hardest = max(told, key=lambda row: row.least_difference or 0.0)
    if least_p(hardest.n) > 1 - LEVEL:
        detail = (
            f"With {hardest.n} patients no difference can be told from chance, however clear it "
            f"is: the sign-flip test cannot fall below p = {least_p(hardest.n):.2g}. It takes "
            f"{FEWEST} patients at least."
        )
    else:
        detail = (
            f"With {hardest.n} patients whose differences scatter as these do, {hardest.model} "
            f"against {hardest.reference} would have to differ by {hardest.least_difference:.2g} "
            "SUV in its mean error inside the body to be told from chance four times out of five; "
            "smaller differences are easily missed."
        )
    return [Finding("LOW-POWER", detail)]


def _differences(mine: Mapping[str, float], theirs: Mapping[str, float]) -> NDArray[np.float64]:
    """Of the patients that both have, in the order of their names."""
    common = sorted(set(mine) & set(theirs))
    return np.array([mine[patient] - theirs[patient] for patient in common], dtype=np.float64)


def _row(
    model: str,
    reference: str,
    at: Place,
    pair: Paired,
    p_holm: float | None,
    least: float | None,
) -> Comparison:
    ends = (pair.low, pair.high)
    verdict = "undecided"
    if p_holm is not None and p_holm < 1 - LEVEL:
        verdict = "better" if METRICS[at[1]].sign * pair.value > 0 else "worse"
    return Comparison(
        model, reference, *at, pair.value, *ends, pair.p, p_holm, pair.n, least, verdict
    )


@lru_cache(maxsize=2)
def _patterns(n: int, seed: int) -> tuple[NDArray[np.float64], int]:
    """Sign patterns, and 1 where the observed one must be added to random ones."""
    if n <= EXACT_UP_TO:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return (1 - 2 * bits).astype(np.float64), 0
    generator = np.random.default_rng(seed)
    bits = generator.integers(0, 2, size=(RANDOM_PATTERNS, n))
    return (1 - 2 * bits).astype(np.float64), 1
