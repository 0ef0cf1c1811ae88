"""The three blocks of the paper: encoder (Eq. 2), decoder (Eq. 4), visual block (Eq. 5).

As published, all convolutions are 4×4 with stride 2. The padding is 1, which the paper does not
say: so an encoder halves the sides and a decoder doubles them. A convolution has a bias exactly
where no batch normalisation follows it; with that rule, and no other, the parameters are those of
Table 2.
"""

from jaxtyping import Float
from torch import Tensor, nn

from petcast.errors import GeometryError
from petcast.models.upsample import Upsampling, upsample

LEAK = 0.2
"""Slope of the encoders' LeakyReLU below zero; the paper leaves N open, this is pix2pix's."""


class Encoder(nn.Sequential):
    """Eq. 2: E(X) = B(C(N(X))), at half the size.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        normalise: False leaves B out: on encoder 1, and on encoder 8, whose one value per
            channel has no variance.
    """

    def __init__(self, inputs: int, outputs: int, *, normalise: bool = True) -> None:
        super().__init__(
            nn.LeakyReLU(LEAK),                                                      # N
            nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=not normalise),  # C, Eq. 1
            *([nn.BatchNorm2d(outputs)] if normalise else []),                       # B
        )  # fmt: skip


class Decoder(nn.Sequential):
    """Eq. 4: D(X) = Drop_d(B(T(N(X)))), at twice the size.

    Args:
        inputs: Channels in, the skip's included.
        outputs: Channels out.
        dropout: The rate d; 0 leaves Drop out.
        upsampling: The paper's T, or what stands in its place.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        dropout: float = 0.0,
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__(
            nn.ReLU(),                                            # N
            upsample(inputs, outputs, upsampling, bias=False),    # T, Eq. 3
            nn.BatchNorm2d(outputs),                              # B
            *([nn.Dropout(dropout)] if dropout else []),          # Drop
        )  # fmt: skip


class VisualBlock(nn.Sequential):
    """Eq. 5: V(X) = T(N(X)) with N = tanh, BEFORE the convolution: the output is unbounded.

    Args:
        inputs: Channels in, the skip's included.
        outputs: Channels of the image.
        upsampling: The paper's T, or what stands in its place.
    """

    def __init__(self, inputs: int, outputs: int, *, upsampling: Upsampling = "transposed") -> None:
        super().__init__(
            nn.Tanh(),                              # N
            upsample(inputs, outputs, upsampling),  # T, Eq. 3
        )  # fmt: skip


def require_multiple(x: Float[Tensor, "b c y x"], multiple: int) -> None:
    """Refuse images that cannot be halved often enough.

    Args:
        x: Images.
        multiple: What both sides must be a multiple of.

    Raises:
        GeometryError: They are not.
    """
    height, width = x.shape[-2:]
    if height % multiple or width % multiple or not height * width:
        raise GeometryError(
            f"slices of {height} × {width} voxels: both sides must be a multiple of {multiple}; "
            "set preparation.size"
        )
