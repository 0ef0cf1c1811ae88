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


def test_an_abandoned_feed_ends_its_thread(dataset: SliceDataset) -> None:
    batches = Feed(dataset, CPU, "streamed").batches(None, 2)
    next(batches)
    batches.close()
