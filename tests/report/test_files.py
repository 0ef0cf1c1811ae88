"""Pages of files that no run made, from what `petcast evaluate --out` writes."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from petcast.evaluate import evaluate_files
from petcast.report import write_report

ROOT = Path(__file__).parents[2]
SHAPE = (12, 48, 48)
PATIENT = "Mustermann_Erika"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three cases of an ellipse with a hot spot; predictions that are faint, and all zero."""
    home = tmp_path_factory.mktemp("files")
    z, y, x = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    body = ((x - 24) / 18) ** 2 + ((y - 24) / 12) ** 2 < 1
    spot = (z - 6) ** 2 + (y - 24) ** 2 + (x - 30) ** 2 < 9
    rng = np.random.default_rng(0)
    for k in range(3):
        truth = np.where(spot, 8.0 + k, np.where(body, 1.0, 0.0)) + body * rng.normal(0, 0.1, SHAPE)
        pairs = {"truth": truth, "faint": np.where(spot, 0.4 * truth, truth), "zero": truth * 0}
        for name, image in pairs.items():
            (home / name).mkdir(exist_ok=True)
            np.save(home / name / f"{PATIENT}{k}.npy", image.astype(np.float32))
    return {name: home / name for name in ("truth", "faint", "zero")} | {"home": home}


def _page(folders: dict[str, Path], name: str) -> str:
    from petcast.evaluate import Declared

    declared = Declared(suv_per_unit=1.0, spacing_mm=(4.0, 4.0, 4.0))
    out = folders["home"] / f"out-{name}"
    if not out.exists():
        evaluate_files(folders["truth"], folders[name], declared=declared, out=out)
    card = out.with_suffix(".md")
    page = write_report(out, out.with_suffix(".html"), card)
    return page.read_text(encoding="utf-8") + card.read_text(encoding="utf-8")


def _words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


@pytest.mark.slow
def test_a_page_of_files_has_what_is_known_and_says_what_is_not(folders: dict[str, Path]) -> None:
    page = _page(folders, "faint")
    words = _words(page)
    assert "nothing stands here about stages, curves over epochs, the training data" in words
    assert 'id="curves"' not in page
    assert 'id="data"' not in page
    assert "3 cases" in words
    assert "test patient" not in words
    assert "underestimated by 60 %" in words
    assert 'id="chart-lesions-suv_max"' in page
    assert "Pictures of the worst slices" in page


@pytest.mark.slow
def test_all_zero_files_are_said_to_be_zero_in_words(folders: dict[str, Path]) -> None:
    words = _words(_page(folders, "zero"))
    assert "The prediction is zero everywhere" in words
    assert "none of 3 hot ones is shown" in words
    assert "bears no lattice" not in words  # of nothing, nothing can be said


@pytest.mark.slow
def test_no_page_names_a_patient(folders: dict[str, Path]) -> None:
    for name in ("faint", "zero"):
        page = _page(folders, name)
        assert "mustermann" not in page.lower()
        assert str(folders["home"]) not in page


@pytest.mark.slow
def test_every_key_that_is_written_is_documented(folders: dict[str, Path]) -> None:
    _page(folders, "faint")
    text = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    section = text.split("## Evaluation: ")[1].split("\n## ")[0]
    known = set(re.findall(r"`([a-z_0-9]+)`", section)) | _sides(section)
    out = folders["home"] / "out-faint"
    document = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    lists = [value for value in document.values() if isinstance(value, list)]
    rows = [row for value in lists for row in value if isinstance(row, dict)]
    written = set(document) | {key for row in rows for key in row}
    assert written - known == set()
    for path in out.glob("*.csv"):
        assert set(path.read_text(encoding="utf-8").splitlines()[0].split(",")) - known == set()
    for path in out.glob("*.npz"):
        assert path.name in section
        with np.load(path) as arrays:
            assert set(arrays) - known == set()


def _sides(section: str) -> set[str]:
    """Lesions' keys are documented once for both images, limits' once for both ends."""
    measures = ("suv_max", "suv_peak", "suv_mean", "background_suv", "tbr", "mtv_ml", "tlg_g")
    assert all(f"`{measure}`" in section for measure in measures)
    sides = {f"{side}_{measure}" for side in ("truth", "prediction") for measure in measures}
    ends = {f"{what}_{e}" for what in ("bias", "lower", "upper") for e in ("low", "high")}
    return sides | ends


def test_where_every_case_is_left_out_nothing_is_promised(
    tmp_path: Path, evaluated: Callable[..., dict[str, Any]]
) -> None:
    """No section says that a newer evaluation would have what this one left out on purpose."""
    document = evaluated("prediction", {"zero": 0.0}, comparisons=[])
    document["left_out"] = [{"case": "c", "mistakes": ["FLIPPED"]}]
    (tmp_path / "evaluation.json").write_text(json.dumps(document))
    page = write_report(tmp_path, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "of this version" not in page
    assert "No slices were kept" not in page
    assert set(re.findall(r'href="#([a-z]+)"', page)) == set(
        re.findall(r'section id="([a-z]+)"', page)
    )
    some = evaluated("prediction", {"prediction": 0.9, "zero": 0.0})
    (tmp_path / "evaluation.json").write_text(json.dumps(some | {"left_out": document["left_out"]}))
    page = write_report(tmp_path, tmp_path / "page.html").read_text(encoding="utf-8")
    assert 'section id="comparisons"' in page  # of the cases that were measured
    document["left_out"] = []
    (tmp_path / "evaluation.json").write_text(json.dumps(document))
    assert "of this version" in write_report(tmp_path, tmp_path / "page.html").read_text()
