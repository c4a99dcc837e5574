"""RCL: robust contrastive learning from negatives alone.

Source: Hu et al., "Cross-Modal Retrieval with Partially Mismatched Pairs", TPAMI 2023; released code penghu-cs/RCL.

Hyperparameters (released scripts; tau 0.05, `log`, batch 128, clip 2, Adam, the same for every noise rate): Flickr30K
lr 2e-4, 30 epochs, / 10 at 15 (its README: 40 at 30 for SGR, 30 at 20 for SAF); MS-COCO lr 5e-4, 20 epochs, at 10. None
could be sourced for CC152K.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from harness.methods.base import Method, PairBatch, Progress, State, square
from harness.methods.softmax import TRANSFORMS, generalised, log_complements, matching, off_diagonal
from harness.spec import AddedLater


class RCL(Method):
    """Complementary contrastive loss of RCL (TPAMI 2023): says only what is not a pair.

        L = mean_i sum_{j != i} f(P_ij)  +  mean_j sum_{i != j} f(Q_ij)

    f (`transform`): log -log(1-p); tan; abs p; exp e^(p-1); gce (1-(1-p)^q)/q, the only one to read `q`.
    A given pair is raised only through the softmax. The published results use `log`.

    `variant`: "released", the default, subtracts p from 1, as there. In float32 that leaves rounding alone where p is
    nearly 1, which log and gce divide by itself: their gradient is noise there, as in the release (docs/fidelity.md).
    "intended" takes 1 - p from the other candidates.

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
        variant: Annotated[Literal["released", "intended"], AddedLater(neutral="released")] = "released",
    ) -> None:
        self.tau = tau
        self.transform = transform
        self.q = q
        self.variant = variant

    def loss(self, scores: Tensor, batch: PairBatch, state: State, progress: Progress) -> dict[str, Tensor]:
        for_images, for_captions = self._costs(square(scores))
        negatives = off_diagonal(for_images) + off_diagonal(for_captions)
        return {"loss": negatives.sum() / len(scores)}

    def _costs(self, scores: Tensor) -> list[Tensor]:
        """(f(P), f(Q))"""
        if self.variant == "intended" and self.transform in ("log", "gce"):
            logs = log_complements(scores, self.tau)  # f(p) in terms of log(1 - p)
            return [-log if self.transform == "log" else -torch.expm1(self.q * log) / self.q for log in logs]
        if self.transform == "gce":
            return [generalised(p, self.q) for p in matching(scores, self.tau)]
        f = TRANSFORMS["identity" if self.transform == "abs" else self.transform]
        return [f(p) for p in matching(scores, self.tau)]
