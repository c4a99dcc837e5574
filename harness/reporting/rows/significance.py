"""Which rows of a table are distinguishable from the best of their group: the paired bootstrap over its runs' ranks.

Two rows are compared on the same test images, image by image, over the seeds that both have, or over all of theirs
where they have none in common; images and seeds are resampled. The p values of one column of the table are adjusted
together by Holm's rule: the more comparisons a column makes, the more it takes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from harness.evaluation import bootstrap
from harness.evaluation.bootstrap import Ranks
from harness.reporting.declaration import Report
from harness.reporting.rows.rows import Entry, Group, Row

LEVEL = 0.05
RESAMPLES = 10_000
RESAMPLES_EACH = 200  # the smallest p of R resamples is 2 / R: times a column's comparisons it must stay below LEVEL


@dataclass
class Judged:
    """How many comparisons were made, and which rows could not be compared: their words, each once."""

    comparisons: int = 0
    resamples: int = RESAMPLES
    tied: int = 0
    unjudged: dict[str, None] = field(default_factory=dict)


def judge_rows(report: Report, groups: list[Group]) -> Judged:
    """Set `p` and `tied` of the entries in the report's columns; the best of a group is what they are held against.

    A row is left alone, and named in the outcome, where one of its runs or of the best's has no ranks (trained before
    ranks were kept, or scored on dev), or where the two were scored on different data.
    """
    outcome = Judged()
    ranks_of = cache(lambda run: run.ranks(report.protocol))  # each file read once

    def ranks(row: Row, metric: str) -> dict[int, Ranks] | None:
        """By seed, of all the runs that the row's mean is over; None where one has none."""
        runs = [run for run in row.runs if run.score(metric, report.split, report.protocol) is not None]
        found = {run.planned.run.seed: ranks_of(run) for run in runs} if report.split == "test" else {}
        whole = {seed: ranks for seed, ranks in found.items() if ranks is not None}
        return whole if whole and len(whole) == len(found) else None

    for metric in [m for m in report.metrics if m in bootstrap.METRICS]:
        comparisons: list[tuple[Entry, list[Ranks], list[Ranks], bool]] = []
        for best, row in _pairs(groups, metric):
            a, b = ranks(best, metric), ranks(row, metric)
            digests = {run.dataset.get("digest") for run in (*best.runs, *row.runs)} - {None}
            if a is None or b is None or len(digests) > 1:
                outcome.unjudged[" ".join(word for word in row.words if word)] = None
            else:
                common = sorted(a.keys() & b.keys())
                first, second = ([side[seed] for seed in common or sorted(side)] for side in (a, b))
                comparisons.append((row.entries[metric], first, second, bool(common)))
        resamples = max(RESAMPLES, RESAMPLES_EACH * len(comparisons))
        p = [bootstrap.compare(a, b, metric, paired=pairs, resamples=resamples).p for _, a, b, pairs in comparisons]
        for (entry, *_), adjusted in zip(comparisons, bootstrap.holm(p), strict=True):
            entry.p = float(adjusted)
            entry.tied = entry.p >= LEVEL
            outcome.tied += entry.tied
        outcome.comparisons = max(outcome.comparisons, len(comparisons))
        outcome.resamples = max(outcome.resamples, resamples)
    return outcome


def _pairs(groups: list[Group], metric: str) -> Iterator[tuple[Row, Row]]:
    """The best row of each group with each other row that is not printed in bold beside it."""
    for group in groups:
        have = [row for row in group if row.entries[metric].seeds]
        best = max(have, key=lambda row: row.entries[metric].mean or 0.0, default=None)
        if best is not None:
            yield from ((best, row) for row in have if not row.entries[metric].best and row is not best)
