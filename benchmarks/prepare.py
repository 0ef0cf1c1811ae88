"""How preparation grows: headers a second beside plain pydicom; time and memory of 1, 2, 4 times.

The files are phantoms: real DICOM with small slices, each patient with identifiers and pixels of
its own. Scanning is timed in turns with a loop that only reads each header with pydicom, in as many
processes over the same files. Preparation runs in a process of its own for each size, so that its
peak memory is known. A few patients with slices of full size tell what a slice of a real one costs.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

# petcast is imported where it is used: each of the processes imports this file, and the bare loop
# shall pay for pydicom alone.
CHUNK_FILES = 64
COLLECTION_FILES, COLLECTION_SLICES = 251_135, 63_972 + 35_543
"""Lung-PET-CT-Dx: all files, and the slices of its usable CT and PET."""
SMALL = {"size": 32, "spacing_mm": 16.0, "slices": "all"}
FULL_MODELS = 2


def read_bare(path: Path) -> None:
    from pydicom import dcmread

    dcmread(path, stop_before_pixels=True)


def bare(tree: Path, workers: int) -> None:
    """What a tutorial writes: all headers, in processes, nothing kept."""
    places = os.walk(tree, followlinks=True)
    files = [Path(place) / name for place, _, names in places for name in names]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for _ in pool.map(read_bare, files, chunksize=CHUNK_FILES):
            pass


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def busy_s() -> float:
    """Processor time so far, of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def both_seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Time by the clock and by the processors, which does not count waiting for others' work."""
    busy = busy_s()
    return seconds(work), busy_s() - busy


def peak_mb() -> tuple[float, float]:
    """The largest resident memory so far of this process, and of its largest child."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, children
    # getrusage would count the process that started this one
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024, children


def prepare_once(tree: Path, out: Path, knobs: dict[str, object], workers: int) -> None:
    """Prepare in this process; print what it took."""
    from petcast.prepare import prepare
    from petcast.recipe import PreparationRecipe

    recipe = PreparationRecipe(**knobs)
    taken_s, busy = both_seconds(
        lambda: prepare([tree], out, recipe, salt="bench", workers=workers)
    )
    own, child = peak_mb()
    studies = len(list((out / "studies").iterdir()))
    facts = {"seconds": taken_s, "busy": busy, "own": own, "child": child, "studies": studies}
    print(json.dumps(facts))


def prepared(tree: Path, out: Path, workers: int, full: bool = False) -> dict[str, float]:
    """Prepare in a process of its own; its pairs are not kept."""
    command = [sys.executable, __file__, "--once", str(tree), str(out)]
    command += ["--workers", str(workers), *(["--full"] if full else [])]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    shutil.rmtree(out)
    return json.loads(answer)


def part_of(tree: Path, share: Path, patients: int) -> Path:
    """The first patients of a tree, as links."""
    share.mkdir()
    for folder in sorted(tree.iterdir())[:patients]:
        (share / folder.name).symlink_to(folder)
    return share


def bench_scan(tree: Path, files: int, rounds: int, workers: int) -> float:
    """Time both in turns, the first one alternating; give the rate of scanning."""
    from petcast.dicom.scan import scan

    bare(tree, workers)  # brings the files into memory
    print(f"\nscan beside bare pydicom in turns, {files:,} files, {workers} processes")
    print("round   bare files/s   scan files/s   scan/bare   by processor time")
    ways = {
        "bare": lambda: bare(tree, workers),
        "scan": lambda: scan([tree], salt="bench", workers=workers),
    }
    wall, busy = [], []
    for number in range(rounds):
        order = list(ways) if number % 2 == 0 else list(ways)[::-1]
        took = {name: both_seconds(ways[name]) for name in order}
        (bare_s, bare_busy_s), (scan_s, scan_busy_s) = took["bare"], took["scan"]
        wall.append((bare_s, scan_s))
        busy.append(bare_busy_s / scan_busy_s)
        print(
            f"{number + 1:5} {files / bare_s:14.0f} {files / scan_s:14.0f} {bare_s / scan_s:11.2f}"
            f" {busy[-1]:19.2f}",
            flush=True,
        )
    median = statistics.median(bare_s / scan_s for bare_s, scan_s in wall)
    print(f"median {median:41.2f} {statistics.median(busy):19.2f}")
    return files / statistics.median(scan_s for _, scan_s in wall)


def bench_growth(place: Path, tree: Path, files: int, times: Sequence[int], workers: int) -> None:
    patients = len(list(tree.iterdir()))
    largest = max(times)
    print(f"\nprepare, small slices, {workers} processes")
    head = "seconds   files/s   processor ms a file   parent MB   largest worker MB"
    print(f"times   files   studies   {head}")
    for factor in times:
        share = part_of(tree, place / f"{factor}", patients * factor // largest)
        found = prepared(share, place / "pairs", workers)
        count = files * factor // largest
        print(
            f"{factor:5} {count:7,} {found['studies']:9,} {found['seconds']:9.1f}"
            f" {count / found['seconds']:9.0f} {found['busy'] / count * 1000:21.1f}"
            f" {found['own']:11.0f} {found['child']:19.0f}",
            flush=True,
        )


def bench_full(place: Path, patients: int, workers: int) -> float:
    from petcast.phantom.crowd import write_crowd

    tree = place / "full"
    files = write_crowd(
        tree, patients, models=FULL_MODELS, ct_size=512, pet_size=200, slice_step_mm=None
    )
    found = prepared(tree, place / "pairs", workers, full=True)
    rate = files / found["seconds"]
    print(
        f"\nprepare, slices of full size (512² and 200²) onto 256² at 2 mm: {files:,} files of "
        f"{patients} patients, {found['seconds']:.1f} s, {rate:.1f} files/s, "
        f"{found['busy'] / files * 1000:.0f} processor ms a file, "
        f"largest worker {found['child']:.0f} MB"
    )
    return rate


def main() -> None:
    from petcast.phantom.crowd import write_crowd
    from petcast.workers import cores

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=5000, help="about so many at 1 ×")
    parser.add_argument("--times", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--full-patients", type=int, default=4)
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--once", type=Path, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--full", action="store_true", help=argparse.SUPPRESS)
    knobs = parser.parse_args()
    if knobs.once:
        prepare_once(*knobs.once, {} if knobs.full else SMALL, knobs.workers)
        return
    with tempfile.TemporaryDirectory(prefix="petcast-bench-") as folder:
        place = Path(folder)
        patients = max(1, round(knobs.files / 100)) * max(knobs.times)
        start = time.perf_counter()
        files = write_crowd(place / "tree", patients, workers=knobs.workers)
        print(f"{files:,} files of {patients} patients in {time.perf_counter() - start:.0f} s")
        headers = bench_scan(place / "tree", files, knobs.rounds, knobs.workers)
        bench_growth(place, place / "tree", files, knobs.times, knobs.workers)
        slices = bench_full(place, knobs.full_patients, knobs.workers)
    hours = (COLLECTION_FILES / headers + COLLECTION_SLICES / slices) / 3600
    print(
        f"\nAt these rates the whole collection of {COLLECTION_FILES:,} files takes {hours:.1f} "
        f"hours with {knobs.workers} processes: {COLLECTION_FILES / headers:.0f} s for the headers,"
        f" the rest for {COLLECTION_SLICES:,} usable slices."
    )


if __name__ == "__main__":
    main()
