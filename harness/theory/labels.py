"""The laws of the momentum-corrected label on trial: many labels corrected step by step under several noises."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from harness.seeds import rng_for
from harness.theory import momentum
from harness.theory.case import Case, equal
from harness.theory.momentum import Array

BETAS = (0.0, 0.25, 0.5, 0.8, 0.85, 0.95)
CORRELATIONS = (0.0, 0.5, 0.9)
EPOCHS = (1, 2, 5, 10, 30)
SLOPES = (-1 / 60, 1 / 60)  # of E p, per epoch: by half of its range in all
EPSILON = 0.1
START = 1.0

MEAN = "mean of the label"
VARIANCE = "variance of the label"
DRIFT = "mean of the label, drifting p"
ERROR = "mean square error of the label, drifting p"
RETURN = "chance that a label of 0 returns"


@dataclass(frozen=True)
class Noise:
    """A distribution of p on [0, 1]: its quantile function, first two moments and upper tail P(p >= x)."""

    quantile: Callable[[Array], Array]
    mean: float
    variance: float
    tail: Callable[[float], float]

    def draw(self, rng: np.random.Generator, epochs: int, labels: int, correlation: float = 0.0) -> Array:
        """(epochs, labels). Each epoch repeats the one before with probability `correlation`, else draws afresh.

        That gives correlation^d at distance d whatever the distribution, and stays in [0, 1].
        """
        fresh = self.quantile(rng.random((epochs, labels)))
        repeat = rng.random((epochs, labels)) < correlation
        for epoch in range(1, epochs):
            fresh[epoch] = np.where(repeat[epoch], fresh[epoch - 1], fresh[epoch])
        return fresh


NOISES = {
    "Bernoulli(0.3)": Noise(lambda u: (u < 0.3).astype(float), 0.3, 0.21, lambda x: float(x <= 0) + 0.3 * (0 < x <= 1)),
    "uniform": Noise(lambda u: u, 1 / 2, 1 / 12, lambda x: min(max(1 - x, 0.0), 1.0)),
    "Beta(1, 3)": Noise(lambda u: 1 - u ** (1 / 3), 1 / 4, 3 / 80, lambda x: max(1 - x, 0.0) ** 3),  # as of wrong pairs
    "Beta(3, 1)": Noise(lambda u: u ** (1 / 3), 3 / 4, 3 / 80, lambda x: 1 - min(x, 1.0) ** 3),  # as of right pairs
}


def label_cases(labels: int, seed: int) -> Iterator[Case]:
    """Every case over noises, beta, correlation and epochs; `labels` simulated labels each."""
    for name, noise in NOISES.items():
        for correlation in CORRELATIONS:
            p = noise.draw(rng_for("theory", "labels", name, correlation, seed), max(EPOCHS), labels, correlation)
            for beta in BETAS:
                yield from _moments(name, noise, beta, correlation, p)
                if correlation == 0:
                    yield from _drift(name, noise, beta, p)
                    yield from _returns(name, noise, beta, p)


def _moments(name: str, noise: Noise, beta: float, correlation: float, p: Array) -> Iterator[Case]:
    path = momentum.correct(p, START, beta)
    for epochs in EPOCHS:
        at: dict[str, float | str] = {"noise": name, "beta": beta, "phi": correlation, "epochs": epochs}
        y = path[epochs]
        yield equal(MEAN, at, y.mean(), momentum.mean(epochs, START, beta, noise.mean), _error(y))
        squares = (y - y.mean()) ** 2
        expected = momentum.variance(epochs, beta, noise.variance, correlation)
        yield equal(VARIANCE, at, y.var(ddof=1), expected, _error(squares))


def _drift(name: str, noise: Noise, beta: float, p: Array) -> Iterator[Case]:
    """p is half noise and half a ramp from 0 to 1/2 or back, so that it stays in [0, 1]."""
    time = np.arange(1, len(p) + 1)[:, None]
    for slope in SLOPES:
        level = noise.mean / 2 + max(0.0, -slope * len(p))
        views = p / 2 + level - noise.mean / 2 + slope * time
        path, settled = momentum.correct(views, START, beta), momentum.correct(views, level, beta)
        for epochs in EPOCHS:
            at: dict[str, float | str] = {"noise": name, "beta": beta, "slope": slope, "epochs": epochs}
            y, squares = path[epochs], (settled[epochs] - level - slope * epochs) ** 2
            expected = momentum.mean(epochs, START, beta, level, slope)
            yield equal(DRIFT, at, y.mean(), expected, _error(y))
            expected = momentum.square_error(epochs, level, beta, level, slope, noise.variance / 4)
            yield equal(ERROR, at, squares.mean(), expected, _error(squares))


def _returns(name: str, noise: Noise, beta: float, p: Array) -> Iterator[Case]:
    ever = np.maximum.accumulate(momentum.correct(p, 0.0, beta, EPSILON) > 0, axis=0)
    chance = noise.tail(momentum.needed_to_return(beta, EPSILON))
    for epochs in EPOCHS:
        at: dict[str, float | str] = {"noise": name, "beta": beta, "epsilon": EPSILON, "epochs": epochs}
        expected = momentum.chance_of_return(epochs, chance)
        # The claim's own standard error: at 0 and 1 there is none, and not one label may differ.
        error = float(np.sqrt(expected * (1 - expected) / p.shape[1]))
        yield equal(RETURN, at, ever[epochs].mean(), expected, error)


def _error(values: Array) -> float:
    """Standard error of the mean of independent values."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))
