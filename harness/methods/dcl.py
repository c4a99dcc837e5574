"""DCL: a division inside every batch, and negatives that may be positive.

Source: "Negative Can Be Positive: A Stable and Noise-Resistant Complementary Contrastive Learning for Cross-Modal
Matching", Information Fusion 2026; released code hxy2969/dcl. Formulas as in the code; the text of the paper was not at
hand.

In every batch, from the first step on and without a warm-up, with e = 1e-6 and scores S (B, B):

    P = exp(S / tau) / (row sums + e),   Q = exp(S / tau) / (column sums + e)
    l_i = -log(P_ii + e) - log(Q_ii + e)                                       a loss of each pair
    x   = l brought to [0, 1] within the batch;  two Betas, 10 EM updates from (1, 2) and (2, 1)
    clean: the posterior of the first Beta is above 1/2; if that were all pairs, the B // 100 + 1 least sure are noisy

    L = balance1 (1 / n1) sum over clean i of l_i
      + balance2 (1 / (B (B - 1) + n2)) sum of -log(1 - P_ij + e) - log(1 - Q_ij + e) over all i != j, and i = j noisy

for n1 clean and n2 noisy pairs: a noisy pair is taken for a negative.

`variant`. "released", the default, evaluates the posterior at the unclipped x: the pair of the highest or the lowest
loss can get NaN, which counts as clean. "intended" evaluates it at the clipped x, on which the Betas were fitted.

Differs from the released code in:
  1. The released code cannot be trained as it stands (its loop reads an option that its parser does not define).
  2. Equal losses, or a batch of one or two pairs, make every pair noisy, as there, without a NaN on the way.
All is computed in float64, as there: in float32 1 - 1e-12 is 1.

Hyperparameters (options of the released code): tau 0.05, threshold 0.5, balances 1. Its command, for CLIP at 40 %
noise, has balances 0.2 and 128, batch 128, AdamW, lr 1e-6, 5 epochs. Those of a data set could not be sourced.
"""

from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from torch import Tensor

from harness.methods.base import Method, PairBatch, Progress, State, square
from harness.methods.hinge import equal_margin_hinges
from harness.methods.mixtures import Betas, fit_betas, normalised
from harness.methods.softmax import off_diagonal

Variant = Literal["released", "intended"]
PairLoss = Literal["infonce", "margin", "max_margin"]
START = Betas.of((1, 2), (2, 1))
CLIP = 1e-12
EPS = 1e-6


def probabilities(scores: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """(P, Q), each (B, B) in the layout of `scores`; they do not quite sum to 1, which is part of the loss."""
    exponentials = (scores / tau).exp()
    return exponentials / (exponentials.sum(1, keepdim=True) + EPS), exponentials / (exponentials.sum(0) + EPS)


def pair_losses(scores: Tensor, tau: float, kind: PairLoss = "infonce", margin: float = 0.2) -> Tensor:
    """l (B,). The hinges of the release, sum or hardest, are taken on exp(S / tau)."""
    if kind == "infonce":
        p, q = probabilities(scores, tau)
        return -(p.diagonal() + EPS).log() - (q.diagonal() + EPS).log()
    image_to_text, text_to_image = equal_margin_hinges((scores / tau).exp(), margin)
    if kind == "margin":
        return image_to_text.sum(dim=1) + text_to_image.sum(dim=0)
    return image_to_text.max(dim=1).values + text_to_image.max(dim=0).values


def fit(losses: ArrayLike) -> tuple[NDArray[np.float64], Betas]:
    """x (B,) and the Betas fitted on it."""
    x = normalised(losses)
    return x, fit_betas(x.clip(CLIP, 1 - CLIP), START, floor=1e-12)


def posterior_of(losses: ArrayLike, variant: Variant) -> NDArray[np.float64]:
    """(B,) probability of being clean, NaN where a density is infinite; all NaN where there is nothing to divide."""
    array = np.asarray(losses, dtype=np.float64)
    if len(array) < 3 or array.min() == array.max():
        return np.full(len(array), np.nan)
    x, mixture = fit(array)
    return mixture.posterior(x if variant == "released" else x.clip(CLIP, 1 - CLIP), added=1e-12)


def divide_batch(posterior: ArrayLike, threshold: float) -> NDArray[np.bool_]:
    """Which pairs (B,) are clean; NaN counts as 1."""
    p = np.asarray(posterior, dtype=np.float64)
    p = np.where(np.isnan(p), 1.0, p)
    return p > (np.sort(p)[len(p) // 100] if p.min() > threshold else threshold)


def complementary_loss(scores: Tensor, clean: Tensor, tau: float) -> Tensor:
    """The loss on negatives, noisy pairs among them; 0 without a noisy pair, as released."""
    count = (~clean).sum()
    taken = ~torch.diag(clean)  # all but the diagonal of clean pairs
    costs = sum(-(1 - probability + EPS).log() for probability in probabilities(scores, tau))
    pairs = len(scores)
    cost = (torch.as_tensor(costs) * taken).sum() / (pairs * (pairs - 1) + count).clamp(min=1)
    return torch.where(count > 0, cost, 0.0)  # chosen where it is computed: a branch would wait for an accelerator


def undivided_loss(scores: Tensor, tau: float, transform: str) -> Tensor:
    """What the release trains with its division off: the mean over pairs of a transform of P and Q off the diagonal,
    or for "infoNCE" of -log P_ii."""
    total = scores.sum() * 0
    for probability in probabilities(scores, tau):
        if transform == "infoNCE":
            total = total - probability.diagonal().log().mean()
        else:
            total = total + off_diagonal(_TRANSFORMS[transform](probability)).sum() / len(scores)
    return total


_TRANSFORMS = {
    "log": lambda p: -(1 - p + EPS).log(),
    "tan": torch.tan,
    "abs": lambda p: p,
    "exp": lambda p: (p - 1).exp(),
}


class DCL(Method):
    """Clean pairs attract, all others repel, divided anew in every batch (Information Fusion 2026).

    Args:
        tau: temperature.
        threshold: of the posterior, above which a pair is clean.
        balance1: weight of the clean pairs.
        balance2: weight of the negatives and noisy pairs.
        variant: where the posterior is evaluated.
    """

    label_state = "posterior"

    def __init__(
        self,
        *,
        tau: Annotated[float, Field(gt=0)] = 0.05,
        threshold: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        balance1: Annotated[float, Field(ge=0)] = 1.0,
        balance2: Annotated[float, Field(ge=0)] = 1.0,
        variant: Variant = "released",
    ) -> None:
        self.tau = tau
        self.threshold = threshold
        self.balance1 = balance1
        self.balance2 = balance2
        self.variant: Variant = variant

    def declare_state(self) -> dict[str, float]:
        """The posterior of each pair in its last batch."""
        return {"posterior": 1.0}

    def loss(self, scores: Tensor, batch: PairBatch, state: State, progress: Progress) -> dict[str, Tensor]:
        """`loss`; its parts as they enter; the share of clean pairs."""
        scores = square(scores)
        losses = pair_losses(scores.double(), self.tau)
        posterior = posterior_of(losses.detach().cpu().numpy(), self.variant)
        clean = torch.from_numpy(divide_batch(posterior, self.threshold)).to(scores.device)
        stored = torch.from_numpy(np.nan_to_num(posterior, nan=1.0)).to(scores.device, torch.float32)
        state["posterior"][batch.pair_ids] = stored
        attracted, repelled = self.losses(scores.double(), clean)
        if len(scores) == 1:  # its probability is 1, but for `EPS`
            attracted, repelled = attracted * 0, repelled * 0
        return {
            "loss": (attracted + repelled).to(scores.dtype),
            "loss_clean": attracted.detach().float(),
            "loss_noisy": repelled.detach().float(),
            "share_clean": clean.float().mean(),
        }

    def losses(
        self, scores: Tensor, clean: Tensor, kind: PairLoss = "infonce", margin: float = 0.2
    ) -> tuple[Tensor, Tensor]:
        """(of clean pairs, of negatives and noisy pairs) as they enter; scores (B, B), clean (B,) bool."""
        losses = pair_losses(scores, self.tau, kind, margin)
        attracted = (losses * clean).sum() / clean.sum().clamp(min=1)
        return self.balance1 * attracted, self.balance2 * complementary_loss(scores, clean, self.tau)
