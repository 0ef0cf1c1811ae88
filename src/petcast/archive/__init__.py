"""Public collections: which of their series can be paired, how to get them, where the tumours are.

`summarise` reads an index that is installed beside petcast and needs no network. `download` is
the only part of petcast that does. Both need the extra `archive`; the tumour boxes do not.
"""

from petcast.archive.boxes import BoxTable, TumourBox, read_boxes
from petcast.archive.bucket import ENDPOINT, Patience
from petcast.archive.collection import CollectionSummary, summarise
from petcast.archive.download import DownloadReport, download
from petcast.archive.lesions import (
    BoxMatches,
    LesionBox,
    SlicePlace,
    lesion_boxes,
    locate_images,
)

__all__ = [
    "ENDPOINT",
    "BoxMatches",
    "BoxTable",
    "CollectionSummary",
    "DownloadReport",
    "LesionBox",
    "Patience",
    "SlicePlace",
    "TumourBox",
    "download",
    "lesion_boxes",
    "locate_images",
    "read_boxes",
    "summarise",
]
