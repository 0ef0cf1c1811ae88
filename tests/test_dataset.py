"""Slices as batches: every slice once, neighbours stay inside their study."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from petcast.dataset import SliceDataset
from petcast.errors import UsageError
from petcast.pairs import Pairs


@pytest.fixture
def dataset(tiny_pairs: Path) -> SliceDataset:
    return SliceDataset(Pairs.open(tiny_pairs).studies("train"), channels=1)


def test_every_slice_comes_once_in_the_order_asked_for(dataset: SliceDataset) -> None:
    order = torch.randperm(len(dataset))
    assert list(chain(*dataset.division(order, 2))) == order.tolist()
    assert list(chain(*dataset.division(None, 2))) == list(range(len(dataset)))


@pytest.mark.parametrize(("slices", "size", "expected"), [(5, 2, [2, 3]), (6, 4, [4, 2])])
def test_no_batch_of_one_is_left_over(dataset, slices: int, size: int, expected) -> None:
    order = torch.arange(slices)
    assert [len(batch) for batch in dataset.division(order, size)] == expected


def test_no_batch_is_left_over_with_fewer_slices_than_parts(dataset: SliceDataset) -> None:
    assert [len(batch) for batch in dataset.division(torch.arange(14), 4, least=4)] == [4, 4, 6]
    assert [len(batch) for batch in dataset.division(torch.arange(3), 4, least=4)] == [3]


def test_neighbours_do_not_reach_into_the_next_study(tiny_pairs: Path) -> None:
    studies = Pairs.open(tiny_pairs).studies("train")
    dataset = SliceDataset(studies, channels=3)
    last = studies[0].slices - 1
    hu = dataset.batch([last]).hu[0].numpy()
    assert (hu[0] == studies[0].ct[last - 1]).all()
    assert (hu[1] == studies[0].ct[last]).all()
    assert (hu[2] == studies[0].ct[last]).all()


def test_two_slices_are_neither_one_nor_neighbours(tiny_pairs: Path) -> None:
    with pytest.raises(UsageError, match="3 neighbours"):
        SliceDataset([], channels=2)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_stored_is_what_batches_are_made_of(tiny_pairs: Path, channels: int) -> None:
    dataset = SliceDataset(Pairs.open(tiny_pairs).studies("train"), channels)
    ct, pet, body = dataset.stored()
    batch = dataset.batch(range(len(dataset)))
    assert torch.equal(ct[dataset.channels()].float(), batch.hu)
    assert torch.equal(pet, batch.suv)
    assert torch.equal(body, batch.body)
    assert dataset.nbytes == ct.nbytes + pet.nbytes + body.nbytes


def test_lesions_are_those_of_each_study_and_none_where_it_has_no_masks(tiny_pairs: Path) -> None:
    studies = Pairs.open(tiny_pairs).studies("train")
    dataset = SliceDataset(studies, 1, lesions=True)
    stored, batch = dataset.stored_lesions(), dataset.batch(range(len(dataset)))
    assert stored is not None
    assert torch.equal(stored, batch.lesions)
    expected = [np.zeros(s.ct.shape) if s.lesions is None else s.lesions for s in studies]
    assert torch.equal(stored, torch.from_numpy(np.concatenate(expected) > 0))
    assert SliceDataset(studies, 1).batch([0]).lesions is None
    assert SliceDataset(studies, 1).stored_lesions() is None
