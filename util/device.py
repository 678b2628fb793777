"""Choosing a device once, and asking it what it did."""

import ctypes
import resource
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch

from util.errors import InputError

# Names and numbers of glibc's malloc.h; bytes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MOST_KEPT = 1 << 30

AUTOCAST = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}

# CUDA errors come late and for good; older versions of torch have no class of their own for them.
DEVICE_LOST = tuple(filter(None, [getattr(torch, "AcceleratorError", None)]))

Result = TypeVar("Result")


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" takes CUDA, else Apple's MPS, else the CPU.

    Raises:
        InputError: the name is unknown, or this machine has no such device.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, present in available.items() if present))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device {name} is unknown; choose auto, cpu, cuda, cuda:N or mps") from error
    if not available.get(device.type, False):
        raise InputError(f"device {name} is not available on this machine; choose auto or cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {name} does not exist; this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def autocast(device: torch.device, amp: str) -> torch.autocast:
    """Automatic mixed precision, by one of the names of `AUTOCAST`."""
    return torch.autocast(device.type, dtype=AUTOCAST[amp], enabled=amp != "off")


def allow_tf32(allowed: bool) -> None:
    """Whether CUDA devices multiply float32 as TF32, with 10 bits behind the point instead of 23; CPUs never do.

    PyTorch by itself allows it in convolutions alone. Its newer switches are left alone: torch.export fails after
    their use.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def keep_freed_memory(device: torch.device) -> None:
    """Where the work is done on a CPU, let this process keep the memory of freed tensors for the next ones.

    By default glibc returns large blocks to the system at once, which then clears every page anew for the next tensor.
    Other C libraries are left as they are.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" and device.type == "cpu" else None
    if libc is not None and hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, MOST_KEPT)
        libc.mallopt(M_TRIM_THRESHOLD, MOST_KEPT)


class Trial:
    """A way of computing that is compared with the plain way once, on what it is first used for, before it is believed.

    Where it fails or the results differ there is one warning, and the plain way is taken from then on.

    Args:
        name: what is computed, for the warning.

    Attributes:
        believed: None before the comparison.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.believed: bool | None = None

    def run(
        self,
        device: torch.device,
        own: Callable[[], Result | None],
        plain: Callable[[], Result],
        difference: Callable[[Result, Result], str],
    ) -> Result:
        """The result, by whichever way is to be believed.

        Args:
            device: where it is computed.
            own: the way on trial; None where it does not go so far.
            plain: the plain way.
            difference: says in what the first result differs from the second; "" where it does not.

        Raises:
            torch.OutOfMemoryError: neither way is judged then.
            torch.AcceleratorError: the device is lost for this process.
        """
        if self.believed is None:
            expected = plain()
            synchronise(device)  # so that what went wrong before is not blamed on it
            try:
                found = own()
                synchronise(device)
                fault = "" if found is None else difference(found, expected)
            except (torch.OutOfMemoryError, *DEVICE_LOST):
                raise
            except Exception as error:
                found, fault = expected, str(error) or type(error).__name__
            if found is not None:
                self.believed = not fault
            if fault:
                message = f"{self.name}: not as computed the plain way, which is taken from now on ({fault})"
                warnings.warn(message, RuntimeWarning, stacklevel=3)
            return expected
        found = own() if self.believed else None
        return plain() if found is None else found


@cache
def trial(name: str) -> Trial:
    """The trial of that name; there is one in a process."""
    return Trial(name)


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_memory_mb(device: torch.device) -> float:
    """Largest memory use so far, in MB (10^6 bytes): tensors on a CUDA device, else the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def used_memory_bytes(device: torch.device) -> float:
    """Memory in use now: that of tensors on a GPU, else that of the process."""
    if device.type == "cuda":
        return float(torch.cuda.memory_allocated(device))
    if device.type == "mps":
        return float(torch.mps.current_allocated_memory())
    statm = Path("/proc/self/statm")
    if statm.is_file():
        return float(int(statm.read_text().split()[1]) * resource.getpagesize())
    return peak_memory_mb(device) * 1e6
