"""Each reason that shows in NIfTI files or in voxels: a case damaged in exactly one way."""

import gzip
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from petcast.align import align
from petcast.nifti.case import NiftiCase
from petcast.nifti.layout import STRAY, find_cases
from petcast.recipe import PreparationRecipe
from petcast.refusal import Reason, RefusedError
from petcast.volume import Volume

COARSE = PreparationRecipe(size=64, spacing_mm=8.0, margin_mm=0)

Bytes = Callable[[bytes], bytes]
Voxels = Callable[[Volume], Volume]


def put(place: int, kind: str, *values: float) -> Bytes:
    """Other values in one field of the header."""

    def damage(whole: bytes) -> bytes:
        data = bytearray(whole)
        struct.pack_into(f"<{kind}", data, place, *values)
        return bytes(data)

    return damage


def cropped(volume: Volume) -> Volume:
    return replace(volume, voxels=volume.voxels[:, 20:40, 20:40])


def breathless(volume: Volume) -> Volume:
    """Lungs filled up; the air around the patient stays."""
    hu = volume.voxels.copy()
    inner = hu[:, 20:-20, 15:-15]
    inner[inner < -300] = 40
    return volume.like(hu)


IN_BYTES: dict[Reason, tuple[str, Bytes]] = {
    Reason.NIFTI_DAMAGED: ("pet", lambda whole: whole[:-9]),
    Reason.NIFTI_SHAPE: ("ct", put(40, "h", 2)),
    Reason.NIFTI_SIZE: ("ct", put(42, "h", 32000)),
    Reason.NIFTI_PLACE: ("seg", put(252, "2h", 0, 0)),
    Reason.NOT_FINITE: ("pet", put(352 + 4000, "f", np.nan)),
}
"""Which file, and what is done to its bytes."""

IN_VOXELS: dict[Reason, tuple[str, Voxels]] = {
    Reason.NOT_SUV: ("pet", lambda pet: pet.like(pet.voxels * np.float32(5000))),
    Reason.NOT_A_MASK: ("seg", lambda mask: mask.like(mask.voxels * np.float32(0.5))),
    Reason.FIELD_OF_VIEW: ("ct", cropped),
    Reason.NO_LUNGS: ("ct", breathless),
}


def _no_known_word(folder: Path) -> None:
    (folder / "p01_pet.nii.gz").rename(folder / "p01_image.nii.gz")
    (folder / "p01_ct.nii.gz").unlink()
    (folder / "p01_seg.nii.gz").unlink()


IN_NAMES: dict[Reason, Callable[[Path], None]] = {Reason.NIFTI_NAME: _no_known_word}


def test_each_of_these_reasons_has_a_fixture(seen_in_voxels) -> None:
    assert {*IN_BYTES, *IN_VOXELS, *IN_NAMES} == seen_in_voxels


def fates(folder: Path) -> list[Reason | None]:
    """What becomes of each case, and of files that belong to none."""
    cohort = find_cases([folder], "tests")
    found: list[Reason | None] = [refusal.reason for _, _, refusal in cohort.refused]
    found += [STRAY.reason for _ in cohort.strays]
    for case in cohort.cases:
        try:
            align(NiftiCase(case).read(), COARSE)
            found.append(None)
        except RefusedError as error:
            found.append(error.refusal.reason)
    return found


@pytest.mark.slow
def test_the_undamaged_twin_is_accepted(side_by_side) -> None:
    assert fates(side_by_side()) == [None]


@pytest.mark.slow
@pytest.mark.parametrize("reason", IN_BYTES, ids=str)
def test_bytes_damaged_in_one_way_get_their_own_code(reason: Reason, side_by_side) -> None:
    word, damage = IN_BYTES[reason]
    folder = side_by_side()
    path = folder / f"p01_{word}.nii.gz"
    path.write_bytes(gzip.compress(damage(gzip.decompress(path.read_bytes())), 1))
    assert fates(folder) == [reason]


@pytest.mark.slow
@pytest.mark.parametrize("reason", IN_VOXELS, ids=str)
def test_voxels_damaged_in_one_way_get_their_own_code(reason: Reason, side_by_side, drawn) -> None:
    word, damage = IN_VOXELS[reason]
    whole = {"ct": drawn.ct, "pet": drawn.pet, "seg": drawn.lesions}[word]
    assert fates(side_by_side(**{word: damage(whole)})) == [reason]


@pytest.mark.parametrize("reason", IN_NAMES, ids=str)
def test_names_that_say_nothing_get_their_own_code(reason: Reason, side_by_side) -> None:
    folder = side_by_side()
    IN_NAMES[reason](folder)
    assert fates(folder) == [reason]
