"""What is wrong with a prediction, or cannot be read off its means: named, not averaged in."""

from collections.abc import Iterable, Sequence
from enum import StrEnum

import numpy as np
from jaxtyping import Bool, Shaped

from petcast.evaluate.baselines import TRIVIAL
from petcast.evaluate.result import Finding, Row

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


def describe_flaws(flaws: Sequence[tuple[str, Flaw | None]], cases: str) -> list[Finding]:
    """Put flaws into words.

    Args:
        flaws: Each case's name and flaw.
        cases: What a case is, in the plural: "patients", "cases".

    Returns:
        A warning for each kind of flaw that occurs.
    """
    findings = []
    for flaw in Flaw:
        names = [name for name, found in flaws if found is flaw]
        if names:
            where = f"{len(names)} of {len(flaws)} {cases} ({some(names)})"
            findings.append(Finding(flaw.value, f"{_MEANING[flaw]} {where}. {_CONSEQUENCE[flaw]}"))
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
    for metric, said, sign in (("psnr", "PSNR in dB", 1), ("suv_mae", "SUV error", -1)):
        mine = values.get((model, "body", metric))
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
