"""L2RM: learning to rematch mismatched pairs.

Source: Han et al., "Learning to Rematch Mismatched Pairs for Robust Cross-Modal Retrieval", CVPR 2024; released code
hhc1997/L2RM. Scores S (B, B), P and Q their softmax over rows and columns at temperature tau.

    warm-up       L = (1/2) mean_i [ -log P_ii + c (1 - P_ii) - log Q_ii + c (1 - Q_ii) ]           c = -log 1e-7
    clean pairs   L_c = sum_i max_j [m + S_ij - S_ii]+  +  sum_j max_i [m + S_ij - S_jj]+
    noisy pairs   are matched anew: C = relu(S W^T + b), a learned cost; a plan of partial optimal transport from it
                  that moves `mass`, nothing from a pair to itself; its rows and columns, each of sum 1, are the
                  targets T and U:
                  L_n = (1/2) [KL(T || P) + KL(P || T) + KL(U || Q) + KL(Q || U)],  a mean over the pairs

    L = L_c + L_n,  one step on both

Before every epoch two Betas are fitted on the mean hinge of each pair, brought to [0, 1]; the clean one is the likelier
at 0.001, and clean is a posterior above 1/2. Clean pairs drive the epoch, noisy ones come beside them; both in full
batches only, as W is (B, B).

The cost starts at C = 1 - S and is trained before each step: between images of the noisy batch before, some of them
replaced by those of clean pairs, and the captions of the clean batch, the cost of the planted pairs is minimised.
Nothing holds the other costs up.

Differs from the released code in:
  1. The Betas start from groups of the seed's own draw; there, of an unseeded one. With few pairs the start decides
     much: over 12 starts with 100 to 240 pairs up to 155 of 160 masks differed.
  2. The images kept for planting stand in the order of their pairs. In the first step they are drawn from all pairs, as
     there. They are read without augmentation.
  3. Losses that are all equal leave every pair clean; there the fit fails.

Hyperparameters (released scripts; batch 128, lr 2e-4, clip 2, Adam): Flickr30K 5 warm-up epochs, 35 epochs, / 10 every
15, reg 0.01; MS-COCO 10, 20, every 10, reg 0.07; CC152K 10, 40, every 20, reg 0.07, diagonal not masked, as its noise
is not made. Cost lr 2e-6, tau 0.05, mass 0.1, margin 0.2. Published: SAF, SGR and the mean of both.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from harness.methods.base import Feed, Method, Part, Phase, Training, square
from harness.methods.hinge import hinge_hardest, mean_hinges
from harness.methods.mixtures import Betas, beta_of, clip, fit_betas, normalised
from harness.methods.softmax import log_matching
from harness.methods.transport import partial_transport
from harness.methods.warm_up import is_warm_up, warm_up_first

REVERSE = -math.log(1e-7)
PROBE = 0.001
LEAST = 1e-10  # of a target, before it is normalised


class Cost(nn.Module):
    """C = relu(S W^T + b), rows images; at first 1 - S."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(-torch.eye(size))
        self.bias = nn.Parameter(torch.ones(size))

    def forward(self, scores: Tensor) -> Tensor:
        return torch.relu(nn.functional.linear(scores, self.weight.to(scores), self.bias.to(scores)))


def warm_up_loss(scores: Tensor, tau: float) -> Tensor:
    """Cross-entropy and its reverse, both directions."""
    own = [log.diagonal() for log in log_matching(scores, tau)]
    return sum(((-log + REVERSE * (1 - log.exp())).mean() / 2 for log in own), scores.new_zeros(()))


def targets(plan: Tensor) -> tuple[Tensor, Tensor]:
    """(T, U), each (B, B) in the layout of the plan (B, B): its rows, and its columns, of sum 1."""
    kept = plan.clamp(min=LEAST)
    return kept / kept.sum(dim=1, keepdim=True), kept / kept.sum(dim=0)


def rematching_loss(scores: Tensor, plan: Tensor, tau: float) -> Tensor:
    """L_n: symmetric divergence of P and Q from the targets of a plan (B, B)."""
    total = scores.new_zeros(())
    for log_p, target in zip(log_matching(scores, tau), targets(plan.to(scores)), strict=True):
        total = total + ((target - log_p.exp()) * (target.log() - log_p)).sum() / 2
    return total / len(scores)


def draw_groups(x: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(n,) of 0 and 1: the nearer of two centres; the second drawn far from the first (k-means++, one pass)."""
    first = x[rng.integers(len(x))]
    distances = (x - first) ** 2
    second = x[rng.choice(len(x), p=distances / distances.sum())]
    return (np.abs(x - second) < np.abs(x - first)).astype(np.int64)


def posterior_of(x: NDArray[np.float64], groups: NDArray[np.int64]) -> tuple[NDArray[np.float64], Betas, int]:
    """(posterior of the clean Beta (n,), both Betas, which is the clean one), from clipped losses and a start.

    A group of equal values gives no Beta to start from: then every pair is clean.
    """
    starts = [beta_of(x[groups == number]) if (groups == number).any() else None for number in (0, 1)]
    if starts[0] is None or starts[1] is None:
        return np.ones(len(x)), Betas.of((1, 1), (1, 1)), 0
    shares = [(groups == number).mean() for number in (0, 1)]
    start = Betas.of([a for a, _ in starts if a], [b for _, b in starts if b], shares)  # type: ignore[misc]
    mixture = fit_betas(x, fit_betas(x, start, updates=10, gain=0.01), updates=None, gain=0.1)
    clean = int(mixture.log_density([PROBE])[:, 0].argmax())
    return mixture.posterior(x, clean), mixture, clean


class L2RM(Method):
    """A learned cost and optimal transport give noisy pairs new partners (CVPR 2024).

    Args:
        warmup_epochs: epochs on all pairs before `schedule.epochs`.
        margin: m.
        tau: temperature.
        threshold: of the posterior, above which a pair is clean.
        mass: share of a noisy batch that the transport moves, at least.
        reg: weight of the transport's entropy.
        mask_diagonal: a noisy pair is not matched to itself.
        cost_lr: learning rate of the cost.
        batch_size: size of the cost; that of the schedule.
    """

    label_state = "clean"

    def __init__(
        self,
        *,
        warmup_epochs: Annotated[int, Field(ge=0)] = 5,
        margin: Annotated[float, Field(ge=0)] = 0.2,
        tau: Annotated[float, Field(gt=0)] = 0.05,
        threshold: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        mass: Annotated[float, Field(gt=0, lt=1)] = 0.1,
        reg: Annotated[float, Field(gt=0)] = 0.01,
        mask_diagonal: bool = True,
        cost_lr: Annotated[float, Field(gt=0)] = 2e-6,
        batch_size: Annotated[int, Field(ge=2)] = 128,
    ) -> None:
        self.warmup_epochs = warmup_epochs
        self.margin = margin
        self.tau = tau
        self.threshold = threshold
        self.mass = mass
        self.reg = reg
        self.mask_diagonal = mask_diagonal
        self.cost_lr = cost_lr
        self.batch_size = batch_size

    def phases(self, epochs: int | None, steps_per_epoch: int) -> list[Phase]:
        """The warm-up, then the epochs of the schedule."""
        return warm_up_first(self, self.warmup_epochs, epochs)

    def fits(self, backbone: type, run: Any) -> str:
        """The cost is as large as a batch."""
        if run.schedule.batch_size != self.batch_size:
            return (
                f"its cost is for batches of method.batch_size = {self.batch_size}, and schedule.batch_size is "
                f"{run.schedule.batch_size}; set both alike"
            )
        return ""

    def declare_state(self) -> dict[str, float]:
        """The posterior of being clean; the step (from 1) in which a pair last was in a noisy batch."""
        return {"clean": 1.0, "noisy_step": 0.0}

    def parts(self) -> Mapping[str, Part]:
        """The cost."""
        return {"cost": Part(lambda _: Cost(self.batch_size), lr=self.cost_lr)}

    def plan(self, training: Training) -> Sequence[Feed]:
        """All pairs in the warm-up, then clean and noisy ones in full batches."""
        if is_warm_up(training.progress, self.warmup_epochs):
            return []
        losses = training.every_pair(training.networks[0], partial(mean_hinges, margin=self.margin))
        rng = training.rng("division")
        posterior = training.agreed(lambda: self._posterior(losses, rng))
        training.state["clean"].copy_(torch.from_numpy(posterior))
        clean = posterior > self.threshold
        return [Feed(np.flatnonzero(clean), drop_last=True), Feed(np.flatnonzero(~clean), drop_last=True)]

    def step(self, training: Training, batch: Any, *others: Any) -> dict[str, Tensor]:
        """`loss`; of the training proper its parts, the loss of the cost, and the mass of the plan."""
        network = training.networks[0]
        if is_warm_up(training.progress, self.warmup_epochs):
            loss = warm_up_loss(square(network.scores(batch)), self.tau)
            network.learn(loss)
            return {"loss": loss}
        noisy = others[0]
        if noisy is None:
            loss = hinge_hardest(square(network.scores(batch)), self.margin)
            network.learn(loss)
            return {"loss": loss, "loss_clean": loss.detach()}

        cost_loss = self._learn_cost(training, network, batch)
        stamp = float(training.progress.steps + 1)
        training.state["noisy_step"][noisy.pair_ids] = torch.full_like(noisy.pair_ids, stamp, dtype=torch.float32)
        loss_clean = hinge_hardest(square(network.scores(batch)), self.margin)
        scores = square(network.scores(noisy))
        with torch.no_grad():
            cost = network.parts["cost"](scores.detach()).double().cpu().numpy()
        moved = training.agreed(
            lambda: partial_transport(cost, self.mass, self.reg, mask_diagonal=self.mask_diagonal)[0]
        )
        plan = torch.from_numpy(moved).to(scores)
        loss_noisy = rematching_loss(scores, plan, self.tau)
        loss = loss_clean + loss_noisy
        network.learn(loss)
        return {
            "loss": loss.detach(),
            "loss_clean": loss_clean.detach(),
            "loss_noisy": loss_noisy.detach(),
            "loss_cost": cost_loss,
            "mass": plan.sum(),
        }

    def _learn_cost(self, training: Training, network: Any, batch: Any) -> Tensor:
        """A step of the cost; its loss."""
        rng, size = training.rng("plants"), self.batch_size
        steps = training.state["noisy_step"].whole().cpu().numpy()
        kept = np.flatnonzero(steps == steps.max()) if steps.max() > 0 else rng.permutation(len(steps))[:size]
        count = int(rng.integers(1, max(int(size * 0.1), 1), endpoint=True))
        planted, places = rng.permutation(size)[:count], rng.permutation(len(kept))[:count]
        rows = kept.copy()
        rows[places] = batch.pair_ids.cpu().numpy()[planted]
        with network.looking():
            images, _ = network.encode(training.read(rows))
            _, texts = network.encode(batch)
            scores = network.similarity(images, texts).float()
        cost = network.parts["cost"](scores)
        loss: Tensor = cost[torch.from_numpy(places), torch.from_numpy(planted)].sum()
        network.learn(loss, "cost")
        return loss.detach()

    @staticmethod
    def _posterior(losses: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        x = normalised(losses)
        if x.max() == 0:
            return np.ones(len(x), dtype=np.float32)
        clipped = clip(x)
        return posterior_of(clipped, draw_groups(clipped, rng))[0].astype(np.float32)
