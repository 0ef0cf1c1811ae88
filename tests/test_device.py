"""Where to compute: processors and GPUs, and nothing else that torch calls a device."""

import pytest
import torch

from petcast.device import choose_device
from petcast.errors import UsageError


def test_a_processor_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["meta", "cuda:99", "tpu", "", "cpu:x"])
def test_what_computes_nothing_is_no_device(name: str) -> None:
    with pytest.raises(UsageError, match="use auto, cpu or cuda"):
        choose_device(name)
