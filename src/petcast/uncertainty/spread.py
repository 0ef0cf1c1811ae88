"""Ways to tell where a model is unsure: a spread in SUV beside each voxel of its PET.

A spread is relative: where it is twice as large, errors should be. What it means in SUV is told by
calibration (`petcast.uncertainty.calibrate`). Of each way the mean over a neighbourhood counts: the
spread of one voxel is a draw of few, and bears the decoder's lattice.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int16
from torch import Tensor, nn

from petcast.device import casting_within_memory
from petcast.errors import UsageError
from petcast.models import Synthesizer
from petcast.predict import BATCH_SIZE, hu_batches

Way = Literal["stages", "dropout", "ensemble", "augmented", "quantiles", "uptake"]
WAYS: tuple[Way, ...] = get_args(Way)

SHIFTS_VOXELS = ((0, 0), (3, 1), (-1, -3))
"""Along y and x, of the way "augmented": odd, so that a lattice of any period comes to lie anew."""

NEIGHBOURHOOD_VOXELS = 6.0
"""Standard deviation, along y and x, of the Gaussian that spreads are averaged with: 12 mm on the
model's own grid. Chosen on validation patients (docs/decisions/0013)."""

Cast = tuple[Tensor, Tensor]
Models = Sequence[Synthesizer]


@dataclass(frozen=True)
class Method:
    """How a spread is made.

    Attributes:
        way: "stages": standard deviation over the stages' outputs. "dropout": over passes with
            dropout left on, norms as in prediction. "ensemble": over models trained apart, and
            over a model's members.
            "augmented": over the CT as it is and mirrored left for right, each at three places.
            "quantiles": half of what lies between the predicted 5 % and 95 % quantiles.
            "uptake": the predicted SUV itself, which knows nothing but that errors grow with it.
        passes: Of dropout.
        seed: Of dropout; the same seed gives the same spread.

    Reference:
        Gal and Ghahramani, Dropout as a Bayesian approximation, ICML 2016, section 4 (dropout);
        Lakshminarayanan et al., NeurIPS 2017 (ensemble); Wang et al., Neurocomputing 338, 2019
        (augmented); Koenker and Bassett 1978 (quantiles).
    """

    way: Way
    passes: int = 8
    seed: int = 0


def forward_passes(method: Method, models: int = 1) -> int:
    """Count what a PET with its spread costs.

    Args:
        method: How the spread is made.
        models: Of an ensemble, the model itself included.

    Returns:
        Forward passes of a slice; a PET alone costs one.

    Example:
        >>> forward_passes(Method("dropout", passes=8))
        9
    """
    more = {
        "dropout": method.passes,
        "ensemble": models - 1,
        "augmented": 2 * len(SHIFTS_VOXELS) - 1,
    }
    return 1 + more.get(method.way, 0)


def require_possible(models: Models, method: Method) -> None:
    """Refuse a way that these models cannot go.

    Args:
        models: The model, and of an ensemble the others.
        method: How the spread shall be made.

    Raises:
        UsageError: They cannot, and what to do.
    """
    reason = _obstacle(models, method)
    if reason:
        raise UsageError(f"way {method.way!r}: {reason}")


def _obstacle(models: Models, method: Method) -> str:
    """Why a way cannot be gone; empty where it can."""
    model = models[0]
    if method.way == "stages" and len(model.generator.chain) < 2:
        return f"{model.recipe.name} has one stage, which cannot disagree with another"
    if method.way == "dropout" and not any(_dropouts(model)):
        return "the model has no dropout (model.dropout = 0): every pass would give the same PET"
    if method.way == "dropout" and method.passes < 2:
        return "one pass has no spread; give 2 or more"
    if method.way == "quantiles" and not model.gives_quantiles:
        return 'the model gives no quantiles; train one with --set model.output="quantiles"'
    if method.way == "ensemble" and sum(one.recipe.members for one in models) < 2:
        return (
            "one network cannot disagree with itself; name one more run with --model, or train "
            "with model.members = 2 or more"
        )
    if method.way != "ensemble" and len(models) > 1:
        return "further runs (--model) are for --way ensemble; give it, or leave them out"
    if len({one.slices for one in models}) > 1:
        return "the runs take different numbers of CT slices (model.input)"
    return ""


@torch.inference_mode()
def cast_with_spread(
    models: Models,
    ct_hu: Int16[np.ndarray, "z y x"] | Float[np.ndarray, "z y x"],
    method: Method,
    *,
    device: torch.device | str = "cpu",
    batch_size: int = BATCH_SIZE,
) -> tuple[Float[np.ndarray, "z y x"], Float[np.ndarray, "z y x"]]:
    """Cast slices that already lie on the model grid, and say where the model is unsure.

    Args:
        models: The model, and of an ensemble the others.
        ct_hu: The CT in HU.
        method: How the spread is made.
        device: Where to compute.
        batch_size: Slices at a time; dropout draws batch by batch, so another size draws others.

    Returns:
        The model's own PET in SUV, the same as without a spread, and the spread in SUV, averaged
        over each voxel's neighbourhood.

    Raises:
        UsageError: The models cannot go this way.
    """
    require_possible(models, method)
    pets, spreads = [], []
    with casting_within_memory(device), _drawing_from(method.seed, torch.device(device)):
        models = [model.to(device).eval() for model in models]
        for hu in hu_batches(ct_hu, models[0].slices, batch_size):
            pet, spread = _CAST[method.way](models, hu.to(device), method)
            pets.append(pet.cpu().numpy())
            spreads.append(_around(spread.cpu().numpy()))
    return np.concatenate(pets), np.concatenate(spreads)


def _around(spread: Float[np.ndarray, "b y x"]) -> Float[np.ndarray, "b y x"]:
    from scipy.ndimage import gaussian_filter

    sigma = (0.0, NEIGHBOURHOOD_VOXELS, NEIGHBOURHOOD_VOXELS)
    return np.asarray(gaussian_filter(spread.astype(np.float32), sigma, mode="nearest"))


def _over_stages(models: Models, hu: Tensor, _: Method) -> Cast:
    stages = models[0](hu)
    return stages[-1], torch.stack(stages).std(dim=0, correction=0)


def _over_dropout(models: Models, hu: Tensor, method: Method) -> Cast:
    pet = models[0](hu)[-1]
    with _dropping(models[0]):
        drawn = [models[0](hu)[-1] for _ in range(method.passes)]
    return pet, torch.stack(drawn).std(dim=0)


def _over_models(models: Models, hu: Tensor, _: Method) -> Cast:
    each = [model.each(hu) for model in models]
    pets = [pet for of_model in each for pet in of_model]
    return torch.stack(each[0]).mean(dim=0), torch.stack(pets).std(dim=0)


def _over_motions(models: Models, hu: Tensor, _: Method) -> Cast:
    pets = [
        _moved_back(models[0](_moved(hu, shift, mirrored))[-1], shift, mirrored)
        for mirrored in (False, True)
        for shift in SHIFTS_VOXELS
    ]
    return pets[0], torch.stack(pets).std(dim=0)


def _between_quantiles(models: Models, hu: Tensor, _: Method) -> Cast:
    low, middle, high = models[0].quantiles(hu).unbind(dim=1)
    return middle, (high - low).clamp(min=0) / 2


def _of_uptake(models: Models, hu: Tensor, _: Method) -> Cast:
    pet = models[0](hu)[-1]
    return pet, pet


_CAST: dict[Way, Callable[[Models, Tensor, Method], Cast]] = {
    "stages": _over_stages,
    "dropout": _over_dropout,
    "ensemble": _over_models,
    "augmented": _over_motions,
    "quantiles": _between_quantiles,
    "uptake": _of_uptake,
}


def _moved(hu: Tensor, shift: tuple[int, int], mirrored: bool) -> Tensor:
    """What leaves at one edge comes in at the other: air for air, and nothing is interpolated."""
    turned = hu.flip(-1) if mirrored else hu
    return turned.roll(shift, dims=(-2, -1))


def _moved_back(pet: Tensor, shift: tuple[int, int], mirrored: bool) -> Tensor:
    back = pet.roll((-shift[0], -shift[1]), dims=(-2, -1))
    return back.flip(-1) if mirrored else back


def _dropouts(model: nn.Module) -> Iterator[nn.Module]:
    return (module for module in model.modules() if isinstance(module, nn.Dropout))


@contextmanager
def _dropping(model: nn.Module) -> Iterator[None]:
    """Leave dropout on, and nothing else: norms stay with their running statistics."""
    for module in _dropouts(model):
        module.train()
    try:
        yield
    finally:
        model.eval()


@contextmanager
def _drawing_from(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from a seed meanwhile; what others draw afterwards is as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
