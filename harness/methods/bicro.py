"""BiCro: bidirectional cross-modal similarity consistency.

Source: Yang et al., "BiCro: Noisy Correspondence Rectification for Multi-modality Data via Bi-directional Cross-modal
Similarity Consistency", CVPR 2023; released code xu5zhao/BiCro.

Two networks that divide the pairs for each other, as in NCR (peers.py), by two Betas on the normalised mean hinges h_i
(hinge.py). Similar images should have similar captions; so a pair's label comes from a clean pair that resembles it.
V_i is the mean of image i's region vectors, T_i that of caption i's word vectors, both by the peer in evaluation mode.

    anchors          the B // 10 + 1 pairs of the clean batch that the peer predicts best (`predict`); y = 1
    r_v of pair n    c = argmax over anchors of cos(V_n, V_c);   x = cos(V_n, V_c),  z = cos(T_n, T_c)
                     q = x / z;   r_v = q where q < 1, else 1 / q
    r_t of pair n    the same with images and texts exchanged
    noisy pairs      y_n = (r_v + r_t) / 2          with the anchors of the clean batch beside it
    other clean ones y_n = 1/2 + (r_v + r_t) / 4
    both             y_n = 0 where y_n <= 1/2 (`noise_tem`), then clipped to [0, 1]

    L = sum_i max_j [m_i + S_ij - d_i]+  +  sum_j max_i [m_j + S_ij - d_j]+          m_i = m (10^y_i - 1) / 9

y = 0 gives a margin of 0: the pair is not dropped. The noisy batch steps before the clean one, and in the second half
of the epochs alone; the labels of both are made before either. In the warm-up only the int(0.3 B) pairs of a batch with
the lowest h_i are summed.

`variant`. "released", the default, repeats four slips of the code that the published numbers come from:
  - labels of clean pairs are computed in the order of the batch, and given to the pairs in the order of their
    prediction, so they are permuted among those that are no anchors;
  - the image-to-text hinge has the margin of the negative (column) instead of the pair's own;
  - the posterior is taken at the unclipped losses: the pair of the lowest loss gets NaN or 0, and is noisy;
  - the guard against a division without noisy pairs looks at pair number N // 100 in data order, and not by size.
"intended" is the formulas above, posteriors at the clipped losses, and NCR's guard.

Differs from the released code in:
  1. Ties between predictions and between anchors are broken by the order of the batch (a stable sort, the first).
  2. A cosine of 0 below the line gives r = 0; there it is infinite or NaN.
  3. A batch of one pair is left out of a feed; a network without clean pairs takes no step in that epoch.
  4. Networks with one vector an item (VSE-infinity, CLIP) give that as V and T.

Hyperparameters (released scripts, on Flickr30K, MS-COCO and CC152K alike): 10 warm-up epochs, 40 epochs, lr 2e-4, / 10
at 30, batch 128, clip 2, Adam, margin 0.2, warmup_rate 0.3, noise_tem 0.5, Beta mixture.
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from torch import Tensor

from harness.methods.base import Feed, Method, Phase, Training, square
from harness.methods.hinge import SoftMargin, mean_hinges, predict, soft_hinge, soft_margins
from harness.methods.mixtures import Betas, divide, fit_betas, normalised
from harness.methods.peers import LABEL, exchange_divisions, initial_posteriors
from harness.methods.vectors import global_vectors
from harness.methods.warm_up import is_warm_up, warm_up_first

Variant = Literal["released", "intended"]
START = Betas.of((1, 2), (2, 1))  # the first is "clean" by its start, whatever it becomes
CLIP = 1e-4


class Vectors(NamedTuple):
    """Global vectors of a batch, V and T (n, d), of any length."""

    images: Tensor
    texts: Tensor


def split_anchors(prediction: Tensor) -> tuple[Tensor, Tensor]:
    """(anchors, rest): rows of the clean batch by ascending prediction (B,), the B // 10 + 1 last being anchors."""
    order = torch.argsort(prediction, stable=True)
    count = len(prediction) // 10 + 1
    return order[-count:], order[:-count]


def consistency(of: Vectors, anchors: Vectors) -> tuple[Tensor, Tensor]:
    """(r_v, r_t), each (n,), of n pairs against the anchors (k,)."""
    images = _unit(of.images) @ _unit(anchors.images).T  # (n, k)
    texts = _unit(of.texts) @ _unit(anchors.texts).T
    return _ratio(images, texts), _ratio(texts, images)


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=1)


def _ratio(nearest_by: Tensor, other: Tensor) -> Tensor:
    found = nearest_by.argmax(dim=1, keepdim=True)  # (n, 1)
    x, z = nearest_by.gather(1, found).squeeze(1), other.gather(1, found).squeeze(1)
    q = torch.where(z == 0, 0.0, x / torch.where(z == 0, 1.0, z))
    return torch.where(q < 1, q, 1 / torch.where(q < 1, 1.0, q))


def keep_sure(labels: Tensor, noise_tem: float) -> Tensor:
    """0 where a label is not above `noise_tem`; the others clipped to [0, 1]."""
    return labels.masked_fill(labels <= noise_tem, 0.0).clamp(0, 1)


def noisy_labels(of: Vectors, anchors: Vectors, noise_tem: float) -> Tensor:
    """y (n,) of noisy pairs."""
    r_v, r_t = consistency(of, anchors)
    return keep_sure((r_v + r_t) / 2, noise_tem)


def clean_labels(prediction: Tensor, of: Vectors, noise_tem: float, variant: Variant) -> Tensor:
    """y (B,) of the clean batch; prediction (B,) by the peer."""
    anchors, rest = split_anchors(prediction)
    r_v, r_t = consistency(of, Vectors(of.images[anchors], of.texts[anchors]))
    found = keep_sure(0.5 + (r_v + r_t) / 4, noise_tem)  # (B,), in the order of the batch
    labels = torch.ones_like(found)
    labels[rest] = found[: len(rest)] if variant == "released" else found[rest]
    return labels


def warm_up_loss(scores: Tensor, margin: float, rate: float) -> Tensor:
    """Sum of the int(rate B) lowest mean hinges of a batch; 0 for few pairs."""
    losses = mean_hinges(scores, margin)
    return losses[torch.argsort(losses, stable=True)[: int(rate * len(losses))]].sum()


def posterior_of(losses: ArrayLike, variant: Variant) -> NDArray[np.float64]:
    """(pairs,) probability of being clean, from the hinges of all pairs; NaN, for the release, counts as noisy."""
    x = normalised(losses)
    clipped = x.clip(CLIP, 1 - CLIP)
    mixture = fit_betas(clipped, START, floor=1e-12)
    return mixture.posterior(x if variant == "released" else clipped, added=1e-12)


def divide_pairs(posterior: ArrayLike, threshold: float, variant: Variant) -> NDArray[np.bool_]:
    """Which pairs (pairs,) are clean."""
    p = np.asarray(posterior, dtype=np.float64)
    if variant == "intended":
        return divide(p, threshold)
    return p > (p[len(p) // 100] if p.min() > threshold else threshold)  # a NaN is neither


class BiCro(Method):
    """Two networks; labels of doubtful pairs from the similarity of clean pairs that resemble them (CVPR 2023).

    Args:
        warmup_epochs: epochs on the easiest pairs before `schedule.epochs`.
        warmup_rate: share of a batch that is trained on in the warm-up.
        margin: m.
        soft_margin: how the margin grows with the label.
        threshold: of the posterior, above which a pair is clean.
        noise_tem: labels that are not above it count as 0.
        variant: the released code with its slips, or what its paper means.
    """

    label_state = LABEL
    networks = rounds = 2

    def __init__(
        self,
        *,
        warmup_epochs: Annotated[int, Field(ge=0)] = 10,
        warmup_rate: Annotated[float, Field(gt=0, le=1)] = 0.3,
        margin: Annotated[float, Field(gt=0)] = 0.2,
        soft_margin: SoftMargin = "exponential",
        threshold: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        noise_tem: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        variant: Variant = "released",
    ) -> None:
        self.warmup_epochs = warmup_epochs
        self.warmup_rate = warmup_rate
        self.margin = margin
        self.soft_margin: SoftMargin = soft_margin
        self.threshold = threshold
        self.noise_tem = noise_tem
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
            partial(posterior_of, variant=self.variant),
            partial(divide_pairs, threshold=self.threshold, variant=self.variant),
        )

    def step(self, training: Training, batch: Any, *others: Any) -> dict[str, Tensor]:
        """`loss`; of the training proper also mean margin and label of clean and of noisy pairs."""
        progress = training.progress
        network, peer = training.networks[progress.round], training.networks[1 - progress.round]
        if is_warm_up(training.progress, self.warmup_epochs):
            loss = warm_up_loss(square(network.scores(batch)), self.margin, self.warmup_rate)
            network.learn(loss)
            return {"loss": loss}

        noisy = others[0] if progress.epoch >= progress.epochs // 2 else None
        with peer.looking():
            prediction = predict(square(peer.scores(batch)), self.margin)
            of = _vectors(peer, batch)
            labels = clean_labels(prediction, of, self.noise_tem, self.variant)
            anchors, _ = split_anchors(prediction)
            beside = Vectors(of.images[anchors], of.texts[anchors])
            doubtful = None if noisy is None else noisy_labels(_vectors(peer, noisy), beside, self.noise_tem)
        values_noisy = {} if doubtful is None else self._learn(network, noisy, doubtful, "noisy")
        values = self._learn(network, batch, labels, "clean")
        if values_noisy:
            values["loss"] = values["loss"] + values_noisy.pop("loss")
        return {**values_noisy, **values}

    def _learn(self, network: Any, batch: Any, labels: Tensor, which: str) -> dict[str, Tensor]:
        margins = soft_margins(labels, self.margin, self.soft_margin)
        loss = soft_hinge(square(network.scores(batch)), margins, self.variant)
        network.learn(loss)
        return {"loss": loss.detach(), f"label_{which}": labels.mean(), f"margin_{which}": margins.mean()}


def _vectors(network: Any, batch: Any) -> Vectors:
    images, texts = network.encode(batch)
    return Vectors(global_vectors(images).float(), global_vectors(texts).float())
