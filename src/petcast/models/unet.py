"""The U-Net baseline, as pix2pix has it; Cas-UNet is two of them in a row.

Reference: Isola et al., Image-to-image translation with conditional adversarial networks, 2017.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from petcast.models.blocks import LEAK, require_multiple


def widths(levels: int) -> list[int]:
    """Channels after each encoder.

    Args:
        levels: Number of encoders.

    Returns:
        64 doubling to 512, then constant.

    Example:
        >>> widths(8)
        [64, 128, 256, 512, 512, 512, 512, 512]
    """
    return [64 * min(2**level, 8) for level in range(levels)]


class UNet(nn.Module):
    """pix2pix's `unet_256` (levels = 8): 54,413,955 parameters from 3 channels to 3.

    Args:
        levels: How often the image is halved.
        dropout: Rate in the deepest full-width decoders.
    """

    def __init__(self, levels: int = 8, dropout: float = 0.5) -> None:
        super().__init__()
        self.levels = levels
        channels = widths(levels)
        self.down = nn.ModuleList(
            _down(inputs, outputs, first=level == 0, last=level == levels - 1)
            for level, (inputs, outputs) in enumerate(zip([3, *channels], channels, strict=False))
        )
        self.up = nn.ModuleList(
            _up(
                channels[level] * (1 if level == levels - 1 else 2),
                channels[level - 1],
                dropout if 5 <= level + 1 < levels else 0.0,
            )
            for level in range(levels - 1, 0, -1)
        )
        self.visual = nn.Sequential(
            nn.ReLU(), nn.ConvTranspose2d(2 * channels[0], 3, 4, stride=2, padding=1), nn.Tanh()
        )

    def encode(self, x: Float[Tensor, "b 3 y x"]) -> list[Tensor]:
        """Run the encoders.

        Args:
            x: Images.

        Returns:
            Every level's features, the finest first.

        Raises:
            GeometryError: A side cannot be halved often enough.
        """
        require_multiple(x, 2**self.levels)
        features = []
        for block in self.down:
            x = block(x)
            features.append(x)
        return features

    def decode(self, deepest: Tensor, skips: list[Tensor]) -> Float[Tensor, "b 3 y x"]:
        """Run the decoders.

        Args:
            deepest: The last encoder's features.
            skips: What joins each level, the finest first; one fewer than levels.

        Returns:
            Images in (−1, 1).
        """
        x = deepest
        for block, skip in zip(self.up, reversed(skips), strict=True):
            x = torch.cat([skip, block(x)], dim=1)
        return torch.as_tensor(self.visual(x))

    def forward(self, x: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b 3 y x"]:
        """Run the network.

        Args:
            x: Images.

        Returns:
            Images of the same size in (−1, 1).
        """
        *skips, deepest = self.encode(x)
        return self.decode(deepest, skips)


def _down(inputs: int, outputs: int, *, first: bool, last: bool) -> nn.Sequential:
    layers: list[nn.Module] = [] if first else [nn.LeakyReLU(LEAK)]
    layers.append(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False))
    if not (first or last):
        layers.append(nn.BatchNorm2d(outputs))
    return nn.Sequential(*layers)


def _up(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.ReLU(),
        nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    if dropout:
        layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)
