"""The published protocol against a sound one: what the protocol alone is worth."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Worth:
    """What a protocol alone is worth, over generators.

    Attributes:
        middle: Median over generators of the published number minus the sound one.
        least: The smallest.
        most: The largest.
        generators: How many have both.
        picking: Median of the best over epochs minus the last epoch's: what choosing on the test
            set brings by itself.
        slices: The all-zero image's own difference: how much easier or harder the slices are.
    """

    middle: float
    least: float
    most: float
    generators: int
    picking: float
    slices: float | None


def worth_of(
    published: Mapping[str, float],
    sound: Mapping[str, float],
    last: Mapping[str, float],
    zero: tuple[float, float] | None,
) -> Worth | None:
    """Say what the published protocol adds to the same generators' numbers.

    Args:
        published: The best over test epochs, by generator.
        sound: The mean over test patients, by generator.
        last: The last epoch's number under the published protocol, by generator.
        zero: The all-zero image's number under the published and the sound protocol.

    Returns:
        The worth; None where no generator has both numbers.

    Example:
        >>> worth_of({"a": 33.0}, {"a": 30.0}, {"a": 32.5}, (29.0, 28.0)).middle
        3.0
    """
    both = [name for name in published if name in sound]
    if not both:
        return None
    gains = [published[name] - sound[name] for name in both]
    picking = median(published[name] - last[name] for name in both)
    easier = zero[0] - zero[1] if zero else None
    return Worth(median(gains), min(gains), max(gains), len(both), picking, easier)
