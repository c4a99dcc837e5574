"""What every method is: a loss over one batch, and optionally phases and state kept per training pair."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from harness.errors import HarnessError
from harness.spec import Checked


@dataclass(frozen=True)
class Phase:
    """A stretch of training with its own learning-rate clock and its own best score.

    `reinitialise`: start it with a fresh network and optimiser. Per-pair state always survives.
    """

    epochs: int
    reinitialise: bool = True


@dataclass(frozen=True)
class Progress:
    """Where training stands, counted from zero: `epoch` in the piece (phase), `step` in the epoch."""

    piece: int
    epoch: int
    step: int
    steps_per_epoch: int

    @property
    def step_in_piece(self) -> int:
        """Optimiser steps taken since the piece began."""
        return self.epoch * self.steps_per_epoch + self.step


class PairBatch(Protocol):
    """All that a method may ask of a batch."""

    @property
    def pair_ids(self) -> Tensor:
        """(B,) int64: row of each pair in the per-pair state, no pair twice."""
        ...


class Method(Checked):
    """One loss over a batch; everything else is optional."""

    label_state: str | None = None  # the per-pair state that estimates correspondence, if any

    def phases(self, epochs: int | None, steps_per_epoch: int) -> Sequence[Phase]:
        """The stretches of training, from `schedule.epochs` and the steps an epoch takes on this data set.

        Raises HarnessError when the two do not fit the method.
        """
        if epochs is None:
            raise HarnessError(
                f"schedule.epochs is missing: {type(self).__name__} trains as long as the schedule says; "
                "accepted: a whole number, at least 1; set schedule.epochs"
            )
        return [Phase(epochs)]

    def declare_state(self) -> dict[str, float]:
        """Name and initial value of each float kept per training pair."""
        return {}

    def loss(self, scores: Tensor, batch: PairBatch, state: dict[str, Tensor], progress: Progress) -> dict[str, Tensor]:
        """Named scalars of one batch, `loss` (the one to minimise, with gradient) among them.

        scores: (B, B) similarities, rows images, columns captions, the pairs on the diagonal. state: the
        tensors (pairs,) declared above; the method reads and writes the rows `batch.pair_ids`. A batch of
        one pair gives a finite loss and a zero gradient.
        """
        raise NotImplementedError


def square(scores: Tensor) -> Tensor:
    """`scores` in float32, once it is known to be a batch against itself.

    Under mixed precision scores arrive as bfloat16, whose 8 bits are too few for a softmax at tau = 0.05.
    """
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] or scores.shape[0] == 0:
        raise ValueError(f"scores must be (B, B) with B >= 1, images by captions; got {tuple(scores.shape)}")
    return scores.to(torch.promote_types(scores.dtype, torch.float32))
