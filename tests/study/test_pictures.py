"""Figure 5 of a study: slices that the evaluations kept."""

from pathlib import Path

import numpy as np
import pytest

from petcast.errors import FormatError
from petcast.study.pictures import read_pictures
from petcast.study.protocol import run_folder


def montage(study: Path, generator: str) -> Path:
    path = run_folder(study, "sound", generator) / "evaluation" / "montage.npz"
    path.parent.mkdir(parents=True)
    ct = np.arange(32, dtype=np.int16).reshape(2, 4, 4)
    stages = np.stack([ct, 2 * ct], axis=1).astype(np.float32)
    np.savez_compressed(path, ct=ct, truth=ct.astype(np.float32), stages=stages)
    return path


def test_the_last_stage_of_each_generator_is_shown(tmp_path: Path) -> None:
    montage(tmp_path, "Stage02")
    found = read_pictures(tmp_path, ["Stage01", "Stage02"])
    assert found is not None
    assert list(found.predicted) == ["Stage02"]  # the other one kept nothing
    np.testing.assert_array_equal(found.predicted["Stage02"], 2 * found.truth)


def test_nothing_is_shown_where_nothing_was_kept(tmp_path: Path) -> None:
    assert read_pictures(tmp_path, ["Stage01"]) is None


def test_damaged_pictures_are_named(tmp_path: Path) -> None:
    path = montage(tmp_path, "Stage02")
    whole = path.read_bytes()
    path.write_bytes(whole[:60] + bytes(20) + whole[80:])
    with pytest.raises(FormatError, match=r"montage\.npz is damaged"):
        read_pictures(tmp_path, ["Stage02"])
