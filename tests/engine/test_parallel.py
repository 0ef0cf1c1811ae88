"""Two processes with half of each batch end where one with all of it does."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.distributed import TCPStore

from petcast.disk.durable import LOCK_FILE, exclusive
from petcast.engine.parallel import ALONE, World, held, joined
from petcast.errors import BusyError, UsageError
from petcast.recipe import (
    AugmentationRecipe,
    EngineRecipe,
    LossRecipe,
    ModelRecipe,
    PretrainingRecipe,
    Recipe,
    TrainingRecipe,
)
from petcast.train import read_metrics


def test_without_torchrun_there_is_one_process(monkeypatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as world:
        assert world == ALONE
        with world.led() as mine:
            assert mine


@pytest.mark.parametrize("count", [2, 3, 7])
def test_parts_of_a_batch_make_the_batch(count: int) -> None:
    places = list(range(count))
    parts = [World(rank, 3).part(places) for rank in range(3)]
    assert [place for part in parts for place in part] == places


Begin = Callable[..., Any]

STEPS_AN_EPOCH = 2
"""Six slices in batches of four: the second is smaller."""

not_on_windows = pytest.mark.skipif(sys.platform == "win32", reason="gloo is not built there")


@pytest.mark.slow
@not_on_windows
def test_two_processes_end_where_one_does(begin: Begin, tiny_pairs: Path, tmp_path: Path) -> None:
    """After eight steps, in float64: float32 rounds some activations to the other side of a ReLU's
    0, and gradients jump there (docs/train.md).
    """
    one, two = (
        trained(way, tiny_pairs, tmp_path / f"of-{processes}", processes, 4, precision="float64")
        for way, processes in ((partial(beside, begin), 1), (torchrun, 2))
    )
    assert len(read_metrics(tmp_path / "of-1/run")) * STEPS_AN_EPOCH == 8
    assert relative_difference(two, one) < 1e-9


EVERY_CHANGE = AugmentationRecipe(
    flip=0.5, rotate_degrees=5, scale=0.1, shift_mm=10, hu_scale=0.1, hu_shift=20, hu_noise=30
)


@pytest.mark.slow
@not_on_windows
@pytest.mark.parametrize(
    ("parts", "knobs"),
    [
        (2, {"epochs": 4}),
        (2, {"epochs": 1, "adversarial": 0.01, "augmentation": EVERY_CHANGE}),
        (2, {"epochs": 1, "phantoms": 1}),
        (4, {"epochs": 2}),
    ],
)
def test_the_same_parts_give_the_same_bits(
    parts: int, knobs: dict[str, Any], begin: Begin, tiny_pairs: Path, tmp_path: Path
) -> None:
    """In float32, the default: whoever works on them. Four epochs are 8 steps."""
    knobs, processes = {**knobs, "parts": parts}, parts
    way = partial(beside, begin)
    one = trained(way, tiny_pairs, tmp_path / "one", 1, **knobs)
    several = trained(way, tiny_pairs, tmp_path / "several", processes, **knobs)
    assert [name for name in one if not torch.equal(one[name], several[name])] == []
    for row, other in zip(*(read_metrics(tmp_path / f"{n}/run") for n in ("one", "several")),
                          strict=True):  # fmt: skip
        assert row["train"] == pytest.approx(other["train"], rel=1e-6)  # of all slices
        assert (row["validation"], row["test"]) == (other["validation"], other["test"])


LEAVE = """
import gc, sys, weakref
import torch
import torch.distributed as dist
from petcast.engine.parallel import joined, spread

sys.setswitchinterval(1000)  # gloo's threads get Python's lock only where it is opened for them
with joined("cpu") as world:
    group = weakref.ref(dist.group.WORLD)
    net = spread(torch.nn.Linear(3, 3), world, torch.device("cpu"))
    net(torch.ones(2, 3)).sum().backward()
    dist.all_reduce(torch.ones(1))
del net
gc.collect()
assert group() is not None
"""


@not_on_windows
def test_no_process_waits_for_its_own_threads_when_all_is_done(begin: Begin) -> None:
    """A group that died with the module that learned in it hung about one time in twenty."""
    beside(begin, 2, code=LEAVE)


ONE_LINE = re.compile(r"petcast: another process of this training failed.*\n")


@pytest.mark.slow
@not_on_windows
def test_what_the_first_process_is_refused_the_others_do_not_wait_for(
    begin: Begin, tiny_pairs: Path, tmp_path: Path
) -> None:
    with exclusive(tmp_path / LOCK_FILE):
        first, second = begun(begin, 2, "train", "tiny", "--data", tiny_pairs, "--out", tmp_path)
        assert (first.wait(), second.wait()) == (2, 1)
    assert "another process works in" in first.said()[1]
    assert ONE_LINE.fullmatch(second.said()[1])


ONE_FAILS = """
import os
from torch import nn
import petcast.models.synthesizer
import petcast.train
from petcast.models.cascade import Cascade
petcast.models.synthesizer.build_generator = lambda _: Cascade([nn.Conv2d(3, 3, 3, padding=1)])
def fails(*_):
    raise OSError(28, "No space left on device")
if "{rank}" == os.environ["RANK"]:
    petcast.train.Training.{work} = fails
from petcast.cli import main; main()
"""


@pytest.mark.slow
@not_on_windows
@pytest.mark.parametrize(("rank", "work"), [(1, "_train_epoch"), (0, "_keep")])
def test_a_process_that_fails_says_why_and_the_others_that_it_did(
    begin: Begin, tiny_pairs: Path, tmp_path: Path, rank: int, work: str
) -> None:
    command = ("train", "tiny", "--data", tiny_pairs, "--out", tmp_path / "run")
    ranks = begun(begin, 2, *command, code=ONE_FAILS.format(rank=rank, work=work))
    failed, other = ranks[rank], ranks[1 - rank]
    assert (failed.wait(), other.wait()) == (3, 1)
    assert failed.said()[1].startswith("petcast: No space left on device")
    assert ONE_LINE.fullmatch(other.said()[1])


@pytest.mark.slow
@not_on_windows
def test_processes_that_find_other_pairs_are_refused(
    begin: Begin, tiny_pairs: Path, two_patient_pairs: Path, tmp_path: Path
) -> None:
    """Under one path on two machines, say; else they learn something else, or wait for hours."""
    (tmp_path / "0").symlink_to(tiny_pairs)
    (tmp_path / "1").symlink_to(two_patient_pairs)
    code = (
        f"import os; os.chdir(os.path.join({str(tmp_path)!r}, os.environ['RANK']))\n"
        "from petcast.cli import main; main()"
    )
    command = ("train", "tiny", "--data", ".", "--out", tmp_path / "run")
    for rank in begun(begin, 2, *command, code=code):
        assert rank.wait() == 2
        assert "the 2 processes of this training differ in the pairs: " in rank.said()[1]


def test_processes_that_torchrun_did_not_start_are_refused(monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with (
        pytest.raises(UsageError, match="RANK is not set: start them with torchrun"),
        joined("cpu"),
    ):
        pass


@pytest.mark.parametrize(
    ("device", "word"), [("cuda:1", 'names one GPU.*give "cuda"'), ("cuda", "there are 1; start")]
)
def test_processes_without_a_gpu_each_are_refused(monkeypatch, device: str, word: str) -> None:
    told = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "here"}
    for name, value in (told | {"MASTER_PORT": "1"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match=word), joined(device):
        pass


@pytest.mark.parametrize(("device", "failed_too"), [("cuda", False), ("cpu", True)])
def test_who_fails_among_gpus_does_not_wait_for_the_others_to_take_leave(
    monkeypatch, device: str, failed_too: bool
) -> None:
    """They are in a step that lacks it, and nccl takes leave of all together: a hang, unsaid."""
    told = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "here"}
    for name, value in (told | {"MASTER_PORT": "1"}).items():
        monkeypatch.setenv(name, value)
    left: list[str] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: left.append("left"))
    with joined(device):
        pass
    assert left == ["left"]
    with pytest.raises(ValueError, match="here"), joined(device):
        raise ValueError("here")
    assert left == (["left"] * 2 if failed_too else ["left"])


def test_a_folder_is_waited_for_and_the_user_is_told(
    tmp_path: Path, monkeypatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = ExitStack()
    other.enter_context(exclusive(tmp_path / LOCK_FILE))
    monkeypatch.setattr("time.sleep", lambda _: other.close())
    with held(tmp_path, ALONE, wait=True):
        assert "another training works here; waiting" in caplog.text
        with pytest.raises(BusyError), held(tmp_path, ALONE):
            pass


def torchrun(processes: int, *arguments: object) -> None:
    """Train as docs/train.md says."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node",
        str(processes), "-m", "petcast", *map(str, arguments),
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=False, capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.count(b"The run: ") == 1


def beside(begin: Begin, processes: int, *arguments: object, **how: str) -> None:
    """Train as `torchrun` does, in processes that start quickly."""
    ranks = begun(begin, processes, *arguments, **how)
    while None in (codes := [rank.poll() for rank in ranks]) and not any(codes):
        time.sleep(0.05)
    failed = [rank for rank, code in zip(ranks, codes, strict=True) if code]
    for rank in ranks if failed else []:
        rank.kill()  # who would wait for the one that failed
    assert [rank.said()[1] for rank in failed] == []


OWNED = """
import sys
from petcast.engine.parallel import _keep_until_exit

class Owner:
    def __init__(self):
        self.itself = self

    def __del__(self):
        print("late" if sys.is_finalizing() else "in time", flush=True)

_keep_until_exit(object())
owner = Owner()
del owner
"""


@pytest.mark.slow
@not_on_windows
def test_what_owns_a_group_in_a_cycle_is_gone_before_python_ends() -> None:
    """A process of `torchrun` aborted now and then when its training was done."""
    done = subprocess.run([sys.executable, "-c", OWNED], check=True, capture_output=True)
    assert done.stdout == b"in time\n"


STORES: list[TCPStore] = []
"""They last as long as the processes that meet there."""


def begun(begin: Begin, processes: int, *arguments: object, **how: str) -> list[Any]:
    """Start processes that meet at a store of their own, as of `torchrun`: nobody else can take
    its port.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    common = {
        "WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port,
        "TORCHELASTIC_USE_AGENT_STORE": True, "TORCHELASTIC_RESTART_COUNT": 0,
    }  # fmt: skip
    told = {name: str(value) for name, value in common.items()} if processes > 1 else {}
    STORES.append(store)
    return [
        begin(*arguments, **told, **how, RANK=str(rank), LOCAL_RANK=str(rank))
        for rank in range(processes)
    ]


def trained(
    way: Callable[..., None],
    data: Path,
    folder: Path,
    processes: int,
    epochs: int,
    adversarial: float = 0.0,
    phantoms: int = 0,
    augmentation: AugmentationRecipe = AugmentationRecipe(),  # noqa: B008 - frozen
    **engine,
) -> dict[str, torch.Tensor]:
    recipe = Recipe(
        model=ModelRecipe(name="Stage01", dropout=0.0),
        loss=LossRecipe(adversarial=adversarial),
        training=TrainingRecipe(epochs=epochs, batch_size=4),
        augmentation=augmentation,
        pretraining=PretrainingRecipe(phantoms=phantoms, epochs=1, slice_step_mm=20),
        engine=EngineRecipe(**engine),
    )
    folder.mkdir()
    (folder / "r.toml").write_text(recipe.to_toml())
    way(processes, "train", folder / "r.toml", "--data", data, "--out", folder / "run")
    return load_file(folder / "run/last/model.safetensors")


def relative_difference(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Of all weights together."""
    names = [name for name, value in expected.items() if value.is_floating_point()]
    apart = sum(float((found[name] - expected[name]).double().square().sum()) for name in names)
    size = sum(float(expected[name].double().square().sum()) for name in names)
    return (apart / size) ** 0.5
