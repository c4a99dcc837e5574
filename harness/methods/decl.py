"""DECL: Deep Evidential Cross-modal Learning.

Source: Qin et al., "Deep Evidential Learning with Noisy Correspondence for Cross-modal Retrieval", ACM MM 2022;
released code QinYang79/2022-ACMMM-DECL.

A row of raw scores R (before the sigmoid of SAF and SGR) is read as evidence for each caption, and a Dirichlet
distribution over "which caption belongs to image i" grows out of it. With temperature tau:

    E = exp(tanh(R) / tau)                  evidence; rows for images, columns for captions
    alpha = E + 1,   A_i = sum_j alpha_ij

    edl_i = sum_j (y_ij - alpha_ij / A_i)^2  +  sum_j alpha_ij (A_i - alpha_ij) / (A_i^2 (A_i + 1))
            + lambda2 KL( Dir(E_i (1 - y_i) + 1) || Dir(1) )            y_i: one at i for a clean pair, else all zeros

    rdh_i = (1/n) (sum of the n largest [m + T_ij - T_ii]+  +  the same over column i)            T = tanh(R)

    L = mean_i (edl_i of row i + edl_i of column i)  +  lambda1 sum over clean i of rdh_i

The hinge begins with all negatives and ends with the hardest few: n = max(int(batch_size - eta step), mu), the steps
counted from 1 through the whole run; in a batch of B < n pairs n is B - 1.

Before every epoch after the warm-up a pair is clean if, among the companions of a batch, its own caption has the
largest share of the evidence of both directions: argmax_j (E + E^T)_ij / sum = i. In the warm-up all are clean.

Differs from the released code in:
  1. Losses are computed in float64. The KL term is a difference of log-gammas of 1e5 to 1e6, and float32 misses it by
     up to 1.2e-3 (released code against itself).
  2. Of equal evidence, where tanh saturates, the first caption counts, on every device.
  3. The epoch goes on at a batch smaller than mu + 1; there it ends. A batch of one pair has no hinge.
The sum over clean pairs beside a mean over all is the release's: the hinge's weight grows with the batch.

Hyperparameters (released code and supplement; batch 128, clip 2, Adam, lambda1 0.8, lambda2 0.1, tau 0.1, eta 0.025, mu
5, margin 0.2): Flickr30K lr 2e-4, 40 epochs, / 10 at 20, warm-up 5, 5, 2, 2 epochs at 20, 40, 60, 80 % noise; MS-COCO
lr 5e-4, 20 epochs, at 10, warm-up 2, 2, 1, 1; CC152K lr 2e-4, 40, at 20, warm-up 5. Published: SAF, SGR and the mean of
both.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from harness.methods.base import Feed, Method, Phase, Training, square
from harness.methods.hinge import equal_margin_hinges
from harness.methods.warm_up import is_warm_up, warm_up_first


def evidence(raw: Tensor, tau: float) -> Tensor:
    """E (B, B) from raw scores (B, B)."""
    return torch.exp(torch.tanh(raw) / tau)


def evidential_loss(found: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    """(fit, KL), each (B,), of the rows of evidence (B, B); clean (B,) is 1 or 0."""
    alpha = found + 1
    total = alpha.sum(dim=1, keepdim=True)
    targets = torch.diag(clean.to(found.dtype))
    error = (targets - alpha / total).square()
    variance = alpha * (total - alpha) / (total.square() * (total + 1))
    return (error + variance).sum(dim=1), divergence(found * (1 - targets) + 1)


def divergence(alpha: Tensor) -> Tensor:
    """(B,) KL(Dir(alpha_i) || Dir(1)) of the rows of alpha (B, K)."""
    total = alpha.sum(dim=1, keepdim=True)
    normaliser = torch.lgamma(total.squeeze(1)) - torch.lgamma(alpha).sum(dim=1)
    uniform = torch.lgamma(torch.tensor(float(alpha.shape[1]), dtype=alpha.dtype, device=alpha.device))
    return normaliser - uniform + ((alpha - 1) * (torch.digamma(alpha) - torch.digamma(total))).sum(dim=1)


def negatives(step: int, pairs: int, *, batch_size: int, eta: float, mu: int) -> int:
    """n in the step (from 1) of a batch of `pairs`."""
    n = max(int(batch_size - eta * step), mu)
    return pairs - 1 if pairs < n else n


def ranking_hinge(raw: Tensor, margin: float, n: int) -> Tensor:
    """rdh (B,) from raw scores (B, B): the mean of the n largest hinges of each row and column; 0 for n = 0."""
    image_to_text, text_to_image = equal_margin_hinges(torch.tanh(raw), margin)
    if n == 0:
        return image_to_text.sum(dim=1) * 0
    return (image_to_text.topk(n, dim=1).values.sum(dim=1) + text_to_image.topk(n, dim=0).values.sum(dim=0)) / n


def own_share(raw: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """(clean, share), each (B,): whether a pair has the largest share of its row of E + E^T, the first of equal ones;
    and its share."""
    found = evidence(raw, tau)
    both = found + found.T
    own = both.diagonal()[:, None]
    beaten = (both > own) | ((both == own) & torch.ones_like(both, dtype=torch.bool).tril(-1))
    return (~beaten.any(dim=1)).to(raw.dtype), both.diagonal() / both.sum(dim=1)


class DECL(Method):
    """Evidence from raw scores, a hinge that turns from all to the hardest negatives, a division each epoch (MM 2022).

    Args:
        warmup_epochs: epochs on all pairs before `schedule.epochs`.
        tau: temperature of the evidence.
        margin: m of the hinge.
        lambda1: weight of the hinge.
        lambda2: weight of the divergence.
        eta: negatives that the hinge loses in a step.
        mu: negatives that it keeps.
        batch_size: negatives that it begins with.
    """

    label_state = "clean"

    def __init__(
        self,
        *,
        warmup_epochs: Annotated[int, Field(ge=0)] = 5,
        tau: Annotated[float, Field(gt=0)] = 0.1,
        margin: Annotated[float, Field(ge=0)] = 0.2,
        lambda1: Annotated[float, Field(ge=0)] = 0.8,
        lambda2: Annotated[float, Field(ge=0)] = 0.1,
        eta: Annotated[float, Field(ge=0)] = 0.025,
        mu: Annotated[int, Field(ge=1)] = 5,
        batch_size: Annotated[int, Field(ge=1)] = 128,
    ) -> None:
        self.warmup_epochs = warmup_epochs
        self.tau = tau
        self.margin = margin
        self.lambda1 = lambda1
        self.lambda2 = lambda2
        self.eta = eta
        self.mu = mu
        self.batch_size = batch_size

    def phases(self, epochs: int | None, steps_per_epoch: int) -> list[Phase]:
        """The warm-up, then the epochs of the schedule."""
        return warm_up_first(self, self.warmup_epochs, epochs)

    def declare_state(self) -> dict[str, float]:
        """1 for a clean pair, 0 for a noisy one."""
        return {"clean": 1.0}

    def plan(self, training: Training) -> Sequence[Feed]:
        """All pairs; after the warm-up they are divided first."""
        if not is_warm_up(training.progress, self.warmup_epochs):
            clean = training.every_pair(training.networks[0], lambda raw: own_share(raw, self.tau)[0], raw=True)
            training.state["clean"].copy_(torch.from_numpy(clean))
        return []

    def step(self, training: Training, batch: Any, *others: Any) -> dict[str, Tensor]:
        """`loss` and its parts as they enter, the share of clean pairs, the negatives of the hinge."""
        network, progress = training.networks[0], training.progress
        raw = square(network.scores(batch, raw=True)).double()
        clean = training.state["clean"][batch.pair_ids]
        n = negatives(progress.steps + 1, len(raw), batch_size=self.batch_size, eta=self.eta, mu=self.mu)
        evidential, ranking = self.losses(raw, clean, n)
        loss = (evidential + ranking).float()
        network.learn(loss)
        return {
            "loss": loss.detach(),
            "loss_evidential": evidential.detach().float(),
            "loss_ranking": ranking.detach().float(),
            "share_clean": clean.mean(),
            "negatives": clean.new_tensor(float(n)),
        }

    def losses(self, raw: Tensor, clean: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """(evidential, ranking) as they enter; raw (B, B), clean (B,) of 1 and 0, n negatives."""
        found = evidence(raw, self.tau)
        parts = [evidential_loss(rows, clean) for rows in (found, found.T)]
        evidential = sum((fit + self.lambda2 * kl).mean() for fit, kl in parts)
        ranking = self.lambda1 * (clean.to(raw.dtype) * ranking_hinge(raw, self.margin, n)).sum()
        return torch.as_tensor(evidential), ranking
