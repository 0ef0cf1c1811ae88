"""The discriminator's two costly ends, with the same results from fewer operations.

Of a PatchGAN's products 63 % are in the one 4×4 convolution of stride 1, from 256 to 512 channels.
Winograd's minimal filtering takes 36 multiplications for 3×3 of its outputs instead of 144. The
last layer, from 512 channels to one, is a product for each of the 16 taps, whose results are added
where they belong; as a convolution it reads its input 16 times.

`rewrite_discriminator` replaces modules in place; their parameters and names stay.
"""

from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

KERNEL, PADDING = 4, 1
TILE = 3
"""Outputs along each side of a tile. Two spare a third fewer multiplications, four lose a digit."""
POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)
"""Where Winograd's polynomials are evaluated, besides infinity: small, and exact in binary."""
PATCH = TILE + KERNEL - 1
MANY_CHANNELS = 64
"""From so many channels on, fewer multiplications pay for the transforms."""


class WinogradConvolution(nn.Module):
    """A convolution of 4×4, stride 1, padding 1, by Winograd's F(3×3, 4×4).

    Rounding costs it about five times what it costs the plain convolution: 2e-6 of the output in
    float32. In bfloat16 that would be 2 %, so there the plain convolution is taken.

    Args:
        convolution: Its weight is shared; it has no bias.

    Reference:
        Winograd, Arithmetic Complexity of Computations, 1980; Lavin and Gray, CVPR 2016.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = convolution.weight

    def forward(self, x: Float[Tensor, "b c y x"]) -> Float[Tensor, "b d _ _"]:
        """Convolve.

        Args:
            x: Features.

        Returns:
            What the plain convolution gives: one row and one column fewer.
        """
        if torch.is_autocast_enabled(x.device.type) or x.dtype == torch.bfloat16:
            return functional.conv2d(x, self.weight, padding=PADDING)
        outputs, patches, kernels = (
            torch.from_numpy(matrix).to(x) for matrix in _winograd_in_two_axes()
        )
        (batch, channels), (rows, columns) = x.shape[:2], (side - 1 for side in x.shape[2:])
        # Voxels outermost, channels innermost: every copy below moves whole rows of channels.
        tiles = _tiles(x, rows, columns)
        down, across = tiles.shape[1:3]
        moved = patches @ tiles.permute(3, 4, 0, 1, 2, 5).reshape(PATCH**2, -1)
        taps = kernels @ self.weight.permute(2, 3, 1, 0).reshape(KERNEL**2, -1)
        product = torch.bmm(moved.view(PATCH**2, -1, channels), taps.view(PATCH**2, channels, -1))
        y = (outputs @ product.view(PATCH**2, -1)).view(TILE, TILE, batch, down, across, -1)
        y = y.permute(2, 3, 0, 4, 1, 5).reshape(batch, down * TILE, across * TILE, -1)
        return y[:, :rows, :columns].permute(0, 3, 1, 2)


class TapConvolution(nn.Module):
    """A convolution of 4×4, stride 1, padding 1, to one channel: a product, then 16 additions.

    In float32 whatever the precision of the rest: sixteen sums rounded to bfloat16 before they
    are added would cost accuracy, and this layer is 0.2 % of the products.

    Args:
        convolution: Its weight and its bias are shared.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, x: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 1 _ _"]:
        """Convolve.

        Args:
            x: Features.

        Returns:
            What the plain convolution gives: one row and one column fewer.
        """
        with torch.autocast(x.device.type, enabled=False):
            # A transposed convolution adds each product where its tap puts it, thus mirrored.
            taps = self.weight[0].flip(1, 2).flatten(1).T[:, :, None, None]
            products = functional.conv2d(x.to(self.weight.dtype), taps)
            rows, columns = (side + KERNEL - 1 for side in x.shape[2:])
            y = functional.fold(products.flatten(2), (rows, columns), KERNEL)
            inner = slice(KERNEL - 1 - PADDING, PADDING + 1 - KERNEL)
            y = y[:, :, inner, inner]
            return y if self.bias is None else y + self.bias


def rewrite_discriminator(discriminator: nn.Module, device: torch.device) -> None:
    """Replace what has a faster form; the discriminator is changed in place.

    Args:
        discriminator: Holds `nn.Conv2d`.
        device: Processors only gain by it; GPUs have kernels of their own.

    Example:
        >>> from petcast.models import Discriminator
        >>> judge = Discriminator()
        >>> rewrite_discriminator(judge, torch.device("cpu"))
        >>> type(judge.layers[8]).__name__, type(judge.layers[11]).__name__
        ('WinogradConvolution', 'TapConvolution')
    """
    if device.type != "cpu":
        return
    for parent in list(discriminator.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d) and (faster := _faster(child)) is not None:
                setattr(parent, name, faster)


def _faster(convolution: nn.Conv2d) -> nn.Module | None:
    shape = (convolution.kernel_size, convolution.stride, convolution.padding)
    if shape != ((KERNEL, KERNEL), (1, 1), (PADDING, PADDING)) or convolution.groups != 1:
        return None
    if convolution.out_channels == 1:
        return TapConvolution(convolution)
    wide = min(convolution.in_channels, convolution.out_channels) >= MANY_CHANNELS
    return WinogradConvolution(convolution) if wide and convolution.bias is None else None


def _tiles(x: Tensor, rows: int, columns: int) -> Float[Tensor, "b down across 6 6 c"]:
    """Cut padded features into overlapping patches, each for a tile of the output."""
    down, across = (-(-count // TILE) for count in (rows, columns))
    below, right = (
        TILE * (tiles - 1) + PATCH - side - PADDING
        for tiles, side in ((down, x.shape[2]), (across, x.shape[3]))
    )
    padded = functional.pad(x.permute(0, 2, 3, 1), (0, 0, PADDING, right, PADDING, below))
    return padded.unfold(1, PATCH, TILE).unfold(2, PATCH, TILE).permute(0, 1, 2, 4, 5, 3)


@cache
def _winograd_in_two_axes() -> tuple[NDArray[np.float64], ...]:
    """The transforms of outputs (9 × 36), patches (36 × 36) and kernels (36 × 16).

    A valid correlation is the transpose of a product of polynomials: evaluated at six points,
    multiplied there, and brought back by the inverse of the evaluation.
    """
    backward = np.linalg.inv(_evaluation(PATCH)).T
    # Rows of like size lose the fewest digits; the kernel's rows take what the patches' give.
    size = np.abs(backward).max(axis=1, keepdims=True)
    one_axis = (_evaluation(TILE).T, backward / size, _evaluation(KERNEL) * size)
    return tuple(np.kron(matrix, matrix) for matrix in one_axis)


def _evaluation(coefficients: int) -> NDArray[np.float64]:
    """A polynomial's values at the points and at infinity, from its coefficients."""
    finite = np.vander(POINTS, coefficients, increasing=True)
    return np.vstack([finite, np.eye(coefficients)[-1]])
