"""Lattice, blur and noise of each stage: what pixel metrics do not see, in numbers and spectra."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from petcast.catalogue import ARTEFACTS, BLURRED_TRUTH, metric_of
from petcast.report.arrays import Spectra, Spectrum
from petcast.report.closer import bears_lattice
from petcast.report.inputs import Evaluation, Score
from petcast.report.numbers import MISSING, number, percent
from petcast.report.plot import Chart, Note, Plane, Stroke, ticks_around
from petcast.report.tables import stage_names
from petcast.words import interval

LATTICE_FREQUENCIES = (0.125, 0.25, 0.375, 0.5)
"""Cycles per voxel, along one axis, of periods 8, 4 and 2 and their harmonics."""

BAR_WIDTH = 80
MOST_POWER_DECADES = 6
HALF = 0.5
HIGHEST_PER_MM = 0.15
"""Above it a PET holds next to nothing but noise."""


@dataclass(frozen=True)
class Measure:
    """A number of an image, with a bar.

    Attributes:
        value: Its text.
        ends: Its 95 % interval, and the patients behind it where some are missing; or empty.
        bar: Width of its bar, None where it has none.
        flagged: Whether it is one to mind.
    """

    value: str
    ends: str = ""
    bar: float | None = None
    flagged: bool = False


@dataclass(frozen=True)
class Look:
    """What was seen in an image.

    Attributes:
        name: On the page.
        kind: "model", "stage" or "reference".
        blur: FWHM in mm.
        detail: FWHM in mm, of the real PET's detail.
        lattice: In dB.
        strength: Of the pattern, in percent of the uptake.
        texture: 0 to 1.
        noise: As a share of the real PET's.
    """

    name: str
    kind: str
    blur: Measure
    detail: Measure
    lattice: Measure
    strength: Measure
    texture: Measure
    noise: Measure


@dataclass(frozen=True)
class ArtefactPanel:
    """The panel.

    Attributes:
        looks: A row an image.
        charts: The spectra.
        stages: Whether earlier stages are drawn.
    """

    looks: tuple[Look, ...]
    charts: tuple[Chart, ...]
    stages: bool


def artefact_panel(
    evaluation: Evaluation | None, model: str, spectra: Spectra | None
) -> ArtefactPanel | None:
    """Lay the panel out.

    Args:
        evaluation: None where there is none.
        model: The model's name in it.
        spectra: None where none were kept.

    Returns:
        Numbers and drawings; None without either.
    """
    rows = evaluation.rows if evaluation else ()
    names = [*stage_names(rows, model)[::-1], BLURRED_TRUTH]
    by_name = {name: _values(rows, name) for name in names}
    known = {name: values for name, values in by_name.items() if values}
    widths = [_value(v, key) or 0.0 for v in known.values() for key in ("blur_mm", "detail_mm")]
    widest = max(map(abs, widths), default=0.0)
    spoilt = {n for n in known if evaluation is not None and bears_lattice(evaluation, n)}
    patients = max((row.n for row in rows), default=0)
    looks = tuple(
        _look(name, model, values, _Scale(widest, patients), spoilt=name in spoilt)
        for name, values in known.items()
    )
    charts = tuple(_charts(spectra, model)) if spectra else ()
    if not (set(known) - {BLURRED_TRUTH}) and not charts:
        return None
    stages = spectra is not None and any(" / stage " in name for name in spectra.names)
    return ArtefactPanel(looks, charts, stages)


def _values(rows: Sequence[Score], name: str) -> dict[str, Score]:
    return {row.metric: row for row in rows if row.name == name and row.metric in ARTEFACTS}


def _value(values: Mapping[str, Score], key: str) -> float | None:
    return values[key].value if key in values else None


@dataclass(frozen=True)
class _Scale:
    """What the numbers of all images are held against."""

    widest_mm: float
    patients: int


def _look(
    name: str, model: str, values: Mapping[str, Score], scale: _Scale, *, spoilt: bool
) -> Look:
    kind = "model" if name == model else "reference" if name == BLURRED_TRUTH else "stage"
    label = "Blurred truth" if kind == "reference" else name
    label = name.removeprefix(f"{model} / ").capitalize() if kind == "stage" else label
    measure = partial(_measure, values, scale.patients)
    return Look(
        name=label,
        kind=kind,
        blur=measure("blur_mm", scale.widest_mm),
        detail=measure("detail_mm", scale.widest_mm),
        lattice=measure("lattice", flagged=spoilt),
        strength=_percent(_value(values, "lattice_strength")),
        texture=measure("noise_texture", 1.0),
        noise=measure("noise_ratio", 1.0),
    )


def _bar(value: float | None, full: float) -> float | None:
    if value is None or full <= 0:
        return None
    return round(min(max(value / full, 0.0), 1.0) * BAR_WIDTH, 1)


def _measure(
    values: Mapping[str, Score],
    patients: int,
    key: str,
    full: float | None = None,
    *,
    flagged: bool = False,
) -> Measure:
    """A number beside what would fill its bar, if it has one."""
    metric, score = metric_of(key), values.get(key)
    if score is None:
        return Measure(MISSING)
    ends = interval(score.low, score.high, metric.digits)
    said = [ends, f"n = {score.n}" if score.n < patients else ""]
    bar = None if full is None else _bar(score.value, full)
    return Measure(number(score.value, metric.digits), "; ".join(filter(None, said)), bar, flagged)


def _percent(share: float | None) -> Measure:
    return Measure(percent(share, 2))


# Spectra


@dataclass(frozen=True)
class _Drawn:
    """A spectrum as a line."""

    style: str
    title: str
    values: NDArray[np.float64]


def _charts(spectra: Spectra, model: str) -> Iterator[Chart]:
    if spectra.power is not None:
        yield from _logarithmic(
            "power", "Detail: power over frequency", spectra.power, spectra.names, model,
            "power, of the real PET's (log)",
        )  # fmt: skip
    if spectra.transfer is not None:
        yield from _transfer(spectra.transfer, spectra.names, model)
    if spectra.noise is not None:
        yield from _logarithmic(
            "noise", "Noise power spectrum", spectra.noise, spectra.names, model,
            "SUV² mm² (log)",
        )  # fmt: skip
    for axis, held in (("x", spectra.lattice_x), ("y", spectra.lattice_y)):
        if held is not None:
            yield from _lattice(axis, held, spectra.names, model)


def _drawn(held: Spectrum, names: Sequence[str], model: str) -> list[_Drawn]:
    """The real PET behind, the model in front."""
    stages = [name for name in names if name.startswith(f"{model} / stage ")]
    others = [(name, "stage") for name in stages] + [(BLURRED_TRUTH, "blurred"), (model, "model")]
    lines = [_Drawn("real", "real PET", np.asarray(held.real, dtype=np.float64))]
    for name, style in others:
        if name in names:
            title = name.removeprefix(f"{model} / ")
            lines.append(_Drawn(style, title, np.asarray(held.images[names.index(name)], float)))
    return [line for line in lines if np.isfinite(line.values).any()]


def _logarithmic(
    key: str, title: str, held: Spectrum, names: Sequence[str], model: str, y_label: str
) -> Iterator[Chart]:
    frequency = np.asarray(held.frequency, dtype=np.float64)
    inside = (frequency > 0) & (frequency <= HIGHEST_PER_MM)
    lines = _drawn(held, names, model)
    logs = {id(line): _log10(line.values) for line in lines}
    values = np.concatenate([logs[id(line)][inside] for line in lines]) if lines else np.array([])
    values = values[np.isfinite(values)]
    if not values.size:
        return
    top = math.ceil(values.max())
    low = max(math.floor(values.min()), top - MOST_POWER_DECADES)
    y_ticks = tuple(float(n) for n in range(low, max(top, low + 1) + 1))
    plane = Plane(ticks_around([0.0, min(HIGHEST_PER_MM, float(frequency[inside].max()))]), y_ticks)
    strokes = tuple(
        Stroke(line.style, _path(plane, frequency, logs[id(line)], inside), line.title)
        for line in lines
    )
    yield Chart(
        f"spectrum-{key}", title, _summary(title, lines, frequency, inside), plane,
        "cycles per mm", y_label, strokes=strokes, y_texts=tuple(_power_of_ten(v) for v in y_ticks),
    )  # fmt: skip


def _log10(values: NDArray[np.float64]) -> NDArray[np.float64]:
    safe = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    return np.asarray(np.log10(safe))


def _power_of_ten(exponent: float) -> str:
    digits = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return f"10{str(int(exponent)).translate(digits)}"


def _path(
    plane: Plane,
    along: NDArray[np.float64],
    values: NDArray[np.float64],
    inside: NDArray[np.bool_],
) -> str:
    """The line, broken where a value is missing or lies below the drawing."""
    kept = np.flatnonzero(inside & np.isfinite(values) & (values >= plane.y_ticks[0]))
    runs = np.split(kept, np.flatnonzero(np.diff(kept) > 1) + 1)
    return "".join(
        plane.path(list(zip(along[run].tolist(), values[run].tolist(), strict=True)))
        for run in runs
    )


def _summary(
    title: str,
    lines: Sequence[_Drawn],
    frequency: NDArray[np.float64],
    inside: NDArray[np.bool_],
) -> str:
    """The ratio to the real PET in the upper half of what is drawn."""
    half = inside & (frequency >= frequency[inside].max() / 2)
    real = next((line.values for line in lines if line.style == "real"), None)
    said = [f"{title} of the real PET and the images."]
    for line in lines:
        if real is None or line.style == "real":
            continue
        ratio = np.nansum(line.values[half]) / max(np.nansum(real[half]), 1e-30)
        said.append(f"In the upper half, {line.title} has {ratio:.2g} times the real power.")
    return " ".join(said)


def _transfer(held: Spectrum, names: Sequence[str], model: str) -> Iterator[Chart]:
    frequency = np.asarray(held.frequency, dtype=np.float64)
    lines = _drawn(held, names, model)
    inside = (frequency > 0) & (frequency <= HIGHEST_PER_MM)
    values = np.concatenate([line.values[inside] for line in lines]) if lines else np.array([])
    values = values[np.isfinite(values)]
    if not values.size:
        return
    ends = [0.0, min(HIGHEST_PER_MM, float(frequency[inside].max()))]
    shares = [min(0.0, float(values.min())), max(1.0, float(values.max()))]
    plane = Plane(ticks_around(ends), ticks_around(shares))
    strokes = tuple(
        Stroke(line.style, _path(plane, frequency, line.values, inside), line.title)
        for line in lines
    )
    yield Chart(
        "spectrum-transfer", "The real PET's detail, as far as it is repeated",
        _halves(lines, frequency, inside), plane, "cycles per mm", "share of the real amplitude",
        strokes=strokes,
    )  # fmt: skip


def _halves(
    lines: Sequence[_Drawn], frequency: NDArray[np.float64], inside: NDArray[np.bool_]
) -> str:
    """Where half of the detail is gone."""
    said = ["Share of the real PET's amplitude that each image repeats, by detail."]
    for line in lines:
        lost = np.flatnonzero(inside & (line.values < HALF))
        if line.style != "real":
            finest = f"of {1 / frequency[lost[0]]:.0f} mm and finer" if len(lost) else "nowhere"
            said.append(f"{line.title} has less than half of it {finest}.")
    return " ".join(said)


def _lattice(axis: str, held: Spectrum, names: Sequence[str], model: str) -> Iterator[Chart]:
    frequency = np.asarray(held.frequency, dtype=np.float64)
    lines = _drawn(held, names, model)
    if not lines:
        return
    values = np.concatenate([line.values for line in lines])
    values = values[np.isfinite(values)]
    low = max(float(values.min()), -20.0)
    plane = Plane((0.0, *LATTICE_FREQUENCIES), ticks_around([low, float(values.max())]))
    inside = np.isfinite(frequency)
    strokes = [
        *(
            Stroke("mark", plane.upright(f), f"lattice frequency {f:g}")
            for f in LATTICE_FREQUENCIES
        ),
        *(
            Stroke(one.style, _path(plane, frequency, one.values, inside), one.title)
            for one in lines
        ),
    ]
    notes = tuple(
        Note(plane.x(f) - (2 if f == LATTICE_FREQUENCIES[-1] else 0), 12, text, anchor)
        for f, text, anchor in ((0.125, "8", "middle"), (0.25, "4", "middle"), (0.5, "2", "end"))
    )
    title = f"Lattice along {axis}"
    yield Chart(
        f"lattice-{axis}", title, _peaks(title, lines, frequency), plane, "cycles per voxel",
        "dB above the median", strokes=tuple(strokes), notes=notes,
        x_texts=("0", "⅛", "¼", "⅜", "½"),
    )  # fmt: skip


def _peaks(title: str, lines: Sequence[_Drawn], frequency: NDArray[np.float64]) -> str:
    said = [f"{title}: energy at frequencies of 1/8, 1/4, 3/8 and 1/2 per voxel."]
    for line in lines:
        at = [line.values[int(np.abs(frequency - f).argmin())] for f in LATTICE_FREQUENCIES]
        texts = ", ".join(number(value, 0) for value in at)
        said.append(f"{line.title}: {texts} dB.")
    return " ".join(said)
