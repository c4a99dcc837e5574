"""Tables as the template prints them: words, what to sort by, and which row's provenance stands behind a cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from harness.reporting.page.numbers import decimal, signed
from harness.reporting.render import DAGGER, NOTHING, Page, count
from harness.reporting.rendered import Listing
from harness.reporting.table import Row

SHORTEST = 8  # letters of a fingerprint by which a listing may name a run


@dataclass(frozen=True)
class Head:
    """A column: `span` columns of one metric stand under the `over` of the first of them."""

    text: str
    numeric: bool = True
    over: str = ""
    span: int = 1


@dataclass(frozen=True)
class TableCell:
    """One cell.

    Attributes:
        sort: a number or word to sort by; "" sorts last.
        mark: printed small after the text: a footnote's letter, the dagger.
        about, metric: id of the provenance behind it, and which column of it; "" where nothing stands behind.
    """

    text: str
    kind: Literal["word", "ours", "published", "difference", "number"] = "word"
    sort: str = ""
    std: str = ""
    mark: str = ""
    best: bool = False
    missing: bool = False
    about: str = ""
    metric: str = ""


@dataclass(frozen=True)
class Table:
    """`bodies` are the groups: sorting stays within them, and orders them by a column that all their rows share.

    Attributes:
        keys: how many columns at the left name the row.
        shared: how many of these are the same within each body, and so are shown once.
        spread: some cell has a standard deviation, so all leave room for one.
    """

    heads: list[Head]
    bodies: list[list[list[TableCell]]]
    keys: int
    shared: int = 0
    spread: bool = False

    @property
    def two_lines(self) -> bool:
        return any(head.over for head in self.heads)


def of_page(page: Page, about: Mapping[int, str]) -> Table:
    """The table over cells; `about` gives the provenance of each row by the row's id()."""
    report = page.report
    heads = [Head(report.heading(axis), numeric=False) for axis in report.rows] + [Head("n")]
    for metric, run in groupby(page.columns, key=lambda column: column[0]):
        parts = [part for _, part in run]
        title = report.heading(metric)
        if len(parts) == 1:
            heads.append(Head(title))
        else:
            heads += [Head(part, over=title, span=len(parts) if n == 0 else 0) for n, part in enumerate(parts)]
    bodies = [[_row(page, row, about[id(row)]) for row in group.rows] for group in page.groups]
    if all(len(body) == 1 for body in bodies):  # nothing to sort within groups of one
        bodies = [[row for body in bodies for row in body]]
    spread = any(cell.std for body in bodies for row in body for cell in row)
    return Table(heads, bodies, len(report.rows), _shared(bodies, len(report.rows)), spread)


def of_listing(listing: Listing, about: Mapping[str, str]) -> Table:
    """A plain table; `about` gives the provenance by fingerprint, for the rows that name a run by it."""
    heads = [Head(text, numeric) for text, numeric in zip(listing.heads, listing.numeric, strict=True)]
    body = []
    for row in listing.rows:
        named = _named(row, about)
        body.append([_listed(word, numeric, named) for word, numeric in zip(row, listing.numeric, strict=True)])
    return Table(heads, [body], keys=1)


def _row(page: Page, row: Row, about: str) -> list[TableCell]:
    words = [TableCell(word, sort=_sort_key(value)) for word, value in zip(row.words, row.place, strict=True)]
    return [
        *words,
        TableCell(count(row), "number", str(row.n) if row.planned else ""),
        *(_value(page, row, metric, part, about) for metric, part in page.columns),
    ]


def _value(page: Page, row: Row, metric: str, part: str, about: str) -> TableCell:
    entry = row.entries[metric]
    if part == "published":
        known = entry.published is not None
        sort, mark = (f"{entry.published:.6g}", page.mark(row)) if known else ("", "")
        return TableCell(
            decimal(entry.published), "published", sort, mark=mark, about=about if known else "", metric=metric
        )
    if part == "difference":
        sort = "" if entry.difference is None else f"{entry.difference:.6g}"
        return TableCell(signed(entry.difference), "difference", sort, about=about if sort else "", metric=metric)
    if entry.mean is None:
        return TableCell(
            NOTHING if row.planned else "", "ours", missing=bool(row.planned),
            about=about if row.planned else "", metric=metric,
        )  # fmt: skip
    return TableCell(
        decimal(entry.mean), "ours", f"{entry.mean:.6g}", decimal(entry.std), DAGGER if entry.tied else "", entry.best,
        about=about, metric=metric,
    )  # fmt: skip


def _shared(bodies: list[list[list[TableCell]]], keys: int) -> int:
    """How many columns from the left are the same within every body; never the last key, which tells rows apart."""
    for column in range(keys - 1):
        if any(len({row[column].text for row in body}) > 1 for body in bodies):
            return column
    return max(0, keys - 1)


def _listed(word: str, numeric: bool, about: str) -> TableCell:
    missing = word in ("", NOTHING)
    if not numeric:
        return TableCell(word, sort="" if missing else word)
    return TableCell(word or NOTHING, "number", "" if missing else _as_number(word), missing=missing, about=about)


def _named(row: Sequence[str], about: Mapping[str, str]) -> str:
    """The provenance of the run whose fingerprint, or the beginning of it, stands in the row."""
    for word in (word for word in row if len(word) >= SHORTEST):
        found = [place for fingerprint, place in about.items() if fingerprint.startswith(word)]
        if len(found) == 1:
            return found[0]
    return ""


def _sort_key(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _as_number(word: str) -> str:
    """What a printed number is sorted by: without a sign for percent, seeds after a ±, or a typographic minus."""
    text = word.replace("−", "-").replace(",", "").partition("±")[0].strip(" %+†*")
    try:
        return f"{float(text):.12g}"
    except ValueError:
        return word
