"""Arrays that the report draws: kept slices, fused slices, spectra; read, and checked to fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petcast.disk.npy import read_arrays
from petcast.errors import FormatError


@dataclass(frozen=True)
class Slices:
    """The slices that are shown.

    Attributes:
        ct: HU, shape (n, y, x).
        truth: SUV, shape (n, y, x).
        stages: SUV, shape (n, stage, y, x).
        study: Id of each slice's study, shape (n,).
        index: Number of each slice in its study, shape (n,).
    """

    ct: NDArray[Any]
    truth: NDArray[Any]
    stages: NDArray[Any]
    study: tuple[str, ...]
    index: tuple[int, ...]


@dataclass(frozen=True)
class Fused:
    """The slices in which CT and PET agree least.

    Attributes:
        ct: HU, shape (n, y, x).
        pet: SUV, shape (n, y, x).
        regions: 0 outside, 1 body, 2 lungs on CT, shape (n, y, x).
        study: Id of each slice's study, shape (n,).
        index: Number of each slice in its study, shape (n,).
    """

    ct: NDArray[Any]
    pet: NDArray[Any]
    regions: NDArray[Any]
    study: tuple[str, ...]
    index: tuple[int, ...]


@dataclass(frozen=True)
class Spectrum:
    """A kind of spectrum, of the real PET and of other images.

    Attributes:
        frequency: Ascending, shape (f,).
        real: Of the real PET, shape (f,).
        images: Of each image, shape (n, f).
    """

    frequency: NDArray[Any]
    real: NDArray[Any]
    images: NDArray[Any]


@dataclass(frozen=True)
class Spectra:
    """What spectra.npz holds.

    Attributes:
        names: Of the images: the model, its stages, the blurred truth.
        power: Radial power over cycles per mm.
        transfer: Share of the real PET's amplitude that is repeated, over cycles per mm.
        noise: Noise power over cycles per mm, in SUV² mm².
        lattice_x: Energy along x over cycles per voxel, in dB.
        lattice_y: The same along y.
    """

    names: tuple[str, ...]
    power: Spectrum | None
    transfer: Spectrum | None
    noise: Spectrum | None
    lattice_x: Spectrum | None
    lattice_y: Spectrum | None


def read_spectra(path: Path) -> Spectra | None:
    """Read the spectra of an evaluation.

    Args:
        path: spectra.npz; it need not exist.

    Returns:
        The spectra; None where there are none, and None for a kind that was not measured.

    Raises:
        FormatError: The file is damaged.
    """
    if not path.is_file():
        return None
    held = _read_arrays(path, ("name",), _SPECTRA)
    names = tuple(str(name) for name in held["name"])

    def spectrum(frequency: str, real: str, images: str) -> Spectrum | None:
        if not {frequency, real, images} <= set(held):
            return None
        n = len(held[frequency])
        fit = held[real].shape == (n,) and held[images].shape == (len(names), n)
        _require_fit(path, fit=fit)
        return Spectrum(held[frequency], held[real], held[images])

    return Spectra(
        names=names,
        power=spectrum("frequency_per_mm", "power_real", "power"),
        transfer=_shares(spectrum("frequency_per_mm", "power_real", "transfer")),
        noise=spectrum("noise_frequency_per_mm", "noise_real", "noise"),
        lattice_x=spectrum("lattice_frequency_per_px", "lattice_real_x", "lattice_x"),
        lattice_y=spectrum("lattice_frequency_per_px", "lattice_real_y", "lattice_y"),
    )


def _shares(held: Spectrum | None) -> Spectrum | None:
    """The real PET repeats all of itself, and nothing where it has no power."""
    if held is None:
        return None
    there = held.real > 0
    return Spectrum(
        held.frequency, np.where(there, 1.0, np.nan), np.where(there, held.images, np.nan)
    )


_SPECTRA = (
    "frequency_per_mm", "power_real", "power", "transfer",
    "noise_frequency_per_mm", "noise_real", "noise",
    "lattice_frequency_per_px", "lattice_real_x", "lattice_x", "lattice_real_y", "lattice_y",
)  # fmt: skip


def _read_arrays(
    path: Path, names: Sequence[str], perhaps: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    try:
        return read_arrays(path, names, perhaps)
    except (OSError, ValueError) as error:
        raise FormatError(f"{path} is damaged ({error}); run `petcast evaluate` again") from error


def read_slices(path: Path) -> Slices | None:
    """Read slices that an evaluation kept.

    Args:
        path: montage.npz or worst.npz; it need not exist.

    Returns:
        The slices; None where there are none.

    Raises:
        FormatError: The file is damaged.
    """
    if not path.is_file():
        return None
    held = _read_arrays(path, ("ct", "truth", "stages", "study", "slice"))
    n = len(held["ct"])
    shapes_fit = (
        held["ct"].ndim == 3
        and held["truth"].shape == held["ct"].shape
        and held["stages"].ndim == 4
        and held["stages"].shape[0] == n
        and held["stages"].shape[2:] == held["ct"].shape[1:]
        and len(held["study"]) == len(held["slice"]) == n
    )
    _require_fit(path, fit=shapes_fit)
    if not n:
        return None
    return Slices(
        ct=held["ct"],
        truth=held["truth"],
        stages=held["stages"],
        study=tuple(str(name) for name in held["study"]),
        index=tuple(int(place) for place in held["slice"]),
    )


def read_fused(path: Path) -> Fused | None:
    """Read the slices in which CT and PET agree least.

    Args:
        path: registration.npz; it need not exist.

    Returns:
        The slices; None where there are none.

    Raises:
        FormatError: The file is damaged.
    """
    if not path.is_file():
        return None
    held = _read_arrays(path, ("ct", "pet", "regions", "study", "slice"))
    shape = held["ct"].shape
    shapes_fit = (
        len(shape) == 3 and held["pet"].shape == held["regions"].shape == shape
    ) or not held["ct"].size
    _require_fit(path, fit=shapes_fit and len(held["study"]) == len(held["slice"]) == shape[0])
    if not held["ct"].size:
        return None
    return Fused(
        ct=held["ct"],
        pet=held["pet"],
        regions=held["regions"],
        study=tuple(str(name) for name in held["study"]),
        index=tuple(int(place) for place in held["slice"]),
    )


@dataclass(frozen=True)
class HalfWidths:
    """How wide the intervals are in some slices.

    Attributes:
        images: Half-width in SUV, shape (n, y, x).
        study: Id of each slice's study, shape (n,).
        index: Number of each slice in its study, shape (n,).
    """

    images: NDArray[Any]
    study: tuple[str, ...]
    index: tuple[int, ...]


def read_half_widths(path: Path) -> HalfWidths | None:
    """Read how wide the intervals are in the slices that an evaluation kept.

    Args:
        path: uncertainty.npz; it need not exist.

    Returns:
        The half-widths; None where there are none.

    Raises:
        FormatError: The file is damaged.
    """
    if not path.is_file():
        return None
    held = _read_arrays(path, ("half_width", "study", "slice"))
    n = len(held["half_width"])
    fit = held["half_width"].ndim == 3 and len(held["study"]) == len(held["slice"]) == n
    _require_fit(path, fit=fit)
    studies = tuple(str(name) for name in held["study"])
    return HalfWidths(held["half_width"], studies, tuple(int(place) for place in held["slice"]))


def _require_fit(path: Path, *, fit: bool) -> None:
    if not fit:
        raise FormatError(f"{path}: its arrays do not fit together; run `petcast evaluate` again")
