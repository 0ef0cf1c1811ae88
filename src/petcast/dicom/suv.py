"""`petcast suv`: the SUV of every PET in a folder, and the rules that gave it.

The rules themselves stand in `scale` (units and factors), `decay` (times) and `bodysize` (masses),
each citing its clause.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petcast.dicom.read import read_pet_files
from petcast.dicom.scan import Scan, Series, scan
from petcast.dicom.series import HALF_WIDTHS, SYNTHETIC
from petcast.dicom.unpack import open_folder, origin_of
from petcast.errors import GeometryError, UsageError
from petcast.refusal import Reason, Refusal, RefusedError
from petcast.volume import Unit, Volume

MISSED = "the mask does not touch this PET"

MASK_TOLERANCE_MM = 0.1
"""A mask drawn on the PET's grid may have lost some digits of it."""


PLAUSIBLE_MAX = (0.3, 500.0)
"""Below the mean of a body, or above the fullest bladder, a maximum is hardly SUV."""


def measure_suv(folder: Path, mask: Path | None = None) -> dict[str, Any]:
    """Measure the SUV of each PET series, also of those that are unfit for pairing.

    Args:
        folder: A folder or zip of DICOM, searched to any depth.
        mask: A NIfTI file; voxels where it is not 0 are counted. It is brought to the PET's grid
            by nearest neighbours where it has another one.

    Returns:
        `{"series": [{"path", "max", "min", "median", "factor_rule", "time_rule", …}]}`; numbers
        are null and `reason` and `detail` are set where there is no way to SUV, `detail` alone
        where the mask does not touch that PET.

    Raises:
        RefusedError: No PET is there, and why.
        UsageError: The mask is empty.
        DataError: The mask cannot be read, or touches none of the PETs.
    """
    with open_folder(folder) as opened:
        found = scan([opened])  # held: with it go the files of zips in the folder
        pets = [series for series in found.series if series.modality == "PT"]
        if not pets:
            raise found.none_of("PET", folder, Reason.NO_PET)
        region = Volume.load(mask, Unit.LABEL) if mask is not None else None
        if region is not None and not region.voxels.any():
            raise UsageError(f"the mask {mask} is empty")
        rows = [_measured(one, _path(one, found, folder, opened), region) for one in pets]
    if all(row["detail"] == MISSED for row in rows):
        raise GeometryError(f"{MISSED}; was it drawn on another?")
    return {"series": rows}


def _path(series: Series, found: Scan, folder: Path, opened: Path) -> str:
    """Its folder, or the zip that holds it, as the user would write it (docs/decisions/0007)."""
    file = series.files[0]
    origin = origin_of(file, found.unpacked)
    place = file.parent if origin == file else origin
    root = opened.absolute()  # as the scan has it
    return str(folder / place.relative_to(root) if place.is_relative_to(root) else folder)


def _measured(series: Series, path: str, region: Volume | None) -> dict[str, Any]:
    row: dict[str, Any] = {"path": path, "id": series.id, "voxels": 0}
    row |= dict.fromkeys(("max", "min", "median", "factor_rule", "time_rule", "uptake_minutes"))
    try:
        reading = read_pet_files(series.files)
        values = _inside(reading.suv, region)
    except RefusedError as error:
        return row | _refusal(error.refusal)
    if not values.size:
        return row | {"reason": None, "detail": MISSED}
    high = float(values.max())
    notes = list(reading.notes)
    if series.synthetic:
        notes.append(SYNTHETIC)
    if series.half_width:
        notes.append(HALF_WIDTHS)
    elif not PLAUSIBLE_MAX[0] <= high <= PLAUSIBLE_MAX[1]:
        notes.append(f"A maximum of {high:.3g} is hardly SUV; check dose, weight and times.")
    return row | {
        "max": high,
        "min": float(values.min()),
        "median": float(np.median(values)),
        "voxels": int(values.size),
        "factor_rule": str(reading.factor_rule),
        "time_rule": str(reading.time_rule),
        "uptake_minutes": reading.uptake_minutes,
        "notes": notes,
        **_refusal(series.refusal),
    }


def _refusal(refusal: Refusal | None) -> dict[str, str | None]:
    if refusal is None:
        return {"reason": None, "detail": None}
    return {"reason": str(refusal.reason), "detail": refusal.detail}


def _inside(suv: Volume, region: Volume | None) -> NDArray[np.float32]:
    if region is None:
        return suv.voxels
    if not region.grid.matches(suv.grid, MASK_TOLERANCE_MM):
        region = region.resampled(suv.grid, outside=0, interpolation="nearest", antialias=False)
    inside: NDArray[np.float32] = suv.voxels[region.voxels != 0]
    return inside
