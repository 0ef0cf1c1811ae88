"""Slices of the pairs, as batches of tensors."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from petcast.anatomy import OUTSIDE
from petcast.errors import FormatError, UsageError
from petcast.pairs import PairedStudy


@dataclass(frozen=True)
class Batch:
    """Slices that belong together.

    Attributes:
        hu: CT in HU, one channel or the slice between its neighbours.
        suv: PET in SUV.
        body: True inside the body.
        lesions: True inside lesions; None where nobody asked.
    """

    hu: Float[Tensor, "b c y x"]
    suv: Float[Tensor, "b y x"]
    body: Bool[Tensor, "b y x"]
    lesions: Bool[Tensor, "b y x"] | None = None

    def to(self, device: torch.device) -> "Batch":
        """Move the batch.

        Args:
            device: Where to.

        Returns:
            The batch on `device`.
        """
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "Batch":
        """Put the batch where a copy to a GPU need not be waited for.

        Returns:
            The batch in pinned memory.
        """
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        lesions = None if self.lesions is None else change(self.lesions)
        return Batch(change(self.hu), change(self.suv), change(self.body), lesions)


class SliceDataset:
    """All slices of some studies; read from the memory maps as they are asked for.

    Args:
        studies: The slices' studies.
        channels: CT slices that one prediction wants: 1, or 3 with the neighbours.
        lesions: Whether lesion masks are wanted; nothing is marked where a study has none.
    """

    def __init__(
        self, studies: Sequence[PairedStudy], channels: int, *, lesions: bool = False
    ) -> None:
        if channels not in (1, 3):
            raise UsageError(f"a CT is given as 1 slice or as 3 neighbours, not as {channels}")
        self._studies = list(studies)
        self._channels = channels
        self._with_lesions = lesions
        self._places = [(s, z) for s, study in enumerate(studies) for z in range(study.slices)]

    def __len__(self) -> int:
        return len(self._places)

    @property
    def nbytes(self) -> int:
        """What `stored` takes."""
        return sum(s.ct.nbytes + s.pet.nbytes + s.regions.nbytes for s in self._studies)

    def stored(self) -> tuple[Tensor, Tensor, Tensor]:
        """Read all slices, each once, as they are stored.

        Returns:
            CT int16 in HU, PET float32 in SUV, True inside the body; each (n, y, x).
        """
        ct = np.concatenate([study.ct for study in self._studies])
        pet = np.concatenate([study.pet for study in self._studies])
        body = np.concatenate([study.regions for study in self._studies]) > OUTSIDE
        return torch.from_numpy(ct), torch.from_numpy(pet), torch.from_numpy(body)

    def stored_lesions(self) -> Bool[Tensor, "n y x"] | None:
        """Read all lesion masks.

        Returns:
            True inside lesions, in the order of `stored`; None where they are not wanted.
        """
        if not self._with_lesions:
            return None
        return torch.from_numpy(np.concatenate([_lesions(s, slice(None)) for s in self._studies]))

    def channels(self) -> Int[Tensor, "n c"]:
        """Say which slices of `stored` are each slice's channels.

        Returns:
            Itself, or itself between its neighbours in the same study.
        """
        starts = np.cumsum([0, *(study.slices for study in self._studies)])
        rows = [
            starts[s] + ct_slices(np.arange(self._studies[s].slices), z, self._channels)
            for s, z in self._places
        ]
        return torch.from_numpy(np.array(rows, dtype=np.int64).reshape(-1, self._channels))

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
        body = np.stack([self._studies[s].regions[z] for s, z in places]) > OUTSIDE
        lesions = None
        if self._with_lesions:
            marked = [_lesions(self._studies[s], slice(z, z + 1)) for s, z in places]
            lesions = torch.from_numpy(np.concatenate(marked))
        return Batch(
            torch.from_numpy(hu.astype(np.float32)),
            torch.from_numpy(suv.astype(np.float32)),
            torch.from_numpy(body),
            lesions,
        )

    def division(
        self, order: Int[Tensor, " n"] | None, size: int, least: int = 2
    ) -> list[list[int]]:
        """Divide all slices into batches.

        Args:
            order: A permutation of the slices; as stored where None.
            size: Slices a batch.
            least: A last batch of fewer slices joins the one before it: batch normalisation
                learns nothing from a batch of one, and each part of a batch needs a slice.

        Returns:
            The indices of each batch.
        """
        places = list(range(len(self))) if order is None else order.tolist()
        starts = list(range(0, len(places), size))
        if len(starts) > 1 and len(places) - starts[-1] < least:
            starts.pop()
        return [places[a:b] for a, b in zip(starts, [*starts[1:], len(places)], strict=True)]


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


def require_finite(studies: Iterable[PairedStudy]) -> None:
    """Refuse a stored PET with NaN or infinite values: `prepare` writes none.

    Args:
        studies: All of their slices are read.

    Raises:
        FormatError: A study's PET holds some.
    """
    for study in studies:
        if not all(np.isfinite(suv).all() for suv in study.pet):
            raise FormatError(
                f"{study.folder / 'pet.npy'} holds NaN or infinite values, so it has changed since "
                "it was written; give the same `petcast prepare` again, it makes the study anew"
            )


def _lesions(study: PairedStudy, at: slice) -> NDArray[np.bool_]:
    if study.lesions is None:
        return np.zeros(study.regions[at].shape, dtype=bool)
    return np.asarray(study.lesions[at] > 0)
