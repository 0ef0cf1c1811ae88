"""Which studies the report shows beside the registration check's figures."""

from pathlib import Path

import numpy as np

from petcast.evaluate.fusion import PICTURES, save_fusion, worst_studies
from petcast.pairs import Pairs


def row(name: str, x_mm: float | None, codes: tuple[str, ...] = (), dome_mm: float | None = None):
    shift = None if x_mm is None else [x_mm, 0.5, None]
    part = {"shift_mm": shift, "correlation": 0.8}
    warnings = [{"code": code, "detail": ""} for code in codes]
    found = {
        "body": part, "lungs": dict.fromkeys(("upper", "middle", "lower"), part),
        "dome_mm": dome_mm, "worst_slice": 7, "warnings": warnings,
    }  # fmt: skip
    return {"id": name, "registration": found}


def test_most_warnings_come_first_then_the_largest_distance() -> None:
    rows = [
        row("a", 1.0), row("b", -9.0, ("BODY-SHIFT",)), row("c", None, ("NOT-MEASURED",)),
        row("d", 2.0, ("DOME", "ARMS")), row("e", 0.0, dome_mm=-14.0),
    ]  # fmt: skip
    assert worst_studies(rows) == [("d", 7), ("b", 7), ("c", 7)][:PICTURES]
    assert worst_studies([rows[0], rows[4]]) == [("e", 7), ("a", 7)]


def test_studies_prepared_before_the_check_are_left_out() -> None:
    assert worst_studies([{"id": "old"}, row("new", 1.0)]) == [("new", 7)]


def test_the_worst_slices_are_kept_as_they_lie_in_the_pairs(
    whole_pairs: Path, tmp_path: Path
) -> None:
    pairs = Pairs.open(whole_pairs)
    save_fusion(pairs, tmp_path / "registration.npz")
    studies = {study.id: study for study in pairs.studies()}
    with np.load(tmp_path / "registration.npz", allow_pickle=False) as kept:
        assert len(set(kept["study"])) == PICTURES
        for place, (name, z) in enumerate(zip(kept["study"], kept["slice"], strict=True)):
            for array in ("ct", "pet", "regions"):
                assert np.array_equal(kept[array][place], getattr(studies[name], array)[z])
