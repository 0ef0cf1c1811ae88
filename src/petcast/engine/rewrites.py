"""Convolutions of 4×4, stride 2, padding 1, with the same results from fewer operations.

A generator for slices of 256² ends in maps of 2×2 and 1×1. There, 12 of a kernel's 16 taps only
ever meet the padding: they are left out of the arithmetic, of the gradients and of the optimiser,
and stay in the weights as they are. The last transposed convolution, to three channels, is written
as one of 2×2 for the four phases of its output, which processors do twice as fast.

`rewrite` replaces modules in place; state dicts keep the published form, whatever was replaced.
"""

from copy import deepcopy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

KERNEL, STRIDE, PADDING = (4, 4), (2, 2), (1, 1)
INNER = slice(1, 3)
"""The taps of a 4×4 kernel that reach a map of 2×2 from its middle."""
FEW_CHANNELS = 4
"""Up to so many channels of output, the four phases are faster together."""

State = dict[str, Any]


class InnerTaps(nn.Module):
    """A convolution's inner taps as the parameter, the outer ones kept aside.

    Args:
        convolution: Its weights are taken over, its bias is shared.
    """

    def __init__(self, convolution: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        weight = convolution.weight.detach()
        self.live = nn.Parameter(weight[..., INNER, INNER].clone())
        self.bias = convolution.bias
        self.register_buffer("whole", weight.clone(), persistent=False)
        self.register_state_dict_post_hook(_publish)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_take_over)  # type: ignore[no-untyped-call]


class InnerConvolution(InnerTaps):
    """Eq. 1 from a map of 2×2 to one value a channel."""

    def forward(self, x: Float[Tensor, "b c 2 2"]) -> Float[Tensor, "b d 1 1"]:
        """Convolve.

        Args:
            x: Features.

        Returns:
            What the whole convolution gives.
        """
        y = functional.linear(x.flatten(1), self.live.flatten(1), self.bias)
        return y[:, :, None, None]


class InnerTransposed(InnerTaps):
    """Eq. 3 from one value a channel to a map of 2×2."""

    def forward(self, x: Float[Tensor, "b c 1 1"]) -> Float[Tensor, "b d 2 2"]:
        """Convolve.

        Args:
            x: Features.

        Returns:
            What the whole transposed convolution gives.
        """
        y = (x.flatten(1) @ self.live.flatten(1)).view(len(x), -1, 2, 2)
        return y if self.bias is None else y + self.bias[:, None, None]


class PhasedTransposed(nn.Module):
    """Eq. 3 as a convolution of 2×2 for each of the output's four phases.

    Args:
        convolution: Its weights and its bias are shared.
    """

    def __init__(self, convolution: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, x: Float[Tensor, "b c y x"]) -> Float[Tensor, "b d _ _"]:
        """Convolve.

        Args:
            x: Features.

        Returns:
            What the transposed convolution gives, at twice the size.
        """
        bias = None if self.bias is None else self.bias.repeat_interleave(4)
        phases = functional.conv2d(x, _phases(self.weight), bias, padding=1)
        return functional.pixel_shuffle(phases, 2)[:, :, 1:-1, 1:-1]


def rewrite(generator: nn.Module, side: int, channels: int = 3) -> None:
    """Replace what has a faster form at this size; the generator is changed in place.

    Args:
        generator: Takes (b, channels, side, side).
        side: Voxels along x and y; at another size the generator must not be used any more.
        channels: Of its input.

    Example:
        >>> from petcast.models.cascade import Stage
        >>> stage = Stage()
        >>> rewrite(stage, 256)
        >>> type(stage.encoders[7][1]).__name__
        'InnerConvolution'
    """
    for convolution, met in _input_sides(generator, side, channels).items():
        faster = _faster(convolution, met)
        if faster is not None:
            _replace(generator, convolution, faster)


def _faster(convolution: nn.Module, side: int) -> nn.Module | None:
    if isinstance(convolution, nn.Conv2d) and _halves(convolution) and side == 2:
        return InnerConvolution(convolution)
    if isinstance(convolution, nn.ConvTranspose2d) and _halves(convolution):
        if side == 1:
            return InnerTransposed(convolution)
        if convolution.out_channels <= FEW_CHANNELS:
            return PhasedTransposed(convolution)
    return None


def _halves(convolution: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    shape = (convolution.kernel_size, convolution.stride, convolution.padding)
    return shape == (KERNEL, STRIDE, PADDING) and convolution.groups == 1


def _input_sides(generator: nn.Module, side: int, channels: int) -> dict[nn.Module, int]:
    """The side of the maps that each convolution meets; found on a copy without memory."""
    copied = deepcopy(generator).to("meta", torch.float32).eval()
    met: dict[str, int] = {}
    for name, module in copied.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_pre_hook(
                lambda _, inputs, name=name: met.update({name: inputs[0].shape[-1]})
            )
    with torch.no_grad():
        copied(torch.empty(1, channels, side, side, device="meta"))
    return {generator.get_submodule(name): size for name, size in met.items()}


def _replace(generator: nn.Module, old: nn.Module, new: nn.Module) -> None:
    [name] = [name for name, module in generator.named_modules() if module is old]
    parent, _, own = name.rpartition(".")
    setattr(generator.get_submodule(parent), own, new)


def _phases(weight: Float[Tensor, "c d 4 4"]) -> Float[Tensor, "_ c 2 2"]:
    """Sort taps by the phase of the output that they reach: tap t of phase q is 2 (1 − t) + q."""
    inputs, outputs = weight.shape[:2]
    taps = weight.view(inputs, outputs, 2, 2, 2, 2).flip(2, 4)
    return taps.permute(1, 3, 5, 0, 2, 4).reshape(4 * outputs, inputs, 2, 2)


def _publish(module: nn.Module, state: State, prefix: str, _: Any) -> None:
    """Give the whole kernel away, the live taps in it."""
    whole = torch.as_tensor(module.whole).clone()
    whole[..., INNER, INNER] = state.pop(f"{prefix}live")
    state[f"{prefix}weight"] = whole


def _take_over(module: nn.Module, state: State, prefix: str, *_: Any) -> None:
    """Take a whole kernel apart again."""
    whole = state.pop(f"{prefix}weight", None)
    if whole is not None and whole.shape == torch.as_tensor(module.whole).shape:
        torch.as_tensor(module.whole).copy_(whole)
        state[f"{prefix}live"] = whole[..., INNER, INNER]
