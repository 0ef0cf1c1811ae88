"""Each way against what it should be by hand, on generators that are quick and known."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from petcast.errors import UsageError
from petcast.models import Synthesizer
from petcast.models.cascade import Cascade
from petcast.models.members import Members
from petcast.predict import predict_slices
from petcast.recipe import ModelRecipe
from petcast.uncertainty.spread import (
    NEIGHBOURHOOD_VOXELS,
    Method,
    Way,
    _around,
    cast_with_spread,
    forward_passes,
)

CT = np.random.default_rng(0).integers(-1000, 1000, (5, 12, 16)).astype(np.int16)
Make = Callable[..., Synthesizer]


def around(image: np.ndarray) -> np.ndarray:
    """The mean over a neighbourhood by Gaussian weights, written out."""
    n, sigma = image.shape[1:], NEIGHBOURHOOD_VOXELS
    reach = round(4 * sigma)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    padded = np.pad(image.astype(np.float64), ((0, 0), (reach, reach), (reach, reach)), "edge")
    rows = sum(w * padded[:, k : k + n[0]] for k, w in enumerate(weights))
    return np.asarray(sum(w * rows[:, :, k : k + n[1]] for k, w in enumerate(weights)))


class Times(nn.Module):
    """Multiplies, and drops."""

    def __init__(self, factor: float, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(dropout)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.norm(x)) * self.factor


@pytest.fixture
def make() -> Make:
    def synthesizer(
        *factors: float, dropout: float = 0.5, output: str = "replicate"
    ) -> Synthesizer:
        with torch.device("meta"):
            made = Synthesizer(ModelRecipe(output=output))
        made.generator = Cascade([Times(factor, dropout) for factor in factors])
        return made.eval()

    return synthesizer


@pytest.mark.parametrize("way", ["stages", "dropout", "augmented", "uptake"])
def test_the_pet_is_the_one_without_a_spread(make: Make, way: Way) -> None:
    model = make(1.0, 2.0)
    pet, spread = cast_with_spread([model], CT, Method(way), batch_size=2)
    assert np.array_equal(pet, predict_slices(model, CT, last_only=True)[0])
    assert spread.shape == pet.shape
    assert (spread >= 0).all()


def test_an_ensemble_is_the_members_of_one_model_too(make: Make) -> None:
    """Their PET is the one without a spread: the mean of both."""
    model, beside = make(1.0), make(1.0)
    with torch.device("meta"):
        pair = Synthesizer(ModelRecipe(members=2))
    networks = [model.generator.chain[0], make(3.0).generator.chain[0]]
    pair.generator = Cascade([Members(networks, shared=3)])
    pet, spread = cast_with_spread([pair.eval()], CT, Method("ensemble"), batch_size=2)
    one = predict_slices(model, CT, last_only=True)[0]
    assert np.array_equal(pet, predict_slices(pair, CT, last_only=True)[0])
    assert np.allclose(pet, 2 * one, rtol=1e-5)
    assert np.allclose(spread, around(one * np.sqrt(2)), rtol=1e-4)  # of x and 3x, n − 1
    _, three = cast_with_spread([pair, beside], CT, Method("ensemble"))
    assert np.allclose(three, around(one * np.std([1, 3, 1], ddof=1)), rtol=1e-4)


def test_stages_that_differ_by_a_factor(make: Make) -> None:
    pet, spread = cast_with_spread([make(1.0, 3.0)], CT, Method("stages"))
    assert np.allclose(spread, around(pet / 3), rtol=1e-4)  # of x and 3x: x


def test_a_spread_is_averaged_over_a_dozen_millimetres_and_not_across_slices() -> None:
    """One voxel's spread falls to exp(−½) of its height at one standard deviation: 6 voxels."""
    spread = np.zeros((3, 65, 65), np.float32)
    spread[1, 32, 32] = 1.0
    found = _around(spread)
    assert found[1, 32, 38] / found[1, 32, 32] == pytest.approx(np.exp(-0.5), rel=1e-4)
    assert found[1, 38, 32] / found[1, 32, 32] == pytest.approx(np.exp(-0.5), rel=1e-4)
    assert not found[[0, 2]].any()


def test_dropout_repeats_with_the_seed_and_leaves_others_draws_alone(make: Make) -> None:
    model = make(1.0)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, again, other = (
        cast_with_spread([model], CT, Method("dropout", seed=seed))[1] for seed in (1, 1, 2)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert torch.equal(torch.rand(3), expected)


def test_dropout_has_the_spread_of_its_own_distribution(make: Make) -> None:
    """Channels of rate 1/2 become 0 or twice themselves; the mean of three has SD x / sqrt 3."""
    ct = np.zeros((1, 40, 40), np.int16)
    pet, spread = cast_with_spread([make(1.0)], ct, Method("dropout", passes=200))
    assert spread.mean() == pytest.approx(pet.mean() / np.sqrt(3), rel=0.02)


def test_dropout_of_rate_0_has_no_spread_and_norms_do_not_move(make: Make) -> None:
    model = make(1.0, dropout=0.0)
    before = model.generator.chain[0].norm.running_mean.clone()
    assert not cast_with_spread([model], CT, Method("dropout"))[1].any()
    cast_with_spread([make(1.0)], CT, Method("dropout"))
    assert torch.equal(model.generator.chain[0].norm.running_mean, before)
    assert not any(module.training for module in model.modules())


def test_models_trained_apart(make: Make) -> None:
    pet, spread = cast_with_spread([make(1.0), make(2.0), make(3.0)], CT, Method("ensemble"))
    assert np.allclose(spread, around(pet), rtol=1e-4)  # of x, 2x and 3x, the SD is x


def test_what_commutes_with_motions_has_no_spread_and_what_does_not_has(make: Make) -> None:
    model = make(1.0)
    assert cast_with_spread([model], CT, Method("augmented"))[1].max() < 1e-5
    ramp = torch.linspace(0, 1, 16)
    model.generator.chain[0].register_forward_hook(lambda _, __, output: output * ramp)
    assert cast_with_spread([model], CT, Method("augmented"))[1].max() > 0.1


def test_quantiles_that_cross_have_no_negative_width(make: Make) -> None:
    model = make(1.0, output="quantiles")
    factors = torch.tensor([0.5, 1.0, 2.0]).view(1, 3, 1, 1)
    hook = model.generator.chain[0].register_forward_hook(lambda _, __, output: output * factors)
    pet, spread = cast_with_spread([model], CT, Method("quantiles"))
    assert np.allclose(spread, around(0.75 * pet), rtol=1e-4)
    hook.remove()
    model.generator.chain[0].register_forward_hook(lambda _, __, o: o * factors.flip(1))
    assert not cast_with_spread([model], CT, Method("quantiles"))[1].any()


@pytest.mark.parametrize(
    ("count", "method", "told"),
    [
        (1, Method("stages"), "one stage"),
        (1, Method("dropout", passes=1), "2 or more"),
        (1, Method("quantiles"), "model.output"),
        (1, Method("ensemble"), "one more run"),
        (2, Method("dropout"), "for --way ensemble"),
    ],
)
def test_a_way_that_cannot_be_gone_says_why(
    make: Make, count: int, method: Method, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        cast_with_spread([make(1.0) for _ in range(count)], CT, method)


def test_a_model_without_dropout_is_told_so() -> None:
    torch.manual_seed(0)
    with torch.device("meta"):
        model = Synthesizer(ModelRecipe(dropout=0.0))
    with pytest.raises(UsageError, match=r"model\.dropout = 0"):
        cast_with_spread([model], CT, Method("dropout"))


@pytest.mark.parametrize(
    ("method", "models", "passes"),
    [("stages", 1, 1), ("dropout", 1, 9), ("ensemble", 3, 3), ("augmented", 1, 6),
     ("quantiles", 1, 1), ("uptake", 1, 1)],
)  # fmt: skip
def test_passes_are_counted_as_they_are_made(
    make: Make, method: Way, models: int, passes: int
) -> None:
    assert forward_passes(Method(method), models) == passes
    made = [make(1.0, 1.0, output="quantiles") for _ in range(models)]
    calls: list[int] = []
    for model in made:
        model.generator.register_forward_hook(lambda *_: calls.append(1))
    cast_with_spread(made, CT, Method(method))
    assert len(calls) == passes
