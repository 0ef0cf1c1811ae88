"""Tables 1 to 3: what a stage is made of, how large generators are, and who goes where."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import torch
from torch import nn

from petcast.models.cascade import TABLE_1, Row, Stage
from petcast.models.describe import count_parameters, describe_all
from petcast.pairs import PairedStudy, Pairs
from petcast.pairs.split import PARTS
from petcast.study import paper
from petcast.study.protocol import PROTOCOLS, Protocol
from petcast.study.tables import Cell, Group, Line, Record, Table

UNKNOWN = "?"
"""The diagnosis of a patient of whom none is known."""


def table_1() -> Table:
    """Read the architecture off the modules themselves, beside the paper's.

    Returns:
        A row a block of a stage.
    """
    with torch.device("meta"):
        stage = Stage()
    blocks = [*stage.encoders, *stage.decoders, stage.visual]
    inputs = [_convolution(block).in_channels for block in blocks]
    records = [
        _block(row, block, following)
        for row, block, following in zip(TABLE_1, blocks, [*inputs[1:], None], strict=True)
    ]
    total = count_parameters(stage)
    lines = [_block_line(record) for record in records]
    lines.append(Line("Stage", [*[Cell("")] * 10, Cell(f"{total:,}")], "sum"))
    own = ("input", "output", "trans", "dropout")
    differing = [str(record["block"]) for record in records if record["equal"] != "yes"]
    return Table(
        "table-1",
        "Table 1. A stage: its blocks as built, and as printed in the paper",
        "Block",
        [
            Group("Built", own), Group("Paper", own),
            Group("", ("bias", "batch norm", "parameters")),
        ],
        lines,
        "Read off the network: all convolutions are 4 × 4 with stride 2 and padding 1. Trans: the "
        "channels of the skip that joins a decoder's output on its way into the next block. "
        + (f"Differing: {', '.join(differing)}." if differing else "Every row equals the paper's."),
        records,
    )  # fmt: skip


def table_2(generators: Sequence[str]) -> Table:
    """Count the parameters of the networks, beside the paper's.

    Args:
        generators: In this order.

    Returns:
        A row a generator.
    """
    described = _described()
    records = [_size(described[name]) for name in generators]
    columns = ("parameters", "parameters_m", "paper_m", "equal", "stages", "gflop")
    lines = [
        Line(str(r["generator"]), [_count(r[key]) for key in columns], note=_size_note(r))
        for r in records
    ]
    return Table(
        "table-2",
        "Table 2. Parameters of the generators",
        "Generator",
        [
            Group("Built", ("exact", "million")), Group("Paper", ("million", "equal")),
            Group("", ("stages", "GFLOP a slice")),
        ],
        lines,
        "GFLOP: a forward pass of a 256 × 256 slice, a multiplication and an addition being two. "
        "The paper's 108.82 for Cas-UNet is twice its rounded U-Net; DSGGAN is a reconstruction "
        "(docs/models.md).",
        records,
    )  # fmt: skip


def table_3(divisions: Mapping[Protocol, Pairs]) -> Table:
    """Count patients, studies and slices of each part and diagnosis.

    Args:
        divisions: The pairs as each protocol divides them.

    Returns:
        A row a part, beneath it one a diagnosis where any is known, and at the end the total.
    """
    diagnosis_of = {
        row["patient"]: str(row.get("diagnosis") or UNKNOWN)
        for row in divisions["sound"].index["studies"]
    }
    held = {
        (protocol, part): divisions[protocol].studies(part)
        for protocol in PROTOCOLS
        for part in PARTS
    }
    letters = sorted(set(diagnosis_of.values()))
    records = [
        _counted(protocol, part, letter, _of(held[protocol, part], diagnosis_of, letter))
        for protocol in PROTOCOLS
        for part in PARTS
        for letter in ("all", *letters)
    ]
    return Table(
        "table-3",
        "Table 3. Who trains, who chooses the epoch, who tests",
        "Part",
        [
            Group("Paper", ("pairs",)),
            Group("Published protocol", ("patients", "pairs")),
            Group("Sound protocol", ("patients", "pairs")),
        ],
        [*_part_lines(records, letters), _total_line(held)],
        "Pairs are slices of CT and PET; an image is either: there are twice as many. Under the "
        "published protocol a patient's slices are in both parts. Diagnoses: A adenocarcinoma, B "
        f"small cell, E large cell, G squamous cell carcinoma, {UNKNOWN} not known.",
        records,
    )


@cache
def _described() -> dict[str, Mapping[str, object]]:
    """Every generator's size; they do not change, and are not quickly built."""
    return {str(row["name"]): row for row in describe_all()["models"]}


def _convolution(block: nn.Module) -> nn.Conv2d | nn.ConvTranspose2d:
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    return next(part for part in block.modules() if isinstance(part, kinds))


def _block(row: Row, block: nn.Module, following: int | None) -> Record:
    convolution = _convolution(block)
    inputs, outputs = convolution.in_channels, convolution.out_channels
    trans = (following or outputs) - outputs if row.name.startswith("Decoder") else 0
    dropout = next((part.p for part in block.modules() if isinstance(part, nn.Dropout)), 0.0)
    built = Row(row.name, inputs, outputs, trans, dropout)
    return {
        "block": row.name,
        **_numbers(built),
        **{f"paper_{key}": value for key, value in _numbers(row).items()},
        "equal": _yes(built == row),
        "kernel": convolution.kernel_size[0],
        "stride": convolution.stride[0],
        "padding": int(convolution.padding[0]),
        "bias": _yes(convolution.bias is not None),
        "batch_norm": _yes(any(isinstance(part, nn.BatchNorm2d) for part in block.modules())),
        "parameters": count_parameters(block),
    }  # fmt: skip


def _numbers(row: Row) -> dict[str, float | None]:
    """A row's numbers; None where the paper prints a dash."""
    return {
        "input": row.input,
        "output": row.output,
        "trans": row.trans or None,
        "dropout": row.dropout or None,
    }


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _block_line(record: Record) -> Line:
    keys = ("input", "output", "trans", "dropout")
    shown = [*keys, *(f"paper_{key}" for key in keys), "bias", "batch_norm", "parameters"]
    return Line(str(record["block"]), [_count(record[key]) for key in shown])


def _size(described: Mapping[str, object]) -> Record:
    name, exact = str(described["name"]), int(str(described["parameters"]))
    ours = f"{exact / 1e6:.2f}"
    printed = paper.PARAMETERS_M[name]
    return {
        "generator": name,
        "parameters": exact,
        "parameters_m": ours,
        "paper_m": printed,
        "equal": _yes(ours == printed),
        "stages": int(str(described["stages"])),
        "gflop": float(str(described["gflop"])),
    }


def _size_note(record: Record) -> str:
    return "reconstruction" if record["generator"] == "DSGGAN" else ""


def _count(value: object) -> Cell:
    if value is None:
        return Cell("–")
    if isinstance(value, float):
        return Cell(f"{value:g}")
    return Cell(f"{value:,}" if isinstance(value, int) else str(value))


def _of(
    studies: Iterable[PairedStudy], diagnosis_of: Mapping[str, str], letter: str
) -> list[PairedStudy]:
    return [one for one in studies if letter in ("all", diagnosis_of[one.patient])]


def _counted(protocol: str, part: str, letter: str, studies: Sequence[PairedStudy]) -> Record:
    pairs = sum(study.slices for study in studies)
    whole = letter == "all"
    return {
        "protocol": protocol,
        "part": part,
        "diagnosis": letter,
        "patients": len({study.patient for study in studies}),
        "studies": len({study.folder for study in studies}),
        "pairs": pairs,
        "images": 2 * pairs,
        "paper_pairs": paper.SLICES.get(part, 0) if whole else None,
    }


def _part_lines(records: Sequence[Record], letters: Sequence[str]) -> Iterable[Line]:
    found = {(r["protocol"], r["part"], r["diagnosis"]): r for r in records}
    shown = ["all", *(letters if letters != [UNKNOWN] else [])]
    for part in PARTS:
        for letter in shown:
            rows = [found[protocol, part, letter] for protocol in PROTOCOLS]
            cells = [Cell(f"{row[key]:,}") for row in rows for key in ("patients", "pairs")]
            printed = str(paper.SLICES.get(part, "–")) if letter == "all" else ""
            name = part if letter == "all" else f"{part}, {letter}"
            yield Line(name, [Cell(printed), *cells], "model" if letter == "all" else "trivial")


def _total_line(held: Mapping[tuple[Protocol, str], Sequence[PairedStudy]]) -> Line:
    """All parts together; a patient in several of them is one."""
    cells = [Cell(f"{sum(paper.SLICES.values()):,}")]
    for protocol in PROTOCOLS:
        studies = [study for part in PARTS for study in held[protocol, part]]
        pairs = sum(study.slices for study in studies)
        cells += [Cell(f"{len({study.patient for study in studies}):,}"), Cell(f"{pairs:,}")]
    return Line("total", cells, "sum")
