"""A report as CSV: what is shown, one line a number, at full precision."""

import csv
import io
from collections.abc import Iterable, Sequence

from harness.evaluation.measures import MEASURES
from harness.reporting.render import Page
from harness.reporting.rendered import Rendered


def tidy_csv(rendered: Rendered) -> str:
    """The numbers behind the figures where there are any of their own; else the table's; else the listing."""
    if rendered.numbers is not None:
        return _csv(*rendered.numbers)
    if rendered.page is not None:
        return _csv(_heads(rendered.page), _rows(rendered.page))
    if rendered.listing is not None:
        return _csv(rendered.listing.heads, rendered.listing.rows)
    return ""


def _csv(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows([_number(value) for value in row] for row in rows)
    return file.getvalue()


def _heads(page: Page) -> list[str]:
    numbers = ["metric", "mean", "std", "n", "planned", "published", "difference", "p_against_best"]
    return [*page.report.rows, *numbers, "selection", "status", "source", "note"]


def _rows(page: Page) -> Iterable[list[object]]:
    """One for each row and metric, every metric; one that neither side gives is left out where others are given."""
    for row in (row for group in page.groups for row in group.rows):
        about = row.published
        selection = " or ".join(sorted({cell.run.evaluation.selection for cell in row.planned}))
        for metric in MEASURES:
            entry = row.entries[metric]
            if entry.mean is None and entry.published is None and row.n:
                continue
            numbers = [entry.mean, entry.std, len(entry.seeds), len(row.planned)]
            numbers += [entry.published, entry.difference, entry.p]
            said = [about.status, about.source, about.note] if about and entry.published is not None else ["", "", ""]
            yield [*map(str, row.place), metric, *numbers, selection, *said]


def _number(value: object) -> object:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else value
