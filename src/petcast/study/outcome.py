"""What a run came to: read from its files, whatever state they are in."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from petcast.catalogue import Column, Place
from petcast.checkpoint import MODEL_FILE
from petcast.disk.durable import read_json, whole
from petcast.study.course import read_course
from petcast.study.protocol import Protocol, run_folder
from petcast.train import read_metrics

State = Literal["done", "diverged", "running", "missing"]


@dataclass(frozen=True)
class Mean:
    """A mean over test patients.

    Attributes:
        value: The mean.
        low: Lower end of its interval, None with fewer than two patients.
        high: Upper end.
        n: Patients behind it.
    """

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Peak:
    """The best of the test metrics after each epoch.

    Attributes:
        value: The largest, or of errors the smallest.
        epoch: The first epoch that had it.
        last: The value after the last epoch.
    """

    value: float
    epoch: int
    last: float


@dataclass(frozen=True)
class Outcome:
    """A run.

    Attributes:
        generator: Its name.
        protocol: Which.
        state: "done", "diverged", "running" (begun, not at its end) or "missing".
        epochs: Epochs that are trained; of a diverged run, the one that diverged.
        detail: Why it diverged.
        rows: Of metrics.jsonl, without times.
        chosen: The epoch that was evaluated.
        weights: SHA-256 of its weights.
        means: Over test patients, by region and metric; only of done runs of the sound protocol.
        patients: The same by patient.
        warnings: Codes that the evaluation gave.
    """

    generator: str
    protocol: Protocol
    state: State
    epochs: int = 0
    detail: str = ""
    rows: Sequence[dict[str, Any]] = ()
    chosen: int | None = None
    weights: str | None = None
    means: dict[Place, Mean] = field(default_factory=dict)
    patients: dict[Place, dict[str, float]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def peak(self, column: Column) -> Peak | None:
        """Find the best epoch of a metric on the test part.

        Args:
            column: Of whole slices: metrics.jsonl calls it as evaluation.json does.

        Returns:
            The peak; None where the run is not done or nothing was measured.
        """
        held = list(self.curve("test", column.key)) if self.state == "done" else []
        if not held:
            return None
        penalty = column.metric.penalty
        epoch, value = min(held, key=lambda point: (penalty(point[1]), point[0]))
        return Peak(value, epoch, held[-1][1])

    def curve(self, part: str, metric: str) -> Iterator[tuple[int, float]]:
        """Follow a metric over the epochs.

        Args:
            part: "validation" or "test".
            metric: As metrics.jsonl calls it.

        Yields:
            Epochs and finite values.
        """
        for row in self.rows:
            value = (row.get(part) or {}).get(metric)
            if value is not None and math.isfinite(value):
                yield int(row["epoch"]), float(value)


def read_outcome(study: Path, protocol: Protocol, generator: str, epochs: int) -> Outcome:
    """Read what a run came to; nothing is changed, it may be training.

    Args:
        study: The study's folder.
        protocol: Which.
        generator: Its name.
        epochs: What the study's recipe asks for.

    Returns:
        The outcome.
    """
    run = run_folder(study, protocol, generator)
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in read_metrics(run)]
    course = read_course(run)
    if course is not None and course.status == "diverged":
        return Outcome(
            generator, protocol, "diverged", course.epochs, course.detail, rows[: course.epochs - 1]
        )
    if course is None or course.status != "done" or course.epochs < epochs:
        return Outcome(generator, protocol, "running" if rows else "missing", len(rows), rows=rows)
    evaluation = _evaluation(run)
    card = read_json(run / "best" / "card.json") if (run / "best").is_dir() else {}
    weights = (evaluation.get("weights") or card.get("sha256") or {}).get(MODEL_FILE)
    return Outcome(
        generator,
        protocol,
        "done",
        course.epochs,
        rows=rows,
        chosen=evaluation.get("epoch"),
        weights=weights,
        means=_means(evaluation, generator),
        patients=_patients(evaluation, generator),
        warnings=tuple(dict.fromkeys(one["code"] for one in evaluation.get("warnings", ()))),
    )


def seconds_of(study: Path, protocol: Protocol, generator: str) -> float:
    """Add up how long a run's epochs took.

    Args:
        study: The study's folder.
        protocol: Which.
        generator: Its name.

    Returns:
        Seconds, evaluation after each epoch included.
    """
    rows = read_metrics(run_folder(study, protocol, generator))
    return float(sum(row.get("seconds", 0.0) for row in rows))


def _evaluation(run: Path) -> dict[str, Any]:
    path = whole(run / "evaluation") / "evaluation.json"
    return dict(read_json(path)) if path.exists() else {}


def _means(evaluation: dict[str, Any], generator: str) -> dict[Place, Mean]:
    return {
        (row["region"], row["metric"]): Mean(row["value"], row["low"], row["high"], row["n"])
        for row in evaluation.get("rows", ())
        if row["name"] == generator
    }


def _patients(evaluation: dict[str, Any], generator: str) -> dict[Place, dict[str, float]]:
    patients: dict[Place, dict[str, float]] = {}
    for row in evaluation.get("patients", ()):
        if row["name"] == generator:
            patients.setdefault((row["region"], row["metric"]), {})[row["patient"]] = row["value"]
    return patients
