"""What methods with two networks share that divide the training pairs for each other: NCR, BiCro.

Before an epoch each network gives every pair a posterior of being clean. Network 0 then trains on the division that
network 1 made, and network 1 on that of network 0, so that neither confirms its own mistakes.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.methods.base import Feed, Training

POSTERIORS = ("clean.0", "clean.1")  # per-pair state: each network's posterior
LABEL = "clean"  # their mean


def initial_posteriors() -> dict[str, float]:
    """The per-pair state: everything is taken for clean."""
    return dict.fromkeys((*POSTERIORS, LABEL), 1.0)


def exchange_divisions(
    training: Training,
    measure: Callable[[Tensor], Tensor],
    fit: Callable[[NDArray[np.float32]], NDArray[np.float64]],
    divide: Callable[[NDArray[np.float32]], NDArray[np.bool_]],
) -> Sequence[Feed]:
    """The plan of a round: the pairs that the peer calls clean drive it, the others come beside them.

    measure: from scores (B, B) to a loss of each pair (B,). fit: from the losses (pairs,) to posteriors of being clean;
    NaN is 0. divide: from the posteriors to which pairs are clean. The first round measures with both networks, the
    second uses what is stored.
    """
    state, progress = training.state, training.progress
    if progress.round == 0:
        found = []
        for name, network in zip(POSTERIORS, training.networks, strict=True):
            losses = training.every_pair(network, measure)
            posterior = training.agreed(lambda losses=losses: np.nan_to_num(fit(losses)).astype(np.float32))  # type: ignore[misc]
            state[name].copy_(torch.from_numpy(posterior))
            found.append(posterior)
        state[LABEL].copy_(torch.from_numpy((found[0] + found[1]) / 2))
    clean = divide(state[POSTERIORS[1 - progress.round]].whole().cpu().numpy())
    return [Feed(np.flatnonzero(clean)), Feed(np.flatnonzero(~clean))]
