"""Slices on the model grid: HU in, the SUV of every stage out."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int16

from petcast.dataset import ct_slices
from petcast.device import casting_within_memory
from petcast.errors import UsageError
from petcast.models import Synthesizer
from petcast.progress import track
from petcast.refusal import Reason, RefusedError

BATCH_SIZE = 16


@torch.inference_mode()
def predict_slices(
    synthesizer: Synthesizer,
    ct_hu: Int16[np.ndarray, "z y x"] | Float[np.ndarray, "z y x"],
    *,
    device: torch.device | str = "cpu",
    batch_size: int = BATCH_SIZE,
    last_only: bool = False,
    stages: int | None = None,
) -> Float[np.ndarray, "stages z y x"]:
    """Cast slices that already lie on the model grid.

    Args:
        synthesizer: A trained model.
        ct_hu: The CT in HU.
        device: Where to compute.
        batch_size: Slices at a time.
        last_only: Keep only the last stage's output.
        stages: Run only so many stages, the first ones; the K-th is then the last.

    Returns:
        float32 SUV of every stage, or of the last one alone.

    Raises:
        UsageError: The model has fewer stages.
    """
    batches = []
    with casting_within_memory(device), first_stages(synthesizer, stages):
        synthesizer = synthesizer.to(device).eval()
        for hu in hu_batches(ct_hu, synthesizer.slices, batch_size):
            outputs = synthesizer(hu.to(device))
            kept = outputs[-1:] if last_only else outputs
            batches.append(torch.stack(kept).cpu().numpy())
    return np.concatenate(batches, axis=1)


def finite(suv: Float[np.ndarray, "z y x"]) -> Float[np.ndarray, "z y x"]:
    """Refuse what a model gave that is no number: readers of files take it for SUV 0, or for more.

    Args:
        suv: Cast by a model.

    Returns:
        The same.

    Raises:
        RefusedError: NOT-FINITE.
    """
    if not np.isfinite(suv).all():
        raise RefusedError(
            Reason.NOT_FINITE,
            "The model's PET holds NaN or infinite values: its weights are damaged, or its "
            "training diverged.",
        )
    return suv


def hu_batches(
    ct_hu: Int16[np.ndarray, "z y x"] | Float[np.ndarray, "z y x"],
    channels: int,
    batch_size: int = BATCH_SIZE,
) -> Iterator[Float[torch.Tensor, "b c y x"]]:
    """Divide a CT into batches, as a synthesizer takes them.

    Args:
        ct_hu: The CT in HU.
        channels: Of the synthesizer.
        batch_size: Slices at a time.

    Yields:
        Slices in HU, each with its neighbours where it has three channels.
    """
    for start in track(range(0, len(ct_hu), batch_size), "Casting"):
        places = range(start, min(start + batch_size, len(ct_hu)))
        hu = np.stack([ct_slices(ct_hu, z, channels) for z in places])
        yield torch.from_numpy(hu.astype(np.float32))


@contextmanager
def first_stages(synthesizer: Synthesizer, stages: int | None) -> Iterator[None]:
    """Run only the first stages meanwhile: the later ones cost nothing.

    Args:
        synthesizer: A trained model.
        stages: How many; all of them where None.

    Raises:
        UsageError: The model has fewer.
    """
    generator = synthesizer.generator
    has = len(generator.chain)
    if stages is not None and not 1 <= stages <= has:
        offered = "1 stage; give 1" if has == 1 else f"{has} stages; give 1 to {has}"
        raise UsageError(f"--stages {stages}: {synthesizer.recipe.name} has {offered}")
    before, generator.limit = generator.limit, stages
    try:
        yield
    finally:
        generator.limit = before
