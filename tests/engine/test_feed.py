"""Resident or read ahead: the same slices in the same order, divided among processes."""

from pathlib import Path

import pytest
import torch

from petcast.dataset import SliceDataset
from petcast.engine import feed as room
from petcast.engine.feed import Feed
from petcast.engine.parallel import World
from petcast.pairs import Pairs

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 3])
def dataset(request, tiny_pairs: Path) -> SliceDataset:
    return SliceDataset(Pairs.open(tiny_pairs).studies("train"), request.param)


@pytest.mark.slow
def test_both_ways_give_the_same_batches(dataset: SliceDataset) -> None:
    order = torch.randperm(len(dataset))
    resident, streamed = (Feed(dataset, CPU, way) for way in ("resident", "streamed"))
    assert (resident.resident, streamed.resident) == (True, False)
    pairs = zip(resident.batches(order, 2), streamed.batches(order, 2), strict=True)
    for one, other in pairs:
        assert torch.equal(one.hu, other.hu)
        assert torch.equal(one.suv, other.suv)
        assert torch.equal(one.body, other.body)


def test_processes_share_each_batch_without_gap_or_overlap(dataset: SliceDataset) -> None:
    feed = Feed(dataset, CPU)
    shares = [list(feed.batches(None, 4, World(rank, 2))) for rank in (0, 1)]
    whole = list(feed.batches(None, 4))
    for first, second, both in zip(*shares, whole, strict=True):
        assert torch.equal(torch.cat([first.suv, second.suv]), both.suv)


def test_what_does_not_fit_is_read_ahead(dataset: SliceDataset, monkeypatch) -> None:
    monkeypatch.setattr(room, "_free_bytes", lambda _: dataset.nbytes)
    assert not Feed(dataset, CPU).resident
    monkeypatch.setattr(room, "_free_bytes", lambda _: 5 * dataset.nbytes)
    assert Feed(dataset, CPU).resident


@pytest.mark.parametrize(("line", "folder", "name"), [
    ("0::/job/step", "job", "memory.max"),
    ("0::/job/step", ".", "memory.max"),
    ("4:memory:/job/step", "memory/job/step", "memory.limit_in_bytes"),
    ("4:cpu,memory:/", "memory", "memory.limit_in_bytes"),
])  # fmt: skip
def test_a_jobs_own_limit_counts_as_well_as_the_machines_free_memory(
    tmp_path: Path, monkeypatch, line: str, folder: str, name: str
) -> None:
    own, groups = tmp_path / "cgroup", tmp_path / "groups"
    for path in ("job/step", "memory/job/step"):
        (groups / path).mkdir(parents=True)
    own.write_text(f"3:pids:/elsewhere\n{line}\n")
    (groups / "job" / "step" / "memory.max").write_text("max\n")
    assert list(room._limits(own, groups)) == []
    (groups / folder / name).write_text("4096\n")
    monkeypatch.setattr(room, "OWN_GROUPS", own)
    monkeypatch.setattr(room, "GROUPS", groups)
    assert room._free_bytes(CPU) == 4096
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert room._free_bytes(CPU) == 512


def test_what_torch_keeps_of_a_gpus_memory_for_later_is_free(monkeypatch) -> None:
    """After a pretraining the driver calls it taken, and pairs would be read ahead for nothing."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 800)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 300)
    assert room._free_bytes(torch.device("cuda", 0)) == 600


def test_an_abandoned_feed_ends_its_thread(dataset: SliceDataset) -> None:
    batches = Feed(dataset, CPU, "streamed").batches(None, 2)
    next(batches)
    batches.close()
