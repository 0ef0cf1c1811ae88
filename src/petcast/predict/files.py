"""A CT from where it lies, and what was cast to where it shall be: NIfTI or DICOM."""

import os
from collections.abc import Sequence
from pathlib import Path

from petcast.checkpoint import MODEL_FILE, Card
from petcast.dicom.derived import SYNTHETIC_PET, Casting, Kind
from petcast.dicom.read import load_ct_and_source
from petcast.dicom.source import Source
from petcast.dicom.write import require_room, write_series
from petcast.errors import UsageError
from petcast.nifti import case
from petcast.plausible import require_ct
from petcast.refusal import Reason, RefusedError
from petcast.volume import Volume

NIFTI_SUFFIXES = (".nii", ".nii.gz")


def load_any_ct(ct: Path) -> tuple[Volume, Source | None]:
    """Read a CT.

    Args:
        ct: A DICOM folder, a zip of one, or a NIfTI file in HU.

    Returns:
        The CT in HU, and of DICOM what an image derived from it needs.

    Raises:
        DataError: It cannot be used, and why; of NIfTI, what `prepare` refuses.
        UsageError: It is a folder of NIfTI.
    """
    if not is_nifti(ct):
        try:
            volume, source = load_ct_and_source(ct)
        except RefusedError as error:
            if error.refusal.reason is Reason.NO_CT and any(map(is_nifti, ct.rglob("*"))):
                raise UsageError(
                    f"{ct} holds NIfTI and no DICOM CT; of NIfTI give the CT's file itself"
                ) from None
            raise
        require_ct(volume)
        return volume, source
    return case.load_ct(ct), None


def is_nifti(path: Path) -> bool:
    """Say whether a name is that of a NIfTI file.

    Args:
        path: Any.

    Returns:
        True where it ends in `.nii` or `.nii.gz`, in large letters, too; anything else names a
        folder of DICOM.
    """
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def require_output(option: str, out: Path, ct: Path) -> None:
    """Refuse what cannot be written, before a large CT is read.

    Args:
        option: That names the output.
        out: A NIfTI file, or a folder for DICOM.
        ct: Where the CT comes from.

    Raises:
        UsageError: A file or a folder stands in the way, or holds something else, nothing can be
            written there, or the CT is no DICOM.
    """
    _require_writable(option, out)
    if not is_nifti(out):
        require_room(out, option)
        if is_nifti(ct):
            raise UsageError(
                f"{option} {out} is a folder, and DICOM is written only of a CT that came as "
                f"DICOM: {ct} is NIfTI, which names neither patient nor study. Give a .nii.gz file"
            )
        return
    if not out.name.endswith(NIFTI_SUFFIXES):
        raise UsageError(f"{option} {out}: write its ending in small letters, .nii.gz or .nii")
    blocking = [out] if out.is_dir() else [one for one in out.parents if one.is_file()]
    if blocking:  # said before the long work
        raise UsageError(f"{option} {out}: {blocking[0]} is in the way; give another place")


def _require_writable(option: str, out: Path) -> None:
    """Refuse a place where nothing can be written: casting a whole CT takes minutes."""
    place = next((one for one in out.absolute().parents if one.exists()), None)
    if place is not None and place.is_dir() and not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(f"{option} {out}: {place} cannot be written to; give another place")


def require_apart(ct: Path, *outputs: Path) -> None:
    """Refuse to write over the CT, or one output over another or into it.

    Args:
        ct: What is read.
        outputs: What will be written.

    Raises:
        UsageError: Two of them are one file, or one is the folder of another.
    """
    taken = {ct.resolve()}
    for out in outputs:
        if out.resolve() in taken:
            raise UsageError(
                f"{out} is the CT, or is named twice; give each file a name of its own"
            )
        taken.add(out.resolve())
    for out in outputs:  # a series' folder is replaced as a whole, and holds nothing else
        if any(other.resolve() in out.resolve().parents for other in outputs):
            raise UsageError(f"{out} lies inside another output; give each a place of its own")


def write_volume(out: Path, volume: Volume, source: Source | None, casting: Casting) -> None:
    """Write what was cast, as NIfTI or as a DICOM series.

    Args:
        out: A NIfTI file, or a folder for DICOM.
        volume: In SUV, on the CT's grid.
        source: The CT, where it came as DICOM.
        casting: What made the volume.

    Raises:
        UsageError: The folder for DICOM holds something else.
        DataError: The volume is not finite, or does not lie on the CT's slices.
        OSError: The disk is full, or cannot be written to.
    """
    if source is None or is_nifti(out):
        volume.save(out)
    else:
        write_series(out, volume, source, casting)


def casting_of(
    card: Card,
    warnings: Sequence[str],
    *,
    stage: int,
    stages: int,
    kind: Kind = SYNTHETIC_PET,
    calibration: str = "",
) -> Casting:
    """Say in the words of a DICOM header what made a volume.

    Args:
        card: The model's.
        warnings: What a reader must know.
        stage: Whose output it is.
        stages: How many the model has.
        kind: What is shown.
        calibration: What made a half-width.

    Returns:
        The casting.
    """
    return Casting(
        card.recipe.model.name,
        card.sha256.get(MODEL_FILE, "unknown"),
        stage,
        stages,
        card.recipe.model.suv_window,
        tuple(warnings),
        kind,
        calibration,
    )
