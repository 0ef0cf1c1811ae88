"""Where the numbers come from: versions, hashes, the chosen epoch; and what does not fit."""

from collections.abc import Iterable, Sequence

from petcast.catalogue import metric_of
from petcast.report.data import Fact
from petcast.report.inputs import Document, Run, finite, records, table
from petcast.report.numbers import MISSING, number
from petcast.words import MINUS, count


def provenance_of(run: Run) -> tuple[Fact, ...]:
    """List what identifies a run.

    Args:
        run: Its files.

    Returns:
        Names and values; what is not known is left out.
    """
    found = (*_model_facts(run), *_code_facts(run), *_hash_facts(run), *_evaluation_facts(run))
    return tuple(Fact(name, value) for name, value in found if value)


def chosen_epoch(run: Run) -> int | None:
    """The epoch that the report is about.

    Args:
        run: Its files.

    Returns:
        Its number; that of the evaluated checkpoint where there is an evaluation.
    """
    evaluated = run.evaluation.document.get("epoch") if run.evaluation else None
    epoch = finite(evaluated) or finite(run.card.get("epoch"))
    return int(epoch) if epoch is not None else None


def misfits(run: Run) -> list[tuple[str, str]]:
    """Find files of a run that do not belong together.

    Args:
        run: Its files.

    Returns:
        Code and sentence of each.
    """
    found = []
    evaluation = run.evaluation.document if run.evaluation else {}
    weights = table(evaluation, "weights").get("model.safetensors")
    known = {_weights(card) for card in (run.best, run.last)} - {None}
    if weights and known and weights not in known:
        found.append(
            (
                "OLD-EVALUATION",
                "The evaluation was made with other weights than the run holds now; run `petcast "
                "evaluate` again.",
            )
        )
    if run.card.get("data_hash") and run.data.get("hash") not in (None, run.card["data_hash"]):
        found.append(("OTHER-DATA", "data.json is not the index that the model was trained on."))
    return found


def _weights(card: Document) -> str | None:
    value = table(card, "sha256").get("model.safetensors")
    return str(value) if value else None


def _model_facts(run: Run) -> Iterable[tuple[str, str]]:
    parameters = finite(run.card.get("parameters"))
    yield "Model", run.model if run.trained else "unknown: files without a run"
    yield "Parameters", f"{int(parameters):,}" if parameters is not None else ""
    yield "Chosen epoch", _choice(run)
    yield "Training time", _training_time(run.epochs)
    yield "Learned from first", _phantoms(run)
    grid = table(run.card, "grid")
    if grid:
        size, spacing = finite(grid.get("size")), finite(grid.get("spacing_mm"))
        yield "Model grid", f"{_g(size)} × {_g(size)} voxels of {_g(spacing)} mm"
    windows = table(run.card, "windows")
    yield "Input", _window(windows.get("hu"), "HU")
    yield "Output", _window(windows.get("suv"), "SUV (body weight, g/mL)")


def _choice(run: Run) -> str:
    epoch = chosen_epoch(run)
    if epoch is None:
        return ""
    of = f" of {int(run.epochs[-1]['epoch'])}" if run.epochs else ""
    by = table(run.recipe, "training").get("best")
    score = finite(run.card.get("score"))
    if not by or score is None:
        return f"{epoch}{of}; no validation patient chose it"
    metric = metric_of(str(by))
    return f"{epoch}{of}, by the best validation {metric.label}"


def _phantoms(run: Run) -> str:
    knobs = table(run.recipe, "pretraining")
    phantoms = int(finite(knobs.get("phantoms")) or 0)
    if not phantoms:
        return ""
    epochs = int(finite(knobs.get("epochs")) or 0)
    return f"{count(phantoms, 'phantom')}, for {count(epochs, 'epoch')}; nobody's data"


def _training_time(epochs: Sequence[Document]) -> str:
    seconds = sum(finite(row.get("seconds")) or 0.0 for row in epochs)
    if not seconds:
        return ""
    if seconds < 120:
        return f"{number(seconds, 0)} s for {count(len(epochs), 'epoch')}"
    minutes = round(seconds / 60)
    hours = f"{minutes // 60} h {minutes % 60} min" if minutes >= 120 else f"{minutes} min"
    return f"{hours} for {count(len(epochs), 'epoch')}"


def _code_facts(run: Run) -> Iterable[tuple[str, str]]:
    yield "petcast", str(run.card.get("petcast") or "")
    yield "PyTorch", str(run.card.get("torch") or "")
    git = run.card.get("git")
    yield "Source code", _git(git)


def _git(state: object) -> str:
    if isinstance(state, dict):
        return ", ".join(f"{key} {value}" for key, value in state.items() if value is not None)
    return str(state) if state else ""


def _hash_facts(run: Run) -> Iterable[tuple[str, str]]:
    yield "Data (SHA-256)", str(run.data.get("hash") or run.card.get("data_hash") or "")
    yield "Weights (SHA-256)", _weights(run.card) or ""


def _evaluation_facts(run: Run) -> Iterable[tuple[str, str]]:
    if run.evaluation is None:
        return
    document = run.evaluation.document
    yield "Evaluated by", f"petcast {document.get('petcast')}" if document.get("petcast") else ""
    yield "SUV window of image metrics", _window(document.get("suv_window"), "SUV")
    interval = table(document, "interval")
    level, seed = finite(interval.get("level")), finite(interval.get("seed"))
    if level is not None and interval.get("kind"):
        seeded = f", seed {seed:g}" if seed is not None else ""
        yield "Intervals", f"{level:.0%} {interval['kind']}{seeded}".replace("%", " %")
    left_out = records(document, "left_out")
    yield "Left out", count(len(left_out), "case") if left_out else ""
    weights = table(document, "perceptual").get("sha256")
    yield "Weights of LPIPS (SHA-256)", str(weights or "")


def _window(value: object, unit: str) -> str:
    if not isinstance(value, list) or len(value) != 2:
        return ""
    low, high = (_g(finite(end)) for end in value)
    return f"{low} to {high} {unit}"


def _g(value: float | None) -> str:
    return MISSING if value is None else f"{value:g}".replace("-", MINUS)
