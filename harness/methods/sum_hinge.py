"""The sum of all hinges of a batch.

Source: the loss that VSE++ (Faghri et al., BMVC 2018; released code fartashf/vsepp) starts from, and its default there.

Hyperparameters: margin 0.2, as there; schedules as in triplet.py.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from harness.methods.base import Method, PairBatch, Progress, State, square
from harness.methods.hinge import hinge_sum


class SumHinge(Method):
    """Triplet ranking loss over all negatives (VSE++ without its hardest negatives).

    L = sum_i sum_{j != i} [m + S_ij - S_ii]+  +  sum_j sum_{i != j} [m + S_ij - S_jj]+
    """

    def __init__(self, *, margin: Annotated[float, Field(ge=0)] = 0.2) -> None:
        self.margin = margin

    def loss(self, scores: Tensor, batch: PairBatch, state: State, progress: Progress) -> dict[str, Tensor]:
        return {"loss": hinge_sum(square(scores), self.margin)}
