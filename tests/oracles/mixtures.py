"""Mixtures of two, and the division by them, as the papers write them: one number at a time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Pair = tuple[float, float]


@dataclass
class Mixture:
    """Two components: their parameters, a and b of Betas, mean and variance of Gaussians; their weights."""

    first: Pair
    second: Pair
    weights: Pair


def normalised(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    return [0.0 if high == low else (value - low) / (high - low) for value in values]


def log_beta(x: float, parameters: Pair) -> float:
    a, b = parameters
    return (a - 1) * math.log(x) + (b - 1) * math.log(1 - x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)


def log_gauss(x: float, parameters: Pair) -> float:
    mean, variance = parameters
    return -0.5 * (math.log(2 * math.pi * variance) + (x - mean) ** 2 / variance)


def share_of_first(one: float, two: float) -> float:
    """exp(one) / (exp(one) + exp(two))."""
    most = max(one, two)
    return math.exp(one - most) / (math.exp(one - most) + math.exp(two - most))


def beta_mixture(values: Sequence[float], *, updates: int, floor: float = 0.0) -> Mixture:
    """BiCro's and DCL's EM from (1, 2) and (2, 1). A component without spread keeps its parameters."""
    mixture = Mixture((1, 2), (2, 1), (0.5, 0.5))
    for _ in range(updates):
        shares = [_floored(p, floor) for p in beta_posterior(values, mixture)]
        components = []
        for which, last in ((0, mixture.first), (1, mixture.second)):
            mean, variance = _moments(values, [share[which] for share in shares])
            a = mean * (mean * (1 - mean) / variance - 1) if variance > 1e-28 else 0.0
            components.append((a, a * (1 - mean) / mean) if a > 0 else last)
        weights = [sum(share[which] for share in shares) / len(values) for which in (0, 1)]
        mixture = Mixture(components[0], components[1], (weights[0], weights[1]))
    return mixture


Density = Callable[[float, Pair], float]


def _logs(x: float, mixture: Mixture, log_density: Density) -> Pair:
    """Log of weight times density, of both components."""
    return (
        math.log(mixture.weights[0]) + log_density(x, mixture.first),
        math.log(mixture.weights[1]) + log_density(x, mixture.second),
    )


def beta_posterior(values: Sequence[float], mixture: Mixture) -> list[float]:
    """Of the first component."""
    return [share_of_first(*_logs(x, mixture, log_beta)) for x in values]


def gauss_mixture(
    values: Sequence[float], shares: Sequence[float], *, updates: int, tolerance: float, floor: float
) -> Mixture:
    """NCR's EM from each value's share of the first component."""
    before, mixture = -math.inf, _gaussians(values, shares, floor)
    for _ in range(updates):
        logs = [_logs(x, mixture, log_gauss) for x in values]
        likelihood = sum(max(pair) + math.log(sum(math.exp(one - max(pair)) for one in pair)) for pair in logs)
        likelihood /= len(values)
        mixture = _gaussians(values, [share_of_first(*pair) for pair in logs], floor)
        if abs(likelihood - before) < tolerance:
            break
        before = likelihood
    return mixture


def gauss_posterior(values: Sequence[float], mixture: Mixture) -> list[float]:
    """Of the component of the lower mean."""
    return [share_of_first(*_logs(x, mixture, log_gauss)) for x in values]


def cuts(values: Sequence[float]) -> list[list[float]]:
    """Every division in which 2-means can end: each value nearer to the mean of its own group. 1 for the lower group.

    Equal values have none; then each belongs to both halfway.
    """
    if min(values) == max(values):
        return [[0.5] * len(values)]
    found = []
    for cut in sorted(set(values))[1:]:
        low, high = ([x for x in values if (x < cut) == lower] for lower in (True, False))
        middle = (sum(low) / len(low) + sum(high) / len(high)) / 2
        if max(low) <= middle <= min(high):
            found.append([float(x < cut) for x in values])
    return found


def divide(posterior: Sequence[float], threshold: float) -> list[bool]:
    """NCR's guard: where all are above the threshold, those up to place n // 100 are noisy."""
    if all(p > threshold for p in posterior):
        threshold = sorted(posterior)[len(posterior) // 100]
    return [p > threshold for p in posterior]


def _floored(share: float, floor: float) -> Pair:
    one, two = max(share, floor), max(1 - share, floor)
    return one / (one + two), two / (one + two)


def _moments(values: Sequence[float], weights: Sequence[float]) -> Pair:
    total = sum(weights)
    mean = sum(w * x for w, x in zip(weights, values, strict=True)) / total
    return mean, sum(w * (x - mean) ** 2 for w, x in zip(weights, values, strict=True)) / total


def _gaussians(values: Sequence[float], shares: Sequence[float], floor: float) -> Mixture:
    components = []
    for weights in (list(shares), [1 - share for share in shares]):
        mean, variance = _moments(values, weights)
        components.append((mean, variance + floor))
    share = sum(shares) / len(values)
    return Mixture(components[0], components[1], (share, 1 - share))
