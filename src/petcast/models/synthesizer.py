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
    def slices(self) -> int:
        """CT slices that one prediction wants: 1, or 3 with the neighbours."""
        return self.recipe.slices

    def normalise(self, hu: Float[Tensor, "b c y x"]) -> Float[Tensor, "b d y x"]:
        """Map HU to [0, 1] and fill the generator's channels.

        Args:
            hu: One slice, or a slice between its neighbours, in HU.

        Returns:
            Three channels, or nine: window by window; HU outside a window are clipped.

        Raises:
            UsageError: The number of slices is not `slices`.
        """
        if hu.shape[1] != self.slices:
            raise UsageError(
                f"a model with input = {self.recipe.input!r} takes {self.slices} CT slice(s) a "
                f"prediction, not {hu.shape[1]}"
            )
        if self.recipe.input.endswith("windows"):
            windows = self.recipe.hu_window, self.recipe.lung_window, self.recipe.soft_window
            return torch.cat([_scaled(hu, window) for window in windows], dim=1)
        return _scaled(hu, self.recipe.hu_window).expand(-1, 3, -1, -1)

    def target(self, suv: Float[Tensor, "b y x"]) -> Float[Tensor, "b 3 y x"]:
        """Map a PET to the scale that the generator is trained on.

        Args:
            suv: In SUV.

        Returns:
            [0, 1], the same in all three channels; SUV outside the window are clipped.
        """
        return _scaled(suv, self.recipe.suv_window).unsqueeze(1).expand(-1, 3, -1, -1)

    @property
    def gives_quantiles(self) -> bool:
        """Whether the three output channels are quantiles."""
        return self.recipe.output == "quantiles"

    def members(self, stage: Float[Tensor, "b d y x"]) -> list[Float[Tensor, "b 3 y x"]]:
        """Take a stage's output apart.

        Args:
            stage: Normalised.

        Returns:
            Each member's three channels; of one member, the output as it is.
        """
        if self.recipe.members == 1:
            return [stage]
        return list(stage.tensor_split(self.recipe.members, dim=1))

    def image(self, member: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b y x"]:
        """Take the image out of a member's output.

        Args:
            member: Normalised.

        Returns:
            The mean of the three channels; of quantiles, the middle one.
        """
        return member[:, 1] if self.gives_quantiles else member.mean(dim=1)

    def stages(self, hu: Float[Tensor, "b c y x"]) -> list[Float[Tensor, "b d y x"]]:
        """Run the generator on its own scale, for training.

        Args:
            hu: One slice, or a slice between its neighbours, in HU.

        Returns:
            Every stage's output, normalised, unbounded: three channels of each member.
        """
        outputs: list[Tensor] = self.generator(self.normalise(hu))
        return outputs

    def forward(self, hu: Float[Tensor, "b c y x"]) -> list[Float[Tensor, "b y x"]]:
        """Cast PETs.

        Args:
            hu: One slice, or a slice between its neighbours, in HU.

        Returns:
            Every stage's PET in SUV, at least 0. Above the window's upper end nothing is cut off.
            Of several members, the mean of theirs.
        """
        return [_mean(self._pets(stage)) for stage in self.stages(hu)]

    def each(self, hu: Float[Tensor, "b c y x"]) -> list[Float[Tensor, "b y x"]]:
        """Cast a PET by each member alone.

        Args:
            hu: One slice, or a slice between its neighbours, in HU.

        Returns:
            The last stage's PETs in SUV; their mean is the model's own.
        """
        return self._pets(self.stages(hu)[-1])

    def _pets(self, stage: Tensor) -> list[Tensor]:
        return [self._in_suv(self.image(member)) for member in self.members(stage)]

    def quantiles(self, hu: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 3 y x"]:
        """Cast the 5 %, 50 % and 95 % quantiles of the PET.

        Args:
            hu: One slice, or a slice between its neighbours, in HU.

        Returns:
            The last stage's quantiles in SUV, as they were learned: they may cross. Of several
            members, the mean of theirs.

        Raises:
            UsageError: The model was not trained to give quantiles.
        """
        if not self.gives_quantiles:
            raise UsageError(
                'this model gives no quantiles; train one with --set model.output="quantiles"'
            )
        return _mean([self._in_suv(member) for member in self.members(self.stages(hu)[-1])])

    def _in_suv(self, normalised: Tensor) -> Tensor:
        low, high = self.recipe.suv_window
        return torch.clamp(low + normalised * (high - low), min=0.0)


def _mean(of_members: list[Tensor]) -> Tensor:
    return of_members[0] if len(of_members) == 1 else torch.stack(of_members).mean(dim=0)


def _scaled(values: Tensor, window: tuple[float, float]) -> Tensor:
    low, high = window
    return ((values - low) / (high - low)).clamp(0, 1)
