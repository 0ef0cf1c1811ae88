"""Lesions: hot and cold, seen and unseen, where the truth says."""

from dataclasses import replace

import numpy as np
import pytest

from petcast.phantom.anatomy import Anatomy, Axes, draw_anatomy, render
from petcast.phantom.frame import draw_frame
from petcast.phantom.lesions import Lesion, draw_lesions
from petcast.phantom.person import draw_person
from petcast.phantom.streams import Streams


def _around(anatomy: Anatomy, index: int, phase: float, step: float = 1.5) -> Axes:
    lesion = anatomy.lesions[index]
    reach = np.arange(-lesion.diameter_mm, lesion.diameter_mm + step, step)
    x, y, z = lesion.at(anatomy.frame, phase).centre_mm
    return Axes(reach + x, reach + y, reach + z, step)


def _first(kind: str) -> tuple[Anatomy, int]:
    for patient in range(60):
        kinds = [lesion.kind for lesion in _lesions(Streams(0, patient))]
        if kind in kinds:
            return draw_anatomy(Streams(0, patient)), kinds.index(kind)
    raise AssertionError(kind)


@pytest.fixture(scope="module")
def cohort() -> list[list[Lesion]]:
    """Lesions of sixteen patients, drawn as `draw_anatomy` does."""
    return [_lesions(Streams(0, patient)) for patient in range(16)]


def _lesions(streams: Streams) -> list[Lesion]:
    frame = draw_frame(streams.rng("frame"), draw_person(streams.rng("person")))
    return draw_lesions(streams.rng("lesions"), frame, streams.patient)


@pytest.mark.slow
def test_diameters_and_uptakes_stay_in_their_ranges(cohort: list[list[Lesion]]) -> None:
    lesions = [lesion for lesions in cohort for lesion in lesions]
    assert all(8 <= lesion.diameter_mm <= 40 for lesion in lesions)
    hot = [lesion.suv for lesion in lesions if lesion.kind != "cold nodule"]
    assert all(2 <= suv <= 15 for suv in hot)
    assert max(hot) - min(hot) > 5


@pytest.mark.slow
def test_each_patient_has_one_that_ct_misreads(cohort: list[list[Lesion]]) -> None:
    for patient, lesions in enumerate(cohort):
        if patient % 2:
            assert any(x.visible_on_ct and x.suv <= 1 for x in lesions)
        else:
            assert any(not x.visible_on_ct and x.suv > 2 for x in lesions)


@pytest.mark.slow
def test_lesions_do_not_touch(cohort: list[list[Lesion]]) -> None:
    for lesions in cohort:
        for i, one in enumerate(lesions):
            for other in lesions[:i]:
                apart = np.linalg.norm(np.subtract(one.place, other.place))
                assert apart > (one.diameter_mm + other.diameter_mm) / 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["node", "liver", "bone"])
def test_hot_lesion_without_a_sign_leaves_ct_as_it_was(kind: str) -> None:
    anatomy, index = _first(kind)
    without = replace(anatomy, lesions=[x for i, x in enumerate(anatomy.lesions) if i != index])
    axes = _around(anatomy, index, 0.0)
    assert np.array_equal(render(anatomy, axes, "hu", 0), render(without, axes, "hu", 0))
    middle = tuple(n // 2 for n in axes.shape)
    suv = render(anatomy, axes, "suv", 0)
    assert suv[middle] == pytest.approx(anatomy.lesions[index].suv, rel=1e-3)
    assert suv[middle] > 1.5 * render(without, axes, "suv", 0)[middle]


def test_cold_nodule_is_dense_and_does_not_glow() -> None:
    anatomy, index = _first("cold nodule")
    axes = _around(anatomy, index, 0.0)
    middle = tuple(n // 2 for n in axes.shape)
    assert render(anatomy, axes, "hu", 0)[middle] > -10
    assert render(anatomy, axes, "suv", 0)[middle] <= 1.0


@pytest.mark.slow
@pytest.mark.parametrize("phase", [0.0, 1.0])
def test_painted_lesion_has_the_diameter_and_the_place_of_the_truth(phase: float) -> None:
    anatomy, index = _first("nodule")
    lesion = anatomy.lesions[index]
    axes = _around(anatomy, index, phase, 0.8)
    other = replace(anatomy, lesions=[x for i, x in enumerate(anatomy.lesions) if i != index])
    gain = render(anatomy, axes, "suv", phase) - render(other, axes, "suv", phase)
    inside = gain > 0.5 * gain.max()
    diameter = (6 * inside.sum() * 0.8**3 / np.pi) ** (1 / 3)
    assert diameter == pytest.approx(lesion.diameter_mm, rel=0.06)
    grid = (axes.z_mm, axes.y_mm, axes.x_mm)
    centre = [a[i].mean() for a, i in zip(grid, np.nonzero(inside), strict=True)]
    wanted = lesion.at(anatomy.frame, phase).centre_mm[::-1]
    np.testing.assert_allclose(centre, wanted, atol=0.08 * lesion.diameter_mm)


def test_lesions_of_the_lung_base_breathe_and_those_of_bone_do_not() -> None:
    anatomy, index = _first("bone")
    bone = anatomy.lesions[index]
    assert bone.at(anatomy.frame, 0).centre_mm == bone.at(anatomy.frame, 1).centre_mm
    low = replace(bone, kind="nodule", place=bone.place._replace(z=-100.0))
    moved = np.subtract(low.at(anatomy.frame, 0).centre_mm, low.at(anatomy.frame, 1).centre_mm)
    assert moved[2] > 0.7 * anatomy.person.breath_mm
