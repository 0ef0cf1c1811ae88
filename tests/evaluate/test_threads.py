"""Work in threads: all of it, in order, and torch's own threads are given back."""

import threading
from collections.abc import Iterator

import pytest
import torch

from petcast.evaluate.threads import in_threads, stretches


@pytest.fixture(autouse=True)
def _one_thread_again() -> Iterator[None]:
    yield
    torch.set_num_threads(1)


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order(threads: int) -> None:
    torch.set_num_threads(threads)
    assert in_threads(lambda number: number**2, range(20)) == [n**2 for n in range(20)]
    assert torch.get_num_threads() == threads


def test_work_runs_side_by_side() -> None:
    torch.set_num_threads(2)
    both = threading.Barrier(2, timeout=10)  # breaks where one waits for the other to end
    assert sorted(in_threads(lambda _: both.wait(), range(2))) == [0, 1]


def test_an_error_is_raised_and_threads_are_given_back() -> None:
    torch.set_num_threads(3)
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda number: 1 // number, [1, 0])
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("slices", "threads", "expected"), [(40, 3, 3), (17, 3, 2), (5, 3, 1)])
def test_stretches_cover_every_slice_once(slices: int, threads: int, expected: int) -> None:
    torch.set_num_threads(threads)
    found = stretches(slices, least=8)
    assert len(found) == expected
    assert [z for stretch in found for z in stretch] == list(range(slices))
