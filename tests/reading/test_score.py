"""From answers to scores, and every way in which a file is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from petcast.errors import FormatError, UsageError
from petcast.reading import printed, score_reading
from petcast.reading.answers import id_of, read_key

Answer = Callable[..., Path]

ALL = {image: (1, 4) if image % 2 == 0 else (6, 2) for image in range(9)}
"""A reader without a mistake: real ones (even numbers) good, synthetic ones poor."""


def test_a_reader_without_a_mistake(reading: Path, answer: Answer) -> None:
    found = score_reading(reading, [answer("AB", ALL)])
    real, ours = found["sources"]
    assert (real["name"], real["answers"], real["patients"]) == ("real", 4, 4)
    assert real["called_synthetic"] == {"value": 0, "low": None, "high": None, "n": 4}
    assert ours["called_synthetic"]["value"] == 1
    assert (real["quality"]["value"], ours["quality"]["value"]) == (4, 2)
    [apart] = found["told_apart"]
    assert (apart["name"], apart["auc"], apart["low"]) == ("Stage02", 1.0, None)
    assert apart["readers"] == [{"name": "AB", "auc": 1.0}]
    assert found["readers"] == [{"name": "AB", "answered": 9, "images": 9, "median_seconds": 14.0}]
    assert json.loads((reading / "scores.json").read_text()) == found


def test_a_picture_that_came_again_counts_for_agreement_alone(
    reading: Path, answer: Answer
) -> None:
    found = score_reading(reading, [answer("AB", ALL | {8: (6, 1)})])
    assert found["sources"][0]["called_synthetic"]["value"] == 0
    assert found["told_apart"][0]["auc"] == 1.0
    [within] = found["agreement"]
    assert (within["kind"], within["images"], within["kappa"]["synthetic"]) == ("within", 1, 0.0)


def test_two_readers_are_averaged_and_compared(reading: Path, answer: Answer) -> None:
    turned = {image: (7 - call, quality) for image, (call, quality) in ALL.items()}
    found = score_reading(reading, [answer("CD", turned), answer("AB", ALL)])
    assert [reader["name"] for reader in found["readers"]] == ["AB", "CD"]
    assert found["told_apart"][0]["auc"] == 0.5
    assert found["sources"][0]["called_synthetic"]["value"] == 0.5
    between = found["agreement"][0]
    assert (between["kind"], between["readers"], between["images"]) == ("between", ["AB", "CD"], 8)
    assert between["kappa"] == {"synthetic": pytest.approx(-1), "quality": 1.0}


def test_patients_count_alike(reading: Path, answer: Answer) -> None:
    """A patient of whom more was answered counts as one."""
    given = {1: (6, 5), 3: (1, 1), 5: (1, 1)}
    more = answer("CD", {1: (6, 5)})
    found = score_reading(reading, [answer("AB", given), more])
    ours = found["sources"][1]
    assert ours["answers"] == 4
    assert ours["called_synthetic"]["value"] == pytest.approx(1 / 3)
    assert ours["quality"]["value"] == pytest.approx((5 + 1 + 1) / 3)
    assert found["told_apart"][0]["auc"] is None  # nobody judged a real one
    assert "AB answered 3 of 9 pictures" in found["notes"]


def test_patients_who_all_say_the_same_give_no_interval(reading: Path, answer: Answer) -> None:
    """Four of four are no proof that nobody is ever mistaken: [100–100] would say so."""
    found = score_reading(reading, [answer("AB", ALL)])
    assert any("all patients say the same" in note for note in found["notes"])
    assert any("4 patients only" in note for note in found["notes"])
    found = score_reading(reading, [answer("AB", ALL | {1: (2, 5), 0: (3, 1)})])
    ours = found["sources"][1]["called_synthetic"]
    assert ours["low"] < ours["value"] < ours["high"]


def test_notes_count_the_patients_whom_readers_judged(reading: Path, answer: Answer) -> None:
    """All stopped after two of four patients: no interval, and none is spoken of."""
    found = score_reading(reading, [answer("AB", {k: ALL[k] for k in range(4)})])
    assert found["told_apart"][0]["low"] is None
    assert found["notes"][1:] == ["2 patients only: no interval can be given"]


def test_readers_count_alike_within_a_patient(reading: Path, answer: Answer) -> None:
    """One judged two slices of a patient, the other one."""
    key = json.loads((reading / "key.json").read_text())
    key["images"].append({**key["images"][1], "slice": 4})
    key["id"] = id_of(key)
    (reading / "key.json").write_text(json.dumps(key))
    both, one = answer("AB", {1: (6, 1), 9: (6, 1)}), answer("CD", {1: (1, 4)})
    ours = score_reading(reading, [both, one])["sources"][1]
    assert (ours["answers"], ours["patients"]) == (3, 1)
    assert ours["called_synthetic"]["value"] == 0.5
    assert ours["quality"]["value"] == 2.5


def test_what_disturbs_is_counted(reading: Path, answer: Answer) -> None:
    path = answer("AB", ALL)
    document = json.loads(path.read_text())
    for row in document["answers"][1:4:2]:
        row["artefacts"] = ["pattern", "blur"]
    path.write_text(json.dumps(document))
    ours = score_reading(reading, [path])["sources"][1]
    assert ours["artefacts"] == {
        "pattern": 0.5,
        "blur": 0.5,
        "noise": 0,
        "missing": 0,
        "invented": 0,
    }


def test_tables_hold_it_all(reading: Path, answer: Answer) -> None:
    tables = printed(score_reading(reading, [answer("AB", ALL), answer("CD", ALL)]))
    (_, sources), (_, apart), (_, agreement) = tables
    assert sources[2][:4] == ["Stage02", "8", "100", "2.0"]
    assert apart == [["", "area under ROC", "AB", "CD"],
                     ["Stage02", "1.00", "1.00", "1.00"]]  # fmt: skip
    assert [row[0] for row in agreement[1:]] == ["AB and CD", "AB again", "CD again"]
    assert all(len({len(row) for row in rows}) == 1 for _, rows in tables)


def test_nothing_answered_is_no_number(reading: Path, answer: Answer) -> None:
    found = score_reading(reading, [answer("AB", {})])
    assert found["sources"][0]["quality"]["value"] is None
    assert found["readers"][0]["median_seconds"] is None
    assert printed(found)[0][1][1][:4] == ["real", "0", "", ""]


@pytest.mark.parametrize(
    "row",
    [
        {"image": 9, "synthetic": 1, "quality": 1},
        {"image": -1, "synthetic": 1, "quality": 1},
        {"image": True, "synthetic": 1, "quality": 1},
        {"image": 0, "synthetic": 0, "quality": 1},
        {"image": 0, "synthetic": 7, "quality": 1},
        {"image": 0, "synthetic": 1, "quality": 6},
        {"image": 0, "synthetic": 1.5, "quality": 1},
        {"image": 0, "synthetic": 1},
        {"image": 0, "synthetic": 1, "quality": 1, "artefacts": ["dust"]},
        {"image": 0, "synthetic": 1, "quality": 1, "artefacts": [["blur"]]},
        {"image": 0, "synthetic": 1, "quality": 1, "seconds": float("inf")},
        {"image": 0, "synthetic": 1, "quality": 1, "seconds": float("nan")},
        {"image": 0, "synthetic": 1, "quality": 1, "seconds": 10**400},
        {"image": 0, "synthetic": 1, "quality": 1, "seconds": 1.7e308},
        {"image": 0, "synthetic": 1, "quality": 1, "seconds": "2"},
        "blur",
    ],
)
def test_an_answer_that_the_page_does_not_give_is_refused(
    row: Any, reading: Path, answer: Answer
) -> None:
    good = {"image": 1, "synthetic": 1, "quality": 1}
    with pytest.raises(FormatError, match="answer 2 is none that the page gives"):
        score_reading(reading, [answer("AB", {}, answers=[good, row])])
    assert not (reading / "scores.json").exists()


@pytest.mark.parametrize("name", [None, "  ", ["AB"], 7, "A\x1b[31mB", "A\ud800"])
def test_a_reader_without_a_name_is_refused(name: Any, reading: Path, answer: Answer) -> None:
    with pytest.raises(FormatError, match="is no name"):
        score_reading(reading, [answer("AB", ALL, reader=name)])


def test_a_name_of_blanks_around_is_the_same_name(reading: Path, answer: Answer) -> None:
    with pytest.raises(UsageError, match="another file of reader 'AB'"):
        score_reading(reading, [answer("AB", ALL), answer("CD", ALL, reader=" AB ")])


def test_files_that_do_not_belong_here_are_refused(reading: Path, answer: Answer) -> None:
    with pytest.raises(UsageError, match="answers another reading"):
        score_reading(reading, [answer("AB", ALL, reading="0123")])
    with pytest.raises(UsageError, match="another file of reader 'AB'"):
        score_reading(reading, [answer("AB", ALL), answer("AB", ALL)])
    twice = [{"image": 1, "synthetic": 1, "quality": 1}] * 2
    with pytest.raises(FormatError, match="each once"):
        score_reading(reading, [answer("AB", {}, answers=twice)])
    with pytest.raises(FormatError, match="no list"):
        score_reading(reading, [answer("AB", {}, answers={"0": 1})])
    with pytest.raises(FormatError, match="update petcast"):
        score_reading(reading, [answer("AB", ALL, format=2)])
    with pytest.raises(UsageError, match="--answers"):
        score_reading(reading, [])
    (reading / "cut.json").write_text('{"format": 1, "rea')
    with pytest.raises(FormatError, match=r"cut\.json is not whole JSON"):
        score_reading(reading, [reading / "cut.json"])


def test_a_key_that_was_changed_is_refused(reading: Path, tmp_path: Path) -> None:
    key = json.loads((reading / "key.json").read_text())
    key["images"][0]["source"] = "Stage02"
    (reading / "key.json").write_text(json.dumps(key))
    with pytest.raises(FormatError, match="was changed"):
        read_key(reading)
    with pytest.raises(UsageError, match="is no reading"):
        read_key(tmp_path / "none")


def test_the_version_of_petcast_does_not_change_a_reading(reading: Path) -> None:
    key = json.loads((reading / "key.json").read_text())
    (reading / "key.json").write_text(json.dumps(key | {"petcast": "9.9"}))
    assert read_key(reading)["id"] == key["id"]
