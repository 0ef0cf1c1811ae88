"""The page's account of how CT and PET lie on each other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from petcast.errors import FormatError
from petcast.registration import Code
from petcast.report import write_report
from petcast.report.arrays import Fused
from petcast.report.inputs import read_run
from petcast.report.registration import MOST_ROWS, agreement_of

SIZE = 48


def found(*warnings: tuple[str, str], x_mm: float | None = 0.2) -> dict[str, Any]:
    shift = {"shift_mm": None if x_mm is None else [x_mm, -3.0, None], "correlation": 0.8}
    return {
        "body": {"dice": 0.97, "trunk_dice": 0.96, "arms_astray": 0.0, **shift},
        "lungs": dict.fromkeys(("upper", "middle", "lower"), shift),
        "dome_mm": -2.5, "worst_slice": 9,
        "warnings": [{"code": code, "detail": detail} for code, detail in warnings],
    }  # fmt: skip


def index_of(*founds: dict[str, Any] | None) -> dict[str, Any]:
    studies = [
        {"id": f"s{k:02d}", "patient": f"p{k}", "part": "train", "slices": 20}
        | ({} if one is None else {"registration": one})
        for k, one in enumerate(founds)
    ]
    return {"format": 1, "parts": {"train": []}, "studies": studies}


def page_of(run: Path) -> str:
    return write_report(run, run.with_name("page.html")).read_text(encoding="utf-8")


MOVED = found((Code.BODY_SHIFT, "On PET, the body lies off by x +15.2 mm."), x_mm=15.2)


def write_fused(path: Path, **changed: Any) -> None:
    y, x = np.mgrid[:SIZE, :SIZE]
    body = (x - 24) ** 2 + (y - 24) ** 2 < 15**2
    held = {
        "ct": np.where(body, 40, -1000).astype(np.int16)[None],
        "pet": np.roll(np.where(body, 1.5, 0.0), 4, axis=1).astype(np.float32)[None],
        "regions": body.astype(np.uint8)[None],
        "study": np.array(["s01"]),
        "slice": np.array([9]),
    }
    np.savez_compressed(path, **(held | changed))


@pytest.fixture
def run(make_run: Callable[..., Path], good: dict[str, Any]) -> Path:
    made = make_run(evaluation=good, index=index_of(found(), MOVED))
    write_fused(made / "evaluation" / "registration.npz")
    return made


def test_each_study_has_a_row_and_warned_ones_come_first() -> None:
    agreement = agreement_of(index_of(found(), MOVED, found(x_mm=None)), None)
    assert [row.id for row in agreement.rows] == ["s01", "s00", "s02"]
    assert (agreement.warned, agreement.measured, agreement.more) == (1, 3, 0)
    body = agreement.rows[0].shifts[0]
    assert [one.mm for one in body] == ["+15", "−3", "n/a"]
    assert [one.beyond for one in body] == [True, False, False]
    assert not any(one.beyond for shift in agreement.rows[0].shifts[1:] for one in shift)
    assert {one.mm for shift in agreement.rows[2].shifts for one in shift} == {"n/a"}


def test_of_a_large_cohort_the_worst_are_listed() -> None:
    agreement = agreement_of(index_of(*[found()] * MOST_ROWS, MOVED), None)
    assert len(agreement.rows) == MOST_ROWS
    assert agreement.more == 1
    assert agreement.rows[0].warnings


@pytest.mark.slow
def test_the_page_shows_figures_warnings_and_the_fused_slice(run: Path) -> None:
    page = page_of(run)
    for text in (
        "1 of 2 studies has a warning", "x +15.2 mm", "Study s01, slice 10: BODY-SHIFT",
        "PET over CT (SUV)", "CT (HU)", "tolerance (body 8 mm",
    ):  # fmt: skip
        assert text in page, text
    section = page[page.index('id="registration"') : page.index('id="provenance"')]
    assert section.count("data:image/png;base64,") == 3 + 3


def test_the_fused_picture_shows_pet_where_it_lies_and_ct_elsewhere() -> None:
    from petcast.report.registration import _images

    ct = np.full((1, 8, 8), -1000, np.int16)
    pet, regions = np.zeros((1, 8, 8), np.float32), np.zeros((1, 8, 8), np.uint8)
    pet[0, 2, 3], regions[0, 4:, 4:] = 5.0, 1
    grey, outlined, fused = _images(Fused(ct, pet, regions, ("s",), (0,)), 0, 5.0)
    assert (fused != grey).any(axis=2).sum() == 1
    assert fused[2, 3].max() > 150
    coloured = np.ptp(outlined.astype(int), axis=2) > 0
    assert coloured.sum() == coloured[4:, 4:].sum() == 4 * 4 - 2 * 2, "the rim of a square"


@pytest.mark.slow
def test_an_index_older_than_the_check_is_said(make_run: Callable[..., Path]) -> None:
    page = page_of(make_run(index=index_of(None)))
    assert "holds no such measurement" in page


@pytest.mark.slow
def test_without_an_evaluation_the_figures_stand_and_the_pictures_are_asked_for(
    make_run: Callable[..., Path],
) -> None:
    page = page_of(make_run(index=index_of(MOVED)))
    assert "1 of 1 study has a warning" in page
    assert "keeps those of the worst slices" in page


def test_no_pictures_are_no_damage(run: Path) -> None:
    nothing = {name: np.zeros(0) for name in ("ct", "pet", "regions", "study", "slice")}
    write_fused(run / "evaluation" / "registration.npz", **nothing)
    assert read_run(run).fused is None


@pytest.mark.parametrize(
    "changed", [{"pet": np.zeros((1, 3, 3))}, {"slice": np.zeros(2)}, {"study": np.array([])}]
)
def test_arrays_that_do_not_fit_are_refused(run: Path, changed: dict[str, Any]) -> None:
    write_fused(run / "evaluation" / "registration.npz", **changed)
    with pytest.raises(FormatError, match=r"registration\.npz.*evaluate"):
        read_run(run)
