"""From records to numbers: means over seeds, and differences paired by seed and pairs.

The spread of runs is that of seeds (and of the directions that are trained): it says whether
another start would have given another order. What to expect of other patients the spread of
patients says, each with the mean of the runs that were tested on it.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from petcast.catalogue import Column, Metric
from petcast.contest.course import REAL_LATTICE

LATTICE_EXCESS = Metric(
    "lattice_excess", "lattice excess", "dB", "zero", 1, "Lattice index minus the real PET's own."
)
LATTICE_PERMILLE = Metric(
    "lattice_permille", "lattice ‰ of uptake", "", "down", 2, "Its strength, in other numbers."
)

BODY_PSNR = Column.of("body", "psnr", digits=2)
BODY_ERROR = Column.of("body", "suv_mae")

COLUMNS = (
    Column.of("whole", "ssim"),
    Column.of("whole", "psnr", digits=2),
    BODY_PSNR,
    BODY_ERROR,
    Column.of("body", "suv_bias"),
    *(Column("body", one, one.heading, one.digits) for one in (LATTICE_EXCESS, LATTICE_PERMILLE)),
    Column.of("body", "blur_mm", heading="blur mm", digits=2),
    Column.of("body", "detail_mm", heading="detail mm", digits=2),
)
"""What the tables show; the real PET has bias, lattice excess, blur and lost detail 0, and its own
texture where a lattice would be."""

LEVEL = 0.95

FEWEST_PATIENTS = 3
"""Two give an interval of one degree of freedom, thirteen times as wide as their difference."""

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
        patients: The same for each test patient, where the record holds it.
    """

    entrant: str
    pairs: str
    seed: int
    stage: int
    last: bool
    values: Mapping[str, float]
    patients: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def of(self, column: Column) -> float | None:
        """Look a metric up.

        Args:
            column: Which.

        Returns:
            Its value; None where it was not measured.
        """
        return self.values.get(key_of(column))


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
        n: Pairs of runs, or patients.
    """

    value: float
    low: float | None
    high: float | None
    n: int

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and self.low * self.high > 0


def key_of(column: Column) -> str:
    """Where a record holds a metric.

    Args:
        column: Which.

    Returns:
        As in "body/psnr".
    """
    return f"{column.region}/{column.key}"


def scores_of(records: Iterable[Mapping[str, Any]]) -> list[Score]:
    """Lay records out.

    Args:
        records: Of finished runs; diverged ones have no scores.

    Returns:
        A score a stage and run.
    """
    return [
        Score(record["entrant"], record["pairs"], record["seed"], stage["stage"], stage["last"],
              with_excess(stage["metrics"], record[REAL_LATTICE]), stage.get("patients", {}))
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
    mine: Mapping[Key, Score], theirs: Mapping[Key, Score], column: Column
) -> Difference | None:
    """Compare two entrants on the pairs and seeds that both were trained on.

    Args:
        mine: An entrant's outputs.
        theirs: The other's.
        column: Which; of those whose best is 0, distances from 0 are compared.

    Returns:
        Mine minus theirs; None where they share nothing.
    """
    return _interval_of([a - b for a, b in _matched(mine, theirs, column)])


def ratio(
    mine: Mapping[Key, Score], theirs: Mapping[Key, Score], column: Column
) -> Difference | None:
    """Divide two entrants' values, both above 0.

    Args:
        mine: An entrant's outputs.
        theirs: The other's.
        column: Which.

    Returns:
        The geometric mean of the ratios and its interval, taken on logarithms; None where they
        share nothing.
    """
    found = _interval_of([math.log(a / b) for a, b in _matched(mine, theirs, column)])
    if found is None:
        return None
    low, high = (None if end is None else math.exp(end) for end in (found.low, found.high))
    return Difference(math.exp(found.value), low, high, found.n)


def over_patients(
    mine: Mapping[Key, Score], theirs: Mapping[Key, Score], column: Column
) -> Difference | None:
    """Compare two entrants on the patients that both were tested on.

    Args:
        mine: An entrant's outputs.
        theirs: The other's.
        column: Which; of those whose best is 0, distances from 0 are compared.

    Returns:
        Mine minus theirs: the mean over patients, each with the mean over the runs that share seed
        and pairs. None where fewer than three patients have both.
    """
    found = defaultdict(list)
    for key in sorted(mine.keys() & theirs.keys()):
        one, other = mine[key].patients, theirs[key].patients
        for patient in one.keys() & other.keys():
            values = (one[patient].get(key_of(column)), other[patient].get(key_of(column)))
            if values[0] is not None and values[1] is not None:
                found[patient].append(judged(values[0], column) - judged(values[1], column))
    if len(found) < FEWEST_PATIENTS:
        return None
    return _interval_of([fmean(found[patient]) for patient in sorted(found)])


def _matched(
    mine: Mapping[Key, Score], theirs: Mapping[Key, Score], column: Column
) -> Iterator[tuple[float, float]]:
    for key in sorted(mine.keys() & theirs.keys()):
        one, other = mine[key].of(column), theirs[key].of(column)
        if one is not None and other is not None:
            yield judged(one, column), judged(other, column)


def _interval_of(values: Sequence[float]) -> Difference | None:
    if not values:
        return None
    low, high = student_interval(values) or (None, None)
    return Difference(fmean(values), low, high, len(values))


def judged(value: float, column: Column) -> float:
    """The value that is compared.

    Args:
        value: Of a metric.
        column: Which.

    Returns:
        The value; its distance from 0 where the real PET has 0.
    """
    return value if column.metric.sign else abs(value)


def best_of(names: Sequence[str], scores: Sequence[Score], column: Column) -> str | None:
    """Find the best entrant by its mean over runs.

    Args:
        names: Who is asked.
        scores: Of all.
        column: By which.

    Returns:
        Its name; None where nobody was measured.
    """
    means = {}
    for name in names:
        values = [v for s in final(scores, name).values() if (v := s.of(column)) is not None]
        if values:
            means[name] = fmean(judged(value, column) for value in values)
    return min(means, key=lambda name: column.metric.penalty(means[name]), default=None)
