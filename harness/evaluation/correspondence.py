"""How well correspondence labels separate true pairs from false ones, where the truth is known."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import HarnessError


def label_report(labels: ArrayLike, clean: ArrayLike) -> dict[str, float]:
    """Quality of the correspondence labels of a training set.

    Args:
        labels: (pairs,) estimates, larger for pairs that look true.
        clean: (pairs,) bool, the truth.

    Returns:
        `labels/auc`: ROC AUC, the chance that a random true pair has a larger label than a random false one, where a
        tie counts one half; NaN when all pairs are true or all are false. `labels/mean_clean`, `labels/mean_noisy`:
        mean label of true and of false pairs, NaN where there are none. `labels/share_zero`: share of all pairs with
        label 0.

    Raises:
        HarnessError: the two do not fit, or a label is NaN.
    """
    values, truth = np.asarray(labels, dtype=np.float64), np.asarray(clean, dtype=bool)
    if values.ndim != 1 or values.shape != truth.shape or not len(values):
        raise HarnessError(
            f"labels {values.shape} and the truth {truth.shape} do not fit; "
            "accepted: one number and one truth for each pair; take both from the same run"
        )
    if np.isnan(values).any():
        raise HarnessError(
            f"the label of pair {int(np.isnan(values).argmax())} is not a number; "
            "accepted: numbers; the run has diverged, look at its loss"
        )
    true, false = values[truth], values[~truth]
    return {
        "labels/auc": _auc(true, false),
        "labels/mean_clean": float(true.mean()) if len(true) else np.nan,
        "labels/mean_noisy": float(false.mean()) if len(false) else np.nan,
        "labels/share_zero": float((values == 0).mean()),
    }


def _auc(larger: NDArray[np.float64], smaller: NDArray[np.float64]) -> float:
    """P(larger > smaller) + P(larger = smaller) / 2, by two binary searches: n log n in the number of pairs."""
    if not len(larger) or not len(smaller):
        return np.nan
    ordered, asked = np.sort(smaller), np.sort(larger)  # sorted questions keep the searches in the cache
    below = ordered.searchsorted(asked, side="left") + ordered.searchsorted(asked, side="right")
    return float(below.mean() / 2 / len(ordered))
