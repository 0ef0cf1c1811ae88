"""What evaluating a foreign case costs: one command, its time and memory, beside a plain loop.

A case of 300 slices of 256 × 256 is written as NIfTI: a body with organs and noise, and a
prediction that is blurred and biased. `petcast evaluate` runs in a process of its own, as a user
calls it: starting, reading, finding the body, detectors, all metrics of the prediction and of the
trivial images, with lesions and (`--no-lesions`) without. The loop beside it is what a script would
do: SSIM, PSNR and MAE of each slice with scikit-image, for the prediction alone, and no region.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

LOOP = """
import sys, numpy as np, SimpleITK as sitk
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
truth, guess = (
    np.clip(sitk.GetArrayFromImage(sitk.ReadImage(p)) / 10, 0, 1) for p in sys.argv[1:]
)
knobs = dict(data_range=1.0, gaussian_weights=True, use_sample_covariance=False)
for t, g in zip(truth, guess):
    structural_similarity(t, g, **knobs), peak_signal_noise_ratio(t, g + 1e-9, data_range=1.0)
    abs(t - g).mean()
"""

EVALUATE = """
import sys
from petcast.cli import main
sys.argv = ["petcast", "evaluate", "--truth", sys.argv[1], "--predictions", *sys.argv[2:], "--json"]
main()
"""

CALLS = (
    ("petcast evaluate", EVALUATE, ()),
    ("without lesions", EVALUATE, ("--no-lesions",)),
    ("scikit-image loop", LOOP, ()),
)

PEAK = """
import atexit, sys
from pathlib import Path
def tell():
    status = Path("/proc/self/status")
    sys.stderr.write(status.read_text() if status.exists() else "")
atexit.register(tell)
"""


def write_case(place: Path, slices: int, side: int) -> tuple[Path, Path]:
    from scipy.ndimage import gaussian_filter

    from petcast.volume import Unit, Volume

    z, y, x = np.mgrid[:slices, :side, :side].astype(np.float32)
    centre = side / 2
    body = ((y - centre) / (0.3 * side)) ** 2 + ((x - centre) / (0.4 * side)) ** 2 < 1
    organ = ((y - 0.4 * side) ** 2 + (x - 0.35 * side) ** 2 < (0.08 * side) ** 2) & (z % 90 > 40)
    lungs = ((y - centre) / 30) ** 2 + ((abs(x - centre) - 45) / 25) ** 2 + (z / 150 - 1) ** 2 < 1
    suv = np.where(body, 1 + 2.5 * organ - 0.6 * lungs + 0.2 * np.sin(z / 17), 0)
    for place_mm in (
        (slices // 3, 0.45 * side, 0.6 * side),
        (slices // 2, 0.55 * side, 0.3 * side),
    ):
        away = sum((axis - at) ** 2 for axis, at in zip((z, y, x), place_mm, strict=True))
        suv += 8 * np.exp(-away / 18)
    noise = np.random.default_rng(0).standard_normal(suv.shape, dtype=np.float32)
    truth = np.clip(gaussian_filter(suv, 1.2) + 0.15 * body * gaussian_filter(noise, 0.7), 0, None)
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    paths = place / "truth.nii.gz", place / "prediction.nii.gz"
    guess = 0.9 * gaussian_filter(truth, 1.5)
    for path, voxels in zip(paths, (truth, guess), strict=True):
        Volume(np.asarray(voxels, np.float32), affine, Unit.SUV).save(path)
    return paths


def run(script: str, arguments: list[str], threads: int) -> tuple[float, float, float]:
    """Wall and processor seconds and peak memory in MB of a process of its own."""
    command = [sys.executable, "-c", PEAK + script, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PETCAST_SALT": "bench"}
    start, busy = time.perf_counter(), sum(os.times()[2:4])
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    taken_s, busy_s = time.perf_counter() - start, sum(os.times()[2:4]) - busy
    if done.returncode:
        raise SystemExit(done.stderr)
    peak = re.findall(r"VmHWM:\s+(\d+) kB", done.stderr)
    return taken_s, busy_s, int(peak[0]) / 1024 if peak else float("nan")


def main() -> None:
    from petcast.workers import cores

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=cores())
    knobs = parser.parse_args()
    print(f"{knobs.slices} slices of {knobs.side}², {knobs.threads} threads")
    with tempfile.TemporaryDirectory(prefix="petcast-bench-") as folder:
        paths = write_case(Path(folder), knobs.slices, knobs.side)
        print("round   what                wall s   processor s   peak MB")
        for number in range(knobs.rounds):
            for what, script, options in CALLS:
                arguments = [*map(str, paths), *options]
                wall_s, busy_s, peak_mb = run(script, arguments, knobs.threads)
                print(
                    f"{number + 1:5}   {what:17} {wall_s:8.1f} {busy_s:13.1f} {peak_mb:9.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
