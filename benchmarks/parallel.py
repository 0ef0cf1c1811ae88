"""How far two processes end from one after 20 steps, and what rounding alone does.

    python benchmarks/parallel.py [--pairs PAIRS]

Two processes add the same numbers in another order. What that may do to a training is shown first
by one plain process of PyTorch: nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d and `Adam`, trained
twice on the same batches, the slices of each batch once in order and once reversed. Then petcast:
two processes of torchrun, with half of each batch each, against one that works on each batch in
two parts, and against one that works on it as a whole. All train Stage01 without dropout, with MSE
and, where said, with a discriminator. Printed is the norm of the difference over the norm of the
weights.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.nn.functional import mse_loss

from petcast.dataset import SliceDataset
from petcast.errors import PetcastError
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


def ours(
    data: Path,
    out: Path,
    knobs: argparse.Namespace,
    processes: int,
    adversarial: float,
    **engine: Any,
) -> State:
    slices = len(SliceDataset(Pairs.open(data).studies("train"), channels=1))
    epochs = -(-knobs.steps // -(-slices // knobs.batch))
    recipe = Recipe(
        model=MODEL,
        loss=LossRecipe(adversarial=adversarial),
        training=TrainingRecipe(
            epochs=epochs, batch_size=knobs.batch, device="cpu", score_every=epochs
        ),
        engine=EngineRecipe(**engine),
    )
    out.mkdir()
    (out / "r.toml").write_text(recipe.to_toml())
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node",
        str(processes), "-m", "petcast", "train", str(out / "r.toml"),
        "--data", str(data), "--out", str(out / "run"),
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return load_file(out / "run" / "last" / "model.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=Path, help="else three phantoms are made")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20, help="rounded up to whole epochs for ours")
    parser.add_argument("--discriminator", action="store_true", help="with one, too: minutes more")
    knobs = parser.parse_args()
    try:
        run(knobs)
    except PetcastError as error:
        sys.exit(str(error))


def run(knobs: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        data = knobs.pairs or phantom_pairs(scratch)
        print(f"Stage01, batches of {knobs.batch}, {knobs.steps} steps, {torch.__version__}")
        for dtype in (torch.float32, torch.float64):
            ends = [plain(data, knobs, dtype, reverse=reverse) for reverse in (False, True)]
            word = str(dtype).removeprefix("torch.")
            found = relative_difference(ends[1], ends[0])
            print(f"plain, one process, slices reversed   {word}  {found:.1e}", flush=True)
        for adversarial in (0.0, 0.01) if knobs.discriminator else (0.0,):
            for precision in ("float32", "bfloat16", "float64"):
                compare(data, scratch, knobs, adversarial, precision)


def compare(
    data: Path, scratch: Path, knobs: argparse.Namespace, adversarial: float, precision: str
) -> None:
    """Two processes, one in two parts, one as it is."""
    ends = [
        ours(
            data, scratch / f"{precision}-{adversarial}-{processes}-{parts}", knobs, processes,
            adversarial, precision=precision, parts=parts,
        )
        for processes, parts in ((2, 0), (1, 2), (1, 0))
    ]  # fmt: skip
    judged = " with discriminator" if adversarial else ""
    for end, way in zip(ends[1:], ("in two parts", "as a whole"), strict=True):
        found = relative_difference(ends[0], end)
        words = f"petcast{judged}, two processes against one that works {way}"
        print(f"{words}   {precision}  {found:.1e}", flush=True)


if __name__ == "__main__":
    main()
