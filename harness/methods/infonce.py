"""Symmetric InfoNCE.

Source: van den Oord et al., "Representation Learning with Contrastive Predictive Coding", arXiv 1807.03748; here in
both directions, as matching uses it.

Hyperparameters: tau 0.05 is that of RCL and L2RM (released codes); GSC has 0.07. The schedule is the backbone's: it has
none of its own for a data set.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from harness.methods.base import Method, PairBatch, Progress, State, square
from harness.methods.softmax import pair_costs


class InfoNCE(Method):
    """Symmetric InfoNCE: cross entropy of each pair among the batch, in both directions.

        L = mean_i [ -log P_ii - log Q_ii ]

    The directions are summed, as RCL and L2RM have it; CLIP and GSC halve it. tau is fixed, CLIP learns it.
    """

    def __init__(self, *, tau: Annotated[float, Field(gt=0)] = 0.05) -> None:
        self.tau = tau

    def loss(self, scores: Tensor, batch: PairBatch, state: State, progress: Progress) -> dict[str, Tensor]:
        return {"loss": pair_costs(square(scores), self.tau).mean()}
