"""Losses and labels as the papers write them, one number at a time, in Python's double precision."""

import math
from collections.abc import Callable, Sequence

Matrix = Sequence[Sequence[float]]


def matching(scores: Matrix, tau: float) -> tuple[list[list[float]], list[list[float]]]:
    """P[i][j], image i over captions, and Q[j][i], caption j over images."""
    n = len(scores)
    p, q = [[0.0] * n for _ in range(n)], [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(n):
            p[i][j] = 1 / sum(math.exp((scores[i][k] - scores[i][j]) / tau) for k in range(n))
            q[j][i] = 1 / sum(math.exp((scores[k][j] - scores[i][j]) / tau) for k in range(n))
    return p, q


TRANSFORMS: dict[str, Callable[[float], float]] = {
    "tan": math.tan,
    "identity": lambda p: p,
    "abs": lambda p: p,
    "log": lambda p: -math.log(1 - p + 1e-10),
    "exp": lambda p: math.exp(-(1 - p)),
}


def transform(name: str, q: float = 0.0) -> Callable[[float], float]:
    if name == "gce":
        return lambda p: (1 - (1 - p + 1e-10) ** q) / q
    return TRANSFORMS[name]


def crcl_active(scores: Matrix, labels: Sequence[float], tau: float) -> float:
    p, q = matching(scores, tau)
    n = len(scores)
    return sum(labels[i] * (-math.log(p[i][i]) - math.log(q[i][i])) for i in range(n)) / n


def crcl_complementary(scores: Matrix, exponents: Sequence[float], tau: float, name: str = "tan") -> float:
    """One pair after the other: negatives over the whole to the pair's exponent, both directions."""
    f = transform(name)
    n = len(scores)
    total = 0.0
    for distribution in matching(scores, tau):
        for i in range(n):
            negatives = sum(f(distribution[i][j]) for j in range(n) if j != i)
            total += negatives / sum(f(distribution[i][j]) for j in range(n)) ** exponents[i]
    return total / n


class CRCLLabels:
    """The label of one pair through training."""

    def __init__(self, *, beta: float, epsilon: float, frozen_epochs: int) -> None:
        self.beta, self.epsilon, self.frozen_epochs = beta, epsilon, frozen_epochs
        self.stored = 1.0

    def step(self, piece: int, epoch: int, match: float) -> float:
        """The label to train on; the one to keep is in `stored`."""
        if epoch < self.frozen_epochs:
            label = self.stored
        else:
            label = self.beta * self.stored + (1 - self.beta) * match
        if label < self.epsilon:
            label = 0.0
        if piece == 0 and epoch + 1 == self.frozen_epochs:
            self.stored = match
        else:
            self.stored = label
        return label


def infonce(scores: Matrix, tau: float) -> float:
    return crcl_active(scores, [1.0] * len(scores), tau)


def rcl(scores: Matrix, tau: float, name: str, q: float = 0.0) -> float:
    f = transform(name, q)
    n = len(scores)
    total = 0.0
    for distribution in matching(scores, tau):
        total += sum(f(distribution[i][j]) for i in range(n) for j in range(n) if j != i)
    return total / n


def hinge(scores: Matrix, margins: Sequence[float], *, hardest: bool) -> float:
    """Pair i's margin in pair i's two hinges: image i against captions, caption i against images."""
    n = len(scores)
    reduce = max if hardest else sum
    total = 0.0
    for i in range(n):
        captions = [max(0.0, margins[i] + scores[i][j] - scores[i][i]) for j in range(n) if j != i]
        images = [max(0.0, margins[i] + scores[j][i] - scores[i][i]) for j in range(n) if j != i]
        total += reduce(captions) + reduce(images) if captions else 0.0
    return total
