"""The four numbers that a model is judged by, beside those of images made without the CT."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from petcast.catalogue import TRIVIAL, Metric, metric_of
from petcast.report.inputs import Evaluation, Score

CLAIMS = (("whole", "ssim"), ("whole", "psnr"), ("body", "psnr"), ("body", "suv_mae"))
"""Region and metric of what a model is judged by."""


@dataclass(frozen=True)
class Claim:
    """One metric of the model beside those of the images that know nothing of the CT.

    Attributes:
        metric: Which.
        region: Where it was measured.
        score: The model's.
        rivals: The trivial images'.
        ahead: The patients in whom the model is better than every trivial image.
        patients: Patients for whom both are known.
    """

    metric: Metric
    region: str
    score: Score
    rivals: tuple[Score, ...]
    ahead: frozenset[str]
    patients: int

    @property
    def beaten(self) -> tuple[Score, ...]:
        """The trivial images that the model is better than, on average."""
        return tuple(rival for rival in self.rivals if _is_better(self.score, rival, self.metric))

    @property
    def unbeaten(self) -> tuple[Score, ...]:
        """Those that it is not better than."""
        return tuple(rival for rival in self.rivals if rival not in self.beaten)

    @property
    def won(self) -> bool:
        """Whether the model is better than all of them."""
        return bool(self.rivals) and not self.unbeaten

    @property
    def best_rival(self) -> Score | None:
        """The trivial image that is hardest to beat."""
        return min(self.rivals, key=lambda one: _penalty(one, self.metric), default=None)


def claims_of(evaluation: Evaluation, model: str) -> Iterator[Claim]:
    """Set a model's numbers beside the trivial images'.

    Args:
        evaluation: With rows.
        model: The model's name in them.

    Yields:
        One for each of `CLAIMS` that was measured.
    """
    for region, metric in CLAIMS:
        here = {r.name: r for r in evaluation.rows if (r.region, r.metric) == (region, metric)}
        score = here.get(model)
        if score is None or score.value is None:
            continue
        known = tuple(here[n] for n in TRIVIAL if n in here and here[n].value is not None)
        ahead, patients = _ahead(evaluation.patients, model, region, metric)
        yield Claim(metric_of(metric), region, score, known, ahead, patients)


def _ahead(
    patients: Sequence[Score], model: str, region: str, metric: str
) -> tuple[frozenset[str], int]:
    """In which patients the model is better than every trivial image, and of how many."""
    by_patient: dict[str, dict[str, Score]] = {}
    for row in patients:
        if (row.region, row.metric) == (region, metric) and row.value is not None:
            by_patient.setdefault(row.patient, {})[row.name] = row
    compared = {
        patient: (rows[model], rivals)
        for patient, rows in by_patient.items()
        if model in rows and (rivals := [rows[name] for name in TRIVIAL if name in rows])
    }
    known = metric_of(metric)
    ahead = (
        patient
        for patient, (own, rivals) in compared.items()
        if all(_is_better(own, rival, known) for rival in rivals)
    )
    return frozenset(ahead), len(compared)


def _penalty(score: Score, metric: Metric) -> float:
    return metric.penalty(score.value) if score.value is not None else float("inf")


def _is_better(one: Score, other: Score, metric: Metric) -> bool:
    return _penalty(one, metric) < _penalty(other, metric)
