"""The registration check: what was moved is measured, what cannot be measured is said."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from petcast.registration import Code, Registration, measure_registration
from petcast.registration import measure as room
from petcast.registration.search import Found

VOXEL_MM = 4.0
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "registration.md"
Z_CODES = {Code.BODY_SHIFT, Code.LUNG_SHIFT_UPPER, Code.LUNG_SHIFT_LOWER, Code.DOME}
X_CODES = {
    Code.BODY_SHIFT, Code.LUNG_SHIFT_UPPER, Code.LUNG_SHIFT_MIDDLE, Code.LUNG_SHIFT_LOWER,
}  # fmt: skip


def codes(found: Registration) -> set[Code]:
    return {code for code, _ in found.warnings}


def shifts(found: Registration) -> np.ndarray:
    """Body and thirds by x, y and z; NaN where nothing is given."""
    parts = [found.body, *found.lungs.values()]
    rows = [(None,) * 3 if part is None else part.mm for part in parts]
    return np.array([[np.nan if mm is None else mm for mm in row] for row in rows])


@pytest.mark.slow
@pytest.mark.parametrize("which", ["first", "second"])
def test_a_phantom_as_it_was_scanned_is_within_tolerance(which: str, request) -> None:
    found = request.getfixturevalue(which).found
    assert found.warnings == ()
    assert np.nanmax(np.abs(shifts(found)[:, :2])) < VOXEL_MM
    assert abs(found.body.mm[2]) < VOXEL_MM
    assert min(found.body_dice, found.trunk_dice) > 0.94
    assert found.arms_astray == 0


@pytest.mark.slow
@pytest.mark.parametrize("which", ["first", "second"])
@pytest.mark.parametrize(
    ("mm", "expected"),
    [
        ((14.5, -5.0, 0.0), X_CODES),
        ((0.0, 0.0, 19.0), Z_CODES),
    ],
)
def test_a_moved_pet_is_measured_to_a_voxel(
    mm: tuple[float, float, float], expected: set[Code], which: str, request
) -> None:
    study = request.getfixturevalue(which)
    found = study.moved(*mm)
    change = shifts(found) - shifts(study.found)
    assert np.nanmax(np.abs(change - mm)) <= VOXEL_MM
    assert np.isnan(change).sum() == 1, "all but z of the middle third are measured"
    assert found.dome_mm - study.found.dome_mm == pytest.approx(mm[2], abs=VOXEL_MM)
    assert codes(found) == expected


@pytest.mark.slow
def test_a_ct_in_deep_breath_is_found_at_the_dome_alone(ct_in_deep_breath) -> None:
    found = ct_in_deep_breath.found
    assert codes(found) == {Code.DOME, Code.LUNG_SHIFT_LOWER}
    assert found.dome_mm == pytest.approx(found.lungs["lower"].mm[2], abs=VOXEL_MM)
    assert abs(found.body.mm[2]) < VOXEL_MM


@pytest.mark.slow
def test_arms_that_moved_are_named_and_spoil_nothing(arms_raised_for_ct) -> None:
    assert codes(arms_raised_for_ct.found) == {Code.ARMS}
    moved = arms_raised_for_ct.moved(0.0, 10.0, 0.0)
    assert moved.body.mm[1] == pytest.approx(10, abs=VOXEL_MM)
    assert codes(moved) == {Code.ARMS, Code.BODY_SHIFT}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["noise", "shuffled", "mirrored"])
def test_an_unrelated_pet_is_not_measured_with_confidence(kind: str, first) -> None:
    suv, dice = first.aligned.arrays["pet"], np.random.default_rng(0)
    other = {
        "noise": dice.random(suv.shape, dtype=np.float32),
        "shuffled": suv[dice.permutation(len(suv))],
        "mirrored": suv[:, :, ::-1],
    }[kind]
    found = first.measured(other)
    assert Code.LITTLE_IN_COMMON in codes(found)
    if kind != "mirrored":
        assert np.isnan(shifts(found)).all()
        assert found.dome_mm is None


@pytest.mark.slow
def test_a_shift_beyond_reach_is_never_called_good(drawn) -> None:
    far = np.roll(drawn.pet, 14, axis=2)
    found = measure_registration(drawn.ct, far, drawn.regions, drawn.grid)
    assert codes(found)
    assert np.nanmax(np.abs(shifts(found)), initial=0.0) <= 40
    if Code.BODY_SHIFT in codes(found):
        assert "+40.0 mm or more" in dict(found.warnings)[Code.BODY_SHIFT]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["empty", "negative", "no body", "two slices", "a few voxels"])
def test_what_cannot_be_measured_is_said(kind: str, drawn) -> None:
    ct, pet, regions = drawn.ct, drawn.pet, drawn.regions
    if kind == "two slices":
        ct, pet, regions = (array[30:32] for array in (ct, pet, regions))
    if kind == "a few voxels":
        ct, pet, regions = (array[30:33, 50:53, 50:53] for array in (ct, pet, regions))
    if kind in ("empty", "negative"):
        pet = np.full_like(pet, -1.0 if kind == "negative" else 0.0)
    if kind == "no body":
        regions = np.zeros_like(regions)
    found = measure_registration(ct, pet, regions, drawn.grid)
    assert codes(found) == {Code.NOT_MEASURED}
    assert 0 <= found.worst_slice < len(ct)
    json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.slow
def test_without_lungs_only_what_the_trunk_shows_is_measured(drawn) -> None:
    regions = np.minimum(drawn.regions, 1)
    found = measure_registration(drawn.ct, drawn.pet, regions, drawn.grid)
    assert list(found.lungs.values()) == [None, None, None]
    assert found.body is not None
    assert found.body.mm[2] is None
    assert found.dome_mm is None


@pytest.mark.slow
def test_the_worst_slice_is_where_the_pet_lacks_most(drawn) -> None:
    pet = drawn.pet.copy()
    pet[40:43] = 0
    found = measure_registration(drawn.ct, pet, drawn.regions, drawn.grid)
    assert 40 <= found.worst_slice < 43


SCRIPT = """
import sys
import numpy as np
from petcast.registration import measure_registration
from petcast.volume import Grid
held = np.load(sys.argv[1])
grid = Grid(held["ct"].shape, held["affine"])
print(measure_registration(held["ct"], held["pet"], held["regions"], grid).to_json())
"""


@pytest.mark.slow
def test_one_thread_gives_the_same_figures_as_many(first, tmp_path: Path, monkeypatch) -> None:
    np.savez(tmp_path / "study.npz", affine=first.aligned.grid.affine, **first.aligned.arrays)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "study.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(first.found.to_json())


@pytest.mark.slow
def test_a_uniform_pet_is_not_measured_with_confidence(drawn) -> None:
    found = measure_registration(drawn.ct, np.ones_like(drawn.pet), drawn.regions, drawn.grid)
    assert Code.LITTLE_IN_COMMON in codes(found)
    assert np.isnan(shifts(found)).all()


def test_the_page_names_each_warning_and_each_tolerance() -> None:
    page = PAGE.read_text(encoding="utf-8")
    named = re.findall(r"^\| `([A-Z-]+)` \|", page, re.MULTILINE)
    assert sorted(named) == sorted(Code)
    for tolerance in (
        f"{room.BODY_TOLERANCE_MM:.0f} mm", f"{room.LUNG_TOLERANCE_MM:.0f} mm",
        f"{room.DOME_TOLERANCE_MM:.0f} mm", f"{room.LEAST_DICE:.2f}",
        f"{room.LEAST_CORRELATION:.2f}", f"{room.LEAST_LUNG_CORRELATION:.2f}",
        f"{100 * room.MOST_ASTRAY:.0f} %",
    ):  # fmt: skip
        assert tolerance in page


@pytest.mark.parametrize(("dome_mm", "words"), [(21.4, "21 mm higher"), (-21.4, "21 mm lower")])
def test_a_dome_lies_higher_or_lower(dome_mm: float, words: str) -> None:
    alike = room.Shift((0.0, 0.0, 0.0), 0.9)
    found = Registration(0.95, 0.95, 0.0, alike, dict.fromkeys(room.THIRDS, alike), dome_mm, 0)
    [(code, detail)] = room._warnings(found)
    assert code is Code.DOME
    assert detail.startswith(f"The right dome lies {words} on PET")


@pytest.mark.parametrize("correlation", [0.7494, 0.7496])
def test_a_shift_is_withheld_only_where_that_is_said(correlation: float) -> None:
    """At 0.7496, shown as 0.75, it was withheld and nothing was warned of."""
    whole = Found((0, 0, 0), (0.0, 0.0, 0.0), correlation**2)
    body = room._body_shift(whole, None)
    nothing = dict.fromkeys(room.THIRDS)
    found = Registration(0.95, 0.95, 0.0, body, nothing, None, 0)
    said = dict(room._warnings(found)).get(Code.LITTLE_IN_COMMON, "")
    assert bool(said) == (body.mm[0] is None)
    assert "body 0.75," not in said  # "0.75, at least 0.75 expected" makes no sense
