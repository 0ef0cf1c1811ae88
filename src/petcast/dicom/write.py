"""A volume in SUV → a derived PET series on the slices of the CT that it was cast from.

One file a slice, signed 16 bit, a slope a slice. The folder appears whole or not at all.
"""

import io
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from petcast.dicom import tags
from petcast.dicom.compose import file_meta, number
from petcast.dicom.derived import WRITER, Casting, Identifiers, series_header, set_slice
from petcast.dicom.header import read_header
from petcast.dicom.source import Source
from petcast.disk.durable import alone_beside, write_directory
from petcast.errors import GeometryError, UsageError
from petcast.progress import track
from petcast.refusal import Reason, RefusedError
from petcast.volume import Volume

LARGEST = 32767
NOTHING_SUV = 1e-6
"""A slice that stays below holds nothing; its slope would be too small for other readers."""

FILE_NAME = re.compile(r"PT\d{4,}\.dcm")
FILE_SUFFIXES = {".dcm", ".ima", ".zip", ".gz", ".mha", ".mhd", ".nrrd", ".npy", ".png", ".json"}
"""Who gives a name like this means a file."""


def write_series(folder: Path, pet: Volume, source: Source, casting: Casting) -> None:
    """Write a volume as a PET series, in the place of an earlier one.

    Args:
        folder: Its final name; it appears when it is whole.
        pet: In the unit of what it shows, on the grid of the CT.
        source: The CT.
        casting: What made the volume.

    Raises:
        UnitError: The volume has another unit.
        GeometryError: It does not lie on the CT's slices.
        RefusedError: It holds NaN or infinite values.
        UsageError: The folder holds something else.
        OSError: The disk is full, or cannot be written to; nothing of it stays.

    Reference:
        PS3.3 A.21 (PET Image IOD); docs/dicom-conformance.md.
    """
    _require_fitting(pet.require(casting.kind.unit), source)
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with alone_beside(folder):
        require_room(folder)
        write_directory(folder, lambda place: _fill(place, pet, source, casting), hidden=True)


def require_room(folder: Path, option: str = "--out") -> None:
    """Refuse a place that cannot become the folder of a series, or holds something else.

    Args:
        folder: The place.
        option: That names it, for the message.

    Raises:
        UsageError: And what to give instead.
    """
    if folder.suffix.lower() in FILE_SUFFIXES:
        raise UsageError(
            f"{option} {folder}: give a .nii.gz or .nii file, or the name of a folder for DICOM"
        )
    if folder.is_file() or not all(p.is_dir() for p in folder.absolute().parents if p.exists()):
        raise UsageError(f"{option} {folder}: a file is in its place; give another folder")
    if folder.is_dir() and folder.resolve().is_mount():  # "." is not taken for its own parent
        raise UsageError(f"{option} {folder} is the root of a file system; give a folder in it")
    if folder.is_dir() and not all(map(_is_ours, folder.iterdir())):
        raise UsageError(
            f"{option} {folder} holds files other than a synthetic PET of petcast; they are not "
            "touched: give a new folder"
        )


def _is_ours(path: Path) -> bool:
    """Whether a file is an image of an earlier synthetic series."""
    if not FILE_NAME.fullmatch(path.name) or path.is_symlink():
        return False
    shared = read_header(path).shared
    return shared is not None and shared.pet is not None and shared.pet.synthetic


def _require_fitting(pet: Volume, source: Source) -> None:
    expected = (len(source.slices), source.shared.layout.rows, source.shared.layout.columns)
    if pet.voxels.shape != expected:
        raise GeometryError(f"the PET has {pet.voxels.shape} voxels, its CT {expected}")
    if not np.isfinite(pet.voxels).all():
        raise RefusedError(Reason.NOT_FINITE, "The model's PET holds NaN or infinite values.")


def _fill(folder: Path, pet: Volume, source: Source, casting: Casting) -> None:
    """Write the files, numbered as the CT numbers its slices."""
    uids = Identifiers(source, casting, pet.voxels)
    header, count = series_header(source, casting, uids), len(source.slices)
    for z in track(range(count), "Writing DICOM", count):
        instance = count - z if source.descending else z + 1
        header.InstanceNumber = header.ImageIndex = instance
        set_slice(header, source, source.slices[z], uids)
        _set_pixels(header, pet.voxels[z])
        (folder / f"PT{instance:04d}.dcm").write_bytes(_encoded(header))


def _set_pixels(header: Dataset, suv: NDArray[np.float32]) -> None:
    peak = float(np.abs(suv).max())
    header.RescaleSlope = number(peak / LARGEST) if peak > NOTHING_SUV else "1"
    stored = np.rint(suv.astype(np.float64) / float(header.RescaleSlope))
    header.PixelData = np.clip(stored, -LARGEST, LARGEST).astype("<i2").tobytes()
    header["PixelData"].VR = "OW"


def _encoded(header: Dataset) -> bytes:
    """A whole file; in memory first, because pydicom takes the cause from an error of the disk."""
    header.file_meta = file_meta(
        header.SOPClassUID, header.SOPInstanceUID, ExplicitVRLittleEndian, WRITER
    )
    stream = io.BytesIO()
    with tags.silence():  # its warnings quote values, and those may name the patient
        dcmwrite(stream, header, enforce_file_format=True)
    return stream.getvalue()
