"""Whether a run's intervals hold what they promise: coverage, sparsification, pictures."""

from dataclasses import dataclass

from petcast.catalogue import region_label, region_order
from petcast.report.arrays import HalfWidths, Slices
from petcast.report.inputs import Document, Evaluation, finite, records, table
from petcast.report.montage import Montage, draw_uncertainty
from petcast.report.numbers import number, percent
from petcast.report.plot import Chart, Plane, Spot, Stroke
from petcast.words import count, interval

WANTED = (0.85, 0.95)
"""Coverage in which 90 % intervals count as calibrated."""

WAYS = {
    "stages": "disagreement of the stages",
    "dropout": "Monte-Carlo dropout",
    "ensemble": "an ensemble of runs",
    "augmented": "the CT mirrored and moved",
    "quantiles": "predicted quantiles",
    "uptake": "the predicted SUV itself",
}


@dataclass(frozen=True)
class Patient:
    """A patient's intervals as text.

    Attributes:
        name: The pseudonym.
        cells: Coverage, half-width, SUV error, interval score, AUSE.
        amiss: Whether the coverage lies outside what is wanted.
        monotone: Whether leaving uncertain voxels out never makes the rest worse.
    """

    name: str
    cells: tuple[str, ...]
    amiss: bool
    monotone: bool


@dataclass(frozen=True)
class UncertaintyPanel:
    """The panel.

    Attributes:
        sentence: How many voxels the intervals hold.
        made: How they are made.
        regions: Name, coverage, its interval and patients of each region.
        patients: One each.
        charts: Coverage and sparsification.
        montage: |error| beside the half-width; None where none was kept.
        warnings: Of the calibration.
    """

    sentence: str
    made: str
    regions: tuple[tuple[str, str, str, int], ...]
    patients: tuple[Patient, ...]
    charts: tuple[Chart, ...]
    montage: Montage | None
    warnings: tuple[str, ...]


def uncertainty_panel(
    evaluation: Evaluation | None, slices: Slices | None, half_widths: HalfWidths | None
) -> UncertaintyPanel | None:
    """Lay the panel out.

    Args:
        evaluation: None where there is none.
        slices: The montage's; None where none were kept.
        half_widths: Of the same slices; None where none were kept.

    Returns:
        The panel; None where the run was not calibrated.
    """
    found = table(evaluation.document, "uncertainty") if evaluation else {}
    held = records(found, "patients")
    if not held:
        return None
    warnings = found.get("warnings")
    charts = (_coverage_chart(held, found), _sparsification_chart(table(found, "sparsification")))
    return UncertaintyPanel(
        sentence=_sentence(found),
        made=_made(found),
        regions=tuple(_regions(found)),
        patients=tuple(_patient(one) for one in held),
        charts=tuple(chart for chart in charts if chart is not None),
        montage=draw_uncertainty(slices, half_widths),
        warnings=tuple(map(str, warnings)) if isinstance(warnings, list) else (),
    )


def _level(found: Document) -> float:
    return finite(found.get("level")) or 0.9


def _sentence(found: Document) -> str:
    body = next((one for one in records(found, "coverage") if one.get("region") == "body"), {})
    level, value = _level(found), finite(body.get("value"))
    said = (
        f"The {percent(level, 0)} intervals hold the real SUV of {percent(value)} of the body's "
        "voxels"
    )
    if value is None or WANTED[0] <= value <= WANTED[1]:
        return f"{said}."
    return f"{said}: they are too {'narrow' if value < level else 'wide'} for these patients."


def _made(found: Document) -> str:
    on, way = table(found, "calibrated_on"), str(found.get("way"))
    patients = count(int(finite(on.get("patients")) or 0), f"{on.get('part')} patient")
    return (
        f"PET ± {number(finite(found.get('factor')), 2)} × (spread + "
        f"{number(finite(found.get('floor_suv')), 3)} SUV); the spread is that of "
        f"{WAYS.get(way, way)}, calibrated on {patients}."
    )


def _regions(found: Document) -> list[tuple[str, str, str, int]]:
    rows = sorted(records(found, "coverage"), key=lambda one: region_order(str(one.get("region"))))
    return [
        (
            region_label(str(one.get("region"))),
            percent(finite(one.get("value"))),
            _ends(finite(one.get("low")), finite(one.get("high"))),
            int(finite(one.get("n")) or 0),
        )
        for one in rows
    ]


def _ends(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    return interval(100 * low, 100 * high, 1)


def _patient(one: Document) -> Patient:
    covered = finite(one.get("coverage"))
    numbers = ("half_width_suv", "suv_mae", "interval_score_suv", "ause")
    return Patient(
        name=str(one.get("patient", "")),
        cells=(percent(covered), *(number(finite(one.get(key)), 3) for key in numbers)),
        amiss=covered is not None and not WANTED[0] <= covered <= WANTED[1],
        monotone=bool(one.get("monotone")),
    )


def _coverage_chart(held: list[Document], found: Document) -> Chart | None:
    """A dot a patient, from the least covered to the most."""
    known = [(str(one.get("patient")), finite(one.get("coverage"))) for one in held]
    values = sorted(((v, name) for name, v in known if v is not None))
    if not values:
        return None
    least = min(values[0][0], WANTED[0])
    y_ticks = tuple(round(0.1 * k, 1) for k in range(int(least * 10), 11))
    plane = Plane((0.0, float(len(values) + 1)), y_ticks)
    spots = tuple(
        Spot("dot", plane.x(place), plane.y(value), f"{name}: {percent(value)}")
        for place, (value, name) in enumerate(values, start=1)
    )
    level = _level(found)
    return Chart(
        key="uncertainty-coverage",
        title="Coverage of each patient",
        summary=(
            f"Share of body voxels inside the intervals, {count(len(values), 'patient')}: from "
            f"{percent(values[0][0])} to {percent(values[-1][0])}; {percent(level, 0)} is meant."
        ),
        plane=plane,
        x_label="patients, by coverage",
        y_label="inside the interval",
        bands=(plane.belt(*WANTED, "belt", "85 to 95 %"),),
        strokes=(Stroke("limit", plane.level(level), f"meant: {percent(level, 0)}"),),
        spots=spots,
        x_texts=("", ""),
        y_texts=tuple(percent(tick, 0) for tick in y_ticks),
    )


def _sparsification_chart(curves: Document) -> Chart | None:
    lines = {key: _numbers(curves, key) for key in ("removed", "error", "oracle")}
    if not lines["removed"] or len({len(line) for line in lines.values()}) > 1:
        return None
    ticks = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    top = max(1.0, *lines["error"])
    plane = Plane(ticks, tuple(round(0.2 * k, 1) for k in range(int(top / 0.2 - 1e-9) + 2)))
    drawn = (("model", "error", "by the spread"), ("stage", "oracle", "by the error itself"))
    strokes = tuple(
        Stroke(style, plane.path(list(zip(lines["removed"], lines[key], strict=True))), title)
        for style, key, title in drawn
    )
    half = min(range(len(lines["removed"])), key=lambda k: abs(lines["removed"][k] - 0.5))
    return Chart(
        key="uncertainty-sparsification",
        title="Error left without the most uncertain voxels",
        summary=(
            "Mean error of the voxels that are left, as a share of that of all: without the more "
            f"uncertain half it is {percent(lines['error'][half], 0)}; ordered by the error "
            f"itself it would be {percent(lines['oracle'][half], 0)}."
        ),
        plane=plane,
        x_label="voxels left out, the most uncertain first",
        y_label="error left",
        strokes=strokes,
        x_texts=tuple(percent(tick, 0) for tick in ticks),
    )


def _numbers(curves: Document, key: str) -> list[float]:
    held = curves.get(key)
    values = [finite(value) for value in held] if isinstance(held, list) else []
    return [value for value in values if value is not None]
