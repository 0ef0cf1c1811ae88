"""What an evaluation warns of, in words."""

import numpy as np
import pytest

from petcast.evaluate.findings import Flaw, beaten_by_trivial, describe_flaws, flaw_of
from petcast.evaluate.result import Row


def test_a_trivial_image_that_wins_is_told_in_the_words_of_the_report() -> None:
    values = {"Stage01": (23.2, 0.534), "zero": (20.9, 0.77), "body-constant": (26.4, 0.35)}
    rows = [
        Row(name, "body", metric, value, None, None, 1)
        for name, pair in values.items()
        for metric, value in zip(("psnr", "suv_mae"), pair, strict=True)
    ]
    [finding] = beaten_by_trivial(rows, "Stage01")
    assert finding.detail == (
        "Inside the body, Stage01 is no better than: body-constant (PSNR in dB: 26.4 against "
        "23.2); body-constant (SUV error: 0.350 against 0.534)."
    )


def test_as_good_as_a_trivial_image_is_no_better() -> None:
    rows = [Row(name, "body", "psnr", 26.4, None, None, 1) for name in ("Stage01", "train-mean")]
    assert [finding.code for finding in beaten_by_trivial(rows, "Stage01")] == ["BEATEN-BY-TRIVIAL"]


@pytest.mark.parametrize(
    ("height", "ripple", "flaw"),
    [
        (0.0, 0.009, Flaw.ZERO),
        (0.02, 0.0, Flaw.CONSTANT),
        (3.0, 0.00005, Flaw.CONSTANT),
        (3.0, 0.0002, None),
        (0.0, 0.02, None),
    ],
)
def test_what_shows_no_uptake_is_told_from_what_shows_little(height, ripple, flaw) -> None:
    body = np.zeros((2, 8, 8), bool)
    body[:, 2:6, 2:6] = True
    prediction = np.where(body, np.float32(height), np.float32(0.0))
    prediction[0, 3, 3] += np.float32(ripple)
    assert flaw_of(prediction, body) is flaw


@pytest.mark.parametrize(("cases", "said"), [(1, "1 of 1 case (a0)"), (2, "1 of 2 cases (a0)")])
def test_a_flaw_is_said_of_so_many_cases(cases: int, said: str) -> None:
    flaws = [(f"a{number}", None if number else Flaw.ZERO) for number in range(cases)]
    [finding] = describe_flaws(flaws, "case", "cases")
    assert f"in {said}. It shows no uptake at all" in finding.detail
