"""What an evaluation holds beside its rows: lesions, detection, agreement, comparisons."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from petcast.words import count

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class LesionRow:
    """One lesion as one model shows it; docs/evaluate.md defines the metrics.

    Attributes:
        name: The model, one of its stages, or a trivial image.
        patient: The patient's pseudonym; the case's where a file does not say whose it is.
        lesion: Its number within the patient, from 1.
        source: "mask", "boxes" (published tumour boxes) or "threshold" (found on the real PET).
        slice: The number of the slice with its hottest voxel, within its study.
        volume_ml: Of its mask.
        hot: Whether it stands out on the real PET: SUVmax of at least 1.5 times the background.
        clipped: Whether its SUVmax exceeds the model's SUV window.
        found: Whether the prediction shows at least half of its contrast; None of lesions that are
            not hot.
        truth_suv_max: SUVmax on the real PET.
        prediction_suv_max: SUVmax on the prediction, in the same mask.
        truth_suv_peak: SUVpeak (1 mL) on the real PET.
        prediction_suv_peak: SUVpeak on the prediction.
        truth_suv_mean: SUVmean on the real PET.
        prediction_suv_mean: SUVmean on the prediction.
        truth_background_suv: Median SUV of the shell around it; None where there is none.
        prediction_background_suv: The same of the prediction.
        truth_tbr: SUVmax over background.
        prediction_tbr: The same of the prediction.
        truth_mtv_ml: Metabolic volume in mL; None of lesions that are not hot.
        prediction_mtv_ml: The same of the prediction, at the real PET's threshold.
        truth_tlg_g: MTV times the mean SUV in it, in g.
        prediction_tlg_g: The same of the prediction.
    """

    name: str
    patient: str
    lesion: int
    source: str
    slice: int
    volume_ml: float
    hot: bool
    clipped: bool
    found: bool | None
    truth_suv_max: float
    prediction_suv_max: float
    truth_suv_peak: float
    prediction_suv_peak: float
    truth_suv_mean: float
    prediction_suv_mean: float
    truth_background_suv: float | None
    prediction_background_suv: float | None
    truth_tbr: float | None
    prediction_tbr: float | None
    truth_mtv_ml: float | None
    prediction_mtv_ml: float | None
    truth_tlg_g: float | None
    prediction_tlg_g: float | None


@dataclass(frozen=True)
class DetectionRow:
    """How many hot lesions of a size a model shows, and how many hot spots it invents.

    Attributes:
        name: The model, one of its stages, or a trivial image.
        low_ml: Least volume of the bin, included.
        high_ml: Its end, not included; None where it has none.
        lesions: Hot lesions of this size.
        found: Those that the prediction shows.
        sensitivity: Found over lesions; None without lesions.
        low: Lower end of its 95 % interval (Wilson, for as many independent lesions as these are
            worth).
        high: Upper end.
        false_positives: Hot spots of this size on the prediction where the real PET has none.
        patients: Patients behind the row.
    """

    name: str
    low_ml: float
    high_ml: float | None
    lesions: int
    found: int
    sensitivity: float | None
    low: float | None
    high: float | None
    false_positives: int
    patients: int


@dataclass(frozen=True)
class Agreement:
    """Bland–Altman: how far a model's values lie from the real ones, and how they scatter.

    Attributes:
        name: The model, one of its stages, or a trivial image.
        of: "region" (a value a patient) or "lesion" (a value a lesion).
        region: "body", "lungs", "mediastinum" or "lesions".
        metric: "suv_mean", "suv_max" or "suv_peak", in SUV.
        n: Values.
        patients: Patients behind them.
        bias: Mean of predicted − real.
        bias_low: Lower end of its 95 % interval; None with fewer than two patients.
        bias_high: Upper end.
        sd: Standard deviation of the differences; of lesions, between and within patients together.
        lower: Lower limit of agreement: bias − 1.96 sd.
        lower_low: Lower end of its 95 % interval.
        lower_high: Upper end.
        upper: Upper limit of agreement: bias + 1.96 sd.
        upper_low: Lower end of its 95 % interval.
        upper_high: Upper end.
        points: What is drawn: `patient`, `lesion` (None of regions), `truth` and `prediction`.
    """

    name: str
    of: str
    region: str
    metric: str
    n: int
    patients: int
    bias: float
    bias_low: float | None
    bias_high: float | None
    sd: float | None
    lower: float | None
    lower_low: float | None
    lower_high: float | None
    upper: float | None
    upper_low: float | None
    upper_high: float | None
    points: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Comparison:
    """The evaluated model minus another row, patient by patient.

    Attributes:
        model: The evaluated model's last stage.
        reference: An earlier stage or a trivial image.
        region: As in `Row`.
        metric: As in `Row`.
        difference: Mean over patients of model − reference.
        low: Lower end of its 95 % bootstrap interval; None with fewer than two patients.
        high: Upper end.
        p: Of the two-sided sign-flip test; None likewise.
        p_holm: Corrected for the references of this region and metric.
        n: Patients.
        least_difference: What so many patients could show at 80 % power, given how they scatter.
        verdict: "better" or "worse" where `p_holm` is below 0.05, else "undecided".
    """

    model: str
    reference: str
    region: str
    metric: str
    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    n: int
    least_difference: float | None
    verdict: str


Record = LesionRow | DetectionRow | Agreement | Comparison


def records_as_csv(kind: "type[DataclassInstance]", records: "Sequence[DataclassInstance]") -> str:
    """Give records as CSV, without the points that only pictures need.

    Args:
        kind: The dataclass of the records, for the head.
        records: Of this kind.

    Returns:
        A head and a line a record; what does not exist is empty.
    """
    names = [field.name for field in fields(kind) if field.name != "points"]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(record) for record in records)
    return stream.getvalue()


def describe_lesions(
    name: str, lesions: Sequence[LesionRow], detection: Sequence[DetectionRow]
) -> str:
    """Say in a line how a model shows the lesions.

    Args:
        name: The model's.
        lesions: Of all names.
        detection: Of all names.

    Returns:
        How many, their mean SUVmax, how many are found and invented; "" with neither lesions nor
        invented ones.
    """
    own = [row for row in lesions if row.name == name]
    every = next((row for row in detection if row.name == name), None)  # all sizes come first
    if not own or every is None:
        invented = every.false_positives if every else 0
        return f"Lesions: none; {count(invented, 'hot spot')} invented" if invented else ""
    real, shown = (
        sum(values) / len(own)
        for values in zip(*((r.truth_suv_max, r.prediction_suv_max) for r in own), strict=True)
    )
    patients, clipped = len({row.patient for row in own}), sum(row.clipped for row in own)
    sources = " and ".join(sorted({_SOURCES[row.source] for row in own}))
    return (
        f"Lesions ({sources}): {len(own)} in {count(patients, 'patient')}, mean SUVmax {real:.1f}, "
        f"predicted {shown:.1f}; {every.found} of {count(every.lesions, 'hot one')} found, "
        f"{every.false_positives} invented; {clipped} beyond the SUV window"
    )


_SOURCES = {
    "mask": "from masks",
    "boxes": "from published boxes",
    "threshold": "hot spots of the real PET, physiological uptake among them",
}
