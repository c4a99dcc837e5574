"""From scores to probabilities: how many pairs are wrong, which ones probably, and how sure that is.

Swaps planted on purpose say how wrong pairs score. Against them every pair has a p-value: how often a wrong pair scores
as high. The p-values of wrong pairs are uniform, those of right ones lie near 0, so the flat part of their density is
the share of wrong pairs, and the height of the flat part over the density at p is the probability of being wrong.

Sources: Storey, "A direct approach to false discovery rates", JRSS B 64 (2002), for the share of true nulls; Storey and
Tibshirani, PNAS 100 (2003); Efron et al., JASA 96 (2001), for the local rate; the density is the decreasing one of
Grenander (1956), on bins.

What is assumed: wrong pairs of the data look to the network as planted ones do, a caption with a picture taken at
random. Wrong pairs that are nearly right look better, are missed, and are missing in the share too.

When nothing is promised (`doubt`). A network that hardly tells planted swaps lets right pairs score as low as wrong
ones; they then stand in the flat part and count as wrong. With normal scores the AUC of the swaps says how many do, so
`least_share` takes them out of the interval's low end. Where less than four fifths of that end are left, or the end is
0, neither a share nor a precision is promised, and nothing is dropped. In simulations (30,000 pairs, 1,500 planted,
2 to 60 % wrong, four seeds) the expected precision of what is dropped was at most 0.10 above the true one where more
was left, and up to 0.67 above it where less was. On the titles of Open Clip Art, where 74 % was expected and 12 % true
(docs/results.md), nothing is left: AUC 0.65, low end 7 %, and right pairs alone would look like 42 % wrong ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from harness.printing.numbers import percent

Floats = NDArray[np.float64]
# Where the flat part begins. With normal scores right pairs add nothing to the share at an AUC of 0.98, Flickr8k's, and
# one point at 0.92. A later place has less of them, and fewer planted pairs to be measured by.
PLACE = 0.8
BLIND = 0.6  # AUC of planted swaps below which the network tells nothing
LEFT = 0.8  # of the share's low end that right pairs must leave
_BINS = 200
_RESAMPLES = 200


@dataclass(frozen=True)
class Share:
    """The share of wrong pairs, and the interval that holds it with 95 % certainty under the assumption above."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Cut:
    """What a cut of the probabilities does.

    Attributes:
        dropped: pairs above it.
        precision: expected share of them that is wrong.
        recall: expected share of the wrong pairs that is among them.
        found: share of the planted swaps that it finds, measured; NaN where none was planted.
        look_at: how many of the dropped pairs a person should look at, drawn at random, to know the precision within 5
            points with 95 % certainty.
    """

    dropped: int
    precision: float
    recall: float
    found: float
    look_at: int


def p_values(scores: Floats, planted: Floats) -> Floats:
    """(n,): how often a planted pair scores at least as high, counting the pair itself as one: never 0."""
    ordered = np.sort(planted)
    above = len(ordered) - np.searchsorted(ordered, scores, side="left")
    return np.asarray((1.0 + above) / (1.0 + len(ordered)), dtype=np.float64)


def wrong_share(p: Floats) -> float:
    """The height of the flat part from p-values (n,), in [0, 1]: Storey's estimate beyond one place.

    One place for all: in simulations a place chosen by the data (his bootstrap, or the least error under a falling
    curve) followed the chance of the few planted pairs furthest right and missed the share by more.
    """
    return float(min(1.0, (p > PLACE).mean() / (1 - PLACE)))


def share_with_interval(scores: Floats, planted: Floats, rng: np.random.Generator) -> Share:
    """The share of wrong pairs among `scores` (n,), resampled together with the planted ones (m,)."""
    drawn = [
        wrong_share(p_values(rng.choice(scores, len(scores)), rng.choice(planted, len(planted))))
        for _ in range(_RESAMPLES)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975))
    value = wrong_share(p_values(scores, planted))
    return Share(value, min(value, float(low)), max(value, float(high)))


def right_that_look_wrong(auc: float) -> float:
    """What right pairs alone would make of the share of wrong ones, in [0, 1], with normal scores of one width: how
    many of them are in the flat part, over its length. auc: of wrong pairs against right ones."""
    apart = np.sqrt(2) * norm.ppf(np.clip(auc, 0.5, 1 - 1e-9))
    return float(norm.cdf(norm.ppf(1 - PLACE) - apart) / (1 - PLACE))


def least_share(low: float, auc: float) -> float:
    """The least share of wrong pairs with which a share of `low` would be seen, in [0, low].

    auc: of planted swaps against all others, of which a share is wrong too; that share at 0.5, the rest at the AUC of
    wrong against right.
    """
    for share in np.linspace(0.0, low, 201):
        pure = min(1.0, (auc - share / 2) / max(1e-9, 1 - share))
        if share + (1 - share) * right_that_look_wrong(pure) >= low:
            return float(share)
    return low


def doubt(share: Share, auc: float) -> str:
    """Why neither the share nor a precision can be promised, and what may help; "" where they can.

    auc: of planted swaps against all others.
    """
    helps = "more pairs, --encoder MODEL or --ranking clip may help"
    if auc < BLIND:
        return f"planted swaps are hardly told from the rest (AUC {auc:.2f}, 0.5 is chance); {helps}"
    if share.low <= 0:
        return (
            f"how many pairs are wrong is known only as 0 to {percent(share.high)}, so perhaps none is; the lowest are "
            "on the page, for a person to look at"
        )
    if least_share(share.low, auc) < LEFT * share.low:
        return (
            f"planted swaps are told from the rest too seldom (AUC {auc:.2f}, 0.5 is chance) to know which pairs are "
            f"wrong: right pairs alone would look like {percent(right_that_look_wrong(auc))} wrong ones; {helps}"
        )
    return ""


def probabilities(p: Floats, share: float) -> tuple[Floats, Floats, Floats]:
    """Of each pair the probability of being wrong, (n,), never falling as p rises; and the curve behind it.

    p: of the pairs. share: of them that is wrong.

    Returns:
        The probabilities, and the curve as (edges of bins (b,), probability in each (b,)); see `read_off`.
    """
    edges = _edges(p)
    counts, _ = np.histogram(p, np.concatenate([[0.0], edges]))
    widths = np.diff(np.concatenate([[0.0], edges]))
    density = _decreasing(counts / (len(p) * widths), widths)
    curve = np.minimum(1.0, share / np.maximum(density, 1e-12))
    return read_off(p, edges, curve), edges, curve


def read_off(p: Floats, edges: Floats, curve: Floats) -> Floats:
    """The curve's value at each p (n,): that of the bin that holds it."""
    return curve[np.minimum(np.searchsorted(edges, p, side="left"), len(edges) - 1)]


def measure_cut(probability: Floats, planted: Floats, cut: float) -> Cut:
    """What dropping every pair above a probability does. planted: probabilities of the planted swaps (m,)."""
    dropped = probability > cut
    precision = float(probability[dropped].mean()) if dropped.any() else float("nan")
    total = float(probability.sum())
    recall = float(probability[dropped].sum() / total) if total else float("nan")
    found = float((planted > cut).mean()) if len(planted) else float("nan")
    return Cut(int(dropped.sum()), precision, recall, found, sample_size(precision, int(dropped.sum())))


def sample_size(share: float, of: int, *, within: float = 0.05) -> int:
    """How many of so many to look at to know a share within some points with 95 % certainty (normal approximation with
    the correction for a finite number; a share too near 1 is taken as 0.95, since nobody knows it before)."""
    if not of or np.isnan(share):
        return 0
    likely = min(max(share, 0.05), 0.95)
    many = likely * (1 - likely) * (1.96 / within) ** 2
    return int(np.ceil(many / (1 + (many - 1) / of)))


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share that was counted (Wilson, 1927)."""
    if not of:
        return 0.0, 1.0
    z, share = 1.96, hits / of
    middle = (share + z**2 / (2 * of)) / (1 + z**2 / of)
    half = z / (1 + z**2 / of) * np.sqrt(share * (1 - share) / of + z**2 / (4 * of**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def _edges(p: Floats) -> Floats:
    """Upper edges of bins with about equally many pairs, the last 1."""
    quantiles = np.unique(np.quantile(p, np.linspace(0, 1, min(_BINS, max(2, len(p) // 20)) + 1)[1:]))
    return np.append(quantiles[quantiles < 1.0], 1.0)


def _decreasing(values: Floats, weights: Floats) -> Floats:
    """The nearest values that do not rise (pool adjacent violators, weighted)."""
    from sklearn.isotonic import IsotonicRegression

    places = np.arange(len(values))
    fit = IsotonicRegression(increasing=False).fit(places, values, sample_weight=weights)
    return np.asarray(fit.predict(places), dtype=np.float64)
