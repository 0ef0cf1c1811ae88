"""A NIfTI cohort of drawn chests, to be damaged in one way at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from petcast.volume import Unit, Volume

Write = Callable[..., Path]


@dataclass(frozen=True)
class Drawn:
    """CT, PET and lesions of one drawn patient; each on a grid of its own."""

    ct: Volume
    pet: Volume
    lesions: Volume


LESION_MM = (-70.0, -40.0, 20.0)
"""Where the lesion's middle stands, LPS."""


@pytest.fixture(scope="session")
def drawn(chest) -> Drawn:
    """Uptake of 1 with noise in the body, 0.4 in the lungs, and a lesion of 8 in the right one."""
    ct = chest(spacing_mm=(6.0, 6.0, 6.0))
    on = chest(spacing_mm=(8.0, 8.0, 6.0), reach_mm=(-120.0, 120.0))
    suv = np.where(on.voxels > -300, 1.0, np.where(on.voxels > -900, 0.4, 0.0))
    suv = (suv * np.random.default_rng(0).uniform(0.8, 1.2, suv.shape)).astype(np.float32)
    z, y, x = np.indices(suv.shape)
    places = np.stack([x, y, z, np.ones_like(x)], axis=-1) @ on.affine.T
    inside = np.linalg.norm(places[..., :3] - np.array(LESION_MM), axis=-1) < 20
    suv[inside] = 8.3
    pet = Volume(suv, on.affine, Unit.SUV)
    return Drawn(ct, pet, pet.like(inside.astype(np.uint8), Unit.LABEL))


@pytest.fixture
def side_by_side(drawn: Drawn, tmp_path: Path) -> Write:
    """Writes `<case>_ct`, `_pet` and `_seg` into a folder, some of them replaced."""

    def write(case: str = "p01", folder: Path = tmp_path / "cohort", **replaced: Volume) -> Path:
        volumes = {"ct": drawn.ct, "pet": drawn.pet, "seg": drawn.lesions} | replaced
        for word, volume in volumes.items():
            unmarked(volume, folder / f"{case}_{word}.nii.gz")
        return folder

    return write


def unmarked(volume: Volume, path: Path) -> None:
    """Write a file as others do: without petcast's word on the unit."""
    import SimpleITK as sitk

    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(volume.to_image(), str(path))


@pytest.fixture(scope="session")
def write_unmarked() -> Callable[[Volume, Path], None]:
    return unmarked
