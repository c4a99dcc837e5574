"""Running means of an epoch's named values, and the sampled steps, without a device synchronisation per step."""

import math
from typing import Any

import torch
from torch import Tensor

from harness.errors import Diverged, HarnessError
from harness.printing.numbers import ordinal


class Meters:
    """Collects the named scalars of each step on the device and brings them over every `every` steps.

    Raises (from `add` and `flush`):
        HarnessError: a loss was not finite; names phase, epoch and step.
    """

    def __init__(self, every: int = 20) -> None:
        self.every = every
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._samples: list[list[Any]] = []
        self._pending: list[tuple[tuple[int, int, int, int], dict[str, Tensor]]] = []
        self.latest: dict[str, float] = {}

    def add(self, position: tuple[int, int, int, int], values: dict[str, Tensor]) -> None:
        """One step's values, `loss` among them; others may come and go between steps.

        position = (piece, epoch in piece, step in round, step since the run began).
        """
        if "loss" not in values:
            raise HarnessError(
                f"method.step gave {', '.join(values) or 'nothing'}; accepted: named scalars, `loss` among them"
            )
        self._pending.append((position, {name: value.detach() for name, value in values.items()}))
        if len(self._pending) >= self.every:
            self.flush()

    def flush(self) -> None:
        """Bring pending values over, check them, add them up."""
        if not self._pending:
            return
        stacked = torch.stack([value.float() for _, values in self._pending for value in values.values()])
        numbers = iter(stacked.cpu().tolist())
        for position, values in self._pending:
            self.latest = {name: next(numbers) for name in values}
            if not math.isfinite(self.latest["loss"]):
                piece, epoch, step = map(ordinal, position[:3])
                raise Diverged(
                    f"the loss became {self.latest['loss']} in piece {piece}, epoch {epoch}, step {step}; "
                    "a lower schedule.lr or schedule.grad_clip, or a higher temperature tau, may help"
                )
            for name, value in self.latest.items():
                self._sums[name] = self._sums.get(name, 0.0) + value
                self._counts[name] = self._counts.get(name, 0) + 1
            if (position[3] + 1) % self.every == 0:
                self._samples.append([position[3], {f"step/{name}": value for name, value in self.latest.items()}])
        self._pending.clear()

    def close(self) -> tuple[dict[str, float], list[list[Any]]]:
        """The epoch's means, of each value over the steps that named it, and sampled steps; starts afresh."""
        self.flush()
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        samples = self._samples
        self._sums, self._counts, self._samples = {}, {}, []
        return means, samples

    def state(self) -> dict[str, Any]:
        """For a checkpoint, after `flush`."""
        return {"sums": self._sums, "counts": self._counts, "samples": self._samples}

    def restore(self, state: dict[str, Any]) -> None:
        self._sums, self._counts, self._samples = state["sums"], state["counts"], state["samples"]
