"""A batch in parts is the batch: the same sums, in an order that processes can keep."""

import copy
from typing import get_args

import pytest
import torch
from torch import nn

from petcast.dataset import Batch
from petcast.engine import Learner
from petcast.engine.parallel import ALONE, World, added, joined, sizes
from petcast.engine.parts import Copies, SharedBatchNorm, cut, divide, shares
from petcast.errors import UsageError
from petcast.models.upsample import Upsampling, upsample
from petcast.recipe import EngineRecipe, LossRecipe, ModelRecipe, Recipe

CPU = torch.device("cpu")


@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("parts", [4, 8])
def test_a_process_has_its_parts_of_the_whole(processes: int, parts: int) -> None:
    for count in range(1, 60):
        own = [sizes(n, parts // processes) for n in sizes(count, processes)]
        assert [n for of_process in own for n in of_process] == sizes(count, parts)
        assert max(sizes(count, parts)) - min(sizes(count, parts)) <= 2


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_add_what_one_adds(processes: int) -> None:
    parts = [torch.randn(1000) for _ in range(8)]
    each = len(parts) // processes
    sums = [added(parts[first : first + each]) for first in range(0, len(parts), each)]
    assert torch.equal(added(sums), added(parts))
    assert not torch.equal(added(parts), torch.stack(parts).sum(0))  # an order it is


def test_all_of_an_odd_number_are_added() -> None:
    assert float(added([torch.tensor(value) for value in (1.0, 2.0, 4.0, 8.0, 16.0)])) == 31


def test_every_slice_counts_the_same() -> None:
    world = World(size=2, parts=4)
    for whole in range(4, 20):
        weights = [
            share.weight / share.slices
            for count in sizes(whole, 2)
            for share in shares(count, whole, world)
        ]
        assert weights == pytest.approx([2 / whole] * 4)  # processes are averaged


def test_one_part_is_not_copied() -> None:
    x = torch.rand(3, 2)
    assert cut(x, shares(3, None, ALONE))[0] is x


def test_without_parts_a_module_stays_as_it_is() -> None:
    module = nn.Sequential(nn.BatchNorm2d(3))
    assert divide(module, ALONE) == []
    assert type(module[0]) is nn.BatchNorm2d


@pytest.fixture
def module() -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 1, 3))
    return nn.Sequential(*layers).double()


@pytest.mark.slow
@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("count", [4, 7])
def test_parts_give_what_the_whole_gives(module: nn.Sequential, parts: int, count: int) -> None:
    plain = copy.deepcopy(module)
    made = divide(module, World(parts=parts))
    assert type(module[1]) is SharedBatchNorm
    x = torch.randn(count, 2, 9, 9, dtype=torch.float64)
    seen = []
    for network in (plain, module):
        for copies in made if network is module else ():
            copies.renew()
        given = x.clone().requires_grad_()
        output = network(given)
        output.square().sum().backward()
        seen.append([output, given.grad, *(p.grad for p in network.parameters())])
    torch.testing.assert_close(seen[1], seen[0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(module.state_dict(), plain.state_dict())  # running statistics, names
    module.eval(), plain.eval()
    torch.testing.assert_close(module(x), plain(x))


@pytest.mark.parametrize("side", [4, 32])
@pytest.mark.parametrize("upsampling", get_args(Upsampling))
def test_whatever_doubles_the_size_does_so_part_by_part(upsampling: Upsampling, side: int) -> None:
    """To the bit as processes would, each with its half; bilinear goes two ways, by size."""
    torch.manual_seed(0)
    layer = nn.Sequential(upsample(8, 4, upsampling, bias=False))
    [weight] = layer.parameters()
    x, push = torch.randn(6, 8, side, side), torch.randn(6, 4, 2 * side, 2 * side)
    halves = []
    for of_x, of_push in zip(x.split(3), push.split(3), strict=True):
        layer(of_x).backward(of_push)
        halves.append(weight.grad)
        weight.grad = None
    for copies in divide(layer, World(parts=2)):
        copies.renew()
    layer(x).backward(push)
    assert torch.equal(weight.grad, halves[0] + halves[1])


def test_a_parts_uses_are_added_before_the_parts() -> None:
    """A module that is used twice: a process would give the sum of its own two gradients."""
    weight = nn.Parameter(torch.randn(1000))
    copies = Copies(nn.ParameterDict({"weight": weight}), 2)
    factors = torch.randn(2, 2, 1000)  # use, part
    copies.renew()
    uses = [
        of_part["weight"] * f
        for use in factors
        for of_part, f in zip(copies.of_step, use, strict=True)
    ]
    torch.stack(uses).sum().backward()
    assert torch.equal(
        weight.grad, (factors[1, 0] + factors[0, 0]) + (factors[1, 1] + factors[0, 1])
    )


def learned(parts: int, batch: Batch, **loss) -> tuple[list[dict[str, float]], dict]:
    knobs = Recipe(
        model=ModelRecipe(name="Stage01", dropout=0.0),
        loss=LossRecipe(**loss),
        engine=EngineRecipe(precision="float64"),
    )
    learner = Learner(knobs, CPU, world=World(parts=parts))
    learner.synthesizer.train()
    terms = [{k: float(v) for k, v in learner.step(batch).items()} for _ in range(2)]
    return terms, learner.model_state()


def test_a_layer_to_one_channel_learns_in_double_precision_whatever_its_layout() -> None:
    """As the discriminator's last: a copy with other strides was refused by PyTorch's kernel."""
    layer = nn.Sequential(nn.Conv2d(8, 1, 4)).double().to(memory_format=torch.channels_last)
    x = torch.rand(4, 8, 9, 9, dtype=torch.float64).to(memory_format=torch.channels_last)
    layer(x).square().sum().backward()
    whole = layer[0].weight.grad.clone()
    layer.zero_grad()
    divide(layer, World(parts=2))
    layer(x).square().sum().backward()
    torch.testing.assert_close(layer[0].weight.grad, whole)


@pytest.mark.slow
@pytest.mark.parametrize("adversarial", [0.0, 0.5])
def test_learning_in_parts_is_learning(adversarial: float) -> None:
    """In float64; three slices, so that parts differ in size."""
    torch.manual_seed(1)
    hu, suv = torch.rand(3, 1, 256, 256) * 1000 - 1000, torch.rand(3, 256, 256) * 5
    batch = Batch(hu, suv, torch.ones(3, 256, 256, dtype=torch.bool))
    whole, expected = learned(1, batch, adversarial=adversarial)
    in_two, found = learned(2, batch, adversarial=adversarial)
    for terms, others in zip(in_two, whole, strict=True):
        assert terms == pytest.approx(others, rel=1e-9)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_processes_that_do_not_divide_the_parts_are_refused(monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with (
        pytest.raises(UsageError, match=r"engine\.parts = 2 cannot be divided among 3"),
        joined("cpu", 2),
    ):
        pass


def test_alone_parts_are_the_recipes(monkeypatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu", 4) as world:
        assert world == World(parts=4)


def test_compiling_and_parts_exclude_each_other() -> None:
    knobs = Recipe(engine=EngineRecipe(compile=True))
    with pytest.raises(UsageError, match=r"engine\.parts"):
        Learner(knobs, CPU, world=World(parts=2))
