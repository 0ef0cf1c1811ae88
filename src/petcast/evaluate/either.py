"""A run on its pairs or anyone's files: told apart by what the paths hold."""

from pathlib import Path

from petcast.errors import UsageError
from petcast.evaluate.files import evaluate_files
from petcast.evaluate.flat import Declared
from petcast.evaluate.perceptual import Weights
from petcast.evaluate.result import Evaluation


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
