"""What each generator costs: the rows of the paper's Table 2, and operations."""

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from petcast.models import discriminator
from petcast.models.build import build_generator
from petcast.recipe import GENERATOR_NAMES, GeneratorName, ModelRecipe

SIDE = 256


def describe_all() -> dict[str, Any]:
    """Describe every generator and the discriminator.

    They are built on torch's meta device: shapes without memory.

    Returns:
        `models`: name, stages, parameters and GFLOP of one forward pass of a 256² slice (a
        multiplication and an addition are two operations); `discriminator`: name, parameters.
    """
    with torch.device("meta"):
        judge = discriminator.Discriminator()
        rows = [_describe(name) for name in GENERATOR_NAMES]
    return {
        "models": rows,
        "discriminator": {"name": discriminator.NAME, "parameters": count_parameters(judge)},
    }


def count_parameters(module: nn.Module) -> int:
    """Count what can be learned.

    Args:
        module: Any module.

    Returns:
        The number of its parameters.
    """
    return sum(parameter.numel() for parameter in module.parameters())


def _describe(name: GeneratorName) -> dict[str, Any]:
    generator = build_generator(ModelRecipe(name=name)).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        generator(torch.empty(1, 3, SIDE, SIDE))
    return {
        "name": name,
        "stages": len(generator.chain),
        "parameters": count_parameters(generator),
        "gflop": round(counter.get_total_flops() / 1e9, 3),
    }
