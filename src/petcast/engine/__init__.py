"""The training engine: one step, as fast as the published form of a generator allows.

    learner     a generator, its opponent, their optimisers: one step
    rewrites    the same convolutions with fewer operations; exact
    recompute   stages forgotten in the forward pass and run again in the backward pass
    augment     random flips, turns, scales and shifts on the device
    schedule    the learning rate's course, and the moving average of the weights
    feed        slices on their way to the device: resident, or read ahead
    parallel    several processes under torchrun: their parts of a batch, their gradients
    parts       a batch in parts, in one process or several: the same sums, batch statistics
    possible    what cannot be done, said before any work
    divergence  what is said where training cannot go on
    processor   what a processor does faster in another layout or precision
    opponent    the discriminator's convolutions with fewer operations
    curves      TensorBoard's, where a recipe wants them

Everything here is a knob of the recipe. Nothing here changes what a step computes, except where a
knob says so.
"""

from petcast.engine.learner import Learner

__all__ = ["Learner"]
