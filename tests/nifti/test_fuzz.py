"""Mutated NIfTI files: no crash, no hang; each is loaded or refused with a reason."""

import contextlib
import gzip
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from petcast.nifti.case import NiftiCase, load
from petcast.nifti.layout import find_cases
from petcast.refusal import RefusedError
from petcast.volume import Unit

FILES = int(os.environ.get("PETCAST_FUZZ_NIFTI", "1000"))


def mutated(whole: bytes, dice: random.Random) -> bytes:
    """A file, cut off, overwritten, shortened or doubled somewhere; mostly in its header."""
    data = bytearray(whole)
    reach = len(data) if dice.random() < 0.2 else 352
    for _ in range(dice.choice((1, 1, 2, 5))):
        place, length = dice.randrange(min(reach, len(data))), dice.choice((1, 2, 4, 30))
        match dice.randrange(5):
            case 0:
                data[place : place + length] = dice.randbytes(length)
            case 1:
                data[place] = dice.choice((0, 1, 127, 128, 255))
            case 2:
                del data[place : place + length]
            case 3:
                data[place:place] = data[place : place + length]
            case _:
                del data[max(100, place) :]
    return bytes(data)


def written(whole: bytes, dice: random.Random, path: Path) -> None:
    """Mutate the content, or the gzip stream around it."""
    if dice.random() < 0.8:
        path.write_bytes(gzip.compress(mutated(whole, dice), compresslevel=1))
    else:
        path.write_bytes(mutated(gzip.compress(whole, compresslevel=1), dice))


def fate(path: Path, watch) -> str:
    try:
        with watch.step():
            load(path, Unit.SUV)
    except RefusedError as error:
        return str(error.refusal.reason)
    return "loaded"


def run(folder: Path, whole: bytes, seeds: range, watch) -> Counter:
    fates = Counter()
    for seed in seeds:
        path = folder / f"m{seed}.nii.gz"
        written(whole, random.Random(seed), path)
        fates[fate(path, watch)] += 1
        path.unlink()
    watch.judge(f"{len(seeds)} mutated NIfTI files: {dict(fates.most_common())}")
    return fates


@pytest.fixture
def whole(side_by_side) -> bytes:
    return gzip.decompress((side_by_side() / "p01_pet.nii.gz").read_bytes())


@pytest.mark.slow
def test_mutated_files_are_loaded_or_refused(whole: bytes, tmp_path: Path, watch) -> None:
    fates = run(tmp_path, whole, range(150), watch)
    assert {"loaded", "NIFTI-DAMAGED", "NIFTI-SHAPE"} <= set(fates)


@pytest.mark.slow
def test_many_mutated_files(whole: bytes, tmp_path: Path, watch) -> None:
    assert len(run(tmp_path, whole, range(1000, 1000 + FILES), watch)) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("word", ["ct", "pet", "seg"])
def test_cases_with_one_mutated_file(word: str, side_by_side, watch) -> None:
    folder = side_by_side()
    path = folder / f"p01_{word}.nii.gz"
    whole = gzip.decompress(path.read_bytes())
    for seed in range(15):
        written(whole, random.Random(seed), path)
        [found] = find_cases([folder], "tests").cases
        with contextlib.suppress(RefusedError), watch.step():
            NiftiCase(found).read()
    watch.judge(f"15 cases with a mutated {word}")
