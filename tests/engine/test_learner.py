"""A step: what the knobs may change of it, and what they may not."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from petcast.checkpoint import Card, load_card, save_checkpoint
from petcast.dataset import Batch
from petcast.device import imitates_bfloat16
from petcast.engine import Learner
from petcast.engine.parallel import ALONE, World
from petcast.engine.parts import shares
from petcast.errors import UsageError
from petcast.losses import discriminator_loss, generator_adversarial_loss, pinball
from petcast.recipe import (
    EngineRecipe,
    LossRecipe,
    ModelRecipe,
    OptimizerRecipe,
    Recipe,
    TrainingRecipe,
)

CPU = torch.device("cpu")


def recipe(name: str = "Stage01", adversarial: float = 0.0, ema: float = 0.0, **engine) -> Recipe:
    return Recipe(
        model=ModelRecipe(name=name),
        loss=LossRecipe(adversarial=adversarial),
        optimizer=OptimizerRecipe(),
        training=TrainingRecipe(epochs=2, ema=ema),
        engine=EngineRecipe(**engine),
    )


@pytest.fixture(scope="module")
def batch() -> Batch:
    torch.manual_seed(1)
    hu = torch.rand(2, 1, 256, 256) * 1000 - 1000
    return Batch(hu, torch.rand(2, 256, 256) * 5, torch.ones(2, 256, 256, dtype=torch.bool))


def learned(knobs: Recipe, batch: Batch, steps: int = 1) -> tuple[Learner, list[float]]:
    learner = Learner(knobs, CPU)
    learner.synthesizer.train()
    torch.manual_seed(0)
    return learner, [float(learner.step(batch)["loss"]) for _ in range(steps)]


@pytest.mark.slow
def test_rewrites_do_not_change_the_loss(batch: Batch) -> None:
    _, plain = learned(recipe(rewrites=False), batch)
    _, fast = learned(recipe(), batch)
    assert fast == pytest.approx(plain, rel=1e-5)


@pytest.mark.slow
def test_rewrites_do_not_change_what_the_players_learn(batch: Batch) -> None:
    """In float64, where rounding cannot hide what is wrong."""
    knobs = {"adversarial": 1.0, "precision": "float64"}
    plain, expected = learned(recipe(rewrites=False, **knobs), batch, 2)
    fast, found = learned(recipe(**knobs), batch, 2)
    assert found == pytest.approx(expected, rel=1e-9)
    for player in ("synthesizer", "discriminator"):
        weights, others = (getattr(one, player).state_dict() for one in (plain, fast))
        for name, value in weights.items():
            torch.testing.assert_close(others[name], value, rtol=1e-6, atol=1e-8, msg=name)


@pytest.mark.slow
def test_recomputed_stages_end_in_the_same_state(batch: Batch) -> None:
    plain, losses = learned(recipe("Stage02"), batch, 2)
    again, found = learned(recipe("Stage02", recompute=True), batch, 2)
    assert found == losses  # dropout drew the same, and
    expected, state = plain.model_state(), again.model_state()
    assert all(torch.equal(state[name], value) for name, value in expected.items())


@pytest.mark.slow
def test_what_is_no_cascade_cannot_be_recomputed() -> None:
    with pytest.raises(UsageError, match=r"engine\.recompute"):
        Learner(recipe("DSGGAN", recompute=True), CPU)


@pytest.mark.slow
def test_bfloat16_keeps_weights_losses_and_optimiser_in_float32(batch: Batch) -> None:
    adversarial = 0.0 if imitates_bfloat16(CPU) else 0.01  # a discriminator takes a minute there
    learner, [loss] = learned(recipe(adversarial=adversarial, precision="bfloat16"), batch)
    _, [exact] = learned(recipe(adversarial=adversarial), batch)
    assert loss == pytest.approx(exact, rel=0.02)
    assert loss != exact
    tensors = [*learner.model_state().values(), *learner.training_state().values()]
    assert {t.dtype for t in tensors} == {torch.float32, torch.int64}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["bce", "least-squares", "hinge"])
def test_one_pass_of_the_discriminator_gives_both_players_their_gradients(
    batch: Batch, form: str
) -> None:
    knobs = recipe().model_copy(update={"loss": LossRecipe(adversarial=0.3, adversarial_form=form)})
    learner = Learner(knobs, CPU)
    judge = learner.discriminator
    assert judge is not None
    plain = copy.deepcopy(judge)
    ct, pet = learner.synthesizer.normalise(batch.hu), learner.synthesizer.target(batch.suv)
    fake = torch.rand_like(pet)
    _, push = learner._step_discriminator(ct, pet, fake, shares(len(pet), None, ALONE))

    asked = fake.clone().requires_grad_()
    generator_adversarial_loss(plain(ct, asked), form).mul(0.3).backward()
    torch.testing.assert_close(push, asked.grad)
    plain.zero_grad()
    discriminator_loss(plain(ct, pet), plain(ct, fake), form).backward()
    for found, expected in zip(judge.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad)


@pytest.mark.slow
def test_the_adversarial_push_reaches_the_generator(batch: Batch) -> None:
    torch.manual_seed(0)
    learner = Learner(recipe(adversarial=10.0), CPU)
    without = Learner(recipe(), CPU)
    for one in (learner, without):
        torch.manual_seed(0)
        one.step(batch)
    gradients = [next(one.synthesizer.parameters()).grad for one in (learner, without)]
    assert not torch.allclose(gradients[0], gradients[1])


@pytest.mark.slow
def test_the_average_predicts_and_the_raw_weights_learn_on(batch: Batch) -> None:
    learner, _ = learned(recipe(ema=0.9), batch, 2)
    kept, state = learner.model_state(), learner.training_state()
    name = "generator.chain.0.visual.1.bias"
    assert not torch.equal(kept[name], state[f"raw/{name}"])
    assert torch.equal(learner.synthesizer.state_dict()[name], state[f"raw/{name}"])


@pytest.mark.slow
def test_both_players_go_on_from_a_checkpoint_as_if_nothing_had_been(
    batch: Batch, tmp_path: Path
) -> None:
    """Files hold no memory layout, and fused optimisers care for it."""
    knobs = recipe(adversarial=1.0)
    straight, _ = learned(knobs, batch, 2)
    card = Card(knobs, 1, {}, "", straight.parameters, None, None)
    save_checkpoint(tmp_path / "last", card, straight.model_state(), straight.training_state())
    resumed = Learner(knobs, CPU)
    resumed.restore(tmp_path / "last", load_card(tmp_path / "last"))
    for learner in (straight, resumed):
        learner.synthesizer.train()
        torch.manual_seed(5)
        learner.step(batch)
    expected = straight.model_state() | straight.training_state()
    found = resumed.model_state() | resumed.training_state()
    assert expected.keys() == found.keys()
    assert [name for name, value in expected.items() if not torch.equal(found[name], value)] == []


@pytest.mark.slow
def test_rate_and_betas_are_set_for_both_optimisers() -> None:
    knobs = recipe(adversarial=0.01)
    cosine = OptimizerRecipe(schedule="cosine", warmup_epochs=1, betas=(0.5, 0.99))
    learner = Learner(knobs.model_copy(update={"optimizer": cosine}), CPU)
    learner.advance(0.5)
    both = [adam.param_groups[0] for adam in (learner._adam, learner._judge_adam)]
    assert [(group["lr"], group["betas"]) for group in both] == [(0.0005, (0.5, 0.99))] * 2


@pytest.mark.slow
@pytest.mark.parametrize("stages", ["last", "all"])
def test_the_stages_that_the_recipe_names_are_compared_with_the_pet(batch: Batch, stages) -> None:
    knobs = Recipe(
        model=ModelRecipe(name="Stage02", dropout=0.0),
        loss=LossRecipe(stages=stages, adversarial=0.0),
        engine=EngineRecipe(rewrites=False),
    )
    learner = Learner(knobs, CPU)
    synthesizer = copy.deepcopy(learner.synthesizer).train()
    target = synthesizer.target(batch.suv)
    errors = [(one - target).square().mean().item() for one in synthesizer.stages(batch.hu)]
    expected = sum(errors) / 2 if stages == "all" else errors[1]
    assert float(learner.step(batch)["loss"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("output", ["replicate", "quantiles"])
def test_a_member_learns_as_if_it_were_alone(batch: Batch, output: str) -> None:
    """Its share of the loss is half, so its gradients are, to the last bit."""
    alone, both = (
        Learner(
            Recipe(
                model=ModelRecipe(members=members, dropout=0.0, output=output),
                loss=LossRecipe(l1=1.0, ssim=1.0, adversarial=0.0),
            ),
            CPU,
        )
        for members in (1, 2)
    )
    state = alone.synthesizer.state_dict()
    first = {name.replace(".chain.0.", ".chain.0.networks.0."): v for name, v in state.items()}
    both.synthesizer.load_state_dict(first, strict=False)
    for learner in (alone, both):
        learner.synthesizer.train()
        learner.step(batch)
    [stage], [members] = (one.synthesizer.generator.chain for one in (alone, both))
    pairs = zip(stage.parameters(), members.networks[0].parameters(), strict=True)
    assert all(torch.equal(parameter.grad, 2 * half.grad) for parameter, half in pairs)
    assert all(half.grad is not None for half in members.networks[1].parameters())


@pytest.mark.slow
def test_quantiles_learn_from_the_pinball_loss_and_spread(batch: Batch) -> None:
    """Against the same step by hand, and: the outer channels part."""
    knobs = Recipe(
        model=ModelRecipe(output="quantiles", dropout=0.0),
        loss=LossRecipe(mse=0.0, l1=1.0, adversarial=0.0),
        engine=EngineRecipe(rewrites=False),
    )
    learner = Learner(knobs, CPU)
    synthesizer = copy.deepcopy(learner.synthesizer).train()
    [output] = synthesizer.stages(batch.hu)
    target = synthesizer.target(batch.suv)
    expected = (output[:, 1] - target[:, 0]).abs().mean() + pinball(output, target)
    terms = learner.step(batch)
    assert float(terms["loss"]) == pytest.approx(expected.item(), rel=1e-5)
    for _ in range(6):
        learner.step(batch)
    with torch.no_grad():
        low, _, high = learner.synthesizer.stages(batch.hu)[-1].mean(dim=(0, 2, 3))
    assert low < high


@pytest.mark.slow
def test_the_discriminator_sees_the_middle_quantile_alone(batch: Batch) -> None:
    knobs = Recipe(model=ModelRecipe(output="quantiles"), loss=LossRecipe(adversarial=0.1))
    learner, seen = Learner(knobs, CPU), []
    learner._game.register_forward_hook(lambda _, given, __: seen.append(given[2]))
    assert {"pinball", "adversarial"} <= set(learner.step(batch))
    assert torch.equal(seen[0][:, 0], seen[0][:, 2])


def better(**training) -> Recipe:
    return Recipe(
        model=ModelRecipe(
            name="Stage02", upsampling="bilinear", ct_in_stages=True, residual=True, dropout=0.0
        ),
        loss=LossRecipe(mse=1.0, l1=1.0, adversarial=0.0, stages="all"),
        optimizer=OptimizerRecipe(name="adamw", weight_decay=0.1),
        training=TrainingRecipe(epochs=4, **training),
    )


def weights(learner: Learner, stage: int) -> list[torch.Tensor]:
    chain = learner.synthesizer.generator.chain
    return [value.clone() for value in chain[stage].state_dict().values()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("turn", [0, 1])
def test_greedy_stages_learn_one_after_the_other(batch: Batch, turn: int) -> None:
    learner = Learner(better(order="greedy"), CPU)
    learner.synthesizer.train()
    before = [weights(learner, stage) for stage in (0, 1)]
    learner.advance(2 * turn + 0.5)
    learner.step(batch)
    changed = [not same(before[stage], weights(learner, stage)) for stage in (0, 1)]
    assert changed == [turn == 0, turn == 1]
    with learner.scoring() as synthesizer:
        assert len(synthesizer(batch.hu)) == 2


@pytest.mark.slow
def test_joint_stages_learn_together_and_weights_decay(batch: Batch) -> None:
    learner = Learner(better(), CPU)
    before = [weights(learner, stage) for stage in (0, 1)]
    learner.advance(0.5)
    learner.step(batch)
    assert [same(before[stage], weights(learner, stage)) for stage in (0, 1)] == [False, False]
    assert isinstance(learner._adam, torch.optim.AdamW)
    assert learner._adam.param_groups[0]["weight_decay"] == 0.1


@pytest.mark.slow
def test_every_term_is_counted_with_its_weight(batch: Batch) -> None:
    knobs = {"mse": 1.0, "l1": 2.0, "charbonnier": 3.0, "ssim": 0.5, "gradient": 4.0}
    learner = Learner(Recipe(loss=LossRecipe(**knobs, adversarial=0.0)), CPU)
    terms = {name: float(value) for name, value in learner.step(batch).items()}
    assert terms.keys() == knobs.keys() | {"loss"}
    assert terms["loss"] == pytest.approx(sum(knobs[name] * terms[name] for name in knobs))


@pytest.mark.slow
def test_lesions_count_more_where_they_are_marked(batch: Batch) -> None:
    lesions = torch.zeros_like(batch.body)
    lesions[:, :8] = True
    marked = Batch(batch.hu, torch.zeros_like(batch.suv), batch.body, lesions)
    knobs = Recipe(model=ModelRecipe(dropout=0.0), loss=LossRecipe(lesions=1e6, adversarial=0.0))
    learner = Learner(knobs, CPU)
    [output] = copy.deepcopy(learner.synthesizer).train().stages(marked.hu)
    inside = output[:, :, :8].square().mean()
    assert float(learner.step(marked)["mse"]) == pytest.approx(inside.item(), rel=1e-3)


class Numbers(TorchFunctionMode):
    """Notes tensors that are made of numbers, each of which a GPU would be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in ("tensor", "new_tensor", "scalar_tensor", "item"):
            self.made.append(func.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.slow
def test_a_step_makes_no_tensor_of_numbers_and_asks_for_none(batch: Batch) -> None:
    """On a GPU each would wait for all that was begun before it, in every layer of every stage."""
    knobs = Recipe(model=ModelRecipe(name="Stage01", upsampling="bilinear", output="quantiles"))
    learner = Learner(knobs, CPU, world=World(parts=2))
    learner.synthesizer.train()
    with Numbers() as numbers:
        learner.step(batch)
    assert numbers.made == []


@pytest.mark.parametrize("network", ["synthesizer", "discriminator"])
@pytest.mark.parametrize("number", ["weight", "bias", "running_var"])
def test_one_number_that_is_not_finite_is_seen_in_either_network(network: str, number: str) -> None:
    learner = Learner.__new__(Learner)
    learner.synthesizer, learner.discriminator = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    assert learner.finite
    getattr(learner, network).state_dict()[number][2] = torch.inf
    assert not learner.finite
