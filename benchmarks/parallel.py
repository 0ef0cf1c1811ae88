"""How far two processes end from one after 20 steps, and what rounding alone does.

    python benchmarks/parallel.py [--pairs PAIRS]

Two processes add the same numbers in another order. What that may do to a training is shown first
by one plain process of PyTorch: nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d and `Adam`, trained
twice on the same batches, the slices of each batch once in order and once reversed. Then petcast,
one process of torchrun against two with half of each batch: in float32 and in float64. All train
Stage01 with MSE and without dropout. Printed is the norm of the difference over the norm of the
weights.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn.functional import mse_loss

from petcast.dataset import SliceDataset
from petcast.models import Synthesizer
from petcast.pairs import Pairs
from petcast.phantom import write_cohort
from petcast.prepare import prepare
from petcast.recipe import (
    EngineRecipe,
    LossRecipe,
    ModelRecipe,
    PreparationRecipe,
    Recipe,
    TrainingRecipe,
)

State = dict[str, torch.Tensor]

MODEL = ModelRecipe(name="Stage01", dropout=0.0)


def phantom_pairs(folder: Path) -> Path:
    write_cohort(folder / "cohort", 3, ct_size=128, slice_step_mm=12, workers=1)
    recipe = PreparationRecipe()
    prepare([folder / "cohort" / "dicom"], folder / "pairs", recipe, salt="bench", workers=1)
    return folder / "pairs"


def relative_difference(found: State, expected: State) -> float:
    names = [name for name, value in expected.items() if value.is_floating_point()]
    apart = sum(float((found[name] - expected[name]).double().square().sum()) for name in names)
    size = sum(float(expected[name].double().square().sum()) for name in names)
    return (apart / size) ** 0.5


def plain(data: Path, knobs: argparse.Namespace, dtype: torch.dtype, *, reverse: bool) -> State:
    """A loop as a tutorial writes it; every batch the same set of slices."""
    torch.manual_seed(0)
    pairs = Pairs.open(data)
    slices = SliceDataset(pairs.studies("train"), channels=1)
    every = slices.batch(range(len(slices)))
    synthesizer = Synthesizer(MODEL)
    ct, pet = synthesizer.normalise(every.hu).to(dtype), synthesizer.target(every.suv).to(dtype)
    generator = synthesizer.generator.to(dtype).train()
    adam = torch.optim.Adam(generator.parameters(), lr=0.001)
    order = torch.Generator().manual_seed(0)
    for _ in range(knobs.steps):
        batch = torch.randperm(len(ct), generator=order)[: knobs.batch]
        batch = batch.flip(0) if reverse else batch
        adam.zero_grad()
        mse_loss(generator(ct[batch])[-1], pet[batch]).backward()
        adam.step()
    return generator.state_dict()


def ours(data: Path, knobs: argparse.Namespace, precision: str, processes: int, out: Path) -> State:
    slices = len(SliceDataset(Pairs.open(data).studies("train"), channels=1))
    epochs = -(-knobs.steps // -(-slices // knobs.batch))
    recipe = Recipe(
        model=MODEL,
        loss=LossRecipe(adversarial=0.0),
        training=TrainingRecipe(
            epochs=epochs, batch_size=knobs.batch, device="cpu", score_every=epochs
        ),
        engine=EngineRecipe(precision=precision),
    )
    out.mkdir()
    (out / "r.toml").write_text(recipe.to_toml())
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node",
        str(processes), "-m", "petcast", "train", str(out / "r.toml"),
        "--data", str(data), "--out", str(out / "run"),
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return load_file(out / "run" / "last" / "model.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=Path, help="else three phantoms are made")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20, help="rounded up to whole epochs for ours")
    knobs = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        data = knobs.pairs or phantom_pairs(scratch)
        print(f"Stage01, batches of {knobs.batch}, {knobs.steps} steps, {torch.__version__}")
        for dtype in (torch.float32, torch.float64):
            ends = [plain(data, knobs, dtype, reverse=reverse) for reverse in (False, True)]
            word = str(dtype).removeprefix("torch.")
            found = relative_difference(ends[1], ends[0])
            print(f"plain, one process, slices reversed   {word}  {found:.1e}", flush=True)
        for precision in ("float32", "float64"):
            ends = [
                ours(data, knobs, precision, count, scratch / f"{precision}-{count}")
                for count in (1, 2)
            ]
            found = relative_difference(ends[1], ends[0])
            print(f"petcast, two processes against one    {precision}  {found:.1e}", flush=True)


if __name__ == "__main__":
    main()
