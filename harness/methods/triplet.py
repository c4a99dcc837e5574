"""VSE++: a hinge against the hardest negative of the batch, after a start with all of them."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from harness.methods.base import Method, PairBatch, Progress, State, square
from harness.methods.hinge import hinge_hardest, hinge_sum


class Triplet(Method):
    """Triplet ranking loss with the hardest negative (VSE++, BMVC 2018), warmed up with all negatives.

        L = sum_i max_j [m + S_ij - S_ii]+  +  sum_j max_i [m + S_ij - S_jj]+

    For the first `warmup_epochs` the maxima are sums, as the CRCL authors train it as a baseline; 0 is VSE++ as SGRAF
    has it. Summed over the batch, as in every released code, so it grows with the batch size.
    """

    def __init__(
        self,
        *,
        margin: Annotated[float, Field(ge=0)] = 0.2,
        warmup_epochs: Annotated[int, Field(ge=0)] = 1,
    ) -> None:
        self.margin = margin
        self.warmup_epochs = warmup_epochs

    def loss(self, scores: Tensor, batch: PairBatch, state: State, progress: Progress) -> dict[str, Tensor]:
        warm = progress.epoch < self.warmup_epochs
        return {"loss": (hinge_sum if warm else hinge_hardest)(square(scores), self.margin)}
