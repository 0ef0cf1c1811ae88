"""The search: whole voxels are found exactly, whatever the direction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petcast.registration.scene import around, build_scene
from petcast.registration.search import search

STEPS = st.tuples(*[st.integers(-6, 6)] * 3)


@pytest.mark.slow
@settings(max_examples=4, deadline=None)
@given(steps=STEPS)
def test_whole_voxels_are_found_exactly(drawn, steps: tuple[int, int, int]) -> None:
    # The windpipe and the lungs' ends tell z apart; what rolls over an end is air or trunk alike.
    scene = build_scene(drawn.ct, np.roll(drawn.pet, steps, (0, 1, 2)), drawn.regions, drawn.grid)
    near = scene.compared & around(scene.lung, 20.0, scene.spacing_mm)
    found = search(scene, near)
    assert found.steps == steps
    assert found.correlation > 0.95


@pytest.mark.slow
def test_too_little_to_compare_gives_nothing(drawn) -> None:
    scene = build_scene(drawn.ct, drawn.pet, drawn.regions, drawn.grid)
    few = np.zeros_like(scene.compared)
    few[30, 50:60, 50:60] = True
    assert search(scene, few) is None
