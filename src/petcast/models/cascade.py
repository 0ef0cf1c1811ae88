"""The paper's cascade: Table 1's stage, one to ten times (section 3.1)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from petcast.models.blocks import Decoder, Encoder, VisualBlock, require_multiple
from petcast.models.upsample import Upsampling


class Row(NamedTuple):
    """A row of Table 1: channels in and out, channels of the skip among the inputs, dropout."""

    name: str
    input: int
    output: int
    trans: int = 0
    dropout: float = 0.0


# Table 1. A decoder's "Trans" is the skip that joins its output and enters the next block: the
# input of decoder k + 1 is the output of decoder k plus its Trans.
TABLE_1 = (
    Row("Encoder 1",       3,   16),
    Row("Encoder 2",      16,   24),
    Row("Encoder 3",      24,   42),
    Row("Encoder 4",      42,   81),
    Row("Encoder 5",      81,  114),
    Row("Encoder 6",     114,  162),
    Row("Encoder 7",     162,  162),
    Row("Encoder 8",     162,  960),
    Row("Decoder 1",     960,  960, 162, 0.5),
    Row("Decoder 2",    1122,  162, 162, 0.5),
    Row("Decoder 3",     324,  114, 114, 0.5),
    Row("Decoder 4",     228,   81,  81),
    Row("Decoder 5",     162,   42,  42),
    Row("Decoder 6",      84,   24,  24),
    Row("Decoder 7",      48,   16,  16),
    Row("Visual Block",   32,    3),
)  # fmt: skip

ENCODERS, DECODERS, VISUAL = TABLE_1[:8], TABLE_1[8:15], TABLE_1[15]
MULTIPLE = 2 ** len(ENCODERS)


class Stage(nn.Module):
    """One encoder-decoder of Table 1, Figure 1: an image of three channels to another.

    Args:
        dropout: Rate in the decoders whose row has one; the paper's 0.5.
        inputs: Channels of its input; the paper's 3.
        upsampling: How decoders and visual block double the size.
    """

    def __init__(
        self,
        dropout: float = 0.5,
        inputs: int = ENCODERS[0].input,
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__()
        first, *middle, last = ENCODERS
        self.encoders = nn.ModuleList(
            [
                Encoder(inputs, first.output, normalise=False),
                *(Encoder(row.input, row.output) for row in middle),
                Encoder(last.input, last.output, normalise=False),
            ]
        )
        self.decoders = nn.ModuleList(
            Decoder(
                row.input,
                row.output,
                dropout=dropout if row.dropout else 0.0,
                upsampling=upsampling,
            )
            for row in DECODERS
        )
        self.visual = VisualBlock(VISUAL.input, VISUAL.output, upsampling=upsampling)

    def forward(self, x: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 3 y x"]:
        """Run the stage.

        Args:
            x: Images, sides a multiple of 256.

        Returns:
            Images of the same size, unbounded.

        Raises:
            GeometryError: A side is no multiple of 256.
        """
        require_multiple(x, MULTIPLE)
        skips = []
        for encoder in self.encoders:
            x = encoder(x)
            skips.append(x)
        skips.pop()  # encoder 8's output is decoder 1's input, not a skip
        for decoder in self.decoders:
            x = torch.cat([decoder(x), skips.pop()], dim=1)
        return torch.as_tensor(self.visual(x))


def run_plainly(stage: nn.Module, x: Tensor) -> Tensor:
    """Run a stage as it is.

    Args:
        stage: Of a cascade.
        x: Its input.

    Returns:
        Its output.
    """
    return torch.as_tensor(stage(x))


class Cascade(nn.Module):
    """Generators in a row: each one's output is the next one's input.

    Args:
        stages: The generators: the first from the CT's channels to three, each later one from
            three to three; or `Members`, with three for each member.

    Attributes:
        run_stage: How a stage is run; the training engine may put its own way here.
        limit: Run only so many stages, the first ones; all where None. The rest costs nothing.
    """

    def __init__(self, stages: list[nn.Module]) -> None:
        super().__init__()
        self.chain = nn.ModuleList(stages)
        self.run_stage: Callable[[nn.Module, Tensor], Tensor] = run_plainly
        self.limit: int | None = None

    def running(self) -> list[nn.Module]:
        """The stages that run.

        Returns:
            The first `limit` of the chain, or all of it.
        """
        return list(self.chain)[: self.limit]

    def forward(self, x: Float[Tensor, "b c y x"]) -> list[Float[Tensor, "b d y x"]]:
        """Run all stages, or the first `limit`.

        Args:
            x: Images.

        Returns:
            ALL their outputs, the last one last: losses, metrics, reports and early exit
            use them.
        """
        outputs = []
        for stage in self.running():
            x = self.run_stage(stage, x)
            outputs.append(x)
        return outputs
