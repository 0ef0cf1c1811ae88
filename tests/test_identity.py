"""Names planted wherever a hospital may have written one are found nowhere in what petcast writes.

Two marks are looked for. PLANTED stands in the data: in every text attribute of DICOM, private
ones included, in the texts of NIfTI, in the names of files, folders and members of zips. It must
stand nowhere afterwards. TYPED stands in the paths that the user types: they may be answered to
the user's own terminal, and must not be stored (docs/decisions/0007-whose-path-it-is.md).
"""

import gzip
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.datadict import DicomDictionary, dictionary_VM
from pydicom.uid import ExplicitVRLittleEndian

from petcast.phantom import write_cohort
from petcast.volume import Unit, Volume

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("identity")]

PLANTED, TYPED = "Qzplanted", "Qztyped"
NAME = f"{PLANTED}^Anna"
TEXTS = {"PN", "LO", "SH", "LT", "ST", "UT", "UC", "UR", "AE"}
MEANT = {
    "RescaleType", "Units", "CorrectedImage", "DecayCorrection", "SeriesType", "SUVType",
    "PhotometricInterpretation", "PatientSex", "SpecificCharacterSet", "ImageType", "Modality",
    "LossyImageCompression", "CountsSource", "PresentationLUTShape", "BurnedInAnnotation",
    "Radiopharmaceutical",
}  # fmt: skip
"""Attributes whose words decide what an image is; a name there makes it another image."""
PRIVATE = 0x00991001


# A hospital that wrote the patient's name everywhere


def mark(value_representation: str) -> str:
    return PLANTED.upper() if value_representation in ("CS", "AE", "SH", "UR") else NAME


def plant_in_present(dataset: Dataset) -> None:
    """Into every text that the slice has, at any depth."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                plant_in_present(item)
        elif element.VR in TEXTS and element.keyword not in MEANT:
            element.value = mark(element.VR)


def plant_in_all(dataset: Dataset) -> None:
    """Into every text attribute that DICOM knows, and into a private block."""
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        wanted = vr in TEXTS | {"CS"} and keyword and keyword not in MEANT and tag not in dataset
        if wanted and tag > 0x00080000 and tag >> 16 != 0xFFFE:
            dataset.add_new(tag, vr, [mark(vr)] * (2 if dictionary_VM(tag) == "2" else 1))
    dataset.add_new(PRIVATE & 0xFFFF0010, "LO", f"{PLANTED} PRIVATE")
    for offset, vr in enumerate(("LO", "UN", "PN", "OB", "UT")):
        value = NAME.encode() if vr in ("UN", "OB") else NAME
        dataset.add_new(PRIVATE + offset, vr, value)


def planted_slice(path: Path, number: int, everywhere: bool) -> bytes:
    dataset = dcmread(path)
    plant_in_present(dataset)
    dataset.PatientName, dataset.PatientID = NAME, f"{PLANTED} {number}"
    dataset.IssuerOfPatientID = NAME  # who a patient is must not differ between slices
    if everywhere:
        plant_in_all(dataset)
    dataset.file_meta.SourceApplicationEntityTitle = PLANTED.upper()
    dataset.preamble = NAME.encode().ljust(128, b"\0")
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def planted_patient(source: Path, number: int) -> dict[str, bytes]:
    """A phantom's files under names that say who it is, each series with a slice full of them."""
    files = {}
    for series in sorted({path.parent for path in source.rglob("*.dcm")}):
        for place, path in enumerate(sorted(series.glob("*.dcm"))):
            content = planted_slice(path, number, everywhere=place == 0)
            files[f"{NAME}_{number}/{series.name}/{PLANTED}_{place}.dcm"] = content
    return files


def plant_nifti(volume: Volume, path: Path) -> None:
    """Write a file whose every text, and an extension, hold the name."""
    sitk.WriteImage(volume.to_image(), str(path.with_suffix("")))  # without .gz
    whole = bytearray(path.with_suffix("").read_bytes())
    path.with_suffix("").unlink()
    for start, size in ((4, 10), (14, 18), (148, 80), (228, 24), (328, 16)):
        whole[start : start + size] = PLANTED.encode().ljust(size, b"\0")[:size]
    extension = struct.pack("<4B2i", 1, 0, 0, 0, 48, 6) + NAME.encode().ljust(40, b"\0")
    whole[348:352] = extension
    whole[108:112] = struct.pack("<f", 352 + 48)
    path.write_bytes(gzip.compress(whole))


@dataclass
class Hospital:
    """The user's folders, and everything that the program said."""

    root: Path
    uids: set[bytes]
    begin: Callable[..., Any]
    said: list[str] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.root / "in"

    def petcast(self, *arguments: object, status: int = 0) -> str:
        """Run the real command line; what it says is kept for the search."""
        child = self.begin(*arguments, PETCAST_SALT="tests", COLUMNS="300")
        stdout, stderr = child.said()
        assert child.poll() == status, f"{arguments}: {stderr}"
        assert "Traceback" not in stderr
        self.said += [stdout, stderr]
        return stdout


@pytest.fixture(scope="module")
def hospital(chest, begin, tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    cohort = tmp_path_factory.mktemp("phantoms")
    write_cohort(cohort, 2, ct_size=96, pet_size=64, slice_step_mm=12, workers=1)
    root = tmp_path_factory.mktemp("user") / f"{TYPED} Anna"
    patients = [
        planted_patient(path, number)
        for number, path in enumerate(sorted((cohort / "dicom").iterdir()))
    ]
    place = root / "in"
    for name, content in patients[0].items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    with zipfile.ZipFile(place / f"{NAME}.zip", "w") as archive:
        for name, content in patients[1].items():
            archive.writestr(name, content)
    _plant_cohort(chest, place / NAME / "nifti")
    with disable_value_validation():
        _plant_refusals(place, next(iter(patients[0].values())))
    return Hospital(root, set(_uids(cohort)), begin)


def _plant_cohort(chest, folder: Path) -> None:
    folder.mkdir(parents=True)
    ct = chest(spacing_mm=(6.0, 6.0, 12.0))
    body = np.where(ct.voxels > -300, 1.0, 0.0)
    suv = body * np.random.default_rng(0).uniform(0.8, 1.2, body.shape)
    pet = Volume(suv.astype(np.float32), ct.affine, Unit.SUV)
    plant_nifti(ct, folder / f"{PLANTED}_ct.nii.gz")
    plant_nifti(pet, folder / f"{PLANTED}_pet.nii.gz")
    plant_nifti(ct, folder / f"{PLANTED}alone_ct.nii.gz")


def _plant_refusals(place: Path, whole: bytes) -> None:
    """Files that are refused for many reasons, each with the name in it."""
    folder = place / f"{NAME} bad"
    folder.mkdir()
    (folder / f"{PLANTED}.txt").write_text(NAME)
    (folder / f"{PLANTED}.zip").write_bytes(b"PK\x03\x04" + NAME.encode() * 50)
    (folder / f"{PLANTED}.nii.gz").write_bytes(NAME.encode() * 50)
    (folder / f"{PLANTED}_link").symlink_to(folder / f"{PLANTED} gone")
    (folder / f"{PLANTED}_cut").write_bytes(whole[:-300])
    for number, keyword in enumerate(("Modality", "SOPClassUID", "StudyInstanceUID", "Units")):
        dataset = dcmread(io.BytesIO(whole))
        dataset.SOPInstanceUID = f"1.2.3.{number}"
        dataset.SeriesInstanceUID = f"1.2.4.{number}"
        value = "" if keyword == "StudyInstanceUID" else f"{PLANTED.upper()}"
        dataset.add_new(keyword, "CS" if keyword in ("Modality", "Units") else "UI", value)
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.save_as(folder / f"{PLANTED}_{keyword}", enforce_file_format=True)


def _uids(cohort: Path) -> Iterator[bytes]:
    keywords = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
    for path in cohort.rglob("*.dcm"):
        dataset = dcmread(path, stop_before_pixels=True, specific_tags=list(keywords))
        yield from (str(dataset[keyword].value).encode() for keyword in keywords)


# The search


def contents(path: Path) -> Iterator[bytes]:
    """A file's bytes, and what is packed in it."""
    whole = path.read_bytes()
    yield whole
    if whole.startswith(b"\x1f\x8b"):
        yield gzip.decompress(whole)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            yield from map(archive.read, archive.namelist())


def holders(folder: Path, words: set[str], uids: set[bytes]) -> list[str]:
    """Files that hold one of some words, in any case, raw or as UTF-16, or one of some UIDs."""
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and any(_holds(text, words, uids) for text in contents(path))
    ]


def _holds(text: bytes, words: set[str], uids: set[bytes]) -> bool:
    low = text.lower()
    raw = any(word.lower().encode(code) in low for word in words for code in ("utf-8", "utf-16-le"))
    return raw or not uids.isdisjoint(re.findall(rb"2\.25\.\d+", text))


@pytest.mark.slow
def test_the_search_finds_what_was_planted(hospital: Hospital) -> None:
    """The test below can fail: the name is in every kind of file that went in."""
    found = holders(hospital.data, {PLANTED}, set())
    assert len(found) == sum(path.is_file() for path in hospital.data.rglob("*"))
    assert any(name.endswith("_ct.nii.gz") for name in found)
    assert any(name.endswith(".zip") for name in found)
    assert holders(hospital.data, set(), {min(hospital.uids)})


@pytest.fixture(scope="module")
def spoken(hospital: Hospital) -> Hospital:
    """Every command, and the errors that it can be provoked to."""
    root, data, run = hospital.root, hospital.data, hospital.petcast
    pairs, trained, out = root / "pairs", root / "run", root / "out"
    document = json.loads(run("scan", data, "--json"))
    assert sum(study["status"] == "usable" for study in document["studies"]) >= 2
    assert len({row["reason"] for level in document.values() for row in level}) > 5
    run("scan", data)
    run("scan", data / f"{NAME} bad", status=3)
    run("suv", data / f"{NAME}_0")
    run("suv", data / f"{NAME} bad", "--json", status=3)
    knobs = ["--set", "preparation.validation=0.2"]
    prepared = json.loads(run("prepare", data, "--out", pairs, "--json", *knobs))
    assert len(prepared["studies"]) == 3
    assert prepared["refused"]
    run("prepare", data, "--out", pairs, *knobs)
    run("prepare", data / f"{NAME} bad", "--out", root / "none", status=3)
    run("audit", pairs)
    brief = ["--set", "training.epochs=1", "--set", "training.batch_size=2"]
    run("train", "tiny", "--data", pairs, "--out", trained, *brief)
    for number, ct in enumerate((data / f"{NAME}_0", data / NAME / "nifti")):
        given = ct if number == 0 else ct / f"{PLANTED}_ct.nii.gz"
        run("predict", given, "--model", trained, "--out", out / f"{number}.nii.gz")
    # As DICOM the PET names its patient, on purpose; it is written out of the search's way
    archive = root.parent / "the hospital's archive"
    run("predict", data / f"{NAME}_0", "--model", trained, "--out", archive / "pet")
    run("predict", data / f"{NAME}_0", "--model", trained, "--out", data, status=2)
    run("predict", data / f"{NAME} bad", "--model", trained, "--out", out / "x.nii.gz", status=3)
    run("evaluate", "--truth", pairs, "--predictions", trained)
    foreign = data / NAME / "nifti"
    run(
        "evaluate", "--truth", foreign / f"{PLANTED}_pet.nii.gz",
        "--predictions", out / "1.nii.gz", "--ct", foreign / f"{PLANTED}_ct.nii.gz", "--json",
    )  # fmt: skip
    run("report", trained, "--out", root / "report.html")
    return hospital


@pytest.mark.slow
def test_no_planted_name_is_said(spoken: Hospital) -> None:
    given = [str(spoken.data / name) for name in (f"{NAME} bad", f"{NAME}_0", NAME)]
    for answer in spoken.said:
        rest = answer
        for path in given:  # typed by hand above: the user's own words
            rest = rest.replace(path, "")
        assert PLANTED.lower() not in rest.lower(), rest
        assert not any(uid.decode() in rest for uid in spoken.uids)


@pytest.mark.slow
def test_nothing_that_is_written_holds_a_name_a_uid_or_a_typed_path(spoken: Hospital) -> None:
    hidden = spoken.root.parent / "data, out of the search's way"
    spoken.data.rename(hidden)
    try:
        names = [str(path.relative_to(spoken.root)) for path in spoken.root.rglob("*")]
        assert {"pairs", "run", "out", "report.html"} <= set(names)
        assert not [name for name in names if PLANTED.lower() in name.lower()]
        assert holders(spoken.root, {PLANTED, TYPED}, spoken.uids) == []
    finally:
        hidden.rename(spoken.data)
