"""Several processes that learn one model, started by torchrun: the same command in each.

Every batch is divided among them. Gradients are averaged by DistributedDataParallel and batch
normalisation sees the whole batch (`engine/parts.py`), so that n processes end where one does: up
to rounding, or in the same bits where that one works on as many parts.
"""

import atexit
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from petcast.errors import UsageError

PATIENCE = timedelta(hours=2)
"""The others wait while the first process scores and writes."""


@dataclass(frozen=True)
class World:
    """The processes that learn together.

    Attributes:
        rank: This one's number.
        size: How many there are.
        local: This one's number on its machine: its GPU.
        parts: Of a batch, of all processes together.
    """

    rank: int = 0
    size: int = 1
    local: int = 0
    parts: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    @property
    def own_parts(self) -> int:
        """How many parts of a batch this process works on."""
        return max(1, self.parts // self.size)

    def part(self, places: Sequence[int]) -> Sequence[int]:
        """Divide a batch.

        Args:
            places: The slices of the whole batch.

        Returns:
            This process's.

        Example:
            >>> World(rank=1, size=2).part([4, 7, 1])
            [7, 1]
        """
        before = sizes(len(places), self.size)[: self.rank + 1]
        return places[sum(before[:-1]) : sum(before)]

    def wait(self) -> None:
        """Wait for the others."""
        if self.size > 1:
            dist.barrier()


ALONE = World()


def sizes(count: int, parts: int) -> list[int]:
    """Divide a number into parts of nearly the same size.

    Args:
        count: What is divided.
        parts: Among how many. Where they are even, both halves are divided by themselves: the
            parts of a process are then its parts of the whole.

    Returns:
        The parts' sizes, in order.

    Example:
        >>> sizes(11, 4), sizes(11, 3)
        ([2, 3, 3, 3], [3, 4, 4])
    """
    if parts > 1 and parts % 2 == 0:
        half = count // 2
        return sizes(half, parts // 2) + sizes(count - half, parts // 2)
    edges = [count * part // parts for part in range(parts + 1)]
    return [end - start for start, end in pairwise(edges)]


def added(tensors: Sequence[Tensor]) -> Tensor:
    """Add tensors, neighbours first, then neighbouring sums: whoever has added which.

    Args:
        tensors: Of one shape.

    Returns:
        Their sum.
    """
    left = list(tensors)
    while len(left) > 1:
        pairs = [a + b for a, b in zip(left[::2], left[1::2], strict=False)]
        left = pairs + left[len(pairs) * 2 :]
    return left[0]


def sum_of_processes(x: Tensor) -> Tensor:
    """Add a tensor of all processes, in the order of `added`.

    Args:
        x: The same shape in each.

    Returns:
        The sum; the tensor itself without torchrun.
    """
    if not dist.is_initialized():
        return x
    if dist.get_world_size() == 2:  # a + b = b + a, and reducing moves half as much as gathering
        total = x.clone()
        dist.all_reduce(total)
        return total
    everyone = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(everyone, x.contiguous())
    return added(everyone)


def totals(numbers: Mapping[str, Tensor]) -> dict[str, float]:
    """Add each of some numbers of all processes.

    Args:
        numbers: The same names in each, in the same order.

    Returns:
        The sums; the numbers themselves without torchrun.
    """
    sums = sum_of_processes(torch.stack([value.double() for value in numbers.values()]))
    return dict(zip(numbers, sums.tolist(), strict=True))


def _keep_until_exit(group: object) -> None:
    """Let no C++ owner of a group, as DistributedDataParallel's reducer is, outlive Python's.

    gloo's group waits in its destructor for its threads, and these wait for Python's lock to let
    tensors go. Only where Python lets go of the group last does it open that lock first; else the
    two wait for each other, now and then, after all work is done.
    """
    atexit.register(id, group)  # which holds it until every frame has been left


@contextmanager
def joined(device: str, parts: int = 0) -> Iterator[World]:
    """Join the processes that torchrun started; alone without torchrun.

    Args:
        device: The recipe's; GPUs speak nccl, processors gloo.
        parts: Of a batch, of all processes together; as many as there are processes where 0.

    Yields:
        The processes.

    Raises:
        UsageError: The parts cannot be divided among the processes.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if parts % size:
        raise UsageError(
            f"engine.parts = {parts} cannot be divided among {size} processes: give a multiple, "
            "or 0 for one part each"
        )
    if size == 1:
        yield World(parts=parts or 1)
        return
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
    _keep_until_exit(dist.group.WORLD)
    try:
        local = int(os.environ.get("LOCAL_RANK", "0"))
        world = World(dist.get_rank(), size, local, parts or size)
        if on_gpu:
            torch.cuda.set_device(world.local)
        yield world
    finally:
        dist.destroy_process_group()


def spread(module: nn.Module, world: World, device: torch.device) -> nn.Module:
    """Let a module learn in all processes.

    Args:
        module: With the same weights everywhere.
        world: The processes.
        device: This one's.

    Returns:
        The module itself where it is alone.
    """
    if world.size == 1:
        return module
    ids = [world.local] if device.type == "cuda" else None
    with warnings.catch_warnings():  # newer versions have another word for it, 2.6 has not
        warnings.filterwarnings("ignore", "`broadcast_buffers`", FutureWarning)
        spread_out = DistributedDataParallel(module, device_ids=ids, broadcast_buffers=False)
    if world.size > 2 and device.type == "cpu":
        spread_out.register_comm_hook(None, _averaged_in_order)
    return spread_out


def _averaged_in_order(
    _: None,
    bucket: dist.GradBucket,  # type: ignore[name-defined] # stubs lack it; torch looks for it here
) -> torch.futures.Future[Tensor]:
    """The gradients' mean; gloo's own reduction begins with another process at each piece."""
    done: torch.futures.Future[Tensor] = torch.futures.Future()
    done.set_result(sum_of_processes(bucket.buffer()) / dist.get_world_size())
    return done
