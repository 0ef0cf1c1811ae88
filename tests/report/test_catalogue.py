"""The report may not import what measures, so it repeats names: they must stay the same."""

from petcast import claim
from petcast.evaluate import baselines, foreign, store
from petcast.evaluate.comparison import COMPARED
from petcast.evaluate.result import TABLE_COLUMNS
from petcast.report import answers, inputs, study, verdict
from petcast.report.catalogue import BLURRED_TRUTH, TRIVIAL, is_known, metric_of
from petcast.report.uncertainty import WAYS
from petcast.study import results
from petcast.study.scores import BODY_METRICS, PAPER_METRICS
from petcast.uncertainty import spread

SIGNS = {"up": 1, "down": -1, "zero": 0}


def test_images_and_ways_are_called_as_whoever_makes_them_calls_them() -> None:
    assert set(TRIVIAL) == set(baselines.TRIVIAL)
    assert baselines.BLURRED_TRUTH == BLURRED_TRUTH
    assert verdict.FILES == foreign.PREDICTION
    assert set(WAYS) == set(spread.WAYS)


def test_metrics_are_known_and_better_the_same_way() -> None:
    assert all(is_known(metric) for _, metric, *_ in TABLE_COLUMNS)
    told = {metric: sign for (_, metric), sign in COMPARED.items()}
    told |= {metric.key: metric.sign for metric in (*PAPER_METRICS, *BODY_METRICS)}
    assert {metric: SIGNS[metric_of(metric).better] for metric in told} == told
    assert {metric.key: metric.sign for metric in PAPER_METRICS} == answers.BETTER
    assert {metric.key: metric.digits for metric in PAPER_METRICS} == answers.DIGITS


def test_files_are_called_as_whoever_writes_them_calls_them() -> None:
    assert inputs.EVALUATION == store.DOCUMENT
    assert claim.STUDY_FILE == study.STUDY_FILE
    assert results.RESULTS_FILE == study.RESULTS_FILE
