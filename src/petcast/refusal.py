"""Why data are refused: one code a reason, with its sentence and its remedy.

`scan` and `prepare` print these codes and write them into pairs.json; docs/how-to/refusals.md
lists them. A code never changes its meaning.
"""

from dataclasses import dataclass
from enum import StrEnum

from petcast.errors import DataError


class Reason(StrEnum):
    """The code of a refusal, upper case with hyphens, stable across versions."""

    NO_PET = "NO-PET"
    NO_CT = "NO-CT"
    TOO_FEW_SLICES = "TOO-FEW-SLICES"

    @property
    def meaning(self) -> str:
        """What it means, in a sentence that a technician understands."""
        return _EXPLANATIONS[self][0]

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return _EXPLANATIONS[self][1]


_EXPLANATIONS: dict[Reason, tuple[str, str]] = {
    Reason.NO_PET: ("The study holds no usable PET series.", "Export the PET of the same visit."),
    Reason.NO_CT: ("The study holds no usable CT series.", "Export the CT of the same visit."),
    Reason.TOO_FEW_SLICES: (
        "The series has too few slices to be a volume.",
        "Export the whole series.",
    ),
}


@dataclass(frozen=True)
class Refusal:
    """One refusal.

    Attributes:
        reason: Its code.
        detail: What was found, where and what was expected; never an identity.
    """

    reason: Reason
    detail: str


class RefusedError(DataError):
    """Data were refused for one of the known reasons.

    Attributes:
        refusal: The reason and its detail.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail} {reason.remedy}")
        self.refusal = Refusal(reason, detail)
