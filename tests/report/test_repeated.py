"""The report may not import what measures, so it repeats names: they must stay the same."""

from petcast import claim
from petcast.catalogue import TRIVIAL
from petcast.evaluate import baselines, foreign, store
from petcast.report import inputs, study, verdict
from petcast.report.uncertainty import WAYS
from petcast.study import results
from petcast.uncertainty import spread


def test_images_and_ways_are_called_as_whoever_makes_them_calls_them() -> None:
    assert set(TRIVIAL) == set(baselines.TRIVIAL)
    assert verdict.FILES == foreign.PREDICTION
    assert set(WAYS) == set(spread.WAYS)


def test_files_are_called_as_whoever_writes_them_calls_them() -> None:
    assert inputs.EVALUATION == store.DOCUMENT
    assert claim.STUDY_FILE == study.STUDY_FILE
    assert results.RESULTS_FILE == study.RESULTS_FILE
