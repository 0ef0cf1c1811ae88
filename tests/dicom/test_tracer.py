"""FDG, or the word of another tracer; never the text itself."""

import pytest
from pydicom.dataset import Dataset

from petcast.dicom.tracer import nuclide_of, tracer_of


def injection(name: str = "", code: str = "", meaning: str = "") -> Dataset:
    item = Dataset()
    item.Radiopharmaceutical = name
    if code or meaning:
        coded = Dataset()
        coded.CodeValue, coded.CodeMeaning = code, meaning
        item.RadiopharmaceuticalCodeSequence = [coded]
    return item


@pytest.mark.parametrize(
    "name",
    ["FDG", "18F-FDG", "F-18 FDG", "FDG -- fluorodeoxyglucose", "Fluorodeoxyglucose F^18^",
     "fludeoxyglucose", "[18F]FDG", "FDG-F18", "F18-FDG", "18FDG", "F-18 Fluordesoxyglukose",
     "2-[18F]fluoro-2-deoxy-D-glucose", "fludésoxyglucose (18F)", "EFDEGE", "FDG solution"],
)  # fmt: skip
def test_fdg_by_all_its_names(name: str) -> None:
    assert tracer_of(Dataset(), injection(name)) == "FDG"


@pytest.mark.parametrize("code", ["C-B1031", "Y-X1743", "35321007"])
def test_fdg_by_its_codes(code: str) -> None:
    assert tracer_of(Dataset(), injection("Solution", code)) == "FDG"


@pytest.mark.parametrize(
    ("name", "word"),
    [("FLT", "FLT"), ("Ga68-PSMA", "PSMA"), ("68Ga-DOTATATE", "DOTATATE"), ("[18F]NaF", "NAF"),
     ("F18-FMISO", "FMISO"), ("18F-Fluorocholine", "FLUOROCHOLINE"), ("FDOPA", "FDOPA")],
)  # fmt: skip
def test_other_tracers(name: str, word: str) -> None:
    assert tracer_of(Dataset(), injection(name)) == word


@pytest.mark.parametrize(
    "name",
    ["Piflufolastat F18", "18F-DCFPyL", "Pylarify", "18F-rhPSMA-7.3", "Flotufolastat F-18", "FAMT",
     "Posluma", "Axumin", "[18F]FDGal", "SKI-249380", "Cerianna", "Ga68"],
)  # fmt: skip
def test_a_name_that_nobody_lists_is_another_tracer(name: str) -> None:
    assert tracer_of(Dataset(), injection(name)) not in ("FDG", "")
    assert tracer_of(Dataset(), injection("Solution", "X", name)) not in ("FDG", "")
    assert name not in tracer_of(Dataset(), injection(name))


@pytest.mark.parametrize(
    "name",
    ["", "F18", "F-18", "18F", "^18^Fluorine", "F^18^[^18^Fluorine]", "Fluorine", "Solution",
     "Unknown", "Other", "N/A", "F-18 solution", "not specified", "18", "Radiopharmaceutical"],
)  # fmt: skip
def test_names_that_say_nothing(name: str) -> None:
    assert tracer_of(Dataset(), injection(name)) == ""
    header = Dataset()
    header.SeriesDescription = "WB FLT"
    assert tracer_of(header, injection(name)) == "FLT"


def test_a_silent_header_is_searched_for_the_word_of_another_tracer() -> None:
    header = Dataset()
    header.AttenuationCorrectionMethod = "measured,AC_CT FLT"
    assert tracer_of(header, injection()) == "FLT"
    header.AttenuationCorrectionMethod = "measured"
    assert tracer_of(header, injection()) == ""


@pytest.mark.parametrize(
    ("description", "word"),
    [("WB 18FPSMA1007 AC", "PSMA"), ("PET rhPSMA-7.3", "PSMA"), ("68GaDOTATOC", "DOTATOC"),
     ("F18 DCFPyL", "DCFPYL"), ("PET/CT PYLARIFY", "PYLARIFY"), ("PET Axumin", "AXUMIN"),
     ("18FFET brain", "FET"), ("WB_18FNaF", "NAF"), ("Brain Vizamyl", "VIZAMYL")],
)  # fmt: skip
def test_descriptions_name_tracers_glued_to_their_nuclide_and_by_their_brands(
    description: str, word: str
) -> None:
    header = Dataset()
    header.SeriesDescription = description
    assert tracer_of(header, injection("Solution")) == word


def test_the_formal_name_outweighs_descriptions() -> None:
    header = Dataset()
    header.StudyDescription = "PSMA follow-up"
    assert tracer_of(header, injection("FDG")) == "FDG"


def test_names_of_people_are_no_tracers() -> None:
    header = Dataset()
    header.StudyDescription = "FETZER^FLTON"
    assert tracer_of(header, None) == ""


def test_the_half_life_tells_the_nuclide_where_no_code_does() -> None:
    assert nuclide_of(None, 6586.2) == "F18"
    assert nuclide_of(None, 6588.0) == "F18"
    assert nuclide_of(None, 4057.7) == "other"
    assert nuclide_of(None, None) == ""
