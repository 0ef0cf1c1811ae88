"""What the paper's whole grid costs here: 13 generators × 200 epochs × 400 slices.

One step of each generator is timed at the published batch of 16, in a process of its own; the whole
is that step times 25 steps an epoch times 200 epochs. The floor is the step's arithmetic (three
forward passes of the generator, seven of the discriminator) at the rate of a float32 matrix product
(2048³) on the same device. Scoring after each epoch is not counted.

On a GPU: `python benchmarks/grid.py --device cuda --precision bfloat16 --plain`.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from petcast.models.describe import describe_all
from petcast.recipe import GENERATOR_NAMES
from train import Worker, phantom_pairs  # beside this file

EPOCHS, SLICES, BATCH = 200, 400, 16
JUDGE_GFLOP = 6.4
JUDGE_PASSES = 7
"""Forward on real and synthetic, their gradients of weights and features, one more for the push."""


def seconds(knobs: argparse.Namespace, kind: str, name: str) -> float:
    worker = Worker(knobs, kind, name, 0.01)
    taken = statistics.median(worker.time()["seconds"] for _ in range(knobs.rounds))
    worker.close()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--models", nargs="+", choices=GENERATOR_NAMES, default=GENERATOR_NAMES)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="Time the plain loop, too.")
    parser.add_argument("--pairs", type=Path)
    knobs = parser.parse_args()
    knobs.batch = BATCH
    rows = [row for row in describe_all()["models"] if row["name"] in knobs.models]
    with tempfile.TemporaryDirectory() as folder:
        knobs.pairs = knobs.pairs or phantom_pairs(Path(folder))
        rate = 2 * 2048**3 / seconds(knobs, "gemm", "Stage01") / 1e9
        print(f"{knobs.device}, {knobs.precision}, GEMM 2048³ float32 {rate:.0f} GFLOP/s")
        print("model      steps/s  of floor  hours for 200 epochs" + "  of plain" * knobs.plain)
        total = 0.0
        for row in rows:
            taken = seconds(knobs, knobs.precision, row["name"])
            work = BATCH * (3 * row["gflop"] + JUDGE_PASSES * JUDGE_GFLOP)
            hours = taken * EPOCHS * SLICES / BATCH / 3600
            total += hours
            line = f"{row['name']:9} {1 / taken:8.3f} {work / taken / rate:9.2f} {hours:21.2f}"
            if knobs.plain:
                line += f" {seconds(knobs, 'plain', row['name']) / taken:9.2f}"
            print(line, flush=True)
    print(f"all {len(rows)}: {total:.2f} hours")


if __name__ == "__main__":
    main()
