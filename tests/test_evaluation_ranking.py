"""Ranks and critical differences against Demsar's published figures and plain loops."""

from math import sqrt
from random import Random

import numpy as np
import pytest

from harness.evaluation.ranking import Ranking, rank

# q at 5 % of the Nemenyi test for 2 to 10 methods: Demsar (2006), table 5(a).
Q = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}

# Demsar (2006), table 6: AUC of C4.5 with and without two parameters on 14 data sets, and the ranks below it.
AUC = [
    (0.763, 0.768, 0.771, 0.798), (0.599, 0.591, 0.590, 0.569), (0.954, 0.971, 0.968, 0.967),
    (0.628, 0.661, 0.654, 0.657), (0.882, 0.888, 0.886, 0.898), (0.936, 0.931, 0.916, 0.931),
    (0.661, 0.668, 0.609, 0.685), (0.583, 0.583, 0.563, 0.625), (0.775, 0.838, 0.866, 0.875),
    (1.000, 1.000, 1.000, 1.000), (0.940, 0.962, 0.965, 0.962), (0.619, 0.666, 0.614, 0.669),
    (0.972, 0.981, 0.9751, 0.975), (0.957, 0.978, 0.946, 0.970),
]  # fmt: skip


@pytest.mark.parametrize("methods", Q)
def test_the_critical_difference_is_demsars(methods: int) -> None:
    tests = 10
    found = rank(np.random.default_rng(0).random((tests, methods))).difference
    assert found == pytest.approx(Q[methods] * sqrt(methods * (methods + 1) / (6 * tests)), abs=2e-3)


def test_demsars_example() -> None:
    found = rank(AUC)
    assert found.means == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=1e-3)
    # The paper's chi square of 9.28 is without a correction for ties, 0.026; with it a little surer.
    assert 0.015 < found.p < 0.026
    assert found.difference == pytest.approx(1.25, abs=5e-3)


def slow(scores: list[list[float]]) -> list[list[float]]:
    """1 plus how many are better, plus half of the others that are equal."""
    return [
        [1 + sum(other > own for other in row) + (sum(other == own for other in row) - 1) / 2 for own in row]
        for row in scores
    ]


@pytest.mark.parametrize("seed", range(5))
def test_ranks_against_counting(seed: int) -> None:
    rng = Random(seed)
    scores = [[rng.randint(0, 4) for _ in range(5)] for _ in range(6)]
    found = rank(scores)
    assert found.ranks.tolist() == slow([list(map(float, row)) for row in scores])


def test_groups_that_are_not_told_apart() -> None:
    def groups(means: list[float], difference: float) -> list[list[int]]:
        return Ranking(np.zeros((1, 1)), np.array(means), 0.0, difference).alike

    assert groups([1, 2, 3, 4], 1.5) == [[0, 1], [1, 2], [2, 3]]
    assert groups([4, 1, 3, 2], 2.5) == [[1, 3, 2], [3, 2, 0]]
    assert groups([1, 1, 9], 0.5) == [[0, 1]]
    assert groups([1, 2, 3], 9) == [[0, 1, 2]]
    assert groups([1, 3, 5], 1) == []


def test_all_alike_and_two_methods_have_no_p() -> None:
    assert np.isnan(rank([[1, 1, 1], [2, 2, 2]]).p)
    assert np.isnan(rank([[1, 2], [1, 2]]).p)


@pytest.mark.parametrize("scores", [[[1, 2]], [[1], [2]], [[1, np.nan], [1, 2]], [1, 2]])
def test_too_little_is_an_error(scores: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="two or more of each"):
        rank(scores)
