"""Generators against each other, protocols against each other, and the curves' numbers."""

from collections.abc import Iterator

from petcast.catalogue import PAPER, Column
from petcast.evaluate.comparison import Paired, holm
from petcast.study.protocol import PROTOCOLS
from petcast.study.scores import Scores, kind_of, meaning_of
from petcast.study.tables import Cell, Group, Line, Record, Table, Value
from petcast.words import interval, number


def table_paired(scores: Scores, reference: str) -> Table:
    """Each generator against a reference on the same test patients.

    Args:
        scores: Of the study.
        reference: The other generator.

    Returns:
        A row a generator.
    """
    names = [name for name in scores.generators if name != reference]
    pairs = {(n, m.key): scores.paired(n, reference, m) for n in names for m in PAPER}
    corrected: dict[tuple[str, str], float | None] = {}
    for column in PAPER:
        ps = [pair.p if (pair := pairs[n, column.key]) else None for n in names]
        corrected |= {(n, column.key): p for n, p in zip(names, holm(ps), strict=True)}
    records: list[Record] = [
        {"generator": n, "reference": reference, "metric": m.key,
         **_paired_record(pairs[n, m.key], corrected[n, m.key])}
        for n in names for m in PAPER
    ]  # fmt: skip
    lines = [
        Line(n, [c for m in PAPER
                 for c in _paired_cells(pairs[n, m.key], corrected[n, m.key], m)])
        for n in names if any(pairs[n, m.key] for m in PAPER)
    ]  # fmt: skip
    return Table(
        f"paired-{reference.lower()}",
        f"Each generator minus {reference}, on the same test patients",
        "Generator",
        [Group(column.heading, ("difference", "p")) for column in PAPER],
        lines,
        "Mean of the patients' differences with its 95 % bootstrap interval, and p of the "
        "two-sided sign-flip test, beneath it corrected for as many comparisons as the column has "
        "(Holm). For MAE a difference below zero is better.",
        records,
    )


def table_worth(scores: Scores) -> Table:
    """What the protocol alone adds to each generator's PSNR.

    Args:
        scores: Of the study.

    Returns:
        A row a generator, and the all-zero image's.
    """
    column = PAPER[1]
    records = [_worth_record(scores, name, column) for name in scores.generators]
    zeros = [scores.trivial[p].get("zero", {}).get(column.at) for p in PROTOCOLS]
    if zeros[0] and zeros[1]:
        shift = zeros[0].value - zeros[1].value
        records.append(_worth("zero", zeros[0].value, zeros[0].value, zeros[1].value, shift))
    return Table(
        "protocol-worth",
        "The same generator under both protocols: PSNR in dB",
        "Generator",
        [Group("", ("published", "its last epoch", "sound", "published − sound"))],
        [_worth_line(record) for record in records],
        "The all-zero image learns nothing and is chosen by nobody: its row says how much easier "
        "or harder the published protocol's test slices are.",
        records,
    )


def table_curves(scores: Scores) -> Table:
    """The numbers behind Figures 2 to 4.

    Args:
        scores: Of the study.

    Returns:
        A record an epoch, generator and protocol; no rows for readers.
    """
    return Table("curves", "Test metrics after each epoch", "", (), (), "", list(_points(scores)))


def _points(scores: Scores) -> Iterator[Record]:
    for (protocol, name), outcome in scores.outcomes.items():
        for row in outcome.rows:
            parts = {part: row.get(part) or {} for part in ("validation", "test")}
            yield {
                "protocol": protocol, "generator": name, "epoch": int(row["epoch"]),
                **{f"{part}_{column.key}": own.get(column.key)
                   for part, own in parts.items() for column in PAPER},
                "train_loss": row["train"].get("loss"),
            }  # fmt: skip


def _paired_record(pair: Paired | None, corrected: float | None) -> dict[str, Value]:
    return {
        "difference": pair.value if pair else None,
        "low": pair.low if pair else None,
        "high": pair.high if pair else None,
        "p": pair.p if pair else None,
        "p_holm": corrected,
        "patients": pair.n if pair else None,
    }


def _paired_cells(pair: Paired | None, corrected: float | None, column: Column) -> list[Cell]:
    if pair is None:
        return [Cell(""), Cell("")]
    ends = interval(pair.low, pair.high, column.digits, signed=True)
    return [Cell(number(pair.value, column.digits, signed=True), ends), _p_cell(pair.p, corrected)]


def _p_cell(p: float | None, corrected: float | None) -> Cell:
    return Cell(_p(p), f"Holm {_p(corrected)}" if corrected is not None else "")


def _p(value: float | None) -> str:
    """Never 0: so few patients, or so few random patterns, cannot show that."""
    return "< 0.001" if value is not None and value < 0.001 else number(value, 3)


def _worth_record(scores: Scores, name: str, column: Column) -> Record:
    peak, mean = scores.outcomes["published", name].peak(column), scores.mean(name, column)
    gain = peak.value - mean.value if peak and mean else None
    published, last = (peak.value, peak.last) if peak else (None, None)
    return _worth(name, published, last, mean.value if mean else None, gain)


def _worth(
    name: str, published: float | None, last: float | None, sound: float | None, gain: float | None
) -> Record:
    return {
        "name": name, "published_psnr": published, "published_last_psnr": last,
        "sound_psnr": sound, "published_minus_sound": gain,
    }  # fmt: skip


def _worth_line(record: Record) -> Line:
    name = str(record["name"])
    *plain, gain = (v if isinstance(v, float) else None for v in list(record.values())[1:])
    cells = [*(Cell(number(value, 2)) for value in plain), Cell(number(gain, 2, signed=True))]
    return Line(name, cells, kind_of(name), meaning_of(name))
