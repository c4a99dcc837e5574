"""Which methods differ over several tests: mean ranks, Friedman's test, and Nemenyi's critical difference.

Source: J. Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006), section 3.2. A test
is here one data set at one noise rate, its score the mean over the seeds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.05


@dataclass(frozen=True)
class Ranking:
    """Outcome of N tests of k methods.

    Attributes:
        ranks: (N, k), 1 is the best; ties share the mean of their places.
        means: (k,).
        p: of Friedman's test that all methods are alike; NaN below three methods or where all are tied.
        difference: two methods whose mean ranks differ by less are not told apart at 5 %.
    """

    ranks: NDArray[np.float64]
    means: NDArray[np.float64]
    p: float
    difference: float

    @property
    def alike(self) -> list[list[int]]:
        """The largest groups of two methods or more, best first, within which none are told apart."""
        order = np.argsort(self.means, kind="stable")
        found: list[list[int]] = []
        for start in range(len(order)):
            within = [int(m) for m in order[start:] if self.means[m] - self.means[order[start]] < self.difference]
            if len(within) > 1 and not (found and set(within) <= set(found[-1])):
                found.append(within)
        return found


def rank(scores: ArrayLike) -> Ranking:
    """The ranking of scores (N, k), the higher the better; N and k are 2 or more.

    Raises:
        ValueError: fewer tests or methods, or a score that is not a number.
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range  # a table alone needs them

    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2 or not np.isfinite(values).all():
        raise ValueError(f"scores {values.shape}: accepted: (tests, methods), two or more of each, all numbers")
    tests, methods = values.shape
    ranks = rankdata(-values, axis=1)
    distinct = methods > 2 and (np.ptp(ranks, axis=1) > 0).any()
    p = float(friedmanchisquare(*ranks.T).pvalue) if distinct else float("nan")
    q = studentized_range.ppf(1 - LEVEL, methods, np.inf) / np.sqrt(2)
    return Ranking(ranks, ranks.mean(axis=0), p, float(q * np.sqrt(methods * (methods + 1) / (6 * tests))))
