"""Ways to say how far a PET may be off, measured against each other on patients never seen.

Two stages of Table 1 are trained three times, and once to give quantiles; every way is calibrated
on the validation patients (on the training ones where there are none) and measured on the test
patients: how many body voxels its 90 % intervals hold, how wide they are, their interval score
(width and what lies beyond, less is better), whether leaving the most uncertain voxels out helps.

    python benchmarks/uncertainty.py --out uncertainty                       # 16 phantom patients
    python benchmarks/uncertainty.py --out uncertainty --data PAIRS MORE

Interrupted and given again, it goes on where it was. `constant` and `uptake` know nothing of the
model's doubts: a way is worth its passes where it beats them.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from petcast.checkpoint import load_synthesizer
from petcast.contest.thin import label_of
from petcast.errors import PetcastError, UsageError
from petcast.models import Synthesizer
from petcast.pairs import PairedStudy, Pairs
from petcast.phantom import write_cohort
from petcast.prepare import prepare
from petcast.recipe import PreparationRecipe, load_recipe
from petcast.train import train
from petcast.uncertainty.calibrate import Scale, Voxels, calibrate, coverage, interval_score
from petcast.uncertainty.runs import gather
from petcast.uncertainty.sparsify import REMOVED, sparsify
from petcast.uncertainty.spread import Method, forward_passes

SHARED = (
    "model.name=Stage02", "loss.adversarial=0", "loss.stages=all", "training.batch_size=8",
)  # fmt: skip
QUANTILES = ("model.output=quantiles", "loss.mse=0", "loss.l1=1")
CPU = torch.device("cpu")
SALT = "phantoms need no secret"
"""Who tests depends on the key: with the user's own it would be somebody else for each user."""
Patients = Mapping[str, Voxels]


@dataclass(frozen=True)
class Row:
    """What was measured of a way on the test patients of some pairs."""

    name: str
    passes: int
    coverage: list[float]
    half_width_suv: float
    score_suv: float
    ause: float
    mean_falls: bool
    monotone: list[bool]
    left: list[float]
    suv_mae: float

    @property
    def calibrated(self) -> bool:
        return 0.85 <= float(np.mean(self.coverage)) <= 0.95

    def cells(self) -> list[str]:
        least, mean, most = min(self.coverage), np.mean(self.coverage), max(self.coverage)
        return [
            self.name,
            str(self.passes),
            f"{100 * mean:.1f} ({100 * least:.1f}–{100 * most:.1f})",
            f"{self.half_width_suv:.3f}",
            f"{self.score_suv:.3f}",
            f"{self.ause:.3f}",
            f"{'yes' if self.mean_falls else 'no'} ({sum(self.monotone)} of {len(self.monotone)})",
            " ".join(f"{share:.2f}" for share in self.left),
            f"{self.suv_mae:.3f}",
        ]


HEAD = (
    "way", "passes", "coverage % (least–most)", "half-width SUV", "interval score SUV", "AUSE",
    "error falls throughout, mean (patients)", "error left after 0, 25, 50, 75 %", "body MAE SUV",
)  # fmt: skip


def phantoms(out: Path, patients: int) -> Path:
    """Pairs of a phantom cohort: 30 % test, 30 % calibrate, the rest is trained on."""
    pairs, cohort = out / "phantom" / "pairs", out / "phantom" / "cohort"
    if not (pairs / "pairs.json").is_file():
        write_cohort(cohort, patients, 0, ct_size=128, slice_step_mm=12.0, workers=1)
        knobs = PreparationRecipe(test=0.3, validation=0.3)
        prepare([cohort / "dicom"], pairs, knobs, salt=SALT, workers=1)
    return pairs


def trained(data: Path, runs: Path, epochs: int, seeds: int) -> tuple[list[Path], Path]:
    """The runs with one image, one a seed, and the one with quantiles."""
    folders = [runs / f"seed-{seed}" for seed in range(seeds)]
    for seed, folder in enumerate(folders):
        knobs = (*SHARED, f"training.epochs={epochs}", f"training.seed={seed}")
        train(load_recipe("tiny", knobs), data, folder)
    quantiles = runs / "quantiles"
    knobs = (*SHARED, *QUANTILES, f"training.epochs={epochs}", "training.seed=0")
    train(load_recipe("tiny", knobs), data, quantiles)
    return folders, quantiles


def ways(images: list[Path], quantiles: Path) -> Iterator[tuple[str, list[Synthesizer], Method]]:
    models = [load_synthesizer(run)[0] for run in images]
    yield "constant", models[:1], Method("uptake")
    yield "uptake", models[:1], Method("uptake")
    yield "stages", models[:1], Method("stages")
    yield "augmented", models[:1], Method("augmented")
    yield "dropout", models[:1], Method("dropout")
    if len(models) > 1:
        yield f"ensemble of {len(models)}", models, Method("ensemble")
    with_quantiles = [load_synthesizer(quantiles)[0]]
    yield "quantiles", with_quantiles, Method("quantiles")
    yield "uptake, of the run with quantiles", with_quantiles, Method("uptake")


def measure(
    pairs: Pairs, images: list[Path], quantiles: Path, most_passes: int
) -> tuple[list[Row], str]:
    scratch = quantiles.parent
    part = "validation" if pairs.studies("validation") else "train"
    rows = []
    for name, models, method in ways(images, quantiles):
        if forward_passes(method, len(models)) > most_passes:
            continue
        known = patients_of(name, models, pairs.studies(part), method, scratch)
        unseen = patients_of(name, models, pairs.studies("test"), method, scratch)
        passes = 1 if name == "constant" else forward_passes(method, len(models))
        rows.append(row_of(name, passes, calibrate(list(known.values())), unseen))
        print(f"  {name}: {rows[-1].cells()[2]}", flush=True)
    return rows, f"{len(pairs.index['parts'][part])} {part}"


def patients_of(
    name: str,
    models: Sequence[Synthesizer],
    studies: Sequence[PairedStudy],
    method: Method,
    scratch: Path,
) -> Patients:
    held = gather(models, studies, method, CPU, folder=scratch)
    if name != "constant":
        return held
    return {key: replace(one, spread=np.zeros_like(one.spread)) for key, one in held.items()}


def row_of(name: str, passes: int, scale: Scale, unseen: Patients) -> Row:
    curves = [sparsify(voxels) for voxels in unseen.values()]
    shown = [REMOVED.index(share) for share in (0.0, 0.25, 0.5, 0.75)]
    return Row(
        name=name,
        passes=passes,
        coverage=[coverage(voxels, scale) for voxels in unseen.values()],
        half_width_suv=mean(scale.half_width(one.spread).mean() for one in unseen.values()),
        score_suv=mean(interval_score(one, scale) for one in unseen.values()),
        ause=mean(curve.ause for curve in curves),
        mean_falls=bool(np.all(np.diff(np.mean([curve.error for curve in curves], axis=0)) < 0)),
        monotone=[curve.monotone for curve in curves],
        left=np.mean([curve.error[shown] for curve in curves], axis=0).tolist(),
        suv_mae=mean(one.error.mean() for one in unseen.values()),
    )


def mean(values: Iterator[float]) -> float:
    return float(np.mean(list(values)))


def show(data: Path, rows: list[Row], calibrated_on: str) -> None:
    print(f"\n{label_of(data)}: calibrated on {calibrated_on} patients, "
          f"measured on {len(rows[0].coverage)} test patients\n")  # fmt: skip
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for row in rows:
        print(f"| {' | '.join(row.cells())} |")
    best = min((row for row in rows if row.calibrated), key=lambda row: row.score_suv, default=None)
    said = f"{best.name} (least interval score)" if best else "none holds 85 to 95 %"
    print(f"\nbest of those that hold 85 to 95 %: {said}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("uncertainty"))
    parser.add_argument("--data", type=Path, nargs="*", help="folders of pairs; phantoms if none")
    parser.add_argument("--patients", type=int, default=16, help="of the phantom cohort")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--most-passes", type=int, default=99, help="leave out what costs more")
    knobs = parser.parse_args()
    try:
        run(knobs)
    except PetcastError as error:
        sys.exit(str(error))


def run(knobs: argparse.Namespace) -> None:
    folders = knobs.data or [phantoms(knobs.out, knobs.patients)]
    labels = [label_of(data) for data in folders]
    if len(set(labels)) < len(labels):
        raise UsageError(f"--data: two folders are called {labels}; put them under other names")
    for data, label in zip(folders, labels, strict=True):
        runs = knobs.out / "runs" / label
        images, quantiles = trained(data, runs, knobs.epochs, knobs.seeds)
        rows, calibrated_on = measure(Pairs.open(data), images, quantiles, knobs.most_passes)
        show(data, rows, calibrated_on)
        (runs / "ways.json").write_text(json.dumps([vars(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
