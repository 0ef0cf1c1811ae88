"""What an evaluation warns of, in words."""

from petcast.evaluate.findings import beaten_by_trivial
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
