"""Evaluation: metrics with intervals, on our runs or anyone's files, beside trivial images.

What comes in:

    either       `petcast evaluate`: which of the two it is
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

from typing import TYPE_CHECKING, Any

from petcast.evaluate.either import evaluate
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
