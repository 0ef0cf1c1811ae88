"""Files → series → studies: nothing but UIDs, classes and positions counts."""

import errno
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    RLELossless,
    generate_uid,
)

import petcast.dicom.scan as scan_module
from petcast.dicom.privacy import pseudonym
from petcast.dicom.scan import Scan, scan
from petcast.errors import UsageError
from petcast.refusal import Reason, Refusal

SALT = "tests"


def series_of(found: Scan, modality: str):
    return [one for one in found.series if one.modality == modality]


@pytest.mark.parametrize("minutes", [0, 90])
def test_of_two_pet_and_ct_the_choice_is_the_same_for_every_key(export, minutes: int) -> None:
    """Pseudonyms sort otherwise with another key; and the earlier time point goes first."""
    for slice_ in [*export.pet, *export.ct]:
        twin = export.twin(slice_)
        twin.SeriesInstanceUID = {"PT": "2.25.7", "CT": "2.25.8"}[twin.Modality]
        twin.SOPInstanceUID = twin.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        if minutes:
            twin.AcquisitionTime = "123000"
    folder = export.write()
    taken = set()
    for key in "abcdef":
        [study] = scan([folder], salt=key).studies
        assert study.pet is not None
        assert study.ct is not None
        taken.add((tuple(study.pet.files), tuple(study.ct.files)))
    [(pet, ct)] = taken
    if minutes:
        assert sorted(int(path.stem) for path in (*ct, *pet)) == list(range(24))


@pytest.mark.parametrize("second", [1, 3])
def test_of_two_equal_pet_the_one_with_the_lower_number_is_taken(export, second: int) -> None:
    for slice_ in export.pet:
        twin = export.twin(slice_)
        slice_.SeriesNumber, twin.SeriesNumber = 2, second
        twin.SeriesInstanceUID, twin.SOPInstanceUID = "2.25.7", generate_uid()
    [study] = scan([export.write()], salt=SALT).studies
    assert study.pet is not None
    assert study.pet.number == min(2, second)


@pytest.mark.parametrize(
    ("said", "number"), [("7", 7), ("", None), ("-1", None), ("20200102", None)]
)
def test_a_series_number_that_may_be_a_date_is_none(export, said: str, number: int | None) -> None:
    for slice_ in export.pet:
        slice_.SeriesNumber = said
    [pet] = series_of(scan([export.write()], salt=SALT), "PT")
    assert pet.number == number


def test_names_and_folders_of_files_never_matter(export, tmp_path: Path) -> None:
    plain = scan([export.write()], salt=SALT)
    other = tmp_path / "other"
    for number, path in enumerate(sorted(export.folder.iterdir(), reverse=True)):
        target = other / f"deep{number % 3}" / f"{number}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    assert scan([other], salt=SALT).to_json() == plain.to_json()


@pytest.mark.slow
def test_one_study_with_its_ct_and_pet(export) -> None:
    [study] = scan([export.write()], salt=SALT).studies
    assert study.ct is not None
    assert study.pet is not None
    assert (study.ct.modality, study.pet.modality) == ("CT", "PT")
    assert len(study.ct.files) == len(study.pet.files) == 12
    assert study.ct.frame_id == study.pet.frame_id
    assert study.ct.geometry is not None
    assert study.ct.geometry.z_mm == (-2.0, 46.0)


@pytest.mark.slow
def test_a_series_that_a_killed_command_left_half_written_is_not_searched(export) -> None:
    folder = export.write()
    (half := folder / ".pet.partial").mkdir()
    shutil.copy(export.path(0), half / "PT0001.dcm")
    assert not any(one.left_out for one in scan([folder], salt=SALT).series)
    assert len(scan([half], salt=SALT).series) == 1  # asked for by itself


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert scan([tmp_path], salt=SALT).to_json() == {"studies": [], "series": [], "files": []}


@pytest.mark.slow
def test_the_folder_of_the_pairs_is_left_alone_unless_it_is_asked_for(export, accounted) -> None:
    folder = export.write()
    pairs = folder / "pairs"
    pairs.mkdir()
    (pairs / "pairs.json").write_text("{}")
    assert len(accounted(scan([folder], salt=SALT))) == 25
    assert len(accounted(scan([folder], salt=SALT, skip=pairs))) == 24
    assert len(accounted(scan([pairs], salt=SALT, skip=pairs))) == 1


def test_a_folder_that_may_not_be_listed_says_so(export, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = export.write() / "closed"
    closed.mkdir()
    listed, scandir = os.listdir, os.scandir

    def guarded(real):
        def call(path):
            if Path(path) == closed:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return real(path)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", guarded(listed))
        patch.setattr(os, "scandir", guarded(scandir))
        [file] = scan([export.folder], salt=SALT).files
    assert file.refusal == Refusal(Reason.UNREADABLE, "Permission denied.")


def test_a_folder_given_twice_counts_once(export, accounted) -> None:
    folder = export.write()
    found = scan([folder, folder], salt=SALT)
    assert accounted(found) == sorted(folder.iterdir())


def test_a_circle_of_links_ends(export, accounted) -> None:
    folder = export.write()
    (folder / "again").symlink_to(folder, target_is_directory=True)
    found = scan([folder], salt=SALT)
    assert len(accounted(found)) == 24


# Repairs


def test_equal_duplicates_are_left_out_and_said(export, accounted) -> None:
    folder = export.write()
    shutil.copy(export.path(3), folder / "copy")
    found = scan([folder], salt=SALT)
    [ct] = series_of(found, "CT")
    assert ct.refusal is None
    assert len(ct.files) == 12
    assert len(ct.left_out) == 1
    assert ct.notes[0] == "Left out: 1 file with slices that others hold too."
    assert accounted(found) == sorted(folder.iterdir())


def test_a_slice_sent_again_under_a_new_uid_is_a_duplicate(export) -> None:
    export.twin(export.ct[3]).SOPInstanceUID = generate_uid()
    [ct] = series_of(scan([export.write()], salt=SALT), "CT")
    assert ct.refusal is None
    assert len(ct.left_out) == 1


def test_one_uid_at_two_places_is_no_duplicate(export, codes) -> None:
    export.ct[3].SOPInstanceUID = export.ct[4].SOPInstanceUID
    assert Reason.DUPLICATE in codes(scan([export.write()], salt=SALT))


def test_a_damaged_copy_of_a_whole_file_is_left_out(export, accounted) -> None:
    folder = export.write()
    (folder / "copy").write_bytes(export.path(3).read_bytes()[:-100])
    found = scan([folder], salt=SALT)
    [ct] = series_of(found, "CT")
    assert ct.refusal is None
    assert ct.left_out == (folder / "copy",)
    assert accounted(found) == sorted(folder.iterdir())


@pytest.mark.slow
def test_two_acquisitions_in_one_series_are_told_apart(export, accounted) -> None:
    for slice_ in export.ct:
        twin = export.twin(slice_)
        twin.SOPInstanceUID, twin.AcquisitionNumber = generate_uid(), 2
        twin.PixelData = np.full((16, 16), 7, np.int16).tobytes()
    found = scan([export.write()], salt=SALT)
    cts = series_of(found, "CT")
    assert [len(one.files) for one in cts] == [12, 12]
    assert all(one.refusal is None and "Acquisition" in one.notes[0] for one in cts)
    assert len({one.id for one in cts}) == 2
    assert found.studies[0].refusal is None
    assert accounted(found) == sorted(export.folder.iterdir())


def test_no_slice_is_missing_where_a_series_holds_two_scans_or_a_rendering(export) -> None:
    """NumberOfSlices may count all of them; "was it copied to its end?" was said of each scan."""
    for slice_ in export.pet:
        slice_.NumberOfSlices = 13
    rendering = export.twin(export.pet[0])
    rendering.SOPInstanceUID = generate_uid()
    del rendering.ImagePositionPatient
    pets = series_of(scan([export.write()], salt=SALT), "PT")
    export.extra.clear()
    for slice_ in export.pet:
        slice_.NumberOfSlices = 24
        twin = export.twin(slice_)
        twin.SOPInstanceUID, twin.AcquisitionNumber = generate_uid(), 2
        twin.PixelData = np.full((8, 8), 7, np.int16).tobytes()
    pets += series_of(scan([export.write()], salt=SALT), "PT")
    assert [one.refusal for one in pets] == [None] * 3
    assert not any("copied" in note for one in pets for note in one.notes)


def test_acquisitions_are_told_apart_by_time_where_numbers_are_missing(export) -> None:
    for slice_ in export.ct:
        twin = export.twin(slice_)
        twin.SOPInstanceUID, twin.AcquisitionTime = generate_uid(), "111500"
        twin.PixelData = np.full((16, 16), 7, np.int16).tobytes()
    cts = series_of(scan([export.write()], salt=SALT), "CT")
    assert [one.refusal for one in cts] == [None, None]


def test_a_series_begins_with_its_earliest_slice(export) -> None:
    """Of two time points of a study the earlier is taken by this."""
    begun = [one.begun_s for one in scan([export.write()], salt=SALT).series]
    for slice_ in (export.ct[0], export.ct[5], export.pet[0], export.pet[5]):
        slice_.AcquisitionTime = "112000"
    assert [one.begun_s for one in scan([export.write()], salt=SALT).series] == begun


@pytest.mark.parametrize(
    ("description", "told"),
    [("CT AC 5.0 HD_FoV", True), ("WB CTAC", True), ("ACRIN thorax", False), ("PET NAC", False)],
)
def test_a_ct_for_the_attenuation_correction_is_known_by_its_description(
    export, description: str, told: bool
) -> None:
    for slice_ in export.ct:
        slice_.SeriesDescription = description
    [ct] = [one for one in scan([export.write()], salt=SALT).series if one.modality == "CT"]
    assert ct.attenuation is told


def test_the_weight_of_a_ct_is_compared_with_the_pets(export) -> None:
    """In grams, too."""
    assert not any("PatientWeight" in n for s in scan([export.write()], salt=SALT).studies
                   for n in s.notes)  # fmt: skip
    for slice_ in export.ct:
        slice_.PatientWeight = 2205 * float(export.pet[0].PatientWeight)
    [study] = scan([export.write()], salt=SALT).studies
    assert any("2.2" in note for note in study.notes if "PatientWeight" in note)


@pytest.mark.parametrize(
    ("said", "usable"), [("HU", True), ("US", True), ("", True), ("OD", False)]
)
def test_ct_numbers_are_hu_unless_the_header_says_otherwise(export, said, usable) -> None:
    for slice_ in export.ct:
        slice_.RescaleType = said
    [ct] = series_of(scan([export.write()], salt=SALT), "CT")
    assert (ct.refusal is None) == usable


def test_beds_of_a_pet_are_one_series(export) -> None:
    for slice_ in export.pet[6:]:
        slice_.AcquisitionNumber, slice_.AcquisitionTime = 2, "110300"
    [pet] = series_of(scan([export.write()], salt=SALT), "PT")
    assert pet.refusal is None


def test_a_scout_among_the_slices_becomes_its_own_series(export) -> None:
    scout = export.twin(export.ct[0])
    scout.SOPInstanceUID = generate_uid()
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    found = scan([export.write()], salt=SALT)
    refusals = [one.refusal and one.refusal.reason for one in series_of(found, "CT")]
    assert sorted(refusals, key=str) == [None, Reason.SCOUT]
    assert found.studies[0].refusal is None


def test_an_image_without_a_place_among_a_pets_slices_is_left_out_and_said(export) -> None:
    capture = export.twin(export.pet[0])
    capture.SOPInstanceUID = generate_uid()
    del capture.ImagePositionPatient
    found = scan([export.write()], salt=SALT)
    [pet] = series_of(found, "PT")
    assert pet.refusal is None
    assert (len(pet.files), len(pet.left_out)) == (12, 1)
    assert any("1 of 13 images" in note for note in pet.notes)
    assert found.studies[0].refusal is None


@pytest.mark.parametrize("lost", [slice(5, 6), slice(0, 12), slice(0, 3)])
def test_a_pet_that_needs_its_unplaced_slices_is_refused(export, lost: slice) -> None:
    for slice_ in export.pet[lost]:
        slice_.ImagePositionPatient = None
    [pet] = series_of(scan([export.write()], salt=SALT), "PT")
    assert pet.refusal is not None
    assert pet.refusal.reason is Reason.NO_POSITION


def test_big_endian_files_are_read_and_said(export) -> None:
    for slice_ in export.ct:
        stored = np.frombuffer(slice_.PixelData, "<i2")
        slice_.PixelData = stored.astype(">i2").tobytes()
        slice_.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        slice_.set_original_encoding(is_implicit_vr=False, is_little_endian=False)
    [ct] = series_of(scan([export.write()], salt=SALT), "CT")
    assert ct.refusal is None
    assert ct.notes == ("Big-endian files were read.",)


def test_compressed_files_are_read_and_said(export) -> None:
    for slice_ in export.ct:
        slice_.compress(RLELossless, generate_instance_uid=False)
    [ct] = series_of(scan([export.write()], salt=SALT), "CT")
    assert ct.refusal is None
    assert "Compressed" in ct.notes[0]


def test_a_compressed_file_cut_off_is_seen_without_decoding(export, codes) -> None:
    for slice_ in export.ct:
        slice_.compress(RLELossless, generate_instance_uid=False)
    folder = export.write()
    export.path(3).write_bytes(export.path(3).read_bytes()[:-60])
    assert Reason.TRUNCATED in codes(scan([folder], salt=SALT))


def test_series_that_share_a_uid_have_ids_of_their_own(export) -> None:
    """A projection beside its slices, and CT and PET that a de-identification gave one UID."""
    for slice_ in (*export.ct, export.twin(export.pet[0])):
        slice_.SeriesInstanceUID = export.pet[0].SeriesInstanceUID
    export.extra[0].ImageType = ["DERIVED", "SECONDARY", "MIP"]
    found = scan([export.write()], salt=SALT)
    [study] = found.studies
    assert study.ct is not None
    assert study.pet is not None
    assert len({one.id for one in found.series}) == len(found.series) == 3
    assert {study.ct.id, study.pet.id} < {one.id for one in found.series}


def test_an_empty_file_beside_a_series_is_noted_and_a_text_is_not(export) -> None:
    """A copy onto a full disk leaves empty files; at a series' end no gap tells of them."""
    folder = export.write()
    (folder / "readme.txt").write_text("exported by hand")
    [ct] = series_of(scan([folder], salt=SALT), "CT")
    assert ct.notes == ()
    export.path(0).write_bytes(b"")
    [ct] = series_of(scan([folder], salt=SALT), "CT")
    assert (len(ct.files), ct.refusal) == (11, None)
    assert any(note.startswith("1 damaged file in") for note in ct.notes)


def test_a_damaged_header_beside_a_series_is_noted(export) -> None:
    folder = export.write()
    (folder / "cut").write_bytes(export.path(3).read_bytes()[:400])
    [ct] = series_of(scan([folder], salt=SALT), "CT")
    assert ct.refusal is None
    assert any("damaged" in note for note in ct.notes)


def test_a_declared_length_of_four_gigabytes_costs_nothing(export, codes) -> None:
    folder = export.write()
    whole = export.path(3).read_bytes()
    place = whole.index(b"\xe0\x7f\x10\x00OW") + 8
    export.path(3).write_bytes(whole[:place] + b"\xf0\xff\xff\xff" + whole[place + 4 :])
    assert codes(scan([folder], salt=SALT)) == {Reason.PIXEL_LENGTH}


# Archives


def test_a_zip_counts_like_its_folder(export, tmp_path: Path) -> None:
    plain = scan([export.write()], salt=SALT)
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for path in export.folder.iterdir():
            opened.write(path, f"a/b/{path.name}")
    packed = scan([archive], salt=SALT)
    assert packed.to_json() == plain.to_json()
    place = packed.series[0].files[0].parent
    assert place.is_dir()
    del packed
    assert not place.exists()


def test_a_zip_without_the_suffix_inside_a_folder_is_opened(export, tmp_path: Path) -> None:
    export.write()
    outer = tmp_path / "outer"
    outer.mkdir()
    with zipfile.ZipFile(outer / "export", "w") as opened:
        for path in export.folder.iterdir():
            opened.write(path, path.name)
    assert [study.refusal for study in scan([outer], salt=SALT).studies] == [None]


# Identities


def test_pseudonyms_depend_on_the_key(export) -> None:
    folder = export.write()
    [first], [second] = (scan([folder], salt=salt).studies for salt in ("one", "two"))
    assert first.id != second.id
    assert first.patient_id != second.patient_id


def test_the_user_s_own_key_is_the_default(export) -> None:
    folder = export.write()
    assert scan([folder]).to_json() == scan([folder]).to_json()


def test_a_patient_without_number_is_known_by_the_study(export) -> None:
    for slice_ in export.all:
        slice_.PatientID = ""
    found = scan([export.write()], salt=SALT)
    [study] = found.studies
    assert study.refusal is None
    assert study.patient_id == pseudonym("patient", export.ct[0].StudyInstanceUID, SALT)
    assert "no number" in found.series[0].notes[0]


def test_equal_numbers_of_two_hospitals_are_two_patients(export, codes) -> None:
    issued(export.ct, "St Mary")
    issued(export.pet, "St Luke")
    assert codes(scan([export.write()], salt=SALT)) == {Reason.MIXED_PATIENT}


def issued(slices, issuer: str) -> None:
    for slice_ in slices:
        slice_.IssuerOfPatientID = issuer


def another_visit(slices) -> None:
    for slice_ in slices:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(slice_, keyword, generate_uid(entropy_srcs=[slice_[keyword].value]))
        slice_.file_meta.MediaStorageSOPInstanceUID = slice_.SOPInstanceUID


@pytest.mark.slow
@pytest.mark.parametrize("unnamed", [0, 6, 12])
def test_an_issuer_that_some_slices_leave_out_is_that_of_the_others(export, unnamed: int) -> None:
    issued([*export.ct, *export.pet[unnamed:]], "St Mary")
    [study] = scan([export.write()], salt=SALT).studies
    assert study.refusal is None
    assert study.patient_id == pseudonym("patient", "4711 of St Mary", SALT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("issuers", "patients"),
    [(("", ""), 1), (("St Mary", ""), 1), (("St Mary", "St Mary"), 1), (("St Mary", "St Luke"), 2)],
)
def test_two_visits_of_one_number_are_one_patient_unless_two_hospitals_gave_it(
    export, issuers: tuple[str, str], patients: int
) -> None:
    for slice_ in (*export.ct, *export.pet):
        another = export.twin(slice_)
        issued([slice_], issuers[0])
        issued([another], issuers[1])
    another_visit(export.extra)
    found = scan([export.write()], salt=SALT)
    assert [study.refusal for study in found.studies] == [None, None]
    assert len({study.patient_id for study in found.studies}) == patients
    assert {one.number_id for one in found.series} == {pseudonym("patient", "4711", SALT)}


@pytest.mark.parametrize(
    ("date", "time", "reference_ms"),
    [("00010101", "000000", 6e4), ("99991231", "235955", 6e4), ("20200102", "110000", 1e18)],
)
def test_times_at_the_calendar_s_ends_end_no_scan(export, date, time, reference_ms) -> None:
    """They stand for dates that were removed; arithmetic with them has no room."""
    for slice_ in export.pet:
        slice_.StudyDate = slice_.SeriesDate = slice_.AcquisitionDate = date
        slice_.AcquisitionTime, slice_.FrameReferenceTime = time, reference_ms
    assert len(scan([export.write()], salt=SALT).series) == 2


def test_one_person_under_two_numbers_is_doubted(export) -> None:
    for slice_ in (*export.ct, *export.pet):
        slice_.PatientBirthDate = "19600102"
        export.twin(slice_).PatientID = "X4711"
    another_visit(export.extra)
    studies = scan([export.write()], salt=SALT).studies
    assert len({study.patient_id for study in studies}) == 2
    for study in studies:
        assert ["share name and date of birth" in note for note in study.notes] == [True]


@pytest.mark.parametrize(
    ("number", "said"), [("ab 4711", True), ("0AB4711 ", True), ("4711", False)]
)
def test_one_number_in_two_spellings_is_doubted(export, number: str, said: bool) -> None:
    """Names and dates of birth were removed; the one person trained and tested."""
    for slice_ in (*export.ct, *export.pet):
        slice_.PatientName, slice_.PatientID = "", "AB4711"
        export.twin(slice_).PatientID = number
    another_visit(export.extra)
    studies = scan([export.write()], salt=SALT).studies
    assert len({study.patient_id for study in studies}) == 2
    for study in studies:
        assert ["differ in case" in note for note in study.notes] == [True] * said


def test_one_number_in_two_spellings_within_a_study_is_refused_by_its_name(export) -> None:
    for slice_ in export.pet:
        slice_.PatientID = "04711"
    [study] = scan([export.write()], salt=SALT).studies
    assert study.refusal is not None
    assert study.refusal.reason is Reason.MIXED_PATIENT
    assert "differ in case, blanks or leading zeros alone" in study.refusal.detail


def test_people_inside_one_series_are_doubted_too(export) -> None:
    """Whichever of them its first file names."""
    for number, slice_ in enumerate(export.pet):
        slice_.PatientBirthDate = "19600102" if number % 2 else "19700203"
    [study] = scan([export.write()], salt=SALT).studies
    assert ["differ in date of birth" in note for note in study.notes] == [True]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "marks"),
    [
        ({"PatientBirthDate": "19700203", "PatientSex": "M"}, "differ in date of birth and sex:"),
        ({"PatientName": "Roe^Richard"}, "differ in name:"),
        ({"PatientName": "DOE^JANE^^", "PatientBirthDate": "", "PatientSex": "O"}, ""),
    ],
)
def test_people_who_share_a_number_are_doubted_without_being_named(
    export, values: dict[str, str], marks: str
) -> None:
    for slice_ in (*export.ct, *export.pet):
        slice_.PatientBirthDate = "19600102"
        another = export.twin(slice_)
        for keyword, value in values.items():
            setattr(another, keyword, value)
    another_visit(export.extra)
    document = scan([export.write()], salt=SALT).to_json()
    notes = [note for study in document["studies"] for note in study["notes"]]
    number = pseudonym("patient", "4711", SALT)
    assert sum(f"patient {number} {marks}" in note for note in notes) == (2 if marks else 0)
    assert marks or not any("several people" in note for note in notes)
    written = json.dumps(document)
    assert not any(word in written for word in ("4711", "Doe", "Roe", "1970", "1960"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "values", [{"PatientID": ""}, {"PatientID": "other"}, {"IssuerOfPatientID": "Dose watcher"}]
)
def test_who_a_report_or_a_capture_names_is_not_asked(export, values: dict[str, str]) -> None:
    capture = export.twin(export.ct[0])
    capture.SOPClassUID = capture.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    capture.SeriesInstanceUID, capture.Modality = "1.2.3", "OT"
    capture.SOPInstanceUID = capture.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    for keyword, value in values.items():
        setattr(capture, keyword, value)
    [study] = scan([export.write()], salt=SALT).studies
    assert study.refusal is None
    assert study.patient_id == pseudonym("patient", "4711", SALT)


def test_a_number_in_another_alphabet_is_hashed_as_it_reads(export) -> None:
    for slice_ in export.all:
        slice_.SpecificCharacterSet, slice_.PatientID = "ISO_IR 192", "Müller-7"
    [study] = scan([export.write()], salt=SALT).studies
    assert study.patient_id == pseudonym("patient", "Müller-7", SALT)


def test_refusals_for_the_pairs_hold_no_path(export) -> None:
    folder = export.write()
    (folder / "Doe").write_text("Jane")
    [row] = scan([folder], salt=SALT).refusals()
    assert (row["level"], row["reason"], row["files"]) == ("file", "NOT-DICOM", 1)
    assert "Doe" not in str(row)


# Processes


@pytest.mark.slow
def test_processes_find_the_same(export, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = export.write()
    here = scan([folder], salt=SALT, workers=1)
    monkeypatch.setattr(scan_module, "POOL_FROM_FILES", 1)
    assert scan([folder], salt=SALT, workers=2) == here


def test_a_dicomdir_is_called_what_it_is(export) -> None:
    """Somebody gave it as a viewer wants it, and was told to export the original images."""
    folder = export.write()
    directory = Dataset()
    directory.FileSetID = "EXPORT"
    directory.file_meta = FileMetaDataset()
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.save_as(folder / "DICOMDIR", enforce_file_format=True)
    [file] = scan([folder / "DICOMDIR"], salt=SALT).files
    assert (file.refusal.reason, "give its folder" in file.refusal.detail) == (
        Reason.SOP_CLASS,
        True,
    )


def test_a_key_that_cannot_be_kept_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("APPDATA", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="PETCAST_SALT"):
        scan([tmp_path])


def test_a_name_whose_bytes_are_no_text_is_accounted_for_too(export, codes, accounted) -> None:
    folder = export.write()
    odd = os.fsencode(folder) + b"/\xff\xfe.txt"
    try:
        Path(os.fsdecode(odd)).write_text("no DICOM")
    except OSError:
        pytest.skip("this file system takes no such name")
    found = scan([folder], salt="tests")
    assert codes(found) == {"NOT-DICOM"}
    assert len(accounted(found)) == 25


def test_a_folder_that_vanishes_while_it_is_searched_is_refused(
    export, codes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export.write()
    gone = folder / "gone"
    gone.mkdir()
    stat = Path.stat

    def vanished(path: Path, **options):
        if path == gone:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(gone))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", vanished)
    found = scan([folder], salt=SALT)
    assert Reason.UNREADABLE in codes(found)
    assert found.studies[0].refusal is None


def test_a_folder_that_cannot_be_listed_is_refused_not_skipped(export, codes, monkeypatch) -> None:
    closed = export.write() / "closed"
    closed.mkdir()
    listed = os.scandir

    def scandir(path):
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(closed))
        return listed(path)

    with monkeypatch.context() as patch:
        patch.setattr("os.scandir", scandir)
        found = scan([export.folder], salt="tests")
    assert codes(found) == {"UNREADABLE"}
    assert [file.path for file in found.files] == [closed]
