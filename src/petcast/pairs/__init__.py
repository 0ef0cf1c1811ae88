"""Pairs of CT and PET slices: on disk, divided among training, validation and test, and unleaked.

store    the folder that `prepare` writes and everything after reads
voxels   its arrays, and an index that points to those of another folder
content  the same image under two names: hashes of slices
split    which patient trains, validates and tests
shuffle  the published split, slice by slice
leaks    what would be tested on although it was learned
"""

from petcast.pairs.store import (
    ARRAYS,
    CARD_FILE,
    FORMAT,
    INDEX_FILE,
    OPEN_MAPS,
    STUDIES_FOLDER,
    Document,
    PairedStudy,
    Pairs,
    read_card,
    study_folder,
    verify_study,
    write_index,
    write_study,
)

__all__ = [
    "ARRAYS", "CARD_FILE", "FORMAT", "INDEX_FILE", "OPEN_MAPS", "STUDIES_FOLDER",
    "Document", "PairedStudy", "Pairs",
    "read_card", "study_folder", "verify_study", "write_index", "write_study",
]  # fmt: skip
