"""The rows of a report and their numbers, in no words yet: means over seeds, published values, and which are best."""

import statistics
from dataclasses import dataclass, field

from harness.evaluation.measures import MEASURES
from harness.reporting.declaration import Report
from harness.reporting.rows.places import Place, base_runs, runs_by_place
from harness.reporting.rows.published import Published, PublishedValue
from harness.reporting.runs import Run


@dataclass
class Entry:
    """One metric of one row: ours over the finished seeds, and what is printed.

    Attributes:
        comparable: ours and the published value are of the same kind of noise.
        best: the best of its group, as printed.
        p: of the paired bootstrap against the best, adjusted; None where nothing was judged.
        tied: judged, and not distinguishable from the best.
    """

    seeds: list[float] = field(default_factory=list)
    published: float | None = None
    comparable: bool = True
    best: bool = False
    p: float | None = None
    tied: bool = False

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.seeds) if self.seeds else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation; one seed has none."""
        return statistics.stdev(self.seeds) if len(self.seeds) > 1 else None

    @property
    def difference(self) -> float | None:
        if self.mean is None or self.published is None or not self.comparable:
            return None
        return self.mean - self.published


@dataclass
class Row:
    """A place on the axes, with the words for it.

    Attributes:
        runs: those that a grid plans there, finished or not; none for a row of the literature alone.
        entries: by metric.
        base: it is the run that the others of a [vary] differ from in one value.
    """

    place: Place
    words: list[str]
    runs: list[Run]
    entries: dict[str, Entry] = field(default_factory=dict)
    published: PublishedValue | None = None
    base: bool = False

    @property
    def n(self) -> int:
        return max((len(entry.seeds) for entry in self.entries.values()), default=0)


Group = list[Row]  # that share the values of the outermost axes: what is best is best among them


def score_runs(runs: list[Run], metric: str, split: str, protocol: str) -> Entry:
    """A metric over those runs that have it."""
    values = (run.score(metric, split, protocol) for run in runs)
    return Entry([float(value) for value in values if value is not None])


def build_rows(report: Report, runs: list[Run], published: Published | None) -> list[Group]:
    """The rows of a report: every planned one, finished or not, then what only the literature has."""
    groups: dict[Place, Group] = {}
    base = base_runs(runs)
    for place, here in runs_by_place(report, runs, report.rows, report.where).items():
        value = published.of_run(here[0].planned) if published else None
        entries = {metric: score_runs(here, metric, report.split, report.protocol) for metric in MEASURES}
        for metric, entry in entries.items():
            entry.published = value.metrics.get(metric) if value else None
            entry.comparable = published is None or published.spec.comparable
        words = [report.word_for(axis, value) for axis, value in zip(report.rows, place, strict=True)]
        is_base = base.issuperset(run.fingerprint for run in here)
        words[-1] += " (base)" if is_base else ""
        row = Row(place, words, here, entries, value, is_base)
        groups.setdefault(place[: len(report.grouped_by)], []).append(row)
    for shared, group in groups.items():
        _mark_best(group)
        rate = shared[0] if shared else None  # none: real noise, in one group
        group += _only_published(report, rate, published)
    return list(groups.values())


def _mark_best(group: Group) -> None:
    for metric, measure in MEASURES.items():
        entries = [(entry, entry.mean) for row in group if (entry := row.entries[metric]).seeds]
        means = [round(mean, 1) for _, mean in entries if mean is not None]  # as printed: what looks equal is equal
        if len(means) > 1:
            best = max(means) if measure.higher_is_better else min(means)
            for (entry, _), mean in zip(entries, means, strict=True):
                entry.best = mean == best


def _only_published(report: Report, rate: float | None, published: Published | None) -> list[Row]:
    """The report's `also` at this noise rate, or under real noise, where sourced."""
    rows = []
    for key in published.spec.also if published else []:
        value = published.find(key.method, key.backbone, rate) if published else None
        if value is not None:
            own = {"noise.rate": rate, "backbone": key.backbone, "method": key.method}
            place = tuple(own.get(axis, "") for axis in report.rows)
            words = [report.word_for(axis, own[axis]) if axis in own else "" for axis in report.rows]
            words[report.rows.index("method") if "method" in report.rows else -1] = value.printed_name
            entries = {metric: Entry(published=value.metrics.get(metric)) for metric in MEASURES}
            rows.append(Row(place, words, [], entries, value))
    return rows
