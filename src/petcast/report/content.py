"""What a run's page shows: the names that its template and the model card read."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from petcast.catalogue import Metric
from petcast.report.artefacts import ArtefactPanel
from petcast.report.bland_altman import BlandAltman
from petcast.report.comparisons import Comparisons
from petcast.report.curves import Panel
from petcast.report.data import DataAccount, Fact
from petcast.report.inputs import Evaluation, Run
from petcast.report.lesions import LesionPanel
from petcast.report.montage import Montage
from petcast.report.registration import Agreement
from petcast.report.strips import Strip
from petcast.report.tables import Table
from petcast.report.uncertainty import UncertaintyPanel
from petcast.report.verdict import Verdict
from petcast.report.worst import WorstCases


class Content(TypedDict):
    """Everything of a run's page; None or empty where the run does not tell."""

    model: str
    run: Run
    verdict: Verdict
    all_left_out: bool
    strips: Sequence[Strip]
    has_intervals: bool
    warnings: Sequence[tuple[str, str]]
    evaluation: Evaluation | None
    scores: Table | None
    all_scores: Sequence[Table]
    stages: Table | None
    metrics: Sequence[Metric]
    clipping: str
    frechet: str
    score_caption: str
    frame: Mapping[str, float]
    panels: Sequence[Panel]
    epoch_rows: Sequence[tuple[int, list[str]]]
    chosen: int | None
    montage: Montage | None
    worst_pictures: Montage | None
    montage_rule: str
    data: DataAccount
    agreement: Agreement
    comparisons: Comparisons | None
    worst: WorstCases | None
    lesions: LesionPanel | None
    bland_altman: BlandAltman | None
    artefacts: ArtefactPanel | None
    uncertainty: UncertaintyPanel | None
    left_out: str
    provenance: Sequence[Fact]
    trivial: Mapping[str, str]
