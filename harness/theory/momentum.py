r"""What momentum makes of a correspondence label: closed form, mean, variance, convergence, and the threshold.

The label of one pair is corrected once an epoch by the batch's view p_t of it,

    y_t = beta y_(t-1) + (1 - beta) p_t        =        beta^t y_0 + (1 - beta) sum_{k=1..t} beta^(t-k) p_k.        (1)

Mean. If E p_k = mu:  E y_t = mu + beta^t (y_0 - mu). The start is forgotten with a half-life of ln(1/2) / ln(beta)
epochs (3.1 at beta = 0.8).

Variance. If moreover Cov(p_j, p_k) = sigma^2 phi^|j-k|  (phi = 0: independent epochs),

    Var y_t = sigma^2 (1 - beta) / (1 + beta) [1 - beta^(2t) + 2 sum_{d=1..t-1} (phi beta)^d (1 - beta^(2(t-d)))]   (2)
            -> sigma^2 (1 - beta) / (1 + beta) (1 + beta phi) / (1 - beta phi).                                     (3)

Neither needs more than the first two moments of p. Independent noise loses 8/9 of its variance at beta = 0.8, noise
that repeats itself from epoch to epoch (phi near 1: a memorised pair) nearly nothing.

Drift. If E p_k = a + b k, the label runs behind by b beta / (1 - beta) epochs' worth,

    E y_t = a + b t - b beta / (1 - beta) + beta^t (y_0 - a + b beta / (1 - beta)),                                 (4)

so beta trades variance against lag: in the long run E (y_t - E p_t)^2 = (b beta / (1 - beta))^2 + (3), and the faster
the network learns, the smaller the best beta.

When it converges.
  beta < 1, p_t -> p             y_t -> p. And conversely: p_t = (y_t - beta y_(t-1)) / (1 - beta), so y_t converges if
                                 and only if p_t does. Labels settle because the network does, not by averaging.
  beta < 1, p_t keeps varying    the mean converges at rate beta^t and the distribution to that of
                                 (1 - beta) sum beta^k p_(-k) (stationary p); y_t does not: its variance stays (3).
  beta = 1                       y_t = y_0: nothing is corrected.
  beta_t = (t - 1) / t           y_t is the mean of p_1..p_t and converges to mu (law of large numbers).

The threshold. What is below epsilon is put to 0 and stored as 0. From 0 the next label is (1 - beta) p_t, so a pair
comes back in the first epoch with

    p_t >= epsilon / (1 - beta)                    0.5 at beta = 0.8, epsilon = 0.1                                 (5)

and for independent epochs P(back within n) = 1 - (1 - P(p >= epsilon / (1 - beta)))^n. With epsilon > 1 - beta no
p <= 1 is enough and 0 is absorbing. For a steady p in [epsilon, epsilon / (1 - beta)) there are two fixed points,
p and 0: a label that starts at epsilon or above goes to p, one put to 0 never returns, so the first estimate decides.

Source: the correction is CRCL's (NeurIPS 2023), as its released code does it; the laws are our own derivation.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import HarnessError

Array = NDArray[np.float64]


def correct(p: ArrayLike, start: ArrayLike, beta: float, epsilon: float = 0.0) -> Array:
    """Labels y_0..y_T, (T + 1, ...), from the batch's views p_1..p_T (T, ...), one epoch after the other."""
    _check(beta)
    views = np.asarray(p, dtype=np.float64)
    labels = np.empty((len(views) + 1, *views.shape[1:]))
    labels[0] = start
    for epoch, view in enumerate(views):
        moved = beta * labels[epoch] + (1 - beta) * view
        labels[epoch + 1] = np.where(moved < epsilon, 0.0, moved)
    return labels


def closed_form(p: ArrayLike, start: float, beta: float) -> Array:
    """y_T of (1) from p_1..p_T (T, ...), without the steps between."""
    _check(beta)
    views = np.asarray(p, dtype=np.float64)
    weights = (1 - beta) * beta ** np.arange(len(views) - 1, -1, -1, dtype=float)
    return np.asarray(beta ** len(views) * start + np.tensordot(weights, views, axes=1))


def mean(epochs: int, start: float, beta: float, level: float, slope: float = 0.0) -> float:
    """E y_t of (4), where E p_k = level + slope k."""
    _check(beta)
    if beta == 1:
        return start
    lag = slope * beta / (1 - beta)
    return level + slope * epochs - lag + beta**epochs * (start - level + lag)


def variance(epochs: int, beta: float, noise: float, correlation: float = 0.0) -> float:
    """Var y_t of (2). noise: variance of p. correlation: phi, of p in successive epochs."""
    _check(beta)
    d = np.arange(1, epochs)
    repeated = 2 * np.sum((correlation * beta) ** d * (1 - beta ** (2.0 * (epochs - d))))
    return float(noise * (1 - beta) / (1 + beta) * (1 - beta ** (2 * epochs) + repeated))


def limit_variance(beta: float, noise: float, correlation: float = 0.0) -> float:
    """What `variance` goes to, (3). At beta = 1 it is 0: the label stays where it was."""
    _check(beta)
    if beta == 1:
        return 0.0
    return noise * (1 - beta) / (1 + beta) * (1 + beta * correlation) / (1 - beta * correlation)


def square_error(epochs: int, start: float, beta: float, level: float, slope: float, noise: float) -> float:
    """E (y_t - E p_t)^2 with independent epochs: what the lag costs and what the variance costs."""
    lag = mean(epochs, start, beta, level, slope) - (level + slope * epochs)
    return lag**2 + variance(epochs, beta, noise)


def half_life(beta: float) -> float:
    """Epochs until half of a difference in the start is forgotten."""
    _check(beta)
    if beta in (0, 1):
        return 0.0 if beta == 0 else math.inf
    return math.log(0.5) / math.log(beta)


def needed_to_return(beta: float, epsilon: float) -> float:
    """The p with which a pair put to 0 comes back, (5); above 1 it never does."""
    _check(beta)
    if epsilon == 0:
        return 0.0
    return math.inf if beta == 1 else epsilon / (1 - beta)


def chance_of_return(epochs: int, chance: float) -> float:
    """P(back within `epochs`). chance: P(p >= `needed_to_return`) in one, independent, epoch."""
    return 1 - (1 - chance) ** epochs


def _check(beta: float) -> None:
    if not 0 <= beta <= 1:
        raise HarnessError(f"beta = {beta:g}: momentum of the labels; accepted: 0 <= beta <= 1")
