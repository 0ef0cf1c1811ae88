"""The usable cohort of a collection, and the ways in which an index can be wrong."""

import json
import sys
from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petcast.archive.collection import (
    CT_IMAGE_STORAGE,
    PET_IMAGE_STORAGE,
    sort_out,
    summarise,
)
from petcast.archive.index import IndexedSeries, index_version
from petcast.errors import FormatError, UsageError
from petcast.refusal import Reason

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def a_series(
    label: str = "CT", study: str = "1.2", subject: str = "Lung_Dx-A0001", **changes: Any
) -> IndexedSeries:
    classes = {"CT": CT_IMAGE_STORAGE, "PT": PET_IMAGE_STORAGE}
    fields = {
        "subject": subject,
        "study_uid": study,
        "modality": label,
        "sop_class_uid": classes[label],
        "photometric": "MONOCHROME2",
        "instances": 10,
        "size_mb": 5.0,
        "bucket": "b",
        "uuid": "u",
    }
    return IndexedSeries(**{**fields, **changes})


def codes(*series: IndexedSeries) -> list[str | None]:
    """The code of each series, None where it is usable."""
    _, refused = sort_out(series)
    found = {id(one): str(code) for one, code in refused}
    return [found.get(id(one)) for one in series]


def a_row(**changes: Any) -> dict[str, Any]:
    row = {
        "collection_id": "lung_pet_ct_dx",
        "PatientID": "Lung_Dx-A0001",
        "StudyInstanceUID": "1.2",
        "Modality": "CT",
        "SOPClassUID": CT_IMAGE_STORAGE,
        "PhotometricInterpretation": "MONOCHROME2",
        "instanceCount": 10,
        "series_size_MB": 500.0,
        "aws_bucket": "b",
        "crdc_series_uuid": "u",
    }
    return {**row, **changes}


@pytest.mark.slow
def test_the_installed_index_gives_the_published_collection() -> None:
    if index_version() != "25.0.5":
        pytest.skip("the numbers were measured on version 25.0.5 of the index")
    document = summarise("lung-pet-ct-dx").to_json()
    assert document["images"] == 251_135
    assert document["subjects"] == 355
    assert document["subjects_with_pet"] == 133
    assert document["refused"]["RGB-CAPTURE"] == {"series": 281, "images": 57_002}
    usable = document["usable"]
    assert usable["subjects"] == {"A": 75, "B": 4, "E": 0, "G": 24}
    assert (usable["ct_series"], usable["ct_slices"]) == (190, 63_972)
    assert (usable["pet_series"], usable["pet_slices"]) == (103, 35_543)
    assert usable["gigabytes"] == pytest.approx(36.75, abs=0.1)


def test_every_image_of_the_installed_index_is_used_or_refused() -> None:
    document = summarise().to_json()
    refused = sum(count["images"] for count in document["refused"].values())
    usable = document["usable"]["ct_slices"] + document["usable"]["pet_slices"]
    assert refused + usable == document["images"]


def test_ct_and_pet_of_one_study_are_usable() -> None:
    assert codes(a_series("CT"), a_series("PT")) == [None, None]


def test_a_colour_capture_labelled_ct_is_refused() -> None:
    fused = a_series("CT", sop_class_uid=SECONDARY_CAPTURE, photometric="RGB")
    assert codes(fused, a_series("CT"), a_series("PT")) == ["RGB-CAPTURE", None, None]


def test_a_colour_picture_in_ct_class_is_refused() -> None:
    assert codes(a_series("CT", photometric="RGB"), a_series("PT"))[0] == "RGB-CAPTURE"


def test_a_series_that_is_only_partly_monochrome_is_refused() -> None:
    mixed = a_series("CT", photometric="MONOCHROME2,RGB")
    assert codes(mixed, a_series("CT"), a_series("PT")) == ["RGB-CAPTURE", None, None]


def test_a_pet_whose_only_ct_is_a_capture_has_no_ct() -> None:
    fused = a_series("CT", sop_class_uid=SECONDARY_CAPTURE, photometric="RGB")
    assert codes(fused, a_series("PT")) == ["RGB-CAPTURE", "NO-CT"]


def test_a_ct_of_another_study_of_the_same_subject_is_refused() -> None:
    elsewhere = a_series("CT", study="9.9")
    assert codes(elsewhere, a_series("CT"), a_series("PT")) == ["NO-PET", None, None]


def test_a_grey_capture_labelled_pet_is_refused_and_its_ct_with_it() -> None:
    capture = a_series("PT", sop_class_uid=SECONDARY_CAPTURE)
    assert codes(a_series("CT"), capture) == ["NO-PET", "SOP-CLASS"]


def test_a_series_without_photometric_interpretation_is_refused() -> None:
    assert codes(a_series("CT", photometric=""), a_series("PT")) == ["SOP-CLASS", "NO-CT"]


@st.composite
def some_series(draw: st.DrawFn) -> list[IndexedSeries]:
    kinds = st.tuples(
        st.sampled_from(["CT", "PT"]),
        st.sampled_from(["1", "2", "3"]),
        st.sampled_from(["MONOCHROME2", "RGB", ""]),
        st.sampled_from([CT_IMAGE_STORAGE, PET_IMAGE_STORAGE, SECONDARY_CAPTURE]),
    )
    return [
        a_series(label, study, photometric=photometric, sop_class_uid=sop, uuid=str(number))
        for number, (label, study, photometric, sop) in enumerate(
            draw(st.lists(kinds, max_size=12))
        )
    ]


@pytest.mark.slow
@given(series=some_series(), seed=st.randoms())
@settings(deadline=None, max_examples=60)
def test_each_series_is_used_or_refused_whatever_the_order(
    series: list[IndexedSeries], seed: Any
) -> None:
    usable, refused = sort_out(series)
    assert sorted([s.uuid for s in usable] + [s.uuid for s, _ in refused]) == sorted(
        s.uuid for s in series
    )
    shuffled = list(series)
    seed.shuffle(shuffled)
    assert {s.uuid for s in sort_out(shuffled)[0]} == {s.uuid for s in usable}
    for study in {s.study_uid for s in usable}:
        assert {s.modality for s in usable if s.study_uid == study} == {"CT", "PT"}


@pytest.mark.slow
def test_results_that_others_derived_are_no_images_of_the_collection(
    write_index: Callable[..., Path],
) -> None:
    index = write_index(
        [
            a_row(),
            a_row(analysis_result_id="somebody_else"),
            a_row(Modality="SEG", SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4"),
            a_row(collection_id="another"),
        ]
    )
    document = summarise(index=index).to_json()
    assert document["images"] == 10
    assert document["refused"] == {"NO-PET": {"series": 1, "images": 10}}


def test_the_summary_names_no_subject_study_or_series(write_index: Callable[..., Path]) -> None:
    pet = a_row(Modality="PT", SOPClassUID=PET_IMAGE_STORAGE, crdc_series_uuid="secret-folder")
    summary = summarise(index=write_index([a_row(StudyInstanceUID="1.2.99"), pet]))
    text = json.dumps(summary.to_json()) + repr(summary) + str(summary.table())
    for identity in ("A0001", "1.2.99", "secret-folder"):
        assert identity not in text


def test_a_subject_whose_name_follows_no_rule_is_counted_as_unknown(
    write_index: Callable[..., Path],
) -> None:
    rows = [
        a_row(PatientID="someone"),
        a_row(PatientID="someone", Modality="PT", SOPClassUID=PET_IMAGE_STORAGE),
    ]
    summary = summarise(index=write_index(rows))
    assert summary.subjects() == {"?": 1, "A": 0, "B": 0, "E": 0, "G": 0}
    assert summary.table()[1][0] == "? not named"


def test_the_tables_sum_up(write_index: Callable[..., Path]) -> None:
    rows = [
        a_row(PatientID=f"Lung_Dx-{name}", StudyInstanceUID=name, Modality=label, SOPClassUID=sop)
        for name in ("A0001", "A0002", "G0001")
        for label, sop in (("CT", CT_IMAGE_STORAGE), ("PT", PET_IMAGE_STORAGE))
    ]
    summary = summarise(index=write_index([*rows, a_row(PhotometricInterpretation="RGB")]))
    table = summary.table()
    assert table[1] == ["A adenocarcinoma", "2", "2", "2", "2", "20", "20", "2.0"]
    assert table[-1] == ["all", "3", "3", "3", "3", "30", "30", "3.0"]
    assert summary.refused_table()[1][:3] == ["RGB-CAPTURE", "1", "10"]


def test_refusals_of_the_index_speak_as_those_of_a_scan_do(write_index) -> None:
    summary = summarise(index=write_index([a_row(), a_row(PhotometricInterpretation="RGB")]))
    [_, row, *_] = summary.refused_table()
    assert row[3] == Reason(row[0]).meaning


def test_an_unknown_collection_is_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'lidc'.*lung-pet-ct-dx"):
        summarise("lidc")


def test_an_index_without_the_collection_is_refused(write_index: Callable[..., Path]) -> None:
    with pytest.raises(FormatError, match="lists no series"):
        summarise(index=write_index([a_row(collection_id="another")]))


def test_an_index_of_another_layout_is_refused(write_index: Callable[..., Path]) -> None:
    with pytest.raises(FormatError, match="series index"):
        summarise(index=write_index([a_row()], drop="PhotometricInterpretation"))


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["text", "half", "missing"])
def test_a_damaged_index_is_refused(
    damage: str, write_index: Callable[..., Path], tmp_path: Path
) -> None:
    path = tmp_path / "damaged.parquet"
    whole = write_index([a_row()]).read_bytes()
    if damage != "missing":
        path.write_bytes(b"no parquet at all" if damage == "text" else whole[: len(whole) // 2])
    with pytest.raises(FormatError, match="series index"):
        summarise(index=path)


def test_a_missing_index_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"petcast\[archive\]"):
        summarise()


def test_a_missing_reader_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, write_index: Callable[..., Path]
) -> None:
    index = write_index([a_row()])
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(UsageError, match=r"petcast\[archive\]"):
        summarise(index=index)
