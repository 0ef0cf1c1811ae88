"""What the engine cannot do, said before any work: phantoms alone take minutes."""

import torch

from petcast.engine.curves import require_curves
from petcast.engine.parallel import World
from petcast.errors import DataError, UsageError
from petcast.models import Synthesizer
from petcast.recipe import Recipe

WITHOUT_STAGES = ("DSGGAN",)
"""Two networks that see into each other: neither can be run again by itself."""
OF_ONE_STAGE = ("Stage01", "U-Net")


def require_possible(recipe: Recipe, world: World) -> None:
    """Refuse knobs that exclude each other here.

    Args:
        recipe: What to do.
        world: The processes that share the work.

    Raises:
        UsageError: A knob goes not with the processes, with the parts or with the generator.
    """
    knobs, name, batch = recipe.engine, recipe.model.name, recipe.training.batch_size
    if recipe.training.order == "greedy" and world.size > 1:
        raise UsageError('training.order = "greedy" trains in one process; leave torchrun off')
    if knobs.compile and world.own_parts > 1:
        raise UsageError("engine.compile fuses whole batches: leave engine.parts at 0 with it")
    if knobs.recompute and name in WITHOUT_STAGES:
        raise UsageError(
            f"engine.recompute runs the stages of a cascade again; {name} is none: leave it off"
        )
    if batch < world.parts:
        raise UsageError(
            f"training.batch_size = {batch} has no slice for each of {world.parts} parts: enlarge "
            "it, or use fewer processes or engine.parts"
        )
    require_curves(knobs.tensorboard)


def require_slices(slices: int, world: World) -> None:
    """Refuse too few slices to train on.

    Args:
        slices: How many there are.
        world: The processes that share the work.

    Raises:
        DataError: They are not two, or fewer than the parts of a batch.
    """
    if slices >= max(2, world.parts):
        return
    each = f", and {world.parts} to divide a batch into as many parts" if world.parts > 2 else ""
    raise DataError(f"training needs at least two slices{each}; see the split in pairs.json")


def require_side(recipe: Recipe, side: int) -> None:
    """Refuse slices that the generator cannot halve; nothing is computed.

    Args:
        recipe: Names the generator.
        side: Voxels along x and y.

    Raises:
        GeometryError: It is no multiple of what the generator needs.
    """
    with torch.device("meta"), torch.no_grad():
        synthesizer = Synthesizer(recipe.model).eval()
        synthesizer.generator.limit = 1
        synthesizer(torch.empty(1, synthesizer.slices, side, side))


def lighter(recipe: Recipe, *, begun: bool) -> str:
    """Say how a training that needed too much memory would need less.

    Args:
        recipe: How it was tried.
        begun: Whether an epoch is kept: most knobs of a run stay then.

    Returns:
        What to do.
    """
    knobs, batch = recipe.engine, recipe.training.batch_size
    cascade = recipe.model.name not in (*OF_ONE_STAGE, *WITHOUT_STAGES)
    of_a_run = {
        "engine.pairs=streamed": knobs.pairs != "streamed",
        "engine.recompute=true": cascade and not (knobs.recompute or knobs.compile),
    }
    of_another = {
        f"training.batch_size={batch // 2}": batch > 1,
        "engine.precision=bfloat16": knobs.precision != "bfloat16",
    }
    here, there = (
        " or ".join(f"--set {setting}" for setting, helps in settings.items() if helps)
        for settings in ((of_a_run, of_another) if begun else (of_a_run | of_another, {}))
    )
    again = "free what others take of it, or give the command again" + (here and f" with {here}")
    kept = "; the epochs that are kept are not lost" if begun else ""
    return again + kept + (there and f". With another --out also: {there}")
