"""A report over the cells of grids: a table of metrics, means over the seeds, beside what is published."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from harness.evaluation.measures import MEASURES
from harness.printing.table import DAGGER, Column, Kind, Table, Value, number
from harness.reporting.declaration import Report
from harness.reporting.reports import words
from harness.reporting.reports.rendered import Rendered
from harness.reporting.reports.series import draw_figure
from harness.reporting.rows.cost import baseline_of, cost_of
from harness.reporting.rows.published import Published
from harness.reporting.rows.rows import Group, Row, build_rows
from harness.reporting.rows.significance import judge_rows
from harness.reporting.runs import Run

PARTS: tuple[Kind, ...] = ("ours", "published", "difference")  # columns of a metric that is compared


def render_cells(report: Report, runs: list[Run]) -> Rendered:
    """The table of a report and its figure."""
    published = None
    dataset = words.name_dataset(report, runs)
    words.refuse_other_dev(report, runs)
    if report.published is not None:
        published = Published(report.published, report.folder, dataset=dataset, protocol=report.protocol)
    groups = build_rows(report, runs, published)
    judged = judge_rows(report, groups)
    rows = [row for group in groups for row in group]
    sources = dict.fromkeys(row.published.footnote for row in rows if row.published)
    letters = {source: words.name_footnote(place) for place, source in enumerate(sources)}
    notes = [
        *report.notes,
        *words.explain_published(report),
        *([words.BASE_RUN] if any(row.base for row in rows) else []),
        *words.explain_marks(report, judged),
        *words.explain_costs(report),
        *words.name_collapsed(run for row in rows for run in row.runs),
        *words.name_damaged(run for row in rows for run in row.runs),
        *words.count_unscored(report, rows),
        *words.list_apart(report, rows),
        *words.list_missing(report, runs, rows, report.rows),
    ]
    beside = published if published and published.spec.comparable else None
    drawn = draw_figure(report, runs, beside, words.subtitle_figure(report, rows)) if report.figure else None
    return Rendered(
        report,
        words.caption_cells(report, rows),
        tabulate_rows(report, groups, letters),
        rows,
        report.rows,
        pd.DataFrame(list_numbers(report, rows)),
        notes,
        {letter: source for source, letter in letters.items()},
        {"": drawn} if drawn else {},
    )


def tabulate_rows(report: Report, groups: list[Group], letters: dict[str, str]) -> Table:
    """The table as printed; metrics that are compared have three columns. `letters`: of footnotes, by their text."""
    compare = report.published.compare if report.published else []
    parts = PARTS if report.published and report.published.comparable else PARTS[:-1]
    columns = [Column(report.title_of(axis), "word") for axis in report.rows] + [Column("n")]
    for metric in report.metrics:
        title = report.title_of(metric)
        if metric in compare:
            columns += [Column(words.title_part(report, part), part, title, metric) for part in parts]
        else:
            columns.append(Column(title, "ours", metric=metric))
    measured = len(columns)
    columns += [Column(title) for title in words.title_costs(report)]

    def values(row: Row) -> Iterator[Value]:
        for word, value in zip(row.words, row.place, strict=True):
            yield Value(word, f"{value:.6g}" if isinstance(value, int | float) else str(value))
        yield count_seeds(row, row.n)
        for column in columns[len(report.rows) + 1 : measured]:
            yield _value(report, row, column, letters)

    def costs(row: Row, group: Group) -> Iterator[Value]:
        if report.cost is not None:
            cost = cost_of(row, baseline_of(group, len(report.rows) - 1, report.cost), report.protocol)
            yield number(cost.relative, 2)
            yield number(cost.seconds)
            yield number(None if cost.peak_bytes is None else cost.peak_bytes / 1e6, 0)
            yield number(None if cost.parameters is None else cost.parameters / 1e6, 2)
            yield number(cost.networks, 0)
            yield Value("") if cost.alone is None else number(cost.alone)

    return Table(
        columns,
        [[[*values(row), *costs(row, group)] for row in group] for group in groups],
        keys=len(report.rows),
    )


def count_seeds(row: Row, n: int) -> Value:
    """How many seeds, of how many that are planned; nothing for a row of the literature."""
    planned = len(row.runs)
    return Value(str(n) if n == planned else f"{n}/{planned}", str(n)) if planned else Value("")


def _value(report: Report, row: Row, column: Column, letters: dict[str, str]) -> Value:
    metric = column.metric or ""
    entry = row.entries[metric]
    if column.kind == "published":
        letter = letters.get(row.published.footnote, "") if row.published else ""
        return Value("") if entry.published is None else number(entry.published, mark=letter)
    if column.kind == "difference":
        return Value("") if entry.difference is None else number(entry.difference, sign=True)
    if entry.mean is None and not row.runs:
        return Value("")
    scores = ((run.planned.run.seed, run.score(metric, report.split, report.protocol)) for run in row.runs)
    over = [(seed, score) for seed, score in scores if score is not None]
    return number(entry.mean, spread=entry.std, mark=DAGGER if entry.tied else "", best=entry.best, over=over)


def list_numbers(report: Report, rows: list[Row]) -> Iterator[dict[str, Any]]:
    """One line for each row and metric; a metric that neither side gives is left out of a row that has others."""
    for row in rows:
        about = row.published
        selection = " or ".join(sorted({run.planned.run.evaluation.selection for run in row.runs}))
        for metric in MEASURES:
            entry = row.entries[metric]
            if entry.mean is None and entry.published is None and row.n:
                continue
            named = about if about and entry.published is not None else None
            yield {
                **dict(zip(report.rows, map(str, row.place), strict=True)),
                "metric": metric,
                "mean": entry.mean,
                "std": entry.std,
                "n": len(entry.seeds),
                "planned": len(row.runs),
                "published": entry.published,
                "difference": entry.difference,
                "p_against_best": entry.p,
                "selection": selection,
                "status": named.status if named else "",
                "source": named.source if named else "",
                "note": named.note if named else "",
            }
