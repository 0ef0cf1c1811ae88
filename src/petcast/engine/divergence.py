"""What is said where training cannot go on: a loss, a score or a weight is no number."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from petcast.dataset import require_finite
from petcast.errors import TrainingError
from petcast.pairs import PairedStudy
from petcast.recipe import Recipe


def refuse_divergence(
    means: Mapping[str, float],
    epoch: int,
    run: Path,
    studies: Sequence[PairedStudy],
    recipe: Recipe,
    where: str = "",
) -> None:
    """Stop where a number is infinite or NaN.

    Args:
        means: Numbers of an epoch, by name.
        epoch: Which.
        run: The run's folder.
        studies: What the numbers were made of.
        recipe: How the run learns.
        where: Of which part, for the message.

    Raises:
        FormatError: The stored PET is to blame.
        TrainingError: It is not.
    """
    bad = [name for name, value in means.items() if not math.isfinite(value)]
    if bad:
        require_finite(studies)
        last = run / "last"
        kept = f"The last good state is in {last}; try" if last.is_dir() else "Try"
        raise TrainingError(
            f"epoch {epoch}: {', '.join(bad)} became infinite or NaN{where}. {kept} a smaller "
            f"optimizer.learning_rate{' or loss.adversarial' if recipe.loss.adversarial else ''}"
        )
