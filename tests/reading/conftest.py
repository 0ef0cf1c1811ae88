"""A reading's key and answers, made by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from petcast.reading.answers import id_of

Answer = Callable[..., Path]


def _image(source: str, patient: str, repeats: int | None = None) -> dict[str, Any]:
    return {"source": source, "patient": patient, "study": f"study {patient}", "slice": 3,
            "repeats": repeats}  # fmt: skip


@pytest.fixture
def reading(tmp_path: Path) -> Path:
    """Four patients' slices: real, of Stage02, and the first picture again."""
    images = [_image(source, patient) for patient in "abcd" for source in ("real", "Stage02")]
    key = {
        "format": 1, "petcast": "0", "part": "test", "data_hash": "00", "suv_max": 7.0, "seed": 0,
        "sources": [{"name": "real"}, {"name": "Stage02", "weights": {}, "epoch": 3}],
        "images": [*images, _image("real", "a", 0)],
    }  # fmt: skip
    (tmp_path / "key.json").write_text(json.dumps({"id": id_of(key), **key}))
    return tmp_path


@pytest.fixture
def answer(reading: Path) -> Answer:
    """Writes a reader's file: `synthetic` and `quality` by the picture's number."""

    def written(name: str, given: dict[int, tuple[int, int]], **more: Any) -> Path:
        key = json.loads((reading / "key.json").read_text())
        rows = [
            {"image": image, "synthetic": synthetic, "quality": quality, "artefacts": [],
             "comment": "", "seconds": 10.0 + image}
            for image, (synthetic, quality) in given.items()
        ]  # fmt: skip
        document = {"format": 1, "reading": key["id"], "reader": name, "answers": rows, **more}
        path = reading / f"answers-{name}.json"
        path.write_text(json.dumps(document))
        return path

    return written
