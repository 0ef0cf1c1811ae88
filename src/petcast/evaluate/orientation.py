"""Is a prediction turned over, are its axes swapped, is it shifted along z?

A turn T is believed when the turned prediction agrees clearly better with the truth than the given
one. How much better is measured on what the turn changes at all: for prediction p and truth t,

    evidence = 2 (⟨Tp, t⟩ − ⟨p, t⟩) / (|Tp − p| |Tt − t|)

which for a flip is minus the correlation of the two images' asymmetric parts: 1 where p is exactly
the turned truth, −1 where it is the truth, near 0 where p knows nothing of the asymmetry. So a body
that is nearly symmetric is judged by the little that is not (heart, liver, stomach), and a blurred,
biased or noisy prediction stays below 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

EVIDENCE = 0.35
"""A turn needs more evidence than this. Honest predictions, however weak, stay below 0.1; a turned
one that is also blurred or noisy keeps more than 0.6 (docs/evaluate.md)."""

LEAST_ASYMMETRY = 0.002
"""Share of the truth's energy that the turn must change: below it both ways look alike."""

AGREES = 0.6
"""Correlation that says that two images show the same patient, where grids do not fit."""

CLEARLY = 0.2
"""By so much the correlation has to be higher than where the header puts the prediction."""

FOLLOWS, IN_BODY = 0.3, 0.25
"""A turned prediction has to follow the truth's uptake at least so far where that exceeds this
share of its mean: an image that is wrong either way round is not turned."""

REACH = 4
"""Shifts along z by fewer slices than this are found, up and down."""

MOST_SLICES = 0.75
"""The share of slices that have to agree better where they are shifted to; noise helps half."""

LEAST_SHIFT, SHARP = 0.67, 0.1
"""In slices; and how sharp the best place has to be (see `find_shift`)."""

SIDE = 64
"""In-plane, images are averaged down to at most twice this many voxels a side: turns are large, and
noise is averaged out."""

BRIGHTEST = 4.0
"""Times the body's mean where uptake is cut off, so that a bladder does not decide alone."""

Image = NDArray[np.float32]
AXES = "zyx"


@dataclass(frozen=True)
class Turn:
    """A way to store a volume wrongly: axes exchanged, then reversed.

    Attributes:
        order: Which stored axis lies along z, y and x.
        reversed: Of z, y and x: stored the other way round.
    """

    order: tuple[int, int, int]
    reversed: tuple[bool, bool, bool]

    @property
    def swaps(self) -> bool:
        """Whether it exchanges axes."""
        return self.order != (0, 1, 2)

    def undo(self, stored: Shaped[np.ndarray, "a b c"]) -> Shaped[np.ndarray, "z y x"]:
        """Turn what was stored so back.

        Args:
            stored: As it came.

        Returns:
            As it should be; a view.

        Example:
            >>> Turn((0, 1, 2), (False, False, True)).undo(np.array([[[1, 2]]])).tolist()
            [[[2, 1]]]
        """
        axes = [axis for axis, flipped in enumerate(self.reversed) if flipped]
        return np.asarray(np.flip(stored.transpose(self.order), tuple(axes)))

    def __str__(self) -> str:
        swapped = [AXES[axis] for axis, stored in enumerate(self.order) if axis != stored]
        parts = [f"axes {' and '.join(swapped)} exchanged"] if swapped else []
        turned = [AXES[axis] for axis, flipped in enumerate(self.reversed) if flipped]
        return ", ".join(parts + ([f"{' and '.join(turned)} reversed"] if turned else []))


def comparable(
    suv: Shaped[np.ndarray, "z y x"], body_mean: float, air: float
) -> Float[np.ndarray, "z y x"]:
    """Bring an image of any unit to a scale of its own, coarse in-plane.

    Args:
        suv: Any unit.
        body_mean: Its mean inside the body, above `air`.
        air: Its value outside.

    Returns:
        0 in air, near 1 in the body, at most 4; cells of the same number of voxels.
    """
    scaled = (_coarse(suv) - np.float32(air)) / np.float32(body_mean - air)
    return np.asarray(np.clip(scaled, 0, BRIGHTEST))


def find_turn(
    prediction: Float[np.ndarray, "z y x"], truth: Float[np.ndarray, "z y x"]
) -> tuple[Turn, float] | None:
    """Find out how a prediction is turned.

    Args:
        prediction: From `comparable`, on the truth's grid.
        truth: From `comparable`.

    Returns:
        The turn that makes the prediction agree best, with its evidence; None where the given one
        agrees best or nothing is clearly better.
    """
    as_given = _dot(prediction, truth)
    best, agreement = None, as_given
    for turn in _turns(prediction.shape, truth.shape):
        found = _dot(turn.undo(prediction), truth)
        if found > agreement:
            best, agreement = turn, found
    if best is None:
        return None
    turned, body = best.undo(prediction), truth > IN_BODY
    if not body.any() or _correlation(turned[body], truth[body]) < FOLLOWS:
        return None
    moved = _moved(turned, prediction), _moved(best.undo(truth), truth)
    if moved[1] ** 2 < LEAST_ASYMMETRY * 2 * _dot(truth, truth):
        return None
    evidence = _evidence(agreement - as_given, *moved)
    return (best, evidence) if evidence > EVIDENCE else None


def find_swap(
    stored: Float[np.ndarray, "a b c"],
    given: Float[np.ndarray, "z y x"],
    truth: Float[np.ndarray, "z y x"],
) -> tuple[Turn, float] | None:
    """Find exchanged axes where the stored shape is the truth's in another order.

    Args:
        stored: As the file has it; from `comparable`, not averaged down.
        given: The same where its header puts it on the truth's grid.
        truth: From `comparable`, not averaged down.

    Returns:
        The turn and its correlation with the truth, where that is high and the given one's is not.
    """
    turns = list(_turns(stored.shape, truth.shape))
    if not turns:
        return None
    found = {turn: _correlation(turn.undo(stored), truth) for turn in turns}
    best = max(found, key=lambda turn: found[turn])
    clear = found[best] > AGREES and found[best] > _correlation(given, truth) + CLEARLY
    return (best, found[best]) if clear else None


def find_place(
    stored: Float[np.ndarray, "z y x"],
    given: Float[np.ndarray, "z y x"],
    truth: Float[np.ndarray, "z y x"],
) -> float | None:
    """Find a lost place, where the stored shape is the truth's.

    Args:
        stored: As the file has it; from 0 to 1, not averaged down.
        given: The same where its header puts it on the truth's grid.
        truth: From 0 to 1, not averaged down.

    Returns:
        The correlation with the truth voxel by voxel, where that is high and the given one's is
        not; else None.
    """
    found = _correlation(stored, truth)
    clear = found > AGREES and found > _correlation(given, truth) + CLEARLY
    return found if clear else None


def find_shift(
    prediction: Float[np.ndarray, "z y x"], truth: Float[np.ndarray, "z y x"]
) -> tuple[float, float] | None:
    """Find a shift along z.

    Slices are compared one by one, each on its own scale, so that neither bias nor blur counts. The
    shift is where a parabola through the best mean correlation and its neighbours has its top,
    which neither noise nor blur move. It counts where the parabola is sharp beside that of the
    truth with itself: an image that is alike in all slices has no place along z.

    Args:
        prediction: From `comparable`, on the truth's grid.
        truth: From `comparable`.

    Returns:
        By how many slices the prediction lies too high (towards the head), at least two thirds, and
        how sharp it is (1 for the truth itself); None where it lies right.
    """
    if len(truth) < 4 * REACH:
        return None
    here, there = _standardised(prediction), _standardised(truth)
    inner = _shifted(there, 0)
    agreement = [_dot(_shifted(here, k), inner) for k in range(-REACH, REACH + 1)]
    best = int(np.argmax(agreement))
    if best in (0, 2 * REACH) or agreement[best] < FOLLOWS * len(inner):
        return None
    below, top, above = agreement[best - 1 : best + 2]
    bend = 2 * top - below - above
    shift = best - REACH + 0.5 * (above - below) / bend
    own = 2 * _dot(inner, inner) - sum(_dot(_shifted(there, k), inner) for k in (-1, 1))
    sharpness = bend / own if own > 0 else 0.0
    clear = abs(shift) > LEAST_SHIFT and sharpness > SHARP and _most_gain(here, there, best - REACH)
    return (shift, sharpness) if clear else None


def _most_gain(here: Image, there: Image, k: int) -> bool:
    """Whether most slices agree better where the prediction lies k slices lower."""
    shifted, given, inner = _shifted(here, k), _shifted(here, 0), _shifted(there, 0)
    gain = np.einsum("zyx,zyx->z", shifted - given, inner)
    return bool((gain > 0).mean() > MOST_SLICES)


def _turns(stored: tuple[int, ...], wanted: tuple[int, ...]) -> Iterator[Turn]:
    """All turns but none at all that bring one shape to the other."""
    for a, b, c in permutations(range(3)):
        if (stored[a], stored[b], stored[c]) != wanted:
            continue
        for z, y, x in product((False, True), repeat=3):
            turn = Turn((a, b, c), (z, y, x))
            if turn.swaps or any(turn.reversed):
                yield turn


def _standardised(image: Image) -> Image:
    """Each slice with mean 0 and energy 1; 0 where it is constant."""
    centred = image - image.mean(axis=(1, 2), keepdims=True)
    energy = np.sqrt(np.square(centred).sum(axis=(1, 2), keepdims=True))
    return np.asarray(centred / np.where(energy > 0, energy, 1))


def _shifted(image: Image, k: int) -> Image:
    """The inner slices of an image that lies k slices lower."""
    return image[REACH + k : len(image) - REACH + k]


def _evidence(gain: float, moved_prediction: float, moved_truth: float) -> float:
    scale = moved_prediction * moved_truth
    return 2 * gain / scale if scale > 0 else 0.0


def _dot(a: Image, b: Image) -> float:
    return float(np.vdot(a.ravel(), b.ravel()))


def _moved(turned: Image, image: Image) -> float:
    return float(np.linalg.norm((turned - image).ravel()))


def _correlation(a: Image, b: Image) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.linalg.norm(a.ravel()) * np.linalg.norm(b.ravel()))
    return _dot(a, b) / scale if scale > 0 else 0.0


def _coarse(suv: Shaped[np.ndarray, "z y x"]) -> Image:
    """Averages of square cells, cut alike at both ends, so that a flip stays a flip."""
    cell = max(1, max(suv.shape[1:]) // SIDE)
    z, y, x = suv.shape
    cut_y, cut_x = (y % cell) // 2, (x % cell) // 2
    kept = suv[:, cut_y : cut_y + y // cell * cell, cut_x : cut_x + x // cell * cell]
    # Rows first: whole ones add up several times faster than squares do.
    rows = kept.reshape(z, y // cell, cell, -1).mean(axis=2, dtype=np.float32)
    return np.asarray(rows.reshape(z, y // cell, x // cell, cell).mean(axis=3))
