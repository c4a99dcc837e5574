"""Symmetric InfoNCE."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from harness.methods.base import Method, PairBatch, Progress, State, square
from harness.methods.softmax import log_matching


class InfoNCE(Method):
    """Symmetric InfoNCE: cross entropy of each pair among the batch, in both directions.

        L = mean_i [ -log P_ii - log Q_ii ]

    The directions are summed, as RCL and L2RM have it; CLIP and GSC halve it. tau is fixed, CLIP learns it.
    """

    def __init__(self, *, tau: Annotated[float, Field(gt=0)] = 0.05) -> None:
        self.tau = tau

    def loss(self, scores: Tensor, batch: PairBatch, state: State, progress: Progress) -> dict[str, Tensor]:
        log_p, log_q = log_matching(square(scores), self.tau)
        return {"loss": -(log_p.diagonal() + log_q.diagonal()).mean()}
