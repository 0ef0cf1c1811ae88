"""The learning rate's course and the average of the weights."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from petcast.engine.schedule import MovingAverage, rate_factor, stage_span
from petcast.recipe import OptimizerRecipe

COSINE = OptimizerRecipe(schedule="cosine", warmup_epochs=2)


@pytest.mark.parametrize(
    ("done", "factor"), [(0.5, 0.25), (2, 1), (4, 0.853553), (6, 0.5), (10, 0), (11, 0)]
)
def test_it_rises_then_falls_to_nothing(done: float, factor: float) -> None:
    assert rate_factor(COSINE, done, 10) == pytest.approx(factor, abs=1e-6)


@given(st.floats(0, 200))
def test_the_published_rate_is_constant(done: float) -> None:
    assert rate_factor(OptimizerRecipe(), done, 200) == 1.0


def test_more_warm_up_than_epochs_is_no_division_by_zero() -> None:
    assert 0 <= rate_factor(OptimizerRecipe(schedule="cosine", warmup_epochs=3), 3, 3) <= 1


def moved() -> tuple[nn.Linear, MovingAverage]:
    """A weight that was 0 when its average began, and is 1 now."""
    module = nn.Linear(1, 1)
    torch.nn.init.zeros_(module.weight)
    average = MovingAverage(module, 0.999)
    torch.nn.init.ones_(module.weight)
    return module, average


def test_the_average_follows_closely_at_first() -> None:
    """A tenth of the first weights is left after a step, however much the average keeps later."""
    _, average = moved()
    average.update()
    assert float(average.average[0]) == pytest.approx(0.9)


def test_the_average_is_slower_with_each_of_the_first_steps_and_anew_after_a_restart() -> None:
    """Of what it began with, three steps leave 1/10 · 2/11 · 3/12."""
    module, average = moved()
    for _ in range(3):
        average.update()
    assert 1 - float(average.average[0]) == pytest.approx(1 / 220, rel=1e-4)
    average.restart(3)
    assert float(average.average[0]) == 1.0
    torch.nn.init.zeros_(module.weight)
    average.update()
    assert float(average.average[0]) == pytest.approx(4 / 13)


@pytest.mark.parametrize(
    ("done", "expected"),
    [(0, (0, 0, 4)), (4, (1, 0, 4)), (11.9, (2, 3.9, 4)), (12, (2, 4, 4))],
)
def test_each_stage_has_its_turn_and_the_last_one_keeps_it(done: float, expected) -> None:
    assert stage_span(done, 12, 3) == pytest.approx(expected)


def test_the_average_of_a_constant_is_the_constant_and_else_lags() -> None:
    module = nn.Linear(1, 1)
    average = MovingAverage(module, 0.9)
    with torch.no_grad():
        module.weight.fill_(1.0)
    for _ in range(200):
        average.update()
    assert float(average.average[0]) == pytest.approx(1.0, abs=1e-6)
    with torch.no_grad():
        module.weight.fill_(2.0)
    average.update()
    with average.in_place():
        assert module.weight.item() == pytest.approx(1.1, abs=1e-6)
    assert module.weight.item() == 2.0
