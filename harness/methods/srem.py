"""SREM-style training: a reconstruction. The paper's code and equations are not public.

Source: Dang et al., "Noisy Correspondence Learning with Self-Reinforcing Errors Mitigation", AAAI 2024. Its abstract
says: matching is classification within the batch; an energy uncertainty refines which samples count as clean (high
similarity and low uncertainty); a swapped classification entropy estimates how sensitive the model is on them; and
cross-modal biased complementary learning uses the negatives that hard mining overlooks, with RCL as a special case. The
formulas are ours. With scores S (B, B), rows images:

    P_ij = exp(S_ij / tau) / sum_k exp(S_ik / tau)          Q_ij = exp(S_ij / tau) / sum_k exp(S_kj / tau)

    energy     E_i = -tau log sum_j exp(S_ij / tau)   of an image;   the same over a column, of a caption
    clean i    argmax_j S_ij = i,  argmax_k S_ki = i,  and both energies are low

    swapped    w_i = 1 - H(Q_.i) / log B   weighs -log P_ii;         w'_i = 1 - H(P_i.) / log B   weighs -log Q_ii
    entropy    (where one direction is undecided, the loss of the other counts less)

    L_clean = (1/B) sum over clean i of  w_i (-log P_ii) + w'_i (-log Q_ii)

    L_complementary = (1/B) sum_i sum_{j != i}  q_ij (-log(1 - P_ij)) + q'_ji (-log(1 - Q_ji))
    q_ij = (B - 1) P_ij / sum_{k != i} P_ik,   without gradient: the likelier a negative, the more it counts

    L = clean_weight L_clean + complementary_weight L_complementary

In the first `warmup_epochs` every pair counts as clean and weighs 1: an untrained network has few pairs whose image
and caption are each other's best (0.03 % of a batch in a trial), and the complementary loss alone keeps P uniform.

With all q = 1 (`bias = false`) L_complementary is RCL's loss with f = log, exactly.

Differs from the released code in: there is none to differ from.

What the abstract leaves open is a keyword: when an energy is low (`threshold`), the sign and the scale of the entropy
weights. Energies are those of a pair's last batch: there is no pass over all pairs, as the paper claims less training
time.

Hyperparameters: none could be sourced, for any data set; tau is RCL's, the weights are 1.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from harness.methods.base import Feed, Method, PairBatch, Progress, State, Training, square
from harness.methods.mixtures import fit_gaussians, normalised
from harness.methods.softmax import TRANSFORMS, log_matching, matching, off_diagonal
from harness.spec import AddedLater

UNSEEN = 1e30  # the energy of a pair that was in no batch yet
WAYS = ("image", "text")


def energies(scores: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """(of the images, of the captions), each (B,)."""
    logits = scores / tau
    return -tau * logits.logsumexp(dim=1), -tau * logits.logsumexp(dim=0)


def nearest(scores: Tensor) -> Tensor:
    """(B,) bool: image and caption of a pair are each other's best in the batch; ties count."""
    own = scores.diagonal()
    return (own >= scores.max(dim=1).values) & (own >= scores.max(dim=0).values)


def entropies(scores: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """(of the rows of P, of the columns of Q), each (B,) in [0, 1]: divided by log B; 0 for one pair."""
    most = math.log(max(len(scores), 2))
    log_p, log_q = log_matching(scores, tau)
    return -(log_p.exp() * log_p).sum(dim=1) / most, -(log_q.exp() * log_q).sum(dim=0) / most


def bias_of(scores: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """(q, q'), each (B, B) in the layout of `scores`, without gradient; 0 on the diagonal, B - 1 in all."""
    own = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    logits = (scores.detach() / tau).masked_fill(own, -torch.inf)
    negatives = len(scores) - 1
    rows, columns = (torch.nan_to_num(logits.softmax(dim=dim)) * negatives for dim in (1, 0))
    return rows, columns


def complementary_loss(scores: Tensor, tau: float, *, bias: bool = True) -> Tensor:
    """L_complementary."""
    costs = [off_diagonal(TRANSFORMS["log"](p)) for p in matching(scores, tau)]
    if bias:
        costs = [q * cost for q, cost in zip(bias_of(scores, tau), costs, strict=True)]
    return (costs[0] + costs[1]).sum() / len(scores)


class SREM(Method):
    """Energy filters the clean pairs, entropy weighs them, likely negatives count more (AAAI 2024); a reconstruction.

    Args:
        tau: temperature.
        clean_weight: of L_clean.
        complementary_weight: of L_complementary.
        threshold: an energy is low when it is at or below the mean over all pairs ("mean"), or when a mixture of two
            Gaussians, fitted before each epoch, says so ("mixture").
        entropy_sign: "certain" pairs weigh more, 1 - H; or "uncertain" ones, H.
        entropy_scale: weights as they are ("log_batch"), or divided by their mean over the clean pairs ("mean").
        warmup_epochs: epochs in which every pair counts as clean and weighs 1.

    For ablations, each True in the method:
        filtration: off, every pair counts as clean.
        entropy: off, every clean pair weighs 1.
        bias: off, q = 1.
    """

    label_state = "clean"
    reconstruction = "built from the abstract of the paper, whose code and equations are not public"

    def __init__(
        self,
        *,
        tau: Annotated[float, Field(gt=0)] = 0.05,
        clean_weight: Annotated[float, Field(ge=0)] = 1.0,
        complementary_weight: Annotated[float, Field(ge=0)] = 1.0,
        threshold: Literal["mean", "mixture"] = "mean",
        entropy_sign: Literal["certain", "uncertain"] = "certain",
        entropy_scale: Literal["log_batch", "mean"] = "log_batch",
        warmup_epochs: Annotated[int, Field(ge=0), AddedLater(neutral=0)] = 2,
        filtration: bool = True,
        entropy: bool = True,
        bias: bool = True,
    ) -> None:
        self.tau = tau
        self.clean_weight = clean_weight
        self.complementary_weight = complementary_weight
        self.threshold = threshold
        self.entropy_sign = entropy_sign
        self.entropy_scale = entropy_scale
        self.warmup_epochs = warmup_epochs
        self.filtration = filtration
        self.entropy = entropy
        self.bias = bias

    def declare_state(self) -> dict[str, float]:
        """Whether a pair was clean in its last batch; its energies there; whether a mixture calls them low."""
        state = {"clean": 1.0, **{f"energy.{way}": UNSEEN for way in WAYS}}
        return state | ({f"low.{way}": 1.0 for way in WAYS} if self.threshold == "mixture" else {})

    def plan(self, training: Training) -> Sequence[Feed]:
        """All pairs; with a mixture, it is fitted first on the energies seen so far."""
        if self.threshold == "mixture":
            for way in WAYS:
                energy = training.state[f"energy.{way}"].whole().cpu().numpy()
                low = training.agreed(lambda energy=energy: _low_component(energy))  # type: ignore[misc]
                training.state[f"low.{way}"].copy_(torch.from_numpy(low))
        return []

    def loss(self, scores: Tensor, batch: PairBatch, state: State, progress: Progress) -> dict[str, Tensor]:
        """`loss`, its two parts as they enter, the share of clean pairs and their mean weight."""
        scores = square(scores)
        warm = progress.epoch < self.warmup_epochs
        clean = self._clean(scores.detach(), batch.pair_ids, state) | warm
        state["clean"][batch.pair_ids] = clean.float()
        log_p, log_q = log_matching(scores, self.tau)
        weights_p, weights_q = self._weights(scores.detach(), clean, alike=warm or not self.entropy)
        costs = weights_p * -log_p.diagonal() + weights_q * -log_q.diagonal()
        attracted = self.clean_weight * (clean * costs).sum() / len(scores)
        repelled = self.complementary_weight * complementary_loss(scores, self.tau, bias=self.bias)
        return {
            "loss": attracted + repelled,
            "loss_clean": attracted.detach(),
            "loss_complementary": repelled.detach(),
            "share_clean": clean.float().mean(),
            "weight_mean": ((weights_p + weights_q) / 2).mean(),
        }

    def _clean(self, scores: Tensor, rows: Tensor, state: State) -> Tensor:
        """(B,) bool; writes the energies down."""
        clean = nearest(scores)
        for way, energy in zip(WAYS, energies(scores, self.tau), strict=True):
            if self.threshold == "mixture":
                clean = clean & (state[f"low.{way}"][rows] > 0.5)
            state[f"energy.{way}"][rows] = energy.float()
            if self.threshold == "mean":
                values = state[f"energy.{way}"]
                known = values.whole() if hasattr(values, "whole") else values  # a plain tensor serves too
                clean = clean & (energy <= known[known < UNSEEN].mean().to(energy))
        return clean if self.filtration else torch.ones_like(clean)

    def _weights(self, scores: Tensor, clean: Tensor, *, alike: bool) -> tuple[Tensor, Tensor]:
        """(of -log P_ii, of -log Q_ii), each (B,): from the entropy of the other direction; alike: all 1."""
        rows, columns = entropies(scores, self.tau)
        if alike:
            return torch.ones_like(rows), torch.ones_like(columns)
        swapped = (columns, rows) if self.entropy_sign == "uncertain" else (1 - columns, 1 - rows)
        if self.entropy_scale == "log_batch":
            return swapped
        means = [(weights * clean).sum() / clean.sum().clamp(min=1) for weights in swapped]
        scaled = [weights / mean.clamp(min=1e-6) for weights, mean in zip(swapped, means, strict=True)]
        return scaled[0], scaled[1]


def _low_component(energy: np.ndarray) -> np.ndarray:
    """(pairs,) float32: 1 where the lower Gaussian is the likelier, and for pairs that were not seen."""
    low = np.ones(len(energy), dtype=np.float32)
    seen = energy < UNSEEN
    if seen.any():
        x = normalised(energy[seen])
        low[seen] = fit_gaussians(x, updates=100, tolerance=1e-3).posterior(x) >= 0.5
    return low
