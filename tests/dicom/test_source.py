"""What a CT passes on arrives byte by byte, in whatever letters the hospital wrote it."""

import pytest
from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.datadict import DicomDictionary, dictionary_VM
from pydicom.uid import ImplicitVRLittleEndian

from petcast.dicom.read import load_ct_and_source

NAMES = {
    "ISO_IR 100": "Müller^Änne",
    "ISO_IR 192": "Łukasiewicz^Zoë",
    ("", "ISO 2022 IR 87"): "Yamada^Tarou=山田^太郎",
    ("", "ISO 2022 IR 149"): "Hong^Gildong=洪^吉洞=홍^길동",
    "ISO_IR 144": "Юлия^Жданова",
    "GB18030": "Wang^XiaoDong=王^小东",
}


@pytest.mark.slow
@pytest.mark.parametrize("characters", NAMES)
def test_names_keep_their_letters(export, cast, tmp_path, characters) -> None:
    name = NAMES[characters]
    for slice_ in export.ct:
        slice_.SpecificCharacterSet = (
            characters if isinstance(characters, str) else list(characters)
        )
        slice_.PatientName = slice_.ReferringPhysicianName = name
        other = Dataset()
        other.PatientID, other.TypeOfPatientID, other.IssuerOfPatientID = "0815", "TEXT", name
        slice_.OtherPatientIDsSequence = [other]
    folder = export.write()
    expected = raw(export.path(0))
    cast(folder).write(tmp_path / "pet")
    for path in (tmp_path / "pet").iterdir():
        assert raw(path) == expected
    read = dcmread(path)
    assert read.PatientName == name
    assert read.OtherPatientIDsSequence[0].IssuerOfPatientID == name


def raw(path) -> dict[str, bytes]:
    """Values of a file's top level as they stand in it."""
    dataset = dcmread(path, stop_before_pixels=True)
    keywords = ("SpecificCharacterSet", "PatientName", "ReferringPhysicianName", "PatientID")
    return {keyword: dataset.get_item(keyword).value for keyword in keywords}


@pytest.mark.slow
def test_letters_of_no_declared_set_are_kept(export, cast, tmp_path) -> None:
    folder = export.write()
    for path in folder.iterdir():
        whole = path.read_bytes()
        path.write_bytes(whole.replace(b"Doe^Jane", "Dö^Jänes".encode("latin-1")))
    cast(folder).write(tmp_path / "pet")
    for path in (tmp_path / "pet").iterdir():
        assert "Dö^Jänes".encode("latin-1") in path.read_bytes()


PATIENT = {
    "PatientWeight": 70.5, "PatientSize": 1.75, "PatientAge": "053Y", "PatientSex": "F",
    "PatientIdentityRemoved": "YES", "DeidentificationMethod": "by hand", "StudyDate": "20200102",
    "AccessionNumber": "A1", "StudyID": "7", "StudyDescription": "PET/CT", "PregnancyStatus": 4,
    "ClinicalTrialSubjectID": "S1", "TimezoneOffsetFromUTC": "+0100", "PatientID": "4711",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("implicit", [False, True])
def test_patient_and_study_are_copied_and_the_ct_is_not(export, cast, tmp_path, implicit) -> None:
    for slice_ in export.ct:
        for keyword, value in PATIENT.items():
            setattr(slice_, keyword, value)
        slice_.ClinicalTrialSeriesID = "of the CT alone"
        slice_.ProcedureCodeSequence = [Dataset()]
        slice_.ProcedureCodeSequence[0].CodeValue = "P1"
        slice_.add_new(0x00110010, "LO", "A VENDOR")
        slice_.add_new(0x00111001, "LO", "private")
        if implicit:
            slice_.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
            slice_.set_original_encoding(is_implicit_vr=True, is_little_endian=True)
    for image in cast(export.write()).write(tmp_path / "pet"):
        assert {keyword: image[keyword].value for keyword in PATIENT} == PATIENT
        assert image.ProcedureCodeSequence[0].CodeValue == "P1"
        assert "ClinicalTrialSeriesID" not in image
        assert not [element for element in image if element.tag.is_private]


@pytest.mark.slow
def test_any_text_in_any_attribute_is_borne_in_silence(export, cast, tmp_path, capfd) -> None:
    """Damaged values pass as they are, or stay away; none is quoted."""
    kinds = {"PN", "LO", "SH", "LT", "ST", "UT", "DA", "TM", "AS", "CS", "IS", "DS", "UI", "SQ"}
    with disable_value_validation():
        for slice_ in export.ct:
            for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
                if vr in kinds and keyword and tag not in slice_ and tag >> 16 in (0x10, 0x12):
                    many = 2 if dictionary_VM(tag) == "2" else 1
                    value = [Dataset()] if vr == "SQ" else ["Qzplanted^Anna"] * many
                    slice_.add(element(tag, vr, value))
        folder = export.write()
    images = cast(folder).write(tmp_path / "pet")
    assert len(images) == 12
    assert "Qzplanted" not in "".join(capfd.readouterr())
    assert "Qzplanted" not in repr(load_ct_and_source(folder)[1])


def element(tag: int, vr: str, value: list):
    from pydicom.dataelem import DataElement, RawDataElement
    from pydicom.tag import Tag

    if vr == "SQ":
        return DataElement(tag, vr, value)
    text = "\\".join(value).encode()
    text += b" " * (len(text) % 2)
    return RawDataElement(Tag(tag), vr, len(text), text, 0, False, True)


def test_a_source_shows_no_identity(export) -> None:
    _, source = load_ct_and_source(export.write())
    assert repr(source) == "Source(descending=False)"
