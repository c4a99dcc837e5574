"""Partial optimal transport: as much mass as asked for moves from rows to columns, where it is cheapest.

A dummy row and a dummy column take what is not to move, at a cost far above all others, so that plain Sinkhorn
iterations solve it. As in L2RM's release, which stops long before convergence: its plans carry more than `mass`, and
their update order, stopping rule and the 1e-10 under the logarithm are part of the result. A library's solver, which
checks convergence elsewhere, gives other plans.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import Diverged

MASKED = -1e6  # in the exponent


def partial_transport(
    cost: ArrayLike,
    mass: float,
    reg: float,
    *,
    mask_diagonal: bool = False,
    iterations: int = 1000,
    tolerance: float = 1e-3,
) -> tuple[NDArray[np.float64], int]:
    """(plan (n, m), iterations made) between uniform marginals.

    Args:
        cost: (n, m), not negative.
        mass: how much of 1 is to move.
        reg: weight of the entropy.
        mask_diagonal: nothing moves from i to i.
        iterations: at most this many.
        tolerance: stop when the row potentials move by less, in the Euclidean norm.

    Raises Diverged when a cost is not finite.
    """
    given = np.asarray(cost, dtype=np.float64).clip(1e-10)
    if not np.isfinite(given).all():
        raise Diverged(
            f"partial transport: {(~np.isfinite(given)).sum()} of {given.size} costs are not finite; "
            "accepted: finite costs; the network diverged: lower schedule.lr or schedule.grad_clip"
        )
    rows, columns = given.shape
    far = 100 * given.max()
    padded = np.pad(given, ((0, 1), (0, 1)), constant_values=far)
    padded[-1, -1] = 2 * far + given.max()
    allowed = np.ones(padded.shape, dtype=bool)
    if mask_diagonal:
        np.fill_diagonal(allowed[:-1, :-1], False)
    log_p = np.log(np.append(np.full(rows, 1 / rows), 1 - mass))
    log_q = np.log(np.append(np.full(columns, 1 / columns), 1 - mass))

    def exponents(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(allowed, (u[:, None] + v[None, :] - padded) / reg, MASKED)

    u, v, made = np.zeros(rows + 1), np.zeros(columns + 1), 0
    while made < iterations:
        before = u
        u = reg * (log_p - _log_sum_exp(exponents(u, v))) + u
        v = reg * (log_q - _log_sum_exp(exponents(u, v).T)) + v
        made += 1
        if np.linalg.norm(u - before) < tolerance:
            break
    return np.exp(exponents(u, v))[:-1, :-1], made


def _log_sum_exp(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the rows."""
    most = values.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = (np.log(np.exp(values - most).sum(axis=1, keepdims=True) + 1e-10) + most)[:, 0]
    return result
