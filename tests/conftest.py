"""What all tests share: the real data, where they are at hand, and small pairs of phantoms."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from petcast.grid import part_of
from petcast.pairs import Pairs, study_folder, write_index, write_study
from petcast.pairs.split import PARTS
from petcast.phantom import write_cohort
from petcast.prepare import prepare
from petcast.recipe import PreparationRecipe
from petcast.refusal import Reason
from petcast.volume import Unit, Volume

SEEN_IN_VOXELS = frozenset(
    {reason for reason in Reason if reason.startswith("NIFTI-")}
    | {Reason.NOT_FINITE, Reason.NOT_SUV, Reason.NOT_A_MASK, Reason.FIELD_OF_VIEW, Reason.NO_LUNGS}
)
"""Reasons that no DICOM header shows; tests/nifti/test_reasons.py has a fixture for each, and
tests/dicom/test_reasons.py for each of the others."""


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever needs the cohort of phantoms is slow: the first to ask has it drawn."""
    for item in items:
        if "tiny_cohort" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def seen_in_voxels() -> frozenset[Reason]:
    return SEEN_IN_VOXELS


REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real PET/CT; the test is skipped where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip("the real PET/CT are not on this machine")
    return REAL_DATA


@pytest.fixture
def latin_folder(tmp_path: Path) -> Path:
    """An empty folder named in Latin-1, as those of older systems are: its name is no UTF-8."""
    folder = tmp_path / os.fsdecode(b"M\xfcller")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes no names but UTF-8")
    return folder


MIDDLE_MM = (12.0, -30.0)
"""Where the drawn chest stands, off the origin along x and y."""

Chest = Callable[..., Volume]


def _chest(
    spacing_mm: tuple[float, float, float] = (5.0, 5.0, 6.0),
    reach_mm: tuple[float, float] = (-132.0, 132.0),
    lungs: bool = True,
) -> Volume:
    """A CT drawn from ellipses: trunk, lungs with a windpipe, gas in the bowel, a table below."""
    x_mm, y_mm = (np.arange(-220, 220.1, step) for step in spacing_mm[:2])
    z_mm = np.arange(reach_mm[0], reach_mm[1] + 0.1, spacing_mm[2])
    z, y, x = np.meshgrid(z_mm, y_mm, x_mm, indexing="ij")
    hu = np.full(x.shape, -1000.0)
    hu[np.abs(y - 150) < 6] = -200
    hu[(x / 170) ** 2 + (y / 120) ** 2 < 1] = 40
    for side in (-80, 80) if lungs else ():
        hu[((x - side) / 55) ** 2 + (y / 80) ** 2 + (z / 90) ** 2 < 1] = -800
    if lungs:
        hu[(x**2 + (y + 20) ** 2 < 9**2) & (z > 20)] = -1000
    hu[((x - 30) / 30) ** 2 + (y / 30) ** 2 + ((z + 115) / 15) ** 2 < 1] = -1000
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = (x_mm[0] + MIDDLE_MM[0], y_mm[0] + MIDDLE_MM[1], z_mm[0])
    return Volume(hu.astype(np.int16), affine, Unit.HU)


@pytest.fixture(scope="session")
def chest() -> Chest:
    """Draws a CT of a chest on any grid; without lungs, if wished."""
    return _chest


SALT = "tests"
SLICES = 3


def _made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first of pytest's worker processes makes and all of them read."""
    import fcntl

    shared = factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    folder, whole = shared / name, shared / f"{name}.whole"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            make(folder)
            whole.touch()
    return folder


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four coarse phantom patients as DICOM."""

    def make(out: Path) -> None:
        write_cohort(out, 4, ct_size=96, pet_size=64, slice_step_mm=12, workers=1)

    return _made_once(tmp_path_factory, "cohort", make) / "dicom"


@pytest.fixture(scope="session")
def whole_pairs(tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All slices of the four patients, as `prepare` gives them; not to be changed."""

    def make(out: Path) -> None:
        prepare([tiny_cohort], out, PreparationRecipe(margin_mm=0), salt=SALT, workers=1)

    return _made_once(tmp_path_factory, "pairs", make)


def _few_slices(whole: Path, out: Path, parts: Sequence[str], *, marked: bool = False) -> Path:
    """The middle slices of as many patients as there are parts, for quick training."""
    pairs, rows = Pairs.open(whole), []
    for study, row, part in zip(pairs.studies(), pairs.index["studies"], parts, strict=False):
        kept = slice(study.slices // 2, study.slices // 2 + SLICES)
        arrays = {name: getattr(study, name)[kept] for name in ("ct", "pet", "regions")}
        if marked:
            arrays["lesions"] = (arrays["pet"] > 2).astype(np.uint8)
        grid = part_of(study.grid, kept)
        card = write_study(study_folder(out, study.id), arrays, grid, dict(row))
        rows.append(row | {"slices": SLICES, "hash": card["hash"], "part": part})
    named = {part: [row["patient"] for row in rows if row["part"] == part] for part in PARTS}
    write_index(out, pairs.index | {"studies": rows, "parts": named})
    return out


@pytest.fixture(scope="session")
def tiny_pairs(whole_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of four patients: two train, one validates, one tests."""
    parts = ("train", "validation", "train", "test")
    return _few_slices(whole_pairs, tmp_path_factory.mktemp("four"), parts)


@pytest.fixture(scope="session")
def marked_pairs(whole_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of two patients with lesion masks: one trains, one tests."""
    return _few_slices(
        whole_pairs, tmp_path_factory.mktemp("marked"), ("train", "test"), marked=True
    )


@pytest.fixture(scope="session")
def two_patient_pairs(whole_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of two patients: one trains, one tests, none validates."""
    return _few_slices(whole_pairs, tmp_path_factory.mktemp("two"), ("train", "test"))


@pytest.fixture(scope="session")
def test_only_pairs(whole_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of one patient, kept for testing: nothing to train on."""
    return _few_slices(whole_pairs, tmp_path_factory.mktemp("one"), ("test",))


@contextlib.contextmanager
def _files_up_to(size: int) -> Iterator[None]:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture
def files_up_to() -> Callable[[int], contextlib.AbstractContextManager[None]]:
    """Within it no file of this process can grow larger, as on a disk that is full."""
    return _files_up_to


# Processes of their own, which may be killed

PRELOADED = (
    "torch", "torch._dynamo", "scipy.interpolate", "pydicom", "SimpleITK", "petcast.cli",
    "petcast.prepare", "petcast.train", "petcast.evaluate", "petcast.report",
)  # fmt: skip
"""What every process of petcast's would load, for seconds."""

COMMAND_LINE = "from petcast.cli import main; main()"

_BEGIN = """
import os, signal, sys
os.setsid()
signal.signal(signal.SIGINT, signal.default_int_handler)  # the server ignores it
os.environ.clear()
os.environ.update(environment)
for number, path in enumerate(streams, 1):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
sys.argv = ["petcast", *arguments]
exec(compile(code, "<child>", "exec"), {"__name__": "__main__"})
"""


@dataclass
class Child:
    """A process of its own, in a session of its own; as `subprocess.Popen`, but quick to start."""

    process: Any
    streams: tuple[Path, Path]

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Its status, negative after a signal; None where it still runs."""
        self.process.join(timeout_s)
        return self.process.exitcode

    def kill(self) -> int | None:
        """Kill it and whom it started."""
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            os.killpg(self.pid, signal.SIGKILL)
        return self.wait()

    def said(self) -> tuple[str, str]:
        """All of its standard output and of its errors."""
        self.wait()
        stdout, stderr = (path.read_text() for path in self.streams)
        return stdout, stderr


Begin = Callable[..., Child]


@pytest.fixture(scope="session")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Begin]:
    """Starts Python code, or petcast, in a process of its own with one thread.

    It is forked from a server that has loaded what takes seconds, and nothing else.
    """
    from multiprocessing import get_context

    context, children = get_context("forkserver"), []
    context.set_forkserver_preload(list(PRELOADED))

    def started(*arguments: object, code: str = COMMAND_LINE, **environment: str) -> Child:
        folder = tmp_path_factory.mktemp("child")
        streams = folder / "stdout", folder / "stderr"
        given = {
            "arguments": [str(argument) for argument in arguments],
            "streams": [str(path) for path in streams],
            "environment": os.environ | {"OMP_NUM_THREADS": "1"} | environment,
            "code": code,
        }
        with pytest.MonkeyPatch.context() as patch:  # the server takes its threads from here
            patch.setenv("OMP_NUM_THREADS", "1")
            process = context.Process(target=exec, args=(_BEGIN, given))
            process.start()
        child = Child(process, streams)
        children.append(child)
        return child

    yield started
    for child in children:
        child.kill()


# What hostile files may cost


def _status(process: int | str, field: str) -> int:
    """Bytes of a field of a process's status; 0 where the system does not tell."""
    try:
        found = Path(f"/proc/{process}/status").read_text().partition(f"{field}:")[2].split()
    except OSError:
        return 0
    return int(found[0]) * 1024 if found else 0


@dataclass
class Watch:
    """What the longest and the hungriest step took, the codec's process included."""

    LONGEST_S: ClassVar[float] = 5.0
    MOST_BYTES: ClassVar[int] = 1 << 30

    longest_s: float = 0.0
    most_bytes: int = 0
    codec_bytes: int = 0

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before, started, self.codec_bytes = _status("self", "VmHWM"), time.perf_counter(), 0
        try:
            yield
        finally:
            self.longest_s = max(self.longest_s, time.perf_counter() - started)
            self.look(_codec())
            own = _status("self", "VmHWM") - before
            self.most_bytes = max(self.most_bytes, own + self.codec_bytes)

    def look(self, codec: Any) -> None:
        """Note the codec's peak; asked also before a process is given up."""
        if codec._process is not None:
            self.codec_bytes = max(self.codec_bytes, _status(codec._process.pid, "VmHWM"))

    def judge(self, what: str) -> None:
        took = f"{what}; longest {self.longest_s:.2f} s, most {self.most_bytes >> 20} MiB"
        sys.stdout.write(f"\n{took}\n")
        assert self.longest_s < self.LONGEST_S, took
        assert self.most_bytes < self.MOST_BYTES, took


def _codec() -> Any:
    from petcast.dicom.codec import shared_codec

    return shared_codec()


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Measures what mutated files cost, here and in the codec's process."""
    from petcast.dicom.codec import Codec

    watch, close = Watch(), Codec.close

    def looked_at(codec: Any) -> None:
        watch.look(codec)
        close(codec)

    monkeypatch.setattr(Codec, "close", looked_at)
    return watch
