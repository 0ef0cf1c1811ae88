"""The DICOM attributes of a phantom's CT and PET, as scanners fill them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from petcast.dicom.compose import code, number
from petcast.phantom.person import Person
from petcast.phantom.streams import NAMESPACE, Streams
from petcast.phantom.styles import Protocol

CT_IMAGE = UID("1.2.840.10008.5.1.4.1.1.2")
PET_IMAGE = UID("1.2.840.10008.5.1.4.1.1.128")
WRITER = UID(f"2.25.{NAMESPACE.int}"), "PETCAST_PHANTOM"
HALF_LIFE_S = 6586.2
"""Of fluorine-18, 109.77 minutes."""

BED_MM, BED_OVERLAP_MM = 150.0, 35.0


@dataclass(frozen=True)
class Visit:
    """One patient's examination: who, when, how, and under which identifiers.

    Attributes:
        patient_id: "PHANTOM-000".
        person: The patient.
        protocol: How they were scanned.
        streams: Where the identifiers come from.
    """

    patient_id: str
    person: Person
    protocol: Protocol
    streams: Streams

    @property
    def pet_start(self) -> datetime:
        """When the PET began: a made-up working day."""
        minutes = int(self.streams.rng("time").integers(0, 5 * 60))
        return datetime(2001, 1, 1, 9, 30, tzinfo=UTC) + timedelta(
            days=self.streams.patient % 360, minutes=minutes
        )

    @property
    def injection(self) -> datetime:
        """When the tracer was injected."""
        return self.pet_start - timedelta(minutes=self.protocol.uptake_minutes)

    @property
    def ct_start(self) -> datetime:
        """When the CT was taken."""
        return self.pet_start - timedelta(minutes=3)

    @property
    def decayed_dose_bq(self) -> float:
        """What is left of the dose when the PET begins."""
        seconds = self.protocol.uptake_minutes * 60
        return float(self.protocol.dose_bq * 2 ** (-seconds / HALF_LIFE_S))


def date(moment: datetime) -> str:
    """A DICOM date."""
    return moment.strftime("%Y%m%d")


def time(moment: datetime) -> str:
    """A DICOM time."""
    return moment.strftime("%H%M%S.%f")[:9]


def common_header(visit: Visit) -> Dataset:
    """What CT and PET of a visit share.

    Args:
        visit: The examination.

    Returns:
        Patient, study, frame of reference and equipment.
    """
    person, style = visit.person, visit.protocol.style
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 100"
    header.StudyDate, header.StudyTime = date(visit.ct_start), time(visit.ct_start)
    header.AccessionNumber = ""
    header.Manufacturer = f"petcast phantom ({style.name})"
    header.ReferringPhysicianName = ""
    header.StudyDescription = "SYNTHETIC PHANTOM, no patient"
    header.ManufacturerModelName = "petcast phantom"
    header.PatientName = "PHANTOM^" + visit.patient_id.rpartition("-")[2]
    header.PatientID = visit.patient_id
    header.PatientBirthDate = ""
    header.PatientSex = person.sex
    header.PatientAge = f"{person.age_years:03d}Y"
    header.PatientSize = number(person.height_m)
    header.PatientWeight = number(person.weight_kg)
    header.DeviceSerialNumber = "0"
    header.SoftwareVersions = "1"
    header.PatientPosition = "HFS"
    header.StudyInstanceUID = visit.streams.uid("study")
    header.StudyID = "1"
    header.FrameOfReferenceUID = visit.streams.uid("frame of reference")
    header.PositionReferenceIndicator = ""
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    return header


def ct_header(visit: Visit) -> Dataset:
    """What all slices of a CT share.

    Args:
        visit: The examination.

    Returns:
        The header, without place and pixels.
    """
    header, protocol = common_header(visit), visit.protocol
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.SOPClassUID = CT_IMAGE
    header.Modality = "CT"
    header.SeriesDescription = "CT attenuation correction"
    header.SeriesInstanceUID = visit.streams.uid("CT")
    header.SeriesNumber, header.AcquisitionNumber = 2, 1
    _set_times(header, visit.ct_start)
    header.BodyPartExamined = "CHEST"
    header.ScanOptions = "HELICAL MODE"
    header.KVP = "120"
    header.DataCollectionDiameter = header.ReconstructionDiameter = "500"
    header.GantryDetectorTilt = "0"
    header.ExposureTime, header.XRayTubeCurrent, header.Exposure = 500, 80, 40
    header.ConvolutionKernel = "STANDARD"
    header.SliceThickness = number(protocol.ct_step_mm)
    header.PixelRepresentation = 1
    if protocol.style.padding_hu is not None:
        header.add_new(0x00280120, "SS", protocol.style.padding_hu + 1024)
    header.WindowCenter, header.WindowWidth = "40", "400"
    header.RescaleIntercept, header.RescaleSlope = "-1024", "1"
    header.RescaleType = "HU"
    return header


def pet_header(visit: Visit, slices: int) -> Dataset:
    """What all slices of a PET share.

    Args:
        visit: The examination.
        slices: How many there are.

    Returns:
        The header, without place, slope and pixels.
    """
    header, protocol = common_header(visit), visit.protocol
    header.ImageType = ["ORIGINAL", "PRIMARY"]
    header.SOPClassUID = PET_IMAGE
    header.Modality = "PT"
    header.SeriesDescription = "PET attenuation corrected"
    header.SeriesInstanceUID = visit.streams.uid("PT")
    header.SeriesNumber = 3
    _set_times(header, visit.pet_start)
    header.BodyPartExamined = "CHEST"
    header.CollimatorType = "NONE"
    header.ReconstructionDiameter = number(protocol.pet_size * protocol.pet_pixel_mm)
    header.SliceThickness = number(protocol.pet_step_mm)
    header.ActualFrameDuration = protocol.bed_seconds * 1000
    header.CorrectedImage = ["DECY", "ATTN", "SCAT", "DTIM", "RAN", "NORM"]
    header.PixelRepresentation = int(protocol.style.signed)
    header.RescaleIntercept = "0"
    header.SeriesType = ["WHOLE BODY" if protocol.style.beds else "STATIC", "IMAGE"]
    header.Units = protocol.style.units
    header.CountsSource = "EMISSION"
    header.NumberOfSlices = slices
    header.RandomsCorrectionMethod = "DLYD"
    header.AttenuationCorrectionMethod = "measured, CT"
    header.ScatterCorrectionMethod = "none needed: simulated without scatter"
    header.ReconstructionMethod = f"simulated, {protocol.fwhm_mm:.1f} mm FWHM"
    header.DecayCorrection = "START"
    _add_tracer(header, visit)
    _add_position_codes(header)
    _add_vendor_tags(header, visit)
    return header


def set_slice(header: Dataset, place_mm: tuple[float, float, float], pixel_mm: float) -> None:
    """Say where a slice lies.

    Args:
        header: Of the slice.
        place_mm: Centre of its first voxel, LPS.
        pixel_mm: Distance of its voxels.
    """
    header.ImagePositionPatient = [number(round(value, 6)) for value in place_mm]
    header.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    header.SliceLocation = number(round(place_mm[2], 6))
    header.PixelSpacing = [number(pixel_mm)] * 2


def set_bed(header: Dataset, visit: Visit, bed: int) -> None:
    """Say when a PET slice was measured; its values stay corrected to the series' start.

    Args:
        header: Of the slice.
        visit: The examination.
        bed: Number of the bed position, from 0.
    """
    seconds = bed * visit.protocol.bed_seconds
    start = visit.pet_start + timedelta(seconds=seconds)
    header.AcquisitionDate, header.AcquisitionTime = date(start), time(start)
    decay = np.log(2) / HALF_LIFE_S
    lasted = visit.protocol.bed_seconds * decay
    mean = -np.log((1 - np.exp(-lasted)) / lasted) / decay  # when activity is the frame's mean
    header.FrameReferenceTime = number((seconds + mean) * 1000)
    header.DecayFactor = number(float(np.exp(decay * (seconds + mean))))


def _set_times(header: Dataset, start: datetime) -> None:
    for event in ("Series", "Acquisition", "Content"):
        setattr(header, f"{event}Date", date(start))
        setattr(header, f"{event}Time", time(start))


def _add_tracer(header: Dataset, visit: Visit) -> None:
    tracer = Dataset()
    tracer.Radiopharmaceutical = "FDG -- fluorodeoxyglucose"
    tracer.RadiopharmaceuticalStartTime = time(visit.injection)
    tracer.RadionuclideTotalDose = number(visit.protocol.dose_bq)
    tracer.RadionuclideHalfLife = number(HALF_LIFE_S)
    tracer.RadionuclidePositronFraction = "0.967"
    if visit.protocol.style.name != "Siemens-like":
        moment = visit.injection.strftime("%Y%m%d%H%M%S.00")
        tracer.RadiopharmaceuticalStartDateTime = moment
    tracer.RadionuclideCodeSequence = Sequence([code("C-111A1", "SRT", "^18^Fluorine")])
    tracer.RadiopharmaceuticalCodeSequence = Sequence(
        [code("C-B1031", "SRT", "Fluorodeoxyglucose F^18^")]
    )
    header.RadiopharmaceuticalInformationSequence = Sequence([tracer])


def _add_position_codes(header: Dataset) -> None:
    """How the patient lies, in codes; PET has these instead of PatientPosition."""
    del header.PatientPosition
    lying = code("F-10450", "SRT", "recumbent")
    lying.PatientOrientationModifierCodeSequence = Sequence([code("F-10340", "SRT", "supine")])
    header.PatientOrientationCodeSequence = Sequence([lying])
    header.PatientGantryRelationshipCodeSequence = Sequence([code("F-10470", "SRT", "headfirst")])


def _add_vendor_tags(header: Dataset, visit: Visit) -> None:
    """The private attributes by which a vendor's files are understood."""
    name = visit.protocol.style.name
    if name == "GE-like":
        block = header.private_block(0x0009, "GEMS_PETD_01", create=True)
        block.add_new(0x0D, "DT", visit.pet_start.strftime("%Y%m%d%H%M%S.00"))
    elif name == "Philips-like":
        block = header.private_block(0x7053, "Philips PET Private Group", create=True)
        becquerel = philips_factor(visit)
        block.add_new(
            0x00, "DS", number(becquerel * visit.person.weight_kg * 1000 / visit.decayed_dose_bq)
        )
        block.add_new(0x09, "DS", number(becquerel))


def philips_factor(visit: Visit) -> float:
    """Bq/mL by count, as a calibration would have given it."""
    return float(f"{visit.streams.rng('calibration').uniform(1.2, 2.6):.6f}")
