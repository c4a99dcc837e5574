"""Partial optimal transport by plain Sinkhorn iterations on scalings, one entry at a time."""

import math
from collections.abc import Sequence


def partial_plan(
    cost: Sequence[Sequence[float]],
    mass: float,
    reg: float,
    *,
    mask_diagonal: bool = False,
    iterations: int = 1000,
    tolerance: float = 1e-3,
) -> list[list[float]]:
    """The plan of rows and columns; those that take what is not to move are left out at the end."""
    n, m = len(cost), len(cost[0])
    costs = [[max(value, 1e-10) for value in row] for row in cost]
    most = max(max(row) for row in costs)
    costs = [[*row, 100 * most] for row in costs] + [[100 * most] * m + [201 * most]]
    rows, columns = [1 / n] * n + [1 - mass], [1 / m] * m + [1 - mass]
    u, v = [0.0] * (n + 1), [0.0] * (m + 1)

    def exponent(i: int, j: int) -> float:
        if mask_diagonal and i == j and i < n and j < m:
            return -1e6
        return (u[i] + v[j] - costs[i][j]) / reg

    for _ in range(iterations):
        before = list(u)
        found = [_log_sum([exponent(i, j) for j in range(m + 1)]) for i in range(n + 1)]
        u = [u[i] + reg * (math.log(rows[i]) - found[i]) for i in range(n + 1)]
        found = [_log_sum([exponent(i, j) for i in range(n + 1)]) for j in range(m + 1)]
        v = [v[j] + reg * (math.log(columns[j]) - found[j]) for j in range(m + 1)]
        if math.dist(u, before) < tolerance:
            break
    return [[math.exp(exponent(i, j)) for j in range(m)] for i in range(n)]


def _log_sum(exponents: Sequence[float]) -> float:
    most = max(exponents)
    return most + math.log(sum(math.exp(one - most) for one in exponents) + 1e-10)
