"""`petcast scan`: what some folders hold, DICOM and NIfTI alike, usable or refused.

The document carries pseudonyms alone. Where they are on the user's own disk is added only on
request: a path may name a patient (docs/decisions/0007-whose-path-it-is.md).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from petcast.dicom.privacy import user_salt
from petcast.dicom.scan import Scan, scan
from petcast.dicom.series import status_of
from petcast.dicom.unpack import origin_of
from petcast.nifti.case import require_case
from petcast.nifti.layout import STRAY, Cohort, find_cases
from petcast.progress import track
from petcast.refusal import Refusal, RefusedError

UNREAD = "Whether the voxels are HU and SUV and show lungs is judged by prepare."


def survey(
    folders: Sequence[Path], *, where: bool = False, salt: str | None = None
) -> dict[str, Any]:
    """Find every series and study of DICOM and every case of NIfTI, and judge each.

    Args:
        folders: Folders, zips or single files.
        where: Say which folder or file each row stands for.
        salt: The key for pseudonyms; the user's own where None.

    Returns:
        `studies`, `series` and `files`: refused files without a series or a case, counted by
        reason, or with `where` one by one.
    """
    salt = user_salt() if salt is None else salt
    folders = [folder.absolute() for folder in folders]  # both must call a file alike
    scanned, cohort = scan(folders, salt=salt), find_cases(folders, salt)
    others = tuple(file for file in scanned.files if file.path not in cohort.files)
    document = replace(scanned, files=others).to_json()
    document["studies"] += _nifti_rows(cohort)
    if cohort.strays:
        document["files"].append({"files": len(cohort.strays), **status_of(STRAY)})
    if where:
        _say_where(document, replace(scanned, files=others), cohort)
    return document


def _nifti_rows(cohort: Cohort) -> list[dict[str, Any]]:
    verdicts: list[tuple[str, str, Refusal | None]] = list(cohort.refused)
    for case in track(cohort.cases, "Reading NIfTI"):
        refusal = None
        try:
            require_case(case)
        except RefusedError as error:
            refusal = error.refusal
        verdicts.append((case.id, case.patient, refusal))
    return [_nifti_row(*verdict) for verdict in sorted(verdicts, key=lambda row: row[0])]


def _nifti_row(study: str, patient: str, refusal: Refusal | None) -> dict[str, Any]:
    notes = [] if refusal else [UNREAD]
    row = {"id": study, "patient": patient, "ct": None, "pet": None}
    return {**row, **status_of(refusal), "notes": notes}


# Where


def _say_where(document: dict[str, Any], scanned: Scan, cohort: Cohort) -> None:
    def words(paths: Iterable[Path]) -> str:
        return ", ".join(sorted({_printable(origin_of(path, scanned.unpacked)) for path in paths}))

    studies: dict[str, set[Path]] = defaultdict(set)
    series: dict[str, set[Path]] = {}
    for one in scanned.series:
        series[one.id] = {path.parent for path in one.files}
        studies[one.study_id] |= series[one.id]
    studies |= {study: set(paths) for study, paths in cohort.places.items()}
    for row in document["studies"]:
        row["where"] = words(studies[row["id"]])
    for row in document["series"]:
        row["where"] = words(series[row["id"]])
    alone = [(file.path, file.refusal) for file in scanned.files]
    alone += [(path, STRAY) for path in cohort.strays]
    document["files"] = [
        {"files": 1, **status_of(refusal), "where": words([path])} for path, refusal in alone
    ]


def _printable(path: Path) -> str:
    """A path as any terminal can show it: its bytes need not be text."""
    return str(path).encode(errors="replace").decode()
