"""Where a step's time goes: its largest operations, as torch.profiler sees them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


@dataclass(frozen=True)
class Operation:
    """One kind of operation in one step; `share` is that of all operations' own time, without what they call."""

    name: str
    calls: int
    seconds: float
    share: float


class Profiler:
    """Profiles what happens between `start` and `stop`."""

    def __init__(self, device: torch.device) -> None:
        self.accelerated = device.type == "cuda"
        self._profile: profile | None = None

    def start(self) -> None:
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self.accelerated else [])]
        self._profile = profile(activities=activities)
        self._profile.start()

    def stop(self) -> None:
        assert self._profile is not None
        self._profile.stop()

    def operations(self, most: int) -> list[Operation]:
        """The `most` operations with the largest time of their own, on CUDA that of the device."""
        assert self._profile is not None
        own = "self_device_time_total" if self.accelerated else "self_cpu_time_total"  # microseconds
        events: list[Any] = sorted(self._profile.key_averages(), key=lambda e: getattr(e, own), reverse=True)
        total = sum(getattr(event, own) for event in events) or 1.0
        return [
            Operation(event.key, event.count, getattr(event, own) / 1e6, getattr(event, own) / total)
            for event in events[:most]
        ]
