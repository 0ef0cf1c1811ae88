"""A RECONSTRUCTION of the DSGGAN baseline; the original's code and details were not at hand.

Known are the abstract of Wang et al. (Comput. Biol. Med. 172:108296, 2024): two generators that
split structure from texture, with deep perceptual skips; the paper's words, "dense connections and
segmented optimization"; and Table 2's count, 92.54 M. This network follows the words and has
92,540,678 parameters; its scores say nothing about the authors' own.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from petcast.models.cascade import Cascade
from petcast.models.unet import UNet, widths

LEVELS = 7
SQUEEZE = 16


class DeepPerceptualSkip(nn.Module):
    """A skip that sees its own and all deeper levels and selects among their channels.

    Args:
        channels: Of the own and of each deeper level, the own first.
    """

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        outputs = channels[0]
        # One 1×1 convolution of all levels, cut up by level: each works at its level's own size,
        # which comes to the same as upsampling first and spares the memory.
        self.fuse = nn.ModuleList(nn.Conv2d(deep, outputs, 1, bias=False) for deep in channels)
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
        own = levels[0]
        fused = torch.zeros_like(own)
        for convolution, level in zip(self.fuse, levels, strict=True):
            fused = fused + interpolate(convolution(level), size=own.shape[-2:], mode="nearest")
        refined = self.refine(fused)
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
            DeepPerceptualSkip(channels[level:]) for level in range(LEVELS - 1)
        )

    def translate(self, features: list[Tensor]) -> Float[Tensor, "b 3 y x"]:
        """Make images of encoded levels.

        Args:
            features: Every level's features, the finest first.

        Returns:
            Images in (−1, 1).
        """
        skips = [skip(features[level:]) for level, skip in enumerate(self.skips)]
        return self.decode(features[-1], skips)

    def forward(self, x: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b 3 y x"]:
        """Run the generator.

        Args:
            x: Images, sides a multiple of 128.

        Returns:
            Images of the same size in (−1, 1).
        """
        return self.translate(self.encode(x))


class DSGGAN(Cascade):
    """Structure, then texture; 92,540,678 parameters (Table 2). A reconstruction.

    The first generator draws the structure from the CT. The second sees that drawing and, through
    dense connections, what the first one's encoders saw of the CT; what it makes is added to the
    structure. `loss.stages = "all"` gives each its own loss.

    Args:
        dropout: Rate in the deepest full-width decoders of both.
    """

    def __init__(self, dropout: float = 0.5) -> None:
        super().__init__([DualStageGenerator(dropout), DualStageGenerator(dropout)])

    def forward(self, x: Float[Tensor, "b 3 y x"]) -> list[Float[Tensor, "b 3 y x"]]:
        """Run both generators, or the first one where `limit` is 1.

        Args:
            x: Images, sides a multiple of 128.

        Returns:
            The structure, and the structure with its texture.

        Raises:
            GeometryError: A side is no multiple of 128.
        """
        structure_generator, texture_generator = self.chain
        assert isinstance(structure_generator, DualStageGenerator)  # noqa: S101 - for the type checker
        assert isinstance(texture_generator, DualStageGenerator)  # noqa: S101
        seen = structure_generator.encode(x)
        structure = structure_generator.translate(seen)
        if self.limit == 1:
            return [structure]
        drawn = texture_generator.encode(structure)
        dense = [own + before for own, before in zip(drawn, seen, strict=True)]
        return [structure, structure + texture_generator.translate(dense)]
