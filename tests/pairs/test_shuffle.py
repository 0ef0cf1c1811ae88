"""The published split: 400 and 64 shuffled slices, marked as leaking wherever it goes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petcast.dataset import SliceDataset
from petcast.errors import FormatError, RecipeError, UsageError
from petcast.pairs import Pairs
from petcast.pairs.shuffle import split_by_slice
from petcast.pairs.split import PARTS
from petcast.prepare import prepare
from petcast.recipe import PreparationRecipe, Recipe

SALT = "tests"
PUBLISHED = PreparationRecipe(size=64, spacing_mm=8.0, margin_mm=0, split="published")

studies = st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.integers(1, 40), min_size=1)


def slices_in(split, part: str) -> list[tuple[str, int]]:
    return [
        (study, z)
        for study, own in split.ranges.items()
        for start, stop in own[part]
        for z in range(start, stop)
    ]


@pytest.mark.slow
@given(studies, st.integers(0, 9))
def test_each_slice_is_in_one_part_and_the_shares_are_the_published_ones(
    slices_of: dict, seed: int
) -> None:
    split = split_by_slice(slices_of, dict.fromkeys(slices_of, "p"), seed)
    everywhere = [place for part in PARTS for place in slices_in(split, part)]
    total = sum(slices_of.values())
    assert sorted(everywhere) == sorted((s, z) for s, n in slices_of.items() for z in range(n))
    assert not slices_in(split, "validation")
    assert slices_in(split, "train")
    assert abs(len(slices_in(split, "test")) - total * 64 / 464) <= 1


def test_464_slices_become_400_and_64() -> None:
    split = split_by_slice({"a": 300, "b": 164}, {"a": "p", "b": "q"}, seed=3)
    assert [len(slices_in(split, part)) for part in PARTS] == [400, 0, 64]
    assert split.parts() == {"train": ["p", "q"], "validation": [], "test": ["p", "q"]}


def test_the_order_of_studies_does_not_matter_and_the_seed_does() -> None:
    one = split_by_slice({"a": 50, "b": 50}, {"a": "p", "b": "q"}, seed=0)
    same = split_by_slice({"b": 50, "a": 50}, {"b": "q", "a": "p"}, seed=0)
    other = split_by_slice({"a": 50, "b": 50}, {"a": "p", "b": "q"}, seed=1)
    assert one.ranges == same.ranges
    assert one.ranges != other.ranges


@pytest.fixture(scope="module")
def pairs(tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    out = tmp_path_factory.mktemp("published")
    folders = [tiny_cohort / "phantom-000", tiny_cohort / "phantom-001"]
    return prepare(folders, out, PUBLISHED, salt=SALT, workers=1)


@pytest.mark.slow
def test_the_index_marks_it(pairs: Pairs) -> None:
    split = pairs.index["split"]
    assert (split["kind"], split["leaks"]) == ("published", True)
    assert "LEAKS" in split["note"]
    assert {row["part"] for row in pairs.index["studies"]} == {"mixed"}
    assert not pairs.index["audit"]["clean"]


@pytest.mark.slow
def test_runs_of_a_part_hold_its_slices_at_their_place(pairs: Pairs) -> None:
    whole = {study.id: study for study in pairs.studies()}
    for part in ("train", "test"):
        for run in pairs.studies(part):
            study = whole[run.id.split(":")[0]]
            here = slice(run.first, run.first + run.slices)
            for name in ("ct", "pet", "regions"):
                np.testing.assert_array_equal(getattr(run, name), getattr(study, name)[here])
            first = study.grid.affine @ [0, 0, run.first, 1]
            np.testing.assert_allclose(run.grid.affine[:, 3], first)
            assert run.grid.shape[0] == run.slices == len(run.ct)
    everything = [run for part in PARTS for run in pairs.studies(part)]
    assert len({run.id for run in everything}) == len(everything)
    assert sum(run.slices for run in everything) == sum(study.slices for study in whole.values())


@pytest.mark.slow
def test_slices_of_both_parts_can_be_batched(pairs: Pairs) -> None:
    for part in ("train", "test"):
        dataset = SliceDataset(pairs.studies(part), 3)
        assert dataset.batch(range(len(dataset))).hu.shape[0] == len(dataset)


@pytest.mark.slow
def test_a_mixed_study_with_impossible_slices_is_damage(pairs: Pairs, tmp_path: Path) -> None:
    import json
    import shutil

    shutil.copytree(pairs.path, tmp_path / "p")
    index = json.loads((tmp_path / "p" / "pairs.json").read_text())
    index["studies"][0]["ranges"]["test"] = [[0, 10_000]]
    (tmp_path / "p" / "pairs.json").write_text(json.dumps(index))
    with pytest.raises(FormatError, match="impossible"):
        Pairs.open(tmp_path / "p")


def test_it_knows_no_folds_and_no_file(tiny_cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no folds"):
        Recipe.from_mapping({"preparation": {"split": "published", "folds": 3}}, "here")
    (tmp_path / "parts.csv").write_text("patient,part\nx,train\n")
    with pytest.raises(UsageError, match="leave one"):
        prepare([tiny_cohort], tmp_path / "out", PUBLISHED, split_file=tmp_path / "parts.csv",
                salt=SALT, workers=1)  # fmt: skip
