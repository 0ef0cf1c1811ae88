"""The learning rate's course, and a moving average of the weights."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from petcast.recipe import OptimizerRecipe


def rate_factor(knobs: OptimizerRecipe, epochs_done: float, epochs: float) -> float:
    """Say by what the learning rate is multiplied.

    Args:
        knobs: The schedule and its warm-up.
        epochs_done: So far, with fractions.
        epochs: Altogether.

    Returns:
        1 for a constant rate; else it rises over the warm-up and falls along a cosine to 0.

    Reference:
        Loshchilov and Hutter, SGDR, ICLR 2017, Eq. 5, without restarts; Goyal et al. 2017, section
        2.2, for the warm-up.

    Example:
        >>> rate_factor(OptimizerRecipe(schedule="cosine", warmup_epochs=0), 5, 10)
        0.5
    """
    if epochs_done < knobs.warmup_epochs:
        return epochs_done / knobs.warmup_epochs
    if knobs.schedule == "constant":
        return 1.0
    falling = max(epochs - knobs.warmup_epochs, 1e-9)
    share = min(1.0, (epochs_done - knobs.warmup_epochs) / falling)
    return round(0.5 * (1 + math.cos(math.pi * share)), 12)


def stage_span(epochs_done: float, epochs: float, stages: int) -> tuple[int, float, float]:
    """Say which stage has its turn, where stages are trained one after the other.

    Args:
        epochs_done: So far, with fractions.
        epochs: Altogether; each stage has an equal share.
        stages: How many there are.

    Returns:
        The stage, counted from 0; epochs done of its share; its share.

    Reference:
        Bengio et al., Greedy layer-wise training of deep networks, NIPS 2006.

    Example:
        >>> stage_span(7.5, 12, 3)
        (1, 3.5, 4.0)
    """
    share = epochs / stages
    stage = min(int(epochs_done / share), stages - 1)
    return stage, epochs_done - stage * share, share


class MovingAverage:
    """An exponential moving average of weights, which scores and predicts in their place.

    Args:
        module: Whose weights and buffers are averaged; buffers are taken as they are.
        decay: Share of the average that a step keeps; smaller over the first steps.

    Reference:
        Polyak and Juditsky 1992; the start, (1 + n) / (10 + n) after n steps, as in TensorFlow's
        tf.train.ExponentialMovingAverage.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._parameters = [p for p in module.parameters() if p.requires_grad]
        self.average = [p.detach().clone() for p in self._parameters]
        self._decay = decay
        self.steps = 0

    def update(self) -> None:
        """Take the weights of one more step in."""
        self.steps += 1
        decay = min(self._decay, self.steps / (self.steps + 9))
        torch._foreach_lerp_(self.average, list(self._current()), 1 - decay)

    def restart(self, steps: int) -> None:
        """Begin again from the module's present weights.

        Args:
            steps: How many went into them.
        """
        self.average = [parameter.clone() for parameter in self._current()]
        self.steps = steps

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the module have the average for a while.

        Yields:
            Nothing.
        """
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, average in zip(self._parameters, self.average, strict=True):
            parameter.data, average.data = average.data, parameter.data

    def _current(self) -> Iterator[Tensor]:
        return (parameter.detach() for parameter in self._parameters)
