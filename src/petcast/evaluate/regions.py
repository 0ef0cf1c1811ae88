"""Where slices are measured: the part of the plane that holds anything, and the regions in it.

Air is 0 in many a PET and in most predictions. Where the truth and every image beside it are 0, the
similarity is 1 and every error 0: counted, it need not be computed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from petcast.metrics.beside import MARGIN

SLICES_AT_ONCE = 32
"""Are looked through at once."""


@dataclass(frozen=True)
class Plane:
    """A part of all slices alike.

    Attributes:
        rows: Along y, from an even one, to an even one or the last.
        columns: Along x, alike.
        size: Rows and columns of the whole slices.
    """

    rows: slice
    columns: slice
    size: tuple[int, int]

    @classmethod
    def whole(cls, size: tuple[int, int]) -> "Plane":
        """Leave nothing out.

        Args:
            size: Rows and columns.

        Returns:
            All of them.
        """
        return cls(slice(0, size[0]), slice(0, size[1]), size)

    @classmethod
    def around(cls, images: Iterable[Shaped[np.ndarray, "z y x"]]) -> "Plane":
        """Find where any of some images is not 0.

        Args:
            images: Of one shape.

        Returns:
            The box around it, with as much nothing as SSIM's window sees mirrored at its sides.
        """
        seen = np.zeros((0, 0), bool)
        for image in images:
            seen = seen if seen.size else np.zeros(image.shape[1:], bool)
            # A broadcast slice is looked at once.
            slices = image[:1] if image.strides[0] == 0 else image
            for start in range(0, len(slices), SLICES_AT_ONCE):
                seen |= (slices[start : start + SLICES_AT_ONCE] != 0).any(axis=0)
        rows, columns = (_around(np.asarray(seen.any(axis=axis))) for axis in (1, 0))
        return cls(rows, columns, (seen.shape[0], seen.shape[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the part."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def place_halved(self, half: Float[Tensor, "n y x"]) -> Float[Tensor, "n y2 x2"]:
        """Bring the part of slices half as fine back to its place, with 0 around it.

        Args:
            half: As `similarity.halved` makes it of the part.

        Returns:
            What it makes of the whole slices.
        """
        if self.shape == self.size:
            return half
        top, left = self.rows.start // 2, self.columns.start // 2
        y, x = half.shape[1:]
        result = half.new_zeros(len(half), self.size[0] // 2, self.size[1] // 2)
        result[:, top : top + y, left : left + x] = half
        return result


def _around(seen: Bool[np.ndarray, " n"]) -> slice:
    places = np.flatnonzero(seen)
    if not len(places):  # a part must hold the window, even where there is nothing
        return slice(0, min(2 * MARGIN, len(seen)))
    start = max(int(places[0]) - MARGIN, 0) // 2 * 2
    stop = -(-(int(places[-1]) + 1 + MARGIN) // 2) * 2
    return slice(start, min(stop, len(seen)))


@dataclass(frozen=True)
class Region:
    """Some voxels of some slices, as far as they lie in a part of the plane.

    Attributes:
        voxels: How many there are, a number a slice.
        beyond: How many of them lie beyond the part.
        box: The others' box within the part: the rest of it costs nothing.
        inside: Which voxels of the box they are; all where None.
    """

    voxels: Float[Tensor, " n"]
    beyond: Float[Tensor, " n"]
    box: tuple[slice, slice]
    inside: Float[Tensor, "n y x"] | None = None

    @classmethod
    def of(cls, mask: Bool[np.ndarray, "n y x"], plane: Plane) -> "Region":
        """Take what a mask holds.

        Args:
            mask: Of whole slices.
            plane: The part that images will have.

        Returns:
            The region.
        """
        part = mask[:, plane.rows, plane.columns]
        box = extent(part, (0, 2)), extent(part, (0, 1))
        cut = torch.from_numpy(np.ascontiguousarray(part[:, *box]))
        inside = cut.sum((1, 2)).to(torch.float64)
        voxels = inside
        if plane.shape != plane.size:
            voxels = torch.from_numpy(np.count_nonzero(mask, axis=(1, 2)).astype(np.float64))
        return cls(voxels, voxels - inside, box, cut.to(torch.float32))

    @classmethod
    def without_border(cls, slices: int, plane: Plane, border: int = 0) -> "Region":
        """Take all but the slices' border.

        Args:
            slices: How many.
            plane: The part that images will have.
            border: Voxels to leave out at each side of the whole slices.

        Returns:
            The region.
        """
        rows, columns = (
            slice(max(border - part.start, 0), min(part.stop, size - border) - part.start)
            for part, size in zip((plane.rows, plane.columns), plane.size, strict=True)
        )
        here = max(rows.stop - rows.start, 0) * max(columns.stop - columns.start, 0)
        y, x = (size - 2 * border for size in plane.size)
        voxels = torch.full((slices,), y * x, dtype=torch.float64)
        return cls(voxels, voxels - here, (rows, columns))

    def mean(self, image: Float[Tensor, "n y x"], beyond: float = 0.0) -> Float[Tensor, " n"]:
        """Average an image.

        Args:
            image: The part of the plane.
            beyond: What it is everywhere else.

        Returns:
            A float64 value a slice; NaN where the region has no voxel.
        """
        cut = image[:, *self.box]
        counted = cut if self.inside is None else cut * self.inside
        # Rows in float32, their sums in float64: as exact as need be, and four times faster.
        sums = counted.sum(2).sum(1, dtype=torch.float64)
        return (sums + beyond * self.beyond) / self.voxels


def extent(mask: Bool[np.ndarray, "n y x"], across: tuple[int, int]) -> slice:
    """Say how far a mask reaches along an axis.

    Args:
        mask: Of slices.
        across: The other two axes.

    Returns:
        From its first place to behind its last; empty, from 0, where it has none.
    """
    places = np.flatnonzero(mask.any(axis=across))
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)
