"""A RECONSTRUCTION of the DSGGAN baseline; the original's code and details were not at hand.

Known are the abstract of Wang et al. (Comput. Biol. Med. 172:108296, 2024), two generators with
deep perceptual skips, the seed paper's words (dense connections) and Table 2's count, 92.54 M.
This network has what the words ask for and 92,540,678 parameters; it claims no more.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from petcast.models.unet import UNet, widths

LEVELS = 7
SQUEEZE = 16


class DeepPerceptualSkip(nn.Module):
    """A skip that sees its own and all deeper levels and selects among their channels.

    Args:
        inputs: Channels of the own and all deeper levels together.
        outputs: Channels of the own level.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.fuse = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.refine = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1, groups=outputs, bias=False),
            nn.Conv2d(outputs, outputs, 3, padding=1, groups=outputs, bias=False),
            nn.Conv2d(outputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.select = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(outputs, outputs // SQUEEZE, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(outputs // SQUEEZE, outputs, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Fuse levels.

        Args:
            levels: Features of the own level and of all deeper ones, the own first.

        Returns:
            Features of the own level's size and width.
        """
        own, *deeper = levels
        size = own.shape[-2:]
        grown = [interpolate(level, size=size, mode="nearest") for level in deeper]
        refined = self.refine(self.fuse(torch.cat([own, *grown], dim=1)))
        return torch.as_tensor(own + refined * self.select(refined))


class DualStageGenerator(UNet):
    """One of DSGGAN's two generators: a U-Net of seven levels with deep perceptual skips.

    Args:
        dropout: Rate in the deepest full-width decoders.
    """

    def __init__(self, dropout: float = 0.5) -> None:
        super().__init__(LEVELS, dropout)
        channels = widths(LEVELS)
        self.skips = nn.ModuleList(
            DeepPerceptualSkip(sum(channels[level:]), channels[level])
            for level in range(LEVELS - 1)
        )

    def forward(self, x: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b 3 y x"]:
        """Run the generator.

        Args:
            x: Images, sides a multiple of 128.

        Returns:
            Images of the same size in (−1, 1).
        """
        features = self.encode(x)
        skips = [skip(features[level:]) for level, skip in enumerate(self.skips)]
        return self.decode(features[-1], skips)
