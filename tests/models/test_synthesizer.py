"""HU in, SUV out: the windows, the channels, the units."""

import pytest
import torch

from petcast.models import Synthesizer
from petcast.recipe import ModelRecipe


@pytest.fixture(scope="module")
def synthesizer() -> Synthesizer:
    torch.manual_seed(0)
    return Synthesizer(ModelRecipe(name="Stage02", hu_window=(-1000, 1000), suv_window=(0, 8)))


def test_the_ends_of_the_windows_are_0_and_1(synthesizer: Synthesizer) -> None:
    hu = torch.tensor([-3000.0, -1000.0, 0.0, 1000.0, 3000.0]).reshape(1, 1, 1, 5)
    assert synthesizer.normalise(hu)[0, 2, 0].tolist() == [0, 0, 0.5, 1, 1]
    suv = torch.tensor([-1.0, 0.0, 4.0, 8.0, 20.0]).reshape(1, 1, 5)
    assert synthesizer.target(suv)[0, 1, 0].tolist() == [0, 0, 0.5, 1, 1]


def test_what_the_generator_says_is_read_in_suv(synthesizer: Synthesizer, monkeypatch) -> None:
    target = synthesizer.target(torch.full((1, 2, 2), 3.0))
    monkeypatch.setattr(synthesizer, "stages", lambda hu: [target, -target, 2 * target])
    assert [float(suv.mean()) for suv in synthesizer(torch.zeros(1, 1, 2, 2))] == [3.0, 0.0, 6.0]


def test_every_stage_is_returned_and_evaluation_is_deterministic(synthesizer: Synthesizer) -> None:
    synthesizer.eval()
    hu = torch.randn(1, 1, 256, 256) * 500
    with torch.inference_mode():
        once, again = synthesizer(hu), synthesizer(hu)
    assert len(once) == 2
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    assert all(float(suv.min()) >= 0 for suv in once)


@pytest.mark.parametrize(("name", "channels"), [("replicate", 1), ("neighbours", 3)])
def test_the_recipe_says_how_many_slices_are_wanted(name: str, channels: int) -> None:
    with torch.device("meta"):
        assert Synthesizer(ModelRecipe(input=name)).channels == channels
