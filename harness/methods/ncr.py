"""NCR: Noisy Correspondence Rectifier.

Source: Huang et al., "Learning with Noisy Correspondence for Cross-modal Matching", NeurIPS 2021; released code
XLearning-SCU/2021-NeurIPS-NCR.

Two networks. In the warm-up both train on all pairs with the mean hinge of a pair i, with d_i = S_ii and margin m:

    h_i = (1/B) (sum_{j != i} [m + S_ij - d_i]+  +  sum_{j != i} [m + S_ji - d_i]+)           L = sum_i h_i

Then, before every epoch, each network measures h of all pairs; two Gaussians are fitted on it, and w_i is the
probability of the one with the lower mean. Clean is w_i > 1/2. Each network trains on the division of the other
(peers.py).
A network's own prediction of a pair, in evaluation mode:

    p_i = clip(m - h_i / 2, 0, m), divided by the mean of the B // 10 + 1 largest of the batch, clipped to [0, 1]

Soft labels y, made before either step, and the loss, a hinge against the hardest negative with a margin of each pair:

    clean pairs      y_i = w_i + (1 - w_i) p_i              w of the peer, p of the own network
    noisy pairs      y_i = (p_i + p_i of the peer) / 2      trained on in the second half of the epochs alone

    L = sum_i max_j [m_i + S_ij - d_i]+  +  sum_j max_i [m_j + S_ij - d_j]+          m_i = m (10^y_i - 1) / 9

The clean batch takes a step, then the noisy one. At test time the similarities of the two networks are averaged.

`variant`. The released code makes two slips. "released", the default, repeats them, as no other code has been
published; the paper's own numbers come from a version before it, whose hinge did not use the soft margins at all:
  - w is a column and p a row, so the label of the clean pairs is a matrix, y_ij = w_i + (1 - w_i) p_j, and each entry
    of both hinges has a margin of its own;
  - the margin of a noisy pair i stands in its row in both hinges, where that of caption j belongs in the second.
"intended" is the formulas above.

Differs from the released code in:
  1. The predictions of a batch that are all 0 stay 0; there 0/0 makes the loss NaN.
  2. A batch of one pair is left out of a feed; there a noisy one ends the epoch. A network without clean pairs takes no
     step in that epoch.
  3. The companions of a pair in the pass over all pairs are drawn with a seed of their own.

Hyperparameters (released code and README; batch 128, lr 2e-4, clip 2, Adam, margin 0.2): Flickr30K 5 warm-up epochs, 40
epochs, lr / 10 at 30; MS-COCO 10, 20, at 10; CC152K 10, 40, at 30; the same for every noise rate.
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from harness.methods.base import Feed, Method, Phase, Training, square
from harness.methods.hinge import SoftMargin, hardest, hinges, matrix_margin_hinges, mean_hinges, predict, soft_margins
from harness.methods.mixtures import divide, fit_gaussians, normalised
from harness.methods.peers import LABEL, POSTERIORS, exchange_divisions, initial_posteriors
from harness.methods.warm_up import is_warm_up, warm_up_first

Variant = Literal["released", "intended"]


def clean_labels(posterior: Tensor, prediction: Tensor, variant: Variant) -> Tensor:
    """y of clean pairs, (B,), or as released (B, B), from w (B,) and p (B,)."""
    w = posterior if variant == "intended" else posterior[:, None]
    return w + (1 - w) * prediction


def noisy_labels(prediction: Tensor, peer_prediction: Tensor) -> Tensor:
    """y (B,) of noisy pairs."""
    return (prediction + peer_prediction) / 2


def soft_hinge(scores: Tensor, margins: Tensor, variant: Variant) -> Tensor:
    """The hinge against the hardest negatives, summed, with soft margins (B,) of the pairs, or (B, B) of entries."""
    if margins.ndim == 2:
        return hardest(*matrix_margin_hinges(scores, margins))
    if variant == "released":
        return hardest(*matrix_margin_hinges(scores, margins[:, None].expand_as(scores)))
    return hardest(*hinges(scores, margins, margins))


def posterior_of(losses: NDArray[np.float32]) -> NDArray[np.float64]:
    """w (pairs,) from the hinges (pairs,) of all pairs."""
    x = normalised(losses)
    return fit_gaussians(x).posterior(x)


class NCR(Method):
    """Two networks that divide the pairs for each other, and margins softened by their predictions (NeurIPS 2021).

    Args:
        warmup_epochs: epochs on all pairs before `schedule.epochs`.
        margin: m.
        soft_margin: how the margin grows with the label.
        threshold: of the posterior, above which a pair is clean.
        variant: the released code with its slips, or what its paper means.
    """

    label_state = LABEL
    networks = rounds = 2

    def __init__(
        self,
        *,
        warmup_epochs: Annotated[int, Field(ge=0)] = 5,
        margin: Annotated[float, Field(gt=0)] = 0.2,
        soft_margin: SoftMargin = "exponential",
        threshold: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        variant: Variant = "released",
    ) -> None:
        self.warmup_epochs = warmup_epochs
        self.margin = margin
        self.soft_margin: SoftMargin = soft_margin
        self.threshold = threshold
        self.variant: Variant = variant

    def phases(self, epochs: int | None, steps_per_epoch: int) -> list[Phase]:
        """The warm-up, then the epochs of the schedule."""
        return warm_up_first(self, self.warmup_epochs, epochs)

    def declare_state(self) -> dict[str, float]:
        """Both networks' posteriors and their mean."""
        return initial_posteriors()

    def plan(self, training: Training) -> Sequence[Feed]:
        """All pairs in the warm-up, then clean and noisy ones."""
        if is_warm_up(training.progress, self.warmup_epochs):
            return []
        return exchange_divisions(
            training,
            partial(mean_hinges, margin=self.margin),
            posterior_of,
            partial(divide, threshold=self.threshold),
        )

    def step(self, training: Training, batch: Any, *others: Any) -> dict[str, Tensor]:
        """`loss`; of the training proper also mean margin and label of clean and of noisy pairs."""
        progress = training.progress
        network, peer = training.networks[progress.round], training.networks[1 - progress.round]
        if is_warm_up(training.progress, self.warmup_epochs):
            loss = mean_hinges(square(network.scores(batch)), self.margin).sum()
            network.learn(loss)
            return {"loss": loss}

        noisy = others[0] if progress.epoch >= progress.epochs // 2 else None
        with network.looking():
            prediction = predict(square(network.scores(batch)), self.margin)
            own = None if noisy is None else predict(square(network.scores(noisy)), self.margin)
        labels = clean_labels(training.state[POSTERIORS[1 - progress.round]][batch.pair_ids], prediction, self.variant)
        values = self._learn(network, batch, labels, "clean")
        if noisy is None or own is None:
            return values
        # The peer is not trained in this round, so it may be asked after the first step.
        with peer.looking():
            others_view = predict(square(peer.scores(noisy)), self.margin)
        values_noisy = self._learn(network, noisy, noisy_labels(own, others_view), "noisy")
        return {**values, **values_noisy, "loss": values["loss"] + values_noisy["loss"]}

    def _learn(self, network: Any, batch: Any, labels: Tensor, which: str) -> dict[str, Tensor]:
        margins = soft_margins(labels, self.margin, self.soft_margin)
        loss = soft_hinge(square(network.scores(batch)), margins, self.variant)
        network.learn(loss)
        return {"loss": loss.detach(), f"label_{which}": labels.mean(), f"margin_{which}": margins.mean()}
