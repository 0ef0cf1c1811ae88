"""Annotation files as they are published, with their flaws, and as an attacker writes them."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from petcast.archive import read_boxes
from petcast.archive.boxes import MAX_XML_BYTES
from petcast.errors import FormatError, UsageError

UID = "1.3.6.1.4.1.99999.1.2.3"


def annotation(
    label: str = "A", box: tuple[object, ...] = (10, 20, 30, 40), size: str = "512"
) -> str:
    x0, y0, x1, y1 = box
    return (
        f"<annotation verified='no'><filename>{UID}</filename>"
        f"<size><width>{size}</width><height>{size}</height><depth>1</depth></size>"
        f"<object><name>{label}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object></annotation>"
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write_annotations(as_zip: bool = False, **files: str | bytes) -> Path:
        folder = tmp_path / "Annotation"
        for name, content in files.items():
            path = folder / "A0001" / f"{name.removeprefix('_')}.xml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        if not as_zip:
            return folder
        packed = tmp_path / "Annotation.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in folder.rglob("*.xml"):
                archive.write(path, path.relative_to(tmp_path))
        return packed

    return write_annotations


@pytest.mark.parametrize("as_zip", [False, True])
def test_a_box_is_read_from_a_folder_and_a_zip(as_zip: bool, write: Callable[..., Path]) -> None:
    table = read_boxes(write(as_zip, **{UID: annotation("G")}))
    [box] = table.boxes
    assert (box.image_uid, box.label, box.pixels, box.image_size) == (
        UID,
        "G",
        (10.0, 20.0, 30.0, 40.0),
        (512, 512),
    )


def test_a_file_may_be_named_in_capitals(tmp_path: Path) -> None:
    (tmp_path / f"{UID}.XML").write_text(annotation())
    assert read_boxes(tmp_path).files == 1


def test_two_boxes_on_one_image_are_two(write: Callable[..., Path]) -> None:
    one = annotation("A")
    start, end = one.index("<object>"), one.index("</annotation>")
    table = read_boxes(write(**{UID: one[:end] + one[start:end] + one[end:]}))
    assert len(table.boxes) == 2
    assert table.to_json()["images"] == 1


def test_labels_that_are_no_diagnosis_are_counted(write: Callable[..., Path]) -> None:
    table = read_boxes(
        write(
            **{
                f"{UID}.1": annotation("Q"),
                f"{UID}.2": annotation("A0192"),
                f"{UID}.3": annotation("Q"),
                f"{UID}.4": annotation("B"),
            }
        )
    )
    assert table.strays == {"A0192": 1, "Q": 2}
    assert [box.label for box in table.boxes] == ["B"]


def test_a_stray_label_brings_no_control_characters(write: Callable[..., Path]) -> None:
    table = read_boxes(write(**{UID: annotation("&#x9b;&#x202e;" + "long" * 99)}))
    [label] = table.strays
    assert label.isprintable()
    assert len(label) <= 16


def test_corners_may_come_in_either_order(write: Callable[..., Path]) -> None:
    [box] = read_boxes(write(**{UID: annotation(box=(30, 40, 10, 20))})).boxes
    assert box.pixels == (10.0, 20.0, 30.0, 40.0)


@pytest.mark.parametrize(
    "box",
    [(10, 20, 10, 40), (10, 20, "nan", 40), (10, 20, "inf", 40), (10, 20, "", 40), ("x", 1, 2, 3)],
)
def test_a_box_without_area_or_numbers_is_counted(
    box: tuple[object, ...], write: Callable[..., Path]
) -> None:
    table = read_boxes(write(**{UID: annotation(box=box)}))
    assert (table.malformed, table.boxes) == (1, ())


def test_an_object_without_a_box_is_counted(write: Callable[..., Path]) -> None:
    content = "<annotation><object><name>A</name></object></annotation>"
    assert read_boxes(write(**{UID: content})).malformed == 1


@pytest.mark.parametrize("size", ["", "0", "-1", "many", "9" * 50])
def test_a_nonsensical_image_size_is_no_size(size: str, write: Callable[..., Path]) -> None:
    assert read_boxes(write(**{UID: annotation(size=size)})).boxes[0].image_size is None


BOMB = (
    "<!DOCTYPE annotation [<!ENTITY a 'AAAAAAAAAA'>"
    + "".join(f"<!ENTITY a{n} '{f'&a{n - 1 if n else str()};' * 10}'>" for n in range(9))
    + "]><annotation><object><name>&a8;</name></object></annotation>"
)
LEAK = (
    '<!DOCTYPE annotation [<!ENTITY file SYSTEM "file:///etc/hostname">]>'
    "<annotation><object><name>&file;</name></object></annotation>"
)


@pytest.mark.parametrize(
    "content",
    [
        BOMB,
        LEAK,
        "<!DOCTYPE annotation SYSTEM 'http://127.0.0.1:9/x.dtd'><annotation/>",
        "<a>" * 5000 + "</a>" * 5000,
        "<annotation>",
        "",
        b"\xff\xfe\x00garbage",
        b"<?xml version='1.0' encoding='klingon'?><annotation/>",
        "<annotation>" + " " * MAX_XML_BYTES + "</annotation>",
        "<html/>",
    ],
    ids=[
        "entity bomb",
        "file entity",
        "foreign dtd",
        "nested",
        "cut",
        "empty",
        "binary",
        "encoding",
        "huge",
        "html",
    ],
)
def test_a_hostile_or_damaged_file_is_counted_and_the_rest_is_read(
    content: str | bytes, write: Callable[..., Path]
) -> None:
    table = read_boxes(write(**{f"{UID}.1": content, f"{UID}.2": annotation()}))
    assert (table.files, table.damaged, len(table.boxes)) == (2, 1, 1)
    assert not table.strays


def test_a_file_not_named_after_an_image_is_damaged(write: Callable[..., Path]) -> None:
    assert read_boxes(write(readme=annotation())).damaged == 1


def test_a_folder_without_annotations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no XML"):
        read_boxes(tmp_path)


def test_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("a,b")
    with pytest.raises(UsageError, match="neither"):
        read_boxes(path)


def test_a_zip_damaged_within_is_refused(write: Callable[..., Path]) -> None:
    packed = write(True, **{UID: annotation()})
    content = bytearray(packed.read_bytes())
    start = content.index(b".xml") + 4
    content[start : start + 40] = bytes(byte ^ 0x5A for byte in content[start : start + 40])
    packed.write_bytes(content)
    with pytest.raises(FormatError, match="damaged zip"):
        read_boxes(packed)


def test_a_zip_with_too_many_members_is_refused(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("petcast.archive.boxes.MAX_FILES", 1)
    files = {f"{UID}.1": annotation(), f"{UID}.2": annotation()}
    with pytest.raises(FormatError, match="expected at most"):
        read_boxes(write(True, **files))
    with pytest.raises(FormatError, match="more than 1"):
        read_boxes(write(**files))


def test_a_link_is_not_followed(write: Callable[..., Path], tmp_path: Path) -> None:
    folder = write(**{f"{UID}.1": annotation()})
    outside = tmp_path / "outside"
    outside.write_text(annotation())
    (folder / f"{UID}.2.xml").symlink_to(outside)
    assert read_boxes(folder).files == 1


def test_neither_counts_nor_representation_carry_a_uid(write: Callable[..., Path]) -> None:
    table = read_boxes(write(**{UID: annotation(), f"{UID}.1": BOMB}))
    assert UID not in json.dumps(table.to_json()) + repr(table)
