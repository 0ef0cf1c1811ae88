"""Several processes that learn one model, started by torchrun: the same command in each.

Every batch is divided among them. Gradients are averaged by DistributedDataParallel and batch
normalisation sees the whole batch, so that n processes end where one does, up to rounding.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.parallel import DistributedDataParallel

PATIENCE = timedelta(hours=2)
"""The others wait while the first process scores and writes."""


@dataclass(frozen=True)
class World:
    """The processes that learn together.

    Attributes:
        rank: This one's number.
        size: How many there are.
        local: This one's number on its machine: its GPU.
    """

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

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
        count = len(places)
        return places[count * self.rank // self.size : count * (self.rank + 1) // self.size]

    def wait(self) -> None:
        """Wait for the others."""
        if self.size > 1:
            dist.barrier()


ALONE = World()


@contextmanager
def joined(device: str) -> Iterator[World]:
    """Join the processes that torchrun started; alone without torchrun.

    Args:
        device: The recipe's; GPUs speak nccl, processors gloo.

    Yields:
        The processes.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
    try:
        world = World(dist.get_rank(), size, int(os.environ.get("LOCAL_RANK", "0")))
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
    return DistributedDataParallel(module, device_ids=ids, broadcast_buffers=False)


def synchronise_norms(module: nn.Module, world: World) -> None:
    """Let batch normalisation see the batches of all processes; changed in place.

    Args:
        module: Holds `BatchNorm2d`; names and state stay.
        world: The processes.
    """
    if world.size == 1:
        return
    for owner in list(module.modules()):
        for name, child in list(owner.named_children()):
            if type(child) is nn.BatchNorm2d:
                setattr(owner, name, _synchronised(child))


def _synchronised(norm: nn.BatchNorm2d) -> "SharedBatchNorm":
    shared = SharedBatchNorm(norm.num_features, eps=norm.eps, momentum=norm.momentum)
    shared.weight, shared.bias = norm.weight, norm.bias
    for name, buffer in norm.named_buffers():
        setattr(shared, name, buffer)
    return shared


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the batches of all processes; torch's own needs GPUs."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise.

        Args:
            x: This process's part of the batch, (b, c, y, x).

        Returns:
            The same shape.
        """
        if not self.training:
            return super().forward(x)
        values = x.double() if self.weight.dtype == torch.float64 else x.float()
        count = _sum_of_all(values.new_tensor([len(x) * x.shape[2] * x.shape[3]]))
        mean = _sum_of_all(values.sum(dim=(0, 2, 3))) / count
        centred = values - mean[:, None, None]
        variance = _sum_of_all(centred.square().sum(dim=(0, 2, 3))) / count
        if self.track_running_stats:
            self._remember(mean.detach(), variance.detach() * count / (count - 1))
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        momentum = 0.1 if self.momentum is None else self.momentum
        for running, now in ((self.running_mean, mean), (self.running_var, variance)):
            if running is not None:
                running.lerp_(now, momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1


class _SumOfAll(torch.autograd.Function):
    """A sum over processes; what each makes of it counts for everyone's gradient."""

    @staticmethod
    def forward(_: FunctionCtx, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: FunctionCtx, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def _sum_of_all(x: Tensor) -> Tensor:
    return torch.as_tensor(_SumOfAll.apply(x))  # type: ignore[no-untyped-call]
