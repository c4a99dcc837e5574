"""A report that ranks methods over data sets, noise rates and networks, and says which of them it can tell apart."""

import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.errors import HarnessError
from harness.evaluation.ranking import Ranking, rank
from harness.printing.numbers import count
from harness.printing.table import Table, Value, number, plain
from harness.reporting.declaration import Ranks, Report
from harness.reporting.figures.critical import draw_ranks
from harness.reporting.reports import words
from harness.reporting.reports.rendered import Rendered
from harness.reporting.rows.rows import Row
from harness.reporting.runs import Run

Test = tuple[tuple[str, Any], ...]  # what its cells share: data set and axes


@dataclass(frozen=True)
class Scores:
    """The means over the seeds by test and row, and the rows; a test is whole where every row has one."""

    rows: list[Row]
    means: dict[Test, dict[str, float]]

    @property
    def whole(self) -> list[Test]:
        return [test for test, means in self.means.items() if len(means) == len(self.rows)]


def render_ranks(report: Report, spec: Ranks, runs: list[Run]) -> Rendered:
    """Mean ranks, Friedman's test and the critical difference over the tests in which all rows have a result."""
    scores = collect_scores(report, spec, runs)
    names = [row.words[0] for row in scores.rows]
    measured = report.title_of(spec.y)
    sentence = f"{measured}, mean over the seeds, on the {spec.split} split"
    found = None
    if len(scores.whole) > 1 and len(names) > 1:
        found = rank([[scores.means[test][str(row.place[0])] for row in scores.rows] for test in scores.whole])
    notes = [*report.notes, *_explain(found, scores), *words.list_missing(report, runs, scores.rows, [spec.series])]
    caption = words.join_sentences(
        report.title,
        f"A test is one {' and '.join(_named(report, scores))}; rank 1 is the best {sentence}",
        *words.name_reconstructions(run for row in scores.rows for run in row.runs),
    )
    figure = draw_ranks(names, found, report.title, f"{count(len(scores.whole), 'test')}; {sentence}")
    numbers = pd.DataFrame(
        [
            {spec.series: place, **{key: str(value) for key, value in test}, spec.y: mean}
            for test, means in scores.means.items()
            for place, mean in means.items()
        ]
    )
    table = tabulate_ranks(report, spec, scores, found)
    rows = [scores.rows[place] for place in order_rows(scores, found)]
    return Rendered(report, caption, table, rows, [spec.series], numbers, notes, figures={"": figure})


def collect_scores(report: Report, spec: Ranks, runs: list[Run]) -> Scores:
    """Every row and its mean in every test.

    Raises:
        HarnessError: no cell has the axis that is ranked.
    """
    where = {**report.where, **spec.where}
    chosen = [run for run in runs if all(run.planned.place.get(axis) in values for axis, values in where.items())]
    found: dict[str, list[Run]] = {}
    seeds: dict[Test, dict[str, list[float]]] = {}
    for run in chosen:
        place = run.planned.place
        if spec.series not in place:
            raise HarnessError(
                f"{report.name}: the cell '{run.planned.name}' has no {spec.series!r} to rank; accepted: "
                "figure.series = an axis of every grid, or choose others with where"
            )
        others = {axis: value for axis, value in place.items() if axis not in (spec.series, "seed")}
        test = (("dataset", run.planned.run.dataset), *others.items())
        name = str(place[spec.series])
        found.setdefault(name, []).append(run)
        values = seeds.setdefault(test, {})
        score = run.score(spec.y, spec.split, report.protocol)
        if score is not None:
            values.setdefault(name, []).append(score)
    order = [name for name in report.values.get(spec.series, {}) if name in found]
    rows = [
        Row((name,), [report.word_for(spec.series, name)], found[name])
        for name in [*order, *(name for name in found if name not in order)]
    ]
    means = {test: {name: statistics.fmean(each) for name, each in values.items()} for test, values in seeds.items()}
    return Scores(rows, means)


def tabulate_ranks(report: Report, spec: Ranks, scores: Scores, found: Ranking | None) -> Table:
    """Mean rank and the rank in each whole test; by mean rank, the best first."""
    titles = [report.title_of(spec.series), "Mean rank", *(_title(report, test, scores) for test in scores.whole)]
    best = None if found is None else round(float(found.means.min()), 2)
    rows: list[list[str | Value]] = []
    for place in order_rows(scores, found):
        row: list[str | Value] = [scores.rows[place].words[0]]
        if found is None:
            row += [number(None)] * (len(titles) - 1)
        else:
            row.append(number(found.means[place], 2, best=round(float(found.means[place]), 2) == best))
            row += [Value(f"{value:g}", f"{value:g}") for value in found.ranks[:, place]]
        rows.append(row)
    return plain(titles, rows, numbers=range(1, len(titles)))


def order_rows(scores: Scores, found: Ranking | None) -> list[int]:
    """The places of the rows as the table has them."""
    return list(range(len(scores.rows))) if found is None else np.argsort(found.means, kind="stable").tolist()


def _named(report: Report, scores: Scores) -> list[str]:
    """The axes that tell tests apart, in words."""
    axes = dict.fromkeys(axis for test in scores.means for axis, _ in test)
    varied = [axis for axis in axes if len({dict(test).get(axis) for test in scores.means}) > 1]
    return [report.title_of(axis).lower() for axis in varied or ["dataset"]]


def _title(report: Report, test: Test, scores: Scores) -> str:
    """A test by what it does not share with all others."""
    shared = set.intersection(*(set(each) for each in scores.means))
    own = [report.word_for(axis, value) for axis, value in test if (axis, value) not in shared]
    return " ".join(own) or report.word_for(*test[0])


def _explain(found: Ranking | None, scores: Scores) -> list[str]:
    notes = []
    if found is None:
        notes.append("No ranks yet: they need two tests or more in which all rows, two or more, have a finished run.")
    else:
        told = "are not told apart" if found.alike else "would not be told apart, and there are none"
        p = "" if np.isnan(found.p) else f"Friedman's test that all are alike: p = {found.p:.2g}. "
        notes.append(
            f"{p}Nemenyi's critical difference at 5 %: {found.difference:.2f}; rows whose mean ranks differ by less "
            f"{told}; a bar in the figure joins them."
        )
    left = len(scores.means) - len(scores.whole)
    if left:
        notes.append(f"{count(left, 'test')} left out, in which some row has no finished run.")
    return notes
