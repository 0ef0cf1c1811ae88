"""The panel about intervals: known numbers in, the same numbers on the page."""

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from petcast.errors import FormatError
from petcast.report import write_report
from petcast.report.arrays import HalfWidths, Slices, read_half_widths
from petcast.report.inputs import Score
from petcast.report.montage import draw_uncertainty
from petcast.report.tables import stage_table

MakeRun = Callable[..., Path]
MODEL = "Stage02"


def uncertainty(*coverage: float) -> dict[str, Any]:
    mean = float(np.mean(coverage))
    removed = [round(0.05 * k, 2) for k in range(20)]
    return {
        "way": "dropout", "level": 0.9, "factor": 3.21, "floor_suv": 0.045,
        "calibrated_on": {"part": "validation", "patients": 5},
        "coverage": [
            {"region": "lesions", "value": 0.4, "low": 0.3, "high": 0.5, "n": 2},
            {"region": "body", "value": mean, "low": mean - 0.02, "high": mean + 0.02, "n": 3},
        ],
        "patients": [
            {"patient": f"patient{k}", "coverage": value, "half_width_suv": 0.75, "suv_mae": 0.3,
             "interval_score_suv": 2.1, "ause": 0.25, "monotone": k != 1}
            for k, value in enumerate(coverage)
        ],
        "sparsification": {
            "removed": removed, "error": [1 - share / 2 for share in removed],
            "oracle": [1 - share for share in removed],
        },
        "warnings": ["Calibrated on 5 patient(s)."],
    }  # fmt: skip


def page_of(run: Path) -> str:
    return write_report(run, run.parent / "page.html").read_text(encoding="utf-8")


def words(page: str) -> str:
    section = page.split('id="uncertainty"')[1].split("</section>", maxsplit=1)[0]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", section)))


@pytest.mark.slow
def test_coverage_curves_and_patients_stand_on_the_page(
    make_run: MakeRun, good: dict[str, Any]
) -> None:
    run = make_run(evaluation=good | {"uncertainty": uncertainty(0.92, 0.88, 0.7)})
    shown = np.zeros((2, 64, 64), np.float32)
    np.savez(
        run / "evaluation" / "uncertainty.npz",
        half_width=shown, study=["study0", "study1"], slice=[0, 1],
    )  # fmt: skip
    page = page_of(run)
    text = words(page)
    assert "hold the real SUV of 83.3 % of the body's voxels: they are too narrow" in text
    assert "PET ± 3.21 × (spread + 0.045 SUV)" in text
    assert "Monte-Carlo dropout, calibrated on 5 validation patients" in text
    assert text.index("Inside the body") < text.index("Inside lesions")
    assert page.count('<td class="beyond">') == 1  # of three patients, 70 % alone is amiss
    assert "without the more uncertain half it is 75 %" in page
    assert 'id="chart-uncertainty-coverage"' in page
    assert "|Predicted − real|" in page
    assert 'href="#uncertainty"' in page


@pytest.mark.slow
def test_the_model_card_has_the_same_coverage(
    make_run: MakeRun, good: dict[str, Any], tmp_path: Path
) -> None:
    run = make_run(evaluation=good | {"uncertainty": uncertainty(0.92, 0.88)})
    write_report(run, tmp_path / "page.html", tmp_path / "card.md")
    card = (tmp_path / "card.md").read_text(encoding="utf-8")
    assert "| Inside the body | 90.0 % (88.0–92.0) | 3 |" in card.split("## Uncertainty")[1]


def test_a_run_that_was_not_calibrated_says_how(make_run: MakeRun, good: dict[str, Any]) -> None:
    assert "petcast calibrate RUN --data PAIRS" in words(page_of(make_run(evaluation=good)))


@pytest.mark.slow
def test_intervals_that_hold_what_they_promise_are_not_called_narrow(
    make_run: MakeRun, good: dict[str, Any]
) -> None:
    text = words(page_of(make_run(evaluation=good | {"uncertainty": uncertainty(0.91)})))
    assert "hold the real SUV of 91.0 % of the body's voxels. " in text


def pictures(n: int = 3) -> tuple[Slices, HalfWidths]:
    ct = np.full((n, 40, 40), 40, np.int16)
    truth = np.ones((n, 40, 40), np.float32)
    stages = np.stack([truth * 0, truth * 0.25], axis=1)
    half = np.stack([np.full((40, 40), 0.5 + k, np.float32) for k in range(n)])
    names = tuple(f"s{k}" for k in range(n))
    return Slices(ct, truth, stages, names, tuple(range(n))), HalfWidths(
        half[::-1], names[::-1], tuple(range(n))[::-1]
    )


def test_the_half_width_stands_beside_the_error_of_its_own_slice() -> None:
    slices, half = pictures()
    drawn = draw_uncertainty(slices, half)
    assert drawn is not None
    assert drawn.columns[-2:] == ("|Predicted − real|", "Half-width")
    for one in drawn.slices:
        slice_number = int(one.label.rpartition(" ")[2])
        assert one.whole[-2].caption == "mean 0.75"
        assert one.whole[-1].caption == f"mean {0.5 + slice_number - 1:.2f}"


def test_half_widths_of_other_slices_are_not_drawn() -> None:
    slices, _ = pictures()
    _, fewer = pictures(2)
    assert draw_uncertainty(slices, fewer) is None
    assert draw_uncertainty(slices, None) is None


def test_half_widths_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "u.npz", half_width=np.zeros((2, 4, 4)), study=["a"], slice=[0])
    with pytest.raises(FormatError, match=r"u\.npz"):
        read_half_widths(tmp_path / "u.npz")


def test_what_a_stage_adds_stands_with_its_interval() -> None:
    rows = [
        Score(name, "body", "psnr", v) for name, v in ((f"{MODEL} / stage 1", 20.0), (MODEL, 22))
    ]
    gain = {"region": "body", "metric": "psnr", "difference": 2.0, "low": 1.0, "high": 3.0, "n": 5}
    table = stage_table(rows, MODEL, [{"stage": 2, **gain}])
    assert table is not None
    assert [line.cells[0].change_ends for line in table.lines] == ["", "1.0–3.0"]
    assert table.has_change_ends
    plain = stage_table(rows, MODEL)
    assert plain is not None
    assert not plain.has_change_ends
