"""Values that nobody has checked: read where they can be, absent where not."""

import struct
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from petcast.dicom import facts, moments, tags
from petcast.dicom.header import read_header


def raw(keyword: str, value: bytes | None, vr: str | None = "DS") -> tags.Elements:
    tag = tags.tag_of(keyword)
    return {tag: RawDataElement(tag, vr, 0, value, 0, vr is None, True)}


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=40), st.sampled_from(["DS", "IS", "US", "FD", "UN", None, "LO"]))
def test_no_bytes_make_a_reader_fail_or_warn(value: bytes, vr) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        header = raw("PatientWeight", value, vr)
        tags.number(header, "PatientWeight")
        tags.whole(header, "PatientWeight")
        tags.texts(header, "PatientWeight")
        tags.items(header, "PatientWeight")
        moments.parse_datetime(tags.text(header, "PatientWeight"))
        moments.parse_moment(tags.text(header, "PatientWeight"), "1200")


@pytest.mark.parametrize("value", [b"NaN", b"inf", b"seventy", b"", b"70\\71", None])
def test_what_is_no_number_is_absent(value: bytes | None) -> None:
    assert tags.number(raw("PatientWeight", value), "PatientWeight") is None


def test_numbers_are_read_as_written() -> None:
    assert tags.number(raw("PatientWeight", b" 70.5 "), "PatientWeight") == 70.5
    assert tags.whole(raw("Rows", b"\x00\x02", "US"), "Rows") == 512
    assert tags.whole(raw("NumberOfFrames", b"12", "IS"), "NumberOfFrames") == 12
    assert tags.numbers(raw("PixelSpacing", b"1.5\\2"), "PixelSpacing") == (1.5, 2.0)


@pytest.mark.parametrize("vr", [None, "UN"])
def test_numbers_of_files_that_do_not_say_how_they_are_written(vr: str | None) -> None:
    assert tags.whole(raw("NumberOfFrames", b"1 ", vr), "NumberOfFrames") == 1
    assert tags.whole(raw("NumberOfFrames", b"1024", vr), "NumberOfFrames") == 1024
    assert tags.whole(raw("Rows", b"\x00\x02", vr), "Rows") == 512
    assert tags.numbers(raw("PixelSpacing", b"1.5\\2", vr), "PixelSpacing") == (1.5, 2.0)
    slope = raw("RealWorldValueSlope", struct.pack("<d", 2.5), vr)
    assert tags.number(slope, "RealWorldValueSlope") == 2.5


def test_a_private_block_is_found_wherever_it_was_reserved() -> None:
    header = Dataset()
    for creator, value in (("SOMEBODY", "wrong"), ("GEMS_PETD_01", "right")):
        header.private_block(0x0009, creator, create=True).add_new(0x0D, "LO", value)
    assert tags.private_text(header, 0x0009, "GEMS_PETD_01", 0x0D) == "right"
    assert tags.private_text(header, 0x0009, "NOBODY", 0x0D) == ""


def test_the_cache_of_shared_facts_knows_every_element_that_they_rest_on(export) -> None:
    """Two files that differ in an element which the key leaves out would be taken for one."""

    class Watched(dict):
        seen: set[int]

        def get(self, tag, default=None):
            self.seen.add(tag)
            return super().get(tag, default)

    for kind, wanted in (("CT", facts.CT_TAGS), ("PT", facts.PET_TAGS)):
        slice_ = (export.ct if kind == "CT" else export.pet)[0]
        header = Watched({int(tag): slice_[tag] for tag in slice_.keys()})  # noqa: SIM118
        header.seen = set()
        private = facts.read_private({}) if kind == "PT" else None
        facts.read_shared(header, slice_.SOPClassUID, "", private)
        assert header.seen <= set(wanted)


def test_one_changed_value_is_never_taken_from_the_cache(export) -> None:
    export.pet[1].PatientWeight = 71
    export.write()
    first, second = (read_header(export.path(12 + n)).shared for n in (0, 1))
    assert first is not None
    assert second is not None
    assert first.pet is not None
    assert second.pet is not None
    assert (first.pet.weight, second.pet.weight) == (70, 71)


def test_pydicoms_words_reach_neither_warnings_nor_logs(caplog: pytest.LogCaptureFixture) -> None:
    from pydicom import config
    from pydicom.misc import warn_and_log

    with tags.silence():
        warn_and_log("Invalid value for VR PN: 'Doe^Jane'")
    assert caplog.text == ""
    assert not config.logger.disabled
