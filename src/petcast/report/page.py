"""The page: gathers what the other modules say of a run, and lets the templates write it."""

from collections.abc import Sequence
from pathlib import Path

from petcast.catalogue import PAPER, TRIVIAL, Metric, region_label
from petcast.disk.durable import write_text
from petcast.errors import UsageError
from petcast.report.artefacts import artefact_panel
from petcast.report.bland_altman import bland_altman
from petcast.report.card import write_card
from petcast.report.comparisons import comparisons_of
from petcast.report.content import Content
from petcast.report.curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, draw_curves
from petcast.report.data import account_for, leaks
from petcast.report.inputs import Document, Evaluation, Run, Score, finite, read_run, records, table
from petcast.report.lesions import lesion_panel
from petcast.report.montage import draw_montage, last_stage
from petcast.report.numbers import number
from petcast.report.provenance import chosen_epoch, misfits, provenance_of
from petcast.report.registration import agreement_of
from petcast.report.strips import draw_strip
from petcast.report.study import is_study, read_study, render_study
from petcast.report.tables import Table, all_columns, main_table, stage_table
from petcast.report.templating import fill
from petcast.report.uncertainty import uncertainty_panel
from petcast.report.verdict import Verdict, judge
from petcast.report.worst import worst_cases

FRAME = {
    "width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT,
    "top": TOP, "bottom": HEIGHT - BOTTOM,
}  # fmt: skip

NOT_OF_FILES = (
    "stages, curves over epochs, the training data, how CT and PET lie on each other, and a recipe"
)
"""What only a run can tell."""


def write_report(run: Path, out: Path, card: Path | None = None) -> Path:
    """Write one self-contained page about a run, an evaluation of files, or a study.

    Args:
        run: A training's folder, evaluated or not, one of `petcast evaluate --out`, or a study's.
        out: The HTML file.
        card: A Markdown file for the model card; none is written where None.

    Returns:
        `out`.

    Raises:
        UsageError: `run` is none of these, `out` or `card` is a folder, or a study has no card.
        FormatError: A file in it is damaged.
    """
    if out.is_dir():
        raise UsageError(f"{out} is a folder; give a file name such as {out / 'report.html'}")
    if is_study(run):
        if card is not None:
            raise UsageError("a study has no model card; give one of its runs")
        write_text(out, render_study(read_study(run)))
        return out
    found = read_run(run)
    content = _content(found)
    if card is not None:
        write_card(found, content, card)
    write_text(out, fill("report.html.j2", content))
    return out


def _content(run: Run) -> Content:
    evaluation = run.evaluation
    model = _evaluated_name(run)
    verdict = judge(evaluation, model, _leaks(run))
    strips = [draw_strip(claim) for claim in verdict.claims]
    rows = evaluation.rows if evaluation else ()
    return {
        "model": model,
        "run": run,
        "verdict": verdict,
        "all_left_out": _all_left_out(evaluation, verdict),
        "strips": strips,
        "has_intervals": any(strip.low_x is not None for strip in strips),
        "warnings": [*(evaluation.warnings if evaluation else ()), *misfits(run)],
        "evaluation": evaluation,
        "scores": main_table(rows, model) if rows else None,
        "all_scores": all_columns(rows, model),
        "stages": stage_table(rows, model, _gains(evaluation)),
        "metrics": _metrics(all_columns(rows, model)),
        "clipping": _clipping(evaluation, model),
        "frechet": _frechet(evaluation),
        "score_caption": _score_caption(evaluation),
        "frame": FRAME,
        "panels": draw_curves(run.epochs, chosen_epoch(run)),
        "epoch_rows": [_epoch_row(row) for row in run.epochs],
        "chosen": chosen_epoch(run),
        "montage": draw_montage(run.slices),
        "worst_pictures": draw_montage(last_stage(run.worst)),
        "montage_rule": str(evaluation.document.get("montage") or "") if evaluation else "",
        "data": account_for(run.data),
        "agreement": agreement_of(run.data, run.fused),
        "comparisons": comparisons_of(evaluation, model),
        "worst": worst_cases(evaluation, model),
        "lesions": lesion_panel(evaluation, model),
        "bland_altman": bland_altman(evaluation, model),
        "artefacts": artefact_panel(evaluation, model, run.spectra),
        "uncertainty": uncertainty_panel(evaluation, run.slices, run.half_widths),
        "left_out": "" if run.trained else NOT_OF_FILES,
        "provenance": provenance_of(run),
        "trivial": _trivial(rows),
    }


def _all_left_out(evaluation: Evaluation | None, verdict: Verdict) -> bool:
    """Whether no prediction was measured, so that there is nothing to show of any."""
    left_out = records(evaluation.document, "left_out") if evaluation else []
    return bool(left_out) and not verdict.claims


def _leaks(run: Run) -> bool | None:
    """Whether patients both train and test; None where nothing says so.

    data.json tells of the pairs that were trained on, not of others that were evaluated.
    """
    if run.evaluation and "OTHER-PAIRS" in dict(run.evaluation.warnings):
        return None
    return leaks(run.data, run.evaluation.part if run.evaluation else "test")


def _evaluated_name(run: Run) -> str:
    named = run.evaluation.document.get("model") if run.evaluation else None
    return str(named or run.model)


def _gains(evaluation: Evaluation | None) -> list[Document]:
    """What each stage adds, with intervals; an older evaluation has none."""
    return records(evaluation.document, "stage_gains") if evaluation else []


def _trivial(rows: Sequence[Score]) -> dict[str, str]:
    """Those that were measured; all of them where nothing was."""
    measured = {row.name for row in rows}
    return {name: label for name, label in TRIVIAL.items() if not rows or name in measured}


def _metrics(tables: list[Table]) -> list[Metric]:
    found = {metric.key: metric for one in tables for metric in one.metrics}
    return list(found.values()) or [column.metric for column in PAPER]


def _score_caption(evaluation: Evaluation | None) -> str:
    """What stands in the table of scores."""
    if evaluation is None:
        return ""
    how = table(evaluation.document, "interval").get("kind")
    kind = f" ({how})" if how else ""
    known = any(row.low is not None for row in evaluation.rows)
    ends = f" Beneath them, 95 % intervals over patients{kind}." if known else ""
    means = "Means over patients, a patient's over slices."
    return f"{means}{ends} Bold: the best of a column, whoever it is. n: patients."


def _clipping(evaluation: Evaluation | None, model: str) -> str:
    """How much of the real PET lies outside the window of the image metrics."""
    rows = evaluation.rows if evaluation else ()
    clipped = [row for row in rows if (row.name, row.metric) == (model, "clipped")]
    if not clipped:
        return ""
    shares = [
        f"{_percent(row.value)} ({region_label(row.region).lower()})"
        for row in clipped
        if row.value
    ]
    if not shares:
        return "No voxel of the real PET lies outside the SUV window of the image metrics."
    return (
        "SUV outside the window counts as its nearer end in SSIM, PSNR, MAE and MSE; of the real "
        f"PET's voxels that concerns {', '.join(shares)}. SUV error and bias are not clipped."
    )


def _frechet(evaluation: Evaluation | None) -> str:
    """How far the images' features lie from the real PET's, of all slices together."""
    perceptual = table(evaluation.document, "perceptual") if evaluation else {}
    known = [
        (str(one.get("name")), value, finite(one.get("slices")))
        for one in records(perceptual, "frechet")
        if (value := finite(one.get("value"))) is not None
    ]
    if not known:
        return ""
    distances = ", ".join(f"{name} {value:.3g}" for name, value, _ in known)
    slices = f" over {known[0][2]:.0f} slices" if known[0][2] is not None else ""
    network = perceptual.get("architecture") or "unnamed"
    return (
        f"Fréchet distance of {network} features{slices} (lower is nearer to the real PET; no FID, "
        f"which is of Inception): {distances}."
    )


def _percent(share: float) -> str:
    percent = number(100 * share, 2)
    return "less than 0.01 %" if percent == "0.00" else f"{percent} %"


EPOCH_COLUMNS = (
    ("train", "loss", 5),
    *((part, one.key, one.metric.digits) for part in ("validation", "test") for one in PAPER),
)
"""Part, key and decimals of the numbers of an epoch."""


def _epoch_row(row: Document) -> tuple[int, list[str]]:
    cells = [number(finite(table(row, part).get(key)), d) for part, key, d in EPOCH_COLUMNS]
    return int(row["epoch"]), cells
