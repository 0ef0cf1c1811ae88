"""Uptake errors in SUV by hand calculation."""

import math

import pytest
import torch
from jaxtyping import TypeCheckError

from petcast.errors import GeometryError
from petcast.metrics import uptake


def test_bias_keeps_the_sign_and_absolute_error_does_not() -> None:
    truth = torch.tensor([[[1.0, 2.0], [3.0, 40.0]]])
    prediction = torch.tensor([[[2.0, 0.0], [3.0, 41.0]]])
    assert float(uptake.suv_bias(prediction, truth)) == 0.0
    assert float(uptake.suv_mae(prediction, truth)) == 1.0


def test_only_the_mask_counts_and_an_empty_one_gives_no_value() -> None:
    truth = torch.zeros(2, 2, 2)
    prediction = torch.tensor([[[4.0, 0.0], [0.0, 0.0]]] * 2)
    mask = torch.zeros(2, 2, 2, dtype=torch.bool)
    mask[0, 0] = True
    values = uptake.suv_bias(prediction, truth, mask)
    assert float(values[0]) == 2.0
    assert math.isnan(values[1])


def test_clipping_counts_both_ends_of_the_window() -> None:
    suv = torch.tensor([[[-0.1, 0.0], [10.0, 10.1]]])
    assert float(uptake.clipped_share(suv, (0.0, 10.0))) == 0.5


def test_other_shapes_are_refused() -> None:
    with pytest.raises((GeometryError, TypeCheckError), match=r"cannot be compared|Type-check"):
        uptake.suv_mae(torch.zeros(1, 2, 2), torch.zeros(1, 2, 3))
