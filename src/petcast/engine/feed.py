"""Slices on their way to the device: all of them there, or read ahead from the memory maps."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from petcast.dataset import Batch, SliceDataset
from petcast.device import sent
from petcast.engine.parallel import ALONE, World

SHARE = 4
"""Slices stay on the device where they need less than this part of its free memory."""
OWN_GROUPS, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
LIMIT_1, LIMIT_2 = "memory.limit_in_bytes", "memory.max"
"""Of either version of control groups."""
AHEAD = 2
"""Batches that are read while one is learned from."""


class Feed:
    """Gives the batches of a dataset to a device.

    Args:
        dataset: The slices.
        device: Where they are wanted.
        pairs: All on the device, read ahead, or whatever fits.
    """

    def __init__(
        self,
        dataset: SliceDataset,
        device: torch.device,
        pairs: Literal["auto", "resident", "streamed"] = "auto",
    ) -> None:
        self.dataset = dataset
        self.device = device
        fits = dataset.nbytes < _free_bytes(device) / SHARE
        self.resident = len(dataset) > 0 and (pairs == "resident" or (pairs == "auto" and fits))
        if self.resident:
            self._ct, self._pet, self._body = (t.to(device) for t in dataset.stored())
            self._channels = dataset.channels().to(device)
            lesions = dataset.stored_lesions()
            self._lesions = None if lesions is None else lesions.to(device)

    def __len__(self) -> int:
        return len(self.dataset)

    def division(
        self, order: Int[Tensor, " n"] | None, size: int, world: World = ALONE
    ) -> list[list[int]]:
        """Divide all slices into batches, each with a slice for every part.

        Args:
            order: A permutation of the slices; as stored where None.
            size: Slices a batch, for all processes together.
            world: The processes.

        Returns:
            The places of each whole batch's slices.
        """
        return self.dataset.division(order, size, max(2, world.parts))

    def batches(
        self, order: Int[Tensor, " n"] | None, size: int, world: World = ALONE
    ) -> Iterator[Batch]:
        """Give all slices, batch by batch.

        Args:
            order: A permutation of the slices; as stored where None.
            size: Slices a batch, for all processes together.
            world: The processes; each takes its part of a batch.

        Yields:
            The batches, on the device.
        """
        parts = list(map(world.part, self.division(order, size, world)))
        yield from map(self._gathered, parts) if self.resident else self._read_ahead(parts)

    def _gathered(self, places: Sequence[int]) -> Batch:
        at = sent(torch.tensor(places), self.device)
        lesions = None if self._lesions is None else self._lesions[at]
        return Batch(self._ct[self._channels[at]].float(), self._pet[at], self._body[at], lesions)

    def _read_ahead(self, parts: Sequence[Sequence[int]]) -> Iterator[Batch]:
        with ThreadPoolExecutor(1, "petcast-feed") as reader:
            coming: deque[Future[Batch]] = deque()
            for places in parts:
                coming.append(reader.submit(self._read, places))
                if len(coming) > AHEAD:
                    yield coming.popleft().result().to(self.device)
            while coming:
                yield coming.popleft().result().to(self.device)

    def _read(self, places: Sequence[int]) -> Batch:
        batch = self.dataset.batch(places)
        return batch.pinned() if self.device.type == "cuda" else batch


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":  # what torch keeps for later, of a pretraining say, is free as well
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # torchrun's here, each with a copy
        return min([free, *_limits(OWN_GROUPS, GROUPS)]) // beside
    return 0


def _limits(own: Path, groups: Path) -> Iterator[int]:
    """What a container or a job of a cluster may take, though its machine has more free.

    Args:
        own: Says which control groups this process is in, line by line (cgroups(7)).
        groups: Where these are mounted.

    Yields:
        Limits in bytes, of the process's groups and of those around them.
    """
    lines = own.read_text().splitlines() if own.is_file() else []
    for line in lines:
        _, kinds, place = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        root, name = (groups / "memory", LIMIT_1) if kinds else (groups, LIMIT_2)
        group = root / place.lstrip("/")
        for folder in (group, *group.parents):
            with suppress(OSError, ValueError):  # none there, or "max"
                yield int((folder / name).read_text())
            if folder == root:
                break
