"""Pictures: windows, crops and PNG files that other programs read."""

import base64
import io

import numpy as np
import pytest

from petcast.report.arrays import Slices
from petcast.report.montage import draw_montage
from petcast.report.png import LEVELS, diverging, grey, png_uri, to_levels


def _slices(n: int = 2, stages: int = 2, size: int = 64, hot: float = 6.0) -> Slices:
    ct = np.full((n, size, size), -1000, np.int16)
    ct[:, 16:48, 8:56] = 40
    truth = np.zeros((n, size, size), np.float32)
    truth[:, 16:48, 8:56] = 1
    truth[:, 30, 40] = hot
    predicted = np.repeat(truth[:, None] * np.float32(0.5), stages, axis=1)
    return Slices(ct, truth, predicted, ("s",) * n, tuple(range(n)))


def _decoded(uri: str) -> np.ndarray:
    from PIL import Image

    content = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def test_a_png_reads_back_as_it_was_drawn() -> None:
    levels = np.arange(254, dtype=np.uint8).reshape(2, 127)
    for palette in (grey(), grey(inverted=True), diverging()):
        np.testing.assert_array_equal(_decoded(png_uri(levels, palette)), palette[levels])


def test_pet_is_white_where_there_is_nothing_and_black_where_it_is_hottest() -> None:
    picture = draw_montage(_slices())
    assert picture is not None
    stage = _decoded(picture.slices[0].whole[1].uri)
    assert stage[0, 0].tolist() == [255, 255, 255]
    assert picture.bars[1].ticks == ("0", "3.75", "7.5") or picture.bars[1].ticks[-1] in (
        "2.5", "5", "7.5", "10",
    )  # fmt: skip


def test_no_difference_is_white() -> None:
    levels = to_levels(np.zeros((1, 1)), -2.0, 2.0)
    assert diverging()[levels[0, 0]].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("value", "level"), [(-5.0, 0), (np.nan, 0), (0.0, 0), (10.0, 254), (99.0, 254)]
)
def test_values_outside_the_window_take_its_ends(value: float, level: int) -> None:
    assert to_levels(np.array([[value]]), 0.0, 10.0)[0, 0] == level < LEVELS


def test_pictures_are_cropped_to_the_body_and_magnified_around_the_hottest_spot() -> None:
    montage = draw_montage(_slices())
    assert montage is not None
    one = montage.slices[0]
    assert (one.whole[0].width, one.whole[0].height) == (56, 40)
    assert (one.magnified[0].width, one.magnified[0].height) == (14, 10)
    assert one.magnified[-2].caption == "max 6.0"
    assert montage.columns == ("CT", "Stage 1", "Stage 2 (output)", "Real PET", "Predicted − real")


def test_a_slice_without_body_or_uptake_is_drawn_whole() -> None:
    empty = _slices()
    empty.ct[:] = -1000
    empty.truth[:] = 0
    empty.stages[:] = np.nan
    montage = draw_montage(empty)
    assert montage is not None
    assert montage.slices[0].whole[0].width == 64


def test_many_stages_show_fewer_slices() -> None:
    montage = draw_montage(_slices(n=6, stages=10))
    assert montage is not None
    assert len(montage.slices) == 3
    assert montage.kept == 6


def test_no_slices_no_montage() -> None:
    assert draw_montage(None) is None
