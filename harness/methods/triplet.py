"""VSE++: a hinge against the hardest negative of the batch, after a start with all of them.

Source: Faghri et al., "VSE++: Improving Visual-Semantic Embeddings with Hard Negatives", BMVC 2018; released code
fartashf/vsepp.

Differs from the released code in: the start with all negatives (`warmup_epochs`), which CRCL's copy has; there hardest
negatives are an option that is off by default, and hold from the first step where it is on.

Hyperparameters (released scripts; margin 0.2, Adam, lr 2e-4): VSE++ 30 epochs, lr / 10 at 15. With SGRAF's networks:
Flickr30K 40 epochs, at 30 (SAF: 30, at 20); MS-COCO 20, at 10; `warmup_epochs` 0.
"""

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
