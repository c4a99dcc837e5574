"""The bound: every step of its proof against slow loops, the theorem itself, and that a wrong one would be noticed."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles import losses as slow

from harness.errors import HarnessError
from harness.methods.crcl import complementary_loss
from harness.methods.softmax import matching
from harness.seeds import rng_for
from harness.theory import classes, linear, robustness, trials
from harness.theory.case import Case
from harness.theory.classes import Problem
from harness.theory.robustness import Array

TRANSFORMS = st.sampled_from(["tan", "identity", "exp"])
EXPONENTS = st.floats(0, 1) | st.sampled_from([0.0, 1.0])


@st.composite
def simplex(draw: st.DrawFn, candidates: int) -> list[float]:
    """A point of the simplex, corners and edges among them."""
    weights = draw(
        st.lists(st.sampled_from([0.0, 1e-6, 0.1, 1.0]) | st.floats(0, 1), min_size=candidates, max_size=candidates)
    )
    assume(sum(weights) > 0)
    return [w / sum(weights) for w in weights]


@st.composite
def problems(draw: st.DrawFn) -> tuple[Problem, float]:
    """A small class of functions, and a noise rate that the theorem covers."""
    candidates, inputs, functions = draw(st.integers(2, 6)), draw(st.integers(1, 3)), draw(st.integers(1, 5))
    made = [[draw(simplex(candidates)) for _ in range(inputs)] for _ in range(functions)]
    labels = [draw(simplex(candidates)) for _ in range(inputs)]
    eta = draw(st.floats(0, 0.999)) * (1 - 1 / candidates)
    return Problem(np.array(made), np.array(draw(simplex(inputs))), np.array(labels)), eta


def slow_loss(p: list[float], y: int, q: float, transform: str) -> float:
    g = slow.transform(transform)
    return sum(g(v) for j, v in enumerate(p) if j != y) / sum(g(v) for v in p) ** q


def slow_risk(problem: Problem, function: int, eta: float, q: float, transform: str) -> float:
    """Every input, every clean label, every label it may turn into."""
    candidates = problem.labels.shape[1]
    total = 0.0
    for x, weight in enumerate(problem.weights):
        p = problem.functions[function, x].tolist()
        for y in range(candidates):
            for given_y in range(candidates):
                chance = 1 - eta if given_y == y else eta / (candidates - 1)
                total += weight * problem.labels[x, y] * chance * slow_loss(p, given_y, q, transform)
    return float(total)


def normaliser(problem: Problem, q: float, transform: str) -> Array:
    """N(f) = E A^(1-q) of every function, (M,)."""
    total = robustness.TRANSFORMS[transform](problem.functions).sum(axis=-1)
    return np.asarray(total ** (1 - q) @ problem.weights)


def risks(problem: Problem, eta: float, q: float, transform: str) -> Array:
    table = robustness.losses(problem.functions, q, transform)
    return classes.risks(table, classes.uniform_noise(problem.labels, eta), problem.weights)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.floats(0, 1), TRANSFORMS)
def test_the_loss_is_the_one_that_is_trained(seed: int, n: int, q: float, transform: str) -> None:
    scores = torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    p, to_images = matching(scores, 0.3)
    trained = complementary_loss(p, to_images, torch.full((n,), q, dtype=torch.float64), transform)
    both = robustness.losses(p.numpy(), q, transform) + robustness.losses(to_images.T.numpy(), q, transform)
    assert trained.item() == pytest.approx(np.diagonal(both).mean(), rel=1e-9)


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 8).flatmap(simplex), EXPONENTS, TRANSFORMS)
def test_steps_1_and_3_the_sum_over_labels_and_the_range_of_the_normaliser(
    p: list[float], q: float, transform: str
) -> None:
    table = robustness.losses(p, q, transform)
    assert table.tolist() == pytest.approx([slow_loss(p, y, q, transform) for y in range(len(p))])
    total = float(robustness.TRANSFORMS[transform](np.array(p)).sum())
    assert table.sum() == pytest.approx((len(p) - 1) * total ** (1 - q))
    low, high = robustness.normaliser_range(len(p), transform)
    assert low - 1e-12 <= total <= high + 1e-12


@pytest.mark.parametrize("transform", robustness.TRANSFORMS)
@pytest.mark.parametrize("candidates", [2, 3, 128])
def test_the_range_is_attained_at_the_centre_and_at_a_corner(candidates: int, transform: str) -> None:
    g = robustness.TRANSFORMS[transform]
    ends = [float(g(p).sum()) for p in (np.full(candidates, 1 / candidates), np.eye(candidates)[0])]
    assert robustness.normaliser_range(candidates, transform) == pytest.approx(tuple(ends), rel=1e-12)
    if transform == "tan":
        assert ends == pytest.approx([candidates * math.tan(1 / candidates), math.tan(1)])


@settings(max_examples=60, deadline=None)
@given(problems(), EXPONENTS, TRANSFORMS)
def test_risks_are_those_of_enumeration_and_equation_1(case: tuple[Problem, float], q: float, transform: str) -> None:
    problem, eta = case
    found = risks(problem, eta, q, transform)
    assert found.tolist() == pytest.approx(
        [slow_risk(problem, f, eta, q, transform) for f in range(len(problem.functions))], abs=1e-12
    )
    c = robustness.contrast(eta, problem.labels.shape[1])
    expected = c * risks(problem, 0.0, q, transform) + eta * normaliser(problem, q, transform)
    assert found == pytest.approx(expected, abs=1e-12)


@settings(max_examples=200, deadline=None)
@given(problems(), EXPONENTS, TRANSFORMS)
def test_the_theorem_and_the_identity_behind_it(case: tuple[Problem, float], q: float, transform: str) -> None:
    problem, eta = case
    candidates = problem.labels.shape[1]
    clean, noisy = risks(problem, 0.0, q, transform), risks(problem, eta, q, transform)
    f_star, f_eta = clean.argmin(), noisy.argmin()
    in_clean, in_noisy = clean[f_eta] - clean[f_star], noisy[f_star] - noisy[f_eta]
    n = normaliser(problem, q, transform)
    c = robustness.contrast(eta, candidates)
    assert c * in_clean + in_noisy == pytest.approx(eta * (n[f_star] - n[f_eta]), abs=1e-12)
    assert 0 <= in_clean <= robustness.clean_excess_bound(eta, q, candidates, transform) + 1e-9
    assert 0 <= in_noisy <= robustness.noisy_excess_bound(eta, q, candidates, transform) + 1e-9


@settings(max_examples=200, deadline=None)
@given(problems(), EXPONENTS, TRANSFORMS)
def test_any_two_functions_with_the_slack_between_them(case: tuple[Problem, float], q: float, transform: str) -> None:
    problem, eta = case
    clean, noisy = risks(problem, 0.0, q, transform), risks(problem, eta, q, transform)
    for f in range(len(clean)):
        slack = max(float(noisy[f] - noisy[0]), 0.0)
        bound = robustness.clean_excess_bound(eta, q, problem.labels.shape[1], transform, slack=slack)
        assert clean[f] - clean[0] <= bound * (1 + 1e-9) + 1e-9


@settings(max_examples=60, deadline=None)
@given(problems(), TRANSFORMS)
def test_at_q_1_the_noisy_minimiser_is_a_clean_one(case: tuple[Problem, float], transform: str) -> None:
    problem, eta = case
    clean, noisy = risks(problem, 0.0, 1.0, transform), risks(problem, eta, 1.0, transform)
    assume(robustness.contrast(eta, problem.labels.shape[1]) > 0.01)
    assert clean[noisy.argmin()] == pytest.approx(clean.min(), abs=1e-10)
    assert robustness.clean_excess_bound(eta, 1.0, problem.labels.shape[1], transform) == 0


@settings(max_examples=100, deadline=None)
@given(problems(), st.data(), TRANSFORMS)
def test_every_pair_with_its_own_rate_and_exponent(
    case: tuple[Problem, float], data: st.DataObject, transform: str
) -> None:
    problem, _ = case
    inputs, candidates = problem.labels.shape
    etas = np.array([data.draw(st.floats(0, 0.99)) * (1 - 1 / candidates) for _ in range(inputs)])
    qs = np.array([data.draw(EXPONENTS) for _ in range(inputs)])
    clean, noisy = np.zeros(len(problem.functions)), np.zeros(len(problem.functions))
    for x in range(inputs):
        one = Problem(problem.functions[:, x : x + 1], problem.weights[x : x + 1], problem.labels[x : x + 1])
        clean += robustness.contrast(etas[x], candidates) * risks(one, 0.0, qs[x], transform)
        noisy += risks(one, etas[x], qs[x], transform)
    bound = robustness.weighted_excess_bound(etas, qs, problem.weights, candidates, transform)
    assert 0 <= clean[noisy.argmin()] - clean.min() <= bound + 1e-9


def test_labels_that_are_0_on_noisy_pairs_make_the_weighted_bound_0() -> None:
    etas, labels = np.array([0.6, 0.0, 0.6, 0.0]), np.array([0.0, 1.0, 0.0, 0.7])
    weights = np.full(4, 0.25)
    assert robustness.weighted_excess_bound(etas, 1 - labels, weights, 128) == 0
    assert robustness.weighted_excess_bound(etas, 0 * labels, weights, 128) > 0.1


COVERED = [
    (eta, candidates)
    for candidates in trials.CANDIDATES
    for eta in (0.05, 0.2, 0.4, 0.45, 0.6, 0.8, 0.95)
    if eta < 1 - 1 / candidates
]


@pytest.mark.parametrize(("eta", "candidates"), COVERED)
@pytest.mark.parametrize("q", [0.0, 0.25, 0.5, 0.75])
def test_the_bound_is_attained(eta: float, q: float, candidates: int) -> None:
    problem = classes.witness(eta, q, candidates)
    clean, noisy = risks(problem, 0.0, q, "tan"), risks(problem, eta, q, "tan")
    share = trials.excesses(clean, noisy)[0] / robustness.clean_excess_bound(eta, q, candidates)
    low, high = robustness.normaliser_range(candidates)
    early = eta <= (1 - 1 / candidates) * (low / high) ** (1 - q)
    assert share == pytest.approx(1, abs=1e-9) if early else (0.76 if candidates == 2 else 0.93) <= share <= 1 + 1e-9

    problem = classes.noisy_witness(q, candidates)
    clean, noisy = risks(problem, 0.0, q, "tan"), risks(problem, eta, q, "tan")
    attained = trials.excesses(clean, noisy)[1]
    assert attained == pytest.approx(robustness.noisy_excess_bound(eta, q, candidates), rel=1e-9)


def test_a_grid_has_every_point_once() -> None:
    points = classes.grid_problem(rng_for("test"), 4, 6).functions[:, 0]
    assert len(points) == math.comb(9, 3)
    assert len({tuple(p) for p in points.round(9)}) == len(points)
    assert points.sum(axis=1) == pytest.approx(1)
    assert points.min() == 0


def test_ties_are_broken_against_the_bound() -> None:
    clean, noisy = np.array([0.0, 0.0, 0.3, 0.9]), np.array([0.5, 0.7, 0.4, 0.4])
    assert trials.excesses(clean, noisy) == pytest.approx((0.9, 0.3))


Bound = Callable[..., float]


def _half(right: Bound) -> Bound:
    return lambda *a, **k: right(*a, **k) / 2


def _one_percent_less(right: Bound) -> Bound:
    return lambda *a, **k: 0.99 * right(*a, **k)


def _without_k(right: Bound) -> Bound:
    return lambda eta, candidates: 1 - eta


def _another_top(right: Callable[..., tuple[float, float]]) -> Callable[..., tuple[float, float]]:
    return lambda *a: (right(*a)[0], 0.98 * right(*a)[1])


def _another_bottom(right: Callable[..., tuple[float, float]]) -> Callable[..., tuple[float, float]]:
    return lambda *a: (1.02 * right(*a)[0], right(*a)[1])


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("clean_excess_bound", _half),
        ("clean_excess_bound", _one_percent_less),
        ("noisy_excess_bound", _half),
        ("noisy_excess_bound", _one_percent_less),
        ("normaliser_range", _another_top),
        ("normaliser_range", _another_bottom),
        ("contrast", _without_k),
    ],
)
def test_a_wrong_bound_is_found_out(name: str, wrong: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(case.holds for case in trials.bound_cases(1, 0) if case.claimed)
    monkeypatch.setattr(robustness, name, wrong(getattr(robustness, name)))
    caught = [case for case in trials.bound_cases(1, 0) if case.claimed and not case.holds]
    assert caught


def test_random_classes_alone_find_a_bound_of_half_out() -> None:
    cases = [case for case in trials.bound_cases(10, 0) if case.claim == trials.RANDOM]
    assert all(case.holds for case in cases)
    assert max(case.used for case in cases) > 0.9


def test_without_uniformity_there_is_no_such_bound() -> None:
    cases = [case for case in trials.bound_cases(3, 0) if case.claim == trials.OUTSIDE and case.at["q"] == 1]
    assert max(case.measured for case in cases) > 0.1
    assert not any(case.claimed for case in cases)


def test_a_number_that_is_not_finite_never_holds() -> None:
    assert not Case("", {}, math.nan, 1.0, math.nan).holds
    assert not Case("", {}, -math.inf, 1.0, -math.inf).holds


def test_the_trained_illustration_holds_and_repeats() -> None:
    cases = list(linear.linear_cases(10, 0))
    assert all(case.holds for case in cases)
    assert max(case.measured for case in cases) > 0.05
    assert cases == list(linear.linear_cases(10, 0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: robustness.clean_excess_bound(0.5, 0.5, 2), "accepted: 0 <= eta < 0.5"),
        (lambda: robustness.clean_excess_bound(-0.1, 0.5, 5), "accepted: 0 <= eta < 0.8"),
        (lambda: robustness.clean_excess_bound(0.1, 0.5, 1), "candidates = 1"),
        (lambda: robustness.clean_excess_bound(0.1, 1.5, 5), "q = 1.5"),
        (lambda: robustness.losses([0.5, 0.5], 0.5, "tanh"), "did you mean 'tan'?"),
        (lambda: robustness.clean_excess_bound(0.1, 0.5, 5, "log"), "the bound does not cover it"),
    ],
)
def test_bad_input(call: Callable[[], object], message: str) -> None:
    with pytest.raises(HarnessError, match=r".*") as error:
        call()
    assert message in str(error.value)
