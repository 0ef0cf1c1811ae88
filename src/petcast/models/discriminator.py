"""The discriminator: PatchGAN 70×70 on the CT and a PET; the paper names none.

Reference: Isola et al., 2017.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from petcast.models.blocks import LEAK

NAME = "PatchGAN 70×70"


class Discriminator(nn.Module):
    """Says of each patch of 70×70 voxels whether the PET is real, given the CT.

    2,768,705 parameters at the default width.

    Args:
        width: Channels of the first layer.
        channels: Of the CT and the PET together.
    """

    def __init__(self, width: int = 64, channels: int = 6) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(LEAK),
            *_block(width, 2 * width, stride=2),
            *_block(2 * width, 4 * width, stride=2),
            *_block(4 * width, 8 * width, stride=1),
            nn.Conv2d(8 * width, 1, 4, stride=1, padding=1),
        )

    def forward(
        self, ct: Float[Tensor, "b c y x"], pet: Float[Tensor, "b 3 y x"]
    ) -> Float[Tensor, "b 1 rows columns"]:
        """Judge images.

        Args:
            ct: The condition, normalised.
            pet: A real or a synthetic PET, normalised.

        Returns:
            A logit a patch, positive for real.
        """
        return torch.as_tensor(self.layers(torch.cat([ct, pet], dim=1)))


def _block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(LEAK),
    ]
