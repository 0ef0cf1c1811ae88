"""The model card: the page's numbers as Markdown, for a model's folder or a repository."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import petcast
from petcast.disk.durable import write_text
from petcast.errors import UsageError
from petcast.report.artefacts import ArtefactPanel, Measure
from petcast.report.bland_altman import BlandAltman
from petcast.report.comparisons import Comparisons
from petcast.report.content import Content
from petcast.report.data import DataAccount
from petcast.report.inputs import Run
from petcast.report.lesions import LesionPanel
from petcast.report.limits import INTENDED, LIMITS
from petcast.report.tables import Table
from petcast.report.uncertainty import UncertaintyPanel
from petcast.report.verdict import Verdict
from petcast.report.worst import WorstCases

Cells = Sequence[str]

FILES_TITLE = "Predicted PET beside the real one: files without a run"

_SPECIAL = re.compile(r"([\\`*_\[\]|<>~#])")


def write_card(run: Run, content: Content, out: Path) -> Path:
    """Write the model card of a run.

    Args:
        run: Its files.
        content: What the page shows of it.
        out: The Markdown file.

    Returns:
        `out`.

    Raises:
        UsageError: `out` is a folder.
    """
    if out.is_dir():
        raise UsageError(f"{out} is a folder; give a file name such as {out / 'MODEL_CARD.md'}")
    write_text(out, render_card(run, content))
    return out


def render_card(run: Run, content: Content) -> str:
    """Write the card as text; the same run gives the same text.

    Args:
        run: Its files.
        content: What the page shows of it.

    Returns:
        Markdown.
    """
    lines = [
        f"# {plain(content['model'])}: PET cast from CT" if run.trained else f"# {FILES_TITLE}",
        "",
        f"Written by petcast {petcast.__version__} from the same files as the report.",
        *_verdict(content["verdict"], content["warnings"]),
        *_section("Intended use", [f"- {text}" for text in INTENDED]),
        *(_training(content["data"]) if run.trained else []),
        *_scores(content["scores"], (content["clipping"], content["frechet"])),
        *_comparisons(content["comparisons"]),
        *_worst(content["worst"]),
        *_lesions(content["lesions"]),
        *_agreement(content["bland_altman"]),
        *_artefacts(content["artefacts"]),
        *_uncertainty(content["uncertainty"]),
        *_section("Limits of use", [f"- **{bold}** {text}" for bold, text in LIMITS]),
        *_section(
            "Provenance",
            _grid(["", ""], [[fact.name, fact.value] for fact in content["provenance"]]),
        ),
    ]
    return "\n".join(lines).rstrip() + "\n"


def plain(value: object) -> str:
    r"""Write a value so that Markdown shows it as it is.

    Args:
        value: From a file; may hold anything.

    Returns:
        One line, special characters escaped.

    Example:
        >>> plain("suv_mae < 1 | 2")
        'suv\\_mae \\< 1 \\| 2'
    """
    text = " ".join(str(value).split()).replace("&", "&amp;")
    return _SPECIAL.sub(r"\\\1", text)


def _section(title: str, lines: Iterable[str]) -> list[str]:
    body = list(lines)
    return ["", f"## {title}", "", *body] if body else []


def _grid(head: Cells, rows: Iterable[Cells]) -> list[str]:
    """A table; nothing where it has no row."""
    body = [[plain(cell) for cell in row] for row in rows]
    if not body:
        return []
    lines = [[plain(cell) for cell in head], ["---"] * len(head), *body]
    return [f"| {' | '.join(line)} |" for line in lines]


def _with_ends(value: str, ends: str) -> str:
    return f"{value} ({ends})" if ends else value


def _verdict(verdict: Verdict, warnings: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield from _section("Verdict", [f"**{plain(verdict.headline)}.**"])
    for sentence in verdict.sentences:
        yield ""
        yield plain(sentence)
    if warnings:
        yield ""
        yield "Keep in mind:"
        yield ""
        yield from (f"- **{plain(code)}** {plain(said)}" for code, said in warnings)


def _training(data: DataAccount) -> list[str]:
    parts = [
        [part.name, f"{part.patients}", f"{part.studies}", f"{part.slices:,}", part.suv_max]
        for part in data.parts
    ]
    table = _grid(["Part", "Patients", "Studies", "Slices", "Largest SUV"], parts)
    divided = f"Divided: {data.split_kind}." if data.split_kind else ""
    said = " ".join(text for text in (divided, data.split_note) if text)
    facts = [f"- {plain(fact.name)}: {plain(fact.value)}" for fact in data.facts]
    refused = [f"- Refused: {data.refusals} items"] if data.refusals else []
    return _section("Data", [*([plain(said), ""] if said else []), *table, "", *facts, *refused])


def _scores(scores: Table | None, notes: Iterable[str]) -> list[str]:
    if scores is None:
        return _section("Metrics", ["Not evaluated."])
    head = ["Image"] + [
        f"{group.label}: {metric.heading} {metric.arrow}"
        for group in scores.groups
        for metric in group.metrics
    ]
    rows = [
        [line.name, *(_with_ends(cell.value, cell.interval) for cell in line.cells), line.n]
        for line in scores.lines
    ]
    caption = (
        "Means over patients, a patient's over slices, with 95 % intervals where there are "
        "several; n: patients."
    )
    more = [line for note in notes if note for line in ("", plain(note))]
    return _section("Metrics", [caption, "", *_grid([*head, "n"], rows), *more])


def _comparisons(found: Comparisons | None) -> list[str]:
    if found is None:
        return []
    rows = [
        [field.label, one.reference, _with_ends(one.difference, one.ends), one.p, one.verdict]
        for field in found.columns
        for one in field.contests
    ]
    said = [plain(found.sentence), *([plain(found.power)] if found.power else [])]
    head = ["Metric", "Against", "Difference", "p (Holm)", "Verdict"]
    return _section("Compared by patient", [" ".join(said), "", *_grid(head, rows)])


def _worst(worst: WorstCases | None) -> list[str]:
    if worst is None:
        return []
    head = ["Patient", *(f"{label}, {where}" for label, where, _ in worst.columns)]
    rows = [[case.patient, *case.cells] for case in worst.cases]
    return _section("Worst patients", _grid(head, rows))


def _lesions(panel: LesionPanel | None) -> list[str]:
    if panel is None:
        return _section("Lesions", ["No lesion was measured."])
    uptake = [[one.label, one.truth, one.prediction, one.share, f"{one.n}"] for one in panel.uptake]
    sizes = [
        [s.label, f"{s.lesions}", f"{s.found}", _with_ends(s.sensitivity, s.ends), f"{s.invented}"]
        for s in panel.sizes
    ]
    return _section(
        "Lesions",
        [
            plain(panel.sentence), "",
            *_grid(["Mean", "Real", "Predicted", "Share", "n"], uptake), "",
            *_grid(["Volume", "Hot", "Found", "Sensitivity", "Invented"], sizes),
        ],
    )  # fmt: skip


def _agreement(panel: BlandAltman | None) -> list[str]:
    if panel is None:
        return []
    rows = [
        [
            one.label, one.n, _with_ends(one.bias, one.bias_ends),
            _with_ends(one.lower, one.lower_ends), _with_ends(one.upper, one.upper_ends),
        ]
        for one in panel.rows
    ]  # fmt: skip
    head = ["SUV", "n", "Bias", "Lower limit", "Upper limit"]
    means = (
        "A patient's mean SUV is over the region's voxels, not slice by slice as the metrics are."
    )
    return _section("Agreement (Bland–Altman)", [means, "", *_grid(head, rows)])


def _artefacts(panel: ArtefactPanel | None) -> list[str]:
    if panel is None:
        return []

    def text(one: Measure) -> str:
        return _with_ends(one.value, one.ends) + (" (a lattice)" if one.flagged else "")

    rows = [
        [look.name, *(text(one) for one in (
            look.lattice, look.strength, look.blur, look.detail, look.texture, look.noise
        ))]
        for look in panel.looks
    ]  # fmt: skip
    head = [
        "Image", "Lattice dB", "Strength", "Blur mm", "Detail mm", "Noise texture", "Noise ratio",
    ]  # fmt: skip
    return _section("Lattice, blur and noise", _grid(head, rows))


def _uncertainty(panel: UncertaintyPanel | None) -> list[str]:
    if panel is None:
        return []
    said = [plain(text) for text in (panel.sentence, panel.made, *panel.warnings)]
    rows = [[name, _with_ends(value, ends), f"{n}"] for name, value, ends, n in panel.regions]
    head = ["Region", "Voxels inside their interval", "n"]
    return _section("Uncertainty", [" ".join(said), "", *_grid(head, rows)])
