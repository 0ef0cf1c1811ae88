"""Table 4 under both protocols, and the same inside the body."""

from collections.abc import Iterator, Mapping

from petcast.catalogue import PAPER, Column, Place
from petcast.evaluate.baselines import TRIVIAL
from petcast.study import paper
from petcast.study.outcome import Mean, Outcome
from petcast.study.protocol import PROTOCOLS, Protocol
from petcast.study.scores import Scores, kind_of, meaning_of
from petcast.study.tables import (
    Cell,
    Group,
    Line,
    Record,
    Table,
    Value,
    mark_best,
)
from petcast.words import count, interval, number

BODY = (
    Column.of("body", "ssim", heading="SSIM"),
    Column.of("body", "psnr", heading="PSNR dB", digits=2),
    Column.of("body", "suv_mae", heading="SUV error"),
    Column.of("body", "suv_bias", heading="SUV bias"),
)
"""The title says where."""

NOT_OURS: list[float | None] = [None] * len(PAPER)
"""The paper's numbers compete with nobody here."""


def table_4(scores: Scores) -> Table:
    """The paper's Table 4 under both protocols, beside the paper's own numbers.

    Args:
        scores: Of the study.

    Returns:
        A row a generator, and one a trivial image.
    """
    names = [*scores.generators, *(t for t in reversed(TRIVIAL) if t in _measured(scores))]
    lines = [_line_4(scores, name) for name in names]
    values = [
        [*NOT_OURS, *(v for p in PROTOCOLS for v in _competing(scores, p, name))] for name in names
    ]
    labels = [column.heading for column in PAPER]
    return Table(
        "table-4",
        "Table 4. SSIM, PSNR and MAE of each generator, under both protocols",
        "Generator",
        [
            Group("Paper, best of 200 test epochs", labels),
            Group("Published protocol, best of the test epochs", labels),
            Group("Sound protocol, mean over test patients", [*labels, "epoch"]),
        ],
        mark_best(lines, values),
        "Whole slices, on the [0, 1] scale of the SUV window. Published: of the metrics on the "
        "shuffled test slices after each epoch the largest SSIM, the largest PSNR and the smallest "
        "MAE, each from its own epoch. Sound: patients apart, the epoch chosen on validation "
        "patients; beneath, 95 % intervals over test patients. Bold: the best of a column, whoever "
        "it is.",
        [_record_4(scores, name) for name in names],
    )


def table_body(scores: Scores) -> Table:
    """The sound protocol's numbers inside the body, where dark background cannot flatter.

    Args:
        scores: Of the study.

    Returns:
        A row a generator, and one a trivial image.
    """
    trivial = scores.trivial["sound"]
    names = [*scores.generators, *(t for t in reversed(TRIVIAL) if t in trivial)]
    of: dict[str, Mapping[Place, Mean]] = {
        name: trivial[name] if name in trivial else scores.outcomes["sound", name].means
        for name in names
    }
    names = [name for name in names if of[name]]
    lines = [
        Line(n, [_mean_cell(of[n].get(m.at), m) for m in BODY], kind_of(n), meaning_of(n))
        for n in names
    ]
    values = [[_signed(of[name].get(m.at), m) for m in BODY] for name in names]
    return Table(
        "table-4-body",
        "Inside the body, sound protocol",
        "Generator",
        [Group("", [column.heading for column in BODY])],
        mark_best(lines, values),
        "Means over test patients with 95 % intervals. SUV error and bias are not clipped to the "
        "window; a bias above zero adds uptake.",
        [
            {"name": name, **{k: v for m in BODY for k, v in _mean_record(
                f"body_{m.key}", of[name].get(m.at))}}
            for name in names
        ],
    )  # fmt: skip


def _measured(scores: Scores) -> set[str]:
    return {name for own in scores.trivial.values() for name in own}


def _line_4(scores: Scores, name: str) -> Line:
    printed = paper.SCORES.get(name)
    cells = [Cell(number(getattr(printed, m.key), m.digits) if printed else "") for m in PAPER]
    trivial = name in TRIVIAL
    for protocol, own in ((PROTOCOLS[0], _published_cells), (PROTOCOLS[1], _sound_cells)):
        extra = [Cell("")] if protocol == "sound" else []
        if trivial:
            means = scores.trivial[protocol].get(name, {})
            cells += [*(_mean_cell(means.get(m.at), m) for m in PAPER), *extra]
        else:
            cells += own(scores, name)
    return Line(name, cells, kind_of(name), meaning_of(name))


def _published_cells(scores: Scores, name: str) -> list[Cell]:
    outcome = scores.outcomes["published", name]
    if outcome.state != "done":
        return [Cell(_state(outcome, scores.epochs), span=len(PAPER))]
    peaks = [(column, outcome.peak(column)) for column in PAPER]
    return [
        Cell(number(peak.value, column.digits), f"epoch {peak.epoch}") if peak else Cell("")
        for column, peak in peaks
    ]


def _sound_cells(scores: Scores, name: str) -> list[Cell]:
    outcome = scores.outcomes["sound", name]
    if outcome.state != "done":
        return [Cell(_state(outcome, scores.epochs), span=len(PAPER) + 1)]
    cells = [_mean_cell(outcome.means.get(column.at), column) for column in PAPER]
    return [*cells, Cell(str(outcome.chosen or ""))]


def _state(outcome: Outcome, epochs: int) -> str:
    return {
        "diverged": f"diverged at epoch {outcome.epochs}",
        "running": f"{outcome.epochs} of {count(epochs, 'epoch')}",
        "missing": "not trained",
    }[outcome.state]


def _competing(scores: Scores, protocol: Protocol, name: str) -> list[float | None]:
    if name in TRIVIAL:
        means = scores.trivial[protocol].get(name, {})
        return [_signed(means.get(column.at), column) for column in PAPER]
    outcome = scores.outcomes[protocol, name]
    if protocol == "sound":
        return [_signed(outcome.means.get(column.at), column) for column in PAPER]
    peaks = [(outcome.peak(column), column.metric) for column in PAPER]
    return [-metric.penalty(peak.value) if peak else None for peak, metric in peaks]


def _signed(mean: Mean | None, column: Column) -> float | None:
    """A number that is larger the better the mean is."""
    return None if mean is None else -column.metric.penalty(mean.value)


def _mean_cell(mean: Mean | None, column: Column) -> Cell:
    if mean is None:
        return Cell("")
    return Cell(number(mean.value, column.digits), interval(mean.low, mean.high, column.digits))


def _record_4(scores: Scores, name: str) -> Record:
    printed = paper.SCORES.get(name)
    record: dict[str, Value] = {"name": name, "kind": kind_of(name)}
    record |= {f"paper_{m.key}": getattr(printed, m.key) if printed else None
               for m in PAPER}  # fmt: skip
    for protocol in PROTOCOLS:
        outcome = scores.outcomes.get((protocol, name))
        record[f"{protocol}_state"] = _state_word(outcome, scores.epochs)
        means = outcome.means if outcome else scores.trivial[protocol].get(name, {})
        for column in PAPER:
            stem = f"{protocol}_{column.key}"
            if protocol == "published":
                peak = outcome.peak(column) if outcome else None
                mean = means.get(column.at)
                record[stem] = peak.value if peak else mean.value if mean else None
                record[f"{stem}_epoch"] = peak.epoch if peak else None
            else:
                record |= dict(_mean_record(stem, means.get(column.at)))
    record["sound_epoch"] = outcome.chosen if outcome else None
    return record


def _state_word(outcome: Outcome | None, epochs: int) -> str:
    if outcome is None:
        return ""
    return outcome.state if outcome.state == "done" else _state(outcome, epochs)


def _mean_record(stem: str, mean: Mean | None) -> Iterator[tuple[str, Value]]:
    yield stem, mean.value if mean else None
    yield f"{stem}_low", mean.low if mean else None
    yield f"{stem}_high", mean.high if mean else None
    yield f"{stem}_n", mean.n if mean else None
