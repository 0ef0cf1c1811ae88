"""Slices become HU, Bq/mL and SUV at their right place, each by its own slope."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless, generate_uid

from petcast.dicom.decay import TimeRule
from petcast.dicom.read import load_ct_and_source, read_ct, read_pet
from petcast.dicom.scan import Series, scan
from petcast.dicom.source import remarks_of
from petcast.errors import UsageError
from petcast.refusal import Reason, RefusedError
from petcast.volume import Unit

SALT = "tests"
EXPECTED_SUV = 70_000 / (350e6 * 2 ** (-3600 / 6586.2))
"""SUV of 1 Bq/mL in the export: 70 kg, 350 MBq, an hour."""


def series_of(folder: Path, modality: str) -> Series:
    [one] = [one for one in scan([folder], salt=SALT).series if one.modality == modality]
    return one


def test_ct_in_hounsfield_units_from_the_feet_up(export) -> None:
    volume = read_ct(series_of(export.write(), "CT"))
    assert volume.unit is Unit.HU
    assert volume.voxels.dtype == np.int16
    np.testing.assert_array_equal(volume.voxels[:, 8, 8], np.arange(12) * 10)
    assert volume.voxels[0, 0, 0] == -1024
    expected = np.diag([30.0, 30.0, 4.0, 1.0])
    expected[:3, 3] = -225, -225, 0
    np.testing.assert_allclose(volume.affine, expected)


def test_each_pet_slice_is_scaled_by_its_own_slope(export) -> None:
    reading = read_pet(series_of(export.write(), "PT"))
    activity = 1000 * (1 + np.arange(12) / 10)
    assert reading.activity is not None
    assert (reading.activity.unit, reading.suv.unit) == (Unit.BQ_PER_ML, Unit.SUV)
    np.testing.assert_allclose(reading.activity.voxels[:, 3, 3], activity, rtol=1e-6)
    np.testing.assert_allclose(reading.suv.voxels[:, 3, 3], activity * EXPECTED_SUV, rtol=1e-6)
    assert reading.uptake_minutes == 60


def test_the_study_s_date_serves_where_it_is_the_only_one(export) -> None:
    for slice_ in export.pet:
        del slice_.SeriesDate, slice_.AcquisitionDate
    reading = read_pet(series_of(export.write(), "PT"))
    assert (reading.time_rule, reading.uptake_minutes) == (TimeRule.SERIES_TIME, 60)


def begin_late(export, acquired: str, injected: str) -> None:
    """A series of 23:45 whose frames have a time of day and no date of their own."""
    for slice_ in export.pet:
        del slice_.AcquisitionDate
        slice_.SeriesTime, slice_.AcquisitionTime = "234500", acquired
    for injection in export.injections:
        injection.RadiopharmaceuticalStartTime = injected
        injection.RadiopharmaceuticalStartDateTime = f"20200102{injected}"


def test_a_frame_past_midnight_without_a_date_of_its_own_belongs_to_the_next_day(export) -> None:
    """Dated like its series, it lay a day before the start, and that was not believed."""
    begin_late(export, acquired="000500", injected="224500")
    reading = read_pet(series_of(export.write(), "PT"))
    assert (reading.time_rule, reading.uptake_minutes) == (TimeRule.SERIES_TIME, 60)
    assert not any("date" in note for note in reading.notes)


def test_a_frame_s_time_that_was_set_to_midnight_is_no_frame_past_midnight(export) -> None:
    """SeriesTime, perhaps a reconstruction's at night, was believed because of it."""
    begin_late(export, acquired="000000", injected="140000")
    refusal = series_of(export.write(), "PT").refusal
    assert refusal is not None
    assert refusal.reason is Reason.NO_TIME


def test_a_pet_without_any_date_is_told_so(export) -> None:
    for slice_ in export.pet:
        del slice_.StudyDate, slice_.SeriesDate, slice_.AcquisitionDate
    refusal = series_of(export.write(), "PT").refusal
    assert refusal is not None
    assert refusal.reason is Reason.NO_TIME
    assert "no date goes with it" in refusal.detail
    assert "ActualFrameDuration" not in refusal.detail  # it is there


@pytest.mark.slow
@pytest.mark.parametrize("padding", [-2000, 63536])
def test_padding_is_air_also_where_it_was_written_unsigned(export, padding: int) -> None:
    for slice_ in export.ct:
        slice_.RescaleIntercept = 1000  # so that clipping alone would not do
        stored = np.frombuffer(slice_.PixelData, np.int16).reshape(16, 16).copy()
        stored[0] = -2000
        slice_.PixelData = stored.tobytes()
        slice_.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)
    volume = read_ct(series_of(export.write(), "CT"))
    assert (volume.voxels[:, 0] == -1024).all()
    assert (volume.voxels[:, 1, 0] == 1000).all()


def test_values_beyond_the_scale_are_clipped(export) -> None:
    for slice_ in export.ct:
        stored = np.full((16, 16), -2048 + 1024, np.int16)
        stored[0] = 30000
        slice_.PixelData = stored.tobytes()
    volume = read_ct(series_of(export.write(), "CT"))
    assert (volume.voxels.min(), volume.voxels.max()) == (-1024, 3071)


def test_padding_of_a_pet_is_no_uptake(export) -> None:
    """It read as SUV of -20 in the air, and the mean inside the body did not show it."""
    plain = read_pet(series_of(export.write(), "PT")).suv.voxels
    for slice_ in export.pet:
        stored = np.frombuffer(slice_.PixelData, np.int16).reshape(8, 8).copy()
        stored[[0, 0, -1, -1], [0, -1, 0, -1]] = -32768
        slice_.PixelData = stored.tobytes()
        slice_.add_new("PixelPaddingValue", "SS", -32768)
    np.testing.assert_array_equal(read_pet(series_of(export.write(), "PT")).suv.voxels, plain)


def test_unsigned_pixels_that_are_called_signed_are_no_uptake(export) -> None:
    """The hottest voxels became the coldest, and the mean of the body stayed plausible."""
    for slice_ in export.pet:
        stored = np.zeros((8, 8), np.uint16)
        stored[2:6, 2:6], stored[3, 3] = 3000, 40_000
        slice_.PixelData = stored.tobytes()
    with pytest.raises(RefusedError, match="PixelRepresentation") as error:
        read_pet(series_of(export.write(), "PT"))
    assert error.value.refusal.reason is Reason.NOT_SUV
    for slice_ in export.pet:
        slice_.PixelRepresentation = 0
    suv = read_pet(series_of(export.write(), "PT")).suv
    assert suv.voxels[0].max() == pytest.approx(40_000 * EXPECTED_SUV)


def test_a_pet_with_fewer_slices_than_its_header_speaks_of_is_said(export) -> None:
    for number, said in ((12, 0), (24, 1)):
        for slice_ in export.pet:
            slice_.NumberOfSlices = number
        notes = series_of(export.write(), "PT").notes
        assert ["24 slices, and 12 are here" in note for note in notes] == [True] * said


@pytest.mark.parametrize("name", ["ct", "pet"])
def test_values_in_the_upper_bits_are_refused_and_not_taken_for_others(export, codes, name) -> None:
    """Decoders overlook HighBit: such a PET read 0.29 to 0.61 as 1.08 to 2.28, without a word."""
    for slice_ in getattr(export, name):
        slice_.BitsStored, slice_.HighBit = 12, 15
        slice_.PixelData = (np.frombuffer(slice_.PixelData, np.uint16) << 4).tobytes()
    assert Reason.PIXEL_FORMAT in codes(scan([export.write()], salt=SALT))


@pytest.mark.parametrize(("bits", "high"), [(12, 15), (16, 11), (16, 16)])
def test_values_in_the_lowest_bits_are_read_whatever_highbit_says(export, bits, high) -> None:
    """Some writers leave HighBit as it was; nothing in the pixels is amiss."""
    plain = read_pet(series_of(export.write(), "PT")).suv.voxels
    for slice_ in export.pet:
        slice_.BitsStored, slice_.HighBit = bits, high
    blank = np.frombuffer(export.pet[0].PixelData, np.int16) * 0
    export.pet[0].PixelData, plain[0] = blank.tobytes(), 0
    np.testing.assert_array_equal(read_pet(series_of(export.write(), "PT")).suv.voxels, plain)


def hottest(export, value: int, bits: int, signed: int, kind: str = "PT") -> list:
    """A series' slices, their pixels up to a value, of which the header says so many bits."""
    slices = export.pet if kind == "PT" else export.ct
    for slice_ in slices:
        slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = bits, bits - 1, signed
        stored = np.frombuffer(slice_.PixelData, np.uint16).copy()
        stored[27] = value
        slice_.PixelData = stored.tobytes()
    return slices


@pytest.mark.parametrize(("value", "signed"), [(5000, 0), (2048, 1), (-2049 & 0xFFFF, 1)])
@pytest.mark.parametrize("packed", [False, True])
def test_values_of_more_bits_than_stored_are_refused_and_not_cut(
    export, value: int, signed: int, packed: bool
) -> None:
    """A PET whose BitsStored was that of another image read 0.38 of its maximum, without a word."""
    for slice_ in hottest(export, value, 12, signed):
        if signed:  # what is below zero says that signs are spread over the bits above
            slice_.PixelData = slice_.PixelData[:-2] + b"\xff\xff"
        if packed:
            slice_.compress(RLELossless, generate_instance_uid=False)
    with pytest.raises(RefusedError, match="more than the 12 bits") as error:
        read_pet(series_of(export.write(), "PT"))
    assert error.value.refusal.reason is Reason.PIXEL_FORMAT


def test_an_overlay_above_the_values_is_not_read_with_them(export) -> None:
    plain = read_pet(series_of(export.write(), "PT")).suv.voxels
    for slice_ in export.pet:
        slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 12, 11, 0
        slice_.add_new((0x6000, 0x0102), "US", 12)
        stored = np.frombuffer(slice_.PixelData, np.uint16) | 0x1000
        slice_.PixelData = stored.tobytes()
    np.testing.assert_array_equal(read_pet(series_of(export.write(), "PT")).suv.voxels, plain)


@pytest.mark.parametrize(("signed", "padding"), [(0, 63536), (1, -32768)])
def test_padding_beyond_the_stored_bits_is_air(export, signed: int, padding: int) -> None:
    """Some scanners fill what lies outside their circle with values that no 12 bits hold."""
    for slice_ in hottest(export, padding & 0xFFFF, 12, signed, kind="CT"):
        slice_.add_new("PixelPaddingValue", "SS" if signed else "US", padding)
    assert read_ct(series_of(export.write(), "CT")).voxels[0, 1, 11] == -1024


def test_signs_that_were_not_spread_over_the_bits_above_are_read(export) -> None:
    for slice_ in hottest(export, -200 & 0x0FFF, 12, signed=1, kind="CT"):
        slice_.RescaleIntercept = 0
    stored = read_ct(series_of(export.write(), "CT")).voxels
    assert stored[0, 1, 11] == -200


def test_rows_and_columns_are_not_confused(export) -> None:
    for slice_ in export.ct:
        slice_.Rows, slice_.Columns, slice_.PixelSpacing = 8, 32, [40, 10]
        slice_.ImagePositionPatient = [-155, -140, slice_.ImagePositionPatient[2]]
    volume = read_ct(series_of(export.write(), "CT"))
    assert volume.voxels.shape == (12, 8, 32)
    assert volume.spacing_mm == (10, 40, 4)


def test_a_patient_lying_feet_first_keeps_every_voxel_at_its_place(export) -> None:
    plain = read_ct(series_of(export.write(), "CT"))
    shutil.rmtree(export.folder)
    for slice_ in export.ct:
        stored = np.frombuffer(slice_.PixelData, np.int16).reshape(16, 16)
        slice_.PixelData = stored[:, ::-1].tobytes()
        slice_.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
        slice_.ImagePositionPatient = [225, -225, slice_.ImagePositionPatient[2]]
    turned = read_ct(series_of(export.write(), "CT")).canonical()
    assert turned.grid.matches(plain.grid)
    np.testing.assert_array_equal(turned.voxels, plain.voxels)


@pytest.mark.slow
@pytest.mark.parametrize("steps_mm", [3.27, 2.0])
def test_bed_joins_are_no_gaps(export, steps_mm: float) -> None:
    heights = np.cumsum([0, *[steps_mm] * 5, steps_mm - 0.08, *[steps_mm] * 3, steps_mm + 0.02, 0])
    for slice_, height in zip(export.pet, [*heights[:11], heights[10] + steps_mm], strict=True):
        x, y, _ = slice_.ImagePositionPatient
        slice_.ImagePositionPatient = [x, y, round(height, 4)]
    assert read_pet(series_of(export.write(), "PT")).suv.spacing_mm[2] == pytest.approx(
        steps_mm, abs=0.01
    )


@pytest.mark.slow
def test_compressed_slices_hold_the_same_values(export) -> None:
    plain = read_ct(series_of(export.write(), "CT"))
    for slice_ in export.ct:
        slice_.compress(RLELossless, generate_instance_uid=False)
    packed = read_ct(series_of(export.write(), "CT"))
    np.testing.assert_array_equal(packed.voxels, plain.voxels)


@pytest.mark.slow
@pytest.mark.parametrize(
    "syntax", ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless"]
)
def test_jpeg_slices_hold_the_same_values(export, syntax: str) -> None:
    gdcm = pytest.importorskip("gdcm", reason="the extra `codecs` is not installed")
    plain = read_ct(series_of(export.write(), "CT"))
    for path in export.folder.iterdir():
        compress(gdcm, path, getattr(gdcm.TransferSyntax, syntax))
    packed = series_of(export.folder, "CT")
    assert "Compressed" in packed.notes[0]
    np.testing.assert_array_equal(read_ct(packed).voxels, plain.voxels)


def compress(gdcm, path: Path, syntax) -> None:
    """Rewrite a file with compressed pixels."""
    reader, change, writer = (
        gdcm.ImageReader(),
        gdcm.ImageChangeTransferSyntax(),
        gdcm.ImageWriter(),
    )
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


def test_without_codecs_a_compressed_file_says_what_to_install(export, monkeypatch, codes) -> None:
    from petcast.dicom import encoding

    for slice_ in export.ct:
        slice_.compress(RLELossless, generate_instance_uid=False)
    monkeypatch.setattr(encoding, "_has_decoder", lambda syntax: False)
    found = scan([export.write()], salt=SALT)
    assert codes(found) == {Reason.CODEC}
    assert "petcast[codecs]" in str(found.to_json())


def test_a_file_that_changed_since_the_scan_is_refused(export) -> None:
    series = series_of(export.write(), "CT")
    export.path(3).write_bytes(export.path(3).read_bytes()[:-100])
    with pytest.raises(RefusedError) as error:
        read_ct(series)
    assert error.value.refusal.reason is Reason.TRUNCATED


def test_a_file_that_vanished_since_the_scan_is_refused(export) -> None:
    series = series_of(export.write(), "CT")
    export.path(3).unlink()
    with pytest.raises(RefusedError) as error:
        read_ct(series)
    assert error.value.refusal.reason is Reason.UNREADABLE


def test_a_refused_series_is_not_read(export) -> None:
    del export.ct[5:]
    with pytest.raises(RefusedError, match="TOO-FEW-SLICES"):
        read_ct(series_of(export.write(), "CT"))


def test_a_pet_is_no_ct(export) -> None:
    with pytest.raises(RefusedError, match="Expected a CT series"):
        read_ct(series_of(export.write(), "PT"))


# One CT, for `predict`


@pytest.mark.slow
def test_the_one_ct_of_a_folder_or_a_zip_or_a_zip_in_a_folder(export, tmp_path: Path) -> None:
    folder = export.write()
    expected = read_ct(series_of(folder, "CT"))
    archive = tmp_path / "exports" / "ct.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as opened:
        for path in folder.iterdir():
            opened.write(path, path.name)
    for source in (folder, archive, archive.parent):
        np.testing.assert_array_equal(load_ct_and_source(source)[0].voxels, expected.voxels)


def test_a_ct_without_frame_of_reference_can_be_predicted_on(export) -> None:
    for slice_ in export.all:
        del slice_.FrameOfReferenceUID
    assert load_ct_and_source(export.write())[0].voxels.shape == (12, 16, 16)


def add_twin(export, **changes: object) -> None:
    """Another reconstruction of the CT."""
    changes = {"SeriesInstanceUID": generate_uid(), **changes}
    for slice_ in export.ct[:]:
        twin = export.twin(slice_)
        twin.SOPInstanceUID = generate_uid()
        for keyword, value in changes.items():
            setattr(twin, keyword, value)


@pytest.mark.slow
@pytest.mark.parametrize("with_pet", [True, False])
def test_of_several_cts_of_a_study_the_one_that_prepare_takes(export, with_pet: bool) -> None:
    for slice_ in export.ct:
        slice_.ConvolutionKernel = "LUNG"
    soft = generate_uid()
    add_twin(export, SeriesInstanceUID=soft, ConvolutionKernel="STANDARD", RescaleIntercept=-1000)
    folder = export.write()
    if not with_pet:
        for path in folder.iterdir():
            if pydicom.dcmread(path, stop_before_pixels=True).Modality == "PT":
                path.unlink()
    ct, source = load_ct_and_source(folder)
    assert source.text("SeriesInstanceUID") == soft
    [one] = [s for s in scan([folder], salt="x").series if s.kernel == "soft"]
    np.testing.assert_array_equal(ct.voxels, read_ct(one).voxels)
    assert "2 CT series" in source.choice
    assert "12 slices" in source.choice
    assert "soft kernel" in source.choice


@pytest.mark.slow
def test_a_longer_ct_comes_before_a_softer_one(export) -> None:
    for slice_ in export.ct:
        slice_.ConvolutionKernel = "LUNG"
    add_twin(export, ConvolutionKernel="STANDARD")
    del export.extra[-6:]
    _, source = load_ct_and_source(export.write())
    assert source.text("ConvolutionKernel") == "LUNG"


def test_a_coronal_reformat_beside_a_ct_makes_nothing_doubtful(export) -> None:
    add_twin(export, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    assert remarks_of(load_ct_and_source(export.write())[1]) == ()


def test_what_makes_a_ct_doubtful_is_passed_on_with_it(export) -> None:
    """A slice lost at its end and a better series that was refused would go unseen."""
    add_twin(export)
    for slice_ in export.ct:
        slice_.LossyImageCompression = "01"
    del export.extra[5]
    folder = export.write()
    export.path(0).write_bytes(b"")
    _, source = load_ct_and_source(folder)
    lossy, damaged, refused = remarks_of(source)
    assert lossy == "The pixels were compressed with loss."
    assert damaged.startswith("1 damaged file in the folder")
    assert refused.startswith("Another CT there, of 11 files, was refused (GAP): Between slices 5")


def test_cts_of_several_studies_ask_for_a_choice(export) -> None:
    add_twin(export, StudyInstanceUID=generate_uid(), FrameOfReferenceUID=generate_uid())
    with pytest.raises(UsageError, match=r"CT series of 2 studies.*give the folder of one"):
        load_ct_and_source(export.write())


@pytest.mark.parametrize("outside", [-1024, 0])
def test_water_is_no_padding_unless_it_stands_outside(export, outside: int) -> None:
    """A CT that was rescaled to HU may keep the padding of its stored values: 0, once air."""
    for slice_ in export.ct:
        slice_.RescaleIntercept, slice_.PixelPaddingValue = 0, 0
        stored = np.full((16, 16), outside, np.int16)
        stored[4:12, 4:12] = 40
        stored[7, 7] = 0
        slice_.PixelData = stored.tobytes()
    hu = load_ct_and_source(export.write())[0].voxels
    assert (hu[:, 0, 0] == -1024).all()
    assert (hu[:, 7, 7] == (0 if outside else -1024)).all()


@pytest.mark.parametrize("value", [-1000, 3071])
def test_a_padding_value_that_no_tissue_has_is_air_wherever_it_stands(export, value: int) -> None:
    for slice_ in export.ct:
        slice_.RescaleIntercept, slice_.PixelPaddingValue = 0, value
        stored = np.full((16, 16), 40, np.int16)
        stored[7, 7] = value
        slice_.PixelData = stored.tobytes()
    hu = load_ct_and_source(export.write())[0].voxels
    assert (hu[:, 7, 7] == -1024).all()
    assert (hu[:, 0, 0] == 40).all()


def test_files_that_cannot_be_read_say_why_there_is_no_ct(export) -> None:
    for slice_ in export.all:
        del slice_.SeriesInstanceUID
    folder = export.write()
    (folder / "notes.txt").write_text("read me")
    with pytest.raises(RefusedError, match="In 24 of 24 files") as error:
        load_ct_and_source(folder)
    assert error.value.refusal.reason is Reason.NO_UID


def test_no_ct_says_why(export, tmp_path: Path) -> None:
    del export.ct[5]
    with pytest.raises(RefusedError, match="GAP"):
        load_ct_and_source(export.write())
    (tmp_path / "empty").mkdir()
    with pytest.raises(RefusedError, match="NO-CT"):
        load_ct_and_source(tmp_path / "empty")
