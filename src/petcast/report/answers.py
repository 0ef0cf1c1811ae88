"""What a study's numbers say, in sentences: the protocol's worth, and who beats whom."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from petcast.catalogue import PAPER
from petcast.report.inputs import Document, finite, records, table
from petcast.report.numbers import number
from petcast.words import count, interval

ALPHA = 0.05
LEAST_PATIENTS = 6
"""With fewer, no sign-flip test can fall below 0.05: its least p is 2 / 2ⁿ."""

PAPER_EPOCHS = 200

TOO_SHORT = (
    f"{{epochs}} of the paper's {PAPER_EPOCHS}: what follows shows how the comparison works, not "
    "yet who wins it."
)
NOBODY = {
    "test": ("NO-TEST-PATIENT", "Nobody is left to test: the sound protocol has no numbers."),
    "validation": (
        "NO-VALIDATION",
        "No patient chooses the epoch, so under the sound protocol the last epoch is measured, "
        "good or bad. The test patients never choose it.",
    ),
}
"""What it means that a part of the sound division is empty."""

FLAWS = {
    "ZERO-PREDICTION": "Of some test patients or of all, only zeros are predicted by {names}.",
    "CONSTANT-PREDICTION": "Of some test patients or of all, one SUV everywhere inside the body is "
    "predicted by {names}.",
    "BEATEN-BY-TRIVIAL": "Inside the body a trivial image is as good as {names}.",
}
"""What evaluations found, said of several generators."""

Kind = Literal["good", "mixed", "bad", "unknown"]


@dataclass(frozen=True)
class Answer:
    """A question that the study answers, or cannot.

    Attributes:
        key: Short name, unique on the page.
        kind: How it is coloured.
        headline: The answer in a line.
        sentences: Its numbers.
    """

    key: str
    kind: Kind
    headline: str
    sentences: tuple[str, ...]


def answer_question(results: Document) -> Answer:
    """Say whether the paper's favourite beats the U-Net.

    Args:
        results: What results.json holds.

    Returns:
        The answer, resting on PSNR; SSIM and MAE are told beside it.
    """
    question = table(results, "question")
    mine, theirs = str(question.get("generator")), str(question.get("reference"))
    answers = table(question, "answers")
    psnr = table(answers, "psnr")
    if not psnr:
        said = f"Both must be trained under the sound protocol to compare {mine} with {theirs}."
        return Answer("question", "unknown", f"{mine} and {theirs} are not compared yet", (said,))
    kind, headline = _outcome(psnr, mine, theirs)
    sentences = [_differences(answers, mine, theirs), _test(psnr)]
    return Answer("question", kind, headline, tuple(sentences))


def answer_worth(results: Document) -> Answer:
    """Say what the published protocol alone adds to a generator's PSNR.

    Args:
        results: What results.json holds.

    Returns:
        The answer in dB.
    """
    worth = table(table(results, "worth"), "psnr")
    if not worth:
        said = "No generator is trained and tested under both protocols yet."
        return Answer("worth", "unknown", "The protocol's worth is not measured yet", (said,))
    middle, least, most, picking = (worth[k] for k in ("middle", "least", "most", "picking"))
    n = int(worth["generators"])
    many = f"in the median of {n} generators ({_db(least)} to {_db(most)})" if n > 1 else "here"
    sentences = [
        f"The same generator, published number minus sound number: {_db(middle)} of PSNR {many}.",
        f"Reporting the best of the test epochs instead of the last one brings {_db(picking)} of "
        "the published number.",
        _slices(finite(worth.get("slices"))),
        _amounts(table(results, "divisions")),
    ]
    ssim, mae = (table(table(results, "worth"), key) for key in ("ssim", "mae"))
    if ssim and mae:
        sentences.append(
            f"For SSIM it is worth {number(ssim['middle'], 4, signed=True)}, for MAE "
            f"{number(mae['middle'], 4, signed=True)}."
        )
    headline = f"The protocol alone is worth {_db(middle)}"
    return Answer("worth", "mixed", headline, tuple(filter(None, sentences)))


def answer_trivial(results: Document) -> Answer | None:
    """Say whether any generator beats the images that none made.

    Args:
        results: What results.json holds.

    Returns:
        The answer under the sound protocol, by PSNR over whole slices; None without numbers.
    """
    rows = _table_4(results)
    models = _ranked(rows, "model")
    trivial = _ranked(rows, "trivial")
    if not models or not trivial:
        return None
    (best, value), (rival, other) = models[-1], trivial[-1]
    beaten = sum(score > other for _, score in models)
    verb = "is" if 1 in (beaten, len(models)) else "are"
    said = (
        f"Under the sound protocol the best generator is {best} with {_plain_db(value)} of PSNR; "
        f"the best image made without a network is {rival} with {_plain_db(other)}. "
        f"{beaten} of {count(len(models), 'generator')} {verb} above it."
    )
    if beaten:
        headline = f"{best} has the best PSNR, above every trivial image's"
        return Answer("trivial", "good", headline, (said,))
    return Answer("trivial", "bad", "No generator is better than a trivial image", (said,))


def cautions(results: Document) -> Iterator[tuple[str, str]]:
    """Say what must be known to read the numbers.

    Args:
        results: What results.json holds.

    Yields:
        Codes and sentences.
    """
    epochs = int(results.get("epochs") or 0)
    if epochs < PAPER_EPOCHS:
        yield "FEWER-EPOCHS", TOO_SHORT.format(epochs=count(epochs, "epoch"))
    sound = table(table(results, "divisions"), "sound")
    empty = sound.get("empty") or []
    for part, (code, sentence) in NOBODY.items():
        if part in empty:
            yield code, sentence
    tests = int(table(sound, "patients").get("test") or 0)
    if 0 < tests < LEAST_PATIENTS:
        yield "FEW-PATIENTS", _few(tests)
    yield from _unfinished(results)
    for code, sentence in FLAWS.items():
        names = table(results, "warnings").get(code) or []
        if names:
            yield code, sentence.format(names=_listed(names))


def _outcome(psnr: Mapping[str, Any], mine: str, theirs: str) -> tuple[Kind, str]:
    value, p, n = psnr["value"], psnr.get("p"), int(psnr["n"])
    low, high = finite(psnr.get("low")), finite(psnr.get("high"))
    if n < LEAST_PATIENTS or p is None:
        lean = "leads" if value > 0 else "trails"
        said = f"{mine} {lean} {theirs} here; whether it beats it cannot be known"
        return "unknown", f"{said} from {count(n, 'patient')}"
    clear = p < ALPHA and low is not None and high is not None and (low > 0 or high < 0)
    if clear and value > 0:
        return "good", f"{mine} beats {theirs}"
    if clear:
        return "bad", f"{mine} does not beat {theirs}: it is worse"
    return "mixed", f"{mine} does not beat {theirs}: no difference can be shown"


def _differences(answers: Document, mine: str, theirs: str) -> str:
    parts = []
    for column in PAPER:
        own, metric = table(answers, column.key), column.metric
        if own:
            unit = " dB" if metric.unit == "dB" else ""
            ends = interval(finite(own.get("low")), finite(own.get("high")), column.digits)
            around = f" (95 % {ends})" if ends else ""
            better = own["value"] * metric.sign
            word = "better" if better > 0 else "worse" if better < 0 else "equal"
            value = number(own["value"], column.digits, signed=True)
            parts.append(f"{metric.label} {value}{unit}{around}, {word}")
    return f"{mine} minus {theirs}, same test patients: {'; '.join(parts)}."


def _test(psnr: Mapping[str, Any]) -> str:
    n, p = int(psnr["n"]), finite(psnr.get("p"))
    if p is None:
        return "One test patient: no interval, no test, and nothing follows for other patients."
    shown = "p < 0.001" if p < 0.001 else f"p = {number(p, 3)}"  # never 0: no test can show that
    said = f"Sign-flip test over {count(n, 'patient')}: {shown} (PSNR, uncorrected)"
    if n < LEAST_PATIENTS:
        return f"{said}; with so few it cannot fall below {number(psnr['least_p'], 3)}."
    return f"{said}."


def _slices(shift: float | None) -> str:
    if shift is None:
        return ""
    word = "easier" if shift > 0 else "harder"
    return (
        f"The all-zero image, which learns nothing, differs by {_db(shift)}: by so much the "
        f"published protocol's test slices are {word}."
    )


def _amounts(divisions: Document) -> str:
    """How much each protocol trains on, which is part of what it is worth."""
    published, sound = (
        int(table(table(divisions, name), "slices").get("train") or 0)
        for name in ("published", "sound")
    )
    if not published or not sound:
        return ""
    return (
        f"The published protocol trains on {count(published, 'slice')}, the sound one on "
        f"{sound:,}. What choosing, the slices, their number and the chance of one run each do not "
        "explain is leakage."
    )


def _few(tests: int) -> str:
    if tests == 1:
        return (
            "One test patient: its numbers hold for this patient, there is no interval and no "
            "test, and nothing follows for others."
        )
    return (
        f"{tests} test patients: intervals are rough, and no paired test can reach p < {ALPHA} "
        f"(its least is {number(2 / 2**tests, 3)}). It takes {LEAST_PATIENTS} patients at least."
    )


def _unfinished(results: Document) -> Iterator[tuple[str, str]]:
    rows = [row for row in _table_4(results) if row.get("kind") == "model"]
    for protocol in ("published", "sound"):
        for row in rows:
            state = str(row.get(f"{protocol}_state") or "")
            if state.startswith("diverged"):
                yield "DIVERGED", f"{row['name']}, {protocol} protocol: {state}."
        left = [
            str(row["name"]) for row in rows
            if not str(row.get(f"{protocol}_state") or "").startswith(("done", "diverged"))
        ]  # fmt: skip
        if left:
            yield "NOT-FINISHED", f"{protocol} protocol: {_listed(left)} still to be trained."


def _table_4(results: Document) -> list[Document]:
    found = (one for one in records(results, "tables") if one.get("key") == "table-4")
    return records(next(found, {}), "records")


def _ranked(rows: list[Document], kind: str) -> list[tuple[str, float]]:
    values = [(str(row["name"]), finite(row.get("sound_psnr"))) for row in rows
              if row.get("kind") == kind]  # fmt: skip
    known = [(name, value) for name, value in values if value is not None]
    return sorted(known, key=lambda pair: pair[1])


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]


def _db(value: float) -> str:
    return f"{number(value, 2, signed=True)} dB"


def _plain_db(value: float) -> str:
    return f"{number(value, 2)} dB"
