"""The mixtures that divide pairs: against plain loops, by hand, and where there is nothing to divide."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import mixtures as oracle

from harness.errors import HarnessError
from harness.methods.mixtures import Betas, beta_of, divide, fit_betas, fit_gaussians, normalised

START = Betas.of((1, 2), (2, 1))


def two_groups(n: int = 200, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.beta(2, 8, n // 2), rng.beta(8, 2, n - n // 2)]).clip(1e-4, 1 - 1e-4)


# What a division may be given: groups, one cluster, few pairs, equal values, exact ends.
DEGENERATE = {
    "two groups": two_groups(60).tolist(),
    "groups of unequal size": np.concatenate([np.linspace(0, 0.2, 20), [0.9, 1.0]]).tolist(),
    "one cluster": np.random.default_rng(3).normal(0.5, 0.01, 40).tolist(),
    "one outlier": [*np.linspace(0.10, 0.11, 20).tolist(), 7.0],
    "one pair": [0.4],
    "two pairs": [0.2, 0.9],
    "two alike": [0.3, 0.3],
    "three pairs": [0.2, 0.25, 0.9],
    "all equal": [0.7] * 30,
    "zeros and ones": [0.0] * 20 + [1.0] * 10,
    "all at 0": [0.0] * 9,
    "all at 1": [1.0] * 9,
}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), updates=st.integers(0, 6))
def test_betas_against_plain_loops(seed: int, updates: int) -> None:
    values = two_groups(30, seed).tolist()
    expected = oracle.beta_mixture(values, updates=updates, floor=1e-12)
    found = fit_betas(values, START, updates=updates, floor=1e-12)
    assert found.alphas == pytest.approx([expected.first[0], expected.second[0]], rel=1e-8)
    assert found.betas == pytest.approx([expected.first[1], expected.second[1]], rel=1e-8)
    assert found.weights == pytest.approx(expected.weights, rel=1e-8)
    assert found.posterior(values) == pytest.approx(oracle.beta_posterior(values, expected), rel=1e-6)


@pytest.mark.parametrize("values", DEGENERATE.values(), ids=DEGENERATE)
def test_a_degenerate_division_by_betas_is_that_of_plain_loops(values: list[float]) -> None:
    x = normalised(values)
    assert x.tolist() == oracle.normalised(values)
    inside = x.clip(1e-4, 1 - 1e-4)
    mixture = fit_betas(inside, START, updates=10, floor=1e-12)
    posterior = mixture.posterior(inside)
    expected = oracle.beta_posterior(inside.tolist(), oracle.beta_mixture(inside.tolist(), updates=10, floor=1e-12))
    assert np.isfinite(posterior).all()
    assert posterior == pytest.approx(expected, abs=1e-6)
    assert mixture.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("values", DEGENERATE.values(), ids=DEGENERATE)
def test_a_degenerate_division_by_gaussians_is_that_of_plain_loops(values: list[float]) -> None:
    x = normalised(values)
    posterior = fit_gaussians(x).posterior(x)
    starts = oracle.cuts(x.tolist())  # scikit-learn's one draw of 2-means ends in one of them
    mixtures = [oracle.gauss_mixture(x.tolist(), start, updates=10, tolerance=1e-2, floor=5e-4) for start in starts]
    expected = [oracle.gauss_posterior(x.tolist(), mixture) for mixture in mixtures]
    assert any(posterior == pytest.approx(one, abs=1e-6) for one in expected)
    assert divide(posterior).tolist() == oracle.divide(posterior.tolist(), 0.5)
    assert not divide(posterior).all()


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_one_line(wrong: float) -> None:
    with pytest.raises(HarnessError, match=r"^division of the pairs: 1 of 3 values .* not finite; accepted: .*lr"):
        normalised([0.1, wrong, 0.3])
    with pytest.raises(ValueError, match="inside"):
        fit_betas([0.1, wrong, 0.3], START)
    with pytest.raises(ValueError, match=r"NaN|infinity"):  # scikit-learn's own; the methods normalise first
        fit_gaussians([0.1, wrong, 0.3])


def test_a_posterior_of_nan_is_noisy_and_turns_the_guard_off() -> None:
    assert divide([math.nan, 0.9, 0.8]).tolist() == [False, True, True]
    assert divide([math.nan]).tolist() == [False]


def test_moments_of_a_beta() -> None:
    # Mean 1/4 and variance 3/80 are those of Beta(1, 3).
    assert beta_of([0.25 - math.sqrt(3 / 80), 0.25 + math.sqrt(3 / 80)]) == pytest.approx((1, 3))
    assert beta_of([0.3, 0.3]) is None
    assert beta_of([0.3]) is None
    assert beta_of([0.1, 0.9], weights=[0, 0]) is None


def test_em_stops_after_its_updates_or_at_a_small_gain() -> None:
    values = two_groups()
    once = fit_betas(values, START, updates=1)
    assert fit_betas(values, START, updates=0) == START
    assert fit_betas(values, START, updates=10, gain=1e9).alphas == pytest.approx(once.alphas)
    assert fit_betas(values, fit_betas(values, once, updates=1), updates=1).alphas == pytest.approx(
        fit_betas(values, START, updates=3).alphas
    )


def test_gaussians_tell_two_groups_apart() -> None:
    values = np.concatenate([np.linspace(0, 0.1, 30), np.linspace(0.8, 1, 10)])
    found = fit_gaussians(values)
    assert found.means == pytest.approx([0.05, 0.9], abs=1e-3)
    assert found.weights == pytest.approx([0.75, 0.25], abs=1e-3)
    posterior = found.posterior(values)
    assert (posterior[:30] > 0.99).all()
    assert (posterior[30:] < 0.01).all()
    assert found.posterior(values) == pytest.approx(fit_gaussians(values, seed=7).posterior(values))


def test_gaussians_do_not_depend_on_float32() -> None:
    values = two_groups().astype(np.float32)
    assert fit_gaussians(values).posterior(values) == pytest.approx(
        fit_gaussians(values.astype(np.float64)).posterior(values.astype(np.float64)), abs=1e-12
    )


@pytest.mark.parametrize("values", [[0.4], [0.4, 0.4], [0.0] * 9, [1.0] * 9, [1e30] * 5])
def test_equal_values_give_no_division_and_no_nan(values: list[float]) -> None:
    assert normalised(values).tolist() == [0.0] * len(values)
    assert fit_gaussians(values).posterior(values) == pytest.approx([0.5] * len(values))
    inside = np.clip(normalised(values), 1e-4, 1 - 1e-4)
    mixture = fit_betas(inside, START, floor=1e-12)
    assert np.isfinite(mixture.posterior(inside)).all()
    assert mixture.weights.sum() == pytest.approx(1)


def test_one_cluster_and_exact_ends() -> None:
    x = normalised([3.0, 5.0, 5.1, 5.2, 9.0])
    assert (x.min(), x.max()) == (0, 1)
    with pytest.raises(ValueError, match="inside"):
        fit_betas(x, START)
    mixture = fit_betas(x.clip(1e-4, 1 - 1e-4), START, floor=1e-12)
    assert np.isfinite(mixture.posterior(x.clip(1e-4, 1 - 1e-4))).all()
    assert np.isinf(Betas.of((0.5, 2), (2, 2)).log_density([0.0])[0, 0])  # what the released codes divide by itself
    assert np.isnan(Betas.of((0.5, 2), (2, 2)).posterior([0.0])[0])


@pytest.mark.parametrize(
    ("posterior", "clean"),
    [
        ([0.9, 0.2, 0.6], [True, False, True]),
        ([0.9, 0.7, 0.6], [True, True, False]),  # never all: the least sure one is noisy
        ([0.6, 0.9, 0.6], [False, True, False]),  # and its ties
        ([0.8, 0.8], [False, False]),
        ([0.5], [False]),
        ([0.9], [False]),
    ],
)
def test_a_division_has_noisy_pairs(posterior: list[float], clean: list[bool]) -> None:
    assert divide(posterior).tolist() == clean


def test_the_guard_makes_one_percent_noisy() -> None:
    assert (~divide(np.linspace(0.6, 0.9, 350))).sum() == 4  # place 3, from 0, and what lies below
