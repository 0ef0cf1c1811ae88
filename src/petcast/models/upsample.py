"""Three ways to double an image's size: as published, and two that leave no lattice.

A transposed convolution of 4×4 with stride 2 reaches the four phases of its output by different
taps, so that it can draw, and at initialisation does draw, a pattern of period 2. The other two
begin without it: bilinear interpolation before a convolution, and the pixel shuffle whose four
phases begin alike.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Upsampling = Literal["transposed", "bilinear", "pixel-shuffle"]

LARGE = 16
"""Below this side the composed kernels, four times as many, cost more than the larger image."""

REACH = (
    ((0.75, 0.25, 0.0), (0.25, 0.75, 0.75), (0.0, 0.0, 0.25)),
    ((0.25, 0.0, 0.0), (0.75, 0.75, 0.25), (0.0, 0.25, 0.75)),
)
"""For the even and the odd phase of the output along one axis: what each of three taps takes, after
interpolation, from each of three features (rows) before it."""


class BilinearConvolution(nn.Module):
    """Bilinear interpolation to twice the size, then a convolution of 3×3.

    Interpolating and convolving are one linear map, which reaches 3×3 features for each phase of
    the output. Large maps take it in one convolution of the small image, which spares the large
    one between. Outside the image features are 0.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        bias: Whether the convolution adds one.

    Reference:
        Odena et al., Deconvolution and checkerboard artifacts, Distill 2016.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, bias=bias)
        self.register_buffer("reach", torch.tensor(REACH), persistent=False)

    def forward(self, x: Float[Tensor, "b c y x"]) -> Float[Tensor, "b d _ _"]:
        """Double the size.

        Args:
            x: Features.

        Returns:
            Features of twice the size.
        """
        if min(x.shape[-2:]) < LARGE:
            return self.in_two_steps(x)
        weight, bias = self._composed(), self.convolution.bias
        bias = None if bias is None else bias.repeat_interleave(4)
        return functional.pixel_shuffle(functional.conv2d(x, weight, bias, padding=1), 2)

    def in_two_steps(self, x: Float[Tensor, "b c y x"]) -> Float[Tensor, "b d _ _"]:
        """Double the size by first interpolating, then convolving.

        Args:
            x: Features.

        Returns:
            What `forward` gives.
        """
        padded = functional.pad(x, (1, 1, 1, 1))
        larger = functional.interpolate(padded, scale_factor=2, mode="bilinear")
        return torch.as_tensor(self.convolution(larger[..., 1:-1, 1:-1]))

    def _composed(self) -> Float[Tensor, "_ c 3 3"]:
        """The kernels that interpolate and convolve at once, four phases to each output."""
        weight = self.convolution.weight
        outputs, inputs = weight.shape[:2]
        reach = torch.as_tensor(self.reach)  # a buffer: made here, each would halt a GPU
        kernels = torch.einsum("pis,qjt,dcst->dpqcij", reach, reach, weight)
        return kernels.reshape(4 * outputs, inputs, 3, 3)


class PixelShuffle(nn.Module):
    """A convolution of 3×3 to four times the channels, dealt out to the four phases.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        bias: Whether the convolution adds one.

    Reference:
        Shi et al., CVPR 2016; the first weights as in Aitken et al., Checkerboard artifact free
        sub-pixel convolution, 2017 (ICNR): the phases begin alike, as nearest neighbours.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, 4 * outputs, 3, padding=1, bias=bias)
        self.begin_alike()

    @torch.no_grad()
    def begin_alike(self) -> None:
        """Give every phase the weights and the bias of the first (ICNR)."""
        for parameter in self.convolution.parameters():
            parameter.copy_(parameter[::4].repeat_interleave(4, dim=0))

    def forward(self, x: Float[Tensor, "b c y x"]) -> Float[Tensor, "b d _ _"]:
        """Double the size.

        Args:
            x: Features.

        Returns:
            Features of twice the size.
        """
        return functional.pixel_shuffle(self.convolution(x), 2)


def upsample(inputs: int, outputs: int, form: Upsampling, *, bias: bool = True) -> nn.Module:
    """Make a layer that doubles the size.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        form: "transposed" is the paper's Eq. 3.
        bias: Whether it adds one.

    Returns:
        The layer, with fresh weights.

    Example:
        >>> layer = upsample(8, 4, "pixel-shuffle")
        >>> layer(torch.zeros(1, 8, 5, 5)).shape
        torch.Size([1, 4, 10, 10])
    """
    if form == "transposed":
        return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=bias)
    layer = BilinearConvolution if form == "bilinear" else PixelShuffle
    return layer(inputs, outputs, bias=bias)
