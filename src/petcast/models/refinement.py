"""A cascade whose later stages still know the CT, and add to the PET instead of drawing it anew.

In the published cascade a stage sees three channels of the PET before it and nothing else, so that
from the second stage on the CT is gone: what the first stage did not draw, no later one can know.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from petcast.models.cascade import Cascade, Stage
from petcast.models.upsample import BilinearConvolution, PixelShuffle


class Refinement(Cascade):
    """Stages in a row, each given what the recipe lets it know.

    Args:
        stages: The first takes the CT's channels; a later one takes the PET's three, after the
            CT's where it sees the CT.
        sees_ct: Whether later stages see the CT beside the PET before them.
        residual: Whether later stages add a correction to the PET before them. Their last layer
            then begins as 0, so that an added stage begins as the identity.

    Reference:
        Tu and Bai, Auto-context, IEEE TPAMI 32(10), 2010, for the image beside what was made of
        it; He et al., CVPR 2016, for corrections; Goyal et al. 2017, section 5.1, for beginning as
        the identity.
    """

    def __init__(self, stages: list[nn.Module], *, sees_ct: bool, residual: bool) -> None:
        super().__init__(stages)
        self.sees_ct, self.residual = sees_ct, residual
        if residual:
            self.begin_as_identity()

    def begin_as_identity(self) -> None:
        """Set the last layer of every later stage to 0."""
        later = nn.ModuleList(list(self.chain)[1:])
        for stage in (module for module in later.modules() if isinstance(module, Stage)):
            for parameter in _last_layer(stage).parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Float[Tensor, "b c y x"]) -> list[Float[Tensor, "b d y x"]]:
        """Run the stages.

        Args:
            x: The CT.

        Returns:
            The PET after each stage that runs, the last one last.
        """
        outputs: list[Tensor] = []
        for stage in self.running():
            if not outputs:
                outputs.append(self.run_stage(stage, x))
                continue
            before = outputs[-1]
            given = torch.cat([x, before], dim=1) if self.sees_ct else before
            drawn = self.run_stage(stage, given)
            outputs.append(before + drawn if self.residual else drawn)
        return outputs


def _last_layer(stage: Stage) -> nn.Module:
    layer = stage.visual[-1]
    return layer.convolution if isinstance(layer, BilinearConvolution | PixelShuffle) else layer
