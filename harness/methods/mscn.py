"""MSCN: a meta-net learns from a few clean pairs what a matching pair is.

Source: Han et al., "Noisy Correspondence Learning with Meta Similarity Correction", CVPR 2023; released code
hhc1997/MSCN.

Two networks. The head of each is a meta-net on the vector v_ij that the network makes of image i and caption j:

    S_ij = sigmoid(W2 relu(W1 v_ij + b1) + b2)
    L    = sum_i max_j [m_i + S_ij - S_ii]+  +  sum_j max_i [m_j + S_ij - S_jj]+
    m_i  = m / (1 + (p_i / (1 - p_i))^-2)          p_i = S_ii, a constant

A step: the network w looks ahead, w' = w - lr dL/dw, and judges meta pairs, clean ones (y = 1) and made wrong ones
(y = 0), one by one. Their cross-entropy trains the meta-net theta: directly, and through w', which depends on theta by
L. Then w takes its own step on L, with the new theta.

    meta pairs   clean ones from dev; for each a training caption with the image of another training pair

Before a network trains, the other divides the training pairs: two Betas, started from the scores of wrong and of clean
meta pairs, are fitted on the scores of all training pairs; clean is a posterior above 1/2. Network 0 divides and
network 1 trains, then the other way round. The other pairs are left out. In the warm-up each network trains, with its
meta-net, on all pairs by the sum of the mean hinges (hinge.py).

`variant`. "released", the default: the image-to-text hinge has the margin of the negative (column) instead of the
pair's own. "intended" is the formula above.

Differs from the released code in:
  1. A meta batch is a batch of clean and a batch of wrong pairs; there both together are one batch.
  2. Wrong meta pairs are drawn once for a division and the training after it; there once more between the two. Their
     image is not the one that the caption is paired with; there not its true one, which a method does not know.
  3. The gradient of the meta-net is clipped as that of the network.
  4. Clean meta pairs are the last `meta_pairs` of dev. There they are all of it, and dev selects: the more dev has
     beyond that, the less the two overlap.
  5. Scores without spread leave every pair clean; there the fit fails.
  6. A network whose score is a cosine (VSE-infinity, CLIP) gives the product of the pair's vectors as v_ij.

Hyperparameters (released scripts, on Flickr30K, MS-COCO and CC152K alike): 5 warm-up epochs of batch 128, 50 epochs of
batch 64, lr 2e-4, / 10 every 30, meta_lr 1.7e-5, meta-net 256-64-1, Adam, 2,900 clean meta pairs (MS-COCO: 5,000 of
dev and 6,328 of train). Published: SGR, the mean of both networks.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from torch import Tensor, nn

from harness.methods.base import Feed, Method, Network, Part, Phase, Training, square
from harness.methods.hinge import mean_hinges, soft_hinge
from harness.methods.mixtures import Betas, beta_of, clip, fit_betas
from harness.methods.peers import LABEL, POSTERIORS, initial_posteriors
from harness.methods.warm_up import is_warm_up, warm_up_first

Variant = Literal["released", "intended"]
META = "meta_net"
AT_ONCE = 512  # pairs scored one by one


def meta_net(backbone: Any, hidden: int) -> nn.Module:
    """The new head of a backbone; it ends with a sigmoid where the backbone's scores have none."""
    layers = [nn.Linear(backbone.pair_dim, hidden), nn.ReLU(), nn.Linear(hidden, 1)]
    if float(backbone.activate(torch.zeros(()))) == 0:
        layers.append(nn.Sigmoid())
    backbone.head = nn.Sequential(*layers)
    head: nn.Module = backbone.head
    return head


def soft_margins(probabilities: Tensor, margin: float) -> Tensor:
    """m_i (B,) of scores (B,) in [0, 1]: 0 at 0, half the margin at 1/2, the margin at 1."""
    return margin / (1 + (probabilities / (1 - probabilities)) ** -2)


def main_loss(scores: Tensor, margin: float, variant: Variant) -> Tensor:
    """L of scores (B, B) in [0, 1], summed over the batch."""
    return soft_hinge(scores, soft_margins(scores.detach().diagonal(), margin), variant)


def warm_up_loss(scores: Tensor, margin: float) -> Tensor:
    """Sum of the mean hinges of scores (B, B)."""
    return mean_hinges(scores, margin).sum()


def meta_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of scores (n,) in [0, 1] with labels (n,) of 0 and 1."""
    return nn.functional.binary_cross_entropy(scores.float() if scores.dtype.itemsize < 4 else scores, labels)


def posterior_of(scores: ArrayLike, wrong: ArrayLike, right: ArrayLike) -> tuple[NDArray[np.float64], Betas | None]:
    """(posterior of being clean (pairs,), the Betas, noisy first), from scores of training pairs (pairs,), of wrong and
    of right meta pairs. Without spread in a start there are no Betas, and every pair is clean."""
    x = clip(scores)
    noisy, clean = (beta_of(clip(values)) if np.size(values) else None for values in (wrong, right))
    if noisy is None or clean is None:
        return np.ones(len(x)), None
    start = Betas.of((noisy[0], clean[0]), (noisy[1], clean[1]))
    mixture = fit_betas(x, start, updates=10, gain=0.01)
    return np.nan_to_num(mixture.posterior(x, 1)), mixture


def single_scores(training: Training, network: Network, feed: Feed) -> NDArray[np.float32]:
    """(n,) scores of the pairs of a feed, each alone, in evaluation mode and without augmentation."""
    found = []
    with network.looking():
        for start in range(0, len(feed.captions), AT_ONCE):
            rows = slice(start, start + AT_ONCE)
            images = None if feed.images is None else feed.images[rows]
            batch = training.read(feed.captions[rows], images, feed.split)
            found.append(network.pairwise(*network.encode(batch)).float().cpu())
    return torch.cat(found).numpy() if found else np.zeros(0, dtype=np.float32)


def wrong_pairs(paired_images: NDArray[np.int64], count: int, rng: np.random.Generator) -> Feed:
    """`count` training captions, or all if there are fewer, each with the image of another pair."""
    rows = rng.permutation(len(paired_images))[:count]
    images = paired_images[rng.integers(len(paired_images), size=len(rows))]
    for _ in range(20):  # one image at all would never do
        own = images == paired_images[rows]
        if not own.any():
            break
        images[own] = paired_images[rng.integers(len(paired_images), size=int(own.sum()))]
    wrong = images != paired_images[rows]
    return Feed(rows[wrong], images[wrong])


class MSCN(Method):
    """Two networks whose similarity head learns from clean pairs through a step ahead (CVPR 2023).

    Args:
        warmup_epochs: epochs on all pairs before `schedule.epochs`.
        warmup_batch_size: pairs of a step of the warm-up.
        margin: m.
        threshold: of the posterior, above which a pair is clean.
        hidden: size of the meta-net's hidden layer.
        meta_lr: learning rate of the meta-nets; falls with the schedule's. In the warm-up they have the schedule's.
        meta_pairs: clean pairs, the last of dev; at most all of it.
        variant: the released code with its slip, or what its paper means.
    """

    one_process = True
    label_state = LABEL
    networks = rounds = 2

    def __init__(
        self,
        *,
        warmup_epochs: Annotated[int, Field(ge=0)] = 5,
        warmup_batch_size: Annotated[int, Field(ge=2)] = 128,
        margin: Annotated[float, Field(gt=0)] = 0.2,
        threshold: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        hidden: Annotated[int, Field(ge=1)] = 64,
        meta_lr: Annotated[float, Field(gt=0)] = 1.7e-5,
        meta_pairs: Annotated[int, Field(ge=2)] = 2900,
        variant: Variant = "released",
    ) -> None:
        self.warmup_epochs = warmup_epochs
        self.warmup_batch_size = warmup_batch_size
        self.margin = margin
        self.threshold = threshold
        self.hidden = hidden
        self.meta_lr = meta_lr
        self.meta_pairs = meta_pairs
        self.variant: Variant = variant

    def phases(self, epochs: int | None, steps_per_epoch: int) -> list[Phase]:
        """The warm-up, then the epochs of the schedule with fresh optimisers."""
        *warm, main = warm_up_first(self, self.warmup_epochs, epochs)
        if not warm:
            return [main]
        return [
            Phase(self.warmup_epochs, batch_size=self.warmup_batch_size),
            Phase(main.epochs, reinitialise=False, fresh_optimizer=True),
        ]

    def fits(self, backbone: type, run: Any) -> str:
        """The head must be a module."""
        if getattr(backbone, "head_name", None) is None:
            return "its meta-net takes the place of the similarity head, and this backbone has none to replace"
        return ""

    def declare_state(self) -> dict[str, float]:
        """Both networks' posteriors and their mean."""
        return initial_posteriors()

    def parts(self) -> Mapping[str, Part]:
        """The meta-net."""
        return {META: Part(lambda backbone: meta_net(backbone, self.hidden), lr=self.meta_lr)}

    def plan(self, training: Training) -> Sequence[Feed]:
        """All pairs in the warm-up, then clean ones, clean meta pairs and wrong meta pairs."""
        progress, state = training.progress, training.state
        if is_warm_up(progress, self.warmup_epochs):
            return []
        divider = progress.round
        network = training.networks[divider]
        dev = training.captions("dev")
        right = Feed(np.arange(max(0, dev - self.meta_pairs), dev), split="dev")
        wrong = wrong_pairs(training.paired_images, len(right.captions), training.rng("wrong"))
        scores = [single_scores(training, network, feed) for feed in (Feed(np.arange(training.pairs)), wrong, right)]
        posterior = training.agreed(lambda: posterior_of(*scores)[0].astype(np.float32))
        state[POSTERIORS[divider]].copy_(torch.from_numpy(posterior))
        state[LABEL].copy_((state[POSTERIORS[0]].whole() + state[POSTERIORS[1]].whole()) / 2)
        return [Feed(np.flatnonzero(posterior > self.threshold)), right, wrong]

    def step(self, training: Training, batch: Any, *others: Any) -> dict[str, Tensor]:
        """`loss`; of the training proper also that of the meta pairs, and the mean margin."""
        network = training.networks[1 - training.progress.round]
        if is_warm_up(training.progress, self.warmup_epochs):
            loss = warm_up_loss(square(network.scores(batch)), self.margin)
            network.learn(loss, ("main", META), lr=network.rate)
            return {"loss": loss.detach()}
        values = {}
        if None not in others:
            values["loss_meta"] = self.learn_meta(network, batch, *others)
        scores = square(network.scores(batch))
        loss = main_loss(scores, self.margin, self.variant)
        network.learn(loss)
        margins = soft_margins(scores.detach().diagonal(), self.margin)
        return {"loss": loss.detach(), "margin": margins.mean(), **values}

    def learn_meta(self, network: Network, batch: Any, right: Any, wrong: Any) -> Tensor:
        """A step of the meta-net on right and wrong meta pairs, through a step of the network; its loss."""
        with network.ahead(main_loss(square(network.scores(batch, twice=True)), self.margin, self.variant)):
            scores = [network.pairwise(*network.encode(pairs)) for pairs in (right, wrong)]
            labels = torch.cat([torch.ones_like(scores[0]), torch.zeros_like(scores[1])])
            loss = meta_loss(torch.cat(scores), labels)
            network.learn(loss, META)
        return loss.detach()
