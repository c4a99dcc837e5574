"""NPC: a step that is not kept says how much a pair would harm the clean pairs that resemble it.

Source: Zhang et al., "Negative Pre-aware for Noisy Cross-Modal Matching", AAAI 2024; released code ZhangXu0963/NPC.

A bank of clean pairs is made once: a mixture of two Gaussians on the loss of each training pair, clean is a posterior
above 0.9; each pair gets the clean pair with the most similar image, and the one with the most similar caption.
l_i is the symmetric cross-entropy (1/2) (-log P_ii - log Q_ii) of a batch. In a step:

    l_I, l_T      of the two bank batches, that of images and that of captions, by the network as it is
    l'_I, l'_T    by the network after one step on the batch's own l, which is not kept
    r_i = (l_I / l'_I + l_T / l'_T) / 2           below 1: the step on pair i harmed the clean pairs beside it
    w_i = tanh(r_i) where r_i < 1, else 1
    L   = mean_i w_i l_i  +  mean_i (l_I + l_T)

The steps that are not kept have an optimiser of their own, as the network's.

`variant`. "released", the default, does not do what is written above:
  - the batch's loss is averaged before it is weighted, so all pairs have the mean weight;
  - the bank's loss is taken without a gradient, so it is a constant;
  - the bank compares a normalised query with clean vectors that are not normalised.
"intended" is the formulas above, with cosines.

Differs from the released code in:
  1. The bank is made before the first step, or after `warmup_epochs` of plain cross-entropy, by the network that is
     trained; there by a file made before. Losses for it come from random companions, there from consecutive ones.
  2. tau is fixed; there CLIP's logit scale is trained.
  3. Where no pair is clean, all are.
  4. The rate is constant after its first 500 steps (`schedule.warmup_steps`). There it follows a cosine that ends after
     as many steps as there are pairs in all epochs, so it hardly falls.
  5. A network with several vectors an item (SAF, SGR) is compared by their means.

Hyperparameters (released scripts, CLIP ViT-B/32): MS-COCO lr 2e-7, 5 epochs, batch 256, warmup_steps 500, weight decay
0.2, betas 0.9 and 0.98, eps 1e-6, clip 10, threshold 0.9. There the network has 16-bit floats, in which AdamW's second
moment underflows and steps are larger; the rate will hardly carry over to 32 bits.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from torch import Tensor

from harness.methods.base import Feed, Method, Phase, Training, square
from harness.methods.mixtures import fit_gaussians
from harness.methods.softmax import pair_costs
from harness.methods.vectors import every_vector
from harness.methods.warm_up import is_warm_up, warm_up_first

Variant = Literal["released", "intended"]
LEAST = 1e-12  # loss: a clean pair that costs nothing before and after gives a ratio of 1
AT_ONCE = 1024  # queries compared with the clean pairs together


def pair_losses(scores: Tensor, tau: float) -> Tensor:
    """l (B,) of scores (B, B)."""
    return pair_costs(scores, tau) / 2


def ratios(old: Sequence[Tensor], new: Sequence[Tensor]) -> Tensor:
    """r (B,) of the bank's losses before the step and after, by images and by captions, (B,) each."""
    image, text = ((before + LEAST) / (after + LEAST) for before, after in zip(old, new, strict=True))
    return (image + text) / 2


def weights_of(ratio: Tensor) -> Tensor:
    """w (B,) of r (B,)."""
    return torch.where(ratio < 1, ratio.tanh(), 1.0)


def batch_loss(losses: Tensor, weights: Tensor, variant: Variant) -> Tensor:
    """The weighted loss of l (B,)."""
    return weights.mean() * losses.mean() if variant == "released" else (weights * losses).mean()


def clean_posterior(losses: ArrayLike) -> NDArray[np.float64]:
    """(pairs,) probability of being clean, from the losses of all pairs."""
    return fit_gaussians(losses, updates=100, tolerance=1e-2, floor=5e-4).posterior(losses)


def bank_of(vectors: NDArray[np.floating[Any]], clean: NDArray[np.int64], variant: Variant) -> NDArray[np.int64]:
    """(pairs,) the clean pair that each of the vectors (pairs, d) resembles most; `clean` holds their numbers."""
    queries = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(LEAST)
    keys = (vectors if variant == "released" else queries)[clean]
    return np.concatenate(
        [clean[(queries[start : start + AT_ONCE] @ keys.T).argmax(axis=1)] for start in range(0, len(queries), AT_ONCE)]
    )


class NPC(Method):
    """Pairs are weighted by how a step on them would change the loss of clean pairs beside them (AAAI 2024).

    Args:
        tau: temperature of the cross-entropy.
        threshold: of the posterior, above which a pair is in the bank.
        warmup_epochs: epochs of plain cross-entropy before the bank is made, for a network that is not pre-trained.
        variant: the released code as it is, or what its paper means.
    """

    one_process = True
    label_state = "clean"

    def __init__(
        self,
        *,
        tau: Annotated[float, Field(gt=0)] = 0.01,
        threshold: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        warmup_epochs: Annotated[int, Field(ge=0)] = 0,
        variant: Variant = "released",
    ) -> None:
        self.tau = tau
        self.threshold = threshold
        self.warmup_epochs = warmup_epochs
        self.variant: Variant = variant

    def phases(self, epochs: int | None, steps_per_epoch: int) -> list[Phase]:
        """The warm-up, then the epochs of the schedule."""
        return warm_up_first(self, self.warmup_epochs, epochs)

    def declare_state(self) -> dict[str, float]:
        """The posterior of being clean; the two bank entries, numbers of pairs, which float32 holds up to 2^24."""
        return {"clean": 1.0, "bank_image": 0.0, "bank_text": 0.0}

    def plan(self, training: Training) -> Sequence[Feed]:
        """All pairs; the bank is made before the first epoch of the training proper."""
        progress = training.progress
        if progress.epoch == 0 and not is_warm_up(progress, self.warmup_epochs):
            self._make_bank(training)
        return []

    def step(self, training: Training, batch: Any, *others: Any) -> dict[str, Tensor]:
        """`loss`; of the training proper also its parts, the mean weight and the mean ratio."""
        network = training.networks[0]
        if is_warm_up(training.progress, self.warmup_epochs):
            loss = pair_losses(square(network.scores(batch)), self.tau).mean()
            network.learn(loss)
            return {"loss": loss.detach()}
        chosen = torch.stack([training.state[name][batch.pair_ids] for name in ("bank_image", "bank_text")])
        banks = [training.read(rows) for rows in chosen.long().cpu().numpy()]  # both at once: it is waited for
        with network.looking():
            old = [pair_losses(square(network.scores(bank)), self.tau) for bank in banks]
        # Four times the loss that `learn` gets: the release sums both directions and goes backward twice.
        ahead = 4 * pair_losses(square(network.scores(batch)), self.tau).mean()
        with network.ahead(ahead, rule="optimizer"), network.looking():
            new = [pair_losses(square(network.scores(bank)), self.tau) for bank in banks]
        ratio = ratios(old, new)
        weights = weights_of(ratio)
        loss_batch = batch_loss(pair_losses(square(network.scores(batch)), self.tau), weights, self.variant)
        if self.variant == "intended":
            old = [pair_losses(square(network.scores(bank)), self.tau) for bank in banks]
        loss_bank = (old[0] + old[1]).mean()
        loss = loss_batch + loss_bank
        network.learn(loss)
        return {
            "loss": loss.detach(),
            "loss_batch": loss_batch.detach(),
            "loss_bank": loss_bank.detach(),
            "weight": weights.mean(),
            "ratio": ratio.mean(),
        }

    def _make_bank(self, training: Training) -> None:
        network = training.networks[0]
        losses = training.every_pair(network, lambda scores: pair_losses(square(scores), self.tau))
        vectors = every_vector(training, network)

        def found() -> tuple[NDArray[np.float64], list[NDArray[np.int64]]]:
            posterior = clean_posterior(losses)
            clean = np.flatnonzero(posterior > self.threshold)
            clean = clean if len(clean) else np.arange(len(posterior))
            return posterior, [bank_of(each, clean, self.variant) for each in vectors]

        posterior, banks = training.agreed(found)
        for name, values in zip(self.declare_state(), (posterior, *banks), strict=True):
            training.state[name].copy_(torch.from_numpy(values.astype(np.float32)))
