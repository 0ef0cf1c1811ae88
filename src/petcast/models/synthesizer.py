"""HU in, SUV out. Normalisation lives here and nowhere else."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from petcast.errors import UsageError
from petcast.models.build import build_generator
from petcast.recipe import ModelRecipe


class Synthesizer(nn.Module):
    """A generator in physical units.

    HU and SUV are mapped to [0, 1] by the recipe's fixed windows, never by an image's own
    minimum or maximum: those would make the same tissue a different grey in each slice.

    Args:
        recipe: The generator and its windows.
    """

    def __init__(self, recipe: ModelRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.generator = build_generator(recipe)

    @property
    def channels(self) -> int:
        """CT slices that one prediction wants: 1, or 3 with the neighbours."""
        return 3 if self.recipe.input == "neighbours" else 1

    def normalise(self, hu: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 3 y x"]:
        """Map HU to [0, 1] and fill the generator's three channels.

        Args:
            hu: One slice, or a slice between its neighbours, in HU.

        Returns:
            Three channels; HU outside the window are clipped.

        Raises:
            UsageError: The number of slices is not `channels`.
        """
        if hu.shape[1] != self.channels:
            raise UsageError(
                f"a model with input = {self.recipe.input!r} takes {self.channels} CT slice(s) a "
                f"prediction, not {hu.shape[1]}"
            )
        low, high = self.recipe.hu_window
        scaled = ((hu - low) / (high - low)).clamp(0, 1)
        return scaled.expand(-1, 3, -1, -1)

    def target(self, suv: Float[Tensor, "b y x"]) -> Float[Tensor, "b 3 y x"]:
        """Map a PET to the scale that the generator is trained on.

        Args:
            suv: In SUV.

        Returns:
            [0, 1], the same in all three channels; SUV outside the window are clipped.
        """
        low, high = self.recipe.suv_window
        scaled = ((suv - low) / (high - low)).clamp(0, 1)
        return scaled.unsqueeze(1).expand(-1, 3, -1, -1)

    def stages(self, hu: Float[Tensor, "b c y x"]) -> list[Float[Tensor, "b 3 y x"]]:
        """Run the generator on its own scale, for training.

        Args:
            hu: One slice, or a slice between its neighbours, in HU.

        Returns:
            Every stage's output, normalised, unbounded.
        """
        outputs: list[Tensor] = self.generator(self.normalise(hu))
        return outputs

    def forward(self, hu: Float[Tensor, "b c y x"]) -> list[Float[Tensor, "b y x"]]:
        """Cast PETs.

        Args:
            hu: One slice, or a slice between its neighbours, in HU.

        Returns:
            Every stage's PET in SUV: the mean of the three channels, at least 0. Above the
            window's upper end nothing is cut off.
        """
        low, high = self.recipe.suv_window
        return [
            torch.clamp(low + stage.mean(dim=1) * (high - low), min=0.0)
            for stage in self.stages(hu)
        ]
