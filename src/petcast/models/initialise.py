"""How weights begin; the paper does not say."""

from typing import Literal

from torch import nn

from petcast.models.refinement import Refinement
from petcast.models.upsample import PixelShuffle

DEVIATION = 0.02


def initialise(network: nn.Module, form: Literal["torch", "normal"]) -> nn.Module:
    """Draw a network's first weights; it is changed in place.

    Args:
        network: Convolutions and batch normalisations, fresh.
        form: "torch" leaves PyTorch's own (uniform, by fan-in); "normal" draws convolutions from
            N(0, 0.02²) and the norms' scales from N(1, 0.02²), and sets what is added to 0.

    Returns:
        The network.

    Reference:
        Radford et al. 2016, section 3; Isola et al. 2017, section 6.2, for "normal".
    """
    if form == "normal":
        network.apply(_draw)
        for module in network.modules():  # what must begin alike, or as nothing, still does
            if isinstance(module, PixelShuffle):
                module.begin_alike()
            if isinstance(module, Refinement) and module.residual:
                module.begin_as_identity()
    return network


def _draw(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, DEVIATION)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, DEVIATION)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
