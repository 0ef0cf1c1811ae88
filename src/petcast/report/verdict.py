"""What the numbers say, in three plain sentences."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from petcast.catalogue import TRIVIAL
from petcast.report.claims import Claim, claims_of
from petcast.report.closer import look_closer
from petcast.report.inputs import Evaluation, Score, records
from petcast.report.numbers import number, with_unit
from petcast.words import count

FEW_PATIENTS = 10

FILES = "prediction"
"""What an evaluation calls the images of files that no run of petcast made."""

SAME = 1e-3
"""Numbers within this relative distance are taken for the same: those of an empty prediction."""


@dataclass(frozen=True)
class Verdict:
    """The top of the page.

    Attributes:
        kind: "good", "mixed", "bad" or "unknown".
        headline: It all in a few words.
        sentences: The scores, what they do not show, and what to make of it.
        claims: The numbers behind them.
    """

    kind: str
    headline: str
    sentences: tuple[str, ...]
    claims: tuple[Claim, ...] = ()


def judge(evaluation: Evaluation | None, model: str, leaks: bool | None = False) -> Verdict:
    """Say what an evaluation shows.

    Args:
        evaluation: None where the run was not evaluated.
        model: The model's name in its rows.
        leaks: Whether patients both train and test; None where that is not known.

    Returns:
        The verdict.
    """
    claims = tuple(claims_of(evaluation, model)) if evaluation else ()
    if evaluation is not None and records(evaluation.document, "left_out") and not claims:
        return _mistaken(evaluation)
    if evaluation is None or not claims:
        return _unknown(model)
    kind, headline, last = _judgement(claims, evaluation, model, leaks)
    empty = _emptiness(evaluation, model) is not None
    unseen = look_closer(evaluation, model, empty=empty)
    if kind in ("good", "mixed") and unseen.flaws:
        kind, headline = "mixed", f"{headline}; but {' and '.join(unseen.flaws)}"
    sentences = (
        _score_sentence(claims, _named(model), _who(claims, evaluation, leaks)),
        unseen.sentence,
        last,
    )
    return Verdict(kind, headline, tuple(s for s in sentences if s), claims)


def _unknown(model: str) -> Verdict:
    sentences = (
        f"{model} was trained but not evaluated, so nothing can be said about its images.",
        "The curves below come from training and are not compared with anything.",
        "Run `petcast evaluate --truth PAIRS --predictions RUN`, then this report again.",
    )
    return Verdict("unknown", "Not evaluated yet", sentences)


def _mistaken(evaluation: Evaluation) -> Verdict:
    left_out = records(evaluation.document, "left_out")
    found = [one.get("mistakes") for one in left_out]
    codes = dict.fromkeys(str(c) for each in found if isinstance(each, list) for c in each)
    cases = count(len(left_out), "case")
    which = f"Every one of {cases}" if len(left_out) > 1 else "The only case"
    sentences = (
        f"{which} was saved wrongly"
        f"{' or cannot be measured' if 'UNUSABLE' in codes else ''}: {', '.join(codes)}.",
        "So no number of the prediction stands on this page; it would say nothing about the model.",
        "The warnings below say what to mend; evaluate again after that.",
    )
    return Verdict("bad", "The predictions are not what they say they are", sentences)


# Sentences


def _who(claims: Sequence[Claim], evaluation: Evaluation, leaks: bool | None) -> str:
    if _of_files(evaluation):
        left_out = len(records(evaluation.document, "left_out"))
        return count(claims[0].score.n, "case") + (f" ({left_out} left out)" if left_out else "")
    patients = count(claims[0].score.n, f"{evaluation.part} patient")
    if evaluation.part != "test":
        return f"{patients} (not kept for testing)"
    doubts = {"TRAINED-ON", "OTHER-KEY"} & {code for code, _ in evaluation.warnings}
    known = leaks is False and not doubts
    return f"{patients} (never seen in training)" if known else patients


def _score_sentence(claims: Sequence[Claim], model: str, who: str) -> str:
    """Whole slices and body in one sentence; what both have in common is said once."""
    parts = [_regional(claims, region) for region in ("whole", "body")]
    outcomes = [_outcomes(of) for of in parts if of]
    together = len(outcomes) == 2 and outcomes[0] == outcomes[1] and ";" not in outcomes[0]
    said = []
    for of, words in zip(parts, (_WHOLE, _BODY), strict=True):
        if not of:
            said.append(f"{words} nothing was measured")
        elif together:
            said.append(f"{words} {_numbers(of)}")
        else:
            said.append(f"{words} {_numbers(of)}: {_outcomes(of)}")
    common = f": {outcomes[0].replace('on both', 'on all four')}" if together else ""
    first = said[0].replace(_WHOLE, f"Over whole slices of {who}, {model} has")
    join = ", and" if together else ";"
    return f"{first}{join} {said[1]}{common}{_each(parts[1])}."


_WHOLE, _BODY = "over whole slices", "inside the body, where the uptake is,"


def _named(model: str) -> str:
    return f"the {model}" if model == FILES else model


def _regional(claims: Sequence[Claim], region: str) -> list[Claim]:
    return [claim for claim in claims if claim.region == region]


def _each(body: Sequence[Claim]) -> str:
    """In how many patients the body's numbers are better than every trivial image's."""
    if not body:
        return ""
    patients = max(claim.patients for claim in body)
    if patients < 2 or not all(claim.won for claim in body):
        return ""
    ahead = len(frozenset.intersection(*(claim.ahead for claim in body)))
    if ahead == patients:
        return f", and so in each of {patients} patients"
    where = "in" if len(body) == 1 else "inside the body on both in"
    return f", {where} {ahead or 'none'} of {count(patients, 'patient')}"


def _numbers(claims: Sequence[Claim]) -> str:
    return " and ".join(_number(claim) for claim in claims)


def _number(claim: Claim) -> str:
    if claim.metric.key == "suv_mae":
        return f"a mean error of {number(claim.score.value, claim.metric.digits)} SUV"
    article = "an" if claim.metric.key == "ssim" else "a"
    return f"{article} {claim.metric.label} of {with_unit(claim.score.value, claim.metric)}"


def _outcomes(claims: Sequence[Claim]) -> str:
    outcomes = [_outcome(claim) for claim in claims]
    if len(set(outcomes)) == 1:
        both = " on both" if len(claims) > 1 else ""
        return outcomes[0] + both
    named = zip(claims, outcomes, strict=True)
    return "; ".join(f"on {claim.metric.label} {outcome}" for claim, outcome in named)


def _outcome(claim: Claim) -> str:
    if not claim.rivals:
        return "no trivial image was measured beside it"
    if claim.won:
        return f"better than {_images(claim.rivals)}"
    if not claim.beaten:
        return f"no better than {_images(claim.rivals, whole='any')}"
    return f"better than {_images(claim.beaten)}, but no better than {_images(claim.unbeaten)}"


def _images(scores: Sequence[Score], whole: str = "every") -> str:
    if len(scores) == len(TRIVIAL):
        return f"{whole} image made without the CT"
    names = [TRIVIAL[score.name] for score in scores]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"the {listed} {'image' if len(names) == 1 else 'images'}"


# Judgement

Judgement = tuple[str, str, str]
"""Kind, headline and last sentence."""

TRAINED_ON: Judgement = (
    "bad",
    "Measured on patients it was trained on",
    "The model was trained on some or all of these patients, so the numbers say nothing about "
    "new ones.",
)
LEAKING: Judgement = (
    "bad",
    "Patients are in training and in test: the numbers are worth little",
    "Slices of the same patients train and test, so a model that knows them by heart looks good; "
    "nothing follows for patients never seen.",
)
NOT_SUV: Judgement = (
    "bad",
    "Measured on values that are no SUV",
    "Windows, errors and lesions are in SUV, so no number means anything; convert the files first.",
)
EQUAL: Judgement = (
    "bad",
    "The real PET is among the predictions",
    "Where a prediction equals the real PET voxel by voxel, the numbers say nothing about a model; "
    "give its own predictions.",
)
PARTLY: Judgement = (
    "mixed",
    "Only partly measured",
    "A verdict needs whole slices and the body, and trivial images beside them.",
)
BETTER: Judgement = (
    "good",
    "Beats every image made without the CT, inside the body too",
    "So it has learned something about uptake from the CT, not only where the body ends.",
)
BETTER_FILES = (
    "So it shows where the uptake is, not only where the body ends; files do not say what it was "
    "made from, nor whether its maker knew these patients."
)
BETTER_INSIDE: Judgement = (
    "mixed",
    "Beats every image made without the CT inside the body, not over whole slices",
    "It is better where the uptake is; over whole slices, the background outside the body counts "
    "for most, and there it is less clean.",
)
FLATTERED: Judgement = (
    "bad",
    "Better over whole slices only, where dark pixels flatter",
    "Only the whole-slice numbers are better: most of a PET slice is dark, and dark pixels flatter "
    "any image that keeps them dark.",
)
NO_BETTER: Judgement = (
    "bad",
    "No better than images made without the CT",
    "An image that knows nothing of the CT is at least as good, so this model should not be used; "
    "train longer, or on more patients.",
)
MIXED: Judgement = (
    "mixed",
    "Beats some of the images made without the CT",
    "The evidence is mixed: a simpler image is as good on some counts, so nothing should be built "
    "on this model yet.",
)


def _judgement(
    claims: Sequence[Claim], evaluation: Evaluation, model: str, leaks: bool | None
) -> Judgement:
    codes = {code for code, _ in evaluation.warnings}
    fitted = evaluation.part == "train" and "NOT-TEST" in codes  # not of other pairs
    if fitted or "TRAINED-ON" in codes:
        return TRAINED_ON
    if leaks:
        return LEAKING
    if "NOT-SUV" in codes:
        return NOT_SUV
    if "EQUALS-TRUTH" in codes:
        return EQUAL
    empty = _emptiness(evaluation, model)
    if empty:
        return "bad", *empty
    kind, headline, last = _weigh(claims)
    if last == BETTER[2] and _of_files(evaluation):
        last = BETTER_FILES
    return kind, headline, f"{last} {_doubt(claims, kind, evaluation)}".strip()


def _of_files(evaluation: Evaluation) -> bool:
    """Whether nobody knows what made the images, and of what."""
    return "part" not in evaluation.document


def _emptiness(evaluation: Evaluation, model: str) -> tuple[str, str] | None:
    details = dict(evaluation.warnings)
    for name, code, words in (
        ("zero", "ZERO-PREDICTION", "zero everywhere"),
        ("body-constant", "CONSTANT-PREDICTION", "one and the same value inside the body"),
    ):
        # A constant may be another one than the trivial image's; then the warning says of how many.
        if _equals(evaluation.rows, model, name) or _of_all(details.get(code, "")):
            return f"The prediction is {words}", (
                f"The prediction is practically {words}: it shows no uptake pattern at all, and "
                "its whole-slice numbers only measure how dark a PET slice is."
            )
        if code in details:
            return f"Some predictions are {words}", (
                f"For some patients the prediction is {words}, which shows no uptake pattern at "
                "all; the warnings below name them."
            )
    return None


def _of_all(detail: str) -> bool:
    """Whether a warning names as many as there are."""
    return re.search(r"\bin (\d+) of \1\b", detail) is not None


def _equals(rows: Sequence[Score], model: str, trivial: str) -> bool:
    """Whether a model has the same errors inside the body as a trivial image."""
    values = {(row.name, row.region, row.metric): row.value for row in rows}
    pairs = [
        (values.get((model, "body", metric)), values.get((trivial, "body", metric)))
        for metric in ("psnr", "suv_mae", "suv_bias")
    ]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    return len(known) > 1 and all(abs(a - b) <= SAME * max(abs(b), 1e-6) for a, b in known)


def _weigh(claims: Sequence[Claim]) -> Judgement:
    whole, body = (_share([c for c in claims if c.region == r]) for r in ("whole", "body"))
    if body is None or whole is None:
        return PARTLY
    if body == 1:
        return BETTER if whole == 1 else BETTER_INSIDE
    if whole == 1:
        return FLATTERED
    return NO_BETTER if body == 0 else MIXED


def _share(claims: Sequence[Claim]) -> float | None:
    """Of the claims that have rivals, the share that is won."""
    judged = [claim.won for claim in claims if claim.rivals]
    return sum(judged) / len(judged) if judged else None


def _doubt(claims: Sequence[Claim], kind: str, evaluation: Evaluation) -> str:
    """Why a verdict that is not bad may be chance all the same."""
    n = max(claim.score.n for claim in claims)
    if kind == "bad":
        return ""
    if n < FEW_PATIENTS:
        return f"With {count(n, 'patient')} only, that is a hint and no proof."
    won = {(claim.region, claim.metric.key) for claim in claims if claim.won}
    undecided = any(
        (one.get("region"), one.get("metric")) in won
        for one in records(evaluation.document, "comparisons")
        if one.get("reference") in TRIVIAL and one.get("verdict") == "undecided"
    )
    chance = "Not all of these differences can be told from chance, so that is a hint and no proof."
    return chance if undecided else ""
