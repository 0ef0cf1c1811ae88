"""A series' slices → a Volume: CT in HU, PET in Bq/mL and in SUV.

Each slice is scaled by its own slope. Pixels are decoded one file at a time into the volume, so
that memory holds the result and one slice.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petcast.dicom.decay import TimeRule
from petcast.dicom.facts import Shared
from petcast.dicom.header import Header, read_header
from petcast.dicom.pairing import NEVER_MEANT, choose_ct, meant_rank
from petcast.dicom.pixels import stored_pixels
from petcast.dicom.scale import FactorRule, suv_scale
from petcast.dicom.scan import scan
from petcast.dicom.series import Scan, Series
from petcast.dicom.source import Source, source_of
from petcast.dicom.stack import Place, Stack, stack
from petcast.dicom.unpack import open_folder
from petcast.errors import UsageError
from petcast.refusal import Reason, RefusedError
from petcast.volume import AIR_HU, HIGHEST_HU, Unit, Volume
from petcast.words import count

BODY_HU = (-900, HIGHEST_HU)
"""Between them lies what a body is made of. A CT that was rescaled may keep a padding value that
meant air in its first scale and is water in its second."""
LOWEST_SUV = -5.0
"""Filtered backprojection undershoots beside a full bladder, but never by half of its height."""
CORNERS = np.ix_((0, -1), (0, -1))
"""Where padding stands, if there is any: outside the circle that the scanner sees."""

SMALL_MATTERS = {*NEVER_MEANT, Reason.NOT_AXIAL, Reason.TOO_FEW_SLICES}
"""Why CT are refused that come beside the one that is meant: scouts, reformats, the watching of a
bolus."""

Scaling = Callable[[NDArray[Any], Place], NDArray[Any]]


@dataclass(frozen=True)
class PetReading:
    """A PET series as volumes.

    Attributes:
        suv: SUV of body weight, g/mL, float32.
        activity: Bq/mL, float32; None where the scanner wrote SUV itself.
        factor_rule: Which rule turned stored values into SUV.
        time_rule: Which rule gave the time of the decay correction.
        uptake_minutes: From injection to scan, where the header says.
        notes: What was repaired or assumed, in sentences.
    """

    suv: Volume
    activity: Volume | None
    factor_rule: FactorRule
    time_rule: TimeRule
    uptake_minutes: float | None
    notes: tuple[str, ...]


def read_ct(series: Series) -> Volume:
    """Read a CT series.

    Args:
        series: Usable, of modality CT.

    Returns:
        int16 HU from -1024 to 3071, slices from the feet up; padding is air.

    Raises:
        RefusedError: The series was refused, or its pixels cannot be read.
    """
    return _ct_volume(stack(_headers(_sound_files(series, "CT"))))


def _ct_volume(lying: Stack) -> Volume:
    voxels = _filled(lying, np.dtype(np.int16), _hounsfield)
    return Volume(voxels, lying.affine, Unit.HU)


def read_pet(series: Series) -> PetReading:
    """Read a PET series.

    Args:
        series: Usable, of modality PT.

    Returns:
        SUV and, where the scanner measured it, activity.

    Raises:
        RefusedError: The series was refused, has no way to SUV, or cannot be read.
    """
    return read_pet_files(_sound_files(series, "PT"))


def read_pet_files(files: Sequence[Path]) -> PetReading:
    """Read the files of one PET series, also of one that is unfit for pairing.

    Args:
        files: All its files, in any order.

    Returns:
        SUV and, where the scanner measured it, activity.

    Raises:
        RefusedError: No way to SUV, no regular stack, or unreadable pixels.
    """
    lying = stack(_headers(files))
    pet = lying.shared.pet
    if pet is None:
        raise RefusedError(Reason.SOP_CLASS, "Expected a PET series.")
    scale = suv_scale(pet, lying.slices)
    slopes = _filled(lying, np.dtype(np.float32), _by_slope)
    with np.errstate(over="ignore", invalid="ignore"):  # told below, in words
        factors = np.array(scale.factors, dtype=np.float32)[:, np.newaxis, np.newaxis]
        suv = Volume(slopes * factors, lying.affine, Unit.SUV)
        activity = None
        if scale.activity is not None:
            values = slopes * np.float32(scale.activity)
            activity = Volume(values, lying.affine, Unit.BQ_PER_ML)
    _require_finite(suv)
    _require_signed(suv)
    notes = (*lying.notes, *scale.notes)
    minutes = scale.uptake_minutes
    return PetReading(suv, activity, scale.factor_rule, scale.time_rule, minutes, notes)


def _require_finite(suv: Volume) -> None:
    if not np.isfinite(suv.voxels.sum(dtype=np.float64)):  # NaN or infinite where any voxel is
        raise RefusedError(
            Reason.RESCALE, "Slopes and factors give SUV that are no numbers, or too large for one."
        )


def _require_signed(suv: Volume) -> None:
    """Refuse unsigned pixels that the header calls signed: the hottest come out far below zero."""
    low, high = float(suv.voxels.min()), float(suv.voxels.max())
    if low < LOWEST_SUV and -low > high / 2:
        raise RefusedError(
            Reason.NOT_SUV,
            f"The PET's values run from {low:.3g} to {high:.3g}; no reconstruction falls so far "
            "below zero. PixelRepresentation may be wrong, or a padding value is not named.",
        )


def load_ct_and_source(path: Path) -> tuple[Volume, Source]:
    """Read the CT in a folder or zip of DICOM, and what an image derived from it needs.

    Of several in one study it takes the one that `prepare` would; `Source.choice` says so.

    Args:
        path: A folder, a zip, or a multi-frame file.

    Returns:
        int16 HU, and the CT's identity, study and place, slice by slice in the volume's order.

    Raises:
        RefusedError: There is no usable CT, and why.
        UsageError: There are CT of several studies, and how to choose.
    """
    with open_folder(path) as folder:
        found = scan([folder], salt=_LOCAL_SALT)  # held: with it go the files of zips in the folder
        usable = [one for one in found.series if one.modality == "CT" and one.refusal is None]
        if not usable:
            raise _no_ct(path, found)
        if len({one.study_id for one in usable}) > 1:
            raise UsageError(_several(path, usable))
        paired = next((study.ct for study in found.studies if study.ct is not None), None)
        chosen = paired or choose_ct(usable)
        lying = stack(_headers(_sound_files(chosen, "CT")))
        choice, doubts = _choice(chosen, len(usable)), (*chosen.doubts, *_passed_over(found))
        return _ct_volume(lying), replace(source_of(lying), choice=choice, doubts=doubts)


_LOCAL_SALT = "one CT"
"""No pseudonym of that scan is given away, so it needs no secret."""


def _several(path: Path, usable: Sequence[Series]) -> str:
    studies = len({one.study_id for one in usable})
    each = "; ".join(map(_looks, usable))
    return f"{path} holds CT series of {studies} studies ({each}); give the folder of one of them"


def _looks(ct: Series) -> str:
    assert ct.geometry is not None  # noqa: S101  every usable series has one
    return f"{count(ct.geometry.slices, 'slice')} {ct.geometry.spacing_mm[2]:.2f} mm apart"


def _choice(ct: Series, among: int) -> str:
    if among == 1:
        return ""
    kernel = f", {ct.kernel} kernel" if ct.kernel else ""
    return (
        f"Of the study's {among} CT series this one was taken, by the rules of `petcast prepare`: "
        f"{_looks(ct)}{kernel}. For another one give a folder that holds it alone."
    )


def _passed_over(found: Scan) -> Iterator[str]:
    """Name the CT that cannot be used, and may be the one that was meant."""
    for one in found.series:
        refusal = one.refusal
        if one.modality == "CT" and refusal is not None and refusal.reason not in SMALL_MATTERS:
            files = count(len(one.files), "file")
            yield f"Another CT there, of {files}, was refused ({refusal.reason}): {refusal.detail}"


def _no_ct(path: Path, found: Scan) -> RefusedError:
    series = [one for one in found.series if one.modality == "CT"]
    if not series:
        return found.none_of("CT", path, Reason.NO_CT)
    refusal = max(series, key=meant_rank).refusal
    if refusal is None:
        raise ValueError("a usable CT is no reason to refuse")
    return RefusedError(refusal.reason, f"The CT in {path}: {refusal.detail}")


def _sound_files(series: Series, modality: str) -> Sequence[Path]:
    if series.refusal is not None:
        raise RefusedError(series.refusal.reason, series.refusal.detail)
    if series.modality != modality:
        raise RefusedError(
            Reason.SOP_CLASS, f"Expected a {modality} series, found {series.modality}."
        )
    return series.files


def _headers(files: Sequence[Path]) -> list[Header]:
    """Read the headers again; what changed on disk since the scan must not slip through."""
    headers = [read_header(path) for path in files]
    for header in headers:
        if header.refusal is not None:
            raise RefusedError(header.refusal.reason, header.refusal.detail)
    return headers


def _filled(lying: Stack, kind: np.dtype[Any], scaled: Scaling) -> NDArray[Any]:
    """Decode each file once and put its frames in their places."""
    voxels = np.empty(lying.shape, kind)
    frames: NDArray[Any] | None = None
    decoded: Header | None = None
    for z, place in enumerate(lying.places):
        if frames is None or place.header is not decoded:
            frames, decoded = stored_pixels(place.header), place.header
        voxels[z] = scaled(frames[place.frame], place)
    return voxels


def _hounsfield(stored: NDArray[Any], place: Place) -> NDArray[Any]:
    values = stored * np.float64(place.slice.slope) + place.slice.intercept
    hu = np.rint(np.clip(values, AIR_HU, HIGHEST_HU))
    shared = place.header.shared
    if shared is not None and shared.padding is not None:
        padded = _is_padding(stored, shared)
        if not padded[CORNERS].any():  # then a value that tissue has too is no padding
            padded &= (hu < BODY_HU[0]) | (hu >= BODY_HU[1])
        hu[padded] = AIR_HU
    return hu


def _is_padding(stored: NDArray[Any], shared: Shared) -> NDArray[np.bool_]:
    """Where the scanner wrote padding; a negative one may stand in the header as unsigned."""
    limits = shared.padding or (0, 0)
    wrap = 1 << shared.layout.bits if shared.layout.signed else 0
    low, high = sorted(limit - wrap if limit >= wrap // 2 else limit for limit in limits)
    return np.asarray((stored >= low) & (stored <= high))


def _by_slope(stored: NDArray[Any], place: Place) -> NDArray[Any]:
    values = np.asarray(stored * np.float64(place.slice.slope))
    shared = place.header.shared
    if shared is not None and shared.padding is not None:
        padded = _is_padding(stored, shared)
        if padded[CORNERS].any():  # else it is a value that tissue has too
            values[padded] = 0.0
    return values
