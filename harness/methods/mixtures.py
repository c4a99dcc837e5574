"""Divisions of the training pairs into clean and noisy: two-component mixtures fitted on one number per pair.

    normalised       min-max, to [0, 1]
    fit_gaussians    two Gaussians by scikit-learn                              NCR, GSC, NPC, RDE
    fit_betas        two Betas by EM with moments, from a start of the caller's BiCro, L2RM, MSCN, DCL
    divide           the posteriors above a threshold, and never all of them

All is computed in float64 and on the CPU: in float32 the posteriors of a badly separated division differ. The number of
EM updates belongs to each method: the released codes stop early, and a converged fit gives other divisions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import Diverged

Values = NDArray[np.float64]
ROUNDING = 1e-28  # a variance that equal values may have in float64


def normalised(values: ArrayLike) -> Values:
    """`values` (n,) moved and scaled to [0, 1]; zeros where all are equal, which is 0/0 in the released codes.

    Raises Diverged when a value is not finite: no value would keep its place among the others.
    """
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise Diverged(
            f"division of the pairs: {(~np.isfinite(array)).sum()} of {len(array)} values to divide by are not finite; "
            "accepted: finite losses; the network diverged: lower schedule.lr or schedule.grad_clip"
        )
    low, high = array.min(), array.max()
    return (array - low) / (high - low) if high > low else np.zeros_like(array)


def clip(values: ArrayLike) -> Values:
    """Values (n,) inside (0, 1), as L2RM and MSCN have them: 0 becomes 0.001, 1 becomes 0.999, the others stay."""
    x = np.asarray(values, dtype=np.float64)
    return np.where(x >= 1, 0.999, np.where(x <= 0, 0.001, x))


@dataclass(frozen=True)
class Gaussians:
    """Two fitted Gaussians, the one with the lower mean first; each array is (2,).

    Attributes:
        updates: EM updates made.
        converged: the last gain was below the tolerance.
        lower_bound: mean log-likelihood of a value.
    """

    means: Values
    variances: Values
    weights: Values
    updates: int
    converged: bool
    lower_bound: float

    def posterior(self, values: ArrayLike) -> Values:
        """(n,) probability that each value is of the component with the lower mean."""
        from scipy.special import logsumexp  # not at the top: a plan of a thousand cells needs the classes alone

        x = np.asarray(values, dtype=np.float64)[:, None]
        squares = (x - self.means) ** 2 / self.variances
        logs = np.log(self.weights) - 0.5 * (np.log(2 * np.pi * self.variances) + squares)
        return np.exp(logs[:, 0] - logsumexp(logs, axis=1))


def fit_gaussians(
    values: ArrayLike, *, updates: int = 10, tolerance: float = 1e-2, floor: float = 5e-4, seed: int = 0
) -> Gaussians:
    """Two Gaussians on `values` (n,), as NCR fits them.

    updates, tolerance: EM stops after this many updates, or when the mean log-likelihood gains less. floor: added to
    the variances. seed: of the start by 2-means. Where all values are equal, or there is one alone, both components
    are the same and every posterior is 1/2.
    """
    from sklearn.mixture import GaussianMixture  # half a second, which other methods need not pay

    x = np.asarray(values, dtype=np.float64)
    if x.min() == x.max():
        same = np.full(2, x[0])
        return Gaussians(same, np.full(2, floor), np.full(2, 0.5), 0, True, float(-0.5 * np.log(2 * np.pi * floor)))
    model = GaussianMixture(2, max_iter=updates, tol=tolerance, reg_covar=floor, random_state=seed)
    with np.errstate(all="ignore"):
        model.fit(x[:, None])
    order = np.argsort(model.means_[:, 0], kind="stable")
    return Gaussians(
        model.means_[order, 0],
        model.covariances_[order, 0, 0],
        model.weights_[order],
        model.n_iter_,
        model.converged_,
        float(model.lower_bound_),
    )


@dataclass(frozen=True)
class Betas:
    """Two Betas; each array is (2,). Which of them is "clean" is the method's business."""

    alphas: Values
    betas: Values
    weights: Values

    @classmethod
    def of(cls, alphas: ArrayLike, betas: ArrayLike, weights: ArrayLike = (0.5, 0.5)) -> "Betas":
        return cls(*(np.asarray(values, dtype=np.float64) for values in (alphas, betas, weights)))

    def log_density(self, values: ArrayLike) -> Values:
        """(2, n) log of weight times density; infinite at 0 or 1 where the density is."""
        from scipy.special import betaln, xlog1py, xlogy

        x = np.asarray(values, dtype=np.float64)[None, :]
        a, b = self.alphas[:, None], self.betas[:, None]
        with np.errstate(all="ignore"):
            return np.log(self.weights)[:, None] + xlogy(a - 1, x) + xlog1py(b - 1, -x) - betaln(a, b)

    def posterior(self, values: ArrayLike, component: int = 0, added: float = 0.0) -> Values:
        """(n,) probability that each value is of `component`.

        added: to the sum of the densities, as BiCro and DCL do. NaN where a density is infinite or both are 0: keep the
        values off 0 and 1.
        """
        with np.errstate(all="ignore"):
            densities = np.exp(self.log_density(values))
            result: Values = densities[component] / (densities.sum(axis=0) + added)
        return result


def fit_betas(
    values: ArrayLike, start: Betas, *, updates: int | None = 10, gain: float | None = None, floor: float = 0.0
) -> Betas:
    """EM from `start` on `values` (n,), all inside (0, 1).

    updates: at most this many; None: no limit, and `gain` must be given. gain: stop after the update whose
    log-likelihood, summed over the values, rose by no more. floor: the least responsibility, before they are
    normalised. The M step takes moments: weighted mean m and variance v give a = m (m (1 - m) / v - 1) and
    b = a (1 - m) / m. A component without spread, or with no weight, keeps its parameters.
    """
    from scipy.special import logsumexp

    x = np.asarray(values, dtype=np.float64)
    if not ((x > 0) & (x < 1)).all():
        raise ValueError("values must lie inside (0, 1); clip them first")
    mixture, before = start, None
    made = 0
    while updates is None or made < updates:
        logs = mixture.log_density(x)
        likelihood = float(logsumexp(logs, axis=0).sum())
        if gain is not None and before is not None and likelihood - before <= gain:
            break
        before = likelihood
        responsibilities = np.maximum(np.exp(logs - logsumexp(logs, axis=0)), floor)
        mixture = _moments(x, responsibilities / responsibilities.sum(axis=0), mixture)
        made += 1
    return mixture


def beta_of(values: ArrayLike, weights: ArrayLike | None = None) -> tuple[float, float] | None:
    """(a, b) of the Beta with the mean and variance of `values` (n,); None where they have no spread."""
    x = np.asarray(values, dtype=np.float64)
    w = np.ones_like(x) if weights is None else np.asarray(weights, dtype=np.float64)
    total = w.sum()
    if not total > 0:
        return None
    mean = float((w * x).sum() / total)
    variance = float((w * (x - mean) ** 2).sum() / total)
    if not variance > ROUNDING:
        return None
    a = mean * (mean * (1 - mean) / variance - 1)
    return (a, a * (1 - mean) / mean) if a > 0 else None


def _moments(x: Values, responsibilities: Values, last: Betas) -> Betas:
    found = [beta_of(x, row) or (last.alphas[k], last.betas[k]) for k, row in enumerate(responsibilities)]
    return Betas.of([a for a, _ in found], [b for _, b in found], responsibilities.mean(axis=1))


def divide(posterior: ArrayLike, threshold: float = 0.5) -> NDArray[np.bool_]:
    """Which pairs are clean: those whose posterior (n,) is above the threshold.

    If that were all of them, those up to place n // 100 (from 0) of the ascending posteriors are noisy, and their ties:
    n // 100 + 1 pairs or more, and all where all posteriors are equal. As in NCR.
    """
    p = np.asarray(posterior, dtype=np.float64)
    if p.min() > threshold:
        threshold = float(np.sort(p)[len(p) // 100])
    return p > threshold
