"""Many patients from few: a large tree of DICOM files, for measuring how things grow.

A handful of phantoms is simulated; every other patient is one of them again, file by file, under a
number, a study, series and images of its own, and with noise of its own in each pixel's last bit.
So the files are real DICOM, no two patients share a slice, and 20,000 take seconds.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from petcast.errors import UsageError
from petcast.phantom.cohort import write_cohort
from petcast.progress import track
from petcast.workers import cores, work_through

LARGEST_CROWD = 100_000
"""Patients' numbers take as many digits as those of the phantoms they are made of."""

IDENTIFIERS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID")


@dataclass(frozen=True)
class Template:
    """One file, ready to be written again for another patient.

    Attributes:
        name: Its name below the patient's folder.
        head: Everything up to the pixels.
        pixels: Stored values.
        names: What in the head names the patient, and how the copies begin instead.
        uids: Identifiers in the head.
    """

    name: Path
    head: bytes
    pixels: NDArray[np.uint16]
    names: tuple[tuple[bytes, bytes], ...]
    uids: tuple[bytes, ...]

    def file_of(self, patient: int) -> bytes:
        """Make the file of another patient.

        Args:
            patient: The number, from 0.

        Returns:
            A DICOM file of the same length.
        """
        head = self.head
        for old, start in self.names:
            head = head.replace(old, start + b"%05d" % patient)
        for uid in self.uids:
            head = head.replace(uid, _other_uid(uid, patient))
        rng = np.random.default_rng([patient, *self.uids[-1][-8:]])
        noise = rng.integers(0, 2, self.pixels.shape, dtype=np.uint16)
        return head + (self.pixels ^ noise).tobytes()


def write_crowd(
    out: Path,
    patients: int,
    *,
    models: int = 3,
    ct_size: int = 64,
    pet_size: int | None = None,
    slice_step_mm: float | None = 6.0,
    workers: int | None = None,
) -> int:
    """Write a large tree of DICOM files quickly.

    Args:
        out: An empty or missing folder; gets crowd-00000/{CT,PT} and so on.
        patients: How many, up to 100,000.
        models: How many of them are simulated; the others are made of these.
        ct_size: Pixels across a CT slice of 500 mm.
        pet_size: Pixels across a PET slice; as many as the CT's where None.
        slice_step_mm: Distance of the slices of CT and PET; the scanner's own where None.
        workers: Processes; as many as processors where None.

    Returns:
        How many files there are.

    Raises:
        UsageError: Too many patients, or `out` holds something.
    """
    if not 1 <= patients <= LARGEST_CROWD:
        raise UsageError(f"{patients} patients: give 1 to {LARGEST_CROWD}")
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty; give another folder")
    models = min(models, patients)
    with TemporaryDirectory(prefix="petcast-") as place:
        write_cohort(
            Path(place),
            models,
            ct_size=ct_size,
            pet_size=pet_size or ct_size,
            slice_step_mm=slice_step_mm,
            workers=workers,
        )
        sources = sorted((Path(place) / "dicom").iterdir())
        make = partial(_write_copies, sources, out, patients)
        done = work_through(make, range(models), workers=workers or cores())
        return sum(track(done, "Writing patients", models))


def _write_copies(sources: list[Path], out: Path, patients: int, model: int) -> int:
    """Write every patient who is made of one model."""
    templates = list(_templates(sources[model]))
    own = range(model, patients, len(sources))
    for patient in own:
        folder = out / f"crowd-{patient:05d}"
        for inner in {template.name.parent for template in templates}:
            (folder / inner).mkdir(parents=True, exist_ok=True)
        for template in templates:
            (folder / template.name).write_bytes(template.file_of(patient))
    return len(own) * len(templates)


def _templates(folder: Path) -> Iterator[Template]:
    for path in sorted(chain((folder / "CT").iterdir(), (folder / "PT").iterdir())):
        dataset, content = dcmread(path), path.read_bytes()
        stored = dataset.PixelData
        uids = tuple(str(dataset[keyword].value).encode() for keyword in IDENTIFIERS)
        names = (
            (str(dataset.PatientID).encode(), b"CROWD-"),
            (str(dataset.PatientName).encode(), b"CROWD^"),
        )
        head = content[: len(content) - len(stored)]
        yield Template(path.relative_to(folder), head, np.frombuffer(stored, "<u2"), names, uids)


def _other_uid(uid: bytes, patient: int) -> bytes:
    """An identifier as long as another one, made from it and from the patient."""
    root, _, digits = uid.rpartition(b".")
    made = int.from_bytes(hashlib.sha256(b"%s/%d" % (uid, patient)).digest(), "big")
    # UUIDs below 2^128 begin with 1 to 3 where they have 39 digits; 1 is always right
    return root + b".1" + str(made).encode()[-len(digits) + 1 :]
