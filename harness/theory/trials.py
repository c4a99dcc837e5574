"""The bound on trial: minimisers found by looking at every function, their excess risk beside the bound."""

from collections.abc import Iterator

import numpy as np

from harness.seeds import rng_for
from harness.theory import robustness
from harness.theory.case import Case, below
from harness.theory.classes import (
    Problem,
    grid_problem,
    noisy_witness,
    one_sided_noise,
    random_problem,
    risks,
    uniform_noise,
    witness,
)
from harness.theory.robustness import Array

ETAS = (0.1, 0.2, 0.4, 0.6, 0.8)
QS = (0.0, 0.25, 0.5, 0.75, 1.0)
CANDIDATES = (2, 3, 5, 20, 128)  # the last is the paper's batch
GRIDS = {2: 60, 3: 24, 4: 12, 5: 10}  # candidates: steps of the simplex grid, a multiple where it stays small
PAIRS = 200  # of a training set with sampled noise

RANDOM = "clean excess, random finite classes"
GRID = "clean excess, all functions on a simplex grid"
WITNESS = "clean excess, classes built to attain the bound"
SAMPLED = f"clean excess, noise sampled on {PAIRS} pairs"
NOISY = "noisy excess, random finite classes"
NOISY_WITNESS = "noisy excess, classes built to attain the bound"
PER_PAIR = "weighted clean excess, each input its own noise rate and exponent"
OUTSIDE = "noise to one candidate alone (not uniform)"


def bound_cases(trials: int, seed: int) -> Iterator[Case]:
    """Every case over transforms, K, q and eta; `trials` random classes each."""
    for transform in robustness.TRANSFORMS:
        for candidates in CANDIDATES:
            yield from _witnesses(candidates, transform)
            for trial in range(trials):
                rng = rng_for("theory", "random", transform, candidates, trial, seed)
                problem = random_problem(rng, candidates)
                yield from _random(problem, rng, transform)
                yield _per_pair(problem, rng, transform)
        for candidates, steps in GRIDS.items():
            for trial in range(trials):
                rng = rng_for("theory", "grid", transform, candidates, trial, seed)
                yield from _grid(grid_problem(rng, candidates, steps), transform)


def excesses(clean: Array, noisy: Array) -> tuple[float, float]:
    """(R(f_eta) - R(f*), R_eta(f*) - R_eta(f_eta)) from the risks (M,) of a class.

    Where several functions are minimal to rounding, the one that makes the excess largest.
    """
    least_clean, least_noisy = clean.min(), noisy.min()
    f_eta = noisy <= least_noisy + 1e-12
    f_star = clean <= least_clean + 1e-12
    return float(clean[f_eta].max() - least_clean), float(noisy[f_star].max() - least_noisy)


def rates(candidates: int) -> list[float]:
    """Noise rates for which there is a bound."""
    return [eta for eta in ETAS if eta < 1 - 1 / candidates]


def _witnesses(candidates: int, transform: str) -> Iterator[Case]:
    for q in QS:
        for eta in rates(candidates):
            at = _at(transform, candidates, eta, q)
            attained, _ = _measure(witness(eta, q, candidates, transform), eta, q, transform)
            yield below(WITNESS, at, attained, robustness.clean_excess_bound(eta, q, candidates, transform))
            _, attained = _measure(noisy_witness(q, candidates, transform), eta, q, transform)
            yield below(NOISY_WITNESS, at, attained, robustness.noisy_excess_bound(eta, q, candidates, transform))


def _random(problem: Problem, rng: np.random.Generator, transform: str) -> Iterator[Case]:
    candidates = problem.labels.shape[1]
    for q in QS:
        table = robustness.losses(problem.functions, q, transform)
        clean = risks(table, problem.labels, problem.weights)
        for eta in rates(candidates):
            at = _at(transform, candidates, eta, q)
            noisy_labels = uniform_noise(problem.labels, eta)
            noisy = risks(table, noisy_labels, problem.weights)
            bound = robustness.clean_excess_bound(eta, q, candidates, transform)
            in_clean, in_noisy = excesses(clean, noisy)
            yield below(RANDOM, at, in_clean, bound)
            yield below(NOISY, at, in_noisy, robustness.noisy_excess_bound(eta, q, candidates, transform))

            f_star = clean.argmin()
            found = risks(table, _sample(noisy_labels, rng), problem.weights).argmin()
            slack = max(float(noisy[found] - noisy[f_star]), 0.0)
            bound_found = robustness.clean_excess_bound(eta, q, candidates, transform, slack=slack)
            yield below(SAMPLED, at, float(clean[found] - clean[f_star]), bound_found)

            one_sided = risks(table, one_sided_noise(problem.labels, eta), problem.weights)
            yield below(OUTSIDE, at, excesses(clean, one_sided)[0], bound, claimed=False)


def _per_pair(problem: Problem, rng: np.random.Generator, transform: str) -> Case:
    """Rates and exponents drawn for each input; the clean risk is weighted by each input's contrast."""
    inputs, candidates = problem.labels.shape
    etas = rng.uniform(0, 0.999 * (1 - 1 / candidates), size=(inputs, 1))
    qs = rng.uniform(size=(inputs, 1))
    table = robustness.losses(problem.functions, qs, transform)
    contrasts = 1 - etas[:, 0] * candidates / (candidates - 1)
    clean = risks(table, problem.labels, problem.weights * contrasts)
    noisy = risks(table, uniform_noise(problem.labels, etas), problem.weights)
    bound = robustness.weighted_excess_bound(etas[:, 0], qs[:, 0], problem.weights, candidates, transform)
    at: dict[str, float | str] = {"transform": transform, "candidates": candidates}
    return below(PER_PAIR, at, excesses(clean, noisy)[0], bound)


def _grid(problem: Problem, transform: str) -> Iterator[Case]:
    candidates = problem.labels.shape[1]
    for q in QS:
        table = robustness.losses(problem.functions, q, transform)
        clean = risks(table, problem.labels, problem.weights)
        for eta in rates(candidates):
            noisy = risks(table, uniform_noise(problem.labels, eta), problem.weights)
            bound = robustness.clean_excess_bound(eta, q, candidates, transform)
            yield below(GRID, _at(transform, candidates, eta, q), excesses(clean, noisy)[0], bound)


def _measure(problem: Problem, eta: float, q: float, transform: str) -> tuple[float, float]:
    table = robustness.losses(problem.functions, q, transform)
    clean = risks(table, problem.labels, problem.weights)
    return excesses(clean, risks(table, uniform_noise(problem.labels, eta), problem.weights))


def _sample(labels: Array, rng: np.random.Generator) -> Array:
    """Label frequencies (X, K) among PAIRS draws for each input."""
    return rng.multinomial(PAIRS, labels / labels.sum(axis=1, keepdims=True)) / PAIRS


def _at(transform: str, candidates: int, eta: float, q: float) -> dict[str, float | str]:
    return {"transform": transform, "candidates": candidates, "eta": eta, "q": q}
