"""Worst cases first: patients and slices in the order of their error inside the body."""

from collections.abc import Sequence
from dataclasses import dataclass

from petcast.catalogue import METRICS, TRIVIAL
from petcast.report.inputs import Document, Evaluation, Score, finite, records
from petcast.report.lesions import lesions_of
from petcast.report.numbers import number

SHOWN = 12
"""Patients that are listed at once; the rest is folded."""

ORDER = ("body", "suv_mae")
COLUMNS = (
    ("body", "suv_mae"), ("body", "suv_bias"), ("body", "psnr"), ("whole", "ssim"),
)  # fmt: skip

BAR_WIDTH = 80


@dataclass(frozen=True)
class Case:
    """A patient's numbers as text.

    Attributes:
        patient: The pseudonym.
        cells: A text a column of `COLUMNS`.
        bar: Width of the bar that stands for the error.
        beaten: Whether a trivial image has a smaller error in this patient.
        lesions: Found of all hot ones, empty without any.
    """

    patient: str
    cells: tuple[str, ...]
    bar: float
    beaten: bool
    lesions: str


@dataclass(frozen=True)
class WorstSlice:
    """A slice as text.

    Attributes:
        study: Its pseudonym.
        slice: Counted from 1.
        cells: SUV error, bias and mean SUV of the real PET inside the body.
    """

    study: str
    slice: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class WorstCases:
    """The panel.

    Attributes:
        columns: Label and direction of each.
        cases: Patients, the worst first.
        others: The rest of them.
        slices: Slices, the worst first.
        has_lesions: Whether lesions are counted.
    """

    columns: tuple[tuple[str, str, str], ...]
    cases: tuple[Case, ...]
    others: tuple[Case, ...]
    slices: tuple[WorstSlice, ...]
    has_lesions: bool


def worst_cases(evaluation: Evaluation | None, model: str) -> WorstCases | None:
    """Order patients by their error.

    Args:
        evaluation: None where there is none.
        model: The model's name in it.

    Returns:
        The patients; None where they were not measured.
    """
    if evaluation is None:
        return None
    values = _by_patient(evaluation.patients, model)
    errors = {name: own[ORDER] for name, own in values.items() if ORDER in own}
    if not errors:
        return None
    ordered = sorted(errors, key=lambda name: (-errors[name], name))
    rivals = _least_rivals(evaluation.patients)
    found = _found(lesions_of(evaluation, model))
    largest = max(errors.values()) or 1.0
    cases = [
        Case(
            patient=name,
            cells=tuple(
                number(values[name].get((r, key)), METRICS[key].digits) for r, key in COLUMNS
            ),
            bar=round(errors[name] / largest * BAR_WIDTH, 1),
            beaten=rivals.get(name, float("inf")) <= errors[name],
            lesions=found.get(name, ""),
        )
        for name in ordered
    ]
    return WorstCases(
        columns=tuple(_column(*column) for column in COLUMNS),
        cases=tuple(cases[:SHOWN]),
        others=tuple(cases[SHOWN:]),
        slices=tuple(_slice(one) for one in records(evaluation.document, "worst_slices")),
        has_lesions=bool(found),
    )


def _column(region: str, key: str) -> tuple[str, str, str]:
    metric = METRICS[key]
    where = "whole slice" if region == "whole" else region
    return metric.heading, where, metric.arrow_words


def _by_patient(rows: Sequence[Score], model: str) -> dict[str, dict[tuple[str, str], float]]:
    values: dict[str, dict[tuple[str, str], float]] = {}
    for row in rows:
        if row.name == model and row.value is not None:
            values.setdefault(row.patient, {})[row.region, row.metric] = row.value
    return values


def _least_rivals(rows: Sequence[Score]) -> dict[str, float]:
    """The smallest error of any trivial image, by patient."""
    least: dict[str, float] = {}
    for row in rows:
        if row.name in TRIVIAL and (row.region, row.metric) == ORDER and row.value is not None:
            least[row.patient] = min(row.value, least.get(row.patient, float("inf")))
    return least


def _found(lesions: Sequence[Document]) -> dict[str, str]:
    hot: dict[str, list[bool]] = {}
    for one in lesions:
        if one.get("found") is not None:
            hot.setdefault(str(one.get("patient")), []).append(bool(one["found"]))
    return {patient: f"{sum(each)} of {len(each)}" for patient, each in hot.items()}


def _slice(one: Document) -> WorstSlice:
    digits = (("suv_mae", 2), ("suv_bias", 2), ("truth_suv", 2))
    cells = tuple(number(finite(one.get(key)), d) for key, d in digits)
    return WorstSlice(str(one.get("study", "")), int(finite(one.get("slice")) or 0) + 1, cells)
