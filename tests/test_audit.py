"""Leaks are found by ids and by content; clean pairs are clean, and training refuses the others."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from petcast import audit as room
from petcast.audit import audit, leak_of, require_clean
from petcast.cli import app
from petcast.errors import DataError, FormatError
from petcast.metrics import error
from petcast.pairs import Pairs
from petcast.pairs.content import slice_hashes
from petcast.pairs.leaks import Content, LeakKind, find_leaks
from petcast.prepare import prepare
from petcast.recipe import PreparationRecipe, load_recipe
from petcast.train import train

SALT = "tests"
COARSE = PreparationRecipe(size=64, spacing_mm=8.0, margin_mm=0)


def content(study: str, patient: str, parts: list[str], first: int = 0, **more) -> Content:
    """A study whose slices are called by their numbers, counted from `first`."""
    names = [f"{n}" for n in range(first, first + len(parts))]
    hashes = {"ct": [f"c{n}" for n in names], "pet": [f"p{n}" for n in names]}
    return Content(study, patient, tuple(parts), hashes, **more)


def test_patients_in_one_part_each_are_clean() -> None:
    assert find_leaks([content("s", "p", ["train"] * 3), content("t", "q", ["test"] * 3, 9)]) == {}


def test_studies_of_one_patient_in_two_parts_leak() -> None:
    leaks = find_leaks([content("s", "p", ["train"] * 3), content("t", "p", ["test"] * 3, 9)])
    assert leaks == {LeakKind.PATIENT: 1}


def test_a_study_in_two_parts_leaks_its_series_and_the_slices_between() -> None:
    """Its slices as they came say no more than that."""
    sources = {"ct": frozenset("abcde"), "pet": frozenset("vwxyz")}
    parts = ["train", "test", "train", "train", "validation"]
    leaks = find_leaks([content("s", "p", parts, sources=sources)])
    assert leaks == {
        LeakKind.PATIENT: 1,
        LeakKind.STUDY: 1,
        LeakKind.SERIES: 2,
        LeakKind.NEIGHBOUR: 2,
    }


def test_the_same_slices_under_two_patients_leak() -> None:
    leaks = find_leaks([content("s", "p", ["train"] * 4), content("t", "q", ["test"] * 4, 2)])
    assert leaks == {LeakKind.SLICE: 4}


def test_a_slice_that_is_blank_in_both_leaks_nothing() -> None:
    blank = {"ct": [None], "pet": [None]}
    one, other = (Content(n, n, (part,), blank) for n, part in (("s", "train"), ("t", "test")))
    assert find_leaks([one, other]) == {}


def test_the_same_scan_cut_differently_shows_in_its_source() -> None:
    long = {"ct": frozenset("abcdef"), "pet": frozenset("uvw")}
    short = {"ct": frozenset("cde"), "pet": frozenset("uvw")}
    leaks = find_leaks(
        [
            content("s", "p", ["train"] * 3, sources=long),
            content("t", "q", ["test"] * 2, 9, sources=short),
        ]
    )
    assert leaks == {LeakKind.SOURCE: 6, LeakKind.SERIES: 1}


def test_exports_that_overlap_each_a_little_differently_are_named_as_one_group() -> None:
    """Each pair of cuts shares other slices; groups of their own would crowd out other patients."""
    studies = [
        content(name, name, ["train"] * 4, first)
        for name, first in zip("abcd", (0, 2, 4, 5), strict=True)
    ]
    studies += [content(name, name, ["test"] * 2, 20) for name in "xy"]
    said = room._remedy(studies)
    assert "likely one: a and b and c and d; x and y." in said


def test_one_scan_under_two_numbers_in_one_part_leaks_nothing_and_is_said() -> None:
    """Metrics of that part would count one person twice."""
    studies = [content(name, name, ["test"] * 4) for name in "ab"]
    assert find_leaks(studies) == {}
    found = room.Audit(
        "patient", False, 2, 8, {}, room.Published(4, 4, {}, None), room._alike(studies)
    )
    assert found.to_json()["same_images"] == [["a", "b"]]
    assert "likely one: a and b. Each counts" in " ".join(found.sentences())


parts = st.lists(st.sampled_from(["train", "validation", "test", ""]), min_size=1, max_size=12)


@pytest.mark.slow
@given(st.lists(parts, min_size=1, max_size=5))
def test_there_is_no_leak_where_there_is_one_part_a_patient(all_parts: list) -> None:
    studies = [
        content(f"s{n}", f"p{n}", [own[0] or "train"] * len(own), 100 * n)
        for n, own in enumerate(all_parts)
    ]
    assert find_leaks(studies) == {}


@pytest.mark.slow
@given(parts)
def test_neighbours_are_counted_as_by_hand(own: list) -> None:
    expected = sum(
        any(0 <= other < len(own) and own[other] not in ("", own[z]) for other in (z - 1, z + 1))
        for z in range(len(own))
        if own[z] not in ("", "train")
    )
    assert find_leaks([content("s", "p", own)]).get(LeakKind.NEIGHBOUR, 0) == expected


def test_hashes_tell_slices_apart_and_keys_hide_them() -> None:
    stack = np.random.default_rng(0).normal(size=(3, 4, 5))
    kind = np.dtype("<f4")
    assert len(set(slice_hashes(stack, kind))) == 3
    assert slice_hashes(stack, kind) == slice_hashes(np.asfortranarray(stack), kind)
    assert not set(slice_hashes(stack, kind)) & set(slice_hashes(stack, kind, "key"))
    assert slice_hashes(np.full((1, 4, 5), 7.0), kind) == [None]


# Real pairs


def test_prepared_pairs_are_clean_and_the_published_split_is_not(whole_pairs: Path) -> None:
    found = audit(Pairs.open(whole_pairs))
    document = found.to_json()
    assert found.clean
    assert document["leaks"] == []
    assert document["patients"] == 4
    assert document["published"]["train"] + document["published"]["test"] == document["slices"]
    kinds = {row["kind"]: row["count"] for row in document["published"]["leaks"]}
    assert kinds["patient-in-two-parts"] >= 3
    copying = document["published"]["copying"]
    assert copying["psnr_db"] > copying["zero_psnr_db"]
    json.dumps(document, allow_nan=False)


def edited(pairs: Path, out: Path, edit: Callable[[dict], object]) -> Pairs:
    shutil.copytree(pairs, out)
    index = json.loads((out / "pairs.json").read_text())
    edit(index)
    (out / "pairs.json").write_text(json.dumps(index))
    return Pairs.open(out)


def one_patient(index: dict) -> None:
    for row in index["studies"]:
        row["patient"] = "somebody"


def test_training_refuses_a_patient_in_two_parts(tiny_pairs: Path, tmp_path: Path) -> None:
    edited(tiny_pairs, tmp_path / "pairs", one_patient)
    with pytest.raises(DataError, match="1 patient with slices in two parts"):
        train(load_recipe("tiny"), tmp_path / "pairs", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_pairs_that_are_marked_are_warned_of(tiny_pairs: Path, tmp_path: Path, caplog) -> None:
    def marked(index: dict) -> None:
        one_patient(index)
        index["split"]["leaks"] = True

    require_clean(edited(tiny_pairs, tmp_path / "pairs", marked))
    assert "leak" in caplog.text


def test_pairs_without_hashes_are_to_be_prepared_again(tiny_pairs: Path, tmp_path: Path) -> None:
    pairs = edited(tiny_pairs, tmp_path / "pairs", lambda index: None)
    path = pairs.studies()[0].folder / "card.json"
    card = json.loads(path.read_text())
    del card["slice_hashes"]
    path.write_text(json.dumps(card))
    with pytest.raises(FormatError, match="again"):
        require_clean(pairs)


def test_the_audit_reads_no_array(tiny_pairs: Path, monkeypatch) -> None:
    pairs = Pairs.open(tiny_pairs)

    def refuse(*_: object) -> None:
        raise AssertionError("an array was read")

    monkeypatch.setattr("petcast.pairs.store._mapped", refuse)
    require_clean(pairs)
    with pytest.raises(AssertionError):
        room.audit(pairs)  # it says how well copying does, from the arrays


@pytest.fixture(scope="module")
def twice(tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One patient exported twice, the second time under another number and cut shorter."""
    out = tmp_path_factory.mktemp("twice")
    for path in sorted((tiny_cohort / "phantom-000").rglob("*.dcm")):
        slice_ = pydicom.dcmread(path)
        target = out / "first" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
        slice_.PatientID = "another"
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            setattr(slice_, keyword, getattr(slice_, keyword) + ".9")
        slice_.SOPInstanceUID += ".9"
        slice_.file_meta.MediaStorageSOPInstanceUID = slice_.SOPInstanceUID
        target = out / "second" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        slice_.save_as(target)
    for kind in ("CT", "PT"):
        slices = sorted((out / "second").rglob("*.dcm"))
        of_kind = [
            p for p in slices if pydicom.dcmread(p, specific_tags=["Modality"]).Modality == kind
        ]
        heights = {p: float(pydicom.dcmread(p).ImagePositionPatient[2]) for p in of_kind}
        for path in sorted(of_kind, key=lambda p: heights[p])[:2]:
            path.unlink()
    return out


@pytest.mark.slow
def test_one_scan_under_two_numbers_is_found_and_named(twice: Path, tmp_path: Path) -> None:
    pairs = prepare([twice], tmp_path / "pairs", COARSE, salt=SALT, workers=1)
    assert sorted(study.part for study in pairs.studies()) == ["test", "train"]
    kinds = {row["kind"] for row in pairs.index["audit"]["leaks"]}
    assert "identical-source-slice-in-two-parts" in kinds
    with pytest.raises(DataError) as caught:
        require_clean(pairs)
    assert all(study.patient in str(caught.value) for study in pairs.studies())
    assert leak_of(pairs) == str(caught.value)
    assert room.audit(pairs).alike == [sorted(study.patient for study in pairs.studies())]


@pytest.mark.slow
def test_preparing_pairs_that_leak_says_so_and_recommends_no_training(
    twice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PETCAST_SALT", SALT)
    knobs = [f"preparation.{name}" for name in ("size=32", "spacing_mm=16.0", "slices=all")]
    sets = [word for knob in knobs for word in ("--set", knob)]
    out = str(tmp_path / "pairs")
    done = CliRunner().invoke(app, ["prepare", str(twice), "--out", out, "--workers", "1", *sets])
    assert done.exit_code == 0, done.output
    assert "Next" not in done.output
    assert "leaks" in done.stderr
    assert all(study.patient in done.stderr for study in Pairs.open(tmp_path / "pairs").studies())


def test_psnr_ends_where_that_of_the_metrics_does() -> None:
    assert room.PSNR_CEILING_DB == error.PSNR_CEILING_DB


@pytest.mark.real
@pytest.mark.slow
def test_the_audit_of_real_patients_both_ways(real_data: Path, tmp_path: Path) -> None:
    by_patient = prepare([real_data / "dicom"], tmp_path, PreparationRecipe(), salt=SALT, workers=1)
    found = audit(by_patient)
    assert found.clean
    recipe = PreparationRecipe(split="published")
    shuffled = audit(prepare([real_data / "dicom"], tmp_path, recipe, salt=SALT, workers=1))
    assert shuffled.leaks == shuffled.published.leaks == found.published.leaks
    assert shuffled.leaks[LeakKind.PATIENT] == 2
    assert shuffled.leaks[LeakKind.NEIGHBOUR] >= 0.9 * shuffled.published.test
    assert shuffled.published.copying.psnr_db > 35
