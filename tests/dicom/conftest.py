"""A tiny hospital export: one patient, one visit, a CT and a PET of twelve slices each."""

import copy
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from petcast.dicom.derived import HALF_WIDTH, Casting
from petcast.dicom.read import load_ct_and_source
from petcast.dicom.series import Scan
from petcast.dicom.source import Source
from petcast.dicom.write import write_series
from petcast.volume import Unit, Volume

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
PET_CLASS = "1.2.840.10008.5.1.4.1.1.128"
SLICES = 12
STEP_MM = 4.0


def uid(name: str) -> str:
    """The same UID for the same name."""
    return generate_uid(entropy_srcs=[name])


def image(kind: str, sop_class: str, number: int, size: int, spacing_mm: float) -> FileDataset:
    """One slice, sound in every respect."""
    sop_uid = uid(f"{kind} {number}")
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = sop_uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice_ = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    slice_.SOPClassUID, slice_.SOPInstanceUID = sop_class, sop_uid
    slice_.Modality = kind
    slice_.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    slice_.StudyInstanceUID, slice_.SeriesInstanceUID = uid("study"), uid(f"series {kind}")
    slice_.FrameOfReferenceUID = uid("frame")
    slice_.PatientID, slice_.PatientName = "4711", "Doe^Jane"
    slice_.StudyDate = slice_.SeriesDate = slice_.AcquisitionDate = "20200102"
    slice_.StudyTime = slice_.SeriesTime = slice_.AcquisitionTime = "110000"
    slice_.AcquisitionNumber, slice_.InstanceNumber = 1, number + 1
    edge_mm = -size * spacing_mm / 2 + spacing_mm / 2
    slice_.ImagePositionPatient = [edge_mm, edge_mm, number * STEP_MM]
    slice_.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    slice_.PixelSpacing = [spacing_mm, spacing_mm]
    slice_.SliceThickness = STEP_MM
    slice_.Rows = slice_.Columns = size
    slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
    slice_.BitsAllocated = slice_.BitsStored = 16
    slice_.HighBit, slice_.PixelRepresentation = 15, 1
    slice_.RescaleSlope, slice_.RescaleIntercept = 1, 0
    return slice_


def ct_slice(number: int) -> FileDataset:
    """Air around a square of water that grows by 10 HU a slice."""
    slice_ = image("CT", CT_CLASS, number, 16, 30.0)
    slice_.RescaleIntercept = -1024
    slice_.ConvolutionKernel = "STANDARD"
    slice_.GantryDetectorTilt = 0
    stored = np.zeros((16, 16), np.int16)
    stored[4:12, 4:12] = 1024 + 10 * number
    slice_.PixelData = stored.tobytes()
    return slice_


def pet_slice(number: int) -> FileDataset:
    """A hot square; the slope differs on every slice."""
    slice_ = image("PT", PET_CLASS, number, 8, 50.0)
    slice_.Units, slice_.DecayCorrection = "BQML", "START"
    slice_.CorrectedImage = ["NORM", "ATTN", "SCAT", "DECY"]
    slice_.SeriesType = ["WHOLE BODY", "IMAGE"]
    slice_.PatientWeight, slice_.PatientSize, slice_.PatientSex = 70, 1.75, "F"
    slice_.FrameReferenceTime, slice_.ActualFrameDuration = 60_000, 120_000
    slice_.RescaleSlope = 1 + number / 10
    injection = Dataset()
    injection.Radiopharmaceutical = "FDG"
    injection.RadionuclideTotalDose = 350e6
    injection.RadionuclideHalfLife = 6586.2
    injection.RadiopharmaceuticalStartTime = "100000"
    injection.RadiopharmaceuticalStartDateTime = "20200102100000"
    slice_.RadiopharmaceuticalInformationSequence = [injection]
    stored = np.zeros((8, 8), np.int16)
    stored[2:6, 2:6] = 1000
    slice_.PixelData = stored.tobytes()
    return slice_


@dataclass
class Export:
    """Slices that a test may damage before they are written.

    Attributes:
        folder: Where they are written.
        ct: The CT's slices from the feet up.
        pet: The PET's likewise.
        extra: More data sets, written as they are.
    """

    folder: Path
    ct: list[FileDataset] = field(default_factory=lambda: [ct_slice(n) for n in range(SLICES)])
    pet: list[FileDataset] = field(default_factory=lambda: [pet_slice(n) for n in range(SLICES)])
    extra: list[FileDataset] = field(default_factory=list)

    @property
    def all(self) -> list[FileDataset]:
        """Every slice."""
        return [*self.ct, *self.pet, *self.extra]

    @property
    def injections(self) -> Iterator[Dataset]:
        """The injection's item in each PET slice."""
        return (s.RadiopharmaceuticalInformationSequence[0] for s in self.pet)

    def twin(self, slice_: FileDataset) -> FileDataset:
        """A copy, to be changed and put among the extra ones."""
        self.extra.append(copy.deepcopy(slice_))
        return self.extra[-1]

    def write(self) -> Path:
        """Write every slice in its own file, under a name that says nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for number, slice_ in enumerate(self.all):
            slice_.save_as(self.path(number), enforce_file_format=True)
        return self.folder

    def path(self, number: int) -> Path:
        """The file of one slice: CT first, then PET, then the extra ones."""
        return self.folder / f"{number:03d}.bin"


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """A sound export; `write` puts it on disk."""
    return Export(tmp_path / "Doe^Jane")


# Frames of one file


def item(**values) -> list[Dataset]:
    """A sequence of one item."""
    only = Dataset()
    for keyword, value in values.items():
        setattr(only, keyword, value)
    return [only]


def plane(slice_: FileDataset) -> dict[str, list[Dataset]]:
    """The functional groups that place a frame."""
    return {
        "PlanePositionSequence": item(ImagePositionPatient=slice_.ImagePositionPatient),
        "FrameContentSequence": item(
            FrameAcquisitionNumber=1, FrameAcquisitionDateTime="20200102110000"
        ),
    }


def values_of(slice_: FileDataset) -> dict[str, list[Dataset]]:
    """The functional group that scales a frame."""
    scale = item(
        RescaleSlope=slice_.RescaleSlope, RescaleIntercept=slice_.RescaleIntercept, RescaleType="HU"
    )
    return {"PixelValueTransformationSequence": scale}


def enhanced(slices: list[FileDataset], sop_class: str, groups) -> FileDataset:
    """One file of many slices; `groups` says what each frame's functional groups hold."""
    first = slices[0]
    whole = copy.deepcopy(first)
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = sop_class
    whole.SOPInstanceUID = whole.file_meta.MediaStorageSOPInstanceUID = uid("enhanced")
    whole.NumberOfFrames = len(slices)
    for keyword in (
        "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope",
        "RescaleIntercept", "AcquisitionNumber", "AcquisitionTime",
    ):  # fmt: skip
        delattr(whole, keyword)
    whole.SharedFunctionalGroupsSequence = item(
        PixelMeasuresSequence=item(PixelSpacing=first.PixelSpacing),
        PlaneOrientationSequence=item(ImageOrientationPatient=first.ImageOrientationPatient),
    )
    whole.PerFrameFunctionalGroupsSequence = [item(**groups(one))[0] for one in slices]
    whole.PixelData = b"".join(one.PixelData for one in slices)
    return whole


@pytest.fixture
def frames() -> SimpleNamespace:
    """What multi-frame files are built with."""
    return SimpleNamespace(item=item, plane=plane, values_of=values_of, enhanced=enhanced)


def codes(found: Scan) -> set[str]:
    """Every reason that a scan gives."""
    refusals = [one.refusal for one in (*found.studies, *found.series, *found.files)]
    return {str(refusal.reason) for refusal in refusals if refusal is not None}


def accounted(found: Scan) -> list[Path]:
    """Every file that a scan accounts for."""
    files = [path for one in found.series for path in (*one.files, *one.left_out)]
    return sorted([*files, *(one.path for one in found.files)])


@pytest.fixture(name="codes")
def codes_fixture():
    return codes


@pytest.fixture(name="accounted")
def accounted_fixture():
    return accounted


@pytest.fixture(autouse=True)
def _no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test touches the user's own key."""
    monkeypatch.delenv("PETCAST_SALT", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("APPDATA", str(tmp_path / "config"))


# A PET cast from the export's CT


@dataclass(frozen=True)
class Cast:
    """What `write_series` is given: SUV on the CT's grid, the CT's source, and who made it."""

    ct: Volume
    source: Source
    casting: Casting

    def pet(self, seed: int = 0, largest: float = 9.0) -> Volume:
        """SUV with another peak on every slice; the slices at both ends are empty."""
        rng = np.random.default_rng(seed)
        suv = rng.uniform(0, largest, self.ct.voxels.shape).astype(np.float32)
        suv *= np.linspace(0.1, 1, len(suv), dtype=np.float32)[:, None, None]
        suv[[0, -1]] = 0
        return self.ct.like(suv, Unit.SUV)

    def write(self, folder: Path, pet: Volume | None = None, **changes) -> list[FileDataset]:
        """Write it, and read the files again in the order of their names."""
        casting = dataclasses.replace(self.casting, **changes)
        shown = self.pet() if pet is None else pet
        if casting.kind == HALF_WIDTH:
            shown = shown.like(shown.voxels, Unit.HALF_WIDTH)
        write_series(folder, shown, self.source, casting)
        return [dcmread(path) for path in sorted(folder.iterdir())]


@pytest.fixture
def cast() -> Callable[[Path], Cast]:
    """Reads the CT of a folder and stands ready to write a PET of it."""

    def read(folder: Path) -> Cast:
        ct, source = load_ct_and_source(folder)
        warnings = ("3 of 12 slices lie above the lungs.",)
        return Cast(ct, source, Casting("Stage03", "ab" * 32, 3, 3, (0.0, 10.0), warnings))

    return read
