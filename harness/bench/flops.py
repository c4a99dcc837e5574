"""How many floating-point operations a training step needs, by formula.

Matrix products alone are counted, a product of (a, b) and (b, c) as 2 a b c; elementwise work, sorting, softmax and
statistics are not. A term's factor says how often its product is made: once forward, and in the backward pass once for
each factor that needs a gradient. Region features and positions need none. Words are the real ones: padding is work
that the model does not need. Nor does it need what is computed again in the backward pass, which is counted apart,
as is usual for the share of a machine's rate that a model reaches.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.backbones import SAF, SGR, Backbone, VSEInfinity
from harness.backbones.sgraf import SimilarityReasoning

ONE_GRADIENT, BOTH = 2, 3  # how often a product is made: with the gradient of one factor, of both


@dataclass(frozen=True)
class Counts:
    """FLOPs of one step by part; `recomputed` are those of products made once more than needed."""

    terms: dict[str, float]
    recomputed: float = 0.0

    @property
    def total(self) -> float:
        """What the model needs."""
        return sum(self.terms.values())


def step_flops(network: Backbone, regions: int, lengths: Sequence[int]) -> Counts:
    """FLOPs of a step, forward and backward, over pairs with `regions` regions and captions of `lengths` words."""
    return FORMULAS[type(network)](network, regions, lengths)


def _gru(steps: int, inputs: int, hidden: int, into: int) -> float:
    """Two directions; three gates, each of input and of state. `into`: how often the input's product is made."""
    return 2 * 2 * steps * 3 * hidden * (inputs * into + hidden * BOTH)


def _pool(items: int, dim: int) -> float:
    """GPO's table: its GRU over the positions of every length up to `items`, and a score for each."""
    return _gru(items * (items + 1) // 2, dim, dim, ONE_GRADIENT) + 2 * items**2 * dim * BOTH


def vse_infinity(network: VSEInfinity, regions: int, lengths: Sequence[int]) -> Counts:
    """B pairs, R regions of F numbers, N words of W numbers in all, the longest caption L, embeddings of D numbers.

    projection   2 B R F (D + D/2) x 2, 2 B R (D/2) D x 3     linear map and perceptron on every region
    words        2 * 2 N 3 D (W + D) x 3                      BiGRU
    pooling      GPO's tables for R and L, 2 B (R + L) D x 2  weights against sorted values, to the weights only
    similarity   2 B B D x 3
    """
    pairs, longest = len(lengths), max(lengths)
    dim, word_dim, gpo = network.embed_dim, network.word_dim, network.gpo_dim
    rows = pairs * regions
    return Counts(
        {
            "projection": 2 * rows * (network.region_dim * (dim + dim // 2) * ONE_GRADIENT + dim // 2 * dim * BOTH),
            "words": _gru(sum(lengths), word_dim, dim, BOTH),
            "pooling": sum(_pool(items, gpo) + 2 * pairs * items * dim * ONE_GRADIENT for items in (regions, longest)),
            "similarity": 2 * pairs**2 * dim * BOTH,
        }
    )


def similarity_reasoning(network: SimilarityReasoning, regions: int, lengths: Sequence[int]) -> Counts:
    """What SAF and SGR share; letters as for `vse_infinity`, and similarity vectors of S numbers.

    projection      2 B R F D x 2
    words           2 * 2 N 3 D (W + D) x 3
    self-attention  2 (B R + N + 2 B) D D x 3, and for regions and words scores and average 2 * 2 (B R + N) D x 3
    alignment       2 N B R D x 3 scores, 2 B R R D x 3 Gram matrix, 2 B N R R x 3 norms
    differences     2 B N R D x 3 contexts, 2 B N D S x 3 linear map; contexts again in the backward pass
    global          2 B B D S x 3
    score           2 B B S x 3
    """
    pairs, words = len(lengths), sum(lengths)
    dim, sim = network.embed_dim, network.sim_dim
    rows = pairs * regions
    context = 2 * pairs * words * regions * dim
    gram = rows * regions * dim
    terms = {
        "projection": 2 * rows * network.region_dim * dim * ONE_GRADIENT,
        "words": _gru(words, network.word_dim, dim, BOTH),
        "self-attention": 2 * BOTH * ((rows + words + 2 * pairs) * dim**2 + 2 * (rows + words) * dim),
        "alignment": 2 * BOTH * (words * rows * dim + pairs * words * regions**2 + gram),
        "differences": BOTH * (context + 2 * pairs * words * dim * sim),
        "global": 2 * BOTH * pairs**2 * dim * sim,
        "score": 2 * BOTH * pairs**2 * sim,
    }
    return Counts(terms, recomputed=context)


def saf(network: SAF, regions: int, lengths: Sequence[int]) -> Counts:
    """The shared parts, and over the B (N + B) similarity vectors of words and captions:

    filter  2 B (N + B) S x 3 gates, 2 B (N + B) S x 3 average
    """
    pairs = len(lengths)
    nodes = pairs * (sum(lengths) + pairs)
    shared = similarity_reasoning(network, regions, lengths)
    return Counts(shared.terms | {"filter": 2 * 2 * BOTH * nodes * network.sim_dim}, shared.recomputed)


def sgr(network: SGR, regions: int, lengths: Sequence[int]) -> Counts:
    """The shared parts, and T steps over graphs of l + 1 nodes for a caption of l words, M = B (N + B) nodes in all:

    graph  each step but the last: 2 * 2 M S S x 3 maps of query and output, 2 * 2 B sum (l + 1)^2 S x 3 edges and sums
           the last, which renews the global node alone: 2 * 2 B B S S x 3 and 2 * 2 M S x 3
           each step: 2 S S S x 3 query and key as one matrix

    The sums over edges are made again in the backward pass.
    """
    pairs, sim, steps = len(lengths), network.sim_dim, network.graph_steps
    nodes = pairs * (sum(lengths) + pairs)
    edges = pairs * sum((length + 1) ** 2 for length in lengths)
    whole = 2 * 2 * (nodes * sim**2 + edges * sim)
    last = 2 * 2 * (pairs**2 * sim**2 + nodes * sim)
    merged = 2 * BOTH * sim**3 * steps
    shared = similarity_reasoning(network, regions, lengths)
    terms = shared.terms | {"graph": BOTH * ((steps - 1) * whole + last) + merged}
    return Counts(terms, shared.recomputed + 2 * sim * ((steps - 1) * edges + nodes))


FORMULAS: dict[type[Backbone], Callable[[Any, int, Sequence[int]], Counts]] = {
    VSEInfinity: vse_infinity,
    SAF: saf,
    SGR: sgr,
}
