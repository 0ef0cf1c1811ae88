"""A batch worked on in parts, in one process or in several, with every sum in the same order.

Processes that share a batch add what their parts give; one process adds over all slices at once,
rounds otherwise, and float32 makes much of it (docs/train.md). Here one process works on the parts
that several would: convolutions a part at a time, sums over parts added in pairs, as processes add
theirs. Divided alike, a batch gives the same bits to one process and to many.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.func import functional_call
from torch.nn import functional

from petcast.engine.parallel import World, added, sizes, sum_of_processes
from petcast.models.upsample import BilinearConvolution


class Share(NamedTuple):
    """A part of a batch: its slices, and what the mean of its losses counts in the step's loss."""

    slices: int
    weight: float


def shares(count: int, whole: int | None, world: World) -> list[Share]:
    """Say how a process's slices are divided.

    Args:
        count: This process's slices.
        whole: Slices of the batch of all processes together; the same for each where None.
        world: The processes.

    Returns:
        The parts. Gradients are averaged over processes and added over the parts of one, so the
        weights let every slice count the same.

    Example:
        >>> shares(5, None, World(parts=2))
        [Share(slices=2, weight=0.4), Share(slices=3, weight=0.6)]
    """
    whole = count * world.size if whole is None else whole
    return [Share(n, n * world.size / whole) for n in sizes(count, world.own_parts)]


def cut(x: Tensor, parts: Sequence[Share]) -> Sequence[Tensor]:
    """Cut a tensor into parts.

    Args:
        x: (b, …).
        parts: What `shares` says of b slices.

    Returns:
        Views, in order; the tensor itself where it is the only part.
    """
    return (x,) if len(parts) == 1 else torch.split(x, [part.slices for part in parts])


class Copies:
    """A module's parameters, once for each part of a batch.

    They are made anew for each step, so that what a part gives to its copy is added up before
    parts are added to one another: of a process, a parameter's gradient is whole, too.

    Args:
        module: Holds the parameters.
        parts: How many; of one part, the copy is the parameter itself.
    """

    def __init__(self, module: nn.Module, parts: int) -> None:
        self.module, self.parts = module, parts
        self.renew()

    def renew(self) -> None:
        """Make the copies of a step."""
        own = list(self.module.named_parameters())
        several = [_apart(parameter, self.parts) for _, parameter in own]
        names = [name for name, _ in own]
        self.of_step = [dict(zip(names, part, strict=True)) for part in zip(*several, strict=True)]


def divide(module: nn.Module, world: World) -> list[Copies]:
    """Have a module work on a batch in parts while it trains; it is changed in place.

    Batch normalisation still sees the whole batch, of all processes.

    Args:
        module: Whatever in it holds parameters takes one tensor, (b, …). Names and state stay.
        world: The processes; where a batch has one part, nothing changes.

    Returns:
        What must be renewed before each step.
    """
    made: list[Copies] = []
    if world.parts == 1:
        return made
    for owner in list(module.modules()):
        if isinstance(owner, BilinearConvolution):
            continue
        for name, child in list(owner.named_children()):
            if type(child) is nn.BatchNorm2d:
                norm = SharedBatchNorm(child, world.own_parts)
                setattr(owner, name, norm)
                made.append(norm.copies)
            elif world.own_parts > 1 and _computes(child):
                made.append(_PartByPart(child, world.own_parts).copies)
    return made


def _computes(module: nn.Module) -> bool:
    """Whether a module's `forward` takes parameters: its own, or its convolution's."""
    own = next(module.parameters(recurse=False), None)
    return own is not None or isinstance(module, BilinearConvolution)


class _PartByPart:
    """Runs a module on each part by itself; takes the place of its `forward`."""

    def __init__(self, module: nn.Module, parts: int) -> None:
        self.copies = Copies(module, parts)
        self._module, self._forward, self._within = module, module.forward, False
        module.forward = self.forward

    def forward(self, x: Tensor) -> Tensor:
        if self._within or not self._module.training:
            return torch.as_tensor(self._forward(x))
        parts = torch.split(x, sizes(len(x), self.copies.parts))
        self._within = True
        try:
            outputs = [
                functional_call(self._module, copy, part)
                for copy, part in zip(self.copies.of_step, parts, strict=True)
            ]
        finally:
            self._within = False
        return torch.cat(outputs)


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the parts of all processes; torch's own needs GPUs.

    Args:
        norm: Its parameters and buffers are shared.
        parts: Of this process.
    """

    def __init__(self, norm: nn.BatchNorm2d, parts: int = 1) -> None:
        super().__init__(norm.num_features, eps=norm.eps, momentum=norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            setattr(self, name, buffer)
        self.copies = Copies(self, parts)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise.

        Args:
            x: This process's slices, (b, c, y, x).

        Returns:
            The same shape.
        """
        if not self.training:
            return super().forward(x)
        copies = self.copies.of_step
        affine = [copy[name] for name in ("weight", "bias") for copy in copies]
        y, mean, variance, count = _Normalised.apply(x, self.eps, *affine)  # type: ignore[no-untyped-call]
        if self.track_running_stats:
            self._remember(mean, variance * count / (count - 1))
        return torch.as_tensor(y)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        momentum = 0.1 if self.momentum is None else self.momentum
        for running, now in ((self.running_mean, mean), (self.running_var, variance)):
            if running is not None:
                running.lerp_(now, momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1


class _Copied(torch.autograd.Function):
    """A tensor several times; their gradients are added in pairs."""

    @staticmethod
    def forward(_: FunctionCtx, x: Tensor, count: int) -> tuple[Tensor, ...]:
        # Not a view: that counts the strides of an axis of one voxel anew, and kernels mind
        return tuple(x.detach() for _ in range(count))

    @staticmethod
    def backward(_: FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        return added(gradients), None


class _Normalised(torch.autograd.Function):
    """A batch normalised by its mean and variance, and those; parts and processes are added up.

    PyTorch's own kernels pass over the values: sums of a part, and what is done to each value,
    which takes the numbers of the whole batch and is the same in a part.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float, *affine: Tensor) -> tuple[Tensor, ...]:
        parts = len(affine) // 2
        x = _dense(x)
        pieces = torch.split(x, sizes(len(x), parts))
        weight, bias = affine[0], affine[parts]
        counts = [piece.numel() // x.shape[1] for piece in pieces]
        exact = [piece.to(weight.dtype) for piece in pieces]  # of bfloat16 they come as such
        found = [torch.batch_norm_update_stats(piece, None, None, 0.0) for piece in exact]
        sums = [
            torch.cat([mean * n, mean.new_full((1,), n)])
            for (mean, _), n in zip(found, counts, strict=True)
        ]
        total = sum_of_processes(added(sums))
        mean, count = total[:-1] / total[-1], total[-1]
        squares = [(v + (m - mean).square()) * n for (m, v), n in zip(found, counts, strict=True)]
        variance = sum_of_processes(added(squares)) / count
        ctx.save_for_backward(x, weight, mean, variance, count)
        ctx.eps, ctx.parts = eps, parts
        ctx.mark_non_differentiable(mean, variance, count)
        return _scaled(x, mean, variance, weight, bias, eps), mean, variance, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, count = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=_layout(x))
        deviation = torch.rsqrt(variance + ctx.eps)
        places = sizes(len(x), ctx.parts)
        of_parts = [
            torch.ops.aten.native_batch_norm_backward(
                *(g, piece, weight, None, None, mean, deviation, True, ctx.eps),
                [False, True, True],
            )[1:]
            for g, piece in zip(torch.split(gradient, places), torch.split(x, places), strict=True)
        ]
        sums = sum_of_processes(added([torch.cat(of_part) for of_part in of_parts])) / count
        by_weight, by_bias = sums.chunk(2)
        scale = weight * deviation
        # (gradient − mean of gradients − x̂ · mean of gradients · x̂) · scale
        push = _scaled(gradient, torch.zeros_like(mean), torch.ones_like(mean), scale, None, 0.0)
        push += _scaled(x, mean, variance, -scale * by_weight, -scale * by_bias, ctx.eps)
        weights, biases = zip(*of_parts, strict=True)
        return push, None, *weights, *biases


def _scaled(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor | None, eps: float
) -> Tensor:
    return functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)


def _layout(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.stride(1) == 1 else torch.contiguous_format


def _dense(x: Tensor) -> Tensor:
    """Values without gaps: kernels add them in an order that follows their places."""
    return x.contiguous(memory_format=_layout(x))


def _apart(parameter: Tensor, count: int) -> Sequence[Tensor]:
    if count == 1:
        return (parameter,)
    return tuple(_Copied.apply(parameter, count))  # type: ignore[no-untyped-call]
