"""Public collections: which of their series can be paired, how to get them, where the tumours are.

    collection  which series can become pairs, by rules that need only an index
    index       the index that is installed beside petcast; it needs no network
    download    fetches the usable series
    bucket      from where: a public bucket over HTTPS
    boxes       tumour boxes as they are published
    markup      their XML, from strangers
    lesions     the boxes in patient coordinates

Index and download need the extra `archive`; the tumour boxes do not.
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
    "read_boxes",
    "summarise",
]
