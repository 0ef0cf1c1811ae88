"""What the engine cannot do, said before any work: phantoms alone take minutes."""

from collections.abc import Sequence

import torch

from petcast.anatomy import OUTSIDE
from petcast.dataset import SliceDataset
from petcast.engine.curves import require_curves
from petcast.engine.parallel import World
from petcast.errors import DataError, UsageError
from petcast.losses import WEIGHTED
from petcast.models import Synthesizer
from petcast.pairs import PairedStudy, Pairs
from petcast.recipe import ModelRecipe, Recipe
from petcast.words import count

WITHOUT_STAGES = ("DSGGAN",)
"""Two networks that see into each other: neither can be run again by itself."""
OF_ONE_STAGE = ("Stage01", "U-Net")


def require_trainable(recipe: Recipe, pairs: Pairs, world: World | None = None) -> None:
    """Refuse what could not be trained, before phantoms are made or a folder is claimed.

    Args:
        recipe: What to do.
        pairs: What to learn from.
        world: The processes that share the work; one, where None.

    Raises:
        UsageError: Knobs exclude each other, or nothing would come of one.
        DataError: The pairs are too few, or lack what the recipe wants.
        GeometryError: The generator cannot halve the slices.
    """
    world = world or World(parts=recipe.engine.parts or 1)
    learned, judges = pairs.studies("train"), pairs.studies("validation")
    require_slices(sum(study.slices for study in learned), world)
    require_possible(recipe, world)
    require_side(recipe, pairs.index["preparation"]["size"])
    require_bodies(recipe, judges)
    require_masks(recipe, learned)
    slices, least = SliceDataset(learned, recipe.model.slices), max(2, world.parts)
    steps = len(slices.division(None, recipe.training.batch_size, least))
    require_turns(recipe, steps * recipe.training.epochs)


def require_possible(recipe: Recipe, world: World) -> None:
    """Refuse knobs that exclude each other here, or that nothing would come of.

    Args:
        recipe: What to do.
        world: The processes that share the work.

    Raises:
        UsageError: A knob goes not with the processes, with the parts, with the generator or with
            another knob.
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
    _require_use(recipe)


def _require_use(recipe: Recipe) -> None:
    """Refuse knobs that would change nothing, though somebody set them."""
    loss, model = recipe.loss, recipe.model
    if not any(loss.terms[name] for name in WEIGHTED):
        for knob in ("uptake", "lesions"):
            if getattr(loss, knob):
                raise UsageError(
                    f"loss.{knob} weighs voxels in {', '.join(WEIGHTED)}, and none of these "
                    f"counts: give one a weight, or set loss.{knob}=0"
                )
    for knob in ("lung_window", "soft_window"):
        asked = getattr(model, knob) != ModelRecipe.model_fields[knob].default
        if asked and not model.input.endswith("windows"):
            raise UsageError(
                f'model.{knob} is for model.input = "windows" or "neighbours-windows", not '
                f'"{model.input}": set one of these, or leave it out'
            )


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


def require_bodies(recipe: Recipe, judges: Sequence[PairedStudy]) -> None:
    """Refuse to choose an epoch inside bodies that nobody has, before one is trained.

    Args:
        recipe: How the epoch is chosen.
        judges: The validation studies.

    Raises:
        DataError: None shows a body.
    """
    if recipe.training.best != "psnr_body" or not judges:
        return
    if not any((study.regions > OUTSIDE).any() for study in judges):
        raise DataError(
            'training.best = "psnr_body" chooses the epoch inside the body, and no validation '
            'slice shows one; set training.best="psnr", or divide the patients anew'
        )


def require_masks(recipe: Recipe, studies: Sequence[PairedStudy]) -> None:
    """Refuse to weigh lesions that nobody has marked.

    Args:
        recipe: What lesions weigh.
        studies: Those to learn from.

    Raises:
        DataError: None has a lesion mask.
    """
    if recipe.loss.lesions and not any(study.lesions is not None for study in studies):
        raise DataError(
            f"loss.lesions = {recipe.loss.lesions:g} weighs voxels in lesion masks, and no "
            "training study has one; set loss.lesions=0, or prepare studies with masks"
        )


def require_turns(recipe: Recipe, steps: int) -> None:
    """Refuse to train stages one after the other in fewer steps than there are stages.

    Args:
        recipe: Names the generator.
        steps: Of the whole training.

    Raises:
        UsageError: A stage would never have its turn, and stay as random as it began.
    """
    name = recipe.model.name
    if recipe.training.order != "greedy" or steps >= int(name.removeprefix("Stage")):
        return
    raise UsageError(
        f'training.order = "greedy" trains the stages of {name} one after the other, and '
        f"{count(steps, 'step')} {'is' if steps == 1 else 'are'} fewer than these: some would "
        "never be trained. Give more epochs or smaller batches"
    )


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
