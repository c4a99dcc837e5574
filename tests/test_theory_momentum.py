"""The laws of the corrected label against the trained correction, enumeration, and simulation."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.methods.crcl import correct_labels
from harness.seeds import rng_for
from harness.theory import labels, momentum

UNIT = st.floats(0, 1)
VIEWS = st.lists(UNIT, min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(VIEWS, UNIT, UNIT, st.floats(0, 0.5))
def test_the_correction_is_the_one_that_is_trained(
    views: list[float], start: float, beta: float, epsilon: float
) -> None:
    stored = torch.tensor([start], dtype=torch.float64)
    for view in views:
        match = torch.tensor([view], dtype=torch.float64)
        _, stored = correct_labels(stored, match, piece=1, epoch=5, frozen_epochs=2, beta=beta, epsilon=epsilon)
    assert momentum.correct(views, start, beta, epsilon)[-1] == stored.item()


@settings(max_examples=150, deadline=None)
@given(VIEWS, UNIT, UNIT)
def test_closed_form(views: list[float], start: float, beta: float) -> None:
    assert momentum.closed_form(views, start, beta) == pytest.approx(
        momentum.correct(views, start, beta)[-1], abs=1e-12
    )


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 25), UNIT, UNIT, st.floats(0, 0.99))
def test_variance_is_that_of_the_weights_under_the_correlations(
    epochs: int, beta: float, noise: float, phi: float
) -> None:
    weights = [(1 - beta) * beta ** (epochs - k) for k in range(1, epochs + 1)]
    expected = sum(weights[j] * weights[k] * noise * phi ** abs(j - k) for j in range(epochs) for k in range(epochs))
    assert momentum.variance(epochs, beta, noise, phi) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_variance_goes_to_its_limit(beta: float, phi: float) -> None:
    assert momentum.variance(400, beta, 0.21, phi) == pytest.approx(momentum.limit_variance(beta, 0.21, phi))


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.8, 1.0])
def test_moments_are_those_of_all_outcomes(beta: float) -> None:
    """Every sequence of 8 coin flips with chance 0.3, weighted by its probability."""
    flips = np.array(list(itertools.product([0.0, 1.0], repeat=8))).T  # (epochs, outcomes)
    chance = np.prod(np.where(flips == 1, 0.3, 0.7), axis=0)
    y = momentum.correct(flips, 1.0, beta)[-1]
    assert chance @ y == pytest.approx(momentum.mean(8, 1.0, beta, 0.3))
    assert chance @ (y - chance @ y) ** 2 == pytest.approx(momentum.variance(8, beta, 0.21), abs=1e-15)
    returned = (momentum.correct(flips, 0.0, beta, 0.15) > 0).any(axis=0)
    expected = momentum.chance_of_return(8, 0.3 * (momentum.needed_to_return(beta, 0.15) <= 1))
    assert chance @ returned == pytest.approx(expected)


# Between them the formula divides by 1 - beta, and has no digits left.
NOT_NEARLY_ONE = st.floats(0, 0.999) | st.just(1.0)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 40), UNIT, NOT_NEARLY_ONE, UNIT, st.floats(-0.1, 0.1))
def test_the_mean_follows_a_drift(epochs: int, start: float, beta: float, level: float, slope: float) -> None:
    y = start
    for epoch in range(1, epochs + 1):
        y = beta * y + (1 - beta) * (level + slope * epoch)
    assert momentum.mean(epochs, start, beta, level, slope) == pytest.approx(y, abs=1e-6)


def test_the_half_life_halves_what_is_left_of_the_start() -> None:
    assert momentum.half_life(0.8) == pytest.approx(3.106, abs=1e-3)
    assert 0.8 ** momentum.half_life(0.8) == pytest.approx(0.5)
    assert momentum.half_life(0.0) == 0
    assert momentum.half_life(1.0) == math.inf


def test_a_label_converges_exactly_when_what_it_averages_does() -> None:
    settling = 0.7 + 0.3 * (-0.9) ** np.arange(300)
    assert momentum.correct(settling, 0.0, 0.8)[-1] == pytest.approx(0.7, abs=1e-9)
    turning = np.tile([0.0, 1.0], 150)
    late = momentum.correct(turning, 0.0, 0.8)[-50:]
    assert late.max() - late.min() == pytest.approx(0.2 / 1.8)  # (1 - beta) / (1 + beta), for ever
    assert (momentum.correct(turning, 0.4, 1.0) == 0.4).all()


def test_a_gain_that_decays_averages_and_a_constant_one_does_not() -> None:
    p = rng_for("test", "averages").random((4000, 400))
    y = np.zeros(400)
    for epoch, view in enumerate(p, start=1):
        y = (epoch - 1) / epoch * y + view / epoch
    assert y.std() == pytest.approx(math.sqrt(1 / 12 / 4000), rel=0.2)
    assert momentum.correct(p, 0.0, 0.8)[-1].std() == pytest.approx(math.sqrt(1 / 12 / 9), rel=0.2)


@pytest.mark.parametrize(
    ("beta", "p", "above", "below"),
    [
        (0.8, 0.3, 0.3, 0.0),  # epsilon <= p < epsilon / (1 - beta): two fixed points
        (0.8, 0.6, 0.6, 0.6),
        (0.8, 0.05, 0.0, 0.0),
        (0.95, 1.0, 1.0, 0.0),  # epsilon > 1 - beta: 0 is absorbing
        (0.0, 0.11, 0.11, 0.11),
    ],
)
def test_steady_views_under_the_threshold(beta: float, p: float, above: float, below: float) -> None:
    ends = momentum.correct(np.full((300, 2), p), np.array([1.0, 0.0]), beta, 0.1)[-1]
    assert ends.tolist() == pytest.approx([above, below], abs=1e-6)
    assert (p >= momentum.needed_to_return(beta, 0.1)) == (below > 0)


@pytest.mark.parametrize("name", labels.NOISES)
def test_noises_have_the_moments_tails_and_correlation_they_say(name: str) -> None:
    noise = labels.NOISES[name]
    quantiles = noise.quantile((np.arange(200_000) + 0.5) / 200_000)
    assert quantiles.mean() == pytest.approx(noise.mean, abs=1e-4)
    assert quantiles.var() == pytest.approx(noise.variance, abs=1e-4)
    for x in (0.0, 0.1, 0.5, 0.9, 1.5, math.inf):
        assert (quantiles >= x).mean() == pytest.approx(noise.tail(x), abs=1e-4)
    p = noise.draw(rng_for("test", name), 5, 40_000, correlation=0.7)
    assert p.min() >= 0
    assert p.max() <= 1
    assert np.corrcoef(p[1], p[4])[0, 1] == pytest.approx(0.7**3, abs=0.03)
    assert p[4].mean() == pytest.approx(noise.mean, abs=0.02)


def test_simulation_agrees_with_the_laws() -> None:
    cases = list(labels.label_cases(4000, 1))
    assert [case for case in cases if not case.holds] == []
    assert len({case.claim for case in cases}) == 5


@pytest.mark.parametrize(
    ("law", "wrong"),
    [
        ("variance", lambda right: lambda *a: 1.2 * right(*a)),
        ("variance", lambda right: lambda epochs, beta, noise, phi=0.0: right(epochs, beta, noise, 0.0)),
        ("variance", lambda right: lambda epochs, beta, noise, phi=0.0: right(400, beta, noise, phi)),
        ("mean", lambda right: lambda epochs, *a: right(epochs + 1, *a)),
        ("mean", lambda right: lambda epochs, start, beta, level, slope=0.0: right(epochs, start, beta, level)),
        ("square_error", lambda right: lambda *a: right(*a[:4], 0.0, a[5])),
        ("needed_to_return", lambda right: lambda beta, epsilon: epsilon),
        ("chance_of_return", lambda right: lambda epochs, chance: right(epochs + 1, chance)),
    ],
)
def test_a_wrong_law_is_found_out(law: str, wrong: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(momentum, law, wrong(getattr(momentum, law)))
    assert not all(case.holds for case in labels.label_cases(4000, 1))


def test_bad_input() -> None:
    with pytest.raises(HarnessError, match="accepted: 0 <= beta <= 1"):
        momentum.mean(3, 1.0, 1.2, 0.5)
