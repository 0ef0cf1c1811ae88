"""The all-zero image under both protocols."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from petcast.metrics import score_slices
from petcast.pairs import Pairs
from petcast.study import trivial

WINDOW = (0.0, 10.0)


def study(patient: str, slices: int, suv: float) -> SimpleNamespace:
    body = np.zeros((slices, 24, 24), np.uint8)
    body[:, 4:20, 4:20] = 1
    return SimpleNamespace(
        id=patient, patient=patient, regions=body, ct=np.zeros(body.shape, np.int16),
        pet=(body * suv).astype(np.float32),
    )  # fmt: skip


STUDIES = (study("a", 3, 4.0), study("b", 12, 1.0))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Test patients of unequal length; nobody to learn from."""

    def studies(part: str) -> list[SimpleNamespace]:
        return list(STUDIES) if part == "test" else []

    pairs = SimpleNamespace(index={"hash": "abc"}, studies=studies)
    monkeypatch.setattr(Pairs, "open", lambda folder: pairs)
    return tmp_path


def test_an_all_zero_generators_curve_lies_on_the_all_zero_image(folder: Path) -> None:
    pet = torch.from_numpy(np.concatenate([one.pet for one in STUDIES]))
    curve = score_slices(torch.zeros_like(pet), pet, pet > 0, WINDOW)
    for protocol in ("published", "sound"):
        (folder / trivial.TRIVIAL_FILE).unlink(missing_ok=True)
        line = trivial.trivial_rows(folder, protocol, WINDOW).over_slices["zero"]
        for metric in ("ssim", "psnr", "mae"):
            assert line["whole", metric].value == pytest.approx(curve[metric], rel=1e-5)


def test_the_sound_protocol_averages_patients_and_the_published_one_slices(folder: Path) -> None:
    by_patient = trivial.trivial_rows(folder, "sound", WINDOW).means["zero"]["whole", "mae"]
    (folder / trivial.TRIVIAL_FILE).unlink()
    by_slice = trivial.trivial_rows(folder, "published", WINDOW).means["zero"]["whole", "mae"]
    share = (16 / 24) ** 2
    assert (by_patient.value, by_patient.n) == (pytest.approx(share * 0.25), 2)
    assert by_slice.value == pytest.approx(share * (3 * 0.4 + 12 * 0.1) / 15)


def test_what_was_measured_is_read_again_unless_it_is_of_an_earlier_format(folder: Path) -> None:
    first = trivial.trivial_rows(folder, "sound", WINDOW)
    path = folder / trivial.TRIVIAL_FILE
    kept = json.loads(path.read_text())
    assert trivial.trivial_rows(folder, "sound", WINDOW) == first
    del kept["format"], kept["over_slices"]
    path.write_text(json.dumps(kept))
    assert trivial.trivial_rows(folder, "sound", WINDOW) == first
