"""Lesions: what the model makes of their uptake, which it shows and which it invents."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from petcast.report.inputs import Document, Evaluation, finite, records
from petcast.report.numbers import MISSING, number, percent
from petcast.report.plot import Chart, Note, Plane, Spot, Stroke, ticks_around
from petcast.words import count, interval

SHOWN = 12
"""Lesions that are listed; the rest stands in lesions.csv."""

MEASURES = (
    ("suv_max", "SUVmax", 1), ("suv_peak", "SUVpeak", 1), ("suv_mean", "SUVmean", 1),
    ("tbr", "TBR", 1), ("mtv_ml", "MTV (mL)", 1), ("tlg_g", "TLG (g)", 0),
)  # fmt: skip

SOURCES = {
    "mask": "masks",
    "boxes": "published tumour boxes",
    "threshold": "what is hot on the real PET (SUV 4 and more, at least 1 mL), heart, brain, "
    "kidneys and other physiological uptake among it",
}

BLIND = (
    "A lesion without a sign on the CT stays unfound, and must: no model can read from a CT what "
    "the CT does not hold."
)
"""Said beside every table of lesions, whichever model it is about."""

BAR_WIDTH = 120
CHART_HEIGHT = 400


@dataclass(frozen=True)
class Uptake:
    """A measure of lesions on both images, as text.

    Attributes:
        label: The measure.
        n: Lesions for which both are known.
        truth: Mean on the real PET.
        prediction: Mean on the prediction, at the same place.
        share: The second as a share of the first.
    """

    label: str
    n: int
    truth: str
    prediction: str
    share: str


@dataclass(frozen=True)
class Size:
    """Lesions of a size: how many are shown.

    Attributes:
        label: Their volumes.
        lesions: Hot ones.
        found: Those that the prediction shows.
        sensitivity: In percent.
        ends: Its 95 % interval.
        invented: Hot spots of this size that the real PET has not.
        bar: Width of the bar that stands for the sensitivity.
        low: Left end of the interval in the bar, or None.
        high: Right end.
    """

    label: str
    lesions: int
    found: int
    sensitivity: str
    ends: str
    invented: int
    bar: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Lesion:
    """A lesion's numbers as text.

    Attributes:
        patient: Its pseudonym.
        number: Within the patient.
        slice: Of its hottest voxel, counted from 1.
        volume: In mL.
        truth: SUVmax on the real PET.
        prediction: SUVmax on the prediction.
        change: Predicted − real.
        seen: "found", "missed" or "not hot".
        clipped: Whether its SUVmax exceeds the SUV window.
    """

    patient: str
    number: int
    slice: int
    volume: str
    truth: str
    prediction: str
    change: str
    seen: str
    clipped: bool


@dataclass(frozen=True)
class LesionPanel:
    """The panel.

    Attributes:
        sentence: How many there are and where they come from.
        charts: Predicted over real uptake.
        uptake: Means of each measure.
        sizes: Detection by volume, all sizes first.
        patients: Patients behind the detection.
        lesions: The worst first.
        more: Lesions that are not listed.
    """

    sentence: str
    charts: tuple[Chart, ...]
    uptake: tuple[Uptake, ...]
    sizes: tuple[Size, ...]
    patients: int
    lesions: tuple[Lesion, ...]
    more: int


def lesion_panel(evaluation: Evaluation | None, model: str) -> LesionPanel | None:
    """Lay the panel out.

    Args:
        evaluation: None where there is none.
        model: The model's name in it.

    Returns:
        Everything that the template draws; None without lesions.
    """
    own = lesions_of(evaluation, model)
    if not own or evaluation is None:
        return None
    detection = [r for r in records(evaluation.document, "detection") if r.get("name") == model]
    ordered = sorted(own, key=_error, reverse=True)
    charts = (_scatter(own, key, label) for key, label, _ in (MEASURES[0], MEASURES[2]))
    return LesionPanel(
        sentence=_sentence(own),
        charts=tuple(chart for chart in charts if chart is not None),
        uptake=tuple(row for row in (_uptake(own, *measure) for measure in MEASURES) if row.n),
        sizes=tuple(_size(row) for row in detection),
        patients=max((int(finite(row.get("patients")) or 0) for row in detection), default=0),
        lesions=tuple(_lesion(row) for row in ordered[:SHOWN]),
        more=max(len(ordered) - SHOWN, 0),
    )


def lesions_of(evaluation: Evaluation | None, model: str) -> list[Document]:
    """The lesions as a model shows them.

    Args:
        evaluation: None where there is none.
        model: Its name.

    Returns:
        Rows of evaluation.json with both SUVmax.
    """
    found = records(evaluation.document, "lesions") if evaluation else []
    return [one for one in found if one.get("name") == model and None not in _pair(one, "suv_max")]


def are_known(own: Sequence[Document]) -> bool:
    """Say whether somebody marked them as lesions; hot spots are anything that is hot.

    Args:
        own: Lesions of a model.

    Returns:
        True where each comes from a mask or a box.
    """
    return all(one.get("source") in ("mask", "boxes") for one in own)


def mean_uptake(own: Sequence[Document], key: str) -> tuple[int, float, float]:
    """Means of a measure on both images.

    Args:
        own: Lesions of a model.
        key: Such as "suv_max".

    Returns:
        Lesions for which both are known, mean on the real PET, mean on the prediction.
    """
    pairs = [(t, p) for t, p in (_pair(one, key) for one in own) if t is not None and p is not None]
    if not pairs:
        return 0, 0.0, 0.0
    truths, predictions = zip(*pairs, strict=True)
    return len(pairs), sum(truths) / len(pairs), sum(predictions) / len(pairs)


def _pair(one: Document, key: str) -> tuple[float | None, float | None]:
    return finite(one.get(f"truth_{key}")), finite(one.get(f"prediction_{key}"))


def _error(one: Document) -> float:
    truth, predicted = _pair(one, "suv_max")
    return abs((predicted or 0.0) - (truth or 0.0))


def _sentence(own: Sequence[Document]) -> str:
    patients = len({str(one.get("patient")) for one in own})
    sources = dict.fromkeys(str(one.get("source")) for one in own)
    named = " and ".join(SOURCES.get(source, source) for source in sources)
    hot = sum(bool(one.get("hot")) for one in own)
    clipped = sum(bool(one.get("clipped")) for one in own)
    said = (
        f"{count(len(own), 'lesion' if are_known(own) else 'hot spot')} of "
        f"{count(patients, 'patient')}, from {named}. {hot} "
        f"{'is' if hot == 1 else 'are'} hot: SUVmax of at least 1.5 times the background"
    )
    reach = "reaches" if clipped == 1 else "reach"
    beyond = f"; {clipped} {reach} beyond the SUV window" if clipped else ""
    place = "All numbers of the prediction are taken at the real lesion's place."
    return f"{said}{beyond}. {place} {BLIND}"


def _uptake(own: Sequence[Document], key: str, label: str, digits: int) -> Uptake:
    n, truth, predicted = mean_uptake(own, key)
    share = percent(predicted / truth, 0) if truth > 0 else MISSING
    return Uptake(label, n, number(truth, digits), number(predicted, digits), share)


def _size(row: Document) -> Size:
    value, low, high = (finite(row.get(key)) for key in ("sensitivity", "low", "high"))
    lesions, found, invented = (
        int(finite(row.get(key)) or 0) for key in ("lesions", "found", "false_positives")
    )
    return Size(
        label=_volumes(finite(row.get("low_ml")), finite(row.get("high_ml"))),
        lesions=lesions,
        found=found,
        sensitivity=percent(value, 0),
        ends="" if low is None or high is None else f"{interval(100 * low, 100 * high, 0)} %",
        invented=invented,
        bar=round((value or 0.0) * BAR_WIDTH, 1),
        low=None if low is None else round(low * BAR_WIDTH, 1),
        high=None if high is None else round(high * BAR_WIDTH, 1),
    )


def _volumes(low: float | None, high: float | None) -> str:
    if not low and high is None:
        return "All sizes"
    if high is None:
        return f"{low or 0:g} mL and more"
    return f"{low:g} to {high:g} mL" if low else f"Below {high:g} mL"


def seen(one: Document) -> str:
    """What became of a lesion.

    Args:
        one: A lesion of a model.

    Returns:
        "found", "missed", or "not hot".
    """
    found = one.get("found")
    return "not hot" if found is None else "found" if found else "missed"


def _lesion(one: Document) -> Lesion:
    truth, predicted = _pair(one, "suv_max")
    change = (predicted or 0.0) - (truth or 0.0)
    return Lesion(
        patient=str(one.get("patient", "")),
        number=int(finite(one.get("lesion")) or 0),
        slice=int(finite(one.get("slice")) or 0) + 1,
        volume=number(finite(one.get("volume_ml")), 1),
        truth=number(truth, 1),
        prediction=number(predicted, 1),
        change=number(change, 1, signed=True),
        seen=seen(one),
        clipped=bool(one.get("clipped")),
    )


# The drawing

_KINDS = {"found": "found", "missed": "missed", "not hot": "cold"}


def _scatter(own: Sequence[Document], key: str, label: str) -> Chart | None:
    pairs = [(one, *_pair(one, key)) for one in own]
    known = [(one, t, p) for one, t, p in pairs if t is not None and p is not None]
    if not known:
        return None
    ticks = ticks_around([0.0, *(max(t, p) for _, t, p in known)])
    plane = Plane(ticks, ticks, height=CHART_HEIGHT)
    top = ticks[-1]
    strokes = (
        Stroke("limit", plane.path([(0, 0), (top, top / 2)]), "half the real uptake"),
        Stroke("identity", plane.path([(0, 0), (top, top)]), "the same uptake"),
    )
    notes = (
        Note(plane.x(top) - 4, plane.y(top / 2) - 6, "half", "end"),
        Note(plane.x(0.9 * top) - 6, plane.y(0.9 * top) - 2, "the same", "end"),
    )
    n, truth, predicted = mean_uptake(own, key)
    summary = (
        f"Predicted over real {label} of {count(n, 'lesion')}: {number(predicted, 1)} on average "
        f"where the real PET has {number(truth, 1)}. {_counts(own)}"
    )
    return Chart(
        f"lesions-{key}", label, summary, plane, f"real {label}", f"predicted {label}",
        strokes=strokes, spots=tuple(_spots(known, plane)), notes=notes,
    )  # fmt: skip


def _spots(known: Sequence[tuple[Document, float, float]], plane: Plane) -> Iterator[Spot]:
    # The missed ones are drawn last, on top.
    order = ("not hot", "found", "missed")
    for one, truth, predicted in sorted(known, key=lambda each: order.index(seen(each[0]))):
        title = (
            f"lesion {one.get('lesion')} of {one.get('patient')}, {seen(one)}: real {truth:.1f}, "
            f"predicted {predicted:.1f}"
        )
        yield Spot(_KINDS[seen(one)], plane.x(truth), plane.y(predicted), title)


def _counts(own: Sequence[Document]) -> str:
    counts = {kind: sum(seen(one) == kind for one in own) for kind in _KINDS}
    return ", ".join(f"{n} {kind}" for kind, n in counts.items() if n) + "."
