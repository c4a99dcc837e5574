"""OSA: an estimator gives each pair a weight before training, from how far its score is above that of random pairs.

Source: "One-step Noisy Label Mitigation", arXiv 2410.01944; released code leolee99/OSA. The paper's text was not at
hand; its weight is as second sources give it.

s_i is the estimator's score of pair i, beta the mean score of random pairs. The estimator is the network before
training, where that is pre-trained (CLIP); the network of a finished run (`estimator`); or one of the same kind that is
trained on all pairs for `estimator_epochs` by the same loss and thrown away. It scores each pair once.

    released   x_i = [s_i - beta]+ / max_j [s_j - beta]+  over the batch;   w_i = x_i^2 (1 - x_i^2)
    paper      w_i = -(s_i - beta)^2 (s_i - beta - 1)  where s_i > beta, else 0
    L          = (1/B) sum_i w_i l_i

    l_i  (`loss`)   infonce    (1/2) (-log P_ii - log Q_ii)                        OSA's own
                    triplet    max_j [m + S_ij - S_ii]+ + max_j [m + S_ji - S_ii]+
                    sum_hinge  the same with sums
                    rcl        sum_{j != i} (-log (1 - P_ij) - log (1 - Q_ji))

`variant`. "released", the default, is what the published numbers come from: w rises to 1/4 at x = 0.71 and falls to 0
at x = 1, so the best pair of every batch has weight 0, and so has all of a batch with one pair above beta.

Differs from the released code in:
  1. beta is the mean score of training captions with the images of other pairs of their batch; there of images of
     uniform noise and captions of random words, which a network of region features cannot read.
  2. A batch without a pair above beta has weights and loss 0; there 0/0 makes all of them NaN.
  3. The estimator scores a pair without augmentation, once; there in every batch, which gives the same.
  4. Hinges and RCL's loss take the place of the cross-entropy, and estimators may be trained.

Hyperparameters (released command, CLIP): batch 256, 5 epochs, lr 1e-6 (its documentation: 1e-5, warmup_steps 500),
betas 0.9 and 0.98, eps 1e-6, weight decay 0.2, tau 0.01 (the logit scale 100).
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from harness.methods.base import Feed, Method, Network, PairBatch, Phase, Progress, State, Training, square
from harness.methods.hinge import equal_margin_hinges, mean_hinges
from harness.methods.softmax import TRANSFORMS, matching, off_diagonal, pair_costs
from harness.methods.warm_up import is_warm_up, warm_up_first
from harness.spec import NotScience

Variant = Literal["released", "paper"]
Loss = Literal["infonce", "triplet", "sum_hinge", "rcl"]
LABEL = "share"


def weights_of(above: Tensor, variant: Variant) -> Tensor:
    """w (B,) of s - beta (B,), the estimator's scores of a batch's pairs above that of random ones."""
    above = above.clamp(min=0)
    if variant == "paper":
        return -(above**2) * (above - 1)
    highest = above.max()
    share = above / torch.where(highest > 0, highest, 1.0)
    return share**2 * (1 - share**2)


def infonce(scores: Tensor, tau: float, margin: float) -> Tensor:
    """(B,)"""
    return pair_costs(scores, tau) / 2


def triplet(scores: Tensor, tau: float, margin: float) -> Tensor:
    """(B,)"""
    image_to_text, text_to_image = equal_margin_hinges(scores, margin)
    return image_to_text.max(dim=1).values + text_to_image.max(dim=0).values


def sum_hinge(scores: Tensor, tau: float, margin: float) -> Tensor:
    """(B,)"""
    return mean_hinges(scores, margin) * len(scores)


def rcl(scores: Tensor, tau: float, margin: float) -> Tensor:
    """(B,)"""
    p, q = (off_diagonal(TRANSFORMS["log"](each)) for each in matching(scores, tau))
    return p.sum(dim=1) + q.sum(dim=0)


LOSSES: dict[Loss, Callable[[Tensor, float, float], Tensor]] = {
    "infonce": infonce,
    "triplet": triplet,
    "sum_hinge": sum_hinge,
    "rcl": rcl,
}


def own_and_others(scores: Tensor) -> Tensor:
    """(B, 2): each pair's score, and the mean of its caption's with the other images of the batch."""
    scores = square(scores)
    others = off_diagonal(scores).sum(dim=0) / max(1, len(scores) - 1)
    return torch.stack([scores.diagonal(), others], dim=1)


class OSA(Method):
    """Each pair weighted once, by its score above that of random pairs, by an estimator (arXiv 2410.01944).

    Args:
        loss: what is weighted.
        tau: temperature of `infonce` and `rcl`.
        margin: of the hinges.
        variant: the weight of the released code or of the paper.
        beta: score of random pairs; left out, it is measured.
        estimator_epochs: train a network for this long on all pairs to be the estimator; 0 where the network is
            pre-trained and judges as it is, which is the published way. Not read with `estimator`.
        estimator: model.safetensors of a finished run, whose network is the estimator.
        sha256: of that file, by which a run's fingerprint knows it; left out, it is that of the file at `estimator`.
    """

    label_state = LABEL

    def __init__(
        self,
        *,
        loss: Loss = "infonce",
        tau: Annotated[float, Field(gt=0)] = 0.01,
        margin: Annotated[float, Field(ge=0)] = 0.2,
        variant: Variant = "released",
        beta: Annotated[float, Field(gt=-1, lt=1)] | None = None,
        estimator_epochs: Annotated[int, Field(ge=0)] = 5,
        estimator: Annotated[str, NotScience(beside="sha256")] = "",
        sha256: str = "",
    ) -> None:
        self.weighted: Loss = loss
        self.tau = tau
        self.margin = margin
        self.variant: Variant = variant
        self.beta = beta
        self.estimator_epochs = 0 if estimator else estimator_epochs
        self.estimator = estimator
        self.sha256 = sha256

    def fits(self, backbone: type, run: Any) -> str:
        """There must be an estimator."""
        pre_trained = getattr(backbone, "reads_pixels", False)
        if not (pre_trained or self.estimator_epochs or self.estimator):
            return (
                "it weighs pairs by a trained network, and this one begins at random; "
                "set method.estimator_epochs, or method.estimator to the model.safetensors of a finished run"
            )
        if self.estimator and not self.sha256:  # a file that is there has been given its own
            return f"method.estimator = {self.estimator}: there is no such file; name the model.safetensors of a run"
        return ""

    def phases(self, epochs: int | None, steps_per_epoch: int) -> list[Phase]:
        """The estimator's epochs, then those of the schedule with a fresh network."""
        *warm, main = warm_up_first(self, self.estimator_epochs, epochs)
        return [*warm, Phase(main.epochs)]

    def declare_state(self) -> dict[str, float]:
        """How far the estimator's score is above beta, and its share of the highest of all pairs, at least 0."""
        return {"above": 0.0, LABEL: 1.0}

    def plan(self, training: Training) -> Sequence[Feed]:
        """All pairs. A network that begins pre-trained, or a finished run's, judges them before the first step."""
        if training.progress.steps == 0 and not self.estimator_epochs:
            self._judge(
                training, training.finished(self.estimator, self.sha256) if self.estimator else training.networks
            )
        return []

    def close_epoch(self, training: Training) -> None:
        """At the end of its last epoch the trained estimator judges them."""
        progress = training.progress
        if is_warm_up(progress, self.estimator_epochs) and progress.epoch == progress.epochs - 1:
            self._judge(training, training.networks)

    def _judge(self, training: Training, estimators: Sequence[Network]) -> None:
        scores = np.mean([training.every_pair(network, own_and_others) for network in estimators], axis=0)
        above = scores[:, 0] - (scores[:, 1].mean() if self.beta is None else self.beta)
        training.state["above"].copy_(torch.from_numpy(above))
        training.state[LABEL].copy_(torch.from_numpy(above.clip(0) / above.max().clip(1e-12)))

    def loss(self, scores: Tensor, batch: PairBatch, state: State, progress: Progress) -> dict[str, Tensor]:
        losses = LOSSES[self.weighted](square(scores), self.tau, self.margin)
        if is_warm_up(progress, self.estimator_epochs):
            return {"loss": losses.mean()}
        weights = weights_of(state["above"][batch.pair_ids].to(losses), self.variant)
        return {"loss": (weights * losses).mean(), "weight": weights.mean()}
