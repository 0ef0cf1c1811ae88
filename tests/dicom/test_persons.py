"""Whose a number without an issuer is: the one hospital's that named itself, or nobody's."""

from dataclasses import replace

import pytest

from petcast.dicom.encoding import Layout
from petcast.dicom.facts import Shared
from petcast.dicom.persons import several_numbers, several_people, with_issuers
from petcast.dicom.privacy import person_of

HEADER = Shared(
    study_uid="1", series_uid="2", patient_id="4711", issuer="", frame_uid="4", kind="CT",
    modality="CT", role="image", original=True, layout=Layout(4, 4, 1, 1, 16, "MONOCHROME2", True),
    spacing_mm=(2.0, 3.0), orientation=(1, 0, 0, 0, 1, 0), tilt_deg=0.0, kernel="",
    thickness_mm=5.0, padding=None, rescale_type="", lossy=False, syntax="", pet=None,
)  # fmt: skip
MARY, LUKE = (replace(HEADER, issuer=name) for name in ("St Mary", "St Luke"))
ELSEWHERE = replace(LUKE, study_uid="9")


@pytest.mark.parametrize(
    ("others", "issuer"),
    [
        ([], ""),
        ([MARY], "St Mary"),
        ([MARY, ELSEWHERE], "St Mary"),  # that of its own study
        ([ELSEWHERE], "St Luke"),
        ([MARY, LUKE], ""),  # of two hospitals it may be either
        ([ELSEWHERE, replace(MARY, study_uid="8")], ""),
        ([replace(MARY, kind="")], ""),  # a report
        ([replace(MARY, patient_id="4712")], ""),
    ],
)
def test_a_number_is_the_one_hospitals_that_named_itself(others: list, issuer: str) -> None:
    for headers in ([HEADER, *others], [*others, HEADER]):
        filled = with_issuers(headers)
        assert filled[headers.index(HEADER)].issuer == issuer
        assert [one for one in filled if one.issuer != issuer] == [
            one for one in headers if one.issuer not in ("", issuer)
        ]


def test_a_report_takes_the_name_of_the_images_hospital_too() -> None:
    report = replace(HEADER, kind="")
    assert [one.issuer for one in with_issuers([report, MARY])] == ["St Mary", "St Mary"]


def test_without_a_number_nobody_named_it() -> None:
    nameless = replace(HEADER, patient_id="")
    assert with_issuers([nameless, replace(MARY, patient_id="")])[0].issuer == ""


def test_what_tells_people_apart_is_named() -> None:
    [said] = several_people("p", [("a", "b", "M"), ("c", "b", "F"), ("", "", "")])
    assert "patient p differ in name and sex" in said


def test_one_person_under_several_numbers_is_doubted_unless_everybody_is() -> None:
    alike = {number: [("a", "b", "F")] for number in "pqrs"}
    assert several_numbers(alike) == {}
    del alike["s"]
    alike["t"] = [("a", "", "F")]
    said = several_numbers(alike)
    assert sorted(said) == ["p", "q", "r"]
    assert "Patients p, q, r share name and date of birth" in said["q"][0]


@pytest.mark.parametrize("name", ["ANONYMOUS", "Anonymized^Patient", "De-identified", "XXX^X", ""])
def test_a_name_that_an_anonymisation_wrote_is_nobodys(name: str) -> None:
    """Two patients called ANONYMOUS, born on the day that it gave them, were taken for one."""
    same = {number: [person_of(name, "19000101", "F")] for number in "pq"}
    assert several_numbers(same) == {}
    assert several_people("p", [person_of(name, "", ""), person_of("Doe^Jane", "", "")]) == ()


@pytest.mark.parametrize("name", ["Doe^Jane", "Anong^Suda", "ANONYMOUS7", "Patience^Ann"])
def test_a_name_of_somebody_is_told_from_it(name: str) -> None:
    assert several_numbers({number: [person_of(name, "19520304", "")] for number in "pq"})
