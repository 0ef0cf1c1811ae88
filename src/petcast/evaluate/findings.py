"""What is wrong with a prediction, or cannot be read off its means: named, not averaged in."""

from collections.abc import Iterable, Sequence
from enum import StrEnum

import numpy as np
from jaxtyping import Bool, Shaped

from petcast.catalogue import METRICS
from petcast.evaluate.baselines import TRIVIAL
from petcast.evaluate.result import Finding, Row
from petcast.words import count

NOTHING_SUV = 0.01
"""A prediction that never exceeds this, in SUV, shows no uptake: blood alone is near 1."""

SAME_SUV = 1e-4
"""Values within this, in SUV, are the same value."""

NAMED_CASES = 5
"""How many cases a warning names before it only counts them."""


class Flaw(StrEnum):
    """A prediction that looked at nothing; the value is the warning's code."""

    ZERO = "ZERO-PREDICTION"
    CONSTANT = "CONSTANT-PREDICTION"


_MEANING = {
    Flaw.ZERO: "The prediction is zero everywhere (below 0.01 SUV) in",
    Flaw.CONSTANT: "The prediction has one and the same value everywhere inside the body in",
}

_CONSEQUENCE = {
    Flaw.ZERO: "It shows no uptake at all. Whole-slice SSIM is high all the same, because most of "
    "a PET slice is dark: read the row `zero` beside it.",
    Flaw.CONSTANT: "It shows no uptake pattern at all: read the row `body-constant` beside it.",
}


class Mistake(StrEnum):
    """What went wrong when a prediction was saved; the value is the warning's code."""

    BQML = "BQML-FOR-SUV"
    GREY_LEVELS = "GREY-LEVELS-FOR-SUV"
    UNIT_RANGE = "UNIT-RANGE-FOR-SUV"
    HU = "HU-FOR-SUV"
    OFFSET = "OFFSET"
    RESCALED_SLICES = "RESCALED-SLICES"
    RESCALED_VOLUMES = "RESCALED-VOLUMES"
    FLIPPED = "FLIPPED"
    SWAPPED_AXES = "SWAPPED-AXES"
    LOST_PLACE = "LOST-PLACE"
    SHIFTED_SLICES = "SHIFTED-SLICES"


REMEDIES = {
    Mistake.BQML: "holds Bq/mL, kBq/mL or stored integers, not SUV; multiply by body weight (g) "
    "over decayed dose (Bq; kBq), or by the scale that the integers were stored with",
    Mistake.GREY_LEVELS: "holds grey levels from 0 to 255 (or kBq/mL), not SUV; map them back by "
    "the window that they were made with, the same for all images",
    Mistake.UNIT_RANGE: "holds values from 0 to 1, not SUV; multiply by the width of the SUV "
    "window that the model was trained with",
    Mistake.HU: "holds CT numbers (HU), not SUV; give the predicted PET, not the CT",
    Mistake.OFFSET: "is not 0 in the air around the body; undo the shift that it was normalised "
    "by (such as [−1, 1], or mean and standard deviation)",
    Mistake.RESCALED_SLICES: "has slices rescaled each by itself, as by their own maximum or "
    "percentile; SUV is lost then: save again with one fixed scale for all",
    Mistake.RESCALED_VOLUMES: "was rescaled by its own maximum, volume by volume; SUV is lost "
    "then: save again with one fixed scale for all",
    Mistake.FLIPPED: "agrees clearly better with the real PET when it is turned round; mend the "
    "order of slices, rows or columns where it is saved",
    Mistake.SWAPPED_AXES: "agrees clearly better with the real PET when its axes are exchanged; "
    "mind the order of axes (NumPy: z, y, x; NIfTI: x, y, z) where it is saved",
    Mistake.LOST_PLACE: "agrees with the real PET voxel by voxel, and not where its header puts "
    "it: its position was lost; save it with the real PET's spacing, origin and directions",
    Mistake.SHIFTED_SLICES: "lies a whole number of slices off along z; look for a slice that was "
    "dropped, or counted from 1, where it is saved",
}
"""What each means and what to do, after "The prediction …"."""


def flaw_of(
    prediction: Shaped[np.ndarray, "z y x"], body: Bool[np.ndarray, "z y x"]
) -> Flaw | None:
    """Say whether a prediction looked at nothing.

    Args:
        prediction: In SUV.
        body: True inside the body.

    Returns:
        Its flaw, or None.

    Example:
        >>> flaw_of(np.zeros((1, 2, 2)), np.ones((1, 2, 2), dtype=bool)).value
        'ZERO-PREDICTION'
    """
    if np.abs(prediction).max() < NOTHING_SUV:
        return Flaw.ZERO
    inside = prediction[body] if body.any() else prediction
    return Flaw.CONSTANT if np.ptp(inside) < SAME_SUV else None


def describe_flaws(flaws: Sequence[tuple[str, Flaw | None]], one: str, many: str) -> list[Finding]:
    """Put flaws into words.

    Args:
        flaws: Each case's name and flaw.
        one: What a case is: "study", "case".
        many: The same of several.

    Returns:
        A warning for each kind of flaw that occurs.
    """
    findings = []
    for flaw in Flaw:
        names = [name for name, found in flaws if found is flaw]
        if names:
            where = f"{len(names)} of {count(len(flaws), one, many)} ({some(names)})"
            findings.append(Finding(flaw.value, f"{_MEANING[flaw]} {where}. {_CONSEQUENCE[flaw]}"))
    return findings


def describe_mistakes(found: dict[str, dict[Mistake, str]], cases: int) -> list[Finding]:
    """Put mistakes into words.

    Args:
        found: By case name.
        cases: How many there are.

    Returns:
        A warning for each kind of mistake that occurs.
    """
    findings = []
    for mistake in Mistake:
        names = {name: each[mistake] for name, each in found.items() if mistake in each}
        if names:
            which = some([f"{name}: {figure}" for name, figure in names.items()])
            findings.append(
                Finding(
                    mistake.value,
                    f"The prediction {REMEDIES[mistake]}. Left out of the means: {len(names)} of "
                    f"{count(cases, 'case')} ({which}).",
                )
            )
    return findings


def beaten_by_trivial(rows: Iterable[Row], model: str) -> list[Finding]:
    """Say where a model is no better than an image that knows nothing of the CT.

    Args:
        rows: Means over patients.
        model: Its name in them.

    Returns:
        A warning, or nothing.
    """
    values = {(row.name, row.region, row.metric): row.value for row in rows}
    lost = []
    for metric, said in (("psnr", "PSNR in dB"), ("suv_mae", "SUV error")):
        sign, mine = METRICS[metric].sign, values.get((model, "body", metric))
        for name in TRIVIAL:
            theirs = values.get((name, "body", metric))
            if mine is not None and theirs is not None and sign * (mine - theirs) <= 0:
                lost.append(f"{name} ({said}: {theirs:#.3g} against {mine:#.3g})")
    if not lost:
        return []
    detail = f"Inside the body, {model} is no better than: {'; '.join(lost)}."
    return [Finding("BEATEN-BY-TRIVIAL", detail)]


def some(names: Sequence[str]) -> str:
    """Name a few, count the rest.

    Args:
        names: At least one.

    Returns:
        Such as "a, b and 3 more".

    Example:
        >>> some(["a", "b"])
        'a, b'
    """
    shown = ", ".join(names[:NAMED_CASES])
    rest = len(names) - NAMED_CASES
    return f"{shown} and {rest} more" if rest > 0 else shown
