"""The whole way on phantom patients, with nothing else on the machine needed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from petcast.dicom.scan import scan
from petcast.evaluate import Evaluation, evaluate_run
from petcast.pairs import Pairs
from petcast.phantom import write_cohort
from petcast.predict import predict
from petcast.prepare import prepare
from petcast.recipe import load_recipe
from petcast.report import write_report
from petcast.train import train
from petcast.words import count

RECIPE = "demo"

PUBLIC_SALT = "petcast phantom"
"""Phantoms have no identity to protect; a fixed salt gives everyone the same split."""

CT_SIZE = 256
"""Voxels across a phantom's CT slice: half a scanner's 512, a quarter of the time."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes:
        evaluation: The metrics on patients that the model never saw.
        pet: A synthetic PET of one of them, NIfTI in SUV on its CT's geometry.
        report: The page that shows it all.
        card: The model card, Markdown with the same numbers.
    """

    evaluation: Evaluation
    pet: Path
    report: Path
    card: Path


def run_demo(
    out: Path, *, patients: int = 8, seed: int = 0, tell: Callable[[str], None] = print
) -> DemoResult:
    """Make a phantom cohort as DICOM and go from there to a report.

    Args:
        out: Where everything is written; the same call again resumes.
        patients: How many phantoms.
        seed: Of the cohort, the split and the training.
        tell: Receives a line a step.

    Returns:
        What was made.
    """
    settings = [f"preparation.seed={seed}", f"training.seed={seed}"]
    recipe = load_recipe(RECIPE, settings)
    tell(f"1/6 phantom: {count(patients, 'patient')} as DICOM")
    write_cohort(out / "cohort", patients, seed, ct_size=CT_SIZE)
    dicom, run = out / "cohort" / "dicom", out / "run"
    tell("2/6 prepare: aligned slice pairs, split by patient")
    pairs = prepare([dicom], out / "pairs", recipe.preparation, salt=PUBLIC_SALT)
    epochs = recipe.training.epochs
    shown = f"{count(epochs, 'epoch')} of {_slices(pairs, 'train')}"
    tell(f"3/6 train: {recipe.model.name}, {shown}")
    train(recipe, out / "pairs", run)
    tell("4/6 predict: one unseen patient, DICOM CT in, SUV out")
    pet = out / "predicted.nii.gz"
    predict(_unseen_ct(dicom, pairs), run, pet)
    tell(f"5/6 evaluate: {_slices(pairs, 'test')} of unseen patients")
    evaluation = evaluate_run(out / "pairs", run)
    tell("6/6 report and model card")
    card = out / "MODEL_CARD.md"
    return DemoResult(evaluation, pet, write_report(run, out / "report.html", card), card)


def _slices(pairs: Pairs, part: str) -> str:
    return count(sum(study.slices for study in pairs.studies(part)), "slice")


def _unseen_ct(dicom: Path, pairs: Pairs) -> Path:
    """The CT folder of the first test patient."""
    wanted = pairs.studies("test")[0].id
    studies = scan([dicom], salt=PUBLIC_SALT).studies
    [series] = [study.ct for study in studies if study.id == wanted and study.ct]
    return series.files[0].parent
