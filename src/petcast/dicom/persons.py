"""Who is one person: equal numbers, whose issuer some files name and others leave out.

Anonymised exports may give one number to everybody; then names, dates of birth or sex differ.
Merged ones may hold one person under several numbers; then name and date of birth are the same.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from petcast.dicom.facts import Shared
from petcast.dicom.privacy import Person

MARKS = ("name", "date of birth", "sex")
"""What a `Person` is made of."""

MOST_NUMBERS = 3
"""Where more share name and date of birth, an anonymisation gave them to everybody."""

ONE_NUMBER = (
    "If they are one, give all images one PatientID and prepare again, or the same person may "
    "train and test."
)

Issuers = Mapping[object, set[str]]


def with_issuers(found: Iterable[Shared]) -> list[Shared]:
    """Fill in the issuer of a patient's number where a header leaves it out.

    A number without an issuer belongs to the one issuer that CT and PET of its study name for it,
    else to the one that all CT and PET of the scan do. Where several hospitals gave the number, it
    stays alone. Reports and captures, which other systems write, name nobody for the images.

    Args:
        found: What the headers of one scan have in common.

    Returns:
        The same, in the same order.
    """
    headers = list(found)
    by_study: dict[object, set[str]] = defaultdict(set)
    by_number: dict[object, set[str]] = defaultdict(set)
    for one in headers:
        if one.kind and one.issuer:
            by_study[one.study_uid, one.patient_id].add(one.issuer)
            by_number[one.patient_id].add(one.issuer)
    return [_filled(one, by_study, by_number) for one in headers]


def _filled(one: Shared, by_study: Issuers, by_number: Issuers) -> Shared:
    if one.issuer or not one.patient_id:
        return one
    for known in (
        by_study.get((one.study_uid, one.patient_id), set()),
        by_number.get(one.patient_id, set()),
    ):
        if len(known) == 1:
            return replace(one, issuer=next(iter(known)))
    return one


def several_people(patient_id: str, persons: Iterable[Person]) -> tuple[str, ...]:
    """Say it where one number seems to stand for several people.

    Args:
        patient_id: The patient's pseudonym.
        persons: What their images say; what one of them leaves out contradicts nothing.

    Returns:
        A sentence, or nothing.

    Example:
        >>> several_people("p", [("a", "", "M"), ("a", "b", "")])
        ()
    """
    said = zip(*persons, strict=True)
    marks = [mark for mark, told in zip(MARKS, said, strict=False) if len(set(told) - {""}) > 1]
    if not marks:
        return ()
    return (
        f"The images under the PatientID of patient {patient_id} differ in {' and '.join(marks)}: "
        "they may be of several people, and count as one. If they are, give each a PatientID of "
        "their own and prepare again; the split then has more patients to divide.",
    )


def several_numbers(persons: Mapping[str, Iterable[Person]]) -> dict[str, tuple[str, ...]]:
    """Say it where several numbers seem to stand for one person, who could train and test.

    Args:
        persons: What the images of each patient's pseudonym say.

    Returns:
        A sentence for each such patient.

    Example:
        >>> several_numbers({"p": [("a", "b", "M")], "q": [("a", "", "")]})
        {}
    """
    patients: dict[object, set[str]] = defaultdict(set)
    for patient, own in persons.items():
        for name, born, _ in own:
            if name and born:
                patients[name, born].add(patient)
    found: dict[str, tuple[str, ...]] = {}
    for alike in patients.values():
        if 1 < len(alike) <= MOST_NUMBERS:
            remark = (
                f"Patients {', '.join(sorted(alike))} share name and date of birth: they may be "
                f"one person, and count as {len(alike)}. {ONE_NUMBER}"
            )
            found |= dict.fromkeys(alike, (remark,))
    return found


def several_spellings(patients: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Say it where several numbers may be one that two systems write differently.

    Args:
        patients: The patients' pseudonyms by that of the number without case, blanks and leading
            zeros.

    Returns:
        A sentence for each such patient.

    Example:
        >>> several_spellings({"p": ["p"], "q": ["q"]})
        {}
    """
    found: dict[str, tuple[str, ...]] = {}
    for alike in map(sorted, patients.values()):
        if len(alike) > 1:
            remark = (
                f"The PatientIDs of patients {', '.join(alike)} differ in case, blanks or leading "
                f"zeros alone: they may be one person, and count as {len(alike)}. {ONE_NUMBER}"
            )
            found |= dict.fromkeys(alike, (remark,))
    return found
