"""Images to plant artefacts in: phantoms, real PET, and noise on a round body."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from petcast.volume import Unit, Volume


@dataclass(frozen=True)
class Picture:
    """A PET, its body, and its voxels along z and in the plane."""

    suv: NDArray[np.float32]
    body: NDArray[np.bool_]
    spacing_mm: tuple[float, float, float]

    def few(self, seed: int, slices: int = 24) -> "Picture":
        """Some slices in a row, chosen by the seed."""
        start = int(np.random.default_rng(seed).integers(0, max(len(self.suv) - slices, 0) + 1))
        here = slice(start, start + slices)
        return Picture(self.suv[here], self.body[here], self.spacing_mm)


@cache
def _phantom(patient: int, size: int) -> Picture:
    from petcast.evaluate.body import body_on_truth
    from petcast.phantom.anatomy import draw_anatomy
    from petcast.phantom.scanner import take_pet
    from petcast.phantom.streams import Streams
    from petcast.phantom.styles import draw_protocol

    streams = Streams(0, patient)
    anatomy = draw_anatomy(streams)
    weight = anatomy.person.weight_kg
    protocol = draw_protocol(streams, weight, ct_size=64, pet_size=size, slice_step_mm=12)
    scan = take_pet(anatomy, protocol, streams.rng("PET noise"))
    step = protocol.pet_pixel_mm
    spacing = (protocol.pet_step_mm, step, step)
    return Picture(scan.suv, body_on_truth(scan.suv), spacing)


@pytest.fixture(scope="session")
def phantom_pet() -> Callable[[int, int], Picture]:
    """Draws a patient's PET with so many voxels a side."""
    return _phantom


@cache
def _real(path: Path) -> Picture:
    from petcast.evaluate.body import body_on_truth

    volume = Volume.load(path, Unit.SUV).canonical()
    suv = volume.voxels.astype(np.float32)
    sizes = np.linalg.norm(volume.affine[:3, :3], axis=0)
    return Picture(suv, body_on_truth(suv), (float(sizes[2]), float(sizes[1]), float(sizes[0])))


@pytest.fixture(scope="session")
def real_pets(real_data: Path) -> list[Picture]:
    """The two real PET, on their own grids."""
    folder = real_data / "volumes"
    return [_real(folder / f"{name}_pet.nii.gz") for name in ("ge_a", "siemens_b")]


def _gaussian(image: NDArray[np.floating], sigma_px: float) -> NDArray[np.float32]:
    """An exact Gaussian in the plane, by its transform: sampled kernels fail below one voxel."""
    fy = np.fft.fftfreq(image.shape[1])[:, None]
    fx = np.fft.rfftfreq(image.shape[2])
    gain = np.exp(-2 * (np.pi * sigma_px) ** 2 * (fy**2 + fx**2))
    blurred = np.fft.irfft2(np.fft.rfft2(image) * gain, s=image.shape[1:])
    return np.asarray(blurred, dtype=np.float32)


@pytest.fixture(scope="session")
def gaussian() -> Callable[[NDArray[np.floating], float], NDArray[np.float32]]:
    """Blurs in the plane by a standard deviation in voxels."""
    return _gaussian


def _noisy_disc(seed: int, grain_px: float, slices: int = 8, noise: float = 0.3) -> Picture:
    """SUV 1 on an ellipse, with noise of the given grain: 0 for white."""
    rng = np.random.default_rng(seed)
    size = int(rng.choice([160, 192, 256]))
    y, x = np.mgrid[:size, :size] - size / 2
    inside = (x / rng.uniform(0.3, 0.45) / size) ** 2 + (y / rng.uniform(0.2, 0.4) / size) ** 2 < 1
    body = np.broadcast_to(inside, (slices, size, size))
    texture = _gaussian(rng.standard_normal(body.shape), grain_px)
    suv = np.where(body, 1 + noise * texture / texture.std(), 0).astype(np.float32)
    return Picture(suv, body, (3.0, 2.0, 2.0))


@pytest.fixture(scope="session")
def noisy_disc() -> Callable[..., Picture]:
    """Draws an ellipse of SUV 1 with noise."""
    return _noisy_disc
