"""The losses of the methods as plain functions, for a training loop of one's own.

Each takes the similarities of a batch, `scores` (B, B): rows images, columns captions, the given pairs on the diagonal.
It returns a scalar with gradient, in float32 or wider. A batch of one pair gives a finite loss and a zero gradient. The
value is that of the method of the same name in a run, which computes it; its file has the equations.

Raises ValueError for scores of another shape, and HarnessError for a setting out of range.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from harness.methods import Method, Progress
from harness.methods.base import square
from harness.methods.crcl import CRCL
from harness.methods.crcl import correct_labels as correct_labels
from harness.methods.infonce import InfoNCE
from harness.methods.rcl import RCL
from harness.methods.softmax import matching
from harness.methods.sum_hinge import SumHinge
from harness.methods.triplet import Triplet


def crcl(
    scores: Tensor,
    labels: Tensor,
    *,
    tau: float = 0.05,
    complementary_weight: float = 5.0,
    transform: Literal["tan", "identity", "log", "exp"] = "tan",
    exponent: float | None = None,
) -> Tensor:
    """CRCL: active loss weighted by the labels, and complementary loss.

    Args:
        scores: (B, B).
        labels: (B,) in [0, 1], how far each pair is believed; `correct_labels` says how they follow the network.
        tau: temperature.
        complementary_weight, transform, exponent: as of the method.
    """
    if labels.shape != scores.shape[:1]:
        raise ValueError(f"labels must be {tuple(scores.shape[:1])}, one per pair; got {tuple(labels.shape)}")
    # Without a threshold, in a frozen epoch, which no first estimate closes, the labels count as they are.
    method = CRCL(
        tau=tau, complementary_weight=complementary_weight, transform=transform, exponent=exponent, epsilon=0.0,
        freeze_epochs=1,
    )  # fmt: skip
    return _loss(method, scores, {"label": labels.detach().clone()})


def rcl(
    scores: Tensor,
    *,
    tau: float = 0.05,
    transform: Literal["log", "tan", "abs", "exp", "gce"] = "log",
    q: float = 0.7,
    variant: Literal["released", "intended"] = "released",
) -> Tensor:
    """RCL: complementary contrastive loss, of the negatives alone. scores (B, B); the settings are the method's."""
    return _loss(RCL(tau=tau, transform=transform, q=q, variant=variant), scores)


def infonce(scores: Tensor, *, tau: float = 0.05) -> Tensor:
    """Symmetric InfoNCE, the two directions summed. scores (B, B), tau the temperature."""
    return _loss(InfoNCE(tau=tau), scores)


def triplet(scores: Tensor, *, margin: float = 0.2) -> Tensor:
    """Hinge against the hardest negative of the batch, summed over pairs and directions. scores (B, B)."""
    return _loss(Triplet(margin=margin, warmup_epochs=0), scores)


def sum_hinge(scores: Tensor, *, margin: float = 0.2) -> Tensor:
    """Hinges against all negatives of the batch, summed over pairs and directions. scores (B, B)."""
    return _loss(SumHinge(margin=margin), scores)


def match(scores: Tensor, *, tau: float = 0.05) -> Tensor:
    """(B,) p_i in [0, 1]: the mean of the probabilities that image i gives to caption i and caption i to image i among
    the batch. Without gradient: what `correct_labels` draws the labels to. scores (B, B), tau the temperature."""
    p, q = matching(square(scores.detach()), tau)
    return (p.diagonal() + q.diagonal()) / 2


@dataclass(frozen=True)
class _Batch:
    pair_ids: Tensor


def _loss(method: Method, scores: Tensor, state: dict[str, Tensor] | None = None) -> Tensor:
    """A method's loss of one batch whose pairs are all that there are; in the second piece of a run."""
    batch = _Batch(torch.arange(len(scores), device=scores.device))
    return method.loss(scores, batch, state or {}, Progress(piece=1, epoch=0, step=0, steps_per_epoch=1))["loss"]
