"""Where to compute, and how its memory behaves."""

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch
from torch import Tensor

from petcast.errors import MemoryShortError, UsageError

KINDS = ("cpu", "cuda")

GPUS = Path("/proc/driver/nvidia/gpus")
"""What the driver's kernel module shows, a folder each."""

OUT_OF_MEMORY = (
    "out of memory", "t allocate memory", "not enough memory", "STATUS_ALLOC_FAILED",
)  # fmt: skip
"""How libraries say it below torch: CUDA and its drivers, glibc, Windows, cuBLAS and cuDNN."""


def choose_device(name: str) -> torch.device:
    """Say where to compute.

    Args:
        name: "auto" takes a GPU where there is one; else "cpu", "cuda" or one of several GPUs,
            "cuda:1". torch knows more devices, such as "meta", which computes nothing.

    Returns:
        The device.

    Raises:
        UsageError: There is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    offered = "auto, cpu or cuda" if torch.cuda.is_available() else "auto or cpu"
    absent = f"there is no device {name!r} here; use {offered}"
    try:
        device = torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        if name.partition(":")[0] != "cuda":
            raise UsageError(absent) from error
        raise UsageError(_without_gpu(name, error)) from error
    if device.type not in KINDS:
        raise UsageError(absent)
    return device


def _without_gpu(name: str, error: Exception) -> str:
    """Why a GPU cannot be had, and what helps: torch's own first line says it of a driver."""
    if torch.version.cuda is None:
        return (
            f"there is no device {name!r} here: this torch ({torch.__version__}) was built without "
            "CUDA; install one with it (https://pytorch.org/get-started), or use auto or cpu"
        )
    there, wanted = torch.cuda.device_count(), name.partition(":")[2]
    if there and wanted.isdecimal() and int(wanted) >= there:
        return f"there is no device {name!r} here: this machine shows {there}, from cuda:0 on"
    return f"{name!r} cannot be used here ({_said(error)}); mend that, or use auto or cpu"


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Send numbers to where they are computed with, and wait for nobody.

    A copy to a GPU from ordinary memory first waits until the GPU has done all that was begun, and
    then finds nothing to do while the next step is begun.

    Args:
        values: In the processor's memory.
        device: Where to.

    Returns:
        The same numbers there.
    """
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def passed_over() -> str:
    """Say of a machine with GPUs of NVIDIA's why "auto" takes none of them.

    Returns:
        A sentence; nothing where there is none, torch can use it, or the user hides it.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if hidden or torch.cuda.is_available() or not GPUS.is_dir() or not any(GPUS.iterdir()):
        return ""
    if torch.version.cuda is None:
        why = f"this torch ({torch.__version__}) was built without CUDA"
    else:
        why = "torch cannot use them; their driver may be too old for it"
    return f"this machine has NVIDIA GPUs, but {why}; training runs on the processor"


def imitates_bfloat16(device: torch.device) -> bool:
    """Say whether a device computes bfloat16 by way of float32, for want of such instructions.

    Networks then take several times as long as in float32.

    Args:
        device: A processor or a GPU.

    Returns:
        Whether it does; False where torch cannot tell.
    """
    if device.type == "cuda":
        return not torch.cuda.is_bf16_supported(including_emulation=False)
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return supported is not None and not supported()


@contextmanager
def within_memory(what: str, remedy: Callable[[], str]) -> Iterator[None]:
    """Say in a line that memory did not suffice.

    Args:
        what: The work inside the block, and where it is done.
        remedy: Gives what to do; asked only then.

    Raises:
        MemoryShortError: It did not.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _of_memory(error):
            raise
        raise MemoryShortError(
            f"{what} needs more memory than there is ({_said(error)}): {remedy()}"
        ) from error


def casting_within_memory(device: torch.device | str) -> AbstractContextManager[None]:
    """Say in a line that memory did not suffice to cast PETs.

    Args:
        device: Where they are cast.

    Returns:
        A context manager around the work.
    """
    elsewhere = "" if torch.device(device).type == "cpu" else (
        ", or compute on the processor: --device cpu, or CUDA_VISIBLE_DEVICES= before the command"
    )  # fmt: skip
    return within_memory(f"casting on {device}", lambda: f"free what others take of it{elsewhere}")


def _of_memory(error: Exception) -> bool:
    named = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return named or any(words in str(error) for words in OUT_OF_MEMORY)


def _said(error: Exception) -> str:
    """What torch or numpy says, without its advice and where in its source it was found."""
    told = str(error).strip().rpartition("DefaultCPUAllocator: ")[2].partition("\n")[0]
    until_free, free, _ = told.partition(" is free.")
    return (until_free + " is free" if free else told).rstrip(".") or "out of memory"


def fix_threads() -> None:
    """Have every library compute on as many threads as torch says, always on so many and alike.

    By default MKL may take fewer for a product, and another number rounds otherwise, which bits
    that shall come again cannot bear. torch forbids it that once a number is set. Even on the same
    threads MKL promises the same bits from run to run only where it is asked to, before its first
    product in a process; a choice of the user's own stands.

    Reference:
        Intel oneMKL Developer Guide, Obtaining Numerically Reproducible Results (MKL_CBWR).
    """
    os.environ.setdefault("MKL_CBWR", "AUTO")
    torch.set_num_threads(torch.get_num_threads())


def keep_freed_memory() -> None:
    """Have glibc keep the memory of large temporaries for the next step.

    It would hand each back to the system and fault it in anew at every step, which costs more
    than the arithmetic of a small batch. Elsewhere than on glibc nothing happens.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    trim_threshold, mmap_threshold, largest = -1, -3, 1 << 30
    mallopt(mmap_threshold, largest)
    mallopt(trim_threshold, largest)
