"""HU in, SUV out: the windows, the channels, the units."""

import pytest
import torch

from petcast.errors import UsageError
from petcast.models import Synthesizer
from petcast.recipe import ModelRecipe


@pytest.fixture(scope="module")
def synthesizer() -> Synthesizer:
    torch.manual_seed(0)
    return Synthesizer(ModelRecipe(name="Stage02", hu_window=(-1000, 1000), suv_window=(0, 8)))


@pytest.mark.slow
def test_the_ends_of_the_windows_are_0_and_1(synthesizer: Synthesizer) -> None:
    hu = torch.tensor([-3000.0, -1000.0, 0.0, 1000.0, 3000.0]).reshape(1, 1, 1, 5)
    assert synthesizer.normalise(hu)[0, 2, 0].tolist() == [0, 0, 0.5, 1, 1]
    suv = torch.tensor([-1.0, 0.0, 4.0, 8.0, 20.0]).reshape(1, 1, 5)
    assert synthesizer.target(suv)[0, 1, 0].tolist() == [0, 0, 0.5, 1, 1]


def test_what_the_generator_says_is_read_in_suv(synthesizer: Synthesizer, monkeypatch) -> None:
    target = synthesizer.target(torch.full((1, 2, 2), 3.0))
    monkeypatch.setattr(synthesizer, "stages", lambda hu: [target, -target, 2 * target])
    assert [float(suv.mean()) for suv in synthesizer(torch.zeros(1, 1, 2, 2))] == [3.0, 0.0, 6.0]


@pytest.mark.slow
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
        assert Synthesizer(ModelRecipe(input=name)).slices == channels


def test_of_quantiles_the_middle_one_is_the_image(monkeypatch) -> None:
    with torch.device("meta"):
        synthesizer = Synthesizer(ModelRecipe(output="quantiles", suv_window=(0, 10)))
    channels = torch.tensor([-0.1, 0.2, 0.9]).view(1, 3, 1, 1)
    monkeypatch.setattr(synthesizer, "stages", lambda hu: [channels / 2, channels])
    hu = torch.zeros(1, 1, 1, 1)
    assert [float(suv) for suv in synthesizer(hu)] == pytest.approx([1.0, 2.0])
    assert synthesizer.quantiles(hu).flatten().tolist() == pytest.approx([0.0, 2.0, 9.0])


def test_an_image_in_three_channels_has_no_quantiles(synthesizer: Synthesizer) -> None:
    with pytest.raises(UsageError, match="quantiles"):
        synthesizer.quantiles(torch.zeros(1, 1, 256, 256))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Stage02", "DSGGAN"])
def test_the_first_stages_alone_give_what_they_give_among_all(name: str) -> None:
    torch.manual_seed(0)
    synthesizer = Synthesizer(ModelRecipe(name=name)).eval()
    hu, calls = torch.randn(1, 1, 256, 256) * 500, []
    synthesizer.generator.chain[1].register_forward_hook(lambda *_: calls.append(1))
    with torch.inference_mode():
        first = synthesizer(hu)[0]
        calls.clear()
        synthesizer.generator.limit = 1
        [alone] = synthesizer(hu)
    assert torch.equal(first, alone)
    assert not calls
