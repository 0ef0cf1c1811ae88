"""Evaluation: metrics with intervals, on our runs or anyone's files, beside trivial images.

What comes in:

    runs         a run of ours on prepared pairs
    files        anyone's NIfTI, DICOM, PNG or `.npy`
    foreign      one case of them
    cases        which cases their paths hold, and which belong together
    flat         images without a header, and what their user declares
    placed       prediction, CT and mask on the grid of the real PET
    body         where the body is without a CT
    mistakes     what whoever saved a prediction did wrong
    orientation  turned over, swapped or shifted?
    notes        what else happened to the files on the way

What is measured:

    measure      all metrics of a stack of slices, region by region
    regions      the regions
    baselines    images that know nothing of the CT's content
    artefacts    lattice, blur and noise
    lesions      lesions, as the real PET and each prediction show them
    hotspots     where they are
    detection    which are shown, and which hot spots are invented
    intervals    whether calibrated intervals hold what they promise
    perceptual   LPIPS and Fréchet distance, with the user's weights
    threads      shares the work

What is made of it:

    statistics   slices → patients → intervals
    comparison   two models on the same patients
    gains        what each stage adds to the one before
    agreement    Bland–Altman
    findings     what is wrong with a prediction, in words
    montage      slices that the report shows
    worst        those with the largest error
    fusion       those in which CT and PET agree least
    records      lesions, detection, agreement, comparisons
    result       all of it as one document
    store        the document on disk
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from petcast.errors import UsageError
from petcast.evaluate.files import evaluate_files
from petcast.evaluate.flat import Declared
from petcast.evaluate.perceptual import Weights
from petcast.evaluate.result import Evaluation, Finding, PatientRow, Row

if TYPE_CHECKING:
    from petcast.evaluate.runs import evaluate_run

__all__ = [
    "Declared", "Evaluation", "Finding", "PatientRow", "Row", "Weights",
    "evaluate", "evaluate_files", "evaluate_run",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Load what runs need when it is asked for: files are evaluated without it."""
    if name != "evaluate_run":
        raise AttributeError(f"{__name__} has no {name}")
    from petcast.evaluate.runs import evaluate_run

    return evaluate_run


def evaluate(
    truth: Path,
    predictions: Path,
    *,
    ct: Path | None = None,
    lesions: Path | None = None,
    part: str = "test",
    named: bool = False,
    declared: Declared | None = None,
    out: Path | None = None,
    weights: Weights | None = None,
    with_lesions: bool = True,
) -> Evaluation:
    """Measure predictions, told apart by what the paths hold.

    Args:
        truth: Pairs, or the real PET in SUV: NIfTI or DICOM.
        predictions: A run for pairs, else predicted PET in SUV: NIfTI or DICOM.
        ct: The CT of foreign files, in HU.
        lesions: Lesion masks of foreign files, NIfTI.
        part: Of pairs: "train", "validation" or "test".
        named: Call foreign cases by their files' names instead of pseudonyms.
        declared: What foreign PNG and `.npy` mean.
        out: Where the evaluation of foreign files is written, if anywhere; a run keeps its own.
        weights: Of a network for perceptual metrics; without them there are none.
        with_lesions: Look for lesions in foreign files and measure them.

    Returns:
        The metrics.

    Raises:
        UsageError: The two do not go together.
        DataError: The data cannot be used, and why.
    """
    are_pairs = (truth / "pairs.json").is_file()
    is_run = (predictions / "recipe.toml").is_file()
    if (truth / "recipe.toml").is_file() and (predictions / "pairs.json").is_file():
        raise UsageError(
            f"--truth {truth} is a run, and --predictions {predictions} holds pairs; give them the "
            "other way round"
        )
    if are_pairs != is_run:
        raise UsageError(_MISMATCH[is_run].format(truth=truth, predictions=predictions))
    if not are_pairs:
        if part != "test":
            raise UsageError("--part belongs to pairs; of files every case is measured")
        return evaluate_files(
            truth,
            predictions,
            ct=ct,
            lesions=lesions,
            named=named,
            declared=declared,
            out=out,
            weights=weights,
            with_lesions=with_lesions,
        )
    asked = (ct or lesions, not with_lesions, out, named, declared not in (None, Declared()))
    for given, said in zip(asked, _OF_FILES, strict=True):
        if given:
            raise UsageError(said)
    from petcast.evaluate.runs import evaluate_run

    return evaluate_run(truth, predictions, part=part, weights=weights)


_OF_FILES = (
    "--ct and --lesions belong to foreign files; pairs hold their own",
    "--no-lesions belongs to foreign files; a run's report shows its lesions",
    "--out belongs to foreign files; a run keeps its own in RUN/evaluation",
    "--names belongs to foreign files; pairs know patients by pseudonyms alone",
    "--suv-window, --stored, --scale and --spacing belong to PNG and .npy; pairs hold SUV",
)
"""What is said of each option that pairs do not take, in the order in which they are asked."""

_MISMATCH = {
    True: "{predictions} is a run, but {truth} holds no pairs.json; give the pairs, or predict "
    "first and evaluate the files",
    False: "{truth} holds pairs, but {predictions} is no run (no recipe.toml); give a training's "
    "folder, or evaluate files against files",
}
