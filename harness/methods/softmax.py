"""Matching probabilities and the transforms that complementary losses put on them."""

from collections.abc import Callable

import torch
from torch import Tensor

_EPS = 1e-10  # of RCL's logarithm: keeps log(1 - p) finite at p = 1


def matching(scores: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """Probabilities (P, Q) that an image, or a caption, gives to each candidate of the batch.

    scores: (B, B), rows images. Both come back as (B, B) in the layout of `scores`:

        P_ij = exp(S_ij/tau) / sum_k exp(S_ik/tau)     image i's for caption j; rows sum to 1
        Q_ij = exp(S_ij/tau) / sum_k exp(S_kj/tau)     caption j's for image i; columns sum to 1
    """
    logits = scores / tau
    return _softmax(logits, dim=1), _softmax(logits, dim=0)


def log_matching(scores: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """(log P, log Q) of `matching`, finite at any scores."""
    logits = scores / tau
    return logits.log_softmax(dim=1), logits.log_softmax(dim=0)


def pair_costs(scores: Tensor, tau: float) -> Tensor:
    """-log P_ii - log Q_ii (B,): the cross-entropy of each pair, both directions summed."""
    log_p, log_q = log_matching(scores, tau)
    return -(log_p.diagonal() + log_q.diagonal())


def _softmax(logits: Tensor, dim: int) -> Tensor:
    """The plain quotient, shifted only where exp would leave float32's range.

    torch's softmax always shifts, which rounds differently, and 1 - p magnifies that where p is nearly 1:
    RCL's logarithm would miss the released loss by 5e-4. Cosines at tau >= 0.0125 are never shifted.
    """
    peak = logits.detach().amax(dim, keepdim=True)
    weights = (logits - (peak - peak.clamp(-80, 80))).exp()
    return weights / weights.sum(dim, keepdim=True)


def off_diagonal(values: Tensor) -> Tensor:
    """`values` (B, B) with zeros on the diagonal: what is left when the given pairs are taken out."""
    return values.masked_fill(torch.eye(len(values), dtype=torch.bool, device=values.device), 0.0)


def log_complements(scores: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """(log(1 - P + 1e-10), log(1 - Q + 1e-10)) of `matching`, each to float32's own precision.

    Where p is above 1/2, 1 - p is the sum of the others: the subtraction would leave rounding alone of it, and the
    gradient divides that by itself. Where p is small, log1p keeps its digits.
    """
    logits = scores / tau
    return _log_complement(logits.softmax(dim=1), dim=1), _log_complement(logits.softmax(dim=0), dim=0)


def _log_complement(p: Tensor, dim: int) -> Tensor:
    above = p.detach() > 0.5  # at most one along `dim`
    others = p.masked_fill(above, 0.0)
    return torch.where(above, (others.sum(dim, keepdim=True) + _EPS).log(), torch.log1p(_EPS - others))


def _log(p: Tensor) -> Tensor:
    return -torch.log(1 - p + _EPS)


def _exp(p: Tensor) -> Tensor:
    return torch.exp(p - 1)


def _identity(p: Tensor) -> Tensor:
    return p


# f(p), increasing: what probability p on a negative costs. On [0, 1], where tan is finite.
TRANSFORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "tan": torch.tan,
    "identity": _identity,  # mean absolute error
    "log": _log,
    "exp": _exp,
}


def generalised(p: Tensor, q: float) -> Tensor:
    """f(p) = (1 - (1 - p)^q) / q: from `log` (q -> 0) to `identity` (q = 1)."""
    return (1 - (1 - p + _EPS) ** q) / q
