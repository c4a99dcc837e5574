"""Where and how a run is computed. None of it belongs to the science, so none of it is in a run's fingerprint."""

import contextlib
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from harness import __version__
from harness.errors import HarnessError

Precision = Literal["float32", "tf32", "bf16"]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Machine:
    """Device, number format and habits of one worker.

    Args:
        device: "auto" (CUDA, else MPS, else CPU), "cpu", "cuda", "cuda:1", "mps".
        precision: "float32"; "tf32" (float32 with TF32 matrix products, CUDA); "bf16" (autocast).
        compile: let torch.compile fuse the encoders and the similarity.
        checkpoint_seconds: how much work a crash may cost at the most, besides the end of every epoch.
    """

    device: str = "auto"
    precision: Precision = "float32"
    compile: bool = False
    checkpoint_seconds: float = 120.0

    def torch_device(self) -> torch.device:
        """The device, there and working.

        Raises:
            HarnessError: this machine has no such device.
        """
        if self.device == "auto":
            mps = torch.backends.mps.is_available()
            return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
        try:
            device = torch.device(self.device)
            torch.zeros(1, device=device)
        except (RuntimeError, AssertionError, NotImplementedError):
            raise HarnessError(
                f"--device {self.device}: this machine has no such device; accepted: auto, cpu, cuda, cuda:N, mps"
            ) from None
        return device

    def prepare(self) -> None:
        """Settings of the process."""
        if self.precision in ("tf32", "bf16"):
            torch.set_float32_matmul_precision("high")

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """Around the forward pass. Losses are computed in float32 by the methods themselves."""
        if self.precision == "bf16":
            return torch.autocast(device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def compiled(self, function: F) -> F:
        return torch.compile(function, dynamic=True) if self.compile else function  # type: ignore[return-value]


def environment(machine: Machine, device: torch.device) -> dict[str, Any]:
    """Versions, device and commit: what a result's reader wants to know and its fingerprint must not depend on."""
    return {
        "harness": __version__,
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "hostname": socket.gethostname(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": machine.precision,
        "compile": machine.compile,
        "threads": torch.get_num_threads(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
    }


def _git_commit() -> str | None:
    """The checkout's commit, with "-dirty" where files differ from it; None for an installed package."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
