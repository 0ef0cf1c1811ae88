"""The scanner: resolution, noise, breath and grids."""

import numpy as np
import pytest

from petcast.phantom.anatomy import Axes, draw_anatomy
from petcast.phantom.scanner import _blur_onto, _correlated, ct_axes, pet_axes, take_ct, take_pet
from petcast.phantom.streams import Streams
from petcast.phantom.styles import STYLES, draw_protocol


def _protocol(patient: int = 0, **knobs):
    wanted = {"ct_size": 64, "pet_size": 64, "slice_step_mm": 14.0} | knobs
    return draw_protocol(Streams(0, patient), 75.0, **wanted)


@pytest.mark.parametrize("fwhm_mm", [5.0, 7.0])
def test_point_source_is_as_wide_as_the_resolution(fwhm_mm: float) -> None:
    place = np.arange(-40, 40.1, 1.0)
    fine = Axes(place, place, place, 1.0)
    source = np.zeros(fine.shape, dtype=np.float32)
    source[40, 40, 40] = 1
    image = _blur_onto(source, fine, fine, fwhm_mm)
    assert image.sum() == pytest.approx(1, rel=1e-3)
    for profile in (image[:, 40, 40], image[40, :, 40], image[40, 40, :]):
        variance = (profile * place**2).sum() / profile.sum()
        assert 2.3548 * np.sqrt(variance) == pytest.approx(fwhm_mm, rel=0.03)


def test_uniform_activity_stays_uniform_under_the_blur() -> None:
    fine = Axes(*[np.arange(-60, 60.1, 2.5)] * 3, 2.5)
    coarse = Axes(*[np.arange(-30, 30.1, 4.07)] * 3, 4.07)
    image = _blur_onto(np.full(fine.shape, 2.0, dtype=np.float32), fine, coarse, 6.0)
    np.testing.assert_allclose(image, 2.0, rtol=2e-3)


def test_correlated_noise_keeps_its_variance_and_knows_its_neighbour() -> None:
    white = np.random.default_rng(0).standard_normal((60, 60, 60)).astype(np.float32)
    noise = _correlated(white, (1.0, 1.5, 0.0))
    assert noise.std() == pytest.approx(1, abs=0.05)
    assert np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1] > 0.7
    assert abs(np.corrcoef(noise[..., 1:].ravel(), noise[..., :-1].ravel())[0, 1]) < 0.05


def test_ct_and_pet_lie_on_different_grids_in_one_space() -> None:
    anatomy = draw_anatomy(Streams(0, 1))
    for patient in range(3):
        protocol = _protocol(patient, ct_size=512, pet_size=None, slice_step_mm=None)
        ct, pet = ct_axes(anatomy, protocol), pet_axes(anatomy, protocol)
        assert ct.shape[1:] == (512, 512)
        assert ct.x_mm[1] - ct.x_mm[0] == pytest.approx(0.9765625)
        assert 2.5 <= ct.z_mm[1] - ct.z_mm[0] <= 5
        assert 250 < ct.z_mm[-1] - ct.z_mm[0] < 345
        assert not np.isin(np.round(pet.z_mm, 3), np.round(ct.z_mm, 3)).any()
        assert ct.z_mm[0] < pet.z_mm[0]
        assert pet.z_mm[-1] < ct.z_mm[-1]


def test_styles_take_turns_and_resolve_5_to_7_mm() -> None:
    protocols = [_protocol(patient) for patient in range(12)]
    assert [p.style for p in protocols[:3]] == list(STYLES)
    assert all(5 <= p.fwhm_mm <= 7 for p in protocols)
    assert len({p.fwhm_mm for p in protocols}) == 12


def test_knobs_of_size_change_neither_dose_nor_resolution() -> None:
    small, large = _protocol(4), _protocol(4, ct_size=512, pet_size=None, slice_step_mm=None)
    assert small.dose_bq == large.dose_bq
    assert small.fwhm_mm == large.fwhm_mm
    assert small.pet_size * small.pet_pixel_mm == pytest.approx(large.pet_size * large.pet_pixel_mm)


def test_ct_noise_is_as_strong_as_the_protocol_says() -> None:
    anatomy = draw_anatomy(Streams(0, 2))
    protocol = _protocol(2)
    first, second = (take_ct(anatomy, protocol, np.random.default_rng(s))[1] for s in (1, 2))
    liver = np.abs(first - anatomy.tissues.liver.hu) < 60
    measured = (first - second)[liver].std() / np.sqrt(2)
    assert 0.5 * protocol.ct_noise_hu < measured < 2.2 * protocol.ct_noise_hu


@pytest.mark.slow
def test_pet_noise_is_seen_in_the_liver_and_never_negative() -> None:
    anatomy = draw_anatomy(Streams(0, 2))
    protocol = _protocol(2)
    scan = take_pet(anatomy, protocol, np.random.default_rng(0))
    assert scan.suv.min() >= 0
    liver = np.abs(scan.noise_free - anatomy.tissues.liver.suv) < 0.15
    relative = ((scan.suv - scan.noise_free)[liver] / scan.noise_free[liver]).std()
    assert relative == pytest.approx(protocol.pet_noise, rel=0.35)
    assert scan.noise_free[0, 0, 0] == 0


@pytest.mark.slow
def test_breath_blurs_the_dome_of_the_liver_in_pet() -> None:
    anatomy = draw_anatomy(Streams(0, 2))
    from petcast.phantom import scanner

    protocol = _protocol(2, slice_step_mm=7.0)
    moving = take_pet(anatomy, protocol, np.random.default_rng(0)).noise_free
    held = pytest.MonkeyPatch()
    held.setattr(scanner, "PET_PHASES", ((0.3, 1.0),))
    still = take_pet(anatomy, protocol, np.random.default_rng(0)).noise_free
    held.undo()
    axes = pet_axes(anatomy, protocol)
    x, y = anatomy.frame.scanner_axis(0, -62.0), anatomy.frame.scanner_axis(1, 0.0)
    column = np.s_[:, np.abs(axes.y_mm - y).argmin(), np.abs(axes.x_mm - x).argmin()]
    steepest = [np.abs(np.diff(image[column])).max() for image in (moving, still)]
    assert steepest[0] < 0.8 * steepest[1]


@pytest.mark.slow
def test_lesion_labels_lie_on_the_pet_at_the_mean_place() -> None:
    anatomy = draw_anatomy(Streams(0, 2))
    protocol = _protocol(2, slice_step_mm=7.0)
    scan = take_pet(anatomy, protocol, np.random.default_rng(0))
    assert set(np.unique(scan.lesions)) == set(range(len(anatomy.lesions) + 1))
    largest = int(np.argmax([x.diameter_mm for x in anatomy.lesions]))
    hot = scan.noise_free[scan.lesions == largest + 1]
    assert hot.max() > 0.7 * anatomy.lesions[largest].suv
