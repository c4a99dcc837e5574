"""TAL: triplet alignment loss, and the consensus division that goes with it.

Source: Qin et al., "Noisy-Correspondence Learning for Text-to-Image Person Re-identification" (RDE), CVPR 2024;
released code QinYang79/RDE.

For row i of the scores S, with the positives of i (here its own pair alone, in person search all of one person):

    S+_i = sum over positives j of a_ij S_ij,   a = softmax over the positives of S_i / tau, without gradient
    h_i  = [m - S+_i + tau log sum over negatives j of exp(S_ij / tau)]+
    L    = sum_i y_i (h_i of the rows + h_i of the columns)

A smooth maximum over the negatives stands where the triplet loss has the hardest one: as tau goes to 0, L becomes that
loss, and it is never below it. y = 0 removes a pair's own two hinges; it stays a negative of all others.

The division (CCD; `division = true`). Before every epoch, the first too, the losses of all pairs are measured, brought
to [0, 1], and two Gaussians are fitted; y_i = 1 where the posterior of the lower one is above 1/2. RDE has two
embedding heads and asks both: agreed pairs get their label, the others a coin (`consensus`). The networks here have one
matrix of scores, so one head decides.

`variant`: "intended", the default, is the formulas above. "released" caps the sum of exponentials at 1e36 and does not
shift it, so that it is NaN where exponentials overflow or all vanish, and where a row has no negatives. At tau = 0.015
and cosines the two are equal, so either gives the published numbers.

Differs from the released code in:
  1. One head divides, so no coin is thrown; `consensus` is the rule for two.
  2. The Gaussians are fitted alike at every noise rate; there longer (100 updates, tolerance 1e-4, floor 1e-6) above
     40 % and on RSTPReid.
  3. The division reads the pairs without augmentation. Losses that are all equal make every pair noisy; there the fit
     fails.

Hyperparameters (paper, option and shipped command, for person search): tau 0.015, margin 0.1, batch 64, Adam, lr 1e-5,
60 epochs, CLIP. None is published for Flickr30K, MS-COCO or CC152K.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from torch import Tensor

from harness.methods.base import Feed, Method, PairBatch, Progress, State, Training, square
from harness.methods.mixtures import divide, fit_gaussians, normalised

Variant = Literal["released", "intended"]
CAP = 1e36


def pair_losses(
    scores: Tensor, tau: float, margin: float, *, positives: Tensor | None = None, variant: Variant = "intended"
) -> tuple[Tensor, Tensor]:
    """(h of the rows, h of the columns), each (B,), from scores (B, B).

    positives: (B, B) bool, symmetric, which entries show the same; None: the diagonal.
    """
    same = torch.eye(len(scores), dtype=torch.bool, device=scores.device) if positives is None else positives
    hinge = _released_hinge if variant == "released" else _hinge
    return hinge(scores, same, tau, margin), hinge(scores.T, same.T, tau, margin)


def _hinge(scores: Tensor, same: Tensor, tau: float, margin: float) -> Tensor:
    logits = scores / tau
    attention = logits.detach().masked_fill(~same, -torch.inf).softmax(dim=1)
    positive = (attention * scores).sum(dim=1)
    alone = same.all(dim=1)  # no negatives: no loss
    negative = tau * logits.masked_fill(same & ~alone[:, None], -torch.inf).logsumexp(dim=1)
    return (margin - positive + negative).clamp(min=0).masked_fill(alone, 0.0)


def _released_hinge(scores: Tensor, same: Tensor, tau: float, margin: float) -> Tensor:
    exponentials = (scores / tau).exp()
    mask = same.to(scores.dtype)
    attention = exponentials * mask / (exponentials * mask).sum(dim=1, keepdim=True)
    negative = tau * ((1 - mask) * exponentials).sum(dim=1).clamp(max=CAP).log()
    return (margin - (attention.detach() * scores).sum(dim=1) + negative).clamp(min=0)


def posterior_of(
    losses: ArrayLike, *, updates: int = 10, tolerance: float = 1e-2, floor: float = 5e-4
) -> NDArray[np.float64]:
    """(pairs,) probability of being clean, from the losses of all pairs."""
    x = normalised(losses)
    return fit_gaussians(x, updates=updates, tolerance=tolerance, floor=floor).posterior(x)


def consensus(
    clean: NDArray[np.bool_], also: NDArray[np.bool_], coins: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """(uncertain, labels), each (pairs,): what two heads agree on, and where they do not a coin (0 or 1) for each."""
    uncertain = clean != also
    labels = (clean & also).astype(np.int64)
    labels[uncertain] = np.asarray(coins)
    return uncertain, labels


class TAL(Method):
    """Hinge against a smooth maximum of the negatives, summed over pairs (RDE, CVPR 2024).

    Args:
        tau: temperature of the smooth maximum; 0 would be the hardest negative.
        margin: m.
        division: before every epoch, leave out the hinges of pairs with a high loss.
        threshold: of the posterior, above which a pair is clean.
        variant: with its safe exponentials, or as released.
    """

    def __init__(
        self,
        *,
        tau: Annotated[float, Field(gt=0)] = 0.015,
        margin: Annotated[float, Field(ge=0)] = 0.1,
        division: bool = False,
        threshold: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        variant: Variant = "intended",
    ) -> None:
        self.tau = tau
        self.margin = margin
        self.division = division
        self.threshold = threshold
        self.variant: Variant = variant
        self.label_state = "clean" if division else None

    def declare_state(self) -> dict[str, float]:
        """With a division, whether a pair is clean: 1 or 0."""
        return {"clean": 1.0} if self.division else {}

    def plan(self, training: Training) -> Sequence[Feed]:
        """All pairs; with a division, they are divided first."""
        if self.division:
            losses = training.every_pair(training.networks[0], lambda s: sum(self._losses(s)))  # type: ignore[arg-type, return-value]
            clean = training.agreed(lambda: divide(posterior_of(losses), self.threshold).astype(np.float32))
            training.state["clean"].copy_(torch.from_numpy(clean))
        return []

    def loss(self, scores: Tensor, batch: PairBatch, state: State, progress: Progress) -> dict[str, Tensor]:
        """`loss`; with a division also the share of clean pairs."""
        rows, columns = self._losses(square(scores))
        if not self.division:
            return {"loss": (rows + columns).sum()}
        clean = state["clean"][batch.pair_ids]
        return {"loss": (clean * (rows + columns)).sum(), "share_clean": clean.mean()}

    def _losses(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        return pair_losses(scores, self.tau, self.margin, variant=self.variant)
