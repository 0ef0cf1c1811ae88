"""Mutated NIfTI files: no crash, no hang; each is loaded or refused with a reason."""

import contextlib
import gzip
import os
import random
import time
import tracemalloc
from pathlib import Path

import pytest

from petcast.nifti.case import NiftiCase, load
from petcast.nifti.layout import find_cases
from petcast.refusal import RefusedError
from petcast.volume import Unit

FILES = int(os.environ.get("PETCAST_FUZZ_NIFTI", "1000"))
LONGEST_S = 5.0
MOST_BYTES = 1 << 30


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


def fate(path: Path) -> str:
    started = time.perf_counter()
    reason = "loaded"
    try:
        load(path, Unit.SUV)
    except RefusedError as error:
        reason = str(error.refusal.reason)
    assert time.perf_counter() - started < LONGEST_S
    return reason


def run(folder: Path, whole: bytes, seeds: range) -> set[str]:
    fates = set()
    for seed in seeds:
        path = folder / f"m{seed}.nii.gz"
        written(whole, random.Random(seed), path)
        fates.add(fate(path))
        path.unlink()
    return fates


@pytest.fixture
def whole(side_by_side) -> bytes:
    return gzip.decompress((side_by_side() / "p01_pet.nii.gz").read_bytes())


def test_mutated_files_are_loaded_or_refused(whole: bytes, tmp_path: Path) -> None:
    assert {"loaded", "NIFTI-DAMAGED", "NIFTI-SHAPE"} <= run(tmp_path, whole, range(150))


@pytest.mark.slow
def test_many_mutated_files(whole: bytes, tmp_path: Path) -> None:
    tracemalloc.start()
    fates = run(tmp_path, whole, range(1000, 1000 + FILES))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST_BYTES
    assert len(fates) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("word", ["ct", "pet", "seg"])
def test_cases_with_one_mutated_file(word: str, side_by_side, tmp_path: Path) -> None:
    folder = side_by_side()
    path = folder / f"p01_{word}.nii.gz"
    whole = gzip.decompress(path.read_bytes())
    for seed in range(15):
        written(whole, random.Random(seed), path)
        [found] = find_cases([folder], "tests").cases
        started = time.perf_counter()
        with contextlib.suppress(RefusedError):
            NiftiCase(found).read()
        assert time.perf_counter() - started < LONGEST_S
