"""Stages that know the CT and add corrections."""

import pytest
import torch
from pydantic import ValidationError

from petcast.models import Synthesizer, build_generator
from petcast.models.refinement import Refinement
from petcast.recipe import ModelRecipe, Recipe

CT = torch.Generator().manual_seed(1)


@pytest.mark.slow
@pytest.mark.parametrize("initialisation", ["torch", "normal"])
@pytest.mark.parametrize("upsampling", ["transposed", "bilinear", "pixel-shuffle"])
def test_an_added_stage_begins_as_the_identity(upsampling: str, initialisation: str) -> None:
    generator = build_generator(
        ModelRecipe(
            name="Stage03", residual=True, ct_in_stages=True, upsampling=upsampling,
            initialisation=initialisation,
        )
    )  # fmt: skip
    first, second, third = generator(torch.rand(1, 3, 256, 256, generator=CT))
    assert first.abs().max() > 0
    assert torch.equal(first, second)
    assert torch.equal(first, third)


@pytest.mark.slow
def test_a_later_stage_learns_from_the_ct_even_where_the_pet_says_nothing() -> None:
    """In the published cascade a first stage that draws nothing leaves nothing to the second."""
    one, other = torch.rand(2, 1, 3, 256, 256, generator=CT)
    for sees_ct in (True, False):
        generator = build_generator(ModelRecipe(name="Stage02", ct_in_stages=sees_ct)).eval()
        generator.chain[0].register_forward_hook(lambda *_: torch.zeros(1, 3, 256, 256))
        with torch.inference_mode():
            assert torch.equal(generator(one)[-1], generator(other)[-1]) is not sees_ct


@pytest.mark.slow
def test_what_a_stage_adds_is_a_correction() -> None:
    generator = build_generator(ModelRecipe(name="Stage02", residual=True)).eval()
    generator.chain[1].register_forward_hook(lambda *_: torch.full((1, 3, 256, 256), 0.25))
    with torch.inference_mode():
        first, last = generator(torch.rand(1, 3, 256, 256, generator=CT))
    torch.testing.assert_close(last, first + 0.25)


@pytest.mark.slow
def test_the_first_stages_alone_cost_nothing_more() -> None:
    generator = build_generator(ModelRecipe(name="Stage03", residual=True)).eval()
    calls = []
    generator.chain[2].register_forward_hook(lambda *_: calls.append(1))
    generator.limit = 2
    with torch.inference_mode():
        assert len(generator(torch.rand(1, 3, 256, 256, generator=CT))) == 2
    assert not calls


@pytest.mark.parametrize(
    ("given", "first", "later"),
    [("replicate", 3, 6), ("windows", 3, 6), ("neighbours-windows", 9, 12)],
)
def test_stages_take_the_channels_that_they_are_given(given: str, first: int, later: int) -> None:
    with torch.device("meta"):
        generator = build_generator(ModelRecipe(name="Stage03", ct_in_stages=True, input=given))
    assert isinstance(generator, Refinement)
    assert [stage.encoders[0][1].in_channels for stage in generator.chain] == [first, later, later]


def test_windows_are_the_slice_three_times_and_neighbours_nine_times() -> None:
    hu = torch.tensor([-600.0, 40.0, 240.0]).view(1, 3, 1, 1)
    with torch.device("meta"):
        nine = Synthesizer(ModelRecipe(input="neighbours-windows"))
        three = Synthesizer(ModelRecipe(input="windows"))
    wide, lung, soft = nine.normalise(hu).view(3, 3)
    torch.testing.assert_close(wide, torch.tensor([0.2, 0.52, 0.62]))
    torch.testing.assert_close(lung, torch.tensor([0.5, 1390 / 1500, 1.0]))
    torch.testing.assert_close(soft, torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(
        three.normalise(hu[:, 1:2]).flatten(), torch.tensor([0.52, 1390 / 1500, 0.5])
    )


@pytest.mark.parametrize(
    "knobs",
    [
        {"upsampling": "bilinear"},
        {"residual": True},
        {"ct_in_stages": True},
        {"input": "neighbours-windows"},
    ],
)
def test_baselines_stay_as_published(knobs: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="only StageNN"):
        ModelRecipe.model_validate({"name": "U-Net", **knobs})


def test_greedy_stages_must_begin_as_the_identity() -> None:
    with pytest.raises(ValidationError, match="residual"):
        Recipe.model_validate({"training": {"order": "greedy"}})
