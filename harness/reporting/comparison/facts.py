"""Two runs side by side: what they were told to do, what came out, and whether the test queries tell them apart."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from harness.data import open_dataset
from harness.errors import HarnessError
from harness.evaluation.bootstrap import METRICS, Difference, Ranks, compare, holm, read_ranks
from harness.evaluation.measures import MEASURES, WAYS
from harness.ledger import Cell
from harness.reporting.comparison.queries import Names, Query, Tally, extremes, tally

ENVIRONMENT = ("git_commit", "harness", "python", "torch", "platform", "device", "precision", "compile", "threads")
LEVEL = 0.05  # of the verdicts, as of the 95 % intervals
LISTED = 5  # queries with the largest gain, and as many with the largest loss
ABSENT = "–"


@dataclass(frozen=True)
class Differing:
    """One dotted key whose values differ, as printed."""

    key: str
    a: str
    b: str


@dataclass(frozen=True)
class Score:
    """One metric of both runs; `difference` and `p` are None where there are no paired statistics.

    p: rSum's own; of a recall it is adjusted by Holm's rule for the six recalls of the protocol.
    """

    metric: str
    a: float
    b: float
    difference: Difference | None = None
    p: float | None = None

    @property
    def verdict(self) -> str:
        if self.p is None:
            return ""
        better = "A" if self.a > self.b else "B"
        return f"distinguishable: {better} is better" if self.p < LEVEL else "not distinguishable"


@dataclass(frozen=True)
class Outcome:
    """The test split under one protocol; tallies, gains (A ranks better) and losses come from paired queries alone."""

    protocol: str
    scores: list[Score]
    tallies: list[Tally] = field(default_factory=list)
    gains: list[Query] = field(default_factory=list)
    losses: list[Query] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """All that is said of two runs.

    notes: what is not said, and why. environment: None where a run is not finished. names: of the test queries.
    """

    a: Cell
    b: Cell
    settings: list[Differing]
    environment: list[Differing] | None
    warnings: list[str]
    notes: list[str]
    outcomes: list[Outcome]
    names: Names | None


def compare_runs(a: Cell, b: Cell, data: Path) -> Comparison:
    """Compare two runs, finished or not; differences are A minus B.

    data: folder of the datasets, where the queries' captions and image ids are; without them queries are numbers.

    Raises:
        HarnessError: it is the same run twice.
    """
    if a.fingerprint == b.fingerprint:
        raise HarnessError(
            f"compare: both words name the run {a.fingerprint} ({a.name}); accepted: two different runs; "
            "`harness status GRID` lists those of a grid"
        )
    results = [cell.result() or {} for cell in (a, b)]
    environments = [result.get("environment") or {} for result in results]
    notes = [
        f"{side} is {cell.state()} and has no results yet: curves and settings only"
        for side, cell, result in zip("AB", (a, b), results, strict=True)
        if not result
    ]
    outcomes, names = [], None
    if all(results):
        ranks, why = paired_ranks(a, b)
        notes += [f"no paired statistics: {why}"] if why else []
        outcomes = [outcome(protocol, results, ranks.get(protocol)) for protocol in _protocols(results, notes)]
        if ranks:
            names, why = query_names(results, ranks, data)
            notes += [f"queries are numbers in the test split: {why}"] if why else []
    return Comparison(
        a, b,
        settings=differing(a.spec["run"], b.spec["run"]),
        environment=differing(environments[0], environments[1], ENVIRONMENT) if all(environments) else None,
        warnings=list(_warnings(a, b, results)),
        notes=notes,
        outcomes=outcomes,
        names=names,
    )  # fmt: skip


def differing(a: dict[str, Any], b: dict[str, Any], keys: tuple[str, ...] | None = None) -> list[Differing]:
    """The dotted keys whose values differ, in the order of the tables; a key that one has not shows as absent."""
    flat_a, flat_b = flat(a), flat(b)
    words = {key: (_word(flat_a, key), _word(flat_b, key)) for key in {**flat_a, **flat_b} if not keys or key in keys}
    return [Differing(key, *pair) for key, pair in words.items() if pair[0] != pair[1]]


def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested table with dotted keys: {"noise": {"rate": 0.4}} is {"noise.rate": 0.4}."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def paired_ranks(a: Cell, b: Cell) -> tuple[dict[str, tuple[Ranks, Ranks]], str]:
    """Protocol -> both runs' ranks of the same queries; and if there are none, why."""
    data_a, data_b = a.spec["run"]["dataset"], b.spec["run"]["dataset"]
    if data_a != data_b:
        return {}, f"the test sets differ, {data_a} and {data_b}"
    found = [read_ranks(cell.path("ranks.npz")) for cell in (a, b)]
    for side, ranks in zip("AB", found, strict=True):
        if not ranks:
            return {}, f"{side} kept no ranks of its test queries (ranks.npz)"
    pairs = {name: (found[0][name], found[1][name]) for name in found[0] if name in found[1]}
    for name, (one, other) in pairs.items():
        if not np.array_equal(one.image_of_caption, other.image_of_caption):
            return {}, f"the test sets differ, under protocol {name} the queries of A are not those of B"
    return pairs, "" if pairs else "no protocol in common"


def outcome(protocol: str, results: list[dict[str, Any]], ranks: tuple[Ranks, Ranks] | None) -> Outcome:
    """The metrics of both runs; with ranks also what the queries say."""
    of_a, of_b = (result["test"][protocol] for result in results)
    shown = [metric for metric in MEASURES if of_a.get(metric) is not None and of_b.get(metric) is not None]
    if ranks is None:
        return Outcome(protocol, [Score(metric, of_a[metric], of_b[metric]) for metric in shown])
    differences = {metric: compare([ranks[0]], [ranks[1]], metric) for metric in METRICS}
    recalls = [metric for metric in METRICS if metric != "rsum"]
    p = dict(zip(recalls, map(float, holm([differences[metric].p for metric in recalls])), strict=True))
    p["rsum"] = differences["rsum"].p
    listed = {way: extremes(*ranks, way, LISTED) for way in WAYS}
    return Outcome(
        protocol,
        [Score(metric, of_a[metric], of_b[metric], differences.get(metric), p.get(metric)) for metric in shown],
        [tally(*ranks, way) for way in WAYS],
        [query for gains, _ in listed.values() for query in gains],
        [query for _, losses in listed.values() for query in losses],
    )


def query_names(
    results: list[dict[str, Any]], ranks: dict[str, tuple[Ranks, Ranks]], data: Path
) -> tuple[Names | None, str]:
    """Captions and image ids of the test split, or None and why they cannot be told."""
    about = [result["dataset"] for result in results]
    try:
        dataset = open_dataset(about[0]["name"], data)
        digest, split = dataset.digest(), dataset.split("test")
    except HarnessError:
        return None, f"{about[0]['name']} is not in {data} (--data)"
    names = Names(split.image_ids, split.texts, split.image_of_caption)
    if digest not in [each.get("digest") for each in about] or not all(names.fit(pair[0]) for pair in ranks.values()):
        return None, f"{about[0]['name']} in {data} is not the data that the runs were scored on (--data)"
    return names, ""


def _protocols(results: list[dict[str, Any]], notes: list[str]) -> list[str]:
    """The protocols that both runs were scored under; a note for every other."""
    of_a, of_b = (result["test"] for result in results)
    for side, scored in (("A", of_a), ("B", of_b)):
        if not scored:
            notes.append(f"{side} scored no test split (evaluation.protocols = [], as in a sweep)")
    if of_a and of_b:
        notes += [f"protocol {name}: only {'A' if name in of_a else 'B'} was scored" for name in {**of_a, **of_b}
                  if not (name in of_a and name in of_b)]  # fmt: skip
    return [name for name in of_a if name in of_b]


def _warnings(a: Cell, b: Cell, results: list[dict[str, Any]]) -> Iterator[str]:
    pairs = [_pairs(cell, result) for cell, result in zip((a, b), results, strict=True)]
    if all(pairs) and pairs[0] != pairs[1]:
        yield (
            f"the training pairs differ (noise.npy {pairs[0][:8]} and {pairs[1][:8]}): what differs in the results is "
            "not due to the other settings alone"
        )
    digests = [result.get("dataset", {}).get("digest") for result in results]
    if all(digests) and digests[0] != digests[1]:
        yield (
            f"the data sets differ (digest {digests[0][:8]} and {digests[1][:8]}): features, captions or vocabulary; "
            "test queries are paired by their place in the split"
        )
    if any(result.get("dataset", {}).get("test_is_dev") for result in results):
        yield "dev doubles as test: it chose the epochs that are compared here"


def _pairs(cell: Cell, result: dict[str, Any]) -> str:
    """The sha256 of the training pairs, "" where they are not known; a run in training has the file alone."""
    known = result.get("noise", {}).get("sha256")
    path = cell.path("noise.npy")
    if known or not path.exists():
        return str(known or "")
    return sha256(np.ascontiguousarray(np.load(path), dtype="<i8").tobytes()).hexdigest()


def _word(table: dict[str, Any], key: str) -> str:
    if key not in table:
        return ABSENT
    value = table[key]
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)
