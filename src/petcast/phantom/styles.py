"""Three ways in which scanners write PET/CT, and the grids and blur that go with them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from petcast.phantom.streams import Streams


@dataclass(frozen=True)
class Style:
    """How one family of scanners takes and writes its images.

    Attributes:
        name: Stands in the manufacturer's name, honestly: "petcast phantom (GE-like)".
        transfer_syntax: UID of the encoding.
        units: Of the PET: "BQML", or "CNTS" with Philips's private factors.
        slopes: A RescaleSlope for each PET slice, or one for all.
        signed: Whether PET pixels are signed.
        top_first: Whether instance 1 is the uppermost slice.
        pet_grids: Pixels across, and their size in mm; one is drawn.
        pet_slice_mm: Slice distances; one is drawn.
        ct_slice_mm: Slice distances; one is drawn.
        fwhm_mm: Range of the PET's resolution.
        beds: Whether AcquisitionTime moves on from bed to bed.
        padding_hu: What CT writes outside its circle.
    """

    name: Literal["GE-like", "Siemens-like", "Philips-like"]
    transfer_syntax: UID
    units: Literal["BQML", "CNTS"]
    slopes: Literal["slice", "series"]
    signed: bool
    top_first: bool
    pet_grids: tuple[tuple[int, float], ...]
    pet_slice_mm: tuple[float, ...]
    ct_slice_mm: tuple[float, ...]
    fwhm_mm: tuple[float, float]
    beds: bool
    padding_hu: int | None


STYLES = (
    Style(
        name="GE-like",
        transfer_syntax=ExplicitVRLittleEndian,
        units="BQML",
        slopes="slice",
        signed=True,
        top_first=True,
        pet_grids=((256, 2.734375), (192, 3.646)),
        pet_slice_mm=(3.27,),
        ct_slice_mm=(2.5, 3.75),
        fwhm_mm=(5.0, 6.2),
        beds=False,
        padding_hu=-2000,
    ),
    Style(
        name="Siemens-like",
        transfer_syntax=ExplicitVRLittleEndian,
        units="BQML",
        slopes="series",
        signed=False,
        top_first=False,
        pet_grids=((200, 4.07283), (168, 4.07283)),
        pet_slice_mm=(3.0, 5.0),
        ct_slice_mm=(3.0, 5.0),
        fwhm_mm=(5.0, 6.0),
        beds=True,
        padding_hu=None,
    ),
    Style(
        name="Philips-like",
        transfer_syntax=ImplicitVRLittleEndian,
        units="CNTS",
        slopes="series",
        signed=True,
        top_first=True,
        pet_grids=((144, 4.0), (169, 4.0)),
        pet_slice_mm=(4.0,),
        ct_slice_mm=(3.0, 4.0, 5.0),
        fwhm_mm=(5.8, 7.0),
        beds=True,
        padding_hu=None,
    ),
)


@dataclass(frozen=True)
class Protocol:
    """How one patient was scanned.

    Attributes:
        style: The scanner's family.
        ct_size: Pixels across a CT slice of 500 mm.
        ct_step_mm: Distance of CT slices.
        ct_noise_hu: Standard deviation of the CT's noise in the middle of the chest.
        pet_size: Pixels across a PET slice.
        pet_pixel_mm: Their size.
        pet_step_mm: Distance of PET slices.
        pet_shift_mm: How far the PET's slices lie above the CT's.
        fwhm_mm: Resolution of the PET, full width at half maximum.
        pet_noise: Relative standard deviation of the PET in the liver.
        dose_bq: Injected activity at the time of injection.
        uptake_minutes: From injection to the start of the PET.
        bed_seconds: Time of one bed position.
    """

    style: Style
    ct_size: int
    ct_step_mm: float
    ct_noise_hu: float
    pet_size: int
    pet_pixel_mm: float
    pet_step_mm: float
    pet_shift_mm: float
    fwhm_mm: float
    pet_noise: float
    dose_bq: float
    uptake_minutes: float
    bed_seconds: int


def draw_protocol(
    streams: Streams,
    weight_kg: float,
    *,
    ct_size: int,
    pet_size: int | None,
    slice_step_mm: float | None,
) -> Protocol:
    """Draw how one patient is scanned; the styles take turns.

    Args:
        streams: The patient's random streams.
        weight_kg: Decides the dose.
        ct_size: Pixels across a CT slice of 500 mm.
        pet_size: Pixels across a PET slice; the scanner's own where None.
        slice_step_mm: Distance of the slices of both; the scanner's own where None.

    Returns:
        The protocol. All but the given numbers is the same whatever they are.
    """
    style = STYLES[streams.patient % len(STYLES)]
    rng = streams.rng("protocol")
    across, pixel_mm = style.pet_grids[rng.integers(len(style.pet_grids))]
    ct_step_mm = style.ct_slice_mm[rng.integers(len(style.ct_slice_mm))]
    pet_step_mm = style.pet_slice_mm[rng.integers(len(style.pet_slice_mm))]
    dose_bq = weight_kg * rng.uniform(3.2e6, 5.2e6)
    return Protocol(
        style=style,
        ct_size=ct_size,
        ct_step_mm=slice_step_mm or ct_step_mm,
        ct_noise_hu=float(rng.uniform(8, 16)),
        pet_size=pet_size or across,
        pet_pixel_mm=pixel_mm * across / (pet_size or across),
        pet_step_mm=slice_step_mm or pet_step_mm,
        pet_shift_mm=float(rng.uniform(0.4, 1.6)),
        fwhm_mm=float(rng.uniform(*style.fwhm_mm)),
        pet_noise=float(rng.uniform(0.06, 0.16)),
        dose_bq=float(np.round(dose_bq, -4)),
        uptake_minutes=float(np.round(rng.uniform(52, 78))),
        bed_seconds=int(rng.integers(90, 181)),
    )
