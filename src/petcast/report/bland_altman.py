"""Bland–Altman: the difference of predicted and real uptake over their mean, with its limits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from petcast.catalogue import region_label, region_order
from petcast.report.inputs import Document, Evaluation, finite, records
from petcast.report.numbers import number
from petcast.report.plot import LEFT, Band, Chart, Note, Plane, Spot, Stroke, ticks_around
from petcast.words import count, interval

METRICS = {"suv_mean": "SUVmean", "suv_peak": "SUVpeak", "suv_max": "SUVmax"}
DRAWN_OF_LESIONS = "suv_max"
DIGITS = 2
ABOVE, BENEATH = 4, 13
"""From a line to the base line of its label."""


@dataclass(frozen=True)
class Limits:
    """Bias and limits as text.

    Attributes:
        label: Region and metric.
        n: Values and the patients behind them.
        bias: Mean of predicted − real.
        bias_ends: Its 95 % interval.
        lower: Lower limit of agreement.
        lower_ends: Its 95 % interval.
        upper: Upper limit of agreement.
        upper_ends: Its 95 % interval.
    """

    label: str
    n: str
    bias: str
    bias_ends: str
    lower: str
    lower_ends: str
    upper: str
    upper_ends: str


@dataclass(frozen=True)
class BlandAltman:
    """The panel.

    Attributes:
        charts: A drawing each of regions, and one of lesions.
        rows: The numbers.
        has_limits: Whether any limits are known: they need two values.
        has_bands: Whether any have intervals: they need two patients.
    """

    charts: tuple[Chart, ...]
    rows: tuple[Limits, ...]
    has_limits: bool
    has_bands: bool


def bland_altman(evaluation: Evaluation | None, model: str) -> BlandAltman | None:
    """Lay the panel out.

    Args:
        evaluation: None where there is none.
        model: The model's name in it.

    Returns:
        Drawings and numbers; None without any.
    """
    found = records(evaluation.document, "agreement") if evaluation else []
    own = sorted((one for one in found if one.get("name") == model), key=_order)
    if not own:
        return None
    charts = [chart for one in own if _is_drawn(one) and (chart := _chart(one)) is not None]
    limits, bands = (
        any(finite(one.get(key)) is not None for one in own) for key in ("lower", "bias_low")
    )
    return BlandAltman(tuple(charts), tuple(_limits(one) for one in own), limits, bands)


def _order(one: Document) -> tuple[object, ...]:
    metrics = list(METRICS)[::-1]
    metric = str(one.get("metric"))
    at = metrics.index(metric) if metric in metrics else len(metrics)
    return one.get("of") == "lesion", region_order(str(one.get("region"))), at


def _is_drawn(one: Document) -> bool:
    return one.get("of") != "lesion" or one.get("metric") == DRAWN_OF_LESIONS


def _title(one: Document) -> str:
    metric = METRICS.get(str(one.get("metric")), str(one.get("metric")))
    if one.get("of") == "lesion":
        return f"Lesions: {metric}"
    region = region_label(str(one.get("region"))).removeprefix("Inside ").removeprefix("the ")
    return f"{region.capitalize()}: {metric} of each patient"


def _points(one: Document) -> Iterator[tuple[str, float, float]]:
    for point in records(one, "points"):
        truth, predicted = finite(point.get("truth")), finite(point.get("prediction"))
        if truth is None or predicted is None:
            continue
        lesion = point.get("lesion")
        of = f"lesion {lesion} of " if lesion is not None else ""
        yield f"{of}{point.get('patient', '')}", truth, predicted


def _chart(one: Document) -> Chart | None:
    points = list(_points(one))
    if not points:
        return None
    spread = [(name, (t + p) / 2, p - t, t, p) for name, t, p in points]
    keys = ("lower_low", "lower", "upper", "upper_high", "bias_low", "bias_high")
    ends = [end for key in keys if (end := finite(one.get(key))) is not None]
    means = [mean for _, mean, *_ in spread]
    plane = Plane(
        ticks_around(_widened(means)), ticks_around([d for _, _, d, *_ in spread] + ends + [0.0])
    )
    spots = [
        Spot("dot", plane.x(mean), plane.y(d), f"{name}: real {t:.2f}, predicted {p:.2f}")
        for name, mean, d, t, p in spread
    ]
    key = f"limits-{one.get('of')}-{region_order(str(one.get('region')))[0]}"
    bands, strokes, notes = _guides(one, plane)
    return Chart(
        key, _title(one), _summary(one), plane, "mean of real and predicted SUV",
        "predicted − real (SUV)", bands, strokes, tuple(spots), notes, numbers=_numbers(one),
    )  # fmt: skip


def _widened(means: Sequence[float]) -> list[float]:
    """So that points do not lie on the frame, and a single one lies in the middle."""
    low, high = min(means), max(means)
    more = 0.05 * (high - low) or 0.1 * abs(high) or 0.5
    return [max(low - more, 0.0) if low >= 0 else low - more, high + more]


Guides = tuple[tuple[Band, ...], tuple[Stroke, ...], tuple[Note, ...]]


def _guides(one: Document, plane: Plane) -> Guides:
    """Bias and limits, each with the band of its 95 % interval."""
    bands, strokes, notes = [], [Stroke("zero", plane.level(0.0), "no difference")], []
    for key, word in (("bias", "bias"), ("lower", "−1.96 SD"), ("upper", "+1.96 SD")):
        value = finite(one.get(key))
        if value is None:
            continue
        low, high = finite(one.get(f"{key}_low")), finite(one.get(f"{key}_high"))
        if low is not None and high is not None:
            title = f"95 % interval of {word}: {interval(low, high, DIGITS)}"
            bands.append(plane.belt(low, high, "belt", title))
        style = "bias" if key == "bias" else "limit"
        strokes.append(Stroke(style, plane.level(value), f"{word}: {number(value, DIGITS)}"))
        text = f"{word}: {number(value, DIGITS)}"
        notes.append(_label(key, plane, plane.y(value), text))
    return tuple(bands), tuple(strokes), tuple(notes)


def _label(key: str, plane: Plane, y: float, text: str) -> Note:
    """Beside each other, never above: of few patients, bias and limits lie as close as lines."""
    if key == "bias":
        return Note((LEFT + plane.right) / 2, y - ABOVE, text, "middle")
    if key == "upper":
        return Note(plane.right - 3, y - ABOVE, text, "end")
    beneath = y + BENEATH if y + BENEATH < plane.bottom else y - ABOVE
    return Note(LEFT + 4, beneath, text, "start")


def _summary(one: Document) -> str:
    bias, lower, upper = (finite(one.get(key)) for key in ("bias", "lower", "upper"))
    n = int(finite(one.get("n")) or 0)
    what = "lesion" if one.get("of") == "lesion" else "patient"
    ends = interval(finite(one.get("bias_low")), finite(one.get("bias_high")), DIGITS)
    said = f"{_title(one)}, {count(n, what)}: predicted minus real is {number(bias, DIGITS)} SUV"
    said += f" on average (95 % {ends})" if ends else ""
    if lower is None or upper is None:
        return f"{said}; limits of agreement need two values."
    return f"{said}; limits of agreement {interval(lower, upper, DIGITS)}."


def _numbers(one: Document) -> str:
    """Of how many, bias and limits: of many patients, points cover the words in the drawing."""
    n, patients = (int(finite(one.get(key)) or 0) for key in ("n", "patients"))
    of = f"{count(n, 'lesion')} in " if one.get("of") == "lesion" else ""
    bias, lower, upper = (finite(one.get(key)) for key in ("bias", "lower", "upper"))
    limits = interval(lower, upper, DIGITS)
    said = f"{of}{count(patients, 'patient')}: bias {number(bias, DIGITS)}"
    return f"{said}, limits {limits}" if limits else said


def _limits(one: Document) -> Limits:
    n, patients = (int(finite(one.get(key)) or 0) for key in ("n", "patients"))
    counted = f"{n} in {count(patients, 'patient')}" if one.get("of") == "lesion" else str(n)
    texts = []
    for key in ("bias", "lower", "upper"):
        texts.append(number(finite(one.get(key)), DIGITS))
        texts.append(
            interval(finite(one.get(f"{key}_low")), finite(one.get(f"{key}_high")), DIGITS)
        )
    return Limits(_title(one), counted, *texts)
