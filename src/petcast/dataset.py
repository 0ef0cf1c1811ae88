"""Slices of the pairs, as batches of tensors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from petcast.errors import UsageError
from petcast.pairs import PairedStudy

BODY = 1
"""Labels from here on in a study's `regions` lie inside the body."""


@dataclass(frozen=True)
class Batch:
    """Slices that belong together.

    Attributes:
        hu: CT in HU, one channel or the slice between its neighbours.
        suv: PET in SUV.
        body: True inside the body.
    """

    hu: Float[Tensor, "b c y x"]
    suv: Float[Tensor, "b y x"]
    body: Bool[Tensor, "b y x"]

    def to(self, device: torch.device) -> "Batch":
        """Move the batch.

        Args:
            device: Where to.

        Returns:
            The batch on `device`.
        """
        return Batch(
            self.hu.to(device, non_blocking=True),
            self.suv.to(device, non_blocking=True),
            self.body.to(device, non_blocking=True),
        )


class SliceDataset:
    """All slices of some studies; read from the memory maps as they are asked for."""

    def __init__(self, studies: Sequence[PairedStudy], channels: int) -> None:
        if channels not in (1, 3):
            raise UsageError(f"a CT is given as 1 slice or as 3 neighbours, not as {channels}")
        self._studies = list(studies)
        self._channels = channels
        self._places = [(s, z) for s, study in enumerate(studies) for z in range(study.slices)]

    def __len__(self) -> int:
        return len(self._places)

    def batch(self, indices: Sequence[int]) -> Batch:
        """Read some slices.

        Args:
            indices: Which, each below `len(self)`.

        Returns:
            The slices, in this order.
        """
        places = [self._places[i] for i in indices]
        hu = np.stack([ct_slices(self._studies[s].ct, z, self._channels) for s, z in places])
        suv = np.stack([self._studies[s].pet[z] for s, z in places])
        body = np.stack([self._studies[s].regions[z] for s, z in places]) >= BODY
        return Batch(
            torch.from_numpy(hu.astype(np.float32)),
            torch.from_numpy(suv.astype(np.float32)),
            torch.from_numpy(body),
        )

    def batches(self, order: Int[Tensor, " n"] | None, size: int) -> Iterator[Batch]:
        """Read all slices, batch by batch.

        Args:
            order: A permutation of the slices; as stored where None.
            size: Slices a batch. A last batch of one slice joins the one before it, since
                batch normalisation learns nothing from a batch of one.

        Yields:
            The batches.
        """
        places = list(range(len(self))) if order is None else order.tolist()
        starts = list(range(0, len(places), size))
        if len(starts) > 1 and len(places) % size == 1:
            starts.pop()
        for start, end in zip(starts, [*starts[1:], len(places)], strict=True):
            yield self.batch(places[start:end])


def ct_slices(ct: np.ndarray, z: int, channels: int) -> np.ndarray:
    """One CT slice, or the slice between its two neighbours.

    Args:
        ct: A study's CT in HU, (z, y, x).
        z: Which slice.
        channels: 1, or 3 for the neighbours; the first and last slice are their own neighbour.

    Returns:
        (channels, y, x), the values of `ct`.

    Example:
        >>> ct_slices(np.arange(4).reshape(4, 1, 1), 0, 3).ravel()
        array([0, 0, 1])
    """
    if channels == 1:
        return ct[z : z + 1]
    last = len(ct) - 1
    return np.stack([ct[max(z - 1, 0)], ct[z], ct[min(z + 1, last)]])
