"""Images without a header: PNG and `.npy`. They mean nothing until their scale is declared.

A PNG or a 2-D `.npy` is a slice; slices whose names differ only in the number at their end
(`case_012.png`) are one case, stacked in the order of the numbers from foot to head. A 3-D `.npy`,
(z, y, x), is a case of its own. Rows run to the patient's back and columns to the patient's left.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petcast.disk.names import text_name
from petcast.disk.npy import map_array
from petcast.errors import DataError, FormatError, GeometryError, UsageError

FULL_RANGE: dict[str, tuple[float, float]] = {
    "uint8": (0, 255),
    "uint16": (0, 65535),
    "float16": (0, 1),
    "float32": (0, 1),
    "float64": (0, 1),
}
"""What `suv_window` is mapped from where nothing else is declared."""

TOLERANCE = 1e-3
"""Floating-point images may leave their range by this share."""

_NUMBERED = r"(?:slice|z|(.+?)[-_. ]+(?:slice|z)?)?[-_. ]*(\d+)"

HOW = (
    "give --suv-window LOW HIGH (the SUV of the darkest and the brightest value), or --scale (the "
    "SUV of one stored unit)"
)


@dataclass(frozen=True)
class Declared:
    """What the user says about images without a header.

    Attributes:
        suv_per_unit: SUV of one stored unit; or …
        suv_window: … SUV at the lowest and the highest stored value.
        stored: Those values; the whole range of the type, or 0…1 of floating point, where None.
        spacing_mm: Distance of voxels along (x, y, z).

    Raises:
        UsageError: They contradict each other, or are no numbers to measure with.
    """

    suv_per_unit: float | None = None
    suv_window: tuple[float, float] | None = None
    stored: tuple[float, float] | None = None
    spacing_mm: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.suv_per_unit is not None and self.suv_window is not None:
            raise UsageError(
                "--scale and --suv-window both say what a stored value means; give one"
            )
        if self.stored is not None and self.suv_window is None:
            raise UsageError("--stored says what --suv-window is mapped from; give both")
        if self.suv_per_unit is not None and not 0 < self.suv_per_unit < math.inf:
            raise UsageError(f"--scale is {self.suv_per_unit}; give the SUV of one stored unit")
        for name, window in (("--suv-window", self.suv_window), ("--stored", self.stored)):
            if window and not (window[0] < window[1] and all(map(math.isfinite, window))):
                raise UsageError(
                    f"{name} is {window[0]} {window[1]}; give a lower and a higher value"
                )
        if self.spacing_mm and not all(0 < mm < math.inf for mm in self.spacing_mm):
            raise UsageError(f"--spacing is {self.spacing_mm}; give x, y and z in mm")

    def suv(self, voxels: NDArray[Any], whose: str) -> NDArray[np.float32]:
        """Turn stored values into SUV.

        Args:
            voxels: As stored.
            whose: For the error message.

        Returns:
            SUV of the same shape.

        Raises:
            UsageError: No scale was declared.
            DataError: The values leave the range that it is for.

        Example:
            >>> Declared(suv_window=(0, 10)).suv(np.array([0, 255], np.uint8), "it").tolist()
            [0.0, 10.0]
        """
        if self.suv_per_unit is not None:
            return np.asarray(voxels * np.float64(self.suv_per_unit), np.float32)
        if self.suv_window is None:
            raise UsageError(f"{whose}: PNG and .npy do not say what their values mean; {HOW}")
        stored = self.stored or FULL_RANGE.get(voxels.dtype.name)
        if stored is None:
            raise UsageError(
                f"{whose}: {voxels.dtype} has no range of its own; give --stored LOW HIGH, the "
                "values that --suv-window is mapped from"
            )
        width = stored[1] - stored[0]
        if (
            voxels.min() < stored[0] - TOLERANCE * width
            or voxels.max() > stored[1] + TOLERANCE * width
        ):
            raise DataError(
                f"{whose}: values from {voxels.min():.4g} to {voxels.max():.4g} leave the range "
                f"{stored[0]:g} to {stored[1]:g} that --suv-window is mapped from; give --stored "
                "LOW HIGH, or --scale"
            )
        low, high = self.suv_window
        share = (voxels.astype(np.float64) - stored[0]) / width
        return np.asarray(low + share * (high - low), np.float32)

    def affine(self, whose: str) -> NDArray[np.float64]:
        """Give the place of the voxels.

        Args:
            whose: For the error message.

        Returns:
            Index (x, y, z, 1) to mm, from a corner at 0.

        Raises:
            UsageError: No spacing was declared.
        """
        if self.spacing_mm is None:
            raise UsageError(
                f"{whose}: PNG and .npy do not say how large a voxel is; give --spacing X Y Z in mm"
            )
        return np.diag([*self.spacing_mm, 1.0])


@dataclass(frozen=True)
class Stack:
    """The files of a case.

    Attributes:
        name: What they are called without number.
        files: Slices from foot to head, or one 3-D array.
        numbers: The slices' own; empty for a 3-D array or a single image without number.
    """

    name: str
    files: tuple[Path, ...]
    numbers: tuple[int, ...]


def stacks_of(files: Sequence[tuple[Path, str]], folder: Path) -> list[Stack]:
    """Bring slices of one case together.

    Args:
        files: Images, and their names without role and ending.
        folder: Where they were looked for.

    Returns:
        A stack a case, by name.

    Raises:
        UsageError: Two files claim the same slice.
    """
    cases: dict[str, dict[int | None, Path]] = {}
    for path, stem in files:
        name, number = (stem, None) if _is_volume(path) else numbered(stem)
        name = name or ("" if path.parent == folder else path.parent.name)
        if number in cases.setdefault(name, {}):
            raise UsageError(f"{folder} holds several files of one slice; leave one of each")
        cases[name][number] = path
    return [_stack(name, slices, folder) for name, slices in sorted(cases.items())]


def numbered(stem: str) -> tuple[str, int | None]:
    """Take the slice's number from the end of a name.

    Args:
        stem: Without role and ending.

    Returns:
        The case and the number; None where the name does not end in one of its own.

    Example:
        >>> numbered("case_012"), numbered("p01"), numbered("17"), numbered("a-slice3")
        (('case', 12), ('p01', None), ('', 17), ('a', 3))
    """
    found = re.fullmatch(_NUMBERED, stem, re.IGNORECASE)
    return (found[1] or "", int(found[2])) if found else (stem, None)


def read_stack(stack: Stack, whose: str) -> NDArray[Any]:
    """Read what is stored.

    Args:
        stack: Of a case.
        whose: For error messages.

    Returns:
        Values as stored, (z, y, x).

    Raises:
        FormatError: A file is damaged, or no grey image.
        GeometryError: The slices differ in size.
    """
    images = [_read(path, whose) for path in stack.files]
    if images[0].ndim == 3:
        return images[0]
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise GeometryError(f"{whose}: its slices have {len(shapes)} sizes; give all the same one")
    return np.stack(images)


def _stack(name: str, slices: dict[int | None, Path], folder: Path) -> Stack:
    if None in slices and len(slices) > 1:
        raise UsageError(f"{folder} holds a case with and without slice numbers; leave one of each")
    numbers = sorted(number for number in slices if number is not None)
    files = [slices[number] for number in numbers] or list(slices.values())
    return Stack(name, tuple(files), tuple(numbers))


def _is_volume(path: Path) -> bool:
    try:
        return path.suffix.lower() == ".npy" and _open(path, str(path)).ndim == 3
    except FormatError:
        return True  # a case of its own: reading it says which one is damaged


def _open(path: Path, whose: str) -> NDArray[Any]:
    try:
        return np.asarray(map_array(path))
    except (ValueError, OSError) as error:
        raise FormatError(f"{whose} is no array that can be read safely; save it again") from error


def _read(path: Path, whose: str) -> NDArray[Any]:
    image = _read_png(path, whose) if path.suffix.lower() == ".png" else _open(path, whose)
    if image.ndim not in (2, 3) or 0 in image.shape or image.dtype.kind not in "buif":
        raise FormatError(
            f"{whose}: expected real numbers, (y, x) or (z, y, x), found {image.dtype} of shape "
            f"{image.shape}"
        )
    if not np.isfinite(image).all():
        raise FormatError(f"{whose} holds NaN or infinite values; mend it where it was made")
    return image


def _read_png(path: Path, whose: str) -> NDArray[Any]:
    import SimpleITK as sitk

    try:
        with text_name(path) as named:
            image = sitk.GetArrayFromImage(sitk.ReadImage(named, imageIO="PNGImageIO"))
    except RuntimeError as error:
        raise FormatError(f"{whose}: a PNG cannot be read; is it whole?") from error
    if image.ndim == 2:
        return np.asarray(image)
    colours = image[..., :3] if image.shape[-1] >= 3 else image[..., :1]
    if (colours != colours[..., :1]).any():
        raise FormatError(
            f"{whose}: a PNG is in colour, and colours are no uptake; save the grey values that "
            "the model gave"
        )
    return np.asarray(colours[..., 0])
