"""Small pieces that every DICOM file written by petcast is composed of."""

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID


def number(value: float) -> str:
    """A DICOM decimal string: at most 16 characters, the most digits that fit.

    Args:
        value: Finite.

    Returns:
        Its text.

    Reference:
        PS3.5 6.2, DS.

    Example:
        >>> number(0.1), number(1 / 3), number(-2 / 3e7)
        ('0.1', '0.33333333333333', '-6.666666667e-08')
    """
    for digits in range(17, 0, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= 16 and digits < 17:
            return text
    return text


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """An item of a code sequence.

    Args:
        value: CodeValue.
        scheme: Who defines it, such as "DCM" or "SCT".
        meaning: In words.

    Returns:
        The item.
    """
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def file_meta(
    sop_class: UID, instance: UID, transfer_syntax: UID, writer: tuple[UID, str]
) -> FileMetaDataset:
    """The preamble's group 2.

    Args:
        sop_class: SOPClassUID.
        instance: SOPInstanceUID.
        transfer_syntax: How the data set is encoded.
        writer: ImplementationClassUID and ImplementationVersionName.

    Returns:
        The group.
    """
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = transfer_syntax
    meta.ImplementationClassUID, meta.ImplementationVersionName = writer
    return meta
