"""Which tracer a PET shows, from codes and words; nothing of the text itself is passed on."""

import re
from typing import Literal

from pydicom.dataset import Dataset

from petcast.dicom import tags

FDG = "FDG"
UNNAMED = ""
"""The header names no tracer."""
UNKNOWN = "another tracer"
"""The header names one that we do not know; its words are not repeated."""

FDG_CODES = frozenset({"C-B1031", "Y-X1743", "35321007"})
"""Fluorodeoxyglucose F-18 in SNOMED RT, in GE's scheme and in SNOMED CT (PS3.16 CID 4021)."""
F18_CODES = frozenset({"C-111A1", "77004003"})
"""Fluorine-18 in SNOMED RT and in SNOMED CT (PS3.16 CID 4020)."""

FDG_WORDS = re.compile(
    r"FDG(?!AL)|GLU[CK]OS|GLUSCAN|GLUCOTRACE|GLUDEF|EFDEGE|FLUCIS|STERIPET", re.IGNORECASE
)
"""FDG, (fluoro)deoxyglucose in several languages, and brands of it; FDGal is galactose."""
OTHER_WORDS = re.compile(
    r"(PSMA|DOTA(?:TATE|TOC|NOC)|DCFPYL|PIFLUFOLASTAT|FLOTUFOLASTAT|PYLARIFY|POSLUMA|ILLUCCIX|"
    r"LOCAMETZ|GOZELLIX|NETSPOT|DETECTNET|AXUMIN|CERIANNA|VIZAMYL|NEURACEQ|TAUVID|FACBC|"
    r"(?:(?<![A-Z])|(?<=18F))"
    r"(?:FLT|DOTA|FMISO|FAZA|NAF|FET|F?DOPA|FES|FAPI|FLUCICLOVINE|"
    r"CHOLINE|FCH|METHIONINE|ACETATE|AMYVID|FLORBETA\w*|FLUTEMETAMOL|FLORTAUCIPIR|RUBIDIUM|"
    r"AMMONIA|FLURPIRIDAZ|EXENDIN|PENTIXAFOR|THYMIDINE|TYROSINE|MISONIDAZOLE|FLUORIDE|"
    r"FLUORO(?:CHOLINE|THYMIDINE|MISONIDAZOLE|ESTRADIOL|DOPA|ETHYL\w*))(?![A-Z]))",
    re.IGNORECASE,
)
"""Tracers that are not FDG, and brands of them; only such a word is ever quoted in a message. Those
that no other word holds are found inside one, too: 18FPSMA1007, rhPSMA."""

NEUTRAL_WORDS = frozenset(
    ("F", "FLUOR", "FLUORINE", "FLUORIN", "FLUORO", "SOLUTION", "INJECTION", "LIQUID", "TRACER",
     "PET", "RADIOPHARMACEUTICAL", "PHARMACEUTICAL", "ISOTOPE", "UNKNOWN", "UNSPECIFIED",
     "UNDEFINED", "NOT", "SPECIFIED", "DEFINED", "GIVEN", "APPLICABLE", "KNOWN", "OTHER", "NONE",
     "NULL", "NIL", "EMPTY", "N", "A", "NA", "DEFAULT", "STANDARD", "ANONYMIZED", "ANONYMISED",
     "ANONYMOUS", "DEIDENTIFIED", "REMOVED")
)  # fmt: skip
"""What stands for a tracer's name where none was given; numbers say as little."""

FREE_TEXTS = (
    "SeriesDescription",
    "StudyDescription",
    "ProtocolName",
    "AttenuationCorrectionMethod",
)
TRIAL_PROJECT = 0x00131010
"""Where TCIA's de-identification keeps the collection's name (creator CTP)."""

FDG_NUCLIDE = "fluorine-18"
F18_HALF_LIFE_S = 6586.2
HALF_LIFE_TOLERANCE_S = 30.0
HALF_LIFE_SHARE = 0.05
"""How far a half-life may be from its nuclide's; headers round it to minutes, or to hours."""
HALF_LIVES_S = {
    "carbon-11": 1221.8,
    "nitrogen-13": 597.9,
    "oxygen-15": 122.2,
    "fluorine-18": F18_HALF_LIFE_S,
    "copper-64": 45_721.0,
    "gallium-68": 4062.6,
    "rubidium-82": 76.4,
    "zirconium-89": 282_280.0,
    "iodine-124": 360_800.0,
}
"""The nuclides of PET (DDEP); DICOM's RadionuclideHalfLife (0018,1075) is in seconds."""
NUCLIDE_CODES = {
    "C-105A1": "carbon-11", "40565003": "carbon-11",
    "C-107A1": "nitrogen-13", "21576001": "nitrogen-13",
    "C-B1038": "oxygen-15", "129504001": "oxygen-15",
    "C-111A1": "fluorine-18", "77004003": "fluorine-18",
    "C-127A2": "copper-64", "3932008": "copper-64",
    "C-131A3": "gallium-68", "35337001": "gallium-68",
    "C-159A2": "rubidium-82", "79197006": "rubidium-82",
    "C-168A4": "zirconium-89", "63360001": "zirconium-89",
    "C-114A5": "iodine-124", "40937006": "iodine-124",
}  # fmt: skip
"""The same in SNOMED RT and in SNOMED CT (PS3.16 CID 4020)."""
OTHER_UNITS_S = {"minutes": 60.0, "hours": 3600.0}
SHORTEST_S = 60.0
LONGEST_S = 1e6
"""No PET of a body is made with a nuclide that lives shorter, or longer (12 days)."""


def tracer_of(header: tags.Elements | Dataset, injection: Dataset | None) -> str:
    """Name the tracer.

    The radiopharmaceutical's own code and name decide; a name that is not FDG's is another
    tracer's, known or not: there are more of them, with fluorine-18 too, than any list holds.
    Where code and name are silent, descriptions are searched for the word of another tracer: a
    header that says nothing formal but calls itself an FLT study is one.

    Args:
        header: Of a PET slice.
        injection: The item of its RadiopharmaceuticalInformationSequence.

    Returns:
        "FDG", another tracer's word in capitals, `UNKNOWN` for one that is not among these, or ""
        where nothing is said.
    """
    formal = _formal_words(injection) if injection is not None else ""
    if _codes(injection, "RadiopharmaceuticalCodeSequence") & FDG_CODES:
        return FDG
    named = _named(formal)
    if named == UNNAMED and not _neutral(formal):
        return UNKNOWN
    return named or _named(_free_words(header))


def _named(words: str) -> str:
    if FDG_WORDS.search(words):
        return FDG
    other = OTHER_WORDS.search(words)
    return other[1].upper() if other else UNNAMED


def _neutral(words: str) -> bool:
    """Whether a formal name says no more than that there was one, or its nuclide's."""
    parts = re.findall(r"[^\W\d_]+", words.upper())
    return NEUTRAL_WORDS.issuperset(parts)


def nuclide_of(injection: Dataset | None, half_life_s: float | None) -> Literal["F18", "other", ""]:
    """Name the radionuclide as far as it matters.

    Args:
        injection: The item of the RadiopharmaceuticalInformationSequence.
        half_life_s: As the header states it, in seconds.

    Returns:
        "F18", "other", or "" where nothing is said.
    """
    codes = _codes(injection, "RadionuclideCodeSequence")
    if codes & F18_CODES:
        return "F18"
    if half_life_s is None:
        return ""
    return "F18" if abs(half_life_s - F18_HALF_LIFE_S) <= HALF_LIFE_TOLERANCE_S else "other"


def coded_nuclide(injection: Dataset | None) -> str:
    """Name the radionuclide by its code.

    Args:
        injection: The item of the RadiopharmaceuticalInformationSequence.

    Returns:
        As in `HALF_LIVES_S`; empty where no code or another one is given.
    """
    codes = _codes(injection, "RadionuclideCodeSequence")
    return next((NUCLIDE_CODES[code] for code in sorted(codes) if code in NUCLIDE_CODES), "")


def doubt_half_life(half_life_s: float, nuclide: str = "") -> str:
    """Say what is wrong with a half-life.

    Args:
        half_life_s: As the header states it, meant in seconds.
        nuclide: As in `HALF_LIVES_S`; any of them where empty.

    Returns:
        A sentence; empty where it can be right.

    Example:
        >>> doubt_half_life(6586.2, "fluorine-18")
        ''
        >>> doubt_half_life(109.8)
        'RadionuclideHalfLife is 109.8 s; these are the minutes of fluorine-18, which has 6586.2 s.'
    """
    known = {nuclide: HALF_LIVES_S[nuclide]} if nuclide else HALF_LIVES_S
    if any(_alike(half_life_s, expected_s) for expected_s in known.values()):
        return ""
    for name, expected_s in known.items():
        for unit, seconds in OTHER_UNITS_S.items():
            if _alike(half_life_s * seconds, expected_s):
                return (
                    f"RadionuclideHalfLife is {half_life_s:g} s; these are the {unit} of {name}, "
                    f"which has {expected_s:g} s."
                )
    if nuclide:
        return f"RadionuclideHalfLife is {half_life_s:g} s; {nuclide} has {known[nuclide]:g} s."
    if SHORTEST_S <= half_life_s <= LONGEST_S:
        return ""
    return f"RadionuclideHalfLife is {half_life_s:g} s; expected {SHORTEST_S:g} to {LONGEST_S:g} s."


def _alike(half_life_s: float, expected_s: float) -> bool:
    return abs(half_life_s / expected_s - 1) <= HALF_LIFE_SHARE


def _formal_words(injection: Dataset) -> str:
    words = [tags.text(injection, "Radiopharmaceutical")]
    codes = tags.items(injection, "RadiopharmaceuticalCodeSequence")
    words += [tags.text(code, "CodeMeaning") for code in codes]
    return " ".join(words)


def _free_words(header: tags.Elements | Dataset) -> str:
    words = [tags.text(header, keyword) for keyword in FREE_TEXTS]
    return " ".join([*words, tags.text_at(header, TRIAL_PROJECT)])


def _codes(injection: Dataset | None, keyword: str) -> set[str]:
    if injection is None:
        return set()
    return {tags.text(code, "CodeValue") for code in tags.items(injection, keyword)}
