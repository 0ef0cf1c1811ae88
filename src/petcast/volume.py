"""Volume: voxels, where they are, and what they mean.

The one place that knows axes and patient coordinates. Conventions:

- `voxels` is indexed (z, y, x), as DICOM frames stack.
- `affine` maps a voxel's index (x, y, z, 1) to its centre in millimetres, in DICOM's patient
  coordinates LPS: x grows to the patient's Left, y to the Posterior, z to the Superior.
- `unit` says what a voxel's value means; nobody guesses it.
"""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from petcast.disk.durable import named_whole
from petcast.disk.names import text_name
from petcast.disk.stored import is_whole, read_voxels
from petcast.errors import FormatError, GeometryError, UnitError

if TYPE_CHECKING:
    import SimpleITK

FINEST_MM, COARSEST_MM = 0.2, 50.0
"""No scanner samples a body more finely, or more coarsely."""

POSITION_TOLERANCE_MM = 0.01
"""Two voxel centres closer than this are the same place: NIfTI keeps affines in float32."""

AXIAL_TOLERANCE = 1e-3
"""A direction cosine this close to 0 or ±1 counts as along an axis (0.06 degrees)."""

AIR_HU, HIGHEST_HU = -1024, 3071
"""A 12-bit CT: what stands beyond its edge, and the top, beyond which metal tells nothing."""

FWHM_PER_SIGMA = 2.3548200450309493
"""Full width at half maximum of a Gaussian, in standard deviations: 2 sqrt(2 ln 2)."""

Axis = Literal["x", "y", "z"]
AXES: tuple[Axis, ...] = get_args(Axis)

Interpolation = Literal["linear", "nearest", "cubic"]


class Unit(StrEnum):
    """What a voxel's value means."""

    HU = "HU"
    BQ_PER_ML = "Bq/mL"
    SUV = "SUV"
    HALF_WIDTH = "half-widths of SUV intervals"
    LABEL = "label"


@dataclass(frozen=True)
class Grid:
    """Where voxels lie, without their values.

    Attributes:
        shape: Number of voxels along (z, y, x).
        affine: 4×4, index (x, y, z, 1) → LPS in mm.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along (x, y, z), in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def origin_mm(self) -> tuple[float, float, float]:
        """Centre of voxel (0, 0, 0) in LPS, in mm."""
        x, y, z = self.affine[:3, 3]
        return float(x), float(y), float(z)

    @property
    def direction(self) -> NDArray[np.float64]:
        """3×3, unit columns: where x, y and z of the index point in LPS."""
        columns = self.affine[:3, :3]
        return np.asarray(columns / np.linalg.norm(columns, axis=0))

    def matches(self, other: "Grid", tolerance_mm: float = POSITION_TOLERANCE_MM) -> bool:
        """Say whether both grids put every voxel at the same place.

        Args:
            other: The other grid.
            tolerance_mm: The largest distance that still counts as the same place.

        Returns:
            True where shapes are equal and all eight corners coincide.
        """
        if self.shape != other.shape:
            return False
        corners = _corner_indices(self.shape)
        distance_mm = np.abs((self.affine - other.affine) @ corners).max()
        return bool(distance_mm <= tolerance_mm)


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels with their place and their unit.

    Attributes:
        voxels: Values, (z, y, x).
        affine: 4×4, index (x, y, z, 1) → LPS in mm.
        unit: What a value means.

    Raises:
        GeometryError: The affine is singular or not finite, or voxels are not 3-D.
    """

    voxels: NDArray[Any]
    affine: NDArray[np.float64]
    unit: Unit

    def __post_init__(self) -> None:
        if self.voxels.ndim != 3 or 0 in self.voxels.shape:
            raise GeometryError(f"a volume has 3 axes (z, y, x), none empty: {self.voxels.shape}")
        affine = np.asarray(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryError(f"an affine is 4×4 and finite, found {affine.tolist()}")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise GeometryError(f"the affine is singular: {affine.tolist()}; check the spacing")
        object.__setattr__(self, "affine", affine)

    @property
    def grid(self) -> Grid:
        """Where the voxels lie."""
        z, y, x = self.voxels.shape
        return Grid((z, y, x), self.affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along (x, y, z), in mm."""
        return self.grid.spacing_mm

    def require(self, unit: Unit) -> Self:
        """Return the volume itself if it holds `unit`.

        Args:
            unit: What the caller needs.

        Returns:
            This volume.

        Raises:
            UnitError: It holds something else.
        """
        if self.unit != unit:
            raise UnitError(f"expected a volume in {unit}, found {self.unit}; convert it first")
        return self

    def like(self, voxels: NDArray[Any], unit: Unit | None = None) -> "Volume":
        """Other values at the same place.

        Args:
            voxels: New values, (z, y, x), of the same shape.
            unit: Their unit; this volume's where None.

        Returns:
            The new volume.

        Raises:
            GeometryError: The shapes differ.
        """
        if voxels.shape != self.voxels.shape:
            raise GeometryError(f"shape {voxels.shape} does not fit {self.voxels.shape}")
        return replace(self, voxels=voxels, unit=unit or self.unit)

    def flipped(self, axis: Axis) -> "Volume":
        """Reverse the storage order along one axis; every voxel stays where it is.

        Args:
            axis: The index axis to reverse.

        Returns:
            The same content, stored the other way round.
        """
        column = "xyz".index(axis)
        array_axis = 2 - column
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, column] * (self.voxels.shape[array_axis] - 1)
        affine[:3, column] *= -1
        return replace(self, voxels=np.flip(self.voxels, array_axis), affine=affine)

    def canonical(self) -> "Volume":
        """Store the voxels so that x, y, z run as nearly as possible to L, P, S.

        Returns:
            The same content; axes permuted and flipped, nothing interpolated.

        Raises:
            GeometryError: Two axes run nearest to the same one of L, P and S.
        """
        closest = np.abs(self.grid.direction)
        order = [int(np.argmax(closest[row])) for row in range(3)]
        if sorted(order) != [0, 1, 2]:
            raise GeometryError(f"no axis order fits the directions {self.grid.direction.tolist()}")
        affine = self.affine.copy()
        affine[:, :3] = self.affine[:, order]
        array_order = [2 - column for column in reversed(order)]
        volume = replace(self, voxels=self.voxels.transpose(array_order), affine=affine)
        for column, axis in enumerate(AXES):
            if volume.affine[column, column] < 0:
                volume = volume.flipped(axis)
        return volume

    def resampled(
        self,
        grid: Grid,
        *,
        outside: float,
        interpolation: Interpolation = "linear",
        antialias: bool = True,
    ) -> "Volume":
        """Bring the volume to another grid.

        Where the new grid is coarser, frequencies that it cannot hold are removed first by a
        Gaussian whose width makes the old sampling's resolution the new one's.

        Args:
            grid: Where the new voxels lie.
            outside: The value of voxels that the volume does not cover, in its unit.
            interpolation: "linear", "nearest" (labels) or "cubic".
            antialias: Smooth before a reduction. Labels are never smoothed.

        Returns:
            The volume on `grid`, float32 (labels keep their type).

        Reference:
            Cardoso et al., Scale factor point spread function matching, MICCAI 2015.
        """
        import SimpleITK as sitk

        voxels: NDArray[Any] = self.voxels
        if self.unit is not Unit.LABEL:
            voxels = voxels.astype(np.float32, copy=False)
        if antialias and interpolation != "nearest":
            voxels = _smooth_for(voxels, self.affine, grid.affine)
        filter_ = sitk.ResampleImageFilter()
        filter_.SetInterpolator(
            {
                "linear": sitk.sitkLinear,
                "nearest": sitk.sitkNearestNeighbor,
                "cubic": sitk.sitkBSpline,
            }[interpolation]
        )
        filter_.SetDefaultPixelValue(float(outside))
        filter_.SetSize([int(n) for n in reversed(grid.shape)])
        filter_.SetOutputSpacing(grid.spacing_mm)
        filter_.SetOutputOrigin(grid.origin_mm)
        filter_.SetOutputDirection(grid.direction.ravel().tolist())
        image = filter_.Execute(replace(self, voxels=voxels).to_image())
        return Volume(sitk.GetArrayFromImage(image), grid.affine, self.unit)

    def to_image(self) -> "SimpleITK.Image":
        """Hand the volume to SimpleITK.

        Returns:
            An image with the same values and place.
        """
        import SimpleITK as sitk

        voxels = self.voxels.astype(np.uint8) if self.voxels.dtype == bool else self.voxels
        image = sitk.GetImageFromArray(np.ascontiguousarray(voxels))
        image.SetSpacing(self.spacing_mm)
        image.SetOrigin(self.grid.origin_mm)
        image.SetDirection(self.grid.direction.ravel().tolist())
        return image

    @classmethod
    def from_image(cls, image: "SimpleITK.Image", unit: Unit) -> "Volume":
        """Take a volume over from SimpleITK.

        Args:
            image: A 3-D scalar image.
            unit: What its values mean.

        Returns:
            The volume.

        Raises:
            GeometryError: The image is not 3-D and scalar.
        """
        import SimpleITK as sitk

        if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
            raise GeometryError(
                f"expected one 3-D image with one value a voxel, found {image.GetDimension()}-D "
                f"with {image.GetNumberOfComponentsPerPixel()}"
            )
        return cls(sitk.GetArrayFromImage(image), _affine_of(image), unit)

    def save(self, path: Path) -> None:
        """Write a NIfTI file (`.nii` or `.nii.gz`) that names its unit.

        Args:
            path: The file; it appears only when it is whole.

        Raises:
            OSError: The disk is full, or the file cannot be written; an earlier one is untouched.
        """
        import SimpleITK as sitk

        image = self.to_image()
        image.SetMetaData("ITK_FileNotes", f"{_UNIT_NOTE}{self.unit}")
        voxel_bytes = image.GetNumberOfPixels() * image.GetSizeOfPixelComponent()
        with named_whole(path) as partial:
            try:
                with text_name(partial) as named:
                    sitk.WriteImage(image, named)
            except RuntimeError as error:
                raise OSError(errno.EIO, "The image could not be written", str(path)) from error
            if not is_whole(partial, voxel_bytes):  # ITK says nothing of a full disk
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    @classmethod
    def load(cls, path: Path, unit: Unit) -> "Volume":
        """Read a NIfTI file.

        Args:
            path: The file.
            unit: What its values are meant to be. A file written by petcast names its own unit.

        Returns:
            The volume.

        Raises:
            FormatError: The file is missing, damaged or no image.
            UnitError: The file names another unit.
        """
        import SimpleITK as sitk

        if not path.is_file():
            raise FormatError(f"{path} is missing")
        reader = sitk.ImageFileReader()
        try:
            with text_name(path) as named:
                reader.SetFileName(named)
                reader.ReadImageInformation()
                _require_unit(reader, path, unit)
                voxels = read_voxels(path)
                if voxels is not None and voxels.shape[::-1] == reader.GetSize():
                    return cls(voxels, _affine_of(reader), unit)
                volume = cls.from_image(reader.Execute(), unit)
        except RuntimeError as error:
            raise FormatError(f"{path} cannot be read as an image; is it whole?") from error
        if not np.isfinite(volume.voxels).all():  # scaled beyond all numbers
            raise FormatError(f"{path} holds NaN or infinite values; mend it where it was made")
        return volume


_UNIT_NOTE = "petcast unit="


def _require_unit(reader: "SimpleITK.ImageFileReader", path: Path, unit: Unit) -> None:
    note = reader.GetMetaData("descrip") if reader.HasMetaDataKey("descrip") else ""
    if note.startswith(_UNIT_NOTE) and (held := note.removeprefix(_UNIT_NOTE)) != unit:
        held = held if held in set(Unit) else "another unit"  # a header may hold any words
        wanted = "a mask of whole labels" if unit is Unit.LABEL else unit
        raise UnitError(f"{path} holds {held}, expected {wanted}; was another file meant?")


def _affine_of(image: "SimpleITK.Image | SimpleITK.ImageFileReader") -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return affine


def _corner_indices(shape: Sequence[int]) -> NDArray[np.float64]:
    """Index (x, y, z, 1) of the eight corner voxels, as columns."""
    z, y, x = (n - 1 for n in shape)
    corners = [(i, j, k, 1) for i in (0, x) for j in (0, y) for k in (0, z)]
    return np.array(corners, dtype=np.float64).T


def _smooth_for(
    voxels: NDArray[Any], source: NDArray[np.float64], target: NDArray[np.float64]
) -> NDArray[Any]:
    """Blur along each source axis that the target samples more coarsely."""
    from scipy.ndimage import gaussian_filter1d

    steps = np.linalg.inv(source[:3, :3]) @ target[:3, :3]  # target steps in source voxels
    for column, step in enumerate(np.linalg.norm(steps, axis=1)):
        if step > 1.01:
            sigma = np.sqrt(step**2 - 1) / FWHM_PER_SIGMA
            voxels = gaussian_filter1d(voxels, sigma, axis=2 - column, mode="nearest")
    return voxels
