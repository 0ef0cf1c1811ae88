"""What lies on disk: the key, which tells what each picture is, and the readers' answers."""

import hashlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from petcast.disk.durable import read_json, require_known_format
from petcast.errors import FormatError, UsageError

FORMAT = 1
KEY_FILE = "key.json"
PAGE_FILE = "reading.html"
SCORES_FILE = "scores.json"

REAL = "real"
"""What the key calls the real PET."""

CALLS = ("certainly real", "probably real", "perhaps real", "perhaps synthetic",
         "probably synthetic", "certainly synthetic")  # fmt: skip
"""1 to 6: from the fourth on the reader calls the picture synthetic."""

QUALITIES = ("unreadable", "poor", "acceptable", "good", "excellent")
"""1 to 5."""

ARTEFACTS = {
    "pattern": "a regular pattern",
    "blur": "blur",
    "noise": "noise",
    "missing": "uptake is missing",
    "invented": "uptake is invented",
}
"""What may disturb, by its key in the files."""

LONGEST_S = 1e8
"""Three years before one picture: no page was open for longer."""

Document = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a reader said of a picture.

    Attributes:
        image: The picture's number, from 0.
        synthetic: 1 (certainly real) to 6 (certainly synthetic).
        quality: 1 (unreadable) to 5 (excellent).
        artefacts: Keys of `ARTEFACTS`.
        seconds: That it took.
    """

    image: int
    synthetic: int
    quality: int
    artefacts: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Reader:
    """A reader's answers.

    Attributes:
        name: What the reader is called in the file.
        answers: By the picture's number.
    """

    name: str
    answers: Mapping[int, Answer]


def id_of(key: Mapping[str, Any]) -> str:
    """Give what a page, its key and its answers have in common.

    Args:
        key: Without its id.

    Returns:
        16 hexadecimal digits of the content's SHA-256; the version of petcast has no part in it.
    """
    content = {name: value for name, value in key.items() if name not in ("id", "petcast")}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_key(reading: Path) -> Document:
    """Read the key of a reading.

    Args:
        reading: The folder that `petcast reading` wrote.

    Returns:
        `id`, `sources`, `images` …

    Raises:
        UsageError: It holds no reading.
        FormatError: The key is damaged, was changed, or is of a newer petcast.
    """
    path = reading / KEY_FILE
    if not path.is_file():
        raise UsageError(f"{reading} is no reading: it holds no {KEY_FILE}; give the --out of "
                         "`petcast reading RUN … --data PAIRS`")  # fmt: skip
    key: Document = read_json(path, "format", "id", "sources", "images")
    require_known_format(key["format"], FORMAT, path)
    if key["id"] != id_of(key):
        raise FormatError(f"{path} was changed since it was written: its content does not give its "
                          "own id; take it from a backup")  # fmt: skip
    return key


def read_answers(paths: Sequence[Path], key: Mapping[str, Any]) -> list[Reader]:
    """Read what readers sent back.

    Args:
        paths: A file a reader.
        key: Of the reading.

    Returns:
        The readers, in the order of their names.

    Raises:
        UsageError: A file answers another reading, or two are of one reader.
        FormatError: A file is damaged or holds values that the page does not give.
    """
    readers: dict[str, Reader] = {}
    for path in paths:
        document = read_json(path, "format", "reading", "reader", "answers")
        require_known_format(document["format"], FORMAT, path)
        if document["reading"] != key["id"]:
            raise UsageError(f"{path} answers another reading ({document['reading']}) than this "
                             f"({key['id']}); give the folder that its page came from")  # fmt: skip
        reader = Reader(_name(document["reader"], path), _answers(document["answers"], key, path))
        if reader.name in readers:
            raise UsageError(f"{path}: there is another file of reader {reader.name!r}; give the "
                             "later one alone, or have them called by different names")  # fmt: skip
        readers[reader.name] = reader
    return [readers[name] for name in sorted(readers)]


def _name(written: Any, path: Path) -> str:
    """What the page lets a reader be called; nothing that a terminal would take for an order."""
    name = written.strip() if isinstance(written, str) else ""
    if not name or any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name):
        raise FormatError(f"{path}: its `reader` is no name, but {written!r:.60}; have the page "
                          "write the file again")  # fmt: skip
    return name


def _answers(rows: Any, key: Mapping[str, Any], path: Path) -> dict[int, Answer]:
    if not isinstance(rows, list):
        raise FormatError(f"{path}: its answers are no list; have the page write the file again")
    found = {}
    for number, row in enumerate(rows, start=1):
        answer = _answer(row, len(key["images"]))
        if answer is None or answer.image in found:
            raise FormatError(f"{path}: answer {number} is none that the page gives: a picture of "
                              f"0 to {len(key['images']) - 1}, each once, `synthetic` 1 to 6, "
                              "`quality` 1 to 5; have the page write the file again")  # fmt: skip
        found[answer.image] = answer
    return found


def _answer(row: Any, images: int) -> Answer | None:
    if not isinstance(row, dict):
        return None
    image = _within(row.get("image"), 0, images - 1)
    synthetic = _within(row.get("synthetic"), 1, len(CALLS))
    quality = _within(row.get("quality"), 1, len(QUALITIES))
    artefacts, seconds = row.get("artefacts", []), row.get("seconds", 0.0)
    known = isinstance(artefacts, list) and all(one in list(ARTEFACTS) for one in artefacts)
    if image is None or synthetic is None or quality is None or not known:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    if not 0 <= seconds <= LONGEST_S:  # NaN is not, and an int may be too long for a float
        return None
    return Answer(image, synthetic, quality, tuple(artefacts), float(seconds))


def _within(value: Any, least: int, most: int) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and least <= value <= most else None
