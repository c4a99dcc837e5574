r"""How much the complementary loss can be misled by uniform noise: the bound and its proof.

Setting. A query x has K >= 2 candidates and a clean label y; f(x) = P is a point of the simplex. With g = tan

    L_q(P, y) = sum_{j != y} g(P_j) / A^q,     A = A(P) = sum_k g(P_k),     0 <= q <= 1.

Uniform noise keeps y with probability 1 - eta and otherwise puts any of the other K - 1 labels, each as likely,
whatever x is. R(f) = E L_q(f(x), y) is the clean risk, R_eta the risk under noisy labels, and f*, f_eta minimise
them over the same class of functions, whichever it is.

Step 1, the sum over labels. Every candidate is left out of the numerator once, so

    sum_y L_q(P, y) = (K - 1) A^(1-q),

and the noisy risk is a mixture, with c = 1 - eta K / (K - 1) and N(f) = E A^(1-q):

    R_eta(f) = (1 - eta) R(f) + eta / (K - 1) (E sum_y L_q - R(f)) = c R(f) + eta N(f).                     (1)

Step 2, any two functions. Taking (1) at f* and at f_eta gives an identity with nothing lost,

    c [R(f_eta) - R(f*)] + [R_eta(f*) - R_eta(f_eta)] = eta [N(f*) - N(f_eta)],                             (2)

whose two brackets are >= 0 for minimisers. Each alone is at most the right side.

Step 3, the range of the normaliser. g is convex and increasing on [0, 1], so A is least at the centre of the simplex
(Jensen) and greatest at a corner (a convex function on a polytope):

    A_min = K g(1/K) <= A <= g(1) + (K - 1) g(0) = A_max;       for tan: K tan(1/K) <= A <= tan 1.          (3)

THEOREM. For 0 <= eta < (K - 1) / K and any class in which f* and f_eta exist,

    0 <= R(f_eta) - R(f*)         <= eta (A_max^(1-q) - A_min^(1-q)) / c                                    (4)
    0 <= R_eta(f*) - R_eta(f_eta) <= eta (A_max^(1-q) - A_min^(1-q)).                                       (5)

Both are 0 at q = 1: a class's noisy minimisers are then its clean ones, at every eta < (K - 1) / K.

Step 4, near c = 0. (4) has a pole there which the loss, being bounded, cannot follow. Write S(f) = N(f) - R(f) =
E g(P_y) / A^q, the share of the given candidate. Then R_eta = (c + eta) R + eta S, and 0 <= g(P_y) A^-q <=
g(P_y)^(1-q) <= g(1)^(1-q) because A >= g(P_y), so by the same argument

    R(f_eta) - R(f*) <= eta g(1)^(1-q) / (c + eta),          c + eta = 1 - eta / (K - 1).                   (6)

`clean_excess_bound` is the smaller of (4) and (6). For tan it is attained, by two functions on two inputs
(`classes.witness`): (4) for eta <= (K - 1) / K (A_min / A_max)^(1-q), (6) for eta near (K - 1) / K. In between the
witness reaches 0.93 of it or more for K >= 3, 0.76 for K = 2. (5) is attained at every eta, for every g.

Functions that are only nearly minimal: if R_eta(f_eta) <= R_eta(f*) + slack, the right sides of (4) and (6) grow by
slack / c and slack / (c + eta). That covers a trained network, sampled noise, and softmax, which reaches no corner.

Assumed: (a) the noise is uniform and independent of x given y; (b) the clean label is among the K candidates; (c) g is
convex, increasing and >= 0 on [0, 1] with g(1) finite: tan, identity and exp are, log has g(1) infinite and has a bound
at q = 1 alone; (d) minimisers over the same class, up to `slack`; (e) q is fixed.
Not assumed: that labels are a function of x, that f* is any good, anything about the class.

Source: "Cross-modal Active Complementary Learning with Self-refining Correspondence" (NeurIPS 2023), whose theory
takes the exponent of the denominator towards 1. Statement, constants and proof here are our own derivation; the
wording of its theorem was not at hand. The method in training is not this setting: it sums two directions (then both
sides double), and has the exponent 1 - y_i of each pair, for which see `weighted_excess_bound`.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import HarnessError, suggest

Array = NDArray[np.float64]

TRANSFORMS: dict[str, Callable[[Array], Array]] = {
    "tan": np.tan,
    "identity": lambda p: p,
    "exp": lambda p: np.exp(p - 1),
}


def transform_named(name: str) -> Callable[[Array], Array]:
    """g by its name.

    Raises:
        HarnessError: it is not one of those that the theorem covers.
    """
    if name not in TRANSFORMS:
        raise HarnessError(f"transform = {name!r}: the bound does not cover it; {suggest(name, TRANSFORMS)}")
    return TRANSFORMS[name]


def losses(p: ArrayLike, q: ArrayLike, transform: str = "tan") -> Array:
    """L_q(P, y) for every label y at once.

    p: (..., K) points of the simplex; the same shape comes back. q: one for all, or anything that broadcasts to p.
    """
    g = transform_named(transform)(np.asarray(p, dtype=np.float64))
    total = g.sum(axis=-1, keepdims=True)
    return np.asarray((total - g) / total ** np.asarray(q))


def normaliser_range(candidates: int, transform: str = "tan") -> tuple[float, float]:
    """(A_min, A_max) of equation (3)."""
    g = transform_named(transform)
    centre, zero, one = (float(g(np.float64(p))) for p in (1 / candidates, 0.0, 1.0))  # type: ignore[arg-type]
    return candidates * centre, one + (candidates - 1) * zero


def contrast(eta: float, candidates: int) -> float:
    """c = 1 - eta K / (K - 1): how much more often the clean label is given than any other.

    Raises:
        HarnessError: no two candidates, or a noise rate at which the clean label is no longer the likeliest.
    """
    if candidates < 2:
        raise HarnessError(f"candidates = {candidates}: there is nothing to confuse; accepted: 2 or more")
    limit = 1 - 1 / candidates
    if not 0 <= eta < limit:
        raise HarnessError(
            f"eta = {eta:g} with {candidates} candidates: the bound needs the clean label to be the likeliest; "
            f"accepted: 0 <= eta < {limit:g}; lower eta or take more candidates"
        )
    return 1 - eta * candidates / (candidates - 1)


def spread(q: float, candidates: int, transform: str = "tan") -> float:
    """A_max^(1-q) - A_min^(1-q), the range of the sum over labels divided by K - 1.

    Raises:
        HarnessError: q is outside [0, 1].
    """
    if not 0 <= q <= 1:
        raise HarnessError(f"q = {q:g}: exponent of the denominator; accepted: 0 <= q <= 1")
    low, high = normaliser_range(candidates, transform)
    return float(high ** (1 - q) - low ** (1 - q))


def clean_excess_bound(eta: float, q: float, candidates: int, transform: str = "tan", *, slack: float = 0.0) -> float:
    """The most that R(f_eta) - R(f*) can be: the smaller of (4) and (6).

    slack: by how much R_eta(f_eta) may exceed R_eta(f*), 0 for a true minimiser.
    """
    c = contrast(eta, candidates)
    largest_share = float(transform_named(transform)(np.float64(1.0))) ** (1 - q)  # type: ignore[arg-type]
    by_normaliser = (eta * spread(q, candidates, transform) + slack) / c
    by_share = (eta * largest_share + slack) / (c + eta)
    return min(by_normaliser, by_share)


def noisy_excess_bound(eta: float, q: float, candidates: int, transform: str = "tan") -> float:
    """The most that R_eta(f*) - R_eta(f_eta) can be: (5)."""
    contrast(eta, candidates)
    return eta * spread(q, candidates, transform)


def weighted_excess_bound(
    etas: ArrayLike, qs: ArrayLike, weights: ArrayLike, candidates: int, transform: str = "tan"
) -> float:
    """The bound where each pair has its own noise rate and its own exponent, as with CRCL's 1 - y_i.

    With c_i = 1 - eta_i K / (K - 1), steps 1 and 2 hold pair by pair, for the clean risk weighted by c_i:
    R_c(f) = sum_i w_i c_i L_{q_i}, w_i = 1/n for n pairs. With f_c its minimiser and f_eta that of the noisy risk,

        0 <= R_c(f_eta) - R_c(f_c) <= sum_i w_i eta_i (A_max^(1-q_i) - A_min^(1-q_i)).

    A pair adds to it only if it is both noisy (eta_i > 0) and believed (y_i = 1 - q_i > 0): labels that are 0 on what
    may be wrong make the bound 0, whatever they are on clean pairs. The exponents must not depend on the draw of the
    noisy labels, which in training they do; so this explains the choice 1 - y_i and proves no more.

    etas, qs, weights: (pairs,); the weights w_i sum to 1.
    """
    given = zip(np.asarray(etas), np.asarray(qs), np.asarray(weights), strict=True)
    return float(sum(w * noisy_excess_bound(e, q, candidates, transform) for e, q, w in given))
