"""What this machine can do: the rate of a square matrix product, in GFLOP/s."""

import statistics
import time

import torch

from harness.training.machine import Machine

REPEATS = 9


def matmul_rate(machine: Machine, device: torch.device, *, side: int | None = None) -> float:
    """The median rate over some products, in the machine's precision and with the threads that training has.

    side: 2,048 on a CPU, where that fills the cores; 8,192 elsewhere.
    """
    side = side or (2048 if device.type == "cpu" else 8192)
    a, b = (torch.rand(side, side, device=device) for _ in range(2))
    seconds = []
    with machine.autocast(device):
        for repeat in range(2 + REPEATS):
            synchronise(device)
            began = time.perf_counter()
            torch.mm(a, b)
            synchronise(device)
            if repeat >= 2:  # the first ones wake threads and caches
                seconds.append(time.perf_counter() - began)
    return 2 * side**3 / statistics.median(seconds) / 1e9


def synchronise(device: torch.device) -> None:
    """Wait for what was handed to the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
