"""Anatomy: a body that a physician would recognise, and that differs from patient to patient."""

from dataclasses import replace

import numpy as np
import pytest

from petcast.phantom.anatomy import Anatomy, Axes, draw_anatomy, render
from petcast.phantom.frame import draw_frame
from petcast.phantom.person import draw_person
from petcast.phantom.streams import Streams
from petcast.phantom.tissues import draw_tissues


def _axes(anatomy: Anatomy, step: float = 4.0, low: float = -150, high: float = 110) -> Axes:
    frame = anatomy.frame
    z = np.arange(frame.scanner_axis(2, low), frame.scanner_axis(2, high), 2 * step)
    across = np.arange(-248, 250, step)
    return Axes(across, across, z, 2 * step)


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    return draw_anatomy(Streams(0, 2))


@pytest.fixture(scope="module")
def hu(anatomy: Anatomy) -> np.ndarray:
    return render(anatomy, _axes(anatomy), "hu", 0.3)


def test_ct_holds_air_lung_fat_muscle_and_bone_in_human_shares(hu: np.ndarray) -> None:
    body = hu[hu > -940]
    shares = {
        "lung": np.mean(body < -600),
        "fat": np.mean((body > -150) & (body < -60)),
        "soft": np.mean((body > 0) & (body < 100)),
        "bone": np.mean(body > 150),
    }
    assert 0.12 < shares["lung"] < 0.4
    assert 0.05 < shares["fat"] < 0.4
    assert 0.3 < shares["soft"] < 0.65
    assert 0.02 < shares["bone"] < 0.15


def test_lungs_hold_litres_as_lungs_do(anatomy: Anatomy, hu: np.ndarray) -> None:
    inside = (hu > -940) & (hu < -600)
    litres = inside.sum() * 4 * 4 * 8 / 1e6
    assert 2.0 < litres < 6.5


def test_lung_is_denser_at_the_back(anatomy: Anatomy, hu: np.ndarray) -> None:
    axes = _axes(anatomy)
    lung = (hu > -920) & (hu < -700)  # the mattress is thinner than any lung
    y = np.broadcast_to(axes.y_mm[None, :, None], hu.shape)[lung]
    front, back = (hu[lung][y * side > np.quantile(y * side, 0.8)].mean() for side in (-1, 1))
    assert back - front > 0.3 * anatomy.tissues.lung_gradient_hu


@pytest.mark.slow
def test_heavier_patients_have_larger_bodies() -> None:
    def area(index: float) -> float:
        person = replace(draw_person(Streams(0, 0).rng("person")), weight_kg=index * 1.76**2)
        person = replace(person, height_m=1.76, sex="M")
        drawn = draw_anatomy(Streams(0, 0))
        thinned = replace(
            drawn, person=person, frame=draw_frame(Streams(0, 0).rng("frame"), person)
        )
        return float((render(thinned, _axes(thinned, 6, -40, 0), "hu", 0.3) > -300).mean())

    slim, normal, stout = area(19), area(25), area(34)
    assert slim * 1.1 < normal < stout / 1.1


def test_no_two_patients_have_the_same_body(anatomy: Anatomy, hu: np.ndarray) -> None:
    other = draw_anatomy(Streams(0, 5))
    theirs = render(other, _axes(other), "hu", 0.3)
    count = min(len(hu), len(theirs))
    assert np.mean(np.abs(hu[:count] - theirs[:count]) > 100) > 0.03


def test_places_unbent_are_where_the_warp_takes_them_back(anatomy: Anatomy) -> None:
    frame = anatomy.frame
    places = np.random.default_rng(0).uniform(-120, 100, size=(40, 3))
    for place, found in zip(places, frame.unbent(places, 0.7), strict=True):
        x, y, z = (np.array([v]) for v in found)
        again = (
            found[0] + frame.warp(0, x, y, z).item(),
            found[1] + frame.warp(1, x, y, z).item(),
            frame.organ_z(z, 0.7).item(),
        )
        np.testing.assert_allclose(again, place, atol=0.05)


def test_diaphragm_moves_with_the_breath_and_the_skin_does_not(anatomy: Anatomy) -> None:
    axes = _axes(anatomy, 4.0, -150, -60)
    out, into = (render(anatomy, axes, "hu", phase) for phase in (0.0, 1.0))
    lung = [int(((image > -940) & (image < -600)).sum()) for image in (out, into)]
    assert lung[1] > lung[0] * 1.1
    assert np.array_equal(out.max(axis=1) > -300, into.max(axis=1) > -300)
    front = [np.argmax(image[:, :, 62] > -300, axis=1) for image in (out, into)]
    assert np.array_equal(*front)


def test_uptake_is_that_of_fdg(anatomy: Anatomy) -> None:
    tissues = anatomy.tissues
    assert 0.2 <= tissues.fat.suv <= 0.35 < tissues.lung.suv < tissues.muscle.suv
    assert tissues.muscle.suv < tissues.blood.suv < tissues.liver.suv


def test_some_hearts_glow_and_some_do_not() -> None:
    hearts = [
        draw_tissues(Streams(1, patient).rng("tissues"), old=False).myocardium.suv
        for patient in range(12)
    ]
    assert min(hearts) < 2.2
    assert max(hearts) > 4


def test_some_arms_are_up_and_some_down_and_both_sexes_come() -> None:
    people = [draw_person(Streams(0, patient).rng("person")) for patient in range(20)]
    assert {person.arms_up for person in people} == {True, False}
    assert {person.sex for person in people} == {"F", "M"}
    assert all(17 <= person.body_mass_index <= 39 for person in people)
