"""Anyone's files: which cases a path holds, and which belong together.

A path is a NIfTI file, a folder of them (searched through), PNG or `.npy` alike (see `flat`), or a
folder or zip of DICOM. Files are matched by their case name: the file's name without what tells PET
from CT and the real from the predicted (`x_pet.nii.gz`, `x_pred.nii.gz`, `x_ct.nii.gz` are all case
`x`; `x/SUV.nii.gz` is too, and so are pix2pix's `x_real_B.png` and `x_fake_B.png`). DICOM series
are matched by study, then by frame of reference, by patient, and by the folder below the path,
which may also be a file's case name. A single truth and a single prediction belong together
whatever they are called.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from petcast.disk.durable import is_unfinished
from petcast.errors import DataError, UsageError
from petcast.evaluate.flat import Declared, Stack, read_stack, stacks_of
from petcast.volume import Unit, Volume
from petcast.words import count

if TYPE_CHECKING:
    from petcast.dicom.scan import Scan, Series

Role = Literal["truth", "prediction", "ct", "lesions"]

WORDS: dict[Role, frozenset[str]] = {
    "truth": frozenset({"pet", "suv", "truth", "real", "gt"}),
    "prediction": frozenset(
        {"pred", "prediction", "predicted", "synthetic", "synth", "fake", "spet", "trans"}
    ),
    "ct": frozenset({"ct", "ctres"}),
    "lesions": frozenset({"seg", "mask", "label", "lesion", "lesions"}),
}
"""Endings of names that say what a file holds; `trans` is what MONAI's SaveImage adds."""

FIRST_CHANNEL = "_0000"
"""What nnU-Net adds to the name of a case's first input."""

UNITS: dict[Role, Unit] = {
    "truth": Unit.SUV,
    "prediction": Unit.SUV,
    "ct": Unit.HU,
    "lesions": Unit.LABEL,
}

_PIX2PIX = {"a": "ct", "real_b": "real", "fake_b": "fake", "rec_b": "rec"}
"""Domain A is the CT, real, synthetic or returned; a returned PET (CycleGAN) is neither side."""

_PIX2PIX_NAME = re.compile(
    r"(?:(?P<rest>.*)[-_. ])?(?P<kind>real|fake|rec)[-_](?P<domain>[ab])", re.IGNORECASE
)
_STEM = re.compile(r"(?P<stem>.+?)\.(nii(\.gz)?|png|npy)", re.IGNORECASE)
_FLAT = re.compile(r".+\.(png|npy)", re.IGNORECASE)
_NIFTI = re.compile(r"(?P<stem>.+?)\.nii(\.gz)?", re.IGNORECASE)
_LAST_WORD = re.compile(r"(?:(?P<rest>.*?)[-_. ])?(?P<word>[A-Za-z]+)")


@dataclass(frozen=True)
class Case:
    """A volume that can be loaded, and the names that it is matched by.

    Attributes:
        name: What it is called in results and messages, like no other: a pseudonym, of DICOM the
            patient's, or the study's where a patient has several.
        keys: Names to match by, the strongest first; they may be a patient's and stay here.
        load: Reads it.
        numbers: Of the slices that it was stacked from.
        placed: Whether its file says where it lies; else it takes the truth's place.
        patient: Pseudonym of the patient, where a file says whose it is.
    """

    name: str
    keys: tuple[str, ...]
    load: Callable[[], Volume]
    numbers: tuple[int, ...] = ()
    placed: bool = True
    patient: str = ""

    @property
    def whose(self) -> str:
        """The patient, over whom means and intervals go; the case itself where nobody is named."""
        return self.patient or self.name

    def key(self, level: int) -> str:
        """Give a name to match by.

        Args:
            level: From 0, the strongest.

        Returns:
            The key; the last one where there are no more.
        """
        return self.keys[min(level, len(self.keys) - 1)]


def find_cases(
    path: Path,
    role: Role,
    stack: ExitStack,
    *,
    named: bool = False,
    declared: Declared | None = None,
) -> list[Case]:
    """Find the cases that a path holds.

    Args:
        path: A NIfTI, PNG or `.npy` file, a folder of NIfTI, PNG, `.npy` or DICOM, or a zip of
            DICOM.
        role: What its volumes are meant to be.
        stack: Keeps an unpacked zip until the cases are done with.
        named: Call cases by their files' names, which may name patients.
        declared: What PNG and `.npy` mean.

    Returns:
        At least one case.

    Raises:
        UsageError: There is nothing there.
        DataError: The DICOM holds nothing usable in this role.
    """
    if path.is_file() and _NIFTI.fullmatch(path.name):
        return [_nifti_case(path, role, path, named)]
    if not path.exists():
        raise UsageError(f"{path} is not there")
    if files := _files(path, _NIFTI):
        cases = [_nifti_case(p, role, path, named) for p in _of_role(files, role)]
        return _without_doubles(cases, path)
    if files := _files(path, _FLAT):
        return _flat_cases(_of_role(files, role), role, path, named, declared or Declared())
    return _dicom_cases(path, role, stack)


def match(
    truths: Sequence[Case], others: Sequence[Case], what: str = "predictions"
) -> tuple[list[tuple[Case, Case]], list[str]]:
    """Bring together what belongs together.

    Args:
        truths: One side, the real PET.
        others: The other.
        what: What the other is, in a message.

    Returns:
        Pairs in the order of `truths`, and what on either side found no partner, as "real NAME" or
        "predicted NAME".

    Raises:
        UsageError: Nothing matches, or a case has two partners.
    """
    if len(truths) == len(others) == 1:
        return [(truths[0], others[0])], []
    partners: dict[int, Case] = {}
    for level in range(max(len(case.keys) for case in (*truths, *others))):
        free = [truth for truth in truths if id(truth) not in partners]
        taken = {id(other) for other in partners.values()}
        _pair_up(free, [other for other in others if id(other) not in taken], level, partners, what)
    if not partners:
        raise UsageError(
            f"no names match between the truth ({count(len(truths), 'case')}) and the {what} "
            f"({len(others)}), such as {truths[0].name} and {others[0].name}; give both of a case "
            "the same name before _pet, _pred, _ct …; --names shows the files' own names"
        )
    pairs = [(truth, partners[id(truth)]) for truth in truths if id(truth) in partners]
    met = {id(case) for pair in pairs for case in pair}
    sides = (("real", truths), ("predicted", others))
    return pairs, [f"{side} {c.name}" for side, cases in sides for c in cases if id(c) not in met]


def case_name(path: Path) -> tuple[str, str]:
    """Take the case's name and the word that says what it holds from a file's name.

    Args:
        path: A NIfTI file.

    Returns:
        The case and the word in lower case, "" where there is none. A file that is called by its
        word alone is named after its folder.

    Example:
        >>> case_name(Path("data/p01_CT.nii.gz"))
        ('p01', 'ct')
        >>> case_name(Path("data/p01/SUV.nii.gz"))
        ('p01', 'suv')
    """
    found = _STEM.fullmatch(path.name)
    stem, word = (found["stem"] if found else path.stem), ""
    if pix2pix := _PIX2PIX_NAME.fullmatch(stem):
        kind, domain = pix2pix["kind"].lower(), pix2pix["domain"].lower()
        word = _PIX2PIX["a" if domain == "a" else f"{kind}_b"]
        if pix2pix["rest"] is None:
            return path.parent.name, word
        stem = pix2pix["rest"]
    known = frozenset().union(*WORDS.values())
    while (parts := _LAST_WORD.fullmatch(stem)) and parts["word"].lower() in known:
        word = word or parts["word"].lower()
        if parts["rest"] is None:
            return path.parent.name, word
        stem = parts["rest"]
    return stem, word


def _files(path: Path, kind: re.Pattern[str]) -> list[Path]:
    if path.is_file():
        return [path] if kind.fullmatch(path.name) else []
    found = (p for p in path.rglob("*") if kind.fullmatch(p.name) and p.is_file())
    # Beside images macOS leaves its own, and a killed command what it was writing
    return sorted(p for p in found if not p.name.startswith("._") and not is_unfinished(p.name))


def _flat_cases(
    files: Sequence[Path], role: Role, typed: Path, named: bool, declared: Declared
) -> list[Case]:
    named_files = [(path, case_name(path)[0]) for path in files]
    stacks = stacks_of(named_files, typed if typed.is_dir() else typed.parent)
    return [_flat_case(stack, role, typed, named, declared) for stack in stacks]


def _flat_case(stack: Stack, role: Role, typed: Path, named: bool, declared: Declared) -> Case:
    from petcast.dicom.privacy import pseudonym, user_salt

    key = stack.name or "images"
    name = key if named else pseudonym("case", key, user_salt())
    whose = f"{typed}, case {name}"
    if role == "ct" and stack.files[0].suffix.lower() == ".png":
        raise UsageError(f"{typed}: PNG holds no HU; give the CT as NIfTI, DICOM or .npy in HU")

    def load() -> Volume:
        voxels = read_stack(stack, whose)
        if role in ("truth", "prediction"):
            voxels = declared.suv(voxels, whose)
        affine = declared.affine(whose) if role == "truth" else np.eye(4)
        return Volume(voxels, affine, UNITS[role])

    return Case(name, (key,), load, stack.numbers, placed=role == "truth")


def _nifti_case(path: Path, role: Role, typed: Path, named: bool) -> Case:
    from petcast.dicom.privacy import pseudonym, user_salt

    key, _ = case_name(path)
    name = key if named else pseudonym("case", key, user_salt())

    def load() -> Volume:
        try:
            return Volume.load(path, UNITS[role])
        except DataError as error:  # a name below the folder that was typed may be a patient's
            nameless = f"{typed}, case {name}" if path != typed else str(path)
            said = str(error).replace(str(path), nameless)
            raise type(error)(said if nameless in said else f"{nameless}: {said}") from None

    own = (key.removesuffix(FIRST_CHANNEL),) if role == "ct" else ()
    return Case(name, (key, *own), load)


def _of_role(files: Sequence[Path], role: Role) -> Sequence[Path]:
    """Keep what a mixed folder holds for this role: named so, or at least not named otherwise."""
    words = {path: case_name(path)[1] for path in files}
    own = [path for path in files if words[path] in WORDS[role]]
    if own:
        return own
    foreign = {"rec", *WORDS["ct"], *WORDS["lesions"]} if role in ("truth", "prediction") else set()
    kept = [path for path in files if words[path] not in foreign]
    if not kept:
        raise UsageError(f"{files[0].parent} holds no PET: its files are named CT or masks")
    return kept


def _without_doubles(cases: list[Case], folder: Path) -> list[Case]:
    """One case a name: where several files claim it, one that says so when it is read."""
    return [
        same[0] if len(same) == 1 else _ambiguous(same[0], len(same), folder)
        for same in _by_key(cases, 0).values()
    ]


def _ambiguous(case: Case, files: int, folder: Path) -> Case:
    def load() -> Volume:
        raise DataError(
            f"{folder}, case {case.name} has {files} files, such as PET and SUV; leave one of each"
        )

    return replace(case, load=load)


def _dicom_cases(path: Path, role: Role, stack: ExitStack) -> list[Case]:
    from petcast.dicom.scan import scan
    from petcast.dicom.unpack import open_folder

    if role == "lesions":
        raise UsageError(f"{path}: lesions are read from NIfTI masks; none was found")
    folder = stack.enter_context(open_folder(path)).absolute()  # as the scan has it
    found = scan([folder])
    stack.callback(_let_go, found)  # with it go the files of zips in the folder
    wanted = _of_studies(found, role) or _of_scan(found, role)
    if not wanted:
        raise DataError(_why_nothing(path, "CT" if role == "ct" else "PT", found.series))
    studies: dict[str, set[str]] = {}
    for series in wanted:
        studies.setdefault(series.patient_id, set()).add(series.study_id)
    return [
        _dicom_case(series, role, folder, several=len(studies[series.patient_id]) > 1)
        for series in wanted
    ]


def _let_go(found: "Scan") -> None:
    """Be the last to hold a scan: cases are read long after it was made."""


def _of_studies(found: "Scan", role: Role) -> "list[Series]":
    """The CT or PET that `prepare` would choose, where the studies have both."""
    if role == "prediction":
        return []
    chosen = [study.ct if role == "ct" else study.pet for study in found.studies]
    return [series for series in chosen if series is not None]


def _of_scan(found: "Scan", role: Role) -> "list[Series]":
    """Every usable series; synthetic PET is never the truth, and the prediction where there is.

    Half-widths of intervals are no PET.
    """
    modality = "CT" if role == "ct" else "PT"
    usable = [s for s in found.series if s.modality == modality and s.refusal is None]
    usable = [series for series in usable if not series.half_width]
    synthetic = [series for series in usable if series.synthetic]
    if role == "prediction" and synthetic:
        return synthetic
    return [series for series in usable if not series.synthetic or role == "prediction"]


def _dicom_case(series: "Series", role: Role, folder: Path, *, several: bool) -> Case:
    from petcast.dicom.read import read_ct, read_pet

    def load() -> Volume:
        return read_ct(series) if role == "ct" else read_pet(series).suv

    below = _folder_below(series.files[0], folder)
    keys = (series.study_id, series.frame_id, series.patient_id, below)
    name = series.study_id if several else series.patient_id
    return Case(name, keys, load, patient=series.patient_id)


def _folder_below(file: Path, folder: Path) -> str:
    """The first folder below the path, which people name after the case; "" without any."""
    if not file.is_relative_to(folder):
        return ""
    parts = file.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else ""


def _why_nothing(path: Path, modality: str, series: "Sequence[Series]") -> str:
    refused = [s.refusal.detail for s in series if s.modality == modality and s.refusal]
    if refused:
        return f"{path}: every {modality} series was refused: {refused[0]}"
    if any(one.half_width for one in series):
        return f"{path} holds half-widths of intervals alone; give the folder of the PET itself"
    return f"{path} holds neither NIfTI files nor DICOM {modality} series"


def _pair_up(
    truths: Sequence[Case],
    others: Sequence[Case],
    level: int,
    partners: dict[int, Case],
    what: str,
) -> None:
    """Pair what shares its key of one level and is the only one on its side to have it."""
    here, there = _by_key(truths, level), _by_key(others, level)
    for key in here.keys() & there.keys():
        mine, theirs = here[key], there[key]
        if len(mine) == len(theirs) == 1:
            partners[id(mine[0])] = theirs[0]
        elif level == 0:
            raise UsageError(
                f"case {mine[0].name} has {count(len(mine), 'volume')} in the truth and "
                f"{len(theirs)} in the {what}; leave one of each"
            )


def _by_key(cases: Sequence[Case], level: int) -> dict[str, list[Case]]:
    groups: dict[str, list[Case]] = {}
    for case in cases:
        if key := case.key(level):
            groups.setdefault(key, []).append(case)
    return groups
