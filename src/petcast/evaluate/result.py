"""What an evaluation gives: rows with intervals, the patients behind them, and warnings."""

from dataclasses import asdict, dataclass, field
from typing import Any

import petcast
from petcast.catalogue import Column
from petcast.evaluate.records import (
    Agreement,
    Comparison,
    DetectionRow,
    LesionRow,
    Record,
    describe_lesions,
)
from petcast.words import count

FORMAT = 1


@dataclass(frozen=True)
class Row:
    """A mean over patients.

    Attributes:
        name: The model, one of its stages ("Stage02 / stage 1"), a trivial image ("zero",
            "body-constant", "train-mean"), or "blurred-truth".
        region: "whole" slice, "body", "lungs", "mediastinum" or "lesions".
        metric: A key of `petcast.catalogue.METRICS`, which says what it is and in which unit.
        value: The mean.
        low: Lower end of its 95 % interval; None with fewer than two patients.
        high: Upper end.
        n: Patients behind it.
    """

    name: str
    region: str
    metric: str
    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class PatientRow:
    """One patient's mean over slices.

    Attributes:
        name: As in `Row`.
        patient: The patient's pseudonym; the case's where a file does not say whose it is.
        region: As in `Row`.
        metric: As in `Row`.
        value: Mean over the slices that hold the region.
        slices: How many those are.
    """

    name: str
    patient: str
    region: str
    metric: str
    value: float
    slices: int


@dataclass(frozen=True)
class Finding:
    """Something the reader of the numbers must know.

    Attributes:
        code: Upper case with hyphens; docs/evaluate.md lists them.
        detail: A sentence or two.
    """

    code: str
    detail: str


TABLE_COLUMNS = (
    *(Column.of("whole", key) for key in ("ssim", "psnr", "mae", "lpips")),
    *(Column.of("body", key) for key in ("ssim", "psnr", "suv_mae", "suv_bias")),
)
"""Of the printed table."""


RECORDS: dict[str, type[Record]] = {
    "lesions": LesionRow,
    "detection": DetectionRow,
    "agreement": Agreement,
    "comparisons": Comparison,
}
"""What stands beside the rows, by its key; each is a CSV file, too."""


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a prediction beside those of images that know nothing of the CT.

    Attributes:
        rows: Means over patients.
        patients: The same per patient.
        warnings: What must be known to read them.
        suv_window: SUV mapped to 0 and 1 for the image metrics.
        about: More keys of evaluation.json: which part, model, baselines …
        lesions: Uptake of each lesion, real and predicted, by name.
        detection: Which lesions are found, by name and size.
        agreement: Bland–Altman of regions' and lesions' uptake.
        comparisons: The model against its stages and the trivial images, by patient.
    """

    rows: tuple[Row, ...]
    patients: tuple[PatientRow, ...]
    warnings: tuple[Finding, ...]
    suv_window: tuple[float, float]
    about: dict[str, Any] = field(default_factory=dict)
    lesions: tuple[LesionRow, ...] = ()
    detection: tuple[DetectionRow, ...] = ()
    agreement: tuple[Agreement, ...] = ()
    comparisons: tuple[Comparison, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give the document that `--json` prints and evaluation.json holds.

        Returns:
            `format`, `rows`, `patients`, `lesions`, `detection`, `agreement`, `comparisons`,
            `warnings`, `suv_window` and what `about` adds.
        """
        return {
            "format": FORMAT,
            "petcast": petcast.__version__,
            "suv_window": list(self.suv_window),
            **self.about,
            "rows": [asdict(row) for row in self.rows],
            "patients": [asdict(row) for row in self.patients],
            **{kind: [asdict(one) for one in getattr(self, kind)] for kind in RECORDS},
            "warnings": [asdict(finding) for finding in self.warnings],
        }

    def value(self, name: str, region: str, metric: str) -> float | None:
        """Look a mean up.

        Args:
            name: As in `Row`.
            region: As in `Row`.
            metric: As in `Row`.

        Returns:
            The mean over patients, or None where it was not measured.
        """
        row = self._row(name, region, metric)
        return row.value if row else None

    def table(self) -> list[list[str]]:
        """Give the rows for reading: a line a name, intervals under the means.

        Returns:
            Cells; the first list is the head.
        """
        measured = [column for column in TABLE_COLUMNS if self._measured(*column.at)]
        names = dict.fromkeys(row.name for row in self.rows)
        head = ["", *(column.heading for column in measured)]
        body = [
            [name, *(_cell(self._row(name, *column.at), column.digits) for column in measured)]
            for name in names
        ]
        return [head, *body]

    def lesion_line(self, name: str) -> str:
        """Say in a line how a model shows the lesions.

        Args:
            name: The model's.

        Returns:
            The line; "" without lesions.
        """
        return describe_lesions(name, self.lesions, self.detection)

    def frechet_line(self) -> str:
        """Say in a line how far the images' features lie from the real PET's.

        Returns:
            The line; "" without perceptual metrics.
        """
        found = self.about.get("perceptual")
        if not found or not found["frechet"]:
            return ""
        distances = ", ".join(
            f"{one['name']} {one['value']:.3g}"
            for one in found["frechet"]
            if one["value"] is not None
        )
        return (
            f"Fréchet distance of {found['architecture']} features (no FID: that is of Inception), "
            f"{count(found['frechet'][0]['slices'], 'slice')}: {distances or 'too few'}"
        )

    def _row(self, name: str, region: str, metric: str) -> Row | None:
        wanted = (name, region, metric)
        found = (row for row in self.rows if (row.name, row.region, row.metric) == wanted)
        return next(found, None)

    def _measured(self, region: str, metric: str) -> bool:
        return any((row.region, row.metric) == (region, metric) for row in self.rows)


def _cell(row: Row | None, digits: int) -> str:
    if row is None:
        return ""
    if row.low is None or row.high is None:
        return _number(row.value, digits)
    return (
        f"{_number(row.value, digits)}\n[{_number(row.low, digits)}, {_number(row.high, digits)}]"
    )


def _number(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}"  # adding 0.0 takes the sign off -0.0
