"""What a run takes of its machine, epoch by epoch: CPU, memory, and the GPU where there is one."""

import threading
import time
from contextlib import suppress

import torch

from harness.training import resident

EVERY = 5.0  # seconds between looks at the GPU, whose driver keeps the mean of less than one
MEGABYTE = 1e6


class Usage:
    """Of this process and its device, from one `take` to the next.

    A GPU's utilisation is known where nvidia-ml-py is installed; it is looked at by a thread that ends with the
    process.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._wall, self._cpu = time.monotonic(), time.process_time()
        self._seen: list[float] = []
        if device.type == "cuda":
            threading.Thread(target=self._watch, daemon=True, name="usage").start()

    def take(self) -> dict[str, float]:
        """By name: `process_cpu_percentage`, of one core, since the last call; `process_memory_megabytes`, resident
        now; on CUDA `gpu_memory_megabytes`, held by torch now, and `gpu_utilization_percentage`, the mean since the
        last call."""
        wall, cpu = time.monotonic(), time.process_time()
        share = (cpu - self._cpu) / max(wall - self._wall, 1e-6)
        self._wall, self._cpu = wall, cpu
        taken = {
            "process_cpu_percentage": 100 * share,
            "process_memory_megabytes": resident.resident() / MEGABYTE,
        }
        if self._device.type == "cuda":
            taken["gpu_memory_megabytes"] = torch.cuda.memory_reserved(self._device) / MEGABYTE
            seen, self._seen = self._seen, []
            if seen:
                taken["gpu_utilization_percentage"] = sum(seen) / len(seen)
        return {name: round(value, 1) for name, value in taken.items()}

    def _watch(self) -> None:
        # Without nvidia-ml-py or a driver that answers there is nothing to see, and training does not depend on it.
        with suppress(Exception):
            while True:
                self._seen.append(float(torch.cuda.utilization(self._device)))
                time.sleep(EVERY)
