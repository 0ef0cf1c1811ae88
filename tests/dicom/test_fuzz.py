"""Hundreds of mutated files through `scan` and `read`: no crash, and every file accounted for."""

import contextlib
import random
from pathlib import Path

import pytest

from petcast.dicom.read import read_ct, read_pet
from petcast.dicom.scan import scan
from petcast.refusal import RefusedError


def mutated(whole: bytes, dice: random.Random) -> bytes:
    """One file, cut off, overwritten, shortened or doubled somewhere; mostly in its header."""
    data = bytearray(whole)
    reach = len(data) if dice.random() < 0.3 else 1500
    for _ in range(dice.choice((1, 1, 2, 5))):
        place, length = dice.randrange(128, min(reach, len(data))), dice.choice((1, 2, 4, 30))
        match dice.randrange(5):
            case 0:
                data[place : place + length] = dice.randbytes(length)
            case 1:
                data[place] = dice.choice((0, 255, 92))
            case 2:
                del data[place : place + length]
            case 3:
                data[place:place] = data[place : place + length]
            case _:
                del data[max(200, place) :]
        if len(data) < 200:
            break
    return bytes(data)


def read_all(folder: Path, accounted) -> None:
    found = scan([folder], salt="tests", workers=1)
    assert accounted(found) == sorted(path for path in folder.rglob("*") if path.is_file())
    for series in found.series:
        if series.refusal is None:
            with contextlib.suppress(RefusedError):
                _ = read_ct(series) if series.modality == "CT" else read_pet(series)


@pytest.mark.parametrize("seed", range(8))
def test_mutated_files_are_used_or_refused(seed: int, export, accounted) -> None:
    dice = random.Random(seed)
    folder = export.write()
    for path in sorted(folder.iterdir()):
        if dice.random() < 0.7:
            path.write_bytes(mutated(path.read_bytes(), dice))
    read_all(folder, accounted)


@pytest.mark.parametrize("seed", range(12))
def test_one_mutated_file_among_sound_ones(seed: int, export, accounted) -> None:
    dice = random.Random(1000 + seed)
    folder = export.write()
    path = export.path(dice.randrange(24))
    path.write_bytes(mutated(path.read_bytes(), dice))
    read_all(folder, accounted)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_many_mutated_files(seed: int, export, accounted) -> None:
    dice = random.Random(10_000 + seed)
    originals = [path.read_bytes() for path in sorted(export.write().iterdir())]
    for number in range(100):
        (export.folder / f"m{number}").write_bytes(mutated(dice.choice(originals), dice))
    read_all(export.folder, accounted)
