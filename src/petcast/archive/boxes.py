"""Tumour boxes as they are published: rectangles that were drawn on single CT images.

The annotations of Lung-PET-CT-Dx are one Pascal-VOC XML file an image, named after its
SOPInstanceUID; a box is in pixels of that image, its label a diagnosis letter. Known flaws of the
published set: labels that are no diagnosis, boxes on images that nobody has, boxes beyond the
image. None of them stops the reading; each is counted.

A SOPInstanceUID serves to find the slice (petcast.archive.lesions) and goes no further: neither
`repr` nor messages nor `to_json` carry one.
"""

import math
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element  # a type only, nothing is parsed with it

from petcast.archive.markup import parse_xml
from petcast.errors import FormatError, UsageError

DIAGNOSES = frozenset("ABEG")
"""The labels that are diagnoses; anything else is a stray."""

MAX_XML_BYTES = 1024 * 1024
"""A file with a box has a few hundred bytes."""

MAX_FILES = 1_000_000
"""Members of an archive, or files of a folder, that are looked at."""

MAX_ARCHIVE_BYTES = 4 * 1024**3
"""All XML files of an archive together, unpacked."""

_UID = re.compile(r"[0-9]+(\.[0-9]+)+")


@dataclass(frozen=True)
class TumourBox:
    """One box on one image.

    Attributes:
        image_uid: SOPInstanceUID of the image.
        label: Diagnosis letter.
        pixels: Left, top, right, bottom in the image's pixels as the file has them: columns and
            rows counted from 0, edges (not centres) of pixels.
        image_size: Columns and rows that the file says the image has; None where it is silent.
    """

    image_uid: str = field(repr=False)
    label: str
    pixels: tuple[float, float, float, float]
    image_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class BoxTable:
    """All boxes of a folder or zip, and what could not be used.

    Attributes:
        boxes: The sound ones.
        files: How many XML files were read.
        strays: How often each label stood there that is no diagnosis.
        damaged: How many files are no annotation of an image.
        malformed: How many boxes have no area or no finite numbers.
    """

    boxes: tuple[TumourBox, ...]
    files: int
    strays: Mapping[str, int]
    damaged: int
    malformed: int

    def to_json(self) -> dict[str, Any]:
        """Turn the counts into a JSON document.

        Returns:
            Counts; strays by label.
        """
        return {
            "files": self.files,
            "boxes": len(self.boxes),
            "images": len({box.image_uid for box in self.boxes}),
            "strays": dict(self.strays),
            "damaged": self.damaged,
            "malformed": self.malformed,
        }


def read_boxes(path: Path) -> BoxTable:
    """Read all annotation files of a folder or a zip; nothing is extracted.

    Args:
        path: A folder, searched to its depth, or a zip.

    Returns:
        The sound boxes, and counts of the rest.

    Raises:
        UsageError: The path is neither.
        FormatError: The zip is damaged or too large, or there is no annotation in it.
    """
    boxes: list[TumourBox] = []
    strays: Counter[str] = Counter()
    files = damaged = malformed = 0
    for name, content in _annotations(path):
        files += 1
        try:
            read = _read_annotation(name, content)
        except FormatError:
            damaged += 1
            continue
        boxes += read.boxes
        strays.update(read.strays)
        malformed += read.malformed
    if not files:
        raise FormatError(f"{path} holds no XML file; expected one for each annotated image")
    return BoxTable(tuple(boxes), files, dict(sorted(strays.items())), damaged, malformed)


def _annotations(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name without suffix and content of each XML file, in a fixed order."""
    if path.is_dir():
        yield from _from_folder(path)
    elif path.is_file() and zipfile.is_zipfile(path):
        yield from _from_zip(path)
    else:
        raise UsageError(f"{path} is neither a folder nor a zip of annotations")


def _from_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    named = (path for path in folder.rglob("*") if path.name.lower().endswith(".xml"))
    for number, file in enumerate(sorted(named)):
        if number >= MAX_FILES:
            raise FormatError(f"{folder} holds more than {MAX_FILES:,} XML files")
        if file.is_file() and not file.is_symlink():
            with file.open("rb") as stream:
                yield file.stem, stream.read(MAX_XML_BYTES + 1)


def _from_zip(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.lower().endswith(".xml")]
            _require_bounded(path, members)
            for member in sorted(members, key=lambda m: m.filename):
                with archive.open(member) as stream:
                    yield Path(member.filename).stem, stream.read(MAX_XML_BYTES + 1)
    # RuntimeError: a password is asked for. NotImplementedError: an unknown compression.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, ValueError) as error:
        raise FormatError(f"{path} is a damaged zip ({type(error).__name__})") from error


def _require_bounded(path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    size_bytes = sum(min(member.file_size, MAX_XML_BYTES) for member in members)
    if len(members) > MAX_FILES or size_bytes > MAX_ARCHIVE_BYTES:
        raise FormatError(
            f"{path} holds {len(members):,} XML files of {size_bytes:,} bytes; expected at most "
            f"{MAX_FILES:,} and {MAX_ARCHIVE_BYTES:,}"
        )


@dataclass(frozen=True)
class _Annotation:
    """What one file holds."""

    boxes: tuple[TumourBox, ...]
    strays: tuple[str, ...]
    malformed: int


def _read_annotation(name: str, content: bytes) -> _Annotation:
    root = parse_xml(content, "an annotation", MAX_XML_BYTES)
    image_uid = name.strip()
    if root.tag != "annotation" or not _UID.fullmatch(image_uid):
        raise FormatError("a file is no annotation that is named after its image")
    size = _image_size(root)
    boxes: list[TumourBox] = []
    strays: list[str] = []
    malformed = 0
    for item in root.iter("object"):
        label = (item.findtext("name") or "").strip()
        pixels = _pixels(item)
        if pixels is None:
            malformed += 1
        elif label in DIAGNOSES:
            boxes.append(TumourBox(image_uid, label, pixels, size))
        else:
            strays.append(_printable(label))
    return _Annotation(tuple(boxes), tuple(strays), malformed)


def _printable(label: str) -> str:
    """A stray label is shown to a person: short, and without control characters."""
    return "".join(letter for letter in label if letter.isprintable())[:16]


def _pixels(item: Element) -> tuple[float, float, float, float] | None:
    """The rectangle, if it is one; corners may come in either order."""
    box = item.find("bndbox")
    if box is None:
        return None
    try:
        x0, y0, x1, y1 = (float(box.findtext(tag, "")) for tag in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError:
        return None
    left, right, top, bottom = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
    if not all(map(math.isfinite, (left, right, top, bottom))) or left == right or top == bottom:
        return None
    return left, top, right, bottom


def _image_size(root: Element) -> tuple[int, int] | None:
    width, height = (
        root.findtext("size/width", "").strip(),
        root.findtext("size/height", "").strip(),
    )
    if not (re.fullmatch(r"[1-9]\d{0,5}", width) and re.fullmatch(r"[1-9]\d{0,5}", height)):
        return None
    return int(width), int(height)
