"""A NIfTI case → CT in HU, PET in SUV and its lesions, or why not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from petcast.align import Reading
from petcast.archive.collection import diagnosis_of
from petcast.errors import FormatError, GeometryError, UnitError
from petcast.nifti.header import require_sound
from petcast.nifti.layout import Found
from petcast.plausible import (
    require_ct,
    require_mask,
    require_on_pet,
    require_suv,
    require_wide,
)
from petcast.refusal import Reason, RefusedError
from petcast.volume import AIR_HU, HIGHEST_HU, Unit, Volume

FACTOR_RULE = "nifti-suv"
TIME_RULE = "nifti-unknown"
"""NIfTI states no dose, weight, time or tracer: the file's SUV is taken as it is."""

_NAMES = {Unit.HU: "CT", Unit.SUV: "PET", Unit.LABEL: "lesion mask"}
_WRONG_UNIT = {
    Unit.HU: Reason.NOT_HU,
    Unit.SUV: Reason.NOT_SUV,
    Unit.LABEL: Reason.NOT_A_MASK,
}


@dataclass(frozen=True)
class NiftiCase:
    """A study of a NIfTI cohort.

    Attributes:
        found: Its files.
    """

    found: Found

    @property
    def id(self) -> str:
        """Pseudonym of the study."""
        return self.found.id

    @property
    def patient(self) -> str:
        """Pseudonym of its patient."""
        return self.found.patient

    @property
    def diagnosis(self) -> str:
        """The letter of the diagnosis where the patient is called as in Lung-PET-CT-Dx."""
        return diagnosis_of(self.found.patient_name)

    @property
    def files(self) -> Sequence[Path]:
        """CT, PET and perhaps the mask."""
        paths = (self.found.ct, self.found.pet, self.found.lesions)
        return tuple(path for path in paths if path is not None)

    @property
    def annotations(self) -> None:
        """Boxes are drawn on DICOM images."""

    def read(self) -> Reading:
        """Read CT, PET and lesions.

        Returns:
            HU and SUV.

        Raises:
            RefusedError: They cannot be used, and why.
        """
        ct = load_ct(self.found.ct)
        pet = load(self.found.pet, Unit.SUV)
        require_suv(pet, ct)
        lesions = None
        if self.found.lesions is not None:
            lesions = load(self.found.lesions, Unit.LABEL)
            require_mask(lesions)
            require_on_pet(lesions, pet)
        notes = ["NIfTI names neither tracer, dose nor time: the file's SUV is taken as it is."]
        if pet.voxels.min() < 0:
            notes.append("Values below 0 SUV were set to 0.")
        suv = pet.like(np.maximum(pet.voxels, 0).astype(np.float32))
        return Reading(ct, suv, FACTOR_RULE, TIME_RULE, None, tuple(notes), lesions)


def require_case(found: Found) -> None:
    """Refuse a case that its files' headers and lengths tell to be unusable; no voxel is judged.

    Args:
        found: Its files.

    Raises:
        RefusedError: The reason; the file is called CT, PET or mask.
    """
    named = ((found.ct, Unit.HU), (found.pet, Unit.SUV), (found.lesions, Unit.LABEL))
    for path, unit in named:
        if path is None:
            continue
        try:
            header = require_sound(path)
        except RefusedError as error:
            detail = f"The {_NAMES[unit]}: {error.refusal.detail}"
            raise RefusedError(error.refusal.reason, detail) from None
        if unit is Unit.HU:
            require_wide(*header.reach_mm[:2])


def load_ct(path: Path) -> Volume:
    """Load a CT as `prepare` does: its values are those that the same CT has as DICOM.

    Args:
        path: NIfTI.

    Returns:
        HU from -1024 to 3071; padding is air.

    Raises:
        RefusedError: It cannot be used, or shows no HU or no whole cross-sections.
    """
    ct = load(path, Unit.HU)
    require_ct(ct)
    return ct.like(np.clip(ct.voxels, AIR_HU, HIGHEST_HU))


def load(path: Path, unit: Unit) -> Volume:
    """Load one file that may be damaged or hostile.

    Args:
        path: NIfTI.
        unit: What its values are meant to be.

    Returns:
        The volume.

    Raises:
        RefusedError: It cannot be used, and why; the file is called CT, PET or mask.
    """
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # its warnings would name the file
    name = _NAMES[unit]
    try:
        require_sound(path)
        return Volume.load(path, unit)
    except RefusedError as error:
        raise RefusedError(error.refusal.reason, f"The {name}: {error.refusal.detail}") from None
    except UnitError:
        raise RefusedError(_WRONG_UNIT[unit], f"The {name}'s file names another unit.") from None
    except GeometryError:
        raise RefusedError(Reason.NIFTI_PLACE, f"The {name} lies in no space.") from None
    except FormatError:
        detail = f"The {name} cannot be read as an image."
        raise RefusedError(Reason.NIFTI_DAMAGED, detail) from None
