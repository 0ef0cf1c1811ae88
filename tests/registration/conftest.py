"""Phantom studies whose PET can be moved by known millimetres, and a plain drawn chest."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from petcast.align import Aligned, Reading, align
from petcast.phantom.anatomy import draw_anatomy
from petcast.phantom.scanner import take_ct, take_pet
from petcast.phantom.streams import Streams
from petcast.phantom.styles import draw_protocol
from petcast.recipe import PreparationRecipe
from petcast.registration import Registration, measure_registration
from petcast.volume import Grid, Unit, Volume

RECIPE = PreparationRecipe(size=128, spacing_mm=4.0, margin_mm=10)


@dataclass(frozen=True)
class Study:
    """A study on a coarse model grid, and its PET as it came."""

    aligned: Aligned
    pet: Volume

    @cached_property
    def found(self) -> Registration:
        """Measured as it is."""
        return self.measured()

    def measured(self, suv: np.ndarray | None = None) -> Registration:
        """Measure it, with another PET if one is given."""
        arrays = self.aligned.arrays
        suv = arrays["pet"] if suv is None else suv
        return measure_registration(arrays["ct"], suv, arrays["regions"], self.aligned.grid)

    def moved(self, *mm: float) -> Registration:
        """Measure it with its PET moved to the patient's left, back and head."""
        affine = self.pet.affine.copy()
        affine[:3, 3] += mm
        there = replace(self.pet, affine=affine).resampled(self.aligned.grid, outside=0.0)
        return self.measured(there.voxels)


def study_of(ct: Volume, pet: Volume) -> Study:
    return Study(align(Reading(ct, pet, "dose", "start"), RECIPE), pet)


def scanned(patient: int, seed: int, pet: Volume | None = None, **lying: object) -> Study:
    """A coarse phantom; the CT taken while the patient lies otherwise than for the PET."""
    streams = Streams(seed, patient)
    anatomy = draw_anatomy(streams)
    protocol = draw_protocol(
        streams, anatomy.person.weight_kg, ct_size=96, pet_size=100, slice_step_mm=4.0
    )
    for_ct = replace(anatomy, person=replace(anatomy.person, **lying))
    axes, hu = take_ct(for_ct, protocol, streams.rng("CT noise"))
    if pet is None:
        scan = take_pet(anatomy, protocol, streams.rng("PET noise"))
        pet = Volume(scan.suv, scan.axes.affine, Unit.SUV)
    ct = Volume(np.clip(hu, -1024, 3071).astype(np.int16), axes.affine, Unit.HU)
    return study_of(ct, pet)


@pytest.fixture(scope="session")
def first() -> Study:
    """A phantom whose arms lie beside it."""
    return scanned(0, 0)


@pytest.fixture(scope="session")
def second() -> Study:
    """One of another seed."""
    return scanned(2, 1)


@pytest.fixture(scope="session")
def arms_raised_for_ct(first: Study) -> Study:
    return scanned(0, 0, first.pet, arms_up=True)


@pytest.fixture(scope="session")
def ct_in_deep_breath(second: Study) -> Study:
    return scanned(2, 1, second.pet, ct_phase=2.4)


@dataclass(frozen=True)
class Drawn:
    """A chest of ellipses at 4 mm, whose PET its tissues explain fully."""

    ct: np.ndarray
    pet: np.ndarray
    regions: np.ndarray
    grid: Grid


@pytest.fixture(scope="session")
def drawn(chest) -> Drawn:
    ct = chest((4.0, 4.0, 4.0))
    z, y, x = np.indices(ct.voxels.shape)
    x_mm, y_mm, z_mm = (n * 4.0 - 220 for n in (x, y, z + 22))
    body = (x_mm / 170) ** 2 + (y_mm / 120) ** 2 < 1
    lungs = body & (ct.voxels == -800)
    suv = np.where(lungs, 0.4, np.where(body, 1.5, 0.0))
    suv[lungs & (z_mm < -60)] = 0.6
    smooth = gaussian_filter(suv, 0.75).astype(np.float32)
    return Drawn(ct.voxels, smooth, (body + 1 * lungs).astype(np.uint8), ct.grid)
