"""Published tumour boxes, brought to the studies that are prepared.

A box is drawn on one image of any CT of the study. It is mapped by that CT's own affine, so it
lies in the patient, whichever CT is paired with the PET.
"""

import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from petcast.archive import BoxMatches, BoxTable, SlicePlace, lesion_boxes, read_boxes
from petcast.dicom.header import read_header
from petcast.dicom.series import Series
from petcast.dicom.stack import stack
from petcast.volume import Grid

COUNTS = ("outside", "clipped", "resized")
"""What `BoxMatches` counts that can be added up over studies."""


@dataclass(frozen=True)
class BoxSource:
    """Where boxes come from, small enough to be sent to every process.

    Attributes:
        path: A folder or zip of annotations, which every process must see.
        digest: Names the boxes' content.
    """

    path: Path
    digest: str


def open_boxes(path: Path, salt: str) -> tuple[BoxSource, BoxTable]:
    """Read boxes and name their content.

    Args:
        path: A folder or zip of Pascal-VOC XML files, one an annotated image.
        salt: The user's key; boxes name images by their UIDs.

    Returns:
        The source and what it holds.

    Raises:
        UsageError: The path is neither.
        FormatError: There is no annotation in it.
    """
    table = read_boxes(path)
    rows = json.dumps(sorted(map(astuple, table.boxes), key=str)).encode()
    return BoxSource(path.absolute(), hmac.new(salt.encode(), rows, "sha256").hexdigest()), table


def boxes_of(source: BoxSource, series: Iterable[Series]) -> BoxMatches:
    """Find the boxes that were drawn on some CT series.

    Args:
        source: Of the boxes.
        series: CT series of one study in the PET's frame of reference, none refused.

    Returns:
        Boxes in LPS mm, and counts; `unmatched` counts all other studies' boxes too.
    """
    places: dict[str, SlicePlace] = {}
    for one in series:
        lying = stack([read_header(path) for path in one.files])
        grid = Grid(lying.shape, lying.affine)
        for number, place in enumerate(lying.places):
            places[place.header.sop_uid] = SlicePlace(grid, number)
    return lesion_boxes(_table(source), places)


def count_boxes(table: BoxTable, studies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Account for every box.

    Args:
        table: All boxes.
        studies: What `BoxMatches.to_json` gave of each prepared study.

    Returns:
        What was read, `placed` in a study, and what matches nothing: `unmatched` boxes are on
        images of no prepared study.
    """
    counts = {name: sum(study[name] for study in studies) for name in COUNTS}
    placed = sum(len(study["lesions"]) for study in studies)
    met = placed + counts["outside"] + counts["resized"]
    read = {**table.to_json(), "strays": sum(table.strays.values())}  # a label may be anything
    return {**read, "placed": placed, "unmatched": len(table.boxes) - met, **counts}


@lru_cache(maxsize=1)
def _table(source: BoxSource) -> BoxTable:
    return read_boxes(source.path)
