"""What the paper leaves open, measured: one knob at a time away from recipes/published.toml.

Each variant is trained on each folder of pairs with each seed, and compared with the base of the
same pairs and seed, by the test slices' PSNR inside the body after the last epoch. Knobs are set
once, for all generators, so that no model of a table is chosen by its test patients. Knobs that
have nothing to do with the opponent are swept without it, since it costs eleven stages.

    python benchmarks/sweep.py --data GE-TO-SIEMENS SIEMENS-TO-GE PHANTOM --out sweep

Interrupted and given again, it goes on where it was.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from petcast.checkpoint import load_synthesizer
from petcast.contest.thin import label_of, thinned
from petcast.dataset import SliceDataset
from petcast.errors import PetcastError
from petcast.metrics.image import score_slices
from petcast.pairs import Pairs
from petcast.recipe import load_recipe
from petcast.train import read_metrics, train

PLAIN = ("loss.adversarial=0.0",)
VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "without the discriminator": {
        "published.toml": (),
        "batch size 1": ("training.batch_size=1",),
        "batch size 8": ("training.batch_size=8",),
        "betas 0.5, 0.999": ("optimizer.betas=[0.5, 0.999]",),
        "weights from N(0, 0.02²)": ('model.initialisation="normal"',),
        "HU −1000…400": ("model.hu_window=[-1000, 400]",),
        "SUV 0…5": ("model.suv_window=[0, 5]",),
        "SUV 0…20": ("model.suv_window=[0, 20]",),
        "flips and motions": (
            "augmentation.flip=0.5",
            "augmentation.rotate_degrees=10",
            "augmentation.scale=0.1",
            "augmentation.shift_mm=20",
        ),
        "twice the epochs": ("training.epochs={twice}",),
    },
    "with it": {
        "published.toml": (),
        "weight 0": ("loss.adversarial=0.0",),
        "weight 0.001": ("loss.adversarial=0.001",),
        "weight 0.1": ("loss.adversarial=0.1",),
        "least squares": ('loss.adversarial_form="least-squares"',),
        "hinge": ('loss.adversarial_form="hinge"',),
    },
}
SUV_WINDOW = (0.0, 10.0)
METRICS = ("psnr_body", "psnr", "ssim")
Scores = dict[str, float]


def scores_of(data: Path, out: Path, settings: Sequence[str]) -> Scores:
    """The last epoch's test metrics, and how far PSNR swings over the last third of the epochs."""
    train(load_recipe("published", settings), data, out)
    late = [row["test"]["psnr_body"] for row in read_metrics(out)]
    late = late[-max(2, len(late) // 3) :]
    return last_scores(data, out) | {"swing": statistics.pstdev(late)}


@torch.inference_mode()
def last_scores(data: Path, out: Path) -> Scores:
    """On one window for all, whatever the variant's own."""
    synthesizer, _ = load_synthesizer(out, "last")
    dataset = SliceDataset(Pairs.open(data).studies("test"), synthesizer.slices)
    sums = dict.fromkeys(METRICS, 0.0)
    for start in range(0, len(dataset), 8):
        batch = dataset.batch(range(start, min(start + 8, len(dataset))))
        suv = synthesizer(batch.hu)[-1]
        scores = score_slices(suv, batch.suv, batch.body, SUV_WINDOW)
        for metric in METRICS:
            sums[metric] += scores[metric] * len(suv)
    return {metric: total / len(dataset) for metric, total in sums.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of pairs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="Stage01")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="take every so many slices")
    parser.add_argument("--part", choices=["0", "1", "both"], default="both")
    knobs = parser.parse_args()
    try:
        run(knobs)
    except PetcastError as error:
        sys.exit(str(error))


def run(knobs: argparse.Namespace) -> None:
    if knobs.every > 1:
        thin = knobs.out / "pairs"
        knobs.data = [thinned(d, thin / label_of(d) / "pairs", knobs.every) for d in knobs.data]
    for place, (title, variants) in enumerate(VARIANTS.items()):
        if knobs.part in ("both", str(place)):
            sweep(title, variants, knobs, PLAIN if place == 0 else ())


def sweep(
    title: str,
    variants: dict[str, tuple[str, ...]],
    knobs: argparse.Namespace,
    shared: tuple[str, ...],
) -> None:
    print(
        f"\n{knobs.model}, {knobs.epochs} epochs, {knobs.seeds} seeds, {title}: "
        "body PSNR in dB (whole PSNR, SSIM), and against the first row the mean and the range\n"
    )
    print(f"| variant | {' | '.join(label_of(data) for data in knobs.data)} | against | swing |")
    print(f"|---|{'---|' * (len(knobs.data) + 2)}")
    base: dict[tuple[Path, int], Scores] = {}
    for name, patterns in variants.items():
        settings = [pattern.format(twice=2 * knobs.epochs) for pattern in patterns]
        found = {
            (data, seed): scores_of(
                data,
                knobs.out / title.replace(" ", "-") / str(list(variants).index(name))
                / label_of(data) / str(seed),
                [
                    f"model.name={knobs.model}", f"training.epochs={knobs.epochs}",
                    f"training.seed={seed}", "engine.precision=bfloat16", *shared, *settings,
                ],
            )
            for data in knobs.data
            for seed in range(knobs.seeds)
        }  # fmt: skip
        base = base or found
        print(row_of(name, found, base, knobs.data), flush=True)


def row_of(
    name: str,
    found: dict[tuple[Path, int], Scores],
    base: dict[tuple[Path, int], Scores],
    folders: Sequence[Path],
) -> str:
    cells = []
    for data in folders:
        here = [scores for (where, _), scores in found.items() if where == data]
        body, whole, ssim = (statistics.mean(scores[m] for scores in here) for m in METRICS)
        cells.append(f"{body:.2f} ({whole:.2f}, {ssim:.3f})")
    gains = [found[key]["psnr_body"] - base[key]["psnr_body"] for key in found]
    swing = statistics.mean(scores["swing"] for scores in found.values())
    against = f"{statistics.mean(gains):+.2f} [{min(gains):+.2f}, {max(gains):+.2f}]"
    return f"| {name} | {' | '.join(cells)} | {against} | {swing:.2f} |"


if __name__ == "__main__":
    main()
