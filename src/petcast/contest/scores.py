"""From records to numbers: means over seeds, and differences paired by seed and pairs.

The spread here is that of seeds (and of the directions that are trained), not that of patients: it
says whether another start would have given another order, not what to expect of other patients.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from petcast.contest.course import REAL_LATTICE
from petcast.study.scores import Metric

METRICS = (
    Metric("ssim", "whole", "SSIM", 3, 1),
    Metric("psnr", "whole", "PSNR dB", 2, 1),
    Metric("psnr", "body", "body PSNR dB", 2, 1),
    Metric("suv_mae", "body", "body SUV error", 3, -1),
    Metric("suv_bias", "body", "body SUV bias", 3, 0),
    Metric("lattice_excess", "body", "lattice excess dB", 1, 0),
    Metric("lattice_permille", "body", "lattice ‰ of uptake", 2, -1),
    Metric("blur_mm", "body", "blur mm", 2, 0),
    Metric("detail_mm", "body", "detail mm", 2, -1),
)
"""What the tables show; the real PET has bias, lattice excess, blur and lost detail 0, and its own
texture where a lattice would be."""

BODY_PSNR = METRICS[2]
BODY_ERROR = METRICS[3]

LEVEL = 0.95

Key = tuple[str, int]
"""Pairs and a seed."""


@dataclass(frozen=True)
class Score:
    """What one stage of one run came to.

    Attributes:
        entrant: Whose.
        pairs: On which.
        seed: Of the run.
        stage: Counted from 1.
        last: Whether it is the run's output.
        values: By region and metric as in "body/psnr".
    """

    entrant: str
    pairs: str
    seed: int
    stage: int
    last: bool
    values: Mapping[str, float]

    def of(self, metric: Metric) -> float | None:
        """Look a metric up.

        Args:
            metric: Which.

        Returns:
            Its value; None where it was not measured.
        """
        return self.values.get(key_of(metric))


@dataclass(frozen=True)
class Spread:
    """A mean over runs.

    Attributes:
        value: The mean.
        sd: Standard deviation; None of one run.
        n: Runs.
    """

    value: float
    sd: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """One entrant minus another on the same pairs and seeds.

    Attributes:
        value: The mean.
        low: Lower end of its 95 % interval; None with fewer than two pairs of runs.
        high: Upper end.
        n: Pairs of runs.
    """

    value: float
    low: float | None
    high: float | None
    n: int

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and self.low * self.high > 0


def key_of(metric: Metric) -> str:
    """Where a record holds a metric.

    Args:
        metric: Which.

    Returns:
        As in "body/psnr".
    """
    return f"{metric.region}/{metric.key}"


def scores_of(records: Iterable[Mapping[str, Any]]) -> list[Score]:
    """Lay records out.

    Args:
        records: Of finished runs; diverged ones have no scores.

    Returns:
        A score a stage and run.
    """
    return [
        Score(record["entrant"], record["pairs"], record["seed"], stage["stage"], stage["last"],
              with_excess(stage["metrics"], record[REAL_LATTICE]))
        for record in records
        for stage in record.get("stages", ())
    ]  # fmt: skip


def with_excess(metrics: Mapping[str, float], real: Mapping[str, float]) -> dict[str, float]:
    """Set the lattice against the real PET's.

    Args:
        metrics: By region and metric.
        real: What `real_lattice` gave.

    Returns:
        The metrics, with "body/lattice_excess" in dB and "body/lattice_permille" of the uptake
        where there is a lattice index.
    """
    added = {}
    if "body/lattice" in metrics:
        added["body/lattice_excess"] = metrics["body/lattice"] - real["contrast_db"]
        added["body/lattice_permille"] = 1000 * metrics["body/lattice_strength"]
    return {**metrics, **added}


def of_real(real: Mapping[str, float]) -> dict[str, float]:
    """What the real PET would score against itself, where that is finite.

    Args:
        real: What `real_lattice` gave.

    Returns:
        By region and metric.
    """
    own = {"body/lattice": real["contrast_db"], "body/lattice_strength": real["strength"]}
    return with_excess({**own, "whole/ssim": 1.0, "body/suv_mae": 0.0, "body/suv_bias": 0.0,
                        "body/blur_mm": 0.0, "body/detail_mm": 0.0}, real)  # fmt: skip


def final(scores: Iterable[Score], entrant: str) -> dict[Key, Score]:
    """An entrant's outputs.

    Args:
        scores: Of all.
        entrant: Whose are wanted.

    Returns:
        By pairs and seed.
    """
    return {(s.pairs, s.seed): s for s in scores if s.entrant == entrant and s.last}


def spread(values: Sequence[float]) -> Spread | None:
    """Average over runs.

    Args:
        values: One a run.

    Returns:
        Mean and standard deviation; None of no runs.

    Example:
        >>> spread([1.0, 2.0, 3.0])
        Spread(value=2.0, sd=1.0, n=3)
    """
    if not values:
        return None
    return Spread(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


def student_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Give the 95 % interval of a mean by Student's t.

    Args:
        values: Taken as independent and normal.

    Returns:
        Lower and upper end; None of fewer than two.

    Reference:
        Student, The probable error of a mean, Biometrika 6(1), 1908.

    Example:
        >>> [round(end, 3) for end in student_interval([1.0, 2.0, 3.0])]
        [-0.484, 4.484]
    """
    from scipy.special import stdtrit

    if len(values) < 2:
        return None
    reach = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * stdev(values) / len(values) ** 0.5
    return fmean(values) - reach, fmean(values) + reach


def difference(
    mine: Mapping[Key, Score], theirs: Mapping[Key, Score], metric: Metric
) -> Difference | None:
    """Compare two entrants on the pairs and seeds that both were trained on.

    Args:
        mine: An entrant's outputs.
        theirs: The other's.
        metric: Which; of those whose best is 0, distances from 0 are compared.

    Returns:
        Mine minus theirs; None where they share nothing.
    """
    return _interval_of([a - b for a, b in _matched(mine, theirs, metric)])


def ratio(
    mine: Mapping[Key, Score], theirs: Mapping[Key, Score], metric: Metric
) -> Difference | None:
    """Divide two entrants' values, both above 0.

    Args:
        mine: An entrant's outputs.
        theirs: The other's.
        metric: Which.

    Returns:
        The geometric mean of the ratios and its interval, taken on logarithms; None where they
        share nothing.
    """
    found = _interval_of([math.log(a / b) for a, b in _matched(mine, theirs, metric)])
    if found is None:
        return None
    low, high = (None if end is None else math.exp(end) for end in (found.low, found.high))
    return Difference(math.exp(found.value), low, high, found.n)


def _matched(
    mine: Mapping[Key, Score], theirs: Mapping[Key, Score], metric: Metric
) -> Iterator[tuple[float, float]]:
    for key in sorted(mine.keys() & theirs.keys()):
        one, other = mine[key].of(metric), theirs[key].of(metric)
        if one is not None and other is not None:
            yield judged(one, metric), judged(other, metric)


def _interval_of(values: Sequence[float]) -> Difference | None:
    if not values:
        return None
    low, high = student_interval(values) or (None, None)
    return Difference(fmean(values), low, high, len(values))


def judged(value: float, metric: Metric) -> float:
    """The value that is compared.

    Args:
        value: Of a metric.
        metric: Which.

    Returns:
        The value; its distance from 0 where the real PET has 0.
    """
    return value if metric.sign else abs(value)


def best_of(names: Sequence[str], scores: Sequence[Score], metric: Metric) -> str | None:
    """Find the best entrant by its mean over runs.

    Args:
        names: Who is asked.
        scores: Of all.
        metric: By which.

    Returns:
        Its name; None where nobody was measured.
    """
    means = {}
    for name in names:
        values = [v for s in final(scores, name).values() if (v := s.of(metric)) is not None]
        if values:
            means[name] = fmean(judged(value, metric) for value in values)
    pick = max if metric.sign > 0 else min
    return pick(means, key=lambda name: means[name]) if means else None
