"""Each detector fires on its planted mistake and on nothing else; on honest predictions none does.

The matrix of docs/evaluate.md is this file's: phantom patients of several seeds and real PET, each
mistake planted in the truth itself and in a blurred and noisy copy, beside predictions that are bad
but honest.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from petcast.evaluate.body import body_on_truth
from petcast.evaluate.findings import Mistake
from petcast.evaluate.mistakes import Facts, Subject, examine, rescaled_volumes
from petcast.phantom.anatomy import draw_anatomy
from petcast.phantom.cohort import draw_protocol
from petcast.phantom.scanner import take_pet
from petcast.phantom.streams import Streams
from petcast.volume import Unit, Volume

Image = NDArray[np.float32]
Change = Callable[[Image], NDArray[np.floating]]


def noise(image: Image) -> Image:
    return np.random.default_rng(0).standard_normal(image.shape).astype(np.float32)


def by_slice(image: Image, sd: float) -> Image:
    return np.exp(sd * np.random.default_rng(1).standard_normal((len(image), 1, 1)))


def own_maximum(image: Image) -> Image:
    maxima = image.max(axis=(1, 2), keepdims=True)
    return image / np.where(maxima > 0, maxima, 1)


def inside(image: Image, values: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.where(body_on_truth(image), values, 0)


def by_own_percentile(image: Image, percentile: float = 99) -> Image:
    tops = np.percentile(image, percentile, axis=(1, 2), keepdims=True)
    return image / np.where(tops > 0, tops, 1)


def own_percentile(image: Image) -> Image:
    """As images are often brought to 0…1: what lies above a slice's percentile is cut off."""
    return np.clip(by_own_percentile(image), 0, 1)


PLANTED: dict[str, tuple[Mistake, Change]] = {
    "Bq/mL": (Mistake.BQML, lambda v: v * 3215),
    "integers, 90 to an SUV": (Mistake.BQML, lambda v: np.round(v * 90)),
    "0 to 255, window 0 to 10": (
        Mistake.GREY_LEVELS,
        lambda v: np.round(255 * np.clip(v / 10, 0, 1)),
    ),
    "0 to 255, window 0 to 20": (Mistake.GREY_LEVELS, lambda v: 255 * np.clip(v / 20, 0, 1)),
    "0 to 1, window 0 to 5": (Mistake.UNIT_RANGE, lambda v: np.clip(v / 5, 0, 1)),
    "0 to 1, window 0 to 10": (Mistake.UNIT_RANGE, lambda v: np.clip(v / 10, 0, 1)),
    "0 to 1, window 0 to 20": (Mistake.UNIT_RANGE, lambda v: np.clip(v / 20, 0, 1)),
    "-1 to 1": (Mistake.OFFSET, lambda v: np.clip(v / 10, 0, 1) * 2 - 1),
    "half an SUV added": (Mistake.OFFSET, lambda v: v + 0.5),
    "one SUV taken off": (Mistake.OFFSET, lambda v: v - 1),
    "slices by their maximum": (Mistake.RESCALED_SLICES, own_maximum),
    "the same as 0 to 255": (Mistake.RESCALED_SLICES, lambda v: np.round(255 * own_maximum(v))),
    "the same as SUV 0 to 10": (Mistake.RESCALED_SLICES, lambda v: 10 * own_maximum(v)),
    "slices by their percentile": (Mistake.RESCALED_SLICES, own_percentile),
    "the same, not cut off": (Mistake.RESCALED_SLICES, by_own_percentile),
    "by a higher one, as SUV 0 to 4": (
        Mistake.RESCALED_SLICES,
        lambda v: 4 * by_own_percentile(v, 99.5),
    ),
    "learned by such slices": (
        Mistake.RESCALED_SLICES,
        lambda v: gaussian_filter(own_maximum(v), (0, 1, 1)) * by_slice(v, 0.03),
    ),
    "slices by chance": (Mistake.RESCALED_SLICES, lambda v: v * by_slice(v, 0.4)),
    "left and right": (Mistake.FLIPPED, lambda v: v[:, :, ::-1]),
    "front and back": (Mistake.FLIPPED, lambda v: v[:, ::-1]),
    "head and foot": (Mistake.FLIPPED, lambda v: v[::-1]),
    "half a turn": (Mistake.FLIPPED, lambda v: v[:, ::-1, ::-1]),
    "rows and columns": (Mistake.SWAPPED_AXES, lambda v: v.transpose(0, 2, 1)),
    "a quarter turn": (Mistake.SWAPPED_AXES, lambda v: np.rot90(v, 1, (1, 2))),
    "z and y": (Mistake.SWAPPED_AXES, lambda v: v.transpose(1, 0, 2)),
    "z and x": (Mistake.SWAPPED_AXES, lambda v: v.transpose(2, 1, 0)),
    "a slice too high": (Mistake.SHIFTED_SLICES, lambda v: np.roll(v, 1, 0)),
    "a slice too low": (Mistake.SHIFTED_SLICES, lambda v: np.roll(v, -1, 0)),
    "two slices too high": (Mistake.SHIFTED_SLICES, lambda v: np.roll(v, 2, 0)),
}

NOT_IN_DEGRADED = {"learned by such slices"}
"""Degraded twice, it is no longer the truth's maxima that its scale follows."""

HONEST: dict[str, Change] = {
    "the truth": lambda v: v,
    "blurred": lambda v: gaussian_filter(v, 1.5),
    "blurred out": lambda v: gaussian_filter(v, 6),
    "half as hot again": lambda v: v * 1.5,
    "half as hot": lambda v: v * 0.5,
    "noisy": lambda v: v + 0.5 * noise(v),
    "noise above all": lambda v: v + 2 * noise(v),
    "noise cut off at 0": lambda v: np.clip(v + noise(v), 0, None),
    "clipped at 5": lambda v: np.clip(v, 0, 5),
    "clipped at 2": lambda v: np.clip(v, 0, 2),
    "in 256 steps": lambda v: np.round(np.clip(v / 10, 0, 1) * 255) / 25.5,
    "slice by slice": lambda v: gaussian_filter(v, (0, 2, 2)) * by_slice(v, 0.05),
    "weak": lambda v: inside(
        v, 0.5 * v[v > 0.1].mean() + 0.15 * gaussian_filter(v, 6) + 0.05 * noise(v)
    ),
    "nearly constant": lambda v: inside(v, v[v > 0.1].mean() + 1e-3 * noise(v)),
    "smooth and random": lambda v: inside(v, 1 + 15 * gaussian_filter(noise(v), 5)),
    "compressed": lambda v: np.sqrt(v),
    "the other way round": lambda v: inside(v, np.clip(3 - v, 0, 3)),
    "one mean slice": lambda v: np.broadcast_to(v.mean(axis=0), v.shape),
}


def degraded(image: Image) -> Image:
    return np.asarray(gaussian_filter(image, (0.5, 1, 1)) + 0.1 * noise(image), np.float32)


def found(truth: Image, prediction: NDArray[np.floating]) -> Facts:
    """What `examine` says where headers put a swapped volume nowhere."""
    stored = np.asarray(prediction, np.float32)
    fits = stored.shape == truth.shape
    placed = stored if fits else np.zeros_like(truth)
    everywhere = np.full(truth.shape, fits)
    return examine(Subject(truth, placed, body_on_truth(truth), everywhere, stored))


def confusion(truth: Image) -> dict[str, set[Mistake]]:
    """Every planted mistake and honest prediction, and what fires."""
    made = {name: change(truth) for name, (_, change) in PLANTED.items()}
    made |= {
        f"{name}, degraded": change(degraded(truth))
        for name, (_, change) in PLANTED.items()
        if name not in NOT_IN_DEGRADED
    }
    made |= {name: change(truth) for name, change in HONEST.items()}
    return {name: set(found(truth, prediction).mistakes) for name, prediction in made.items()}


def wanted(name: str) -> set[Mistake]:
    planted = PLANTED.get(name.removesuffix(", degraded"))
    return {planted[0]} if planted else set()


def wrong(truth: Image) -> dict[str, set[Mistake]]:
    return {name: fired for name, fired in confusion(truth).items() if fired != wanted(name)}


def phantom(seed: int, slice_step_mm: float = 8.0, size: int = 96) -> Image:
    streams = Streams(seed, 0)
    anatomy = draw_anatomy(streams)
    protocol = draw_protocol(
        streams,
        anatomy.person.weight_kg,
        ct_size=96,
        pet_size=size,
        slice_step_mm=slice_step_mm,
    )
    return np.asarray(take_pet(anatomy, protocol, streams.rng("PET noise")).suv, np.float32)


@pytest.mark.slow
def test_on_a_phantom_each_fires_on_its_own_and_on_nothing_else() -> None:
    assert wrong(phantom(0)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 9))
def test_on_more_phantoms(seed: int) -> None:
    assert wrong(phantom(seed, slice_step_mm=4.0, size=128)) == {}


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("case", ["ge_a", "siemens_b"])
def test_on_real_pet(real_data: Path, case: str) -> None:
    pet = Volume.load(real_data / "volumes" / f"{case}_pet.nii.gz", Unit.SUV).canonical()
    of_4_mm = tuple(slice(None, None, max(1, round(4 / mm))) for mm in pet.spacing_mm[::-1])
    assert wrong(np.asarray(pet.voxels[of_4_mm], np.float32)) == {}


@pytest.mark.real
def test_on_a_real_crop_with_hardly_any_air_offsets_are_not_judged(real_data: Path) -> None:
    pet = Volume.load(real_data / "volumes" / "sts001crop_pet.nii.gz", Unit.SUV).canonical()
    missed = wrong(np.asarray(pet.voxels, np.float32))
    assert {frozenset(wanted(name)) for name in missed} == {frozenset({Mistake.OFFSET})}
    assert all(fired == set() for fired in missed.values())


@pytest.mark.real
def test_a_real_ct_is_no_pet(real_data: Path) -> None:
    pet = Volume.load(real_data / "volumes" / "ge_a_pet.nii.gz", Unit.SUV).canonical()
    ct = Volume.load(real_data / "volumes" / "ge_a_ct.nii.gz", Unit.HU).canonical()
    assert set(found(pet.voxels, ct.voxels).mistakes) == {Mistake.HU}


@pytest.mark.slow
def test_hu_are_no_suv() -> None:
    truth = phantom(0)
    hu = np.where(truth > 0.1, 40 + 20 * noise(truth), -1000)
    assert set(found(truth, hu).mistakes) == {Mistake.HU}


@pytest.fixture(scope="module")
def cohort() -> list[Image]:
    return [phantom(seed, size=64) * (1 + seed / 3) for seed in range(5)]


@pytest.mark.slow
def test_a_volume_by_its_own_maximum_is_known_by_that(cohort: list[Image]) -> None:
    for truth in cohort:
        assert set(found(truth, truth / truth.max()).mistakes) == {Mistake.RESCALED_VOLUMES}


@pytest.mark.slow
def test_volumes_by_their_own_maxima_are_known_by_their_scales(cohort: list[Image]) -> None:
    """On a scale on which a single one cannot be told from an honest prediction."""
    predicted = [gaussian_filter(5 * truth / truth.max(), (0, 1, 1)) for truth in cohort]
    facts = [found(truth, image) for truth, image in zip(cohort, predicted, strict=True)]
    assert not any(one.mistakes for one in facts)
    assert rescaled_volumes(facts)
    assert not rescaled_volumes(facts[:3])


@pytest.mark.slow
@pytest.mark.parametrize("name", list(HONEST))
def test_honest_cohorts_are_not_rescaled(cohort: list[Image], name: str) -> None:
    assert not rescaled_volumes([found(truth, HONEST[name](truth)) for truth in cohort])


@pytest.mark.slow
def test_a_prediction_in_suv_is_not_blamed_for_a_real_pet_from_0_to_1() -> None:
    suv = phantom(0)
    assert found(suv / suv.max(), suv).mistakes == {}


@pytest.mark.parametrize("hot", [[2, *range(4, 40, 4)], [9] * 10])
def test_a_few_slices_cut_off_at_one_suv_are_not_rescaled(hot: list[int]) -> None:
    """Though the first shows hardly any cut voxel, or all of them as many."""
    truth = np.zeros((10, 40, 40), np.float32)
    truth[:, 10:30, 10:30] = np.linspace(1, 1.5, 10)[:, None, None]
    places = np.arange(36).reshape(18, 2)
    for image, voxels in zip(truth, hot, strict=True):
        image[12:30, 12:14][places < voxels] = 4
    assert found(truth, np.clip(truth, 0, 3)).mistakes == {}


def test_too_little_to_judge_by_is_judged_by_nothing() -> None:
    truth = np.zeros((3, 8, 8), np.float32)
    truth[:, 2:5, 2:5] = 2
    assert found(truth, truth[:, ::-1]).mistakes == {}
