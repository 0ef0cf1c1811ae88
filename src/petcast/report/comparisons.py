"""The model against each earlier stage and trivial image, patient by patient."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from petcast.catalogue import TRIVIAL, metric_of, metric_order, region_label, region_order
from petcast.report.inputs import Document, Evaluation, finite, records
from petcast.report.numbers import MISSING, number
from petcast.words import count, interval

FIRST = (("body", "suv_mae"), ("body", "psnr"), ("whole", "psnr"), ("whole", "ssim"))
"""Shown at once, what counts most first; everything is folded beneath."""

VERDICTS = ("better", "worse", "undecided")


@dataclass(frozen=True)
class Contest:
    """A comparison as text.

    Attributes:
        reference: What the model is set against.
        difference: Model − reference.
        ends: Its 95 % interval.
        p: Corrected by Holm's method.
        least: The difference that so many patients would show at 80 % power.
        verdict: "better", "worse" or "undecided".
    """

    reference: str
    difference: str
    ends: str
    p: str
    least: str
    verdict: str


@dataclass(frozen=True)
class Field:
    """All comparisons in a region and metric.

    Attributes:
        label: Region and metric.
        where: The region alone.
        name: The metric alone.
        way: Which way is better.
        contests: One a reference.
    """

    label: str
    where: str
    name: str
    way: str
    contests: tuple[Contest, ...]


@dataclass(frozen=True)
class Comparisons:
    """The panel.

    Attributes:
        first: What counts most, a row a reference and a contest (or None) a column.
        columns: Of `first`.
        fields: All of them, with what could have been detected.
        sentence: How many are decided.
        power: What so few patients can show at all; empty where they are not few.
        patients: Behind them.
    """

    first: tuple[tuple[str, tuple[Contest | None, ...]], ...]
    columns: tuple[Field, ...]
    fields: tuple[Field, ...]
    sentence: str
    power: str
    patients: int


def comparisons_of(evaluation: Evaluation | None, model: str) -> Comparisons | None:
    """Lay the panel out.

    Args:
        evaluation: None where there is none.
        model: The model's name in it.

    Returns:
        The comparisons; None without any.
    """
    if evaluation is None:
        return None
    found = [one for one in records(evaluation.document, "comparisons") if _known(one, model)]
    if not found:
        return None
    by_field: dict[tuple[str, str], list[Document]] = {}
    for one in found:
        by_field.setdefault((str(one.get("region")), str(one.get("metric"))), []).append(one)
    patients = max(int(finite(one.get("n")) or 0) for one in found)
    columns = tuple(_field(f, by_field[f], model) for f in FIRST if f in by_field)
    return Comparisons(
        first=tuple(_lines(columns)),
        columns=columns,
        fields=tuple(_field(f, by_field[f], model) for f in sorted(by_field, key=_field_order)),
        sentence=_sentence(found),
        power=_power(evaluation, patients),
        patients=patients,
    )


def _known(one: Document, model: str) -> bool:
    return one.get("model") == model and finite(one.get("difference")) is not None


def _lines(columns: Sequence[Field]) -> Iterator[tuple[str, tuple[Contest | None, ...]]]:
    references = dict.fromkeys(one.reference for field in columns for one in field.contests)
    for reference in references:
        own = ({one.reference: one for one in field.contests} for field in columns)
        yield reference, tuple(contests.get(reference) for contests in own)


def _field_order(field: tuple[str, str]) -> tuple[object, ...]:
    return region_order(field[0]), metric_order(field[1])


def _field(field: tuple[str, str], found: Sequence[Document], model: str) -> Field:
    metric = metric_of(field[1])
    unit = f" ({metric.unit})" if metric.unit == "dB" else ""
    label = f"{region_label(field[0])}: {metric.label}{unit}"
    contests = tuple(_contest(one, metric.digits, model) for one in found)
    where, name = region_label(field[0]), f"{metric.heading} {metric.arrow}"
    return Field(label, where, name, metric.arrow_words, contests)


def _contest(one: Document, digits: int, model: str) -> Contest:
    reference = str(one.get("reference"))
    name = TRIVIAL.get(reference) or reference.removeprefix(f"{model} / ")
    verdict, least = str(one.get("verdict")), one.get("least_difference")
    return Contest(
        reference=name.capitalize(),
        difference=number(finite(one.get("difference")), digits, signed=True),
        ends=interval(finite(one.get("low")), finite(one.get("high")), digits),
        p=_p(finite(one.get("p_holm"))),
        least=MISSING if _is_undecidable(one) else number(finite(least), digits),
        verdict=verdict if verdict in VERDICTS else "undecided",
    )


def _is_undecidable(one: Document) -> bool:
    """Whether the patients are too few for any p below 0.05, whatever the difference."""
    n = finite(one.get("n"))
    return n is not None and 2 / 2**n > 0.05


def _p(value: float | None) -> str:
    if value is None:
        return MISSING
    return "< 0.001" if value < 0.001 else number(value, 3)


def _sentence(found: Sequence[Document]) -> str:
    verdicts = [str(one.get("verdict")) for one in found]
    counts = {kind: verdicts.count(kind) for kind in VERDICTS}
    told = ", ".join(f"{n} {kind}" for kind, n in counts.items() if n)
    return f"Of {count(len(found), 'comparison')}: {told}."


def _power(evaluation: Evaluation, patients: int) -> str:
    said = [detail for code, detail in evaluation.warnings if code == "LOW-POWER"]
    if said:
        return said[0]
    if patients < 2:
        return (
            "One patient: no test and no interval is possible, so nothing is decided, however "
            "large a difference looks."
        )
    return ""
