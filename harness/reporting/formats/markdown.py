"""A report as Markdown."""

from tabulate import tabulate

from harness.reporting.render import DAGGER, NOTHING, Page, count, signed
from harness.reporting.rendered import Listing, Rendered
from harness.reporting.table import Row


def markdown(rendered: Rendered) -> str:
    """GitHub's tables: caption above, footnotes and notes below."""
    tables = [_table(rendered.page)] if rendered.page else []
    tables += [_listing(rendered.listing)] if rendered.listing else []
    marks = rendered.page.marks if rendered.page else {}
    notes = [f"- [{mark}] {text}" for text, mark in marks.items()] + [f"- {note}" for note in rendered.notes]
    parts = [f"# {rendered.report.title}", rendered.caption, *tables, "\n".join(notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(page: Page) -> str:
    report = page.report
    heads = [report.heading(axis) for axis in report.rows] + ["n"]
    compared = {metric for metric, part in page.columns if part == "published"}
    for metric, part in page.columns:
        heads.append(report.heading(metric) if metric not in compared or part == "ours" else part)
    body = []
    for group in page.groups:
        above = None
        for row in group.rows:
            cells = [_cell(page, row, metric, part) for metric, part in page.columns]
            body.append([*map(_safe, page.keys(row, above)), count(row), *cells])
            above = row
    align = ["left"] * len(report.rows) + ["right"] * (len(heads) - len(report.rows))
    return tabulate(body, heads, tablefmt="pipe", disable_numparse=True, colalign=align)


def _listing(listing: Listing) -> str:
    align = ["right" if numeric else "left" for numeric in listing.numeric]
    rows = [[_safe(cell) for cell in row] for row in listing.rows]
    return tabulate(rows, listing.heads, tablefmt="pipe", disable_numparse=True, colalign=align if rows else None)


def _safe(text: str) -> str:
    return text.replace("|", r"\|")


def _cell(page: Page, row: Row, metric: str, part: str) -> str:
    entry = row.entries[metric]
    if part == "published":
        return "" if entry.published is None else f"{entry.published:.1f} [{page.mark(row)}]"
    if part == "difference":
        return signed(entry.difference).replace("-", "−")
    if entry.mean is None:
        return NOTHING if row.planned else ""
    text = f"{entry.mean:.1f}" + (f" ± {entry.std:.1f}" if entry.std is not None else "")
    return f"**{text}**" if entry.best else f"{text} {DAGGER}" if entry.tied else text
