"""Worker processes on this machine, each with its share of the cores and, where there are GPUs, one of them."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from harness.errors import HarnessError
from harness.launch.engines.base import Command, Engine, Worker
from harness.ledger import Cell

VISIBLE = "CUDA_VISIBLE_DEVICES"
DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # one of them is there on a Linux with GPUs: NVIDIA, WSL, AMD


class Process(Worker):
    """A child process in a session of its own: it outlives a launcher that is killed, and finishes its cell."""

    def __init__(self, process: subprocess.Popen[bytes], gpu: str | None) -> None:
        self.process = process
        self.gpu = gpu

    def poll(self) -> int | None:
        return self.process.poll()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.process.kill()


class Local(Engine):
    """Subprocesses of the launcher.

    Args:
        jobs: workers at once; each gets an equal share of the processor cores, unless OMP_NUM_THREADS says otherwise.
        gpus: which GPUs to use, by their place in CUDA_VISIBLE_DEVICES where that is set. Each worker gets the one
            that the fewest workers use, so `jobs = 4` puts two on each of two. Default: all that CUDA finds. A worker
            that is told its own (`--device cuda:1`) keeps it; one of several processes gets all.
    """

    def __init__(
        self, jobs: int, *, gpus: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    ) -> None:
        super().__init__(jobs)
        self.gpus = _visible(gpus)
        self._workers: list[Process] = []

    def start(self, cells: Sequence[Cell], command: Command) -> dict[Cell, Worker]:
        return {cell: self._start(cell, command(cell)) for cell in cells}

    def _start(self, cell: Cell, command: list[str]) -> Process:
        threads = str(max(1, (os.cpu_count() or 1) // self.jobs))
        environment = {"OMP_NUM_THREADS": threads, **os.environ}
        gpu = None
        if self.gpus and "--processes" in command:
            environment[VISIBLE] = ",".join(self.gpus)
        elif self.gpus and not any(word.startswith("cuda:") for word in command):
            gpu = environment[VISIBLE] = self._least_loaded()
        with open(cell.path("log.txt"), "ab") as log:  # the worker keeps it
            process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
            )
        self._workers.append(Process(process, gpu))
        return self._workers[-1]

    def _least_loaded(self) -> str:
        self._workers = [worker for worker in self._workers if worker.poll() is None]
        load = Counter(worker.gpu for worker in self._workers)
        return min(self.gpus, key=lambda gpu: load[gpu])  # of equals the first


def _visible(gpus: list[int] | None) -> list[str]:
    """The names of the GPUs to hand out, as CUDA_VISIBLE_DEVICES takes them; none on a machine without."""
    allowed = os.environ.get(VISIBLE)
    if allowed is None:
        found = _found()
        if gpus is not None and max(gpus) >= len(found):
            raise HarnessError(
                f"local.gpus = {gpus}: CUDA finds {len(found)} GPUs here, counted from 0; name some of these, or leave "
                "the key out to train on what there is"
            )
        return list(map(str, found if gpus is None else gpus))
    names = [name.strip() for name in allowed.split(",") if name.strip() not in ("", "-1")]
    if gpus is None:
        return names
    if max(gpus) >= len(names):
        raise HarnessError(
            f"local.gpus = {gpus}: {VISIBLE}={allowed} leaves {len(names)}, counted from 0; "
            f"name some of these, or unset {VISIBLE}"
        )
    return [names[gpu] for gpu in gpus]


def _found() -> range:
    """Counted without a CUDA context in this process, which only waits; and where no driver is, without torch."""
    if sys.platform == "linux" and not any(Path(driver).exists() for driver in DRIVERS):
        return range(0)
    import torch

    return range(torch.cuda.device_count())
