"""Several processes that learn one model, started by torchrun: the same command in each.

Every batch is divided among them. Gradients are averaged by DistributedDataParallel and batch
normalisation sees the whole batch (`engine/parts.py`), so that n processes end where one does: up
to rounding, or in the same bits where that one works on as many parts.
"""

import atexit
import gc
import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from itertools import count, pairwise
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from petcast.disk.durable import LOCK_FILE, exclusive
from petcast.errors import BusyError, PartnerError, UsageError

_LOG = logging.getLogger(__name__)

PATIENCE = timedelta(hours=2)
"""The others wait while the first process scores and writes."""

LAUNCHER = ("RANK", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells each process beside how many they are."""

LOOK_S = 1.0
"""How often to look whether another training has let a folder go."""

FAILED = "another process of this training failed, and says why itself"


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

    def any(self, said: bool) -> bool:
        """Wait for the others, and hear what they say.

        Args:
            said: By this process.

        Returns:
            Whether one of them says yes.
        """
        if self.size == 1:
            return said
        voices = torch.tensor([int(said)], device=_device())
        dist.all_reduce(voices)
        return bool(voices.item())

    @contextmanager
    def led(self) -> Iterator[bool]:
        """Let the first process do something alone; the others wait, and hear if it fails.

        Yields:
            Whether this process is the first.

        Raises:
            PartnerError: Another process failed at it.
        """
        try:
            yield self.first
        except BaseException:
            with suppress(RuntimeError):  # what failed here is to be said, not who is gone
                self.any(True)
            raise
        if self.any(False):
            raise PartnerError(FAILED)

    def agree(self, facts: Mapping[str, object]) -> None:
        """Refuse processes that would not learn the same thing.

        Args:
            facts: What must be the same for all, by what it is called; the same names in each.

        Raises:
            UsageError: Something is another for one of them.
        """
        if self.size == 1:
            return
        own = torch.tensor([_digest(fact) for fact in facts.values()], device=_device())
        everyone = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(everyone, own)
        alike = (torch.stack(everyone) == everyone[0]).all(0).tolist()
        if other := [name for name, same in zip(facts, alike, strict=True) if not same]:
            raise UsageError(
                f"the {self.size} processes of this training differ in {', '.join(other)}: each "
                "machine needs the same command, and to find the same files under its paths"
            )


ALONE = World()


def _device() -> torch.device:
    """Where the processes of a group take numbers from."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def _digest(fact: object) -> int:
    return int.from_bytes(sha256(str(fact).encode()).digest()[:8], "big", signed=True)


def sizes(count: int, parts: int) -> list[int]:
    """Divide a number into parts of nearly the same size.

    Args:
        count: What is divided.
        parts: Among how many. Where they are even, both halves are divided by themselves: of a
            power of two, the parts of a process are then its parts of the whole.

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
    atexit.register(_let_go, group)  # which holds it until every frame has been left


def _let_go(_: object) -> None:
    """Clear what owns the group from within a cycle, too.

    When Python itself comes to that, it gives its lock to nobody any more, and a thread of gloo's
    that asks for it aborts the process.
    """
    gc.collect()


@contextmanager
def joined(device: str, parts: int = 0) -> Iterator[World]:
    """Join the processes that torchrun started; alone without torchrun.

    Args:
        device: The recipe's; GPUs speak nccl, processors gloo.
        parts: Of a batch, of all processes together; as many as there are processes where 0.

    Yields:
        The processes.

    Raises:
        UsageError: The parts cannot be divided among the processes, or torchrun did not start them,
            or they have no GPU each.
        PartnerError: Another process failed, or was killed.
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
    local = int(os.environ.get("LOCAL_RANK", "0"))
    _require_places(device, on_gpu, size, local)
    with _told_of_losses():
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
        _keep_until_exit(dist.group.WORLD)
        with _left(at_once=on_gpu):
            if on_gpu:
                torch.cuda.set_device(local)
            yield World(dist.get_rank(), size, local, parts or size)


@contextmanager
def _left(*, at_once: bool) -> Iterator[None]:
    """Leave the group when all is done, or something failed.

    Args:
        at_once: Where something failed. nccl takes leave of all processes together: one that
            fails would wait there for the others, which wait for it in a step, and its error would
            be heard by nobody. Its end is what has torchrun end the others.
    """
    try:
        yield
    except BaseException:
        if not at_once:
            dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def _require_places(device: str, on_gpu: bool, size: int, local: int) -> None:
    """Refuse processes that could not meet, before one of them waits for the others."""
    if missing := [name for name in LAUNCHER if name not in os.environ]:
        raise UsageError(
            f"WORLD_SIZE = {size} says that several processes learn together, but {missing[0]} is "
            "not set: start them with torchrun, or unset WORLD_SIZE"
        )
    if ":" in device:
        raise UsageError(
            f'training.device = "{device}" names one GPU, and each of {size} processes takes its '
            'own: give "cuda"'
        )
    if on_gpu and local >= (there := torch.cuda.device_count()):
        raise UsageError(
            f"process {local} of this machine finds no GPU of its own: there are {there}; start "
            "fewer processes (--nproc-per-node), or give training.device=cpu"
        )


@contextmanager
def _told_of_losses() -> Iterator[None]:
    """Say in a word what gloo and nccl say when another process is gone."""
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error).lower()):
            raise
        said = str(error).partition(" This is typically")[0]
        raise PartnerError(
            "another process of this training failed and says why itself, or was killed; mend "
            f"that and give the command again: it goes on from the last epoch kept ({said})"
        ) from error


@contextmanager
def held(folder: Path, world: World, *, wait: bool = False) -> Iterator[None]:
    """Keep other trainings out of a folder, for all processes of this one.

    Args:
        folder: Is made where it is missing.
        world: The processes.
        wait: For a training that has the folder, instead of giving up. The first process looks
            again and again and tells the others each time: that may take longer than `PATIENCE`.

    Yields:
        Nothing; the folder is held inside the block.

    Raises:
        UsageError: Another training has it, or its file system knows no locks.
        PartnerError: The first process could not have it.
    """
    with ExitStack() as lock:
        for look in count():
            taken = False
            with world.led() as mine:
                if mine:
                    folder.mkdir(parents=True, exist_ok=True)
                    taken = not _locked(folder, lock, wait)
            if not world.any(taken):
                break
            if world.first and look == 0:
                _LOG.warning("%s: another training works here; waiting for it to end", folder)
            time.sleep(LOOK_S)
        yield


def _locked(folder: Path, lock: ExitStack, wait: bool) -> bool:
    try:
        lock.enter_context(exclusive(folder / LOCK_FILE))
    except BusyError:
        if wait:
            return False
        raise
    return True


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
