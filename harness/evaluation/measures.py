"""The one list of the metrics of retrieval, which tables, figures, comparisons, searches and the bootstrap read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

WAYS = {"i2t": "image to text", "t2i": "text to image"}
CUTOFFS = (1, 5, 10)  # the K of R@K


@dataclass(frozen=True)
class Measure:
    """One metric of a scored split.

    Attributes:
        name: in results, declarations and CSV files.
        title: in tables and figures.
        unit: "%", "points" (a sum of percents) or "rank" (one-based).
        higher_is_better: False where a smaller value is better.
        hits: way -> cut-offs K whose recalls it sums; empty for what is no share of queries that were answered.
    """

    name: str
    title: str
    unit: Literal["%", "points", "rank"]
    higher_is_better: bool = True
    hits: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def _list() -> list[Measure]:
    recalls = [Measure(f"{way}_r{k}", f"{way} R@{k}", "%", hits={way: (k,)}) for way in WAYS for k in CUTOFFS]
    rsum = Measure("rsum", "rSum", "points", hits=dict.fromkeys(WAYS, CUTOFFS))
    kinds = (("medr", "median rank"), ("meanr", "mean rank"))
    ranks = [
        Measure(f"{way}_{key}", f"{way} {name}", "rank", higher_is_better=False) for way in WAYS for key, name in kinds
    ]
    return [*recalls, rsum, *ranks]


MEASURES: dict[str, Measure] = {measure.name: measure for measure in _list()}
RECALLS = tuple(name for name, measure in MEASURES.items() if measure.unit == "%")

if TYPE_CHECKING:
    Metric = str
else:
    Metric = Literal[tuple(MEASURES)]  # the name of a metric, which pydantic checks
