"""What happens to foreign cases on the way to their numbers, and how it is said."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from petcast.errors import GeometryError
from petcast.evaluate.findings import Flaw, Mistake, some
from petcast.evaluate.mistakes import Facts, rescaled_volumes
from petcast.evaluate.result import Finding
from petcast.metrics.image import MS_SSIM_SIDE
from petcast.words import count

UNUSABLE = "UNUSABLE"


@dataclass
class Notes:
    """What happened to the cases on the way, by case name.

    Attributes:
        resampled: Brought to the truth's grid.
        uncovered: With slices or voxels that the prediction does not cover.
        ct_in_part: Whose CT does not reach all slices.
        lost_lesions: Whose mask has lesions without a voxel on the truth's grid.
        body_from_truth: Without a CT.
        small: With slices too small for MS-SSIM.
        not_suv: Far from SUV, with a figure.
        equal: Whose prediction is the real PET itself.
        strangers: Whose files are of several patients.
        stacked: Made of single slices.
        gaps: Of those, the ones with slices missing between.
        flaws: Each case's flaw, or None.
        mistakes: Those found in each case that has any, with a figure.
        facts: What the detectors found out about the others.
        unusable: Why cases could not be measured at all.
    """

    resampled: list[str] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)
    ct_in_part: list[str] = field(default_factory=list)
    lost_lesions: list[str] = field(default_factory=list)
    body_from_truth: list[str] = field(default_factory=list)
    small: list[str] = field(default_factory=list)
    not_suv: list[str] = field(default_factory=list)
    equal: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    stacked: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    flaws: list[tuple[str, Flaw | None]] = field(default_factory=list)
    mistakes: dict[str, dict[Mistake, str]] = field(default_factory=dict)
    facts: dict[str, Facts] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)

    def take(self, other: "Notes") -> None:
        """Take in the notes of a case.

        Args:
            other: Its own.
        """
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            if isinstance(mine, dict):
                mine.update(theirs)
            else:
                mine.extend(theirs)

    def note_slices(self, name: str, real: Sequence[int], predicted: Sequence[int]) -> None:
        """Note how a case was stacked.

        Args:
            name: The case.
            real: The numbers of its slices; none where it came as a volume.
            predicted: The prediction's.

        Raises:
            GeometryError: They are not the same.
        """
        if real and predicted and tuple(real) != tuple(predicted):
            raise GeometryError(
                f"case {name}: {len(real)} real and {len(predicted)} predicted slices, "
                f"{len(set(real) & set(predicted))} of the same number; give the same of both"
            )
        numbers = real or predicted
        if len(numbers) > 1:
            self.stacked.append(f"{name} ({count(len(numbers), 'slice')})")
            if numbers[-1] - numbers[0] >= len(numbers):
                self.gaps.append(name)

    def name_no_path(self, paths: Mapping[str, Path | None]) -> None:
        """Say what cannot be measured without paths: they name people, and no report holds any.

        Args:
            paths: What was given, by what it holds.
        """
        kinds: dict[str, list[str]] = {}
        for what, path in paths.items():
            kinds.setdefault(str(path), []).append(what)
        self.unusable = {name: _pathless(said, name, kinds) for name, said in self.unusable.items()}

    def leave_out_rescaled(self) -> bool:
        """Find out whether all volumes were divided by their own maximum.

        Returns:
            True where they were; all cases are then left out.
        """
        found = rescaled_volumes(list(self.facts.values()))
        if found:
            for name, facts in self.facts.items():
                scale = math.exp(facts.log_scale)
                self.mistakes[name] = {Mistake.RESCALED_VOLUMES: f"{scale:.3f} times the real PET"}
        return found

    def left_out(self) -> list[dict[str, Any]]:
        """List the cases that are in no mean.

        Returns:
            `case` and the codes of its `mistakes`, for evaluation.json; of those that cannot be
            measured the `reason`, too: the warning names only some.
        """
        return [
            *(
                {"case": name, "mistakes": [one.value for one in found]}
                for name, found in self.mistakes.items()
            ),
            *(
                {"case": name, "mistakes": [UNUSABLE], "reason": why}
                for name, why in self.unusable.items()
            ),
        ]


def _pathless(said: str, name: str, kinds: Mapping[str, Sequence[str]]) -> str:
    """Call a path, or the case below it, by what it holds; beside its name, name no case again."""
    for path, whats in kinds.items():
        for start, of in ((f"{path}, case ", " of "), (f"{path} ", " "), (f"{path}: ", ": ")):
            if said.startswith(start):
                return f"{' or '.join(whats)}{of}{said.removeprefix(start)}"
    return said.removeprefix(f"case {name}: ")


def describe(notes: Notes, alone: Sequence[str]) -> list[Finding]:
    """Put into words what happened to the cases.

    Args:
        notes: What happened.
        alone: Cases without partner.

    Returns:
        A warning for each kind of thing.
    """
    said = {
        UNUSABLE: (
            [f"{name} ({why})" for name, why in notes.unusable.items()],
            "Not to be measured, and left out of the means: {}.",
        ),
        "NOT-SUV": (
            notes.not_suv,
            "Values are far from SUV, whose mean in a body is near 1; convert them (from Bq/mL, "
            "grey levels, 0…1?) first: {}.",
        ),
        "EQUALS-TRUTH": (
            notes.equal,
            "The prediction is the real PET itself, voxel by voxel: {}. Was the truth given twice, "
            "or copied to the predictions?",
        ),
        "OTHER-PATIENT": (
            notes.strangers,
            "By their headers, what was compared is not of one patient: {}. Give files of "
            "one patient; where one person has two numbers, the values hold.",
        ),
        "UNMATCHED": (alone, "These have no partner and were left out: {}."),
        "STACKED": (
            notes.stacked,
            "Slices whose names differ only in the number at their end were stacked to one case: "
            "{}.",
        ),
        "GAPS": (
            notes.gaps,
            "Slices are missing between others, so that nothing across slices is what it seems: "
            "{}.",
        ),
        "RESAMPLED": (
            notes.resampled,
            "The prediction lies on another grid than the truth and was brought there by linear "
            "interpolation: {}. That alone blurs by up to 1.2 of its voxels (FWHM) and takes off "
            "noise, so blur, noise and the uptake of small lesions are not the prediction's alone.",
        ),
        "NOT-COVERED": (
            notes.uncovered,
            "Only what both cover was compared; in whole slices the rest counts as SUV 0: {}.",
        ),
        "CT-IN-PART": (
            notes.ct_in_part,
            "The CT covers only some slices of the real PET: body, lungs and hot spots are looked "
            "for there alone, whole slices are measured everywhere: {}.",
        ),
        "LESIONS-LOST": (
            notes.lost_lesions,
            "The mask's lesions have no voxel on the real PET's grid, as they lie outside it or "
            "are smaller than its voxels; they were not measured: {}.",
        ),
        "BODY-FROM-TRUTH": (
            notes.body_from_truth,
            "Without a CT the body is where the real PET shows uptake: {}. Give --ct for the body "
            "and the lungs as the CT shows them.",
        ),
        "NO-MS-SSIM": (
            notes.small,
            f"Slices of fewer than {MS_SSIM_SIDE} voxels a side have no MS-SSIM: {{}}.",
        ),
    }
    findings = [Finding(c, text.format(some(names))) for c, (names, text) in said.items() if names]
    detail = "`body-constant` has each real PET's own mean body SUV: no training data are at hand."
    return [*findings, Finding("BODY-CONSTANT-FROM-TRUTH", detail)]
