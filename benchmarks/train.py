"""Slices a second in training: petcast's engine beside a plain PyTorch loop, in one run.

All train the same architecture, loss and batch on the same pairs. The plain loop is what a tutorial
writes: nn.Conv2d and nn.ConvTranspose2d in float32, `Adam` with its defaults, a DataLoader over
the pairs, already scaled. Each works in a process of its own, in turn, round by round, since what
ours asks of the allocator cannot be taken back and a shared machine's speed drifts. Printed are
medians over the rounds, ratios taken round by round, and the share of the rate of a float32
matrix product (2048³) of the same rounds, counting forward and backward as three forwards.

`--memory` prints peak memory and step time of Stage10 beside Stage01 instead, the plain loop's
too.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch.utils.data import DataLoader, TensorDataset

from petcast.contest.cost import peak_mb
from petcast.dataset import SliceDataset
from petcast.device import choose_device, keep_freed_memory
from petcast.engine import Learner
from petcast.engine.feed import Feed
from petcast.errors import PetcastError, UsageError
from petcast.losses import discriminator_loss, generator_adversarial_loss
from petcast.models import Discriminator, Synthesizer
from petcast.models.describe import describe_all
from petcast.pairs import Pairs
from petcast.phantom import write_cohort
from petcast.prepare import prepare
from petcast.recipe import (
    GENERATOR_NAMES,
    EngineRecipe,
    LossRecipe,
    ModelRecipe,
    PreparationRecipe,
    Recipe,
)

Step = Callable[[], object]

LEAST_SECONDS = 1.0
"""So long a step is repeated in each round."""


def phantom_pairs(folder: Path) -> Path:
    write_cohort(folder / "cohort", 1, ct_size=128, slice_step_mm=8, workers=1)
    recipe = PreparationRecipe()
    prepare([folder / "cohort" / "dicom"], folder / "pairs", recipe, salt="bench", workers=1)
    return folder / "pairs"


def endless(batches: Callable[[], Iterator], size: int) -> Iterator:
    """Whole batches for ever."""
    while True:
        yield from (batch for batch in batches() if len(batch[0]) == size)


def plain_step(dataset: SliceDataset, name: str, size: int, adversarial: float, device) -> Step:
    slices = dataset.batch(range(len(dataset)))
    synthesizer = Synthesizer(ModelRecipe(name=name))
    generator, judge = synthesizer.generator.to(device), Discriminator().to(device)
    pairs = TensorDataset(
        synthesizer.normalise(slices.hu).contiguous(), synthesizer.target(slices.suv).contiguous()
    )
    loader = DataLoader(pairs, size, shuffle=True, drop_last=True)
    batches = endless(lambda: iter(loader), size)
    adam = torch.optim.Adam(generator.parameters(), lr=0.001)
    judge_adam = torch.optim.Adam(judge.parameters(), lr=0.001)

    def step() -> None:
        ct, pet = (images.to(device) for images in next(batches))
        fake = generator(ct)[-1]
        loss = torch.nn.functional.mse_loss(fake, pet)
        if adversarial:
            judge_adam.zero_grad()
            discriminator_loss(judge(ct, pet), judge(ct, fake.detach()), "bce").backward()
            judge_adam.step()
            loss = loss + adversarial * generator_adversarial_loss(judge(ct, fake), "bce")
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def our_step(
    dataset: SliceDataset, name: str, size: int, adversarial: float, device, **engine: object
) -> Step:
    keep_freed_memory()
    recipe = Recipe(
        model=ModelRecipe(name=name),
        loss=LossRecipe(adversarial=adversarial),
        engine=EngineRecipe(**engine),
    )
    learner = Learner(recipe, device)
    learner.synthesizer.train()
    feed = Feed(dataset, device)

    def batches() -> Iterator:
        order = torch.randperm(len(dataset))
        return ((batch.suv, batch) for batch in feed.batches(order, size))

    coming = endless(batches, size)
    return lambda: learner.step(next(coming)[1])


def gemm_step(device) -> Step:
    a, b = torch.rand(2048, 2048, device=device), torch.rand(2048, 2048, device=device)
    return lambda: torch.mm(a, b)


def serve(knobs: argparse.Namespace) -> None:
    """In a process of its own: time a step whenever a line comes in."""
    kind, name, adversarial = knobs.serve.split(",")
    device = choose_device(knobs.device)
    dataset = SliceDataset(Pairs.open(knobs.pairs).studies(), channels=1)
    if not 0 < knobs.batch <= len(dataset):  # whole batches alone are timed
        raise UsageError(f"batches of {knobs.batch}: {knobs.pairs} holds {len(dataset)} slices")
    common = (dataset, name, knobs.batch, float(adversarial), device)
    steps: dict[str, Callable[[], Step]] = {
        "gemm": lambda: gemm_step(device),
        "plain": lambda: plain_step(*common),
        "float32": lambda: our_step(*common),
        "bfloat16": lambda: our_step(*common, precision="bfloat16"),
        "recompute": lambda: our_step(*common, recompute=True),
    }
    step = steps[kind]()
    step()
    print("ready", flush=True)
    for _ in sys.stdin:
        seconds = mean_seconds(step, device)
        print(json.dumps({"seconds": seconds, "peak_mb": peak_mb(device)}), flush=True)


def mean_seconds(step: Step, device) -> float:
    """Of as many steps as take a second: a single one of 0.1 s says little on a shared machine."""
    start, steps = time.perf_counter(), 0
    while True:
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        steps, taken = steps + 1, time.perf_counter() - start
        if taken >= LEAST_SECONDS:
            return taken / steps


class Worker:
    """A process that times steps when asked."""

    def __init__(self, knobs: argparse.Namespace, kind: str, name: str, adversarial: float) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable, __file__, "--pairs", str(knobs.pairs), "--batch", str(knobs.batch),
                "--device", knobs.device, "--serve", f"{kind},{name},{adversarial}",
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        if self._process.stdout.readline() != "ready\n":
            sys.exit(self._process.wait() or 1)  # it has said why

    def time(self) -> dict[str, float]:
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


def in_turn(knobs: argparse.Namespace, configurations: list[tuple[str, str, float]]) -> list[list]:
    """Each one's answers, a round a column."""
    workers = [Worker(knobs, *configuration) for configuration in configurations]
    rounds = [[worker.time() for worker in workers] for _ in range(knobs.rounds)]
    for worker in workers:
        worker.close()
    return [list(answers) for answers in zip(*rounds, strict=True)]


def speed(knobs: argparse.Namespace) -> None:
    gflop = {row["name"]: row["gflop"] for row in describe_all()["models"]}
    print(
        f"batch {knobs.batch}, {torch.get_num_threads()} threads, {knobs.device}, "
        f"median of {knobs.rounds} rounds\n"
        "model    discriminator precision   slices/s  of plain  of GEMM"
    )
    kinds = ["plain", "float32", "bfloat16"]
    for adversarial in (0.0, 0.01):
        for name in knobs.models:
            rows = [("gemm", name, 0.0), *((kind, name, adversarial) for kind in kinds)]
            gemm, plain, *ours = (
                [answer["seconds"] for answer in answers] for answers in in_turn(knobs, rows)
            )
            rates = [2 * 2048**3 / seconds / 1e9 for seconds in gemm]
            for kind, taken in zip(kinds, [plain, *ours], strict=True):
                ratio = statistics.median(p / t for p, t in zip(plain, taken, strict=True))
                work = 3 * gflop[name] * knobs.batch
                share = statistics.median(work / t / r for t, r in zip(taken, rates, strict=True))
                print(
                    f"{name:8} {'with' if adversarial else 'without':13} {kind:10}"
                    f" {knobs.batch / statistics.median(taken):9.2f} {ratio:9.2f}"
                    f" {'' if adversarial else f'{share:8.2f}'}",
                    flush=True,
                )
            rate = statistics.median(rates)
            print(f"{'':23}GEMM 2048³ float32: {rate:.0f} GFLOP/s", flush=True)


def memory(knobs: argparse.Namespace) -> None:
    print(f"batch {knobs.batch}, median of {knobs.rounds} rounds, peak memory of the whole process")
    for adversarial in (0.01, 0.0):
        print(f"{'with' if adversarial else 'without'} the discriminator")
        for kind in ("float32", "recompute", "bfloat16", "plain"):
            plain = "float32" if kind == "recompute" else kind
            rows = [(plain, "Stage01", adversarial), (kind, "Stage10", adversarial)]
            one, ten = in_turn(knobs, rows)
            ratio = statistics.median(
                t["seconds"] / o["seconds"] for o, t in zip(one, ten, strict=True)
            )
            said = [
                f"{max(answer['peak_mb'] for answer in taken):6.0f} MB "
                f"{statistics.median(answer['seconds'] for answer in taken):5.2f} s"
                for taken in (one, ten)
            ]
            print(f"  {kind:10} Stage01 {said[0]}   Stage10 {said[1]}   {ratio:5.2f} ×", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    names = ["Stage01", "Stage07", "U-Net"]
    parser.add_argument("--models", nargs="+", choices=GENERATOR_NAMES, default=names)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    knobs = parser.parse_args()
    try:
        serve(knobs) if knobs.serve else bench(knobs)
    except PetcastError as error:
        sys.exit(str(error))


def bench(knobs: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        knobs.pairs = knobs.pairs or phantom_pairs(Path(folder))
        memory(knobs) if knobs.memory else speed(knobs)


if __name__ == "__main__":
    main()
