"""Lesions with known truth: published models against petcast's own, on phantoms never seen.

    python benchmarks/lesions.py --out lesions --epochs 30 --seeds 1

Writes phantom patients (20 to train on, 32 to test on), prepares them with their lesion masks, lets
the entrants of benchmarks/contests/lesions.toml contest on them (see contest.py: it goes on where
it was, and a second process may work beside it), and prints SUVmax and SUVmean errors and
sensitivity by size, lesions with and without a sign in CT apart: OUT/lesions.md and lesions.json.
Lesion masks and what CT shows of them come from the phantoms' truth; all uptake is measured by
`petcast evaluate`.
"""

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from petcast.contest.course import Task, follow_all, plan, read_record
from petcast.contest.entrants import read_contest
from petcast.contest.lesions import Key, Known, Shown, lesion_table, name_pieces, shown_lesions
from petcast.contest.results import write_results
from petcast.contest.thin import unscored
from petcast.dicom.privacy import pseudonym
from petcast.dicom.read import load_ct_and_source, read_pet_files
from petcast.disk.durable import read_json, write_json, write_text
from petcast.errors import PetcastError
from petcast.pairs import Pairs
from petcast.phantom import PhantomTruth, write_cohort
from petcast.prepare import prepare
from petcast.progress import track
from petcast.recipe import PreparationRecipe
from petcast.volume import Unit, Volume

SALT = "phantoms need no secret"
CONTEST = Path(__file__).parent / "contests" / "lesions.toml"


def as_nifti(truths: list[PhantomTruth], out: Path) -> Path:
    """Cases with masks: DICOM brings none."""
    for truth in track(truths, "Writing cases"):
        case = out / truth.name
        if (case / "SEG.nii.gz").exists():
            continue
        case.mkdir(parents=True, exist_ok=True)
        load_ct_and_source(truth.dicom / "CT")[0].save(case / "CT.nii.gz")
        read_pet_files(sorted((truth.dicom / "PT").iterdir())).suv.save(case / "SUV.nii.gz")
        mask = Volume.load(truth.truth / "lesions.nii.gz", Unit.LABEL)
        mask.save(case / "SEG.nii.gz")  # last: where it is, the case is whole
    return out


def make_pairs(out: Path, train: int, test: int, size: int, step_mm: float) -> Path:
    """Phantoms as pairs with masks; the first ones train."""
    pairs = out / "phantoms" / "pairs"
    truths = write_cohort(out / "cohort", train + test, ct_size=size, slice_step_mm=step_mm)
    if (pairs / "pairs.json").exists():  # the truth is asked for even so
        return pairs
    parts = ["train"] * train + ["test"] * test
    lines = [f"{truth.name},{part}" for truth, part in zip(truths, parts, strict=True)]
    write_text(out / "split.csv", "\n".join(["patient,part", *lines]) + "\n")
    cases = as_nifti(truths, out / "cases")
    prepare([cases], pairs, PreparationRecipe(), split_file=out / "split.csv", salt=SALT)
    return pairs


def known_lesions(pairs: Path, cohort: Path) -> dict[Key, Known]:
    """What the truth says of each lesion of the test patients."""
    named = {pseudonym("patient", one.name, SALT): one for one in (cohort / "truth").iterdir()}
    known: dict[Key, Known] = {}
    for study in Pairs.open(pairs).studies("test"):
        truth = read_json(named[study.patient] / "lesions.json")["lesions"]
        pieces = name_pieces(np.asarray(study.lesions), study.grid, truth)
        known |= {(study.patient, piece): one for piece, one in pieces.items()}
    return known


def shown_by(tasks: list[Task], known: dict[Key, Known]) -> dict[str, list[Shown]]:
    runs: dict[str, list] = {}
    for task in tasks:
        if read_record(task) is not None and (task.run / "evaluation").is_dir():
            document = read_json(task.run / "evaluation" / "evaluation.json")
            rows = [row for row in document["lesions"] if row["name"] == document["model"]]
            runs.setdefault(task.entrant.name, []).append(rows)
            for trivial in ("body-constant", "train-mean"):
                own = [row for row in document["lesions"] if row["name"] == trivial]
                runs.setdefault(trivial, [own])
    return {name: shown_lesions(rows, known) for name, rows in runs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--contest", type=Path, default=CONTEST)
    parser.add_argument("--train", type=int, default=20, help="patients to train on")
    parser.add_argument("--test", type=int, default=32, help="patients to test on")
    parser.add_argument("--ct-size", type=int, default=128)
    parser.add_argument("--slice-step-mm", type=float, default=8.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--set", action="append", default=[], help="a setting that all share")
    parser.add_argument("--only", help="train these entrants, separated by semicolons")
    parser.add_argument("--tables", action="store_true", help="train nothing")
    knobs = parser.parse_args()
    try:
        run(knobs)
    except PetcastError as error:
        sys.exit(str(error))


def run(knobs: argparse.Namespace) -> None:
    contest = read_contest(knobs.contest)
    pairs = make_pairs(knobs.out, knobs.train, knobs.test, knobs.ct_size, knobs.slice_step_mm)
    shared = {"seeds": knobs.seeds, "epochs": knobs.epochs, "common": knobs.set}
    if not knobs.tables:
        chosen = plan(contest.chosen(knobs.only), [pairs], knobs.out, **shared)
        train_only = unscored(pairs, knobs.out / "unscored")
        chosen = [replace(task, training=train_only) for task in chosen]
        follow_all(chosen, tell=lambda line: print(line, flush=True))
    tasks = plan(contest.entrants, [pairs], knobs.out, **shared)
    known = known_lesions(pairs, knobs.out / "cohort")
    entrants = shown_by(tasks, known)
    text = lesion_table(entrants)
    write_text(knobs.out / "lesions.md", text + "\n")
    write_json(
        knobs.out / "lesions.json",
        {name: [asdict(lesion) for lesion in lesions] for name, lesions in entrants.items()},
    )
    print(write_results(contest, tasks, knobs.out, knobs.set))
    print(text)


if __name__ == "__main__":
    main()
