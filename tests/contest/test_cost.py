"""What a machine does not tell is left out, and costs nothing else."""

import os
import runpy
import sys
from pathlib import Path

import pytest
import torch

from petcast.contest import cost
from petcast.contest.cost import machine_load, summarise_costs
from petcast.contest.tables import quiet_cost_table


def test_a_system_without_proc_and_resource_tells_no_memory_and_no_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So is Windows."""
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(Path, "exists", lambda _: False)
    monkeypatch.delattr(os, "getloadavg", raising=False)
    imported_there = runpy.run_path(cost.__file__)
    assert imported_there["peak_mb"](torch.device("cpu")) is None
    assert machine_load() is None


def test_costs_without_memory_have_a_table() -> None:
    rounds = {name: [{"train_s": 0.2, "predict_s": 0.1}] for name in ("ours", "theirs")}
    counted = {name: {"gflop": 0.5, "parameters": 7_000_000} for name in rounds}
    *_, ours, _ = quiet_cost_table(summarise_costs(rounds, ["theirs"], counted)).splitlines()
    assert ours == "| ours | 200 |  | 100 | 0.50 | 7.0 M | 1.00 |  | 1.00 |"
