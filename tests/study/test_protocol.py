"""Two divisions of the same pairs: neither copies a voxel, and each says what it is."""

import json
from pathlib import Path

import numpy as np
import pytest

from petcast.audit import require_clean
from petcast.errors import FormatError, UsageError
from petcast.pairs import Pairs
from petcast.pairs.voxels import VOXELS_FILE
from petcast.prepare import prepare
from petcast.recipe import PreparationRecipe
from petcast.study.protocol import divide, empty_parts


def test_no_voxel_is_copied_and_all_are_read(tiny_pairs: Path, tmp_path: Path) -> None:
    whole = Pairs.open(tiny_pairs)
    divided = divide(whole, "published", tmp_path / "published")
    assert sorted(p.name for p in (tmp_path / "published").iterdir()) == [
        "pairs.json", VOXELS_FILE,
    ]  # fmt: skip
    for mine, theirs in zip(divided.studies(), whole.studies(), strict=True):
        np.testing.assert_array_equal(mine.pet, theirs.pet)


def test_the_published_division_is_marked_as_leaking(
    tiny_pairs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    divided = divide(Pairs.open(tiny_pairs), "published", tmp_path)
    assert divided.index["split"]["kind"] == "published"
    assert divided.index["split"]["leaks"]
    assert not divided.index["audit"]["clean"]
    assert empty_parts(divided) == ["validation"]
    require_clean(divided)  # warns, since the split says so itself
    assert "leak" in caplog.text


def test_the_sound_division_is_the_prepared_one(tiny_pairs: Path, tmp_path: Path) -> None:
    whole = Pairs.open(tiny_pairs)
    divided = divide(whole, "sound", tmp_path)
    assert divided.index == whole.index
    require_clean(divided)


def test_pairs_prepared_as_published_are_divided_by_patient_for_the_sound_protocol(
    tiny_pairs: Path, tmp_path: Path
) -> None:
    published = divide(Pairs.open(tiny_pairs), "published", tmp_path / "published")
    again = divide(published, "published", tmp_path / "again")
    sound = divide(published, "sound", tmp_path / "sound")
    assert again.index == published.index
    assert sound.index["audit"]["clean"]
    assert len({study.patient for study in sound.studies("train")}) == 2
    assert sound.index["hash"] != published.index["hash"]


def test_folds_are_no_part_of_the_published_division(tiny_pairs: Path, tmp_path: Path) -> None:
    whole = Pairs.open(tiny_pairs)
    folds = whole.index["preparation"] | {"folds": 4, "fold": 1}
    cut = Pairs(whole.path, whole.index | {"preparation": folds}, whole.studies())
    divided = divide(cut, "published", tmp_path)
    assert PreparationRecipe.model_validate(divided.index["preparation"]).folds == 0


def test_the_index_tells_no_path(tiny_pairs: Path, tmp_path: Path) -> None:
    divide(Pairs.open(tiny_pairs), "sound", tmp_path / "d")
    assert str(tmp_path) not in (tmp_path / "d" / "pairs.json").read_text()
    assert not Path(json.loads((tmp_path / "d" / VOXELS_FILE).read_text())["pairs"]).is_absolute()


def test_lost_voxels_are_said_with_a_remedy(tiny_pairs: Path, tmp_path: Path) -> None:
    divide(Pairs.open(tiny_pairs), "sound", tmp_path)
    (tmp_path / VOXELS_FILE).write_text('{"pairs": "nowhere"}')
    with pytest.raises(FormatError, match="where they lie now"):
        Pairs.open(tmp_path)


def test_nothing_is_prepared_into_a_division(tiny_pairs: Path, tmp_path: Path) -> None:
    divide(Pairs.open(tiny_pairs), "sound", tmp_path)
    with pytest.raises(UsageError, match="another --out"):
        prepare([tiny_pairs], tmp_path, PreparationRecipe(), salt="tests")
