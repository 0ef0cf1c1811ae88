"""Where to compute, and how its memory behaves."""

import ctypes
import os
import sys

import torch
from torch import Tensor

from petcast.errors import UsageError

KINDS = ("cpu", "cuda")


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
    absent = f"there is no device {name!r} here; use auto, cpu or cuda"
    try:
        device = torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise UsageError(absent) from error
    if device.type not in KINDS:
        raise UsageError(absent)
    return device


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
