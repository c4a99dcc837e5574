"""Which rows of a table are distinguishable from the best of their group: the paired bootstrap over its runs' ranks.

Two rows are compared on the same test images, image by image, over the seeds that their means are over. The p values of
one column of the table are adjusted together by Holm's rule: the more comparisons a column makes, the more it takes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pandas as pd

from harness.evaluation import bootstrap
from harness.evaluation.bootstrap import Ranks
from harness.ledger import Ledger
from harness.reporting.spec import Report
from harness.reporting.table import Entry, Group, Row, finished

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


def judge(report: Report, groups: list[Group], records: pd.DataFrame, ledger: Ledger) -> Judged:
    """Set `p` and `tied` of the entries in the report's columns; the best of a group is what they are held against.

    A row is left alone, and named in the outcome, where one of its runs or of the best's has no ranks (trained before
    ranks were kept, or scored on dev), or where the two were scored on different data.
    """
    outcome, known = Judged(), _Known(ledger, report)
    for metric in [m for m in report.metrics if m in bootstrap.METRICS]:
        pairs = list(_pairs(groups, metric))
        comparisons: list[tuple[Entry, list[Ranks], list[Ranks]]] = []
        for best, row in pairs:
            a, b = (known.of(finished(records, r.planned, metric, report.split, report.protocol)) for r in (best, row))
            if a is None or b is None or known.digests(best, row) > 1:
                outcome.unjudged[" ".join(word for word in row.words if word)] = None
            else:
                comparisons.append((row.entries[metric], a, b))
        resamples = max(RESAMPLES, RESAMPLES_EACH * len(comparisons))
        p = [bootstrap.compare(a, b, metric, resamples=resamples).p for _, a, b in comparisons]
        for (entry, _, _), adjusted in zip(comparisons, bootstrap.holm(p), strict=True):
            entry.p = float(adjusted)
            entry.tied = entry.p >= LEVEL
            outcome.tied += entry.tied
        outcome.comparisons = max(outcome.comparisons, len(comparisons))
        outcome.resamples = max(outcome.resamples, resamples)
    return outcome


def _pairs(groups: list[Group], metric: str) -> Iterator[tuple[Row, Row]]:
    """The best row of each group with each other row that is not printed in bold beside it."""
    for group in groups:
        have = [row for row in group.rows if row.entries[metric].mean is not None]
        best = max(have, key=lambda row: row.entries[metric].mean or 0.0, default=None)
        if best is not None:
            yield from ((best, row) for row in have if not row.entries[metric].best and row is not best)


class _Known:
    """Ranks by fingerprint, each file read once."""

    def __init__(self, ledger: Ledger, report: Report) -> None:
        self.ledger, self.protocol, self.split = ledger, report.protocol, report.split
        self.ranks: dict[str, Ranks | None] = {}
        self.digest: dict[str, str | None] = {}

    def of(self, runs: dict[str, float]) -> list[Ranks] | None:
        """The ranks of all of these runs, or None where one has none."""
        if self.split != "test":
            return None
        for fingerprint in runs:
            if fingerprint not in self.ranks:
                path = self.ledger.cell(fingerprint).path("ranks.npz")
                self.ranks[fingerprint] = bootstrap.read_ranks(path).get(self.protocol)
        found = [self.ranks[fingerprint] for fingerprint in runs]
        whole = [ranks for ranks in found if ranks is not None]
        return whole if len(whole) == len(found) and whole else None

    def digests(self, *rows: Row) -> int:
        """On how many different states of the data these rows' runs were scored."""
        prints = {cell.fingerprint for row in rows for cell in row.planned}
        for fingerprint in prints - self.digest.keys():
            result = self.ledger.cell(fingerprint).result() or {}
            self.digest[fingerprint] = result.get("dataset", {}).get("digest")
        return len({self.digest[fingerprint] for fingerprint in prints} - {None})
