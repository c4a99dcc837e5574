"""Memory of this process, in bytes."""

import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

_SELF = Path("/proc/self")


def resident() -> int:
    """What is resident now; elsewhere than on Linux the most that ever was."""
    status = _status("VmRSS")
    return status if status is not None else _highest()


def reset_peak() -> None:
    """Start `peak` anew, where the system can."""
    with suppress(OSError):  # not on Linux, or a container that keeps /proc to itself
        (_SELF / "clear_refs").write_text("5")


def peak(device: torch.device | None = None) -> int:
    """The most that was resident since `reset_peak`; with a CUDA device, the most that was allocated there.

    On Linux not `ru_maxrss`, which a process inherits from the one that started it.
    """
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = _status("VmHWM")
    return status if status is not None else _highest()


def _status(key: str) -> int | None:
    try:
        lines = (_SELF / "status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:")), None)


def _highest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
