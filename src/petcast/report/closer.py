"""What pixel metrics do not show, in one sentence: lattice, blur, and the uptake of lesions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from petcast.report.inputs import Document, Evaluation, finite, records
from petcast.report.lesions import are_known, lesions_of, mean_uptake
from petcast.report.numbers import number
from petcast.report.tables import stage_names
from petcast.words import count

SAME_MM = 1.0
"""Blur within this is none that anyone could see: a quarter of a PET's voxel."""

SAME_SHARE = 0.1
"""Repeated scans of one lesion differ by about as much."""

CHANGED_SHARE = 0.3
"""PERCIST takes a change of SUVpeak of 30 % for a response: so much error hides or feigns one."""


@dataclass(frozen=True)
class Closer:
    """What a closer look shows.

    Attributes:
        sentence: All of it; empty where nothing was looked for.
        flaws: What speaks against the model, each in a few words.
    """

    sentence: str
    flaws: tuple[str, ...]


def look_closer(evaluation: Evaluation, model: str, *, empty: bool = False) -> Closer:
    """Say what an evaluation shows beside its scores.

    Args:
        evaluation: With rows and lesions.
        model: The model's name in it.
        empty: Whether the image is zero or constant: it has no sharpness then.

    Returns:
        A sentence and what speaks against the model.
    """
    values = {
        row.metric: row.value
        for row in evaluation.rows
        if (row.name, row.region) == (model, "body") and row.value is not None
    }
    lattice, blur, detail = (
        None if empty else values.get(key) for key in ("lattice", "blur_mm", "detail_mm")
    )
    spoilt = lattice is not None and bears_lattice(evaluation, model)
    own = lesions_of(evaluation, model)
    said = [*_images(evaluation, model, lattice, blur, spoilt=spoilt)]
    parts = [" and ".join(said)] if said else []
    if said and detail is not None and detail >= SAME_MM:
        parts.append(
            f"the real PET's detail reaches it as through a Gaussian of {number(detail, 1)} mm"
        )
    parts.extend(_lesions(own, evaluation, model))
    sentence = f"A closer look: the image {'; '.join(parts)}." if parts else ""
    if parts and not said:
        sentence = f"A closer look: {'; '.join(parts)}."
    blurred = blur is not None and _warned(evaluation, "BLURRED")
    return Closer(sentence, tuple(_flaws(own, blurred=blurred, spoilt=spoilt)))


def bears_lattice(evaluation: Evaluation, name: str) -> bool:
    """Whether the evaluation found a lattice that the real PET does not have.

    It judges case by case: a mean over patients hides the one who is spoilt.

    Args:
        evaluation: With warnings.
        name: Of a row.

    Returns:
        Whether it is so in any case.
    """
    return any(
        code == "LATTICE" and detail.startswith(f"{name} bears ")
        for code, detail in evaluation.warnings
    )


def _images(
    evaluation: Evaluation, model: str, lattice: float | None, blur: float | None, *, spoilt: bool
) -> Iterator[str]:
    blurred = _warned(evaluation, "BLURRED")
    if spoilt:  # it only makes an image look sharper than it is
        hidden = "more blur may hide" if blurred else "its blur cannot be read"
        yield f"bears a lattice{_strongest(evaluation, model)}, under which {hidden}"
    elif lattice is not None:
        yield f"bears no lattice{_earlier_lattices(evaluation, model)}"
    if blur is not None and (blurred or not spoilt):
        resampled = _warned(evaluation, "RESAMPLED")
        included = ", interpolation to its grid included" if resampled else ""
        yield f"is {_sharpness(blur)} the real PET{included}"


def _warned(evaluation: Evaluation, code: str) -> bool:
    """Whether the evaluation said so: it knows which cases its numbers are made of."""
    return any(code == given for given, _ in evaluation.warnings)


def _strongest(evaluation: Evaluation, model: str) -> str:
    """The lattice's share of the uptake in the patient where it is the largest."""
    of_patients, of_all = (
        [r.value for r in rows if (r.name, r.metric) == (model, "lattice_strength") and r.value]
        for rows in (evaluation.patients, evaluation.rows)
    )
    shares = of_patients or of_all
    upto = "up to " if len(shares) > 1 else ""
    return f" of {upto}{number(100 * max(shares), 1)} % of the uptake" if shares else ""


def _earlier_lattices(evaluation: Evaluation, model: str) -> str:
    stages = [name for name in stage_names(evaluation.rows, model) if name != model]
    spoilt = sum(bears_lattice(evaluation, name) for name in stages)
    return f" (though {count(spoilt, 'earlier stage')} did)" if spoilt else ""


def _sharpness(blur_mm: float) -> str:
    if abs(blur_mm) < SAME_MM:
        return f"as sharp (within {number(SAME_MM, 0)} mm) as"
    width = f"{number(abs(blur_mm), 1)} mm (FWHM)"
    return f"{width} blunter than" if blur_mm > 0 else f"{width} sharper or noisier than"


def _lesions(own: Sequence[Document], evaluation: Evaluation, model: str) -> Iterator[str]:
    n, truth, predicted = mean_uptake(own, "suv_max")
    if not n or truth <= 0:
        if not own and (spots := _count_invented(evaluation, model)):
            yield f"{count(spots, 'hot spot')} of it {'is' if spots == 1 else 'are'} invented"
        return
    lesion = "lesion" if are_known(own) else "hot spot"
    change = predicted / truth - 1
    means = f"mean SUVmax {number(predicted, 1)} where the real PET has {number(truth, 1)}"
    yield f"the uptake of {count(n, lesion)} is {_change(change)} ({means}), {_found(own)}" + (
        _invented(evaluation, model)
    )


def _change(change: float) -> str:
    if abs(change) < SAME_SHARE:
        return f"kept on average ({number(100 * change, 0, signed=True)} %)"
    word = "underestimated" if change < 0 else "overestimated"
    return f"{word} by {number(abs(100 * change), 0)} %"


def _found(own: Sequence[Document]) -> str:
    hot = [bool(one["found"]) for one in own if one.get("found") is not None]
    if not hot:
        return "none of them is hot"
    shown = sum(hot)
    if len(hot) == 1:
        return f"the hot one is {'' if shown else 'not '}shown"
    verb = "is" if shown <= 1 else "are"
    return f"{shown or 'none'} of {len(hot)} hot ones {verb} shown"


def _invented(evaluation: Evaluation, model: str) -> str:
    spots = _count_invented(evaluation, model)
    return "" if spots is None else f" and {spots or 'none'} invented"


def _count_invented(evaluation: Evaluation, model: str) -> int | None:
    rows = [r for r in records(evaluation.document, "detection") if r.get("name") == model]
    invented = finite(rows[0].get("false_positives")) if rows else None
    return None if invented is None else int(invented)


def _flaws(own: Sequence[Document], *, blurred: bool, spoilt: bool) -> Iterator[str]:
    if spoilt:
        yield "it bears a lattice"
    if blurred:
        yield "it is blurred"
    n, truth, predicted = mean_uptake(own, "suv_max")
    if n and truth > 0 and abs(predicted / truth - 1) >= CHANGED_SHARE:
        what = "lesions" if are_known(own) else "hot spots"
        yield f"{what} come out too {'faint' if predicted < truth else 'hot'}"
