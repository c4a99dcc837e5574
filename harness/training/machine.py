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
from typing import Any, Literal, ParamSpec, TypeVar

import torch

from harness import __version__
from harness.distributed import world
from harness.errors import HarnessError
from harness.memory import keep_freed_memory
from harness.uris import shown

Precision = Literal["float32", "tf32", "bf16"]
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Machine:
    """Device, number format and habits of one worker.

    Args:
        device: "auto" (CUDA, else MPS, else CPU), "cpu", "cuda", "cuda:1", "mps".
        precision: "float32"; "tf32" (float32 with TF32 matrix products, CUDA); "bf16" (autocast).
        compile: let torch.compile fuse the encoders and the similarity.
        checkpoint_seconds: how much work a crash may cost at the most, besides the end of every epoch.
        cuda_graphs: with `compile` on CUDA, replay the compiled parts as CUDA graphs: pays where launching the kernels
            takes longer than they do. A part is recorded once for each length of captions.
        pin_memory: on CUDA, read batches into page-locked memory, so that the CPU goes on while they are copied.

    Raises:
        HarnessError: CUDA graphs without compilation.
    """

    device: str = "auto"
    precision: Precision = "float32"
    compile: bool = False
    checkpoint_seconds: float = 120.0
    cuda_graphs: bool = False
    pin_memory: bool = True

    def __post_init__(self) -> None:
        if self.cuda_graphs and not self.compile:
            raise HarnessError("--cuda-graphs replays what torch.compile has made; accepted: with --compile; add it")

    def torch_device(self) -> torch.device:
        """The device, there and working. Of several training processes each takes the GPU of its own place.

        Raises:
            HarnessError: this machine has no such device, or not one for each process.
        """
        if world() > 1:
            return self._own_device(int(os.environ.get("LOCAL_RANK", "0")))
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

    def _own_device(self, place: int) -> torch.device:
        if self.device not in ("auto", "cpu", "cuda"):
            raise HarnessError(
                f"--device {self.device} with {world()} processes: accepted: auto, cpu, or cuda, where each takes a "
                "GPU of its own"
            )
        if self.device == "cpu" or (self.device == "auto" and not torch.cuda.is_available()):
            return torch.device("cpu")
        if place >= torch.cuda.device_count():
            raise HarnessError(
                f"--device {self.device} with {world()} processes: process {place} of this machine has no GPU of its "
                f"own, {torch.cuda.device_count()} are visible; start fewer, or use --device cpu"
            )
        torch.cuda.set_device(place)  # where NCCL expects what it exchanges
        return torch.device("cuda", place)

    def prepare(self) -> None:
        """Settings of the process."""
        keep_freed_memory()
        if self.precision in ("tf32", "bf16"):
            torch.set_float32_matmul_precision("high")

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """Around the forward pass. Losses are computed in float32 by the methods themselves."""
        if self.precision == "bf16":
            return torch.autocast(device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def compiled(self, function: Callable[P, T]) -> Callable[P, T]:
        """`function`, one call of which is the forward pass of one step, compiled if the machine says so."""
        if not self.compile:
            return function
        if not self.cuda_graphs:
            return torch.compile(function, dynamic=True)
        graphed = torch.compile(function, dynamic=True, mode="reduce-overhead")

        def call(*arguments: P.args, **keywords: P.kwargs) -> T:
            torch.compiler.cudagraph_mark_step_begin()  # what the step before left in the graphs' memory may go
            return graphed(*arguments, **keywords)

        return call

    def pins(self, device: torch.device) -> bool:
        """Whether batches are read into page-locked memory."""
        return self.pin_memory and device.type == "cuda"


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
        "cuda_graphs": machine.cuda_graphs,
        "processes": world(),
        "threads": torch.get_num_threads(),
        "command": shown(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]])),
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
