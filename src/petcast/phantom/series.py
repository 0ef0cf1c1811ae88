"""A phantom's CT and PET written as DICOM, a file a slice."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset

from petcast.dicom.compose import file_meta, number
from petcast.phantom.anatomy import Axes
from petcast.phantom.headers import (
    BED_MM,
    BED_OVERLAP_MM,
    WRITER,
    Visit,
    ct_header,
    pet_header,
    philips_factor,
    set_bed,
    set_slice,
)
from petcast.phantom.shapes import Field

LARGEST = 32767


def write_ct(folder: Path, visit: Visit, axes: Axes, hu: Field) -> None:
    """Write a CT series.

    Args:
        folder: Where its files go.
        visit: The examination.
        axes: Its grid.
        hu: Its values, (z, y, x).
    """
    header = ct_header(visit)
    stored = np.clip(np.rint(hu), -1024, 3071).astype("<i2") + np.int16(1024)
    if visit.protocol.style.padding_hu is not None:
        stored[:, _outside_circle(axes)] = visit.protocol.style.padding_hu + 1024
    _write(folder, "CT", header, visit, axes, stored)


def _outside_circle(axes: Axes) -> NDArray[np.bool_]:
    """Pixels beyond the scan field's circle."""
    radius = np.hypot(axes.y_mm[:, None], axes.x_mm[None, :])
    outside: NDArray[np.bool_] = radius > axes.x_mm[-1] + 0.5
    return outside


def write_pet(folder: Path, visit: Visit, axes: Axes, suv: Field) -> None:
    """Write a PET series in the units of its style.

    Args:
        folder: Where its files go.
        visit: The examination.
        axes: Its grid.
        suv: Its values, (z, y, x).
    """
    style = visit.protocol.style
    values = suv.astype(np.float64) * (visit.decayed_dose_bq / (visit.person.weight_kg * 1000))
    if style.units == "CNTS":
        values /= philips_factor(visit)
    peaks = values.max(axis=(1, 2))
    if style.slopes == "series":
        peaks[:] = peaks.max()
    slopes = [number(float(peak) / LARGEST) if peak > 0 else "1" for peak in peaks]
    scale = np.array([float(slope) for slope in slopes])[:, None, None]
    stored = np.clip(np.rint(values / scale), 0, LARGEST).astype("<i2")
    _write(folder, "PT", pet_header(visit, len(suv)), visit, axes, stored, slopes)


def _write(
    folder: Path,
    modality: str,
    header: Dataset,
    visit: Visit,
    axes: Axes,
    stored: NDArray[np.int16],
    slopes: list[str] | None = None,
) -> None:
    """Write a file a slice, numbered in the order of the style."""
    folder.mkdir(parents=True, exist_ok=True)
    count, style = len(stored), visit.protocol.style
    header.Rows, header.Columns = stored.shape[1:]
    for index in range(count):
        instance = count - index if style.top_first else index + 1
        header.InstanceNumber = instance
        place = float(axes.x_mm[0]), float(axes.y_mm[0]), float(axes.z_mm[index])
        set_slice(header, place, float(axes.x_mm[1] - axes.x_mm[0]))
        if slopes is not None:
            header.RescaleSlope = slopes[index]
            header.ImageIndex = instance
            set_bed(header, visit, _bed(axes, index) if style.beds else 0)
        _save(folder / f"{modality}{instance:03d}.dcm", header, visit, stored[index])


def _bed(axes: Axes, index: int) -> int:
    """Which bed position measured a slice, counted from the top."""
    depth = float(axes.z_mm[-1] - axes.z_mm[index])
    return int(depth / (BED_MM - BED_OVERLAP_MM))


def _save(path: Path, image: Dataset, visit: Visit, stored: NDArray[np.int16]) -> None:
    syntax = visit.protocol.style.transfer_syntax
    image.SOPInstanceUID = visit.streams.uid(path.stem)
    image.PixelData = stored.tobytes()
    image["PixelData"].VR = "OW"
    image.file_meta = file_meta(image.SOPClassUID, image.SOPInstanceUID, syntax, WRITER)
    whole = io.BytesIO()  # first: pydicom takes the cause from an error of the disk
    dcmwrite(whole, image, enforce_file_format=True)
    path.write_bytes(whole.getvalue())
