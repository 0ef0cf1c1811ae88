"""Members: networks of one model that know nothing of each other, and their mean."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from petcast.models import Synthesizer, build_generator
from petcast.models.members import Members
from petcast.recipe import ModelRecipe, Recipe

NAMES = ("Stage01", "Stage03", "U-Net", "Cas-UNet")
REFINED = {"ct_in_stages": True, "residual": True, "input": "neighbours-windows"}


@pytest.mark.parametrize(("shared", "own"), [(3, 0), (0, 3), (4, 3)])
def test_each_network_sees_what_all_see_and_its_own(shared: int, own: int) -> None:
    torch.manual_seed(0)
    networks = [nn.Conv2d(shared + own, 3, 1) for _ in range(3)]
    x = torch.rand(2, shared + 3 * own, 4, 5)
    expected = [
        network(torch.cat([x[:, :shared], x[:, shared + own * k : shared + own * (k + 1)]], dim=1))
        for k, network in enumerate(networks)
    ]
    assert torch.equal(Members(networks, shared=shared)(x), torch.cat(expected, dim=1))


@pytest.mark.parametrize("name", NAMES)
def test_members_are_so_many_networks_of_the_same_shape(name: str) -> None:
    with torch.device("meta"):
        one, three = (build_generator(ModelRecipe(name=name, members=n)) for n in (1, 3))
        outputs = three(torch.empty(1, 3, 256, 256))
    assert [tuple(output.shape) for output in outputs] == [(1, 9, 256, 256)] * len(one.chain)
    shapes = [[p.shape for p in generator.parameters()] for generator in (one, three)]
    assert sorted(shapes[1]) == sorted(3 * shapes[0])


@pytest.mark.slow
@pytest.mark.parametrize("knobs", [{}, {"ct_in_stages": True}, REFINED])
def test_no_member_depends_on_another_in_any_stage(knobs: dict[str, object]) -> None:
    torch.manual_seed(0)
    synthesizer = Synthesizer(ModelRecipe(name="Stage02", members=2, **knobs)).eval()
    hu = torch.randn(1, synthesizer.slices, 256, 256) * 300
    with torch.inference_mode():
        before = [synthesizer.members(stage) for stage in synthesizer.stages(hu)]
        for stage in synthesizer.generator.chain:
            for weight in stage.networks[1].parameters():
                weight.add_(0.01)
        after = [synthesizer.members(stage) for stage in synthesizer.stages(hu)]
    for (kept, moved), (same, other) in zip(before, after, strict=True):
        assert torch.equal(kept, same)
        assert not torch.equal(moved, other)


@pytest.mark.slow
def test_a_stage_added_to_members_begins_as_the_identity() -> None:
    recipe = ModelRecipe(name="Stage02", members=2, initialisation="normal", **REFINED)
    first, second = build_generator(recipe)(torch.rand(1, 9, 256, 256))
    assert first.abs().max() > 0
    assert torch.equal(first, second)
    assert not torch.equal(*first.split(3, dim=1))


@pytest.fixture
def pair(monkeypatch) -> Synthesizer:
    """Two members of one voxel: 1, 2, 9 and −1, 4, 5 SUV in their three channels."""
    return _pair(monkeypatch)


def _pair(monkeypatch, output: str = "replicate") -> Synthesizer:
    with torch.device("meta"):
        made = Synthesizer(ModelRecipe(members=2, output=output, suv_window=(0, 10)))
    channels = torch.tensor([1.0, 2.0, 9.0, -1.0, 4.0, 5.0]).view(1, 6, 1, 1) / 10
    monkeypatch.setattr(made, "stages", lambda _: [-channels, channels])
    return made


def only(images: list[Tensor]) -> list[float]:
    return [image.item() for image in images]


HU = torch.zeros(1, 1, 1, 1)


def test_the_pet_is_the_mean_of_the_members(pair: Synthesizer) -> None:
    assert only(pair.each(HU)) == pytest.approx([4.0, 8 / 3])
    first, last = only(pair(HU))
    assert first == 0.0
    assert last == pytest.approx((4.0 + 8 / 3) / 2)


def test_quantiles_are_averaged_one_by_one(monkeypatch) -> None:
    pair = _pair(monkeypatch, "quantiles")
    assert only(pair.each(HU)) == pytest.approx([2.0, 4.0])
    assert only(pair(HU))[-1] == pytest.approx(3.0)
    assert pair.quantiles(HU).flatten().tolist() == pytest.approx([0.5, 3.0, 7.0])


def test_what_sees_into_another_network_has_no_members() -> None:
    with pytest.raises(ValidationError, match="not DSGGAN"):
        ModelRecipe(name="DSGGAN", members=2)


def test_a_discriminator_judges_one_network() -> None:
    with pytest.raises(ValidationError, match=r"loss\.adversarial = 0"):
        Recipe.model_validate({"model": {"members": 2}})
    Recipe.model_validate({"model": {"members": 2}, "loss": {"adversarial": 0.0}})
