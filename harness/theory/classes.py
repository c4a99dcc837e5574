"""Classes of functions small enough that their minimisers are found by looking at all of them.

A problem has X inputs with weights (X,), clean label distributions (X, K), and M functions (M, X, K), each a point of
the simplex for each input. Nothing here knows the bound.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harness.theory.robustness import Array, losses


@dataclass(frozen=True)
class Problem:
    """Inputs, what their clean labels are, and a class of functions.

    Attributes:
        functions: (M, X, K).
        weights: (X,), sums to 1.
        labels: (X, K), rows sum to 1; one-hot where the label is a function of the input.
    """

    functions: Array
    weights: Array
    labels: Array


def uniform_noise(labels: Array, eta: float | Array) -> Array:
    """Label distributions after noise, (X, K): each label's mass moves to the other K - 1 in equal parts.

    eta: one rate for all inputs, or (X, 1), one for each.
    """
    return np.asarray((1 - eta) * labels + eta / (labels.shape[-1] - 1) * (1 - labels))


def one_sided_noise(labels: Array, eta: float) -> Array:
    """As `uniform_noise`, but the mass all moves to the next candidate: what the theorem does not cover."""
    return np.asarray((1 - eta) * labels + eta * np.roll(labels, 1, axis=-1))


def risks(table: Array, labels: Array, weights: Array) -> Array:
    """(M,) risk of every function, summed label by label.

    table: (M, X, K) losses of the functions for every label. labels: (X, K) their distributions. weights: (X,).
    """
    return np.asarray(table.reshape(len(table), -1) @ (labels * weights[:, None]).ravel())


def random_problem(rng: np.random.Generator, candidates: int, functions: int = 48, inputs: int = 8) -> Problem:
    """Functions of mixed habits: sure and right, sure and wrong, undecided, anything between.

    Each function has its own frequencies of the habits, so that good, bad and cautious functions compete.
    """
    labels = _labels(rng, inputs, candidates)
    right = labels.argmax(axis=1)
    habits = rng.dirichlet(np.full(4, 0.5), size=functions)  # frequency of each habit
    habit = (rng.random((functions, inputs, 1)) > habits.cumsum(axis=1)[:, None, :-1]).sum(axis=-1)
    sharpness = 10 ** rng.uniform(-1.5, 1.5, size=functions)
    made = np.stack([rng.dirichlet(np.full(candidates, s), size=inputs) for s in sharpness])
    made[habit == 0] = np.eye(candidates)[np.broadcast_to(right, habit.shape)[habit == 0]]
    made[habit == 1] = np.eye(candidates)[rng.integers(candidates, size=int((habit == 1).sum()))]
    made[habit == 2] = 1 / candidates
    return Problem(made, rng.dirichlet(np.ones(inputs)), labels)


def grid_problem(rng: np.random.Generator, candidates: int, steps: int) -> Problem:
    """One input and all points of the simplex whose coordinates are multiples of 1 / steps.

    Over several inputs the class of all functions has the minimiser of each input by itself, so one is enough.
    """
    bars = np.array(list(combinations(range(steps + candidates - 1), candidates - 1)))
    edges = np.pad(bars, ((0, 0), (1, 1)), constant_values=((0, 0), (-1, steps + candidates - 1)))
    points = (np.diff(edges, axis=1) - 1) / steps  # (M, K)
    return Problem(points[:, None], np.ones(1), _labels(rng, 1, candidates))


def witness(eta: float, q: float, candidates: int, transform: str = "tan") -> Problem:
    """Two functions on two inputs that (nearly) attain the bound on the clean excess.

    The first is sure: right, or right on one input and wrong on the other. The second is undecided: uniform, or uniform
    over the wrong candidates, or surely wrong. The inputs' weights make the two equal in noisy risk, so that the noisy
    minimiser may be the worse.
    """
    right, wrong, undecided, others = _landmarks(candidates)
    labels = np.tile(right, (2, 1))

    def noisy(p: Array) -> float:
        return float(losses(p, q, transform) @ uniform_noise(right[None], eta)[0])

    if noisy(right) <= noisy(undecided):
        share = _mix(noisy(right), noisy(wrong), noisy(undecided))
        pair = [[right, wrong], [undecided, undecided]]
    elif noisy(right) <= noisy(others):
        share = _mix(noisy(undecided), noisy(others), noisy(right))
        pair = [[right, right], [undecided, others]]
    else:
        share = _mix(noisy(others), noisy(wrong), noisy(right))
        pair = [[right, right], [others, wrong]]
    return Problem(np.array(pair), np.array([1 - share, share]), labels)


def noisy_witness(q: float, candidates: int, transform: str = "tan") -> Problem:
    """Two functions on two inputs that attain the bound on the noisy excess: equal in clean risk, one sure."""
    right, wrong, undecided, _ = _landmarks(candidates)
    at = [float(losses(p, q, transform)[0]) for p in (right, wrong, undecided)]
    share = _mix(at[0], at[1], at[2])
    functions = np.array([[right, wrong], [undecided, undecided]])
    return Problem(functions, np.array([1 - share, share]), np.tile(right, (2, 1)))


def _landmarks(candidates: int) -> tuple[Array, Array, Array, Array]:
    """Surely right (label 0), surely wrong, uniform, uniform over the wrong ones."""
    right, wrong = np.eye(candidates)[:2]
    return right, wrong, np.full(candidates, 1 / candidates), (1 - right) / (candidates - 1)


def _mix(low: float, high: float, target: float) -> float:
    """The share of `high` in a mixture with `low` that gives `target`."""
    return min(max((target - low) / (high - low), 0.0), 1.0)


def _labels(rng: np.random.Generator, inputs: int, candidates: int) -> Array:
    """Half of the time one-hot, else ambiguous."""
    if rng.random() < 0.5:
        return np.eye(candidates)[rng.integers(candidates, size=inputs)]
    return rng.dirichlet(np.full(candidates, 0.3), size=inputs)
