"""RUN/uncertainty.json: how the run's intervals are made (docs/files.md)."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import petcast
from petcast.checkpoint import MODEL_FILE, Card, load_card
from petcast.disk.durable import read_json, require_known_format, write_json
from petcast.errors import FormatError, UsageError
from petcast.uncertainty.calibrate import LEVEL, Scale
from petcast.uncertainty.spread import Method, Way
from petcast.words import count

FORMAT = 1
UNCERTAINTY_FILE = "uncertainty.json"


@dataclass(frozen=True)
class Member:
    """A further run of an ensemble.

    Attributes:
        run: Its folder, as seen from the calibrated run's.
        sha256: Of its weights.
    """

    run: str
    sha256: str


@dataclass(frozen=True)
class Calibration:
    """What makes an interval of a run's PET.

    Attributes:
        method: How the spread is made.
        scale: Factor and floor.
        part: Whose voxels it was calibrated on.
        patients: How many they are.
        coverage: Their own, in the order of the pairs.
        half_width_suv: Mean over their body voxels.
        sha256: Of the run's weights.
        data_hash: Of the pairs.
        members: Of an ensemble, the other runs.
        warnings: What the reader of an interval must know.
        level: Share of the voxels that the intervals shall hold.
    """

    method: Method
    scale: Scale
    part: str
    patients: int
    coverage: tuple[float, ...]
    half_width_suv: float
    sha256: str
    data_hash: str
    members: tuple[Member, ...] = ()
    warnings: tuple[str, ...] = ()
    level: float = LEVEL

    def to_json(self) -> dict[str, Any]:
        """Give the document.

        Returns:
            Keys as in docs/files.md.
        """
        return {
            "format": FORMAT,
            "petcast": petcast.__version__,
            "level": self.level,
            **asdict(self.method),
            **asdict(self.scale),
            "calibrated_on": {
                "part": self.part,
                "patients": self.patients,
                "coverage": list(self.coverage),
                "half_width_suv": self.half_width_suv,
                "data_hash": self.data_hash,
            },
            "weights": self.sha256,
            "members": [asdict(member) for member in self.members],
            "warnings": list(self.warnings),
        }

    def table(self) -> list[list[str]]:
        """Give the calibration for reading.

        Returns:
            Cells; the first list is the head.
        """
        least, most = min(self.coverage), max(self.coverage)
        return [
            ["way", "factor", "floor SUV", "calibrated on", "their coverage", "half-width SUV"],
            [
                self.method.way,
                f"{self.scale.factor:.3g}",
                f"{self.scale.floor_suv:.3g}",
                f"{count(self.patients, f'{self.part} patient')}",
                f"{100 * least:.0f}–{100 * most:.0f} %",
                f"{self.half_width_suv:.2f}",
            ],
        ]

    @classmethod
    def from_json(cls, document: Any, source: Path) -> "Calibration":
        """Read a document back.

        Args:
            document: What `to_json` gave.
            source: Where it comes from, for the error message.

        Returns:
            The calibration.

        Raises:
            FormatError: It is damaged, or a newer petcast wrote it.
        """
        try:
            require_known_format(document["format"], FORMAT, source)
            return cls._read(document)
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"{source} is no calibration: {error!r}; run `petcast calibrate` again"
            ) from error

    @classmethod
    def _read(cls, document: Any) -> "Calibration":
        if document["way"] not in get_args(Way):
            raise ValueError(f"way {document['way']!r}")
        made_on = document["calibrated_on"]
        return cls(
            method=Method(document["way"], int(document["passes"]), int(document["seed"])),
            scale=Scale(float(document["factor"]), float(document["floor_suv"])),
            part=made_on["part"],
            patients=int(made_on["patients"]),
            coverage=tuple(map(float, made_on["coverage"])),
            half_width_suv=float(made_on["half_width_suv"]),
            sha256=document["weights"],
            data_hash=made_on["data_hash"],
            members=tuple(Member(one["run"], one["sha256"]) for one in document["members"]),
            warnings=tuple(document["warnings"]),
            level=float(document["level"]),
        )


def save_calibration(run: Path, calibration: Calibration) -> None:
    """Write RUN/uncertainty.json.

    Args:
        run: The run's folder.
        calibration: Of its weights.
    """
    write_json(run / UNCERTAINTY_FILE, calibration.to_json())


def load_calibration(run: Path) -> Calibration | None:
    """Read RUN/uncertainty.json.

    Args:
        run: The run's folder.

    Returns:
        The calibration; None where the run has none.

    Raises:
        FormatError: The file is damaged.
    """
    path = run / UNCERTAINTY_FILE
    return Calibration.from_json(read_json(path), path) if path.is_file() else None


def require_calibration(run: Path, card: Card) -> Calibration:
    """Read the calibration of these very weights.

    Args:
        run: The run's folder.
        card: Of the weights that predict.

    Returns:
        The calibration.

    Raises:
        UsageError: There is none, or it is of other weights.
        FormatError: It is damaged.
    """
    remedy = f"petcast calibrate {run} --data PAIRS"
    calibration = load_calibration(run)
    if calibration is None:
        raise UsageError(f"{run} has no {UNCERTAINTY_FILE}; make it first: {remedy}")
    if not fits(calibration, card):
        raise UsageError(
            f"{run / UNCERTAINTY_FILE} was made for other weights than these of epoch {card.epoch} "
            f"(the run was trained on, or --last was given); make it again: {remedy}"
        )
    return calibration


def fits(calibration: Calibration, card: Card) -> bool:
    """Whether a calibration is of these weights.

    Args:
        calibration: Of some weights.
        card: Of some weights.

    Returns:
        True where they are the same.
    """
    return calibration.sha256 == weights_of(card)


def weights_of(card: Card) -> str:
    """The name of a checkpoint's weights.

    Args:
        card: The checkpoint's.

    Returns:
        SHA-256.
    """
    return card.sha256.get(MODEL_FILE, "")


def member_of(run: Path, other: Path) -> Member:
    """Name a further run of an ensemble.

    Args:
        run: The calibrated one.
        other: The other one.

    Returns:
        Its place as seen from `run`, and its weights' hash.
    """
    place = os.path.relpath(other.resolve(), run.resolve())
    return Member(place, weights_of(load_card(other / "best")))


def runs_of(run: Path, members: tuple[Member, ...]) -> list[Path]:
    """Find the further runs of an ensemble.

    Args:
        run: The calibrated one.
        members: The others.

    Returns:
        Their folders.

    Raises:
        UsageError: One has gone, or was trained on.
    """
    folders = [(run / member.run).resolve() for member in members]
    for folder, member in zip(folders, members, strict=True):
        if not folder.is_dir() or weights_of(load_card(folder / "best")) != member.sha256:
            raise UsageError(
                f"{run / UNCERTAINTY_FILE} counts on the run {member.run} with the weights that it "
                f"had; bring it back, or make it again: petcast calibrate {run} --data PAIRS"
            )
    return folders
