"""What a processor does faster in another layout or precision, with the same numbers.

Two of PyTorch's kernels are slow on processors as the published generators call them. Batch
normalisation followed by a concatenation gets a gradient that is a part of a larger one, and its
backward then takes up to ten times as long as on a gradient of its own. And tanh of bfloat16 takes
more than twice as long as tanh of float32 with both conversions.
"""

from typing import Any

import torch
from torch import Tensor, nn


class SingleTanh(nn.Module):
    """Tanh, of bfloat16 by way of float32: rounded once, as torch's own is."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute.

        Args:
            x: Features.

        Returns:
            Their hyperbolic tangents, of the same type.
        """
        if x.dtype == torch.bfloat16:
            return torch.as_tensor(_SingleTanh.apply(x))  # type: ignore[no-untyped-call]
        return torch.tanh(x)


class _SingleTanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x.float().tanh_().to(x.dtype)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        [y] = ctx.saved_tensors
        return torch.as_tensor(torch.ops.aten.tanh_backward(gradients[0], y))


def suit_processor(generator: nn.Module) -> None:
    """Have a generator trained with the faster kernels; it is changed in place.

    Args:
        generator: On a processor, not to be compiled; state dicts stay as they are.

    Example:
        >>> from petcast.models.cascade import Stage
        >>> stage = Stage()
        >>> suit_processor(stage)
        >>> type(stage.visual[0]).__name__
        'SingleTanh'
    """
    for module in list(generator.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Tanh:
                setattr(module, name, SingleTanh())
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(_ask_for_whole_gradients)


def _ask_for_whole_gradients(_: nn.Module, __: Any, output: Tensor) -> None:
    if output.requires_grad:
        output.register_hook(torch.Tensor.contiguous)  # type: ignore[no-untyped-call]
