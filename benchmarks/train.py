"""Slices a second in training: petcast's step beside a plain PyTorch loop, in one run.

Both train the same architecture, loss, batch and data in float32. The plain loop is what a tutorial
writes: DataLoader over the pairs, `Adam` with its defaults. The share is of the rate of a float32
matrix product (2048³) measured in the same run, counting forward and backward as three forwards.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.data import DataLoader, TensorDataset

from petcast.dataset import SliceDataset
from petcast.device import keep_freed_memory
from petcast.losses import discriminator_loss, generator_adversarial_loss
from petcast.models import Discriminator, Synthesizer
from petcast.models.describe import describe_all
from petcast.pairs import Pairs
from petcast.phantom import write_cohort
from petcast.prepare import prepare
from petcast.recipe import LossRecipe, ModelRecipe, PreparationRecipe, Recipe, TrainingRecipe
from petcast.train import Learner


def phantom_slices(folder: Path) -> SliceDataset:
    write_cohort(folder / "cohort", 1, ct_size=128, slice_step_mm=8, workers=1)
    recipe = PreparationRecipe()
    prepare([folder / "cohort" / "dicom"], folder / "pairs", recipe, salt="bench", workers=1)
    return SliceDataset(Pairs.open(folder / "pairs").studies(), channels=1)


def seconds(work: Callable[[], None], repeats: int) -> float:
    work()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def gemm_gflops() -> float:
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    return 2 * 2048**3 / seconds(lambda: torch.mm(a, b), 5) / 1e9


def plain_step(dataset: SliceDataset, name: str, batch: int, adversarial: float):
    slices = dataset.batch(range(len(dataset)))
    synthesizer = Synthesizer(ModelRecipe(name=name))
    generator, judge = synthesizer.generator, Discriminator()
    pairs = TensorDataset(synthesizer.normalise(slices.hu), synthesizer.target(slices.suv))
    loader = DataLoader(pairs, batch, shuffle=True, drop_last=True)
    adam = torch.optim.Adam(generator.parameters(), lr=0.001)
    judge_adam = torch.optim.Adam(judge.parameters(), lr=0.001)
    loop = iter(loader)

    def step() -> None:
        nonlocal loop
        try:
            ct, pet = next(loop)
        except StopIteration:
            loop = iter(loader)
            ct, pet = next(loop)
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


def our_step(dataset: SliceDataset, name: str, batch: int, adversarial: float):
    recipe = Recipe(
        model=ModelRecipe(name=name),
        loss=LossRecipe(adversarial=adversarial),
        training=TrainingRecipe(batch_size=batch),
    )
    learner = Learner(recipe, torch.device("cpu"))
    learner.synthesizer.train()
    batches = iter(())

    def step() -> None:
        nonlocal batches
        found = next(batches, None)
        if found is None or len(found.suv) != batch:
            batches = dataset.batches(torch.randperm(len(dataset)), batch)
            found = next(batches)
        learner.step(found)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=["Stage01", "Stage07"])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    knobs = parser.parse_args()
    gflop = {row["name"]: row["gflop"] for row in describe_all()["models"]}
    with tempfile.TemporaryDirectory() as folder:
        dataset = phantom_slices(Path(folder))
        rate = gemm_gflops()
        print(f"GEMM 2048³ float32: {rate:.0f} GFLOP/s, {torch.get_num_threads()} threads")
        print("model    discriminator   plain img/s   ours img/s   ours/plain   ours/GEMM")
        results = []
        for adversarial in (0.0, 0.01):
            for name in knobs.models:
                # The plain loop first: what ours asks of the allocator cannot be taken back.
                plain = seconds(plain_step(dataset, name, knobs.batch, adversarial), knobs.repeats)
                results.append((name, adversarial, plain))
        keep_freed_memory()
        for name, adversarial, plain in results:
            ours = seconds(our_step(dataset, name, knobs.batch, adversarial), knobs.repeats)
            share = 3 * gflop[name] * knobs.batch / ours / rate
            print(
                f"{name:8} {'with' if adversarial else 'without':13} {knobs.batch / plain:12.1f}"
                f" {knobs.batch / ours:12.1f} {plain / ours:12.2f}"
                f" {'' if adversarial else f'{share:11.2f}'}"
            )


if __name__ == "__main__":
    main()
