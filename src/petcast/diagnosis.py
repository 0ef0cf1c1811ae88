"""What a public collection's naming says of a patient's diagnosis: a letter, and nothing else."""

from petcast.archive.collection import LUNG_PET_CT_DX, UNKNOWN_DIAGNOSIS


def diagnosis_of(patient_id: str) -> str:
    """Read the diagnosis letter off a patient's number, where the collection puts it there.

    Args:
        patient_id: PatientID, or what a NIfTI cohort calls the patient.

    Returns:
        A, B, E or G for a patient of Lung-PET-CT-Dx; empty for anybody else.

    Example:
        >>> diagnosis_of("Lung_Dx-A0164"), diagnosis_of("4711")
        ('A', '')
    """
    letter = LUNG_PET_CT_DX.diagnosis(patient_id)
    return "" if letter == UNKNOWN_DIAGNOSIS else letter
