"""Mutated files and zips through `scan` and `read`: no crash, no hang, and nothing unaccounted.

`PETCAST_FUZZ=10000 pytest tests/dicom/test_fuzz.py` mutates as many files (and a tenth as many
zips) instead of the few that are worth a look every time.
"""

import contextlib
import gc
import io
import os
import random
import struct
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from petcast.dicom.read import read_ct, read_pet
from petcast.dicom.scan import Scan, scan
from petcast.refusal import RefusedError

FILES = int(os.environ.get("PETCAST_FUZZ", "0"))
QUICK_FILES, SLOW_FILES = 400, 2000
FOLDER = 25
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
CODECS = ("JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless")


# Sound files of every kind that is read


def encoded(slice_, syntax) -> bytes:
    little, implicit = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
    slice_.file_meta.TransferSyntaxUID = syntax
    slice_.set_original_encoding(is_implicit_vr=implicit, is_little_endian=little)
    stream = io.BytesIO()
    slice_.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def compressed(path: Path, name: str) -> bytes:
    """The file as another library writes it, with a codec that mutations then meet."""
    gdcm = pytest.importorskip("gdcm", reason="the extra `codecs` is not installed")
    reader, change, writer = (
        gdcm.ImageReader(),
        gdcm.ImageChangeTransferSyntax(),
        gdcm.ImageWriter(),
    )
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(path.with_suffix(f".{name}")))
    assert writer.Write()
    return path.with_suffix(f".{name}").read_bytes()


@pytest.fixture
def sound(export, frames, tmp_path: Path) -> list[bytes]:
    """A CT and a PET, and some of their slices in other encodings."""
    whole = frames.enhanced(
        export.ct, ENHANCED_CT, lambda one: frames.plane(one) | frames.values_of(one)
    )
    folder = export.write()
    kinds = [path.read_bytes() for path in sorted(folder.iterdir())]
    for name in CODECS:
        kinds += [compressed(export.path(number), name) for number in (3, 15)]
    for slices in (export.ct, export.pet):
        kinds.append(encoded(slices[4], ImplicitVRLittleEndian))
        slices[5].compress(RLELossless, generate_instance_uid=False)
        kinds.append(encoded(slices[5], RLELossless))
        kinds.append(encoded(slices[6], ExplicitVRBigEndian))
    return [*kinds, encoded(whole, whole.file_meta.TransferSyntaxUID)]


# Mutations

NASTY_NUMBERS = (b"nan", b"inf", b"-1", b"0", b"1e308", b"1e-308", b"99999999999999", b"\\\\", b"")
NASTY_LENGTHS = (0, 1, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
ROWS, COLUMNS, FRAMES, BITS = (0x28, 0x10), (0x28, 0x11), (0x28, 0x08), (0x28, 0x100)


def mutated(whole: bytes, other: bytes, dice: random.Random) -> bytes:
    """One file, damaged once or several times; mostly in its header."""
    data = bytearray(whole)
    reach = len(data) if dice.random() < 0.4 else 1500
    for _ in range(dice.choice((1, 1, 2, 5))):
        if len(data) < 200:
            break
        place = dice.randrange(128, min(reach, len(data)))
        dice.choice(MUTATIONS)(data, place, dice.choice((1, 2, 4, 30)), other, dice)
    return bytes(data)


def _noise(data: bytearray, place: int, length: int, _: bytes, dice: random.Random) -> None:
    data[place : place + length] = dice.randbytes(length)


def _odd_byte(data: bytearray, place: int, _: int, __: bytes, dice: random.Random) -> None:
    data[place] = dice.choice((0, 255, 92, 127, 128))


def _lost(data: bytearray, place: int, length: int, *_: object) -> None:
    del data[place : place + length]


def _doubled(data: bytearray, place: int, length: int, *_: object) -> None:
    data[place:place] = data[place : place + length]


def _cut_off(data: bytearray, place: int, *_: object) -> None:
    del data[max(200, place) :]


def _crossed(data: bytearray, place: int, _: int, other: bytes, __: random.Random) -> None:
    data[place:] = other[place:]


def _odd_length(data: bytearray, place: int, _: int, __: bytes, dice: random.Random) -> None:
    data[place : place + 4] = struct.pack("<I", dice.choice(NASTY_LENGTHS))


def _odd_number(data: bytearray, _: int, __: int, ___: bytes, dice: random.Random) -> None:
    """Put a nasty number in the place of a decimal string, of the same length."""
    at = [i for i in range(128, min(len(data), 3000) - 8) if data[i : i + 2] in (b"DS", b"IS")]
    if at:
        place = dice.choice(at)
        length = int.from_bytes(data[place + 2 : place + 4], "little")
        if length <= 64:
            data[place + 4 : place + 4 + length] = dice.choice(NASTY_NUMBERS).ljust(length)[:length]


def _odd_size(data: bytearray, _: int, __: int, ___: bytes, dice: random.Random) -> None:
    """Put another number of rows, columns or bits."""
    place = data.find(struct.pack("<HH", *dice.choice((ROWS, COLUMNS, FRAMES, BITS))), 128)
    if place > 0:
        data[place + 8 : place + 10] = struct.pack("<H", dice.choice((0, 1, 17, 32767, 65535)))


MUTATIONS = (
    _noise, _odd_byte, _lost, _doubled, _cut_off, _crossed, _odd_length, _odd_number, _odd_size,
)  # fmt: skip


# The run


def read_all(found: Scan, watch) -> None:
    for series in found.series:
        if series.refusal is None:
            with contextlib.suppress(RefusedError), watch.step():
                _ = read_ct(series) if series.modality == "CT" else read_pet(series)


def run_files(sound: list[bytes], folder: Path, seed: int, accounted, watch) -> Counter:
    """Some mutated files, alone or among the sound ones of their series."""
    dice = random.Random(seed)
    folder.mkdir()
    files = list(sound[:24]) if dice.random() < 0.5 else []
    for _ in range(FOLDER):
        damaged = mutated(dice.choice(sound), dice.choice(sound), dice)
        if files and dice.random() < 0.8 / FOLDER:
            files[dice.randrange(len(files))] = damaged
        else:
            files.append(damaged)
    for number, content in enumerate(files):
        (folder / f"{number:03d}").write_bytes(content)
    with watch.step():
        found = scan([folder], salt="tests", workers=1)
    read_all(found, watch)
    assert accounted(found) == sorted(folder.iterdir())
    fates = Counter(str(one.refusal.reason) for one in found.files)
    for one in found.series:
        fates[str(one.refusal.reason) if one.refusal else "usable"] += len(one.files)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return fates


@pytest.mark.slow
@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.timeout(3600)
def test_mutated_files_are_used_or_refused(
    part: int, sound, tmp_path: Path, accounted, watch
) -> None:
    count = FILES or (QUICK_FILES, SLOW_FILES)[part]
    fates = Counter()
    for seed in range(count // FOLDER):
        fates += run_files(sound, tmp_path / "fuzz", 1_000_000 * part + seed, accounted, watch)
    watch.judge(f"{count} mutated files: {dict(fates.most_common())}")
    assert {"usable", "TRUNCATED", "DAMAGED", "NOT-DICOM", "PIXEL-LENGTH"} <= set(fates)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(24))
def test_one_mutated_file_among_sound_ones(number: int, export, sound, accounted, watch) -> None:
    dice = random.Random(number)
    folder = export.write()
    export.path(number).write_bytes(mutated(sound[number], dice.choice(sound), dice))
    found = scan([folder], salt="tests", workers=1)
    read_all(found, watch)
    assert accounted(found) == sorted(folder.iterdir())


# Zips


def zip_of(sound: list[bytes], dice: random.Random) -> bytes:
    stream = io.BytesIO()
    kind = dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for number in range(dice.choice((1, 5, 24))):
            whole = sound[number]
            if dice.random() < 0.1:
                whole = mutated(whole, dice.choice(sound), dice)
            archive.writestr(f"export/{number}.dcm", whole)
    return stream.getvalue()


def mutated_zip(whole: bytes, dice: random.Random) -> bytes:
    """A zip, damaged in its directory at the end, at its start, or anywhere; or not at all."""
    data = bytearray(whole)
    if dice.random() < 0.2:  # then its members may be
        return whole
    low, high = dice.choice(((0, 100), (len(data) - 400, len(data)), (0, len(data))))
    for _ in range(dice.choice((1, 1, 3, 10))):
        place, length = dice.randrange(max(0, low), max(1, high)), dice.choice((1, 2, 4, 30))
        match dice.randrange(4):
            case 0:
                data[place : place + length] = dice.randbytes(length)
            case 1:
                data[place : place + 4] = struct.pack("<I", dice.choice(NASTY_LENGTHS))
            case 2:
                del data[place : place + length]
            case _:
                del data[max(1, place) :]
        high = min(high, len(data))
        low = min(low, high - 1)
    return bytes(data)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", [0, 1])
def test_mutated_zips_are_used_or_refused_and_leave_nothing(
    part: int, sound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch
) -> None:
    place, archive = tmp_path / "temporary", tmp_path / "export.zip"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    fates = Counter()
    gc.freeze()  # or each collection looks through all that the suite has loaded
    for seed in range((FILES or (QUICK_FILES, SLOW_FILES)[part]) // 10):
        dice = random.Random(1_000_000 * part + seed)
        archive.write_bytes(mutated_zip(zip_of(sound, dice), dice))
        fates[_fate_of_zip(archive, place, watch)] += 1
        gc.collect()
        assert list(place.iterdir()) == []
    gc.unfreeze()
    watch.judge(f"{fates.total()} mutated zips: {dict(fates)}")
    assert {"opened", "UNSAFE-ARCHIVE"} <= set(fates)


def _fate_of_zip(archive: Path, place: Path, watch) -> str:
    with watch.step():
        found = scan([archive], salt="tests", workers=1)
    read_all(found, watch)
    members = sorted(path for path in place.glob("*/files/*"))
    files = [path for one in found.series for path in (*one.files, *one.left_out)]
    files += [one.path for one in found.files]
    if files == [archive]:
        return str(found.files[0].refusal.reason)
    assert sorted(files) == members
    return "opened"
