"""Pairs on disk: what is whole comes back, and each way of being damaged is said."""

import errno
import io
import json
from pathlib import Path

import numpy as np
import pytest

from petcast.errors import FormatError, UsageError
from petcast.pairs import (
    ARRAYS,
    FORMAT,
    Pairs,
    study_folder,
    verify_study,
    write_index,
    write_study,
)
from petcast.volume import Grid

GRID = Grid((4, 6, 8), np.diag([2.0, 2.0, 3.0, 1.0]))
IDS = ("aaa", "bbb", "ccc")


def arrays(seed: int, *, lesions: bool = False) -> dict[str, np.ndarray]:
    dice = np.random.default_rng(seed)
    found = {
        "ct": dice.integers(-1000, 1000, GRID.shape, np.int16),
        "pet": dice.random(GRID.shape, np.float32),
        "regions": dice.integers(0, 3, GRID.shape, np.uint8),
    }
    return found | ({"lesions": found["regions"] // 2} if lesions else {})


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rows = []
    for number, study in enumerate(IDS):
        content = arrays(number, lesions=study == "ccc")
        card = write_study(study_folder(tmp_path, study), content, GRID, {"id": study})
        part = ("train", "validation", "test")[number]
        rows.append({"id": study, "patient": f"p-{study}", "part": part, "hash": card["hash"]})
    write_index(tmp_path, {"studies": rows})
    return tmp_path


def index(pairs: Path, **changes) -> None:
    """Change the index; `study` changes its first study."""
    document = json.loads((pairs / "pairs.json").read_text())
    document["studies"][0] |= changes.pop("study", {})
    (pairs / "pairs.json").write_text(json.dumps(document | changes))


def card(pairs: Path, **changes) -> None:
    path = study_folder(pairs, "aaa") / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def array(name: str):
    return lambda pairs: study_folder(pairs, "aaa") / f"{name}.npy"


def test_what_was_written_comes_back(pairs: Path) -> None:
    studies = Pairs.open(pairs).studies()
    assert [study.id for study in studies] == list(IDS)
    for number, study in enumerate(studies):
        expected = arrays(number, lesions=study.id == "ccc")
        for name in ("ct", "pet", "regions"):
            assert np.array_equal(getattr(study, name), expected[name])
            assert getattr(study, name).dtype == expected[name].dtype
        assert study.grid.matches(GRID)
        assert study.slices == 4
    assert studies[0].lesions is None
    assert np.array_equal(studies[2].lesions, arrays(2, lesions=True)["lesions"])


def test_arrays_are_numpys_own_and_a_full_disk_is_said_as_such(tmp_path: Path, files_up_to) -> None:
    """numpy itself counts what was requested and written, and the command ended in a traceback."""
    whole = arrays(0)
    write_study(tmp_path / "a", whole, GRID, {"id": "a"})
    for name, array in whole.items():
        np.save(expected := io.BytesIO(), array.astype(ARRAYS[name]))
        assert (tmp_path / f"a/{name}.npy").read_bytes() == expected.getvalue()
    with files_up_to(200), pytest.raises(OSError, match="large") as full:
        write_study(tmp_path / "b", whole, GRID, {"id": "b"})
    assert (full.value.errno, full.value.filename) == (errno.EFBIG, str(tmp_path / "b"))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_parts_are_told_apart(pairs: Path) -> None:
    opened = Pairs.open(pairs)
    assert [study.patient for study in opened.studies("test")] == ["p-ccc"]
    with pytest.raises(UsageError, match="train, validation, test"):
        opened.studies("tset")


def test_nobody_writes_into_the_arrays_by_mistake(pairs: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        Pairs.open(pairs).studies()[0].ct[0, 0, 0] = 1


def test_another_division_is_other_data(tmp_path: Path) -> None:
    """A run knows by this hash whether it is resumed on the data that it began with."""
    row = {"id": "s", "patient": "p", "hash": "0" * 64}
    halves = {"train": [[0, 2]], "validation": [], "test": [[2, 4]]}
    others = halves | {"train": [[0, 1]], "test": [[1, 4]]}
    rows = [{"part": "train"}, {"part": "test"}]
    rows += [{"part": "mixed", "ranges": ranges} for ranges in (halves, others)]
    hashes = [write_index(tmp_path, {"studies": [row | more]})["hash"] for more in rows]
    assert len(set(hashes)) == len(rows)


def test_the_same_content_has_the_same_hash_and_another_another(tmp_path: Path) -> None:
    def written(name: str, seed: int, grid: Grid = GRID) -> str:
        return write_study(tmp_path / name, arrays(seed), grid, {"id": name})["hash"]

    moved = Grid(GRID.shape, GRID.affine + 0.5 * np.eye(4))
    assert written("a", 0) == written("b", 0)
    assert len({written("a", 0), written("c", 1), written("d", 0, moved)}) == 3


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def cut_off_in_the_head(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def pickled(path: Path) -> None:
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def of_another_type(path: Path) -> None:
    np.save(path, np.load(path).astype(np.float64))


def of_another_shape(path: Path) -> None:
    np.save(path, np.load(path)[:2])


def with_a_spoilt_head(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:21] + b"," + whole[22:])


def of_the_other_byte_order(path: Path) -> None:
    np.save(path, np.load(path).astype(">i2"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        cut_off,
        cut_off_in_the_head,
        with_a_spoilt_head,
        emptied,
        pickled,
        of_another_type,
        of_another_shape,
        of_the_other_byte_order,
        Path.unlink,
    ],
)
def test_a_damaged_array_is_named_with_its_remedy(pairs: Path, damage) -> None:
    path = study_folder(pairs, "aaa") / "ct.npy"
    damage(path)
    with pytest.raises(FormatError, match=r"aaa.ct\.npy.*petcast prepare"):
        Pairs.open(pairs)


def test_a_flipped_bit_is_found_by_verifying(pairs: Path) -> None:
    Pairs.open(pairs).verify()
    path = study_folder(pairs, "bbb") / "pet.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    opened = Pairs.open(pairs)
    with pytest.raises(FormatError, match=r"pet\.npy.*changed"):
        opened.verify()
    with pytest.raises(FormatError, match="changed"):
        verify_study(study_folder(pairs, "bbb"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda pairs: index(pairs, format=FORMAT + 1), "update petcast"),
        (lambda pairs: index(pairs, format="one"), "names no format"),
        (lambda pairs: index(pairs, studies=None), "lists no studies"),
        (lambda pairs: index(pairs, studies=["aaa"]), "lists no studies"),
        (lambda pairs: index(pairs, study={"hash": "0" * 64}), "not the study"),
        (lambda pairs: index(pairs, study={"id": "../aaa"}), "impossible id"),
        (lambda pairs: index(pairs, study={"part": "tset"}), "impossible id or part"),
        (lambda pairs: cut_off(pairs / "pairs.json"), "not whole JSON"),
        (lambda pairs: (pairs / "pairs.json").write_text("[]"), "names no format"),
        (lambda pairs: (pairs / "pairs.json").unlink(), "preparation has not ended"),
        (lambda pairs: card(pairs, format=FORMAT + 1), "update petcast"),
        (lambda pairs: card(pairs, grid={"shape": [1, 2]}), "grid is damaged"),
        (lambda pairs: card(pairs, grid=None), "no 'grid'"),
        (lambda pairs: card(pairs, arrays=7), "no 'arrays'"),
        (lambda pairs: (study_folder(pairs, "aaa") / "card.json").unlink(), "missing"),
    ],
)
def test_a_damaged_document_is_said_to_be(pairs: Path, damage, word: str) -> None:
    damage(pairs)
    with pytest.raises(FormatError, match=word):
        Pairs.open(pairs)


def test_a_row_without_a_key_is_named(pairs: Path) -> None:
    document = json.loads((pairs / "pairs.json").read_text())
    del document["studies"][1]["patient"]
    (pairs / "pairs.json").write_text(json.dumps(document))
    with pytest.raises(FormatError, match="patient"):
        Pairs.open(pairs)


def test_a_folder_that_never_held_pairs_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="petcast prepare"):
        Pairs.open(tmp_path)


@pytest.mark.slow
def test_more_studies_than_open_files_can_be_read(pairs: Path, monkeypatch) -> None:
    from petcast.pairs import store

    row = json.loads((pairs / "pairs.json").read_text())["studies"][0]
    rows = [row | {"id": "aaa"}] * (2 * store.OPEN_MAPS)
    write_index(pairs, {"studies": rows})
    studies = Pairs.open(pairs).studies()
    assert len({id(study.ct.base) for study in studies}) == 1  # one map for one file
    assert store._mapped.cache_info().maxsize == store.OPEN_MAPS


def test_rewritten_pairs_are_not_read_through_an_old_map(pairs: Path) -> None:
    before = Pairs.open(pairs).studies()[0].ct[:].copy()
    written = write_study(study_folder(pairs, "aaa"), arrays(9), GRID, {"id": "aaa"})
    index(pairs, study={"hash": written["hash"]})
    after = Pairs.open(pairs).studies()[0].ct
    assert not np.array_equal(before, after)
    assert np.array_equal(after, arrays(9)["ct"])
