"""RCL: robust contrastive learning from negatives alone.

Source: Hu et al., "Cross-Modal Retrieval with Partially Mismatched Pairs", TPAMI 2023; released code penghu-cs/RCL.

Hyperparameters (released scripts; tau 0.05, `log`, batch 128, clip 2, Adam, the same for every noise rate): Flickr30K
lr 2e-4, 30 epochs, / 10 at 15 (its README: 40 at 30 for SGR, 30 at 20 for SAF); MS-COCO lr 5e-4, 20 epochs, at 10. None
could be sourced for CC152K.
"""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from harness.methods.base import Method, PairBatch, Progress, State, square
from harness.methods.softmax import TRANSFORMS, generalised, matching, off_diagonal


class RCL(Method):
    """Complementary contrastive loss of RCL (TPAMI 2023): says only what is not a pair.

        L = mean_i sum_{j != i} f(P_ij)  +  mean_j sum_{i != j} f(Q_ij)

    f (`transform`): log -log(1-p); tan; abs p; exp e^(p-1); gce (1-(1-p)^q)/q, the only one to read `q`.
    A given pair is raised only through the softmax. The published results use `log`.

    Differs from the released code in: no random subset of negatives (its `ratio`, off by default); `q` has a name of
    its own (there it is the margin flag; the default here is that of the generalised cross entropy's paper); a batch of
    one gives zero instead of an error.
    """

    def __init__(
        self,
        *,
        tau: Annotated[float, Field(gt=0)] = 0.05,
        transform: Literal["log", "tan", "abs", "exp", "gce"] = "log",
        q: Annotated[float, Field(gt=0, le=1)] = 0.7,
    ) -> None:
        self.tau = tau
        self.transform = transform
        self.q = q

    def loss(self, scores: Tensor, batch: PairBatch, state: State, progress: Progress) -> dict[str, Tensor]:
        p, q = matching(square(scores), self.tau)
        negatives = off_diagonal(self._cost(p)) + off_diagonal(self._cost(q))
        return {"loss": negatives.sum() / len(scores)}

    def _cost(self, p: Tensor) -> Tensor:
        if self.transform == "gce":
            return generalised(p, self.q)
        return TRANSFORMS["identity" if self.transform == "abs" else self.transform](p)
