"""Tumour boxes travel into the pairs, or are counted."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from petcast.errors import UsageError
from petcast.pairs import Pairs
from petcast.prepare import prepare
from petcast.recipe import PreparationRecipe

RECIPE = PreparationRecipe(size=64, spacing_mm=8.0, slices="all")
BOX = (30, 40, 50, 48)
"""Left, top, right, bottom in pixels."""


def xml(box=BOX, label: str = "A", size: int = 96) -> str:
    corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in corners)
    return (
        f"<annotation><size><width>{size}</width><height>{size}</height></size>"
        f"<object><name>{label}</name><bndbox>{inner}</bndbox></object></annotation>"
    )


@pytest.fixture
def study(tiny_cohort: Path, tmp_path: Path) -> Path:
    first, *_ = sorted(tiny_cohort.iterdir())
    return shutil.copytree(first, tmp_path / "study")


@pytest.fixture
def drawn_on(study: Path) -> list:
    """Headers of the CT's images, from the feet up."""
    headers = [dcmread(path, stop_before_pixels=True) for path in study.rglob("*.dcm")]
    cts = [
        header
        for header in headers
        if header.Modality == "CT" and "LOCALIZER" not in header.ImageType
    ]
    return sorted(cts, key=lambda header: header.ImagePositionPatient[2])


@pytest.fixture
def boxes(drawn_on, tmp_path: Path) -> Path:
    """Two boxes that match, and one for each way not to."""
    path = tmp_path / "boxes.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"a/{drawn_on[8].SOPInstanceUID}.xml", xml())
        archive.writestr(f"a/{drawn_on[9].SOPInstanceUID}.xml", xml((-5, 10, 20, 20)))
        archive.writestr(f"a/{drawn_on[10].SOPInstanceUID}.xml", xml((200, 0, 220, 9)))
        archive.writestr(f"a/{drawn_on[11].SOPInstanceUID}.xml", xml(size=512))
        archive.writestr("a/1.2.3.4.xml", xml())
        archive.writestr("a/1.2.3.5.xml", xml(label="Q"))
        archive.writestr("a/1.2.3.6.xml", xml((5, 5, 5, 9)))
    return path


def made(study: Path, out: Path, boxes: Path | None = None) -> Pairs:
    return prepare([study], out, RECIPE, boxes=boxes, salt="tests", workers=1)


def card_of(pairs: Pairs) -> dict:
    [card] = pairs.path.rglob("card.json")
    return json.loads(card.read_text())


@pytest.mark.slow
def test_boxes_lie_where_they_were_drawn_and_the_rest_is_counted(
    study: Path, boxes: Path, drawn_on, tmp_path: Path
) -> None:
    pairs = made(study, tmp_path / "pairs", boxes)
    lesions = card_of(pairs)["boxes"]["lesions"]
    image = drawn_on[8]
    corner = np.array(image.ImagePositionPatient, float)
    step = float(image.PixelSpacing[0])
    [whole] = [one for one in lesions if abs(one["low_mm"][2] + 6 - corner[2]) < 0.01]
    np.testing.assert_allclose(whole["low_mm"][:2], corner[:2] + (np.array(BOX[:2]) - 0.5) * step)
    np.testing.assert_allclose(whole["high_mm"][:2], corner[:2] + (np.array(BOX[2:]) - 0.5) * step)
    counts = pairs.index["boxes"]
    assert counts == {
        "files": 7, "boxes": 5, "images": 5, "strays": 1, "damaged": 0, "malformed": 1,
        "placed": 2, "unmatched": 1, "outside": 1, "clipped": 1, "resized": 1,
    }  # fmt: skip
    text = (pairs.path / "pairs.json").read_text() + json.dumps(card_of(pairs))
    assert not any(str(header.SOPInstanceUID) in text for header in drawn_on)


@pytest.mark.slow
def test_a_study_is_prepared_anew_where_its_boxes_changed(
    study: Path, boxes: Path, tmp_path: Path
) -> None:
    first = card_of(made(study, tmp_path / "pairs"))
    assert "boxes" not in first
    assert len(card_of(made(study, tmp_path / "pairs", boxes))["boxes"]["lesions"]) == 2
    with zipfile.ZipFile(boxes, "a") as archive:
        archive.writestr("1.2.3.7.xml", xml())
    assert made(study, tmp_path / "pairs", boxes).index["boxes"]["unmatched"] == 2
    assert card_of(made(study, tmp_path / "pairs")) == first


def test_a_path_without_boxes_is_refused_before_any_work(study: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no zip")
    with pytest.raises(UsageError, match="neither a folder nor a zip"):
        made(study, tmp_path / "pairs", tmp_path / "text")
